//! Destinations that are no collector, and the search for the protocol of one.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::support::{PROTOCOLS, logged, losses, options, report_and_balance, trace_reporter, tree};
use crate::tls::{Authority, Front};
use flink_traces_api::{Deadline, ReporterConfig, Signal};
use flink_traces_otlp::check;
use flink_traces_testkit::{CollectorResponse, Encoding, HttpResponse, OtlpCollector};

const PREFACE: &[u8] = b"PRI * HTTP/2.0";
/// An empty frame of HTTP/2 settings, with which a server begins.
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

/// Serves each connection by `serve`, which gets the first bytes of the client.
fn server(mut serve: impl FnMut(TcpStream, &[u8]) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut start = [0; 512];
            let read = client.read(&mut start).unwrap_or(0);
            serve(client, &start[..read]);
        }
    });
    address
}

/// Serves HTTP/1 only, and responds to everything else as most servers do.
fn http1_server() -> SocketAddr {
    server(|mut client, _| {
        let refusal = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let _ = client.write_all(refusal.as_bytes());
    })
}

/// Serves HTTP/1 only, and responds to HTTP/2 with a page alone, like Python.
fn page_server() -> SocketAddr {
    server(|mut client, _| {
        let _ = client.write_all(b"<!DOCTYPE HTML>\n<html><body>Invalid HTTP version (2.0)</body></html>");
    })
}

/// Expects TLS, and cuts its response to plain text, like Go before it has read the request.
fn cutting_tls_server() -> SocketAddr {
    server(|mut client, start| {
        let alert = b"\x15\x03\x03\x00\x02\x02\x28";
        let cut = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 99\r\n\r\nClient";
        let _ = client.write_all(if start.starts_with(b"\x16") { alert } else { cut });
    })
}

/// Speaks first and closes any connection that is not HTTP/2, like gRPC servers.
fn grpc_server() -> SocketAddr {
    server(|mut client, start| {
        let _ = client.write_all(SETTINGS);
        if start.starts_with(PREFACE) {
            let _ = client.read_to_end(&mut Vec::new());
        }
    })
}

/// Forwards connections to a collector, but only those whose first bytes `accepts` accepts.
fn front(collector: SocketAddr, accepts: fn(&[u8]) -> bool) -> SocketAddr {
    server(move |mut client, start| {
        if !accepts(start) {
            let _ = client.write_all(if start.starts_with(PREFACE) { b"HTTP/1.1 400 No\r\n\r\n" } else { SETTINGS });
            return;
        }
        let mut to_server = TcpStream::connect(collector).unwrap();
        to_server.write_all(start).unwrap();
        let (mut from_client, mut from_server) = (client.try_clone().unwrap(), to_server.try_clone().unwrap());
        thread::spawn(move || {
            let _ = std::io::copy(&mut from_client, &mut to_server);
            let _ = to_server.shutdown(Shutdown::Write);
        });
        thread::spawn(move || std::io::copy(&mut from_server, &mut client));
    })
}

