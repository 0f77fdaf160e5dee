//! `cargo e2e chain`: two clusters, a Collector without any queue, and four places behind it.
//!
//! One `flink-traces run` watches the clusters. The Collector passes its records on to a collector
//! of the test kit, Jaeger, VictoriaLogs and `flink-traces serve`. `run`, the Collector and `serve`
//! are killed at random. All places must hold the same, and the page must show what a Collector
//! recorded of Flink's own reporters.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use flink_traces_history::History;
use flink_traces_testkit::{OtlpCollector, ReceivedEvent, ReceivedSpan};
use harness::{Collector, Jaeger, VictoriaLogs};
use harness::{add_exporter, build_collector, exporter_to, free_ports, get, recreate, run as run_to_end, say};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::cluster::Mode;
use crate::compare::Setup;
use crate::program::Program;
use crate::records::Records;
use crate::session::{STEP_TIMEOUT, run_until_interrupted};
use crate::target;

/// The versions of the clusters, with their names.
const CLUSTERS: [(&str, &str); 2] = [("new", harness::flink::VERSION), ("old", "1.20.5")];
/// The name by which OTLP in knows the cluster whose own reporters a Collector recorded.
const RECORDED: &str = "recorded";
/// The options of both clusters, whose jobs restart as often as they fail.
const OPTIONS: [(&str, &str); 2] =
    [("execution.checkpointing.interval", "2s"), ("restart-strategy.fixed-delay.attempts", "1000")];
/// The arguments of both jobs: each attempt fails after a while.
const ARGUMENTS: [&str; 2] = ["100000", "fail-always"];
/// The time at the end until all queued records have arrived.
const SETTLE: Duration = Duration::from_secs(30);
/// The time until a query or a server responds with what was sent before.
const VISIBLE: Duration = Duration::from_secs(60);
/// The nanoseconds of a millisecond.
const NANOS: u64 = 1_000_000;
/// The checkpoints of a history. OTLP in has the same key for a tree as for its trace.
const CHECKPOINTS: &str =
    "SELECT cluster || ' ' || job_id || ' ' || checkpoint_id || ' at ' || trigger_ms || ' ' || lower(hex(trace))
     FROM checkpoint JOIN job USING (job) JOIN run USING (run)";
/// The starts and restores of jobs of a history.
const RECOVERIES: &str =
    "SELECT cluster || ' ' || job_id || ' ' || coalesce(checkpoint_id, '') || ' at ' || start_ms || ' ' || lower(hex(trace))
     FROM recovery JOIN job USING (job) JOIN run USING (run)";
/// The events of a history that have a row: changes of the status by their content, others by uid.
const EVENTS: &str = "SELECT cluster || ' ' || job_id || ' ' || status || ' at ' || at_ms
     FROM state JOIN job USING (job) JOIN run USING (run)
     UNION ALL SELECT uid FROM failure UNION ALL SELECT uid FROM missed";

/// Runs for the time `duration`.
pub(crate) fn run(duration: Duration, seed: u64) -> Result<()> {
    println!("seed {seed}");
    let folder = target("chain-session")?;
    recreate(&folder)?;
    let [new, old] = CLUSTERS.map(|(name, version)| Setup::prepare(version, &format!("chain-session/{name}")));
    let Report { differences } = run_until_interrupted(session(&folder, [&new?, &old?], duration, seed), &folder)?;
    ensure!(differences == 0, "{differences} differences; the logs are in {}", folder.display());
    fs::remove_dir_all(&folder)?;
    Ok(())
}

