//! Histories: what `demo`, `run`, `serve` and `report` make of them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use serde_json::Value;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::support::LONG;
use crate::support::flink::FakeFlink;
use crate::support::process::{Finished, Place, Running};
use crate::support::session;

const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/recordings/flink-2.3.0-full.jsonl.gz");

/// Returns the host and port of the page of a running program.
fn address(running: &Running) -> String {
    let said = running.wait_for_stderr("serving the page at http://");
    let (_, rest) = said.rsplit_once("serving the page at http://").unwrap();
    rest.split('/').next().unwrap().to_owned()
}

/// Gets a path with more lines in the head. Returns the status, the head and the body.
fn get(address: &str, path: &str, host: &str, more: &str) -> (u16, String, String) {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(LONG)).unwrap();
    write!(connection, "GET {path} HTTP/1.1\r\nHost: {host}\r\n{more}Connection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), body.to_owned())
}

/// Stops a program by SIGTERM.
fn stop(running: Running) -> Finished {
    running.signal("TERM");
    running.finish().expect_code(0)
}

fn json(address: &str, path: &str) -> Value {
    let (status, _, body) = get(address, path, "localhost", "");
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// Scenario: the demo, and its page. Guarantees: the figures are those that the demo prints, and
/// the page follows from a URL to the subtask that held a checkpoint back.
#[test]
fn demo_serves_what_it_prints() {
    let place = Place::new();
    let running = place.start(&["demo", "--quiet", "--serve", "-Dflink-traces.http.listen=0"]);
    let address = address(&running);
    let status = json(&address, "/api/status");
    assert_eq!((&status["is_live"], &status["extent"]["jobs"]), (&Value::Bool(false), &8.into()));
    let cluster = &status["extent"]["clusters"][0];
    assert_eq!((&cluster["cluster"], &cluster["jobs"]), (&"recording".into(), &8.into()));
    let (from, now) = (status["extent"]["first_ms"].as_i64().unwrap(), status["now_ms"].as_i64().unwrap());
    let window = format!("from={}&to={}", from - 1_000, now + 1);

    let fleet = json(&address, &format!("/api/fleet?{window}"));
    let jobs = fleet["jobs"].as_array().unwrap();
    let orders = jobs.iter().find(|job| job["name"] == "orders-recover").unwrap();
    assert_eq!((&orders["totals"]["completed"], &orders["totals"]["failed"]), (&20.into(), &3.into()));
    assert_eq!((&orders["totals"]["restores"], &orders["status"]), (&2.into(), &"FINISHED".into()));
    // The recorded overviews are signs of life, so no gap is drawn as not seen.
    let seen = fleet["seen"].as_array().unwrap();
    let observed = seen.iter().map(|span| span[2].as_i64().unwrap() - span[1].as_i64().unwrap()).sum::<i64>();
    assert!(observed > (now - from) * 9 / 10, "{seen:?}");
    let all = &fleet["total"];
    assert_eq!(all["completed"].as_i64().unwrap() + all["failed"].as_i64().unwrap(), 74);

    let id = &orders["job"];
    let job = json(&address, &format!("/api/job?job={id}&{window}"));
    let slow = job["checkpoints"].as_array().unwrap().iter().find(|row| row["id"] == 16).unwrap();
    assert_eq!((&slow["task"], &slow["subtask"]), (&"agg -> tail".into(), &3.into()));
    let path = format!("/api/checkpoint?job={id}&trigger={}&id=16", slow["trigger_ms"]);
    let sentence = json(&address, &path)["sentence"].as_str().unwrap().to_owned();
    assert!(sentence.contains("It was held back by agg -> tail, subtask 3"), "{sentence}");
    assert!(sentence.contains("waiting for the barrier; usual: "), "{sentence}");

    let stragglers = json(&address, &format!("/api/stragglers?job={id}&{window}"));
    assert!(stragglers["rows"].as_array().unwrap().len() > 1, "{stragglers}");
    assert!(json(&address, &format!("/api/recoveries?{window}")).as_array().unwrap().len() > 2);
    assert!(!json(&address, &format!("/api/failures?{window}")).as_array().unwrap().is_empty());
    assert!(json(&address, "/api/now").is_array());
    assert_eq!(json(&address, "/api/job?job=4711"), Value::Null);
    stop(running);
}

#[test]
fn page_is_closed_to_others() {
    let place = Place::new();
    place.run(&["play", RECORDING, "--quiet", "--history", "h"]).expect_code(0);
    let running = place.start(&["serve", "--history", "h", "--listen", "0"]);
    let address = address(&running);
    for path in ["/", "/app.js", "/app.css", "/charts.js", "/views.js", "/util.js", "/api/status"] {
        let (status, head, body) = get(&address, path, "localhost", "");
        assert_eq!(status, 200, "{path}");
        assert!(head.to_lowercase().contains("content-security-policy: default-src 'none'"), "{head}");
        assert!(!body.contains("http://") && !body.contains("https://"), "{path}");
    }
    assert_eq!(get(&address, "/", "example.com", "").0, 421);
    assert_eq!(get(&address, "/api/unknown", "localhost", "").0, 404);
    stop(running);

    let secret = "-Dflink-traces.http.bearer-token=t0";
    let running = place.start(&["serve", "--history", "h", "--listen", "0", secret]);
    let address = self::address(&running);
    for (more, expected) in [("", 401), ("Authorization: Bearer t1\r\n", 401), ("Authorization: Bearer t0\r\n", 200)] {
        assert_eq!(get(&address, "/api/status", "localhost", more).0, expected, "{more}");
    }
    let finished = stop(running);
    assert!(!finished.stderr.contains("t0"), "{}", finished.stderr);

    let refused = place.run(&["serve", "--history", "h", "--listen", "0.0.0.0:0"]).expect_code(78);
    assert!(
        refused.stderr.contains("flink-traces.http.listen: expected a loopback address, or credentials"),
        "{refused:?}"
    );
    let refused = place.run(&["serve"]).expect_code(78);
    assert!(refused.stderr.contains("no history: give --history DIR"), "{refused:?}");
}

/// Gets the status of the page over TLS, trusting one certificate.
fn get_over_tls(address: &str, trusted: &CertificateDer<'static>) -> std::io::Result<u16> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let session = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut connection = StreamOwned::new(session, TcpStream::connect(address)?);
    connection.sock.set_read_timeout(Some(LONG))?;
    write!(connection, "GET /api/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    Ok(answer.split(' ').nth(1).unwrap().parse().unwrap())
}

#[test]
fn page_with_certificate_speaks_tls_only() {
    let place = Place::new();
    place.run(&["play", RECORDING, "--quiet", "--history", "h"]).expect_code(0);
    let write_certificate = || {
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        place.write("cert.pem", signed.cert.pem());
        place.write("key.pem", signed.signing_key.serialize_pem());
        signed.cert.der().clone()
    };
    let first = write_certificate();
    let options = ["-Dflink-traces.tls.certificate=cert.pem", "-Dflink-traces.tls.key=key.pem"];
    let serve = ["serve", "--history", "h", "--listen", "0"];
    let running = place.start(&[&serve[..], &options].concat());
    let said = running.wait_for_stderr("serving the page at https://");
    let (_, rest) = said.rsplit_once("serving the page at https://").unwrap();
    let address = rest.split('/').next().unwrap().to_owned();
    assert_eq!(get_over_tls(&address, &first).unwrap(), 200);
    let mut plain = TcpStream::connect(&address).unwrap();
    plain.set_read_timeout(Some(LONG)).unwrap();
    write!(plain, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));

    // A certificate that is replaced is used for the next connection.
    let second = write_certificate();
    assert_eq!(get_over_tls(&address, &second).unwrap(), 200);
    assert!(get_over_tls(&address, &first).is_err());
    stop(running);

    for (option, expected) in [
        (options[0], "flink-traces.tls.certificate: expected flink-traces.tls.key beside it"),
        (options[1], "flink-traces.tls.key: expected flink-traces.tls.certificate beside it"),
    ] {
        let refused = place.run(&[&serve[..], &[option]].concat()).expect_code(78);
        assert!(refused.stderr.contains(expected), "{refused:?}");
    }
}

#[test]
fn history_that_is_missing_is_said_to_be() {
    let place = Place::new();
    let running = place.start(&["serve", "--history", "h", "--listen", "0"]);
    let (status, _, body) = get(&address(&running), "/api/status", "localhost", "");
    assert_eq!((status, body.as_str()), (503, "nothing has been written to h yet\n"));
    stop(running);
    assert!(!place.path("h").exists());
}

#[test]
fn run_serves_page_and_metrics_together() {
    let place = Place::new();
    let flink = FakeFlink::start(session::answers());
    let running = place.start(&[
        "run",
        "--flink",
        &format!("prod={}", flink.url()),
        "--history",
        "missing/h",
        "-Dflink-traces.poll-interval=20 ms",
        "-Dflink-traces.http.listen=0",
        "-Dtraces.reporter.history.retention.rows=0 s",
        "-Devents.reporter.history.retention.rows=0 s",
    ]);
    let address = address(&running);
    let end = std::time::Instant::now() + LONG;
    loop {
        let (status, _, body) = get(&address, "/api/status", "localhost", "");
        let extent =
            if status == 200 { serde_json::from_str::<Value>(&body).unwrap()["extent"].take() } else { Value::Null };
        // The cluster gave a sign of life.
        if extent["jobs"].as_i64() > Some(0) && extent["clusters"][0]["seen_ms"].is_number() {
            assert_eq!(
                (&extent["clusters"][0]["cluster"], &extent["clusters"][0]["reachable"]),
                (&"prod".into(), &true.into())
            );
            break;
        }
        assert!(std::time::Instant::now() < end, "{status} {body}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    for path in ["/metrics", "/healthz", "/readyz", "/"] {
        assert_eq!(get(&address, path, "localhost", "").0, 200, "{path}");
    }
    stop(running);
}

/// Scenario: a report of a recording. Guarantees: it has no script and no address, and it is the
/// report that the demo writes of the same session.
#[test]
fn report_of_a_recording_needs_nothing_else() {
    let place = Place::new();
    let made = place.run(&["report", "--from", RECORDING, "-o", "r.html"]).expect_code(0);
    assert!(made.stderr.contains("Report in r.html"), "{made:?}");
    let report = place.read("r.html");
    for text in ["66 of 74 checkpoints of 8 jobs completed", "orders-recover", "held back by agg -&gt; tail, subtask 3"]
    {
        assert!(report.contains(text), "{text}");
    }
    for text in ["<script", "http://", "https://", "NaN"] {
        assert!(!report.contains(text), "{text}");
    }
    assert_eq!(place.names(), ["r.html"]);
    place.run(&["demo", "--quiet"]).expect_code(0);
    let size_of = |text: &str| text.lines().filter(|line| !line.contains("Size of the history")).count();
    assert_eq!(size_of(&place.read("flink-traces-demo/demo.html")), size_of(&report));
    #[cfg(unix)]
    for folder in ["flink-traces-demo", "flink-traces-demo/history"] {
        use std::os::unix::fs::PermissionsExt;
        for entry in std::fs::read_dir(place.path(folder)).unwrap().map(Result::unwrap) {
            let expected = if entry.file_type().unwrap().is_dir() { 0o700 } else { 0o600 };
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, expected, "{:?}", entry.path());
        }
    }
    place.write("text", "no recording\n");
    for (arguments, expected) in [
        (["--history", "missing"], "error: missing: expected a history, found none\n"),
        (["--history", "text"], "error: text: expected a history, found none\n"),
        (["--from", "text"], "error: text: expected a recording of a session: skipped 1 line"),
        (["--from", "missing"], "error: missing: cannot be opened: No such file"),
    ] {
        let refused = place.run(&[&["report"][..], &arguments].concat()).expect_code(1);
        assert!(refused.stderr.contains(expected), "{refused:?}");
    }
}