/// Scenario: the protocol or the encryption does not fit the port. Guarantees: nothing is rejected,
/// and both the log and a check name the option to change.
#[test]
fn mistaken_protocol_is_named_and_rejects_nothing() {
    let authority = Authority::new("one");
    authority.sign("server", "localhost", 2100);
    let ca = authority.text("ca.pem");
    let collector = OtlpCollector::start().unwrap();
    let tls = Front::start(&authority, "server", false, collector.address());
    let [http1_tls, silent_tls] = [&["http/1.1"][..], &[]]
        .map(|protocols| Front::with_protocols(&authority, "server", false, collector.address(), protocols));
    let (http, tls) = ("exporter.protocol` to `http`", tls.address());
    for (protocol, scheme, address, expected) in [
        ("grpc", "http", http1_server(), http),
        ("grpc", "http", page_server(), http),
        ("http", "http", grpc_server(), "exporter.protocol` to `grpc`"),
        ("http/json", "http", grpc_server(), "exporter.protocol` to `grpc`"),
        ("grpc", "http", tls, "with https://"),
        ("http", "http", tls, "with https://"),
        ("http", "http", cutting_tls_server(), "with https://"),
        ("grpc", "https", http1_server(), "with http://"),
        ("http", "https", http1_server(), "with http://"),
        ("grpc", "https", grpc_server(), "with http://"),
        ("http", "https", grpc_server(), "with http://"),
        ("grpc", "https", collector.address(), "with http://"),
        ("grpc", "https", http1_tls.address(), "check `exporter.protocol`"),
        ("grpc", "https", silent_tls.address(), "check `exporter.protocol`"),
    ] {
        let endpoint = format!("{scheme}://localhost:{}", address.port());
        let config = options(&endpoint, protocol, &[("retry.timeout", "300 ms"), ("exporter.ca-certificates", &ca)]);
        let log = logged("flink_traces_otlp", || {
            let result = trace_reporter(&config).report(&[tree(1)], &Deadline::unlimited());
            assert_eq!(losses(&result), (0, 4), "{protocol} {scheme}");
        });
        assert_eq!(log.lines().count(), 1, "{protocol} {scheme}: {log}");
        assert!(log.contains(" hint=") && log.contains(expected), "{protocol} {scheme}: {log}");
        let checked = &check(&config, Signal::Traces).unwrap()[0];
        assert!(!checked.passed && checked.text.contains(expected), "{protocol} {scheme}: {checked:?}");
    }
    assert_eq!(collector.spans(), []);
}

/// Scenario: the certificate is not trusted, or the server is absent. Guarantees: the log names the
/// option for the certificate, and invents no cause for the absence.
#[test]
fn other_failure_has_no_hint() {
    let authority = Authority::new("one");
    authority.sign("server", "localhost", 2100);
    let collector = OtlpCollector::start().unwrap();
    let front = Front::start(&authority, "server", false, collector.address());
    let other = Authority::new("other").text("ca.pem");
    let absent = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    authority.write("other.pem", &std::fs::read_to_string(other).unwrap_or_default());
    authority.sign("client", "client", 2100);
    let ca = authority.text("client.pem");
    for protocol in PROTOCOLS {
        for (endpoint, hint) in
            [(front.endpoint(), Some("exporter.ca-certificates")), (format!("http://{absent}"), None)]
        {
            let config =
                options(&endpoint, protocol, &[("retry.timeout", "300 ms"), ("exporter.ca-certificates", &ca)]);
            let log = logged("flink_traces_otlp", || {
                trace_reporter(&config).report(&[tree(1)], &Deadline::unlimited()).unwrap_err();
            });
            assert!(log.contains("retrying") && log.contains("hint=") == hint.is_some(), "{log}");
            assert!(hint.is_none_or(|hint| log.contains(hint)), "{log}");
        }
    }
}

/// Scenario: a collector with one protocol, at a port that says nothing about it. Guarantees: the
/// reporter finds the protocol with one empty request, keeps it, and says so.
#[test]
fn protocol_is_found_and_kept() {
    let is_http2: fn(&[u8]) -> bool = |start| start.starts_with(PREFACE);
    let is_http1: fn(&[u8]) -> bool = |start| !start.starts_with(PREFACE);
    for (accepts, protocol, encoding) in
        [(is_http2, "grpc", Encoding::Grpc), (is_http1, "http", Encoding::HttpProtobuf)]
    {
        let collector = OtlpCollector::start().unwrap();
        let endpoint = format!("http://{}", front(collector.address(), accepts));
        let config = options(&endpoint, "auto", &[]);
        let log = logged("flink_traces_otlp", || {
            let mut reporter = trace_reporter(&config);
            assert_eq!(collector.requests(), [], "asked before the first report");
            for number in 0..3 {
                report_and_balance(&mut *reporter, &[tree(number)], &Deadline::unlimited(), &collector).unwrap();
            }
        });
        let requests = collector.requests();
        assert!(requests.iter().all(|request| request.encoding == encoding), "{protocol}");
        let records: Vec<_> = requests.iter().map(|request| request.records).collect();
        assert_eq!(records, [0, 4, 4, 4]);
        let found = log.lines().filter(|line| line.contains("collector found"));
        let found: Vec<_> = found.collect();
        assert!(matches!(found[..], [line] if line.contains(&format!("protocol=\"{protocol}\""))), "{log}");
        let checked = &check(&config, Signal::Traces).unwrap()[0];
        assert!(checked.passed && checked.text.ends_with(&format!("over {protocol}")), "{checked:?}");
    }
}