async fn session(folder: &Path, setups: [&Setup; 2], duration: Duration, seed: u64) -> Result<Report> {
    let binary = build_collector()?;
    let jaeger = Jaeger::start(&Jaeger::build()?, folder)?;
    let victoria_logs = VictoriaLogs::start(&VictoriaLogs::build()?, folder)?;
    let reference = OtlpCollector::start()?;
    let of_flink = [OtlpCollector::start()?, OtlpCollector::start()?];
    let recording = folder.join("flink.jsonl");
    let mut recorder =
        Collector::start(&binary, folder, "collector-of-flink", &of_flink[0].grpc_endpoint(), |configuration| {
            add_exporter(configuration, "file", json!({"path": recording}), &["traces", "logs"]);
        })?;
    say("starting the clusters");
    let options = OPTIONS.map(|(key, value)| (key, value.to_owned()));
    let mut clusters = Vec::new();
    for (setup, collector) in setups.into_iter().zip([recorder.grpc_endpoint(), of_flink[1].grpc_endpoint()]) {
        clusters.push(setup.cluster_with(options.to_vec(), Mode::Session, &collector).await?);
    }
    let [otlp_in, _] = free_ports()?;
    let collector = Collector::start(&binary, folder, "collector", &reference.grpc_endpoint(), |configuration| {
        let to_otlp_in = exporter_to(&format!("127.0.0.1:{otlp_in}"));
        add_exporter(configuration, "otlp_grpc/flink-traces", to_otlp_in, &["traces", "logs"]);
        add_exporter(configuration, "otlp_grpc/jaeger", exporter_to(&jaeger.grpc_endpoint()), &["traces"]);
        add_exporter(configuration, "otlp_http/victorialogs", victoria_logs.exporter(), &["logs"]);
    })?;
    let names = CLUSTERS.iter().zip(&clusters);
    let urls = names.map(|((name, _), cluster)| format!("{name}={}", cluster.rest.url())).collect();
    let mut chain = Chain::start(setups[0].binary.clone(), folder, urls, otlp_in, collector)?;
    let mut jobs = Vec::new();
    for (setup, cluster) in setups.into_iter().zip(&clusters) {
        jobs.push(cluster.rest.submit(&setup.jar, 2, &ARGUMENTS).await?);
    }
    chain.kill_for(duration, seed).await?;
    say("canceling the jobs");
    sleep(SETTLE).await;
    for (cluster, job) in clusters.iter().zip(&jobs) {
        cluster.rest.cancel(job, STEP_TIMEOUT).await?;
    }
    sleep(SETTLE).await;
    let [run, collector, otlp_in] = chain.stop().await?;
    for cluster in clusters {
        cluster.stop().await?;
    }
    recorder.kill();

    println!("kills: run {run}, Collector {collector}, OTLP in {otlp_in}");
    let mut report = Report::default();
    let reference = Records::of(&reference);
    report.compare_with_flink(&reference, &of_flink.each_ref().map(Records::of));
    report.compare_with_jaeger(&reference, &jaeger)?;
    report.compare_with_victoria_logs(&reference, &victoria_logs).await?;
    report.compare_with_history(&reference, &folder.join("history"))?;
    let page = page_of(&setups[0].binary, folder, &recording, &jobs[0]).await?;
    report.compare_page(&Records::of(&of_flink[0]), &page);
    Ok(report)
}

/// The processes that are killed.
struct Chain {
    binary: PathBuf,
    folder: PathBuf,
    /// The clusters, in the form `name=url`.
    urls: Vec<String>,
    /// The port of OTLP in.
    port: u16,
    run: Program,
    collector: Collector,
    otlp_in: Program,
    kills: [u32; 3],
}

impl Chain {
    fn start(binary: PathBuf, folder: &Path, urls: Vec<String>, port: u16, collector: Collector) -> Result<Self> {
        say("starting flink-traces");
        let otlp_in = start_otlp_in(&binary, folder, port)?;
        let run = start_run(&binary, folder, &urls, &collector)?;
        Ok(Self { binary, folder: folder.to_owned(), urls, port, run, collector, otlp_in, kills: [0; 3] })
    }

