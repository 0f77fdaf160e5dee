//! A canary in every secret option is sent to its destination, and shown nowhere.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use crate::support::LONG;
use crate::support::flink::{FakeFlink, Port};
use crate::support::process::{Place, Running, command};
use crate::support::session;
use flink_traces_testkit::{CollectorResponse, HttpResponse, OtlpCollector};

/// `me:canary-basic` in base64, as basic authentication has it, and `me:canary-proxy`.
const BASIC: &str = "bWU6Y2FuYXJ5LWJhc2lj";
const PROXY: &str = "bWU6Y2FuYXJ5LXByb3h5";
/// The files that contain the secrets themselves.
const GIVEN: [&str; 3] = ["config.yaml", "token", "broken.pem"];

fn shows_nothing(what: &str, text: &str) {
    let shown = text.lines().find(|line| ["canary", BASIC, PROXY].iter().any(|secret| line.contains(secret)));
    assert_eq!(shown, None, "{what}");
}

fn get(address: &str, path: &str) -> String {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(LONG)).unwrap();
    write!(connection, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn secret_canaries_are_sent_and_never_shown() {
    let place = Place::new();
    let flink = FakeFlink::start(session::answers());
    let collector = OtlpCollector::start().unwrap();
    // The collector repeats the first request of each sender in its response, and rejects events.
    let mut known = BTreeSet::new();
    collector.respond_by(move |request| {
        let sent = format!("no: {:?} {}", request.headers, request.path);
        let sender = format!("{:?} {:?}", request.headers.get("authorization"), request.headers.get("x-api-key"));
        match (known.insert(sender), request.path.contains("/v1/logs")) {
            (_, true) => HttpResponse::new(500).body(sent).into(),
            (true, false) => HttpResponse::new(401).body(sent).into(),
            (false, false) => CollectorResponse::Accept,
        }
    });
    place.write("token", "canary-file\n");
    let nobody = Port::reserve();
    let endpoint = |signal: &str| format!("{}/v1/{signal}?key=canary-query", collector.http_endpoint());
    let reporter = |signal: &str, name: &str, option: &str| {
        format!(
            "{signal}.reporter.{name}.factory.class: org.apache.flink.{signal}.otel.OpenTelemetry{}ReporterFactory
{signal}.reporter.{name}.exporter.protocol: http
{signal}.reporter.{name}.exporter.endpoint: {}
{signal}.reporter.{name}.spool.directory: spool
{signal}.reporter.{name}.{option}
",
            if signal == "traces" { "Trace" } else { "Event" },
            endpoint(if signal == "traces" { "traces" } else { "logs" }),
        )
    };
    let config = [
        format!("flink-traces.clusters.prod: {}\n", flink.url().replace("http://", "http://me:canary-cluster@")),
        "flink-traces.metrics.listen: 0\nflink-traces.shutdown-timeout: 1 s\nflink-traces.poll-interval: 20 ms\n"
            .to_owned(),
        "security.redaction.additional-keys: service.version\n".to_owned(),
        reporter("traces", "header", "exporter.headers.x-api-key: canary-header"),
        reporter("traces", "basic", "exporter.basic-auth: me:canary-basic"),
        reporter("traces", "token", "exporter.bearer-token: canary-token"),
        reporter("traces", "file", "exporter.bearer-token-file: token"),
        reporter(
            "traces",
            "proxy",
            &format!("exporter.proxy: {}", nobody.url().replace("http://", "http://me:canary-proxy@")),
        ),
        reporter("events", "token", "exporter.bearer-token: canary-token"),
        "events.reporter.token.scope.variables.additional: {password: canary-variable}\n".to_owned(),
        "traces.reporter.proxy.service.version: canary-by-key\n".to_owned(),
    ];
    place.write("config.yaml", config.concat());
    let with_environment = |arguments: &[&str]| {
        let mut command = command(&place.path(""), arguments);
        command.env("OTEL_EXPORTER_OTLP_HEADERS", "x-env=canary-environment");
        Running::start(command)
    };

    let running = with_environment(&["run", "--conf", "config.yaml", "--log-level", "trace"]);
    let said = running.wait_for_stderr("/metrics");
    let address = said.split_once("/metrics").unwrap().0.rsplit_once("http://").unwrap().1.to_owned();
    let sent = [
        ("x-api-key", "canary-header".to_owned()),
        ("authorization", format!("Basic {BASIC}")),
        ("authorization", "Bearer canary-token".to_owned()),
        ("authorization", "Bearer canary-file".to_owned()),
        ("x-env", "canary-environment".to_owned()),
    ];
    let all_sent = |collector: &OtlpCollector| {
        let requests = collector.requests();
        let is_sent = |(name, value): &(&str, String)| {
            requests.iter().any(|request| request.accepted > 0 && request.headers.get(*name) == Some(value))
        };
        sent.iter().all(is_sent) && requests.iter().all(|request| request.path.ends_with("?key=canary-query"))
    };
    assert!(collector.wait_until(LONG, all_sent));
    // Rejected events are in a file by then.
    let mut pages = String::new();
    for path in ["/metrics", "/healthz", "/else"] {
        pages += &get(&address, path);
    }
    assert!(pages.contains("flink_traces_spool_bytes"));
    shows_nothing("pages", &pages);
    running.signal("TERM");
    let stopped = running.finish();
    assert!(stopped.stderr.contains("TRACE") && stopped.stderr.contains("credentials refused"));
    shows_nothing("standard error", &stopped.stderr);
    shows_nothing("standard output", &stopped.stdout);
    let authorizations = flink.authorizations();
    assert!(authorizations.iter().flatten().any(|value| value.starts_with("Basic ")), "{authorizations:?}");

    let files = files_below(&place.path("spool"));
    for kind in ["0/cursor", "0/slot.json", ".seg", "dead-letter/events-token.jsonl", "lock"] {
        assert!(files.iter().any(|path| path.display().to_string().ends_with(kind)), "{kind}: {files:?}");
    }
    // `token` is a variable of the events, which the user configured to be sent.
    for path in files.iter().filter(|path| !path.display().to_string().contains("events-token")) {
        let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
        shows_nothing(&path.display().to_string(), &text.replace("canary-by-key", ""));
    }
    let letters = place.read("spool/events-token/dead-letter/events-token.jsonl");
    shows_nothing("dead letters", &letters.replace("canary-variable", ""));

    let checked = with_environment(&["check", "--conf", "config.yaml", "--log-level", "trace"]).finish();
    assert!(checked.stdout.contains("******"), "{}", checked.stdout);
    shows_nothing("check", &(checked.stdout + &checked.stderr));
    assert!(place.names().iter().all(|name| GIVEN.contains(&name.as_str()) || name == "spool"), "{:?}", place.names());
}

#[test]
fn an_option_that_is_wrong_does_not_show_its_secret() {
    let place = Place::new();
    place.write("token", "canary\u{1}file");
    place.write("broken.pem", "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n");
    for options in [
        &["exporter.headers.a b=canary"][..],
        &["exporter.headers.a=can\u{e9}canary"],
        &["exporter.headers=canary"],
        &["exporter.basic-auth=canary"],
        &["exporter.bearer-token=canary\u{1}"],
        &["exporter.bearer-token=canary", "exporter.basic-auth=me:canary-basic"],
        &["exporter.bearer-token-file=token"],
        &["exporter.proxy=socks5://me:canary-proxy@h"],
        &["exporter.endpoint=http://me:canary@h"],
        &["exporter.endpoint=canary://me:canary@h?canary"],
        &["exporter.client-certificate=broken.pem", "exporter.client-key=broken.pem", "exporter.endpoint=https://h"],
        &["exporter.ca-certificates=broken.pem", "exporter.endpoint=https://h"],
    ] {
        let dynamic: Vec<_> = options.iter().map(|option| format!("-Dtraces.reporter.otlp.{option}")).collect();
        let mut arguments =
            vec!["run", "--flink", "http://localhost:1", "--otlp", "http://localhost:1", "--log-level", "trace"];
        arguments.extend(dynamic.iter().map(String::as_str));
        let refused = place.run(&arguments).expect_code(78);
        assert!(refused.stderr.contains("error: "), "{}", refused.stderr);
        // Text that is not an address may be shown, except in the place of credentials.
        shows_nothing(&format!("{options:?}"), &refused.stderr.replace("canary://", ""));
    }
}
