//! The metrics of `run`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::LONG;
use crate::support::flink::{FakeFlink, Port};
use crate::support::process::{Place, Running};
use crate::support::session::{self, EVENTS, SPANS};
use flink_traces_testkit::OtlpCollector;

const OFTEN: &str = "-Dflink-traces.poll-interval=20 ms";
/// The pause between two pages of a test that waits for one.
const PAUSE: Duration = Duration::from_millis(5);
const SUBTASKS: &str = "-Dtraces.checkpoint.span-detail-level=CHILDREN_SPANS_PER_SUBTASK";

/// Returns the host and port of the metrics of a running program.
pub(crate) fn address(running: &Running) -> String {
    let said = running.wait_for_stderr("/metrics");
    let (before, _) = said.split_once("/metrics").unwrap();
    before.rsplit_once("http://").unwrap().1.to_owned()
}

/// Gets a path with a `Host` header. Returns the status and the body.
pub(crate) fn get(address: &str, host: &str, path: &str) -> (u16, String) {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(LONG)).unwrap();
    write!(connection, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// Returns the samples of a page, by name and labels.
pub(crate) fn samples(page: &str) -> BTreeMap<String, u64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.map(|line| line.rsplit_once(' ').unwrap());
    // Times have three decimals, which no test needs.
    let whole = |value: &str| value.split('.').next().unwrap().parse().unwrap();
    samples.map(|(name, value)| (name.trim_end_matches("{}").to_owned(), whole(value))).collect()
}

/// Reads the page until `found` holds for its samples, and returns these.
pub(crate) fn wait_for_page(address: &str, found: impl Fn(&BTreeMap<String, u64>) -> bool) -> BTreeMap<String, u64> {
    let end = Instant::now() + LONG;
    loop {
        let page = samples(&get(address, "localhost", "/metrics").1);
        if found(&page) {
            return page;
        }
        assert!(Instant::now() < end, "not within {LONG:?}; the last page: {page:#?}");
        sleep(PAUSE);
    }
}

#[test]
fn metrics_match_collector_and_final_account() {
    let place = Place::new();
    let flink = FakeFlink::start(session::answers());
    let collector = OtlpCollector::start().unwrap();
    let running = place.start(&[
        "run",
        "--flink",
        &format!("a \"b\"={}", flink.url()),
        "--otlp",
        &collector.grpc_endpoint(),
        SUBTASKS,
        OFTEN,
        "-Dflink-traces.metrics.listen=0",
    ]);
    let address = address(&running);
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    let all = |collector: &OtlpCollector| collector.spans().len() == SPANS && collector.events().len() == EVENTS;
    assert!(collector.wait_until(LONG, all));
    // A record is counted when the response to its request has arrived.
    let counts = |samples: &BTreeMap<String, u64>, what: &str| {
        ["traces", "events"]
            .map(|signal| samples[&format!("flink_traces_reporter_{what}{{signal=\"{signal}\",reporter=\"otlp\"}}")])
    };
    let arrived = [SPANS as u64, EVENTS as u64];
    let told = wait_for_page(&address, |samples| counts(samples, "delivered_total") == arrived);
    assert_eq!(counts(&told, "emitted_total"), arrived);
    for nothing in ["rejected_total", "queued", "failures_total", "filtered_total"] {
        assert_eq!(counts(&told, nothing), [0, 0], "{nothing}");
    }
    for moment in ["last_success_timestamp_seconds", "last_taken_timestamp_seconds"] {
        assert!(counts(&told, moment).iter().all(|at| *at > 1_700_000_000), "{moment}");
    }
    let of_path = |path: &str| {
        let requests = collector.requests();
        requests
            .iter()
            .filter(|request| request.path.contains(path))
            .map(|request| request.wire_size as u64)
            .sum::<u64>()
    };
    assert_eq!(counts(&told, "sent_bytes_total"), ["TraceService", "LogsService"].map(of_path));
    assert!(!told.keys().any(|name| name.contains("_spool_")), "{told:?}");
    let dropped: Vec<_> = told.iter().filter(|(name, _)| name.contains("dropped_total{")).collect();
    assert!(dropped.len() == 2 * 6 && dropped.iter().all(|(_, count)| **count == 0), "{dropped:?}");
    let cluster = r#"{cluster="a \"b\""}"#;
    assert_eq!(told[&format!("flink_traces_cluster_up{cluster}")], 1);
    assert!(told[&format!("flink_traces_cluster_requests_total{cluster}")] >= 10);
    assert_eq!(told[&format!("flink_traces_cluster_failed_requests_total{cluster}")], 0);

    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(&address, "localhost", path), (200, "ok\n".to_owned()));
    }
    assert_eq!(get(&address, "rebound.example.com", "/metrics").0, 421);
    assert_eq!(get(&address, "localhost", "/else").0, 404);
    running.signal("TERM");
    let counts = running.finish().expect_code(0).counts();
    assert_eq!(counts.iter().map(|(_, counts)| counts[1]).collect::<Vec<_>>(), arrived);
}

