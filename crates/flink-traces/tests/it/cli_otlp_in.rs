//! OTLP in: what `serve` takes over gRPC and HTTP, and what it refuses.

use std::io::{Read, Write};
use std::net::TcpStream;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::support::LONG;
use crate::support::process::{Finished, Place, Running};

const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/recordings/flink-2.3.0-full.jsonl.gz");
const NATIVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/recordings/flink-2.3.0-full.native-otlp.jsonl.gz");
/// The cluster of a recording.
const CLUSTER: &str = "-Dflink-traces.otlp.cluster-name=recording";
/// Options that keep the old records of a recording.
const KEEP: [&str; 3] = [
    "-Dtraces.reporter.history.retention.detail=0 s",
    "-Dtraces.reporter.history.retention.rows=0 s",
    "-Dtraces.reporter.history.retention.rollups=0 s",
];

/// Starts `serve` with both listeners and a page, on free ports.
fn serve(place: &Place, more: &[&str]) -> Running {
    let listen = ["-Dflink-traces.otlp.listen.grpc=0", "-Dflink-traces.otlp.listen.http=0"];
    place.start(&[&["serve", "--history", "h", "--listen", "0"][..], &listen, &KEEP, more].concat())
}

/// Returns the host and port after `text` in the log.
fn address(running: &Running, text: &str) -> String {
    let said = running.wait_for_stderr(text);
    let (_, rest) = said.rsplit_once(text).unwrap();
    let rest = rest.split_once("://").unwrap().1;
    rest.split(|c: char| c == '/' || c.is_whitespace()).next().unwrap().to_owned()
}

fn stop(running: Running) -> Finished {
    running.signal("TERM");
    running.finish().expect_code(0)
}

/// Sends a request over HTTP/1.1. Returns the status, the head and the body.
fn send(address: &str, head: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(LONG)).unwrap();
    write!(connection, "{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()).unwrap();
    // The server may answer before it has the body.
    let _ = connection.write_all(body);
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap_or_else(|| panic!("{head}: {answer:?}"));
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_lowercase(), answer[end + 4..].to_vec())
}

fn post(address: &str, path: &str, json: &str) -> (u16, Value) {
    let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json");
    let (status, _, body) = send(address, &head, json.as_bytes());
    (status, serde_json::from_slice(&body).unwrap())
}

fn get(address: &str, path: &str) -> String {
    let (status, head, body) = send(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost"), b"");
    let text = String::from_utf8(body).unwrap();
    assert_eq!(status, 200, "{head} {text}");
    text
}

/// Returns the jobs of the page with their totals.
fn fleet(place: &Place) -> Vec<Value> {
    let running = place.start(&["serve", "--history", "h", "--listen", "0"]);
    let page = address(&running, "serving the page at ");
    let fleet: Value = serde_json::from_str(&get(&page, "/api/fleet?from=0&to=2000000000000")).unwrap();
    stop(running);
    fleet["jobs"].as_array().unwrap().iter().map(|job| serde_json::json!([job["name"], job["totals"]])).collect()
}

/// Scenario: the program sends a session over each protocol. Guarantees: the page shows the same as
/// that of the history which the program writes itself.
#[test]
fn received_session_shows_as_a_written_one() {
    let place = Place::new();
    place.run(&["play", RECORDING, "--quiet", "--history", "h"]).expect_code(0);
    let expected = fleet(&place);
    assert_eq!(expected.len(), 8);
    for (protocol, text) in [("grpc", "taking OTLP over gRPC at "), ("http", "taking OTLP over HTTP at ")] {
        let place = Place::new();
        let running = serve(&place, &[]);
        let url = format!("http://{}", address(&running, text));
        let sent = place.run(&[
            "play",
            RECORDING,
            "--quiet",
            "--otlp",
            &if protocol == "http" { format!("{url}/v1/traces") } else { url },
            &format!("-Dtraces.reporter.otlp.exporter.protocol={protocol}"),
            &format!("-Devents.reporter.otlp.exporter.protocol={protocol}"),
            "-Dtraces.reporter.otlp.exporter.compression=gzip",
            "-Dtraces.reporter.otlp.checkpoint.span-detail-level=CHILDREN_SPANS_PER_SUBTASK",
        ]);
        let counts = sent.expect_code(0).counts();
        let finished = stop(running);
        assert_eq!(fleet(&place), expected, "{protocol}");
        for (signal, reporter) in [("traces", "traces otlp"), ("events", "events otlp")] {
            let emitted = counts.iter().find(|(name, _)| name.ends_with(reporter)).unwrap().1[0];
            let account = format!("otlp {signal}: {emitted} received = {emitted} stored + 0 refused + 0 dropped");
            assert!(finished.stderr.contains(&account), "{account}: {}", finished.stderr);
        }
    }
}

/// Returns the requests that Flink's own reporters sent, with their paths, as OTLP/JSON.
fn native() -> Vec<(&'static str, String)> {
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(NATIVE).unwrap()).read_to_string(&mut text).unwrap();
    let path = |line: &str| if line.starts_with("{\"resourceLogs\"") { "/v1/logs" } else { "/v1/traces" };
    text.lines().map(|line| (path(line), line.to_owned())).collect()
}

