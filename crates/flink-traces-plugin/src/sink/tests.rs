//! Requests, names, options and accounts.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use flink_traces_testkit::{CollectorResponse, HttpResponse, OtlpCollector};
use tempfile::tempdir;

use super::*;
use crate::wire::tests::Writer;

const LONG: Duration = Duration::from_secs(60);
const CLASS: &str = "io.flinktraces.OtlpTraceReporterFactory";

fn request(options: &[(&str, &str)]) -> Request {
    Request {
        signal: Signal::Traces,
        destination: "otlp".to_owned(),
        java_class: CLASS.to_owned(),
        is_filtered: true,
        options: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    }
}

fn names(flink: &[(&str, &str)], options: &[(&str, &str)]) -> Vec<String> {
    request(options).names(&Configuration::from_pairs(flink.iter().copied()))
}

fn problems(request: Request) -> String {
    let problems = open(request, None).unwrap_err();
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn report(handle: i64, bytes: &[u8], spans: u32) {
    let fill = |to: &mut [u8]| {
        to.copy_from_slice(bytes);
        Ok::<_, ()>(())
    };
    with(handle, |sink| sink.report(bytes.len(), 0, Piece::Last(spans), fill)).unwrap().unwrap();
}

#[test]
fn request_is_read_from_bytes() {
    let texts = ["events", "log", "a.Class", "true", "key", "value", "k", "v"];
    let bytes = texts.iter().fold(Writer::default(), |all, text| all.text(text)).finish();
    let request = Request::read(&bytes).unwrap();
    assert_eq!((request.signal, request.class()), (Signal::Events, flink_traces_log::EVENT_FACTORY));
    assert_eq!(
        request.options.into_iter().collect::<Vec<_>>(),
        [("k".into(), "v".into()), ("key".into(), "value".into())]
    );
    assert!(Request::read(&bytes[..3]).is_err());
    assert_eq!(Request::read(&Writer::default().text("x").finish()).unwrap_err(), "incomplete request");
}

#[test]
fn name_is_found_by_class_and_options() {
    let class = |name: &str| (format!("traces.reporter.{name}.factory.class"), CLASS.to_owned());
    let url = |name: &str, url: &str| (format!("traces.reporter.{name}.exporter.endpoint"), url.to_owned());
    let flink = [class("a"), url("a", "http://a"), class("b"), url("b", "http://b"), class("c"), url("c", "http://b")];
    let flink: Vec<_> = flink.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let given = [("factory.class", CLASS), ("exporter.endpoint", "http://a")];
    assert_eq!(names(&flink, &given), ["a"]);
    assert_eq!(names(&flink, &[("exporter.endpoint", "http://b")]), ["b", "c"]);
    assert_eq!(names(&flink, &[("exporter.endpoint", "http://x"), ("name", "x")]), ["x"]);
    assert_eq!(names(&flink[..2], &[("exporter.endpoint", "http://x")]), ["a"]);
    assert_eq!(names(&[], &[]), ["otlp"]);
}

#[test]
fn wrong_option_is_an_error_with_full_key() {
    let found = problems(request(&[("name", "x"), ("exporter.endpoint", "collector:4317")]));
    assert!(
        found.contains("Flink's configuration: traces.reporter.x.exporter.endpoint: 'collector:4317' is not"),
        "{found}"
    );
    let found = problems(request(&[("name", "x")]));
    assert_eq!(found, "Flink's configuration: traces.reporter.x.exporter.endpoint: is not set");
    let found =
        problems(request(&[("name", "x"), ("exporter.endpoint", "http://localhost"), ("exporter.timeot", "1 s")]));
    assert!(found.contains("traces.reporter.x.exporter.timeot"), "{found}");
}

#[test]
fn filter_with_a_scope_is_refused_on_old_versions() {
    let options =
        [("name", "x"), ("exporter.endpoint", "http://localhost"), ("filter.includes", "jobmanager.job:Checkpoint")];
    let old = Request { is_filtered: false, ..request(&options) };
    let found = problems(old);
    assert!(
        found.starts_with("traces.reporter.x.filter.includes: 'jobmanager.job:Checkpoint' names a scope"),
        "{found}"
    );
}

#[test]
fn filter_by_name_applies_on_old_versions_only() {
    for (is_filtered, expected) in [(false, 1), (true, 2)] {
        let collector = OtlpCollector::start().unwrap();
        let endpoint = collector.grpc_endpoint();
        let options = [("exporter.endpoint", endpoint.as_str()), ("filter.excludes", "*:other")];
        let handle = open(Request { is_filtered, ..request(&options) }, None).unwrap();
        report(handle, &Writer::span().node("s", "kept", &[], 0).finish(), 1);
        report(handle, &Writer::span().node("s", "other", &[], 0).finish(), 1);
        let stats = close(handle, LONG).unwrap();
        assert_eq!((stats.delivered, stats.filtered), (expected, 2 - expected), "{stats}");
        assert_eq!(collector.spans().len() as u64, expected);
    }
}

#[test]
fn path_of_a_file_contains_the_process() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("spans-%p.jsonl").display().to_string();
    let request = Request { destination: "json".to_owned(), ..request(&[("path", &path)]) };
    let handle = open(request, None).unwrap();
    report(handle, &Writer::span().node("s", "span", &[], 0).finish(), 1);
    assert_eq!(close(handle, LONG).unwrap().delivered, 1);
    let file = directory.path().join(format!("spans-{}.jsonl", process::id()));
    assert_eq!(fs::read_to_string(file).unwrap().lines().count(), 1);
}

