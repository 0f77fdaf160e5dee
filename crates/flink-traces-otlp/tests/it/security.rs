//! Tests of certificates, credentials and proxies, with real handshakes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{PROTOCOLS, losses, options, report_and_balance, trace_reporter, tree};
use crate::tls::{Authority, Front};
use flink_traces_api::Deadline;
use flink_traces_testkit::{CollectorResponse, HttpResponse, OtlpCollector};

/// Reports four spans over TLS. Returns the reason if they were dropped.
fn over_tls(
    protocol: &str,
    authority: &Authority,
    server: &str,
    client_auth: bool,
    more: &[(&str, &str)],
) -> Option<String> {
    let collector = OtlpCollector::start().unwrap();
    let front = Front::start(authority, server, client_auth, collector.address());
    let endpoint = front.endpoint();
    let config = options(&endpoint, protocol, &[&[("retry.timeout", "50 ms")], more].concat());
    let mut reporter = trace_reporter(&config);
    let result = report_and_balance(&mut *reporter, &[tree(1)], &Deadline::unlimited(), &collector);
    match result {
        Ok(()) => None,
        Err(error) => {
            assert_eq!((losses(&Err(error)), collector.requests().len()), ((0, 4), 0), "{protocol}");
            let error = reporter.report(&[tree(1)], &Deadline::unlimited()).unwrap_err();
            Some(std::error::Error::source(&error).unwrap().to_string())
        }
    }
}

#[test]
fn custom_root_certificate_is_trusted() {
    let authority = Authority::new("one");
    authority.sign("server", "localhost", 2100);
    for protocol in PROTOCOLS {
        let ca = authority.text("ca.pem");
        assert_eq!(over_tls(protocol, &authority, "server", false, &[("exporter.ca-certificates", &ca)]), None);
    }
}

#[test]
fn client_certificate_is_sent() {
    let authority = Authority::new("one");
    authority.sign("server", "localhost", 2100);
    authority.sign("client", "client", 2100);
    let files = ["ca.pem", "client.pem", "client.key"].map(|name| authority.text(name));
    let more = [
        ("exporter.ca-certificates", files[0].as_str()),
        ("exporter.client-certificate", &files[1]),
        ("exporter.client-key", &files[2]),
    ];
    for protocol in PROTOCOLS {
        assert_eq!(over_tls(protocol, &authority, "server", true, &more), None);
        let reason = over_tls(protocol, &authority, "server", true, &more[..1]).unwrap();
        assert!(reason.starts_with("given up after attempt "), "{reason}");
    }
}

#[test]
fn untrusted_server_gets_nothing_error_names_cause() {
    let (authority, other) = (Authority::new("one"), Authority::new("other"));
    authority.sign("server", "localhost", 2100);
    authority.sign("expired", "localhost", 2001);
    authority.sign("named", "elsewhere.example.com", 2100);
    let (ca, unknown) = (authority.text("ca.pem"), other.text("ca.pem"));
    for protocol in PROTOCOLS {
        for (server, ca, expected) in [
            ("server", &unknown, "UnknownIssuer"),
            ("expired", &ca, "expired"),
            ("named", &ca, "elsewhere.example.com"),
        ] {
            let reason = over_tls(protocol, &authority, server, false, &[("exporter.ca-certificates", ca)]).unwrap();
            assert!(reason.contains(expected) && !reason.contains('\n'), "{server}: {reason}");
        }
    }
}