/// Returns the numbers of each job of a history that both sources report.
fn totals(place: &Place) -> Vec<[i64; 4]> {
    let keys = ["completed", "failed", "restores", "failures"];
    fleet(place).iter().map(|job| keys.map(|key| job[1][key].as_i64().unwrap())).collect()
}

/// Scenario: a session comes from Flink's own reporters, from the program, and from both in either
/// order. Guarantees: with both, each number is the larger one, so that nothing is there twice.
#[test]
fn flink_and_program_report_the_same_rows() {
    let play = |place: &Place| place.run(&["play", RECORDING, "--quiet", "--history", "h"]).expect_code(0);
    let receive = |place: &Place| {
        let running = serve(place, &[CLUSTER]);
        let http = address(&running, "taking OTLP over HTTP at ");
        for (path, json) in native() {
            assert_eq!(post(&http, path, &json), (200, serde_json::json!({})), "{json}");
        }
        stop(running)
    };
    let [of_program, of_flink, first, last] = [(); 4].map(|()| Place::new());
    play(&of_program);
    receive(&of_flink);
    let (of_program, of_flink) = (totals(&of_program), totals(&of_flink));
    let larger = of_program.iter().zip(&of_flink).map(|(a, b)| [0, 1, 2, 3].map(|key| a[key].max(b[key])));
    let expected: Vec<_> = larger.collect();
    assert_eq!(expected.iter().map(|job| job[0] + job[1]).sum::<i64>(), 77);
    receive(&first);
    play(&first);
    assert_eq!(totals(&first), expected);
    play(&last);
    receive(&last);
    assert_eq!(totals(&last), expected);
}

#[test]
fn mistaken_requests_get_an_answer_of_otlp() {
    let place = Place::new();
    let running = serve(&place, &["-Dflink-traces.otlp.bearer-token=t0", "-Dflink-traces.otlp.max-message-size=64 kb"]);
    let http = address(&running, "taking OTLP over HTTP at ");
    let gzip = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let json = "Content-Type: application/json";
    let protobuf = "Content-Type: application/x-protobuf";
    let trace = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"a"},{"name":"b"}]}]}]}"#;
    let large = vec![b' '; (64 << 10) + 10];
    let compressed = "Content-Type: application/json\r\nContent-Encoding: gzip";
    for (line, headers, body, expected, text) in [
        ("POST /v1/traces", json, &b"{}"[..], 200, "{}"),
        ("POST /v1/traces", protobuf, b"", 200, ""),
        ("POST /v1/traces", compressed, &gzip(b"{}"), 200, "{}"),
        (
            "POST /v1/traces",
            "Content-Type: Application/JSON; charset=UTF-8\r\nContent-Encoding: X-GZIP",
            &gzip(b"{}"),
            200,
            "{}",
        ),
        ("POST /v1/traces", json, trace, 200, "rejectedSpans\":\"2\""),
        ("POST /v1/logs", json, trace, 400, "records of another path"),
        ("POST /v1/metrics", json, b"{}", 404, "expected /v1/traces and /v1/logs, found /v1/metrics"),
        ("GET /v1/traces", json, b"", 405, "expected POST"),
        ("POST /v1/traces", "Content-Type: text/plain", b"{}", 415, "found text/plain"),
        ("POST /v1/traces", "Content-Type: application/json\r\nContent-Encoding: br", b"{}", 415, "found br"),
        ("POST /v1/traces", json, b"[", 400, "\"code\":3"),
        ("POST /v1/traces", protobuf, b"\xff", 400, "not an OTLP request in protobuf"),
        ("POST /v1/traces", compressed, b"no gzip", 400, "not gzip"),
        ("POST /v1/traces", json, &large, 413, "expected at most 65536 bytes"),
        ("POST /v1/traces", compressed, &gzip(&large), 413, "expected at most 65536 bytes"),
    ] {
        let head = format!("{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer t0\r\n{headers}");
        let (status, head, body) = send(&http, &head, body);
        let body = String::from_utf8_lossy(&body).into_owned();
        assert_eq!((status, body.contains(text)), (expected, true), "{line} {headers}: {head} {body}");
    }
    for (host, authorization, expected) in
        [("localhost", "Bearer t1", 401), ("localhost", "", 401), ("example.com", "Bearer t0", 421)]
    {
        let head = format!("POST /v1/traces HTTP/1.1\r\nHost: {host}\r\nAuthorization: {authorization}\r\n{json}");
        let (status, head, _) = send(&http, &head, b"{}");
        assert_eq!((status, head.contains("www-authenticate")), (expected, expected == 401), "{head}");
    }
    let page = address(&running, "serving the page at ");
    let metrics = get(&page, "/metrics");
    for line in [
        "flink_traces_otlp_received_total{signal=\"traces\"} 2",
        "flink_traces_otlp_refused_total{signal=\"traces\",reason=\"invalid_id\"} 2",
        "flink_traces_otlp_refused_requests_total{reason=\"too_large\"} 2",
        "flink_traces_otlp_refused_requests_total{reason=\"unauthorized\"} 2",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let finished = stop(running);
    assert!(!finished.stderr.contains("t0"), "{}", finished.stderr);
    assert!(!place.path("h").exists());
}