#[test]
fn equal_requests_share_a_reporter() {
    let collector = OtlpCollector::start().unwrap();
    let endpoint = collector.grpc_endpoint();
    let of = |name| request(&[("exporter.endpoint", &endpoint), ("name", name)]);
    let first = open(of("a"), None).unwrap();
    assert_eq!(open(of("a"), None).unwrap(), first);
    let other = open(of("b"), None).unwrap();
    assert_ne!(other, first);
    assert!(close(first, LONG).is_some());
    assert!(close(first, LONG).is_none() && with(first, |_| ()).is_none());
    let again = open(of("a"), None).unwrap();
    assert!(again != first && again != other);
    assert!(close(other, LONG).is_some() && close(again, LONG).is_some());
}

#[test]
fn cluster_is_that_of_kubernetes_by_default() {
    let flink = [("kubernetes.cluster-id", "orders"), ("kubernetes.namespace", "prod")];
    let cluster = |options: &[(&str, &str)], flink: &[(&str, &str)]| {
        request(options).cluster("x", &Configuration::from_pairs(flink.iter().copied()))
    };
    assert_eq!(cluster(&[], &flink), "prod/orders");
    assert_eq!(cluster(&[], &flink[..1]), "default/orders");
    assert_eq!(cluster(&[("cluster.name", "own")], &flink), "own");
    assert_eq!(cluster(&[], &[]), "");
}

#[test]
fn options_come_from_the_directory_of_flink() {
    let directory = tempdir().unwrap();
    let collector = OtlpCollector::start().unwrap();
    let endpoint = collector.grpc_endpoint();
    let text =
        format!("traces.reporter.mine.factory.class: {CLASS}\ntraces.reporter.mine.exporter.endpoint: {endpoint}\n");
    fs::write(directory.path().join("config.yaml"), text).unwrap();
    let options = [("factory.class", CLASS), ("exporter.endpoint", endpoint.as_str())];
    let handle = open(request(&options), Some(directory.path().to_owned())).unwrap();
    assert_eq!(close(handle, LONG).unwrap().name, "mine");
}