    async fn kill_for(&mut self, duration: Duration, seed: u64) -> Result<()> {
        let mut random = fastrand::Rng::with_seed(seed);
        let end = Instant::now() + duration;
        while Instant::now() < end {
            sleep(Duration::from_secs(random.u64(15..45))).await;
            let victim = random.usize(0..3);
            let pause =
                Duration::from_millis(if victim == 0 { random.u64(100..2_000) } else { random.u64(500..12_000) });
            self.kills[victim] += 1;
            match victim {
                0 => {
                    say("killing flink-traces run");
                    self.run.kill().await?;
                    sleep(pause).await;
                    self.run = start_run(&self.binary, &self.folder, &self.urls, &self.collector)?;
                }
                1 => {
                    say("killing the Collector");
                    self.collector.kill();
                    sleep(pause).await;
                    self.collector.restart()?;
                }
                _ => {
                    say("killing OTLP in");
                    self.otlp_in.kill().await?;
                    sleep(pause).await;
                    self.otlp_in = start_otlp_in(&self.binary, &self.folder, self.port)?;
                }
            }
        }
        Ok(())
    }

    /// Stops all processes, and returns the numbers of kills.
    async fn stop(mut self) -> Result<[u32; 3]> {
        self.run.stop().await?;
        self.collector.kill();
        self.otlp_in.stop().await?;
        Ok(self.kills)
    }
}

fn start_run(binary: &Path, folder: &Path, urls: &[String], collector: &Collector) -> Result<Program> {
    let spool = format!("spool.directory={}", folder.join("spool").display());
    let mut options = vec![
        "traces.checkpoint.span-detail-level=CHILDREN_SPANS_PER_SUBTASK".to_owned(),
        format!("flink-traces.journal.path={}", folder.join("journal").display()),
    ];
    for signal in ["traces", "events"] {
        options.push(format!("{signal}.reporter.otlp.exporter.protocol=grpc"));
        options.push(format!("{signal}.reporter.otlp.{spool}"));
    }
    let endpoint = collector.grpc_endpoint();
    let clusters = urls.iter().flat_map(|url| ["--flink", url]);
    let arguments: Vec<_> = clusters.chain(["--otlp", &endpoint]).collect();
    Program::start_with(binary, folder, &arguments, &options.iter().map(String::as_str).collect::<Vec<_>>())
}

fn start_otlp_in(binary: &Path, folder: &Path, port: u16) -> Result<Program> {
    let listen = format!("flink-traces.otlp.listen.grpc={port}");
    Program::start_as("serve", "otlp-in", binary, folder, &["--history", "history", "--listen", "0"], &[&listen])
}

/// Sends a recording to a fresh OTLP in, and returns what the page shows about its only job.
async fn page_of(binary: &Path, folder: &Path, recording: &Path, job: &str) -> Result<Value> {
    let [port, otlp] = free_ports()?;
    let options = [
        format!("flink-traces.otlp.listen.http={otlp}"),
        format!("flink-traces.otlp.cluster-name={RECORDED}"),
        format!("flink-traces.http.listen={port}"),
    ];
    let arguments = ["--history", "history-of-recording"];
    let server =
        Program::start_as("serve", "page", binary, folder, &arguments, &options.each_ref().map(String::as_str))?;
    let mut send = Command::new(binary);
    send.arg("send").arg(recording).args(["--otlp", &format!("http://127.0.0.1:{otlp}")]);
    for signal in ["traces", "events"] {
        send.args(["-D", &format!("{signal}.reporter.otlp.exporter.protocol=http/json")]);
    }
    let log = File::create(folder.join("send.log"))?;
    run_to_end(send.stdout(log.try_clone()?).stderr(log)).context("see send.log")?;
    let ask = |path: &str| -> Result<Value> { Ok(serde_json::from_str(&get(port, path)?)?) };
    let fleet = ask("/api/fleet")?;
    let [only] = fleet["jobs"].as_array().map_or(&[][..], Vec::as_slice) else {
        anyhow::bail!("expected one job, found {}", fleet["jobs"]);
    };
    let view = ask(&format!("/api/job?job={}", only["job"]))?;
    server.stop().await?;
    let run = &view["runs"][0]["job_id"];
    ensure!(only["cluster"] == RECORDED && run == job, "expected job {job}, found {run} of {}", only["cluster"]);
    Ok(view)
}

/// The comparisons of a session, which print what they find.
#[derive(Default)]
struct Report {
    differences: usize,
}

impl Report {
    fn differ(&mut self, difference: &str) {
        println!("difference: {difference}");
        self.differences += 1;
    }