/// Returns the metrics of a spool: stored, delivered, rejected, dropped, on disk, bytes.
fn spool(samples: &BTreeMap<String, u64>, signal: &str) -> [u64; 6] {
    ["stored_total", "delivered_total", "rejected_total", "dropped_total", "queued", "bytes"]
        .map(|what| samples[&format!("flink_traces_spool_{what}{{signal=\"{signal}\",reporter=\"otlp\"}}")])
}

/// Waits for a page on which `found` holds. Every page before it keeps the account of spools.
fn wait_for_spool_page(address: &str, found: impl Fn(&BTreeMap<String, u64>) -> bool) -> BTreeMap<String, u64> {
    wait_for_page(address, |samples| {
        for signal in ["traces", "events"] {
            let [stored, delivered, rejected, dropped, queued, _] = spool(samples, signal);
            assert_eq!(stored, delivered + rejected + dropped + queued, "{signal}");
        }
        found(samples)
    })
}

#[test]
fn spool_account_continues_in_next_process() {
    let place = Place::new();
    let flink = FakeFlink::start(session::answers());
    let (away, url) = (Port::reserve(), flink.url());
    let start = |endpoint: &str| {
        place.start(&[
            "run",
            "--flink",
            &url,
            "--otlp",
            endpoint,
            SUBTASKS,
            OFTEN,
            "-Dflink-traces.metrics.listen=0",
            "-Dflink-traces.shutdown-timeout=0",
            "-Dtraces.reporter.otlp.spool.directory=spool",
            "-Devents.reporter.otlp.spool.directory=spool",
        ])
    };
    let endpoint = away.url();
    let running = start(&endpoint);
    let stored = [SPANS, EVENTS].map(|count| count as u64);
    let told = wait_for_spool_page(&address(&running), |samples| {
        ["traces", "events"].map(|signal| spool(samples, signal)[0]) == stored
    });
    for (signal, count) in ["traces", "events"].into_iter().zip(stored) {
        let [found, delivered, rejected, dropped, queued, bytes] = spool(&told, signal);
        assert_eq!([found, delivered, rejected, dropped, queued], [count, 0, 0, 0, count]);
        let files = std::fs::read_dir(place.path(&format!("spool/{signal}-otlp/0"))).unwrap();
        let segments =
            files.map(|file| file.unwrap()).filter(|file| file.path().extension().is_some_and(|end| end == "seg"));
        assert_eq!(bytes, segments.map(|file| file.metadata().unwrap().len()).sum::<u64>());
    }
    running.signal("TERM");
    let stopped = running.finish().expect_code(0);
    let said = format!("  spool: {SPANS} stored = 0 delivered + 0 rejected + 0 dropped + {SPANS} on disk, ");
    assert!(stopped.stderr.contains(&said), "{}", stopped.stderr);

    // The next process adopts nothing that is for another endpoint.
    let port: u16 = endpoint.rsplit(':').next().unwrap().parse().unwrap();
    drop(away);
    let collector = OtlpCollector::start_on(port).unwrap();
    let running = start(&endpoint);
    // The cluster still has the same checkpoints, so they are reported twice: from the spool and
    // again.
    let all = stored.map(|count| 2 * count);
    // The segments go once the cursor is written, which is after the response.
    let expected = all.map(|count| [count, count, 0, 0, 0, 0]);
    wait_for_spool_page(&address(&running), |samples| {
        ["traces", "events"].map(|signal| spool(samples, signal)) == expected
    });
    assert_eq!([collector.spans().len(), collector.events().len()].map(|count| count as u64), all);
    running.signal("TERM");
    running.finish().expect_code(0);
}

#[test]
fn unreachable_cluster_is_down_but_healthy() {
    let place = Place::new();
    let port = Port::reserve();
    let running = place.start(&["run", "--flink", &port.url(), OFTEN, "-Dflink-traces.metrics.listen=0"]);
    let address = address(&running);
    running.wait_for_stderr("no response");
    let told = samples(&get(&address, "127.0.0.1", "/metrics").1);
    let of = |name: &str| *told.iter().find(|(key, _)| key.starts_with(name)).unwrap().1;
    assert_eq!(of("flink_traces_cluster_up"), 0);
    assert!(of("flink_traces_cluster_failed_requests_total") >= 1);
    assert_eq!(get(&address, "localhost", "/healthz").0, 200);
}