#[test]
fn unusable_file_is_an_error_at_creation() {
    let authority = Authority::new("one");
    authority.sign("client", "client", 2100);
    authority.sign("another", "client", 2100);
    authority.write("empty.pem", "");
    let text = |name: &str| authority.text(name);
    for protocol in PROTOCOLS {
        let check = |more: &[(&str, &str)], expected: &str| {
            let error =
                crate::support::try_trace_reporter(&options("https://localhost", protocol, more)).err().unwrap();
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(&[("exporter.ca-certificates", &text("away.pem"))], "away.pem: No such file");
        check(&[("exporter.ca-certificates", &text("empty.pem"))], "empty.pem: contains no certificate");
        check(&[("exporter.ca-certificates", &text("client.key"))], "client.key: contains no certificate");
        let client = |certificate: &str, key: &str| [text(certificate), text(key)];
        for (files, expected) in [
            (client("client.pem", "away.key"), "away.key: No such file"),
            (client("client.pem", "client.pem"), "client.pem: "),
            (client("client.pem", "another.key"), "another.key: "),
        ] {
            check(&[("exporter.client-certificate", &files[0]), ("exporter.client-key", &files[1])], expected);
        }
        let named = |name: &str, problem: &str| format!("exporter.bearer-token-file: {}: {problem}", text(name));
        authority.write("mark", "\u{feff}");
        authority.write("odd", "to\u{7f}ken");
        for (name, problem) in [
            ("away", "No such file"),
            ("empty.pem", "the file has no token"),
            ("mark", "the file has no token"),
            ("odd", "expected a token of printable ASCII"),
        ] {
            check(&[("exporter.bearer-token-file", &text(name))], &named(name, problem));
        }
    }
}

#[test]
fn basic_authentication_and_token_are_sent() {
    for protocol in PROTOCOLS {
        for (option, expected) in [
            (("exporter.basic-auth", "me:pass:word"), "Basic bWU6cGFzczp3b3Jk"),
            (("exporter.bearer-token", " token "), "Bearer token"),
        ] {
            let collector = OtlpCollector::start().unwrap();
            let endpoint = collector.grpc_endpoint();
            let mut reporter = trace_reporter(&options(&endpoint, protocol, &[option]));
            report_and_balance(&mut *reporter, &[tree(1)], &Deadline::unlimited(), &collector).unwrap();
            assert_eq!(collector.requests()[0].headers["authorization"], expected);
        }
    }
}

/// Scenario: a token file has a byte order mark, and the scheme in front of the token.
#[test]
fn token_is_sent_without_mark_and_second_scheme() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "\u{feff}bearer  token\r\n").unwrap();
    for protocol in PROTOCOLS {
        for option in
            [("exporter.bearer-token-file", file.to_str().unwrap()), ("exporter.bearer-token", "Bearer token")]
        {
            let collector = OtlpCollector::start().unwrap();
            let endpoint = collector.grpc_endpoint();
            let mut reporter = trace_reporter(&options(&endpoint, protocol, &[option]));
            report_and_balance(&mut *reporter, &[tree(1)], &Deadline::unlimited(), &collector).unwrap();
            assert_eq!(collector.requests()[0].headers["authorization"], "Bearer token");
        }
    }
}

#[test]
fn changed_token_file_ends_the_backoff() {
    for protocol in PROTOCOLS {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, "old\n").unwrap();
        let collector = OtlpCollector::start().unwrap();
        collector.respond_by(|request| match request.headers["authorization"].as_str() {
            "Bearer new" => CollectorResponse::Accept,
            _ => HttpResponse::new(401).into(),
        });
        let endpoint = collector.grpc_endpoint();
        // The backoff is longer than the test, except for the first pause, which is random.
        let more = [
            ("exporter.bearer-token-file", file.to_str().unwrap()),
            ("retry.initial-backoff", "1 d"),
            ("retry.max-backoff", "1 d"),
            ("retry.timeout", "0"),
        ];
        let mut reporter = trace_reporter(&options(&endpoint, protocol, &more));
        let start = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(collector.wait_until(Duration::from_secs(30), |collector| collector.requests().len() == 1));
                std::fs::write(&file, "new").unwrap();
            });
            report_and_balance(&mut *reporter, &[tree(1)], &Deadline::unlimited(), &collector).unwrap();
        });
        assert!(start.elapsed() < Duration::from_secs(10), "waited for up to a minute");
        // If the file is missing or empty, the last token stays in use.
        std::fs::write(&file, "").unwrap();
        report_and_balance(&mut *reporter, &[tree(1)], &Deadline::unlimited(), &collector).unwrap();
        std::fs::remove_file(&file).unwrap();
        report_and_balance(&mut *reporter, &[tree(1)], &Deadline::unlimited(), &collector).unwrap();
    }
}

/// An HTTP proxy that stores the heads of its requests and connects to any target.
struct HttpProxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl HttpProxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let known = heads.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let known = known.clone();
                std::thread::spawn(move || serve(client.unwrap(), &known));
            }
        });
        Self { address, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn serve(mut client: TcpStream, heads: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if client.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.extend(byte);
    }
    let text = String::from_utf8(head.clone()).unwrap().to_ascii_lowercase();
    heads.lock().unwrap().push(text.clone());
    let target = text.split_whitespace().nth(1).unwrap();
    let authority = target.trim_start_matches("http://").split('/').next().unwrap();
    let mut server = TcpStream::connect(authority).unwrap();
    match text.starts_with("connect ") {
        true => client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap(),
        false => server.write_all(&head).unwrap(),
    }
    let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(std::net::Shutdown::Write);
    });
    let _ = std::io::copy(&mut server, &mut client);
}

#[test]
fn proxy_with_credentials_is_used_except_for_no_proxy() {
    let authority = Authority::new("one");
    authority.sign("server", "localhost", 2100);
    let ca = authority.text("ca.pem");
    for protocol in PROTOCOLS {
        for scheme in ["http", "https"] {
            let collector = OtlpCollector::start().unwrap();
            let front = Front::start(&authority, "server", false, collector.address());
            let endpoint = match scheme {
                "https" => front.endpoint(),
                _ => collector.grpc_endpoint(),
            };
            let proxy = HttpProxy::start();
            let url = format!("http://me:canary@{}", proxy.address);
            let report = |no_proxy: &str| {
                let more = [
                    ("exporter.proxy", url.as_str()),
                    ("exporter.no-proxy", no_proxy),
                    ("exporter.ca-certificates", &ca),
                ];
                let mut reporter = trace_reporter(&options(&endpoint, protocol, &more));
                report_and_balance(&mut *reporter, &[tree(1)], &Deadline::unlimited(), &collector).unwrap();
            };
            report("example.com");
            let heads = proxy.heads();
            assert_eq!(heads.len(), 1, "{protocol} {scheme}");
            let tunnel = protocol == "grpc" || scheme == "https";
            assert_eq!(heads[0].starts_with("connect "), tunnel, "{heads:?}");
            assert!(heads[0].contains("proxy-authorization: basic bwu6y2fuyxj5\r\n"), "{heads:?}");
            report("example.com,localhost,127.0.0.0/8");
            assert_eq!((proxy.heads().len(), collector.spans().len()), (1, 8));
        }
    }
}