    /// Compares two sets, and says how many of the first one `place` has.
    fn expect(&mut self, place: &str, expected: &BTreeSet<String>, found: &BTreeSet<String>) {
        println!("{place}: {} of {}", expected.intersection(found).count(), expected.len());
        for (kind, mut lacking) in
            [("missing", expected.difference(found).peekable()), ("unknown", found.difference(expected).peekable())]
        {
            if let Some(first) = lacking.peek().cloned() {
                self.differ(&format!("{place}: {} {kind}, such as {first}", lacking.count()));
            }
        }
    }

    /// Expects that each value is there once.
    fn expect_once(&mut self, place: &str, expected: &BTreeSet<String>, found: Vec<String>) {
        let count = found.len();
        let found: BTreeSet<_> = found.into_iter().collect();
        if found.len() < count {
            self.differ(&format!("{place}: {} are there twice", count - found.len()));
        }
        self.expect(place, expected, &found);
    }

    /// Expects that each checkpoint of Flink's own reporters is in the reference, under one id.
    fn compare_with_flink(&mut self, reference: &Records, of_flink: &[Records; 2]) {
        let resent = [
            reference.spans.len() - reference.span_ids().len(),
            reference.events.len() - reference.events.iter().map(uid).collect::<BTreeSet<_>>().len(),
        ];
        println!(
            "reference: {} spans and {} events, of which {} and {} arrived again under the same ids",
            reference.spans.len() - resent[0],
            reference.events.len() - resent[1],
            resent[0],
            resent[1],
        );
        let changed = reference.changed();
        println!("with other content: {} of these spans", changed.len());
        changed.iter().take(3).for_each(|span| println!("  {span}"));
        let reported = reference.checkpoints();
        let starts =
            |records: &Records| -> BTreeSet<String> { named(records, "JobInitialization").map(start).collect() };
        for ((name, _), records) in CLUSTERS.iter().zip(of_flink) {
            let (checkpoints, own_starts) = (records.checkpoints(), starts(records));
            println!("Flink's own reporter in {name}: {} checkpoints, {} starts", checkpoints.len(), own_starts.len());
            for lost in checkpoints.keys().filter(|checkpoint| !reported.contains_key(*checkpoint)) {
                self.differ(&format!("only Flink's own reporter has the checkpoint {lost:?}"));
            }
            for lost in own_starts.difference(&starts(reference)) {
                self.differ(&format!("only Flink's own reporter has the start of {lost}"));
            }
        }
        for double in reference.doubles() {
            self.differ(&format!("under two ids: {double}"));
        }
        if reference.orphans() > 0 {
            self.differ(&format!("{} spans without their parents", reference.orphans()));
        }
    }

    fn compare_with_jaeger(&mut self, reference: &Records, jaeger: &Jaeger) -> Result<()> {
        let ids = reference.span_ids();
        let expected = ids.iter().map(|(trace, span)| format!("{} {}", hex(trace), hex(span))).collect();
        let traces: BTreeSet<_> = ids.iter().map(|(trace, _)| hex(trace)).collect();
        let mut found = Vec::new();
        for trace in &traces {
            found.extend(jaeger.spans(trace)?.iter().map(|span| format!("{trace} {}", text(&span["spanID"]))));
        }
        println!("Jaeger shows {} spans", found.len());
        self.expect("spans in Jaeger", &expected, &found.into_iter().collect());
        Ok(())
    }

    async fn compare_with_victoria_logs(&mut self, reference: &Records, victoria_logs: &VictoriaLogs) -> Result<()> {
        let expected: BTreeSet<_> = reference.events.iter().map(uid).collect();
        let end = Instant::now() + VISIBLE;
        let (count, found) = loop {
            let records = victoria_logs.records()?;
            let found: BTreeSet<_> = records.iter().map(|record| text(&record["log.record.uid"])).collect();
            if found == expected || Instant::now() > end {
                break (records.len(), found);
            }
            sleep(Duration::from_millis(500)).await;
        };
        println!("VictoriaLogs shows {count} records");
        self.expect("events in VictoriaLogs", &expected, &found);
        Ok(())
    }