/// Returns the names of metrics in a text.
fn metric_names(text: &str) -> BTreeSet<&str> {
    let is_part = |character: char| character.is_ascii_lowercase() || character == '_';
    let words = text.split(|character| !is_part(character));
    words.filter(|word| word.starts_with("flink_traces_") && !word.ends_with('_')).collect()
}

/// Returns the label names of the selectors and samples of each metric in a text.
fn label_names(text: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut all: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for name in metric_names(text) {
        for (at, _) in text.match_indices(&format!("{name}{{")) {
            let (labels, _) = text[at + name.len() + 1..].split_once('}').unwrap();
            let labels = labels.split(['"', '=', '~', '!', ',', ' ', '\\']);
            let is_name =
                |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            let known = ["cluster", "job_name", "job_id", "status", "signal", "reporter", "reason", "version"];
            all.entry(name).or_default().extend(labels.filter(is_name).filter(|word| known.contains(word)));
        }
    }
    all
}

#[test]
fn metrics_of_rules_and_boards_exist() {
    let place = Place::new();
    let flink = FakeFlink::start(session::answers());
    let collector = OtlpCollector::start().unwrap();
    let spool = |signal: &str| format!("-D{signal}.reporter.otlp.spool.directory={}", place.path("spool").display());
    let running = place.start(&[
        "run",
        "--flink",
        &format!("prod={}", flink.url()),
        "--otlp",
        &collector.grpc_endpoint(),
        &spool("traces"),
        &spool("events"),
        OFTEN,
        "-Dflink-traces.metrics.listen=0",
    ]);
    let address = address(&running);
    let all = |collector: &OtlpCollector| collector.events().len() == EVENTS;
    assert!(collector.wait_until(LONG, all));
    let page = get(&address, "localhost", "/metrics").1;
    let (names, labels) = (metric_names(&page), label_names(&page));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let boards = fs::read_dir(root.join("dashboards")).unwrap().map(|entry| entry.unwrap().path());
    let files = boards.chain([root.join("alerts/flink-traces.rules.yaml"), root.join("docs/monitoring.md")]);
    let mut count = 0;
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for name in metric_names(&text) {
            assert!(names.contains(name), "{}: {name} is not on the page", file.display());
            count += 1;
        }
        for (name, used) in label_names(&text) {
            // The session has no restore, for example.
            let Some(there) = labels.get(name) else { continue };
            assert!(used.is_subset(there), "{}: {name} has the labels {there:?}, not {used:?}", file.display());
        }
    }
    assert!(count >= 60, "{count} names");
}

#[test]
fn unavailable_metrics_address_is_an_error() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = |value: &str| format!("-Dflink-traces.metrics.listen={value}");
    let address = taken.local_addr().unwrap().to_string();
    let refused = place.run(&["run", "--flink", "http://localhost:1", &listen(&address)]).expect_code(1);
    let expected = format!("error: flink-traces.metrics.listen: {address}: ");
    assert!(refused.stderr.contains(&expected), "{}", refused.stderr);
    assert!(refused.stderr.contains(", choose another port"), "{}", refused.stderr);
    for wrong in ["65536", "localhost:1", "", "127.0.0.1"] {
        let refused = place.run(&["run", "--flink", "http://localhost:1", &listen(wrong)]).expect_code(78);
        assert!(refused.stderr.contains("flink-traces.metrics.listen: "), "{}", refused.stderr);
    }
}

/// Scenario: many connections send half a request, and one stays silent after a whole one.
/// Guarantees: the page still answers, and all of them are closed.
#[test]
fn silent_connections_are_closed() {
    let place = Place::new();
    let running = place.start(&["run", "--flink", &Port::reserve().url(), "-Dflink-traces.metrics.listen=0"]);
    let address = address(&running);
    let mut silent: Vec<_> = (0..100).map(|_| TcpStream::connect(&address).unwrap()).collect();
    for connection in &mut silent {
        connection.write_all(b"GET /metrics HTTP/1.1\r\nHost: local").unwrap();
    }
    assert_eq!(get(&address, "localhost", "/healthz").0, 200);
    let mut idle = TcpStream::connect(&address).unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    silent.push(idle);
    for mut connection in silent {
        connection.set_read_timeout(Some(LONG)).unwrap();
        match connection.read_to_end(&mut Vec::new()) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
        }
    }
    running.signal("TERM");
    running.finish();
}