/// Scenario: more requests than may be in flight do not end. Guarantees: another one is answered
/// at once, with the time after which to send it again, and is taken when there is room.
#[test]
fn request_beyond_the_limit_has_to_wait() {
    let place = Place::new();
    let running = serve(&place, &[CLUSTER]);
    let http = address(&running, "taking OTLP over HTTP at ");
    let head = "POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json";
    let mut stuck = Vec::new();
    let end = std::time::Instant::now() + LONG;
    let full = loop {
        // One more each time, because a request that ends may take the place of one that does not.
        let mut connection = TcpStream::connect(&http).unwrap();
        write!(connection, "{head}\r\nContent-Length: 2\r\n\r\n{{").unwrap();
        stuck.push(connection);
        let (status, head, _) = send(&http, head, b"{}");
        if status == 429 {
            break head;
        }
        assert!(std::time::Instant::now() < end, "{status} {head}");
    };
    assert!(full.contains("retry-after: 1"), "{full}");
    drop(stuck);
    loop {
        let (status, head, _) = send(&http, head, b"{}");
        if status == 200 {
            break;
        }
        assert!(std::time::Instant::now() < end, "{status} {head}");
    }
    stop(running);
}

#[test]
fn listener_needs_a_history_and_credentials() {
    let place = Place::new();
    let listen = "-Dflink-traces.otlp.listen.grpc=0.0.0.0:0";
    let refused = place.run(&["serve", "--history", "h", "--listen", "0", listen]).expect_code(78);
    let expected = "flink-traces.otlp.listen.grpc: expected a loopback address, or credentials in flink-traces.otlp.bearer-token \
                    or flink-traces.otlp.basic-auth";
    assert!(refused.stderr.contains(expected), "{refused:?}");
    let run = ["run", "--flink", "http://127.0.0.1:1", "-Dflink-traces.otlp.listen.http=0"];
    let refused = place.run(&run).expect_code(78);
    assert!(refused.stderr.contains("flink-traces.otlp.listen.http: expected a history"), "{refused:?}");
}

#[test]
fn grpc_over_tls_takes_records() {
    let place = Place::new();
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    place.write("cert.pem", signed.cert.pem());
    place.write("key.pem", signed.signing_key.serialize_pem());
    let tls = ["-Dflink-traces.tls.certificate=cert.pem", "-Dflink-traces.tls.key=key.pem"];
    let running = serve(&place, &[&tls[..], &["-Dflink-traces.otlp.basic-auth=me:secret"]].concat());
    let port = address(&running, "taking OTLP over gRPC at ").rsplit_once(':').unwrap().1.to_owned();
    let option = |key: &str| ["traces", "events"].map(|signal| format!("-D{signal}.reporter.otlp.exporter.{key}"));
    let options = ["protocol=grpc", "ca-certificates=cert.pem", "basic-auth=me:secret"].map(option);
    let options: Vec<&str> = options.iter().flatten().map(String::as_str).collect();
    let url = format!("https://localhost:{port}");
    place.run(&[&["play", RECORDING, "--quiet", "--otlp", &url][..], &options].concat()).expect_code(0);
    stop(running);
    assert_eq!(fleet(&place).len(), 8);
}