/// Serves a proxy that rejects the credentials of the first request, and forwards the next.
fn refusing_proxy() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        let _ = client.read(&mut head).unwrap();
        let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        client.write_all(refusal.as_bytes()).unwrap();
        drop(client);
        for client in listener.incoming() {
            std::thread::spawn(move || serve(client.unwrap(), &Mutex::default()));
        }
    });
    address
}

/// Scenario: a proxy rejects its credentials once, for a plain request and for a tunnel.
/// Guarantees: the records wait, although no retry is allowed, and arrive.
#[test]
fn proxy_that_rejects_credentials_is_waited_for() {
    let authority = Authority::new("one");
    authority.sign("server", "localhost", 2100);
    let ca = authority.text("ca.pem");
    for protocol in PROTOCOLS {
        for scheme in ["http", "https"] {
            let collector = OtlpCollector::start().unwrap();
            let front = Front::start(&authority, "server", false, collector.address());
            let endpoint = if scheme == "https" { front.endpoint() } else { collector.grpc_endpoint() };
            let proxy = format!("http://me:canary@{}", refusing_proxy());
            let more = [("exporter.proxy", proxy.as_str()), ("exporter.ca-certificates", &ca), ("retry.timeout", "0")];
            let log = crate::support::logged("flink_traces_otlp", || {
                let mut reporter = trace_reporter(&options(&endpoint, protocol, &more));
                report_and_balance(&mut *reporter, &[tree(1)], &Deadline::unlimited(), &collector).unwrap();
            });
            let line = log.lines().find(|line| line.contains("credentials refused, keeping records"));
            assert!(line.is_some_and(|line| line.contains("exporter.proxy")), "{protocol} {scheme}: {log}");
        }
    }
}

/// Returns options with all kinds of secrets.
///
/// `index` selects one of those that exclude each other.
fn with_secrets<'a>(proxy: &'a str, token_file: &'a str, index: usize) -> Vec<(&'a str, &'a str)> {
    let credentials = [
        ("exporter.headers.authorization", "Bearer canary-1234"),
        ("exporter.basic-auth", "canary-user:canary-1234"),
        ("exporter.bearer-token", "canary-1234"),
        ("exporter.bearer-token-file", token_file),
    ];
    vec![credentials[index], ("exporter.headers.x-key", "canary-5678"), ("exporter.proxy", proxy)]
}

#[test]
fn secrets_are_never_shown() {
    let authority = Authority::new("one");
    authority.write("token", "canary-1234\n");
    let token_file = authority.text("token");
    for protocol in PROTOCOLS {
        for index in 0..4 {
            let collector = OtlpCollector::start().unwrap();
            collector.respond_by(|request| {
                let echo = format!("{:?} canary-1234 canary-5678 Y2FuYXJ5LXVzZXI6Y2FuYXJ5LTEyMzQ=", request.headers);
                // The proxy's credentials, and the query in another URL.
                let echo = format!("{echo} Basic bWU6Y2FuYXJ5LTlhYmM= canary-9abc https://h/?key=canary-def0");
                HttpResponse::new(if request.records == 4 { 400 } else { 503 })
                    .body(echo.replace("canary-user", ""))
                    .into()
            });
            let proxy = HttpProxy::start();
            let url = format!("http://me:canary-9abc@{}", proxy.address);
            let endpoint = format!("{}/v1/traces?key=canary-def0", collector.http_endpoint());
            let more = [with_secrets(&url, &token_file, index), vec![("retry.timeout", "20 ms")]].concat();
            let config = options(&endpoint, protocol, &more);
            let mut shown = format!("{config:?}");
            let mut errors = String::new();
            shown += &crate::support::logged("trace", || {
                let mut reporter = trace_reporter(&config);
                let error = reporter.report(&[tree(1)], &Deadline::unlimited()).unwrap_err();
                errors = format!("{error} {error:?} {}", std::error::Error::source(&error).unwrap());
            });
            shown += &errors;
            assert!(!proxy.heads().is_empty() && shown.contains("TRACE") && shown.contains("******"));
            for secret in ["canary", "Y2FuYXJ5", "bWU6Y2FuYXJ5"] {
                let line = shown.lines().find(|line| line.contains(secret));
                assert_eq!(line, None, "{protocol} {index}");
            }
        }
    }
}