/// Scenario: no protocol is accepted for some time. Guarantees: what is reported waits, within
/// `retry.timeout`, and both reasons are in the log.
#[test]
fn search_for_the_protocol_is_repeated() {
    let collector = OtlpCollector::start().unwrap();
    for _ in 0..6 {
        collector.respond(HttpResponse::new(503).body("starting"));
    }
    let endpoint = collector.grpc_endpoint();
    let log = logged("flink_traces_otlp", || {
        let mut reporter = trace_reporter(&options(&endpoint, "auto", &[]));
        report_and_balance(&mut *reporter, &[tree(1)], &Deadline::unlimited(), &collector).unwrap();
    });
    let reasons = "grpc: HTTP 503 Service Unavailable: starting; http: HTTP 503 Service Unavailable: starting";
    assert!(log.contains(reasons), "{log}");
    assert_eq!(collector.requests().len(), 8);

    collector.respond_by(|_| HttpResponse::new(503).into());
    let more = [("retry.timeout", "20 ms")];
    let result = trace_reporter(&options(&endpoint, "auto", &more)).report(&[tree(1)], &Deadline::unlimited());
    assert_eq!(losses(&result), (0, 4));

    collector.respond_by(|_| HttpResponse::new(401).into());
    let more = [("on-auth-failure", "drop")];
    let result = trace_reporter(&options(&endpoint, "auto", &more)).report(&[tree(1)], &Deadline::unlimited());
    assert_eq!(losses(&result), (4, 0));
}

/// Returns the results of a check as text.
fn checked(config: &ReporterConfig) -> Vec<(bool, String)> {
    check(config, Signal::Traces).unwrap().into_iter().map(|result| (result.passed, result.text)).collect()
}

#[test]
fn check_sends_an_empty_request() {
    for protocol in PROTOCOLS {
        let collector = OtlpCollector::start().unwrap();
        let endpoint = format!("{}/v1/traces?key=canary", collector.http_endpoint());
        let config = options(&endpoint, protocol, &[("exporter.headers.x-key", "canary")]);
        let shown = match protocol {
            "grpc" => {
                format!("{}/opentelemetry.proto.collector.trace.v1.TraceService/Export", collector.grpc_endpoint())
            }
            _ => format!("{}/v1/traces", collector.http_endpoint()),
        };
        assert_eq!(checked(&config), [(true, format!("{shown} accepts traces over {protocol}"))]);
        let requests = collector.requests();
        assert_eq!((requests.len(), requests[0].records, &requests[0].error), (1, 0, &None));
        for (answer, expected) in [
            (HttpResponse::new(404).body("canary"), "HTTP 404 Not Found: ******; no OTLP receiver at this path"),
            (HttpResponse::new(401), "HTTP 401 Unauthorized"),
            (HttpResponse::new(407), "HTTP 407 Proxy Authentication Required; the proxy rejects its credentials"),
            (HttpResponse::new(302).header("location", "/login?canary"), "redirects are not followed"),
            (
                HttpResponse::new(200).header("content-type", "text/html").body("Sign in"),
                "a web server or a proxy responds",
            ),
        ] {
            collector.respond(answer);
            let results = checked(&config);
            let [(false, text)] = &results[..] else { panic!("{results:?}") };
            assert!(text.starts_with(&format!("{shown}: ")) && text.contains(expected), "{text}");
            assert!(!text.contains("canary"), "{text}");
        }
        collector.respond(CollectorResponse::Hang);
        let config = options(&endpoint, protocol, &[("exporter.timeout", "100 ms")]);
        assert_eq!(checked(&config), [(false, format!("{shown}: no response within 100ms"))]);
    }
}