/// Scenario: good records, bytes that are none, and a tree that exceeds the limit. Guarantees: the
/// account balances and names each reason.
#[test]
fn account_includes_all_records() {
    let collector = OtlpCollector::start().unwrap();
    let endpoint = collector.grpc_endpoint();
    let options = [("exporter.endpoint", endpoint.as_str()), ("name", "account"), ("queue.max-bytes", "10 kb")];
    let handle = open(request(&options), None).unwrap();
    let tree = Writer::span().node("s", "root", &[], 1).node("s", "child", &[], 0).finish();
    report(handle, &tree, 2);
    report(handle, &[9, 9, 9], 1);
    report(handle, &vec![0; 20_000], 500);
    let stats = close(handle, LONG).unwrap();
    assert!(stats.is_balanced(), "{stats}");
    assert_eq!((stats.emitted, stats.delivered), (503, 2), "{stats}");
    let dropped = [DropReason::QueueFull, DropReason::Unreadable].map(|reason| stats.dropped_by(reason));
    assert_eq!(dropped, [500, 1], "{stats}");
}

/// Scenario: the collector refuses a span for now, and a tree exceeds the limit. Guarantees: the
/// page shows the queued and the dropped spans, and no reporter that is closed.
#[test]
fn page_shows_queued_and_dropped_records() {
    let collector = OtlpCollector::start().unwrap();
    collector.respond_by(|_| HttpResponse::new(503).into());
    let endpoint = collector.grpc_endpoint();
    let options = [
        ("exporter.endpoint", endpoint.as_str()),
        ("name", "page"),
        ("queue.max-bytes", "10 kb"),
        ("metrics.listen", "0"),
    ];
    let handle = open(request(&options), None).unwrap();
    report(handle, &Writer::span().node("s", "span", &[], 0).finish(), 1);
    report(handle, &vec![0; 20_000], 500);
    // The reporter listens there already.
    let address = metrics::serve(&"0".parse().unwrap(), accounts).unwrap();
    let page = || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    let found = page();
    for line in [
        "flink_traces_reporter_queued{signal=\"traces\",reporter=\"page\"} 1\n",
        "flink_traces_reporter_dropped_total{signal=\"traces\",reporter=\"page\",reason=\"queue full\"} 500\n",
        "flink_traces_reporter_emitted_total{signal=\"traces\",reporter=\"page\"} 501\n",
    ] {
        assert!(found.contains(line), "expected {line} in {found}");
    }
    collector.respond_by(|_| CollectorResponse::Accept);
    assert_eq!(close(handle, LONG).unwrap().delivered, 1);
    assert!(!page().contains("reporter=\"page\""));
}

/// Guarantees: an account that is read while records move on lacks none and has none twice.
#[test]
fn account_only_grows_while_records_are_decoded() {
    const RECORDS: u64 = 100_000;
    let collector = OtlpCollector::start().unwrap();
    let endpoint = collector.grpc_endpoint();
    let handle = open(request(&[("exporter.endpoint", endpoint.as_str()), ("name", "grows")]), None).unwrap();
    let account = || with(handle, Sink::stats).unwrap();
    let bytes = Writer::span().node("s", "span", &[], 0).finish();
    thread::scope(|scope| {
        let reporting = scope.spawn(|| (0..RECORDS).for_each(|_| report(handle, &bytes, 1)));
        let mut emitted = 0;
        while !reporting.is_finished() || account().queued > 0 {
            let stats = account();
            assert!(stats.is_balanced() && (emitted..=RECORDS).contains(&stats.emitted), "{emitted}, then {stats}");
            emitted = stats.emitted;
        }
    });
    assert_eq!(close(handle, LONG).unwrap().emitted, RECORDS);
}

#[test]
fn wrong_address_of_the_page_is_an_error_and_a_taken_port_is_not() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let of = |listen| request(&[("name", "x"), ("exporter.endpoint", "http://localhost"), ("metrics.listen", listen)]);
    let found = problems(of("all"));
    assert!(found.starts_with("traces.reporter.x.metrics.listen: 'all' is not a port, a range such as"), "{found}");
    let handle = open(of(&port), None).unwrap();
    assert!(close(handle, LONG).is_some());
}

#[test]
fn unknown_handles_do_nothing() {
    for handle in [i64::MIN, -1, 0, i64::MAX] {
        assert!(with(handle, |_| ()).is_none() && close(handle, LONG).is_none());
    }
}