    /// Compares the spans, checkpoints, recoveries and events of OTLP in.
    fn compare_with_history(&mut self, reference: &Records, directory: &Path) -> Result<()> {
        let history = History::open(directory)?;
        let mut spans = BTreeSet::new();
        for day in history.days() {
            let records = history.records(day)?;
            let ids = records.iter().flatten().map(|record| record.span_id);
            spans.extend(ids.filter(|id| *id != 0).map(|id| format!("{id:016x}")));
        }
        let expected = reference.spans.iter().map(|span| hex(span.span_id())).collect();
        self.expect("spans in OTLP in", &expected, &spans);
        let index = Connection::open_with_flags(directory.join("history.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let rows = |sql: &str| -> Result<Vec<String>> {
            Ok(index.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
        };
        let checkpoints = named(reference, "Checkpoint").map(row_of_span).collect();
        self.expect_once("checkpoints in OTLP in", &checkpoints, rows(CHECKPOINTS)?);
        let recoveries = named(reference, "JobInitialization").map(row_of_span).collect();
        self.expect_once("recoveries in OTLP in", &recoveries, rows(RECOVERIES)?);
        let events = reference.events.iter().filter_map(row_of_event).collect();
        self.expect_once("events with a row in OTLP in", &events, rows(EVENTS)?);
        Ok(())
    }

    /// Expects that the page shows the completed checkpoints of Flink's own reporter, each once.
    fn compare_page(&mut self, of_flink: &Records, page: &Value) {
        let is_completed = |span: &&ReceivedSpan| attribute(span, "checkpointStatus") == "COMPLETED";
        let completed = named(of_flink, "Checkpoint").filter(is_completed);
        let expected = completed.map(|span| attribute(span, "checkpointId")).collect();
        let rows = page["checkpoints"].as_array().into_iter().flatten().filter(|row| row["failed"] == false);
        let found = rows.map(|row| row["id"].to_string()).collect();
        self.expect_once("completed checkpoints on the page of Flink's own reporter", &expected, found);
    }
}

fn named<'a>(records: &'a Records, name: &'static str) -> impl Iterator<Item = &'a ReceivedSpan> {
    records.spans.iter().filter(move |span| span.name() == name)
}

/// Formats a span as [`CHECKPOINTS`] and [`RECOVERIES`] do.
fn row_of_span(span: &ReceivedSpan) -> String {
    let [cluster, job, id] = ["flink.cluster.name", "jobId", "checkpointId"].map(|key| attribute(span, key));
    format!("{cluster} {job} {id} at {} {}", span.start_time_unix_nano() / NANOS, hex(span.trace_id()))
}

/// Formats a start or a restore by its job and the restored checkpoint.
fn start(span: &ReceivedSpan) -> String {
    let [job, restored] = ["jobId", "checkpointId"].map(|key| attribute(span, key));
    format!("{job} from checkpoint {restored:?}")
}

/// Formats an event as [`EVENTS`] does. Returns `None` if a history has no row for it.
fn row_of_event(event: &ReceivedEvent) -> Option<String> {
    let attributes = event.attributes();
    let of = |key: &str| attributes.get(key).map(text).unwrap_or_default();
    let status = match of("name").as_str() {
        "JobStatusChangeEvent" => of("newJobStatus"),
        "AllSubtasksStatusChangeEvent" => of("status"),
        "JobFailureEvent" | "CheckpointsMissedEvent" => return Some(uid(event)),
        _ => return None,
    };
    let [cluster, job] = ["flink.cluster.name", "jobId"].map(of);
    Some(format!("{cluster} {job} {status} at {}", event.observed_time_unix_nano() / NANOS))
}

fn uid(event: &ReceivedEvent) -> String {
    event.attributes().get("log.record.uid").map(text).unwrap_or_default()
}

fn attribute(span: &ReceivedSpan, key: &str) -> String {
    span.attributes().get(key).map(text).unwrap_or_default()
}

/// Returns a text without quotes, or another value in JSON.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