#[test]
fn check_tries_the_directories() {
    let collector = OtlpCollector::start().unwrap();
    let endpoint = collector.grpc_endpoint();
    let directory = tempfile::tempdir().unwrap();
    let [spool, letters] = ["a/spool", "a/letters"].map(|name| directory.path().join(name).display().to_string());
    let more = [("spool.directory", spool.as_str()), ("dead-letter.directory", &letters)];
    let config = options(&endpoint, "grpc", &more);
    let expected = [format!("directory {spool}/traces-otlp is writable"), format!("directory {letters} is writable")];
    assert_eq!(checked(&config)[1..], expected.map(|text| (true, text)));
    // Nothing is left behind.
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);

    // A file is in the place of the directory.
    std::fs::write(directory.path().join("a"), "").unwrap();
    let results = checked(&config);
    assert_eq!(results.len(), 3);
    for ((passed, text), name) in results[1..].iter().zip(["spool/traces-otlp", "letters"]) {
        let name = directory.path().join("a").join(name).display().to_string();
        assert!(!passed && text.starts_with(&format!("directory {name}: ")) && text.contains("os error"), "{text}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

/// Scenario: the collector takes requests, but responds with something else than OTLP specifies.
/// Guarantees: the records are delivered, the responses are counted, and one line says so.
#[test]
fn odd_success_is_delivered_and_counted() {
    let json = HttpResponse::new(200).header("content-type", "application/json").body("null");
    for protocol in ["http", "http/json"] {
        let collector = OtlpCollector::start().unwrap();
        let endpoint = collector.grpc_endpoint();
        let log = logged("flink_traces_otlp", || {
            let mut reporter = trace_reporter(&options(&endpoint, protocol, &[]));
            for answer in [
                CollectorResponse::Accept,
                json.clone().into(),
                HttpResponse::new(200).into(),
                CollectorResponse::Accept,
            ] {
                collector.respond(answer);
                reporter.report(&[tree(1)], &Deadline::unlimited()).unwrap();
            }
            assert_eq!(reporter.meter().unwrap().read().odd_responses, 2);
        });
        assert_eq!(collector.spans().len(), 16);
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(log.contains("response is not OTLP"), "{log}");
    }
}

/// Waits for a refused request, and then until the collector accepts it.
#[test]
fn refused_requests_wait_in_the_spool() {
    let directory = tempfile::tempdir().unwrap();
    let collector = OtlpCollector::start().unwrap();
    collector.respond_by(|_| HttpResponse::new(404).into());
    let endpoint = collector.http_endpoint();
    let more = [("spool.directory", directory.path().to_str().unwrap()), ("retry.timeout", "1 ms")];
    let mut reporter = trace_reporter(&options(&endpoint, "http", &more));
    (0..5).for_each(|number| reporter.report(&[tree(number)], &Deadline::unlimited()).unwrap());
    assert!(collector.wait_until(Duration::from_secs(30), |collector| collector.requests().len() > 10));
    let buffer = reporter.meter().unwrap().read().buffer.unwrap();
    assert_eq!((buffer.stored(), buffer.queued), (20, 20));
    collector.respond_by(|_| CollectorResponse::Accept);
    assert!(collector.wait_until(Duration::from_secs(30), |collector| collector.spans().len() == 20));
}
