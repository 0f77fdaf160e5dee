//! The measurements and their targets.

/// The name of this workspace in the results.
pub(crate) const OURS: &str = "flink-traces";
/// Flink's own reporters, in a Java process.
pub(crate) const JAVA: &str = "Flink";

/// A kind of work, its amount, and the programs that do it.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) work: &'static str,
    pub(crate) size: usize,
    pub(crate) by: &'static [&'static str],
    /// Set if it takes minutes, so that it runs only in the first round.
    pub(crate) is_long: bool,
}

const fn run(work: &'static str, size: usize, by: &'static [&'static str]) -> Run {
    Run { work, size, by, is_long: false }
}

/// All measurements, in the order of execution.
pub(crate) const RUNS: &[Run] = &[
    run("add", 100_000, &[OURS, "opentelemetry", "fastrace", JAVA]),
    run("paced", 100, &[OURS, "opentelemetry", JAVA]),
    run("paced", 2_000, &[OURS, "opentelemetry", JAVA]),
    run("paced", 20_000, &[OURS, "opentelemetry", JAVA]),
    run("tree", 10_000, &[OURS, "opentelemetry", JAVA]),
    run("tree", 100_000, &[OURS, "opentelemetry", JAVA]),
    run("tree", 1_000_000, &[OURS, "opentelemetry"]),
    run("checkpoint", 10_000, &[OURS, JAVA]),
    run("grpc", 200_000, &[OURS, "opentelemetry", "opentelemetry exporter", "fastrace", JAVA]),
    run("http", 200_000, &[OURS, "opentelemetry", "opentelemetry exporter", JAVA]),
    run("encode", 512, &[OURS, "opentelemetry", "prost"]),
    run("initialization", 10_000, &[OURS, JAVA]),
    run("initialization", 100_000, &[OURS, JAVA]),
    run("json", 512, &[OURS, "serde_json"]),
    run("file", 200_000, &[OURS, "tracing", JAVA]),
    run("memory", 100_000, &[OURS, "opentelemetry"]),
    Run { work: "observer", size: 100, by: &[OURS], is_long: true },
    Run { work: "observer", size: 1000, by: &[OURS], is_long: true },
    Run { work: "scrape", size: 10_000, by: &[OURS], is_long: true },
    run("history", 10_000, &[OURS]),
    Run { work: "fleet", size: 1_000, by: &[OURS], is_long: true },
    Run { work: "fleet", size: 10_000, by: &[OURS], is_long: true },
    run("binary", 1, &[OURS]),
];

/// A target for a number.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// The peer's number divided by this factor, or less.
    Less(&'static str, f64),
    /// The peer's number multiplied by this factor, or more.
    More(&'static str, f64),
    /// At most this number.
    AtMost(f64),
    /// At least this number.
    AtLeast(f64),
    /// No target. The number is shown for comparison.
    Shown,
}

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) work: &'static str,
    pub(crate) size: usize,
    /// The name of the number.
    pub(crate) number: &'static str,
    /// The unit, and its size in the unit of the number.
    pub(crate) unit: (&'static str, f64),
    pub(crate) targets: &'static [Target],
}

const NS: (&str, f64) = ("ns", 1.0);
const US: (&str, f64) = ("µs", 1e3);
const MS: (&str, f64) = ("ms", 1e6);
const PERCENT: (&str, f64) = ("%", 1.0);
const BYTES: (&str, f64) = ("B", 1.0);
const MIB: (&str, f64) = ("MiB", 1_048_576.0);
const RATE: (&str, f64) = ("/s", 1.0);

/// The poll interval of the observer, in seconds. It equals the expiry of Flink's caches.
pub(crate) const POLL_INTERVAL_S: u32 = 3;

/// The measured CPU nanoseconds of a JobManager for one request about a job.
pub(crate) const REQUEST_NS: f64 = 52_500.0;
/// The measured CPU nanoseconds of a JobManager for the share of one job in an overview.
pub(crate) const OVERVIEW_NS: f64 = 32_000.0;

use Target::{AtLeast, AtMost, Less, More, Shown};

pub(crate) const ROWS: &[Row] = &[
    Row {
        what: "add_span of a built span, caller's CPU",
        work: "add",
        size: 100_000,
        number: "caller",
        unit: NS,
        targets: &[Less(JAVA, 20.0), Less("opentelemetry", 8.0)],
    },
    Row {
        what: "report of a span at 100 a second, p50",
        work: "paced",
        size: 100,
        number: "p50",
        unit: US,
        targets: &[Less("opentelemetry", 1.0)],
    },
    Row {
        what: "the same, p99",
        work: "paced",
        size: 100,
        number: "p99",
        unit: US,
        targets: &[Less("opentelemetry", 1.0)],
    },
    Row { what: "its requests a second", work: "paced", size: 100, number: "requests", unit: RATE, targets: &[Shown] },
    Row {
        what: "report of a span at 2,000 a second, p50",
        work: "paced",
        size: 2_000,
        number: "p50",
        unit: US,
        targets: &[AtMost(1e3)],
    },
    Row { what: "the same, p99", work: "paced", size: 2_000, number: "p99", unit: US, targets: &[AtMost(5e3)] },
    Row {
        what: "its requests a second",
        work: "paced",
        size: 2_000,
        number: "requests",
        unit: RATE,
        targets: &[Shown],
    },
    Row {
        what: "report of a span at 20,000 a second, p50",
        work: "paced",
        size: 20_000,
        number: "p50",
        unit: US,
        targets: &[AtMost(1e3)],
    },
    Row { what: "the same, p99", work: "paced", size: 20_000, number: "p99", unit: US, targets: &[AtMost(5e3)] },
    Row {
        what: "its requests a second",
        work: "paced",
        size: 20_000,
        number: "requests",
        unit: RATE,
        targets: &[Shown],
    },
    Row {
        what: "add of a tree of 10,011 spans, caller's thread",
        work: "tree",
        size: 10_000,
        number: "caller",
        unit: US,
        targets: &[AtMost(5e3)],
    },
    Row {
        what: "add of a tree of 100,101 spans, caller's thread",
        work: "tree",
        size: 100_000,
        number: "caller",
        unit: US,
        targets: &[AtMost(5e3)],
    },
    Row {
        what: "add of a tree of 1,001,001 spans, caller's thread",
        work: "tree",
        size: 1_000_000,
        number: "caller",
        unit: US,
        targets: &[AtMost(5e3)],
    },
    Row {
        what: "a completed checkpoint of 10,000 subtasks, tracker to dispatcher",
        work: "checkpoint",
        size: 10_000,
        number: "caller",
        unit: MS,
        targets: &[Less(JAVA, 10.0)],
    },
    Row {
        what: "its 10,000 acknowledgements before",
        work: "checkpoint",
        size: 10_000,
        number: "acknowledged",
        unit: MS,
        targets: &[Shown],
    },
    Row {
        what: "CPU a span end to end, OTLP gRPC",
        work: "grpc",
        size: 200_000,
        number: "cpu",
        unit: NS,
        targets: &[Less(JAVA, 15.0), Less("opentelemetry", 8.0)],
    },
    Row {
        what: "CPU a span end to end, OTLP HTTP/protobuf",
        work: "http",
        size: 200_000,
        number: "cpu",
        unit: NS,
        targets: &[Less(JAVA, 15.0), Less("opentelemetry", 8.0)],
    },
    Row {
        what: "spans a second by the wall, OTLP gRPC",
        work: "grpc",
        size: 200_000,
        number: "per second",
        unit: RATE,
        targets: &[More(JAVA, 100.0), More("opentelemetry", 5.0)],
    },
    Row {
        what: "spans a second by the wall, OTLP HTTP/protobuf",
        work: "http",
        size: 200_000,
        number: "per second",
        unit: RATE,
        targets: &[More(JAVA, 100.0), More("opentelemetry", 5.0)],
    },
    Row {
        what: "kept of them, OTLP gRPC",
        work: "grpc",
        size: 200_000,
        number: "kept",
        unit: PERCENT,
        targets: &[AtLeast(100.0)],
    },
    Row {
        what: "encoding alone, a span",
        work: "encode",
        size: 512,
        number: "cpu",
        unit: NS,
        targets: &[Less("opentelemetry", 20.0), Less("prost", 5.0)],
    },
    Row {
        what: "kept of a burst of 10,011 spans",
        work: "tree",
        size: 10_000,
        number: "kept",
        unit: PERCENT,
        targets: &[AtLeast(100.0)],
    },
    Row {
        what: "until it is drained",
        work: "tree",
        size: 10_000,
        number: "drained",
        unit: MS,
        targets: &[AtMost(20e6)],
    },
    Row {
        what: "kept of a burst of 100,101 spans",
        work: "tree",
        size: 100_000,
        number: "kept",
        unit: PERCENT,
        targets: &[AtLeast(100.0)],
    },
    Row {
        what: "until it is drained",
        work: "tree",
        size: 100_000,
        number: "drained",
        unit: MS,
        targets: &[AtMost(200e6)],
    },
    Row {
        what: "kept of a burst of 1,001,001 spans",
        work: "tree",
        size: 1_000_000,
        number: "kept",
        unit: PERCENT,
        targets: &[AtLeast(100.0)],
    },
    Row {
        what: "until it is drained",
        work: "tree",
        size: 1_000_000,
        number: "drained",
        unit: MS,
        targets: &[AtMost(2000e6)],
    },
    Row {
        what: "JobInitialization of 10,000 subtasks, a subtask",
        work: "initialization",
        size: 10_000,
        number: "cpu",
        unit: NS,
        targets: &[Less(JAVA, 25.0)],
    },
    Row {
        what: "JobInitialization of 100,000 subtasks, a subtask",
        work: "initialization",
        size: 100_000,
        number: "cpu",
        unit: NS,
        targets: &[Less(JAVA, 25.0)],
    },
    Row {
        what: "memory of a pending attempt",
        work: "initialization",
        size: 100_000,
        number: "held",
        unit: BYTES,
        targets: &[Shown],
    },
    Row {
        what: "JSON line, encoding",
        work: "json",
        size: 512,
        number: "cpu",
        unit: NS,
        targets: &[Less("serde_json", 2.5)],
    },
    Row {
        what: "JSON line into a file, from add_span on",
        work: "file",
        size: 200_000,
        number: "cpu",
        unit: NS,
        targets: &[Less(JAVA, 8.0), Less("tracing", 8.0)],
    },
    Row {
        what: "memory of a queued span",
        work: "memory",
        size: 100_000,
        number: "bytes",
        unit: BYTES,
        targets: &[AtMost(360.0)],
    },
    Row {
        what: "observer of 100 jobs, of a core",
        work: "observer",
        size: 100,
        number: "core",
        unit: PERCENT,
        targets: &[AtMost(0.1)],
    },
    Row {
        what: "observer of 1,000 jobs, of a core",
        work: "observer",
        size: 1000,
        number: "core",
        unit: PERCENT,
        targets: &[AtMost(0.6)],
    },
    Row {
        what: "observer of 100 jobs, resident memory",
        work: "observer",
        size: 100,
        number: "resident",
        unit: MIB,
        targets: &[AtMost(20.0 * 1_048_576.0)],
    },
    Row {
        what: "observer of 1,000 jobs, resident memory",
        work: "observer",
        size: 1000,
        number: "resident",
        unit: MIB,
        targets: &[AtMost(40.0 * 1_048_576.0)],
    },
    Row {
        what: "requests for a job and second",
        work: "observer",
        size: 1000,
        number: "requests",
        unit: ("", 1.0),
        targets: &[Shown],
    },
    Row {
        what: "load on the JobManager, less than the naive observer's",
        work: "observer",
        size: 1000,
        number: "lighter",
        unit: ("×", 1.0),
        targets: &[AtLeast(8.0)],
    },
    Row {
        what: "the slowest scrape of metrics of 10,000 jobs",
        work: "scrape",
        size: 10_000,
        number: "scrape",
        unit: MS,
        targets: &[AtMost(100e6)],
    },
    Row { what: "the size of its page", work: "scrape", size: 10_000, number: "size", unit: MIB, targets: &[Shown] },
    Row {
        what: "cost of metrics of 10,000 jobs, scraped every 15 s",
        work: "scrape",
        size: 10_000,
        number: "growth",
        unit: PERCENT,
        targets: &[AtMost(10.0)],
    },
    Row {
        what: "checkpoints written to a history",
        work: "history",
        size: 10_000,
        number: "per second",
        unit: RATE,
        targets: &[AtLeast(5_000.0)],
    },
    Row {
        what: "a checkpoint without detail in a history",
        work: "history",
        size: 10_000,
        number: "bytes",
        unit: BYTES,
        targets: &[AtMost(320.0)],
    },
    Row {
        what: "10,000 checkpoints of a job, asked of `serve`",
        work: "history",
        size: 10_000,
        number: "asked",
        unit: MS,
        targets: &[AtMost(50e6)],
    },
    Row {
        what: "resident memory of `serve` after it",
        work: "history",
        size: 10_000,
        number: "resident",
        unit: MIB,
        targets: &[AtMost(60.0 * 1_048_576.0)],
    },
    Row {
        what: "the fleet of 10,000 jobs in 30 days, asked of `serve`",
        work: "fleet",
        size: 10_000,
        number: "asked",
        unit: MS,
        targets: &[AtMost(300e6)],
    },
    Row {
        what: "resident memory of `serve` after it",
        work: "fleet",
        size: 10_000,
        number: "resident",
        unit: MIB,
        targets: &[AtMost(60.0 * 1_048_576.0)],
    },
    Row {
        what: "report of 1,000 jobs and 7 days",
        work: "fleet",
        size: 1_000,
        number: "report",
        unit: MS,
        targets: &[AtMost(5_000e6)],
    },
    Row { what: "its size", work: "fleet", size: 1_000, number: "size", unit: MIB, targets: &[AtMost(2e6)] },
    Row {
        what: "stripped release binary",
        work: "binary",
        size: 1,
        number: "size",
        unit: MIB,
        targets: &[AtMost(24.0 * 1_048_576.0)],
    },
    Row { what: "`--version`", work: "binary", size: 1, number: "version", unit: MS, targets: &[AtMost(10e6)] },
];
