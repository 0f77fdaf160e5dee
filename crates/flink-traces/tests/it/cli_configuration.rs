//! Valid and invalid configurations: the output and the exit code.

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::support::flink::{FakeFlink, Port};
use crate::support::process::{Place, Running, command};
use crate::support::session;
use flink_traces_testkit::{HttpResponse, OtlpCollector};

const SLF4J: &str = "org.apache.flink.traces.slf4j.Slf4jTraceReporterFactory";

/// Runs `check` on a configuration with a file. Returns its standard error.
fn check(file: &str, content: &str, arguments: &[&str], code: i32) -> String {
    let place = Place::new();
    place.write(&format!("conf/{file}"), content);
    let checked = place.run(&[&["check", "--conf", "conf"], arguments].concat()).expect_code(code);
    if code == 78 {
        assert_eq!(checked.stdout, "", "{content}");
    }
    assert_eq!(place.names(), ["conf"]);
    checked.stderr
}

#[test]
fn reports_all_problems_with_location_and_suggestion() {
    let told = check(
        "config.yaml",
        "traces:
  reporter:
    spans:
      factory.class: org.apache.flink.traces.slf4j.Slf4jTraceReporter
    file:
      factory.class: flink-traces-json
      rotate.sizes: 10 mb
flink-traces.poll-interval: soon
flink-traces.rest.timeot: 5 s
flink-traces.clusters:
  prod: htp://host
  test: http://host:8081
",
        &["-D", "traces.checkpoint.span-detail-level=ALL"],
        78,
    );
    let expected = "\
error: -D: traces.checkpoint.span-detail-level: 'ALL' is not `SPAN_PER_CHECKPOINT`, `SPAN_PER_CHECKPOINT_WITH_TASKS`, \
`CHILDREN_SPANS_PER_TASK` or `CHILDREN_SPANS_PER_SUBTASK`
error: conf/config.yaml:4:7: traces.reporter.spans.factory.class: unknown factory class \
'org.apache.flink.traces.slf4j.Slf4jTraceReporter'; available: flink-traces-history, flink-traces-json, org.apache.flink.traces.otel.OpenTelemetryTraceReporterFactory, \
org.apache.flink.traces.slf4j.Slf4jTraceReporterFactory; to leave the reporter out, set traces.reporters=file; did you mean org.apache.flink.traces.slf4j.Slf4jTraceReporterFactory?
error: conf/config.yaml:6:7: traces.reporter.file.path: is not set
error: conf/config.yaml:7:7: traces.reporter.file.rotate.sizes: unknown key; did you mean traces.reporter.file.rotate.size?
error: conf/config.yaml:8:1: flink-traces.poll-interval: 'soon' is not a duration from `10 ms` to `1 d`
error: conf/config.yaml:9:1: flink-traces.rest.timeot: unknown key; did you mean flink-traces.rest.timeout?
error: conf/config.yaml:11:3: flink-traces.clusters.prod: invalid URL htp://host: expected http:// or https://
";
    assert_eq!(told, expected);
}

#[test]
fn reporter_options_are_checked_before_start() {
    let reporters = format!(
        "traces.reporter.otlp.factory.class: org.apache.flink.traces.otel.OpenTelemetryTraceReporterFactory
traces.reporter.otlp.exporter.endpoint: http://localhost:4317
traces.reporter.otlp.exporter.timeout: soon
traces.reporter.log.factory.class: {SLF4J}
traces.reporter.log.format: pretty
events.reporter.file.factory.class: flink-traces-json
events.reporter.file.path: events.jsonl
events.reporter.file.rotate.keep: 0
"
    );
    let expected = "\
error: conf/flink-conf.yaml:3:1: traces.reporter.otlp.exporter.timeout: 'soon' is not a duration from `1 ms` to `365 d`
error: conf/flink-conf.yaml:5:1: traces.reporter.log.format: 'pretty' is not `fields` or `flink`
error: conf/flink-conf.yaml:8:1: events.reporter.file.rotate.keep: '0' is not a whole number from 1
";
    for command in [&["check"][..], &["run", "--flink", "http://localhost:8081"], &["demo"]] {
        let place = Place::new();
        place.write("conf/flink-conf.yaml", &reporters);
        let refused = place.run(&[command, &["--conf", "conf"]].concat()).expect_code(78);
        assert_eq!((refused.stdout.as_str(), refused.stderr.as_str()), ("", expected), "{command:?}");
        assert_eq!(place.names(), ["conf"], "{command:?}");
    }
}

#[test]
fn unopenable_file_is_reported_when_needed() {
    let place = Place::new();
    let arguments =
        ["-Dtraces.reporter.json.factory.class=flink-traces-json", "-Dtraces.reporter.json.path=away/spans.jsonl"];
    let recording = session::full_recording();
    let play = [&["play", recording.to_str().unwrap()], &arguments[..]].concat();
    let refused = place.run(&play).expect_code(78);
    assert_eq!(
        refused.stderr,
        "error: -D: traces.reporter.json: \"away/spans.jsonl\": No such file or directory (os error 2)\n"
    );
    let flink = FakeFlink::start(session::answers());
    let url = flink.url();
    let checked = place.run(&[&["check", "--flink", &url], &arguments[..]].concat()).expect_code(69);
    assert!(checked.stdout.ends_with("  FAILED  traces.reporter.json: directory away does not exist\n"), "{checked:?}");
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn invalid_files_are_rejected_with_location() {
    for (file, content, expected) in [
        ("config.yaml", "a: 1\ntraces: {\n", "error: conf/config.yaml:3:1: "),
        ("config.yaml", "traces: x\n  b: c\n", "error: conf/config.yaml:2:4: "),
        ("config.yaml", "a: 1\nb: 2\na: 3\n", "error: conf/config.yaml:3:1: a: set twice in one map\n"),
        ("config.yaml", "a:\n  b: 1\n  b: 2\n", "error: conf/config.yaml:3:3: a.b: set twice in one map\n"),
        ("config.yaml", "a:\n\tb: 1\n", "error: conf/config.yaml:2:"),
        ("config.yaml", "a: 1\n---\nb: 2\n", "error: conf/config.yaml:2:1: unexpected second document"),
        ("config.yaml", "a: *b\n", "error: conf/config.yaml:1:4: "),
        ("config.yaml", "just text\n", "error: conf/config.yaml:1:1: not a map of keys and values\n"),
    ] {
        let told = check(file, content, &[], 78);
        assert!(told.starts_with(expected), "{content:?}: {told}");
    }
}

/// Scenario: a template was not rendered. Guarantees: the error has the place, the key and the
/// value, over gRPC and over HTTP, and is the only one of that reporter.
#[test]
fn unreplaced_placeholders_are_rejected() {
    for protocol in ["grpc", "http"] {
        let file = format!(
            "traces.reporter.o.factory.class: {}\ntraces.reporter.o.exporter.endpoint: http://${{HOST_IP}}:4317\n\
             traces.reporter.o.exporter.protocol: {protocol}\ntraces.reporter.o.exporter.headers.authorization: Bearer ${{TOKEN}}\n\
             jobmanager.memory.process.size: ${{SIZE}}\n",
            flink_traces_otlp::TRACE_FACTORY
        );
        let told = check("config.yaml", &file, &[], 78);
        let key = "traces.reporter.o.exporter";
        let expected = format!(
            "error: conf/config.yaml:2:1: {key}.endpoint: 'http://${{HOST_IP}}:4317' has the placeholder ${{HOST_IP}}, expected its value\n\
             error: conf/config.yaml:4:1: {key}.headers.authorization: '******' has the placeholder ${{TOKEN}}, expected its value\n"
        );
        assert_eq!(told, expected);
    }
}

#[test]
fn key_without_blank_is_named_with_its_line() {
    for (content, line) in [
        ("a: 1\nb: http://c:4317\ntraces.reporters:otel\n", "3:1"),
        ("a: 1\n  # x\nb:\n  c.d:e\n  f: 1\n", "4:3"),
        ("traces.reporters:otel\nb: 1\n", "1:1"),
    ] {
        let told = check("config.yaml", content, &[], 78);
        assert_eq!(told, format!("error: conf/config.yaml:{line}: expected a blank after the colon\n"));
    }
}

#[test]
fn value_cut_at_a_hash_is_warned_about() {
    let flink = FakeFlink::start(session::answers());
    let file = "events.reporter.o.factory.class: org.apache.flink.events.slf4j.Slf4jEventReporterFactory\n\
                metrics.scope.delimiter: a#b\nx.y: 1 # comment\n# comment\n";
    let told = check("flink-conf.yaml", file, &["--flink", &flink.url()], 0);
    assert!(
        told.contains("conf/flink-conf.yaml:2:1: metrics.scope.delimiter: value cut at `#`, as in Flink"),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1, "{told}");
}

/// Scenario: Flink's documentation has an example with a second reporter, whose class only its
/// author has. Guarantees: the error names the way to leave it out, and that way works. In a file
/// of Flink's own, the reporter is left out.
#[test]
fn reporter_of_an_unknown_class_can_be_left_out() {
    let flink = FakeFlink::start(session::answers());
    let url = flink.url();
    let example = format!(
        "traces.reporters: log,theirs\ntraces.reporter.log.factory.class: {SLF4J}\n\
         traces.reporter.theirs.factory.class: org.example.TheirFactory\ntraces.reporter.theirs.x: y\n"
    );
    let told = check("config.yaml", &example, &["--flink", &url], 78);
    let origin =
        "conf/config.yaml:3:1: traces.reporter.theirs.factory.class: unknown factory class 'org.example.TheirFactory'";
    assert!(told.starts_with(&format!("error: {origin}; available: ")), "{told}");
    assert!(told.ends_with("; to leave the reporter out, set traces.reporters=log\n"), "{told}");
    let way_out = ["--flink", &url, "-Dtraces.reporters=log", "--log-level", "warn"];
    assert_eq!(check("config.yaml", &example, &way_out, 0), "");
    // A reporter that is not in the list is not looked at.
    let unfinished = example.replace("theirs.factory.class: org.example.TheirFactory", "theirs.z: y");
    assert_eq!(check("config.yaml", &unfinished, &way_out, 0), "");

    let own = format!("{example}jobmanager.rpc.address: localhost\n");
    let told = check("config.yaml", &own, &["--flink", &url], 0);
    assert!(told.contains("WARN") && told.contains(origin), "{told}");
    assert!(told.contains("reporter left out, because the file is Flink's own"), "{told}");
}

#[test]
fn clusters_are_plain_text_or_pages() {
    let flink = FakeFlink::start(session::answers());
    let url = flink.url();
    let place = Place::new();
    let clusters = format!("-Dflink-traces.clusters=prod:{url},{url}/x");
    let checked = place.run(&["check", &clusters]).expect_code(69);
    assert!(checked.stdout.contains(&format!("ok      cluster prod: Flink 2.3.0 at {url}\n")), "{}", checked.stdout);
    assert!(checked.stdout.contains(&format!("FAILED  cluster {}/x: ", &url["http://".len()..])), "{}", checked.stdout);

    let page = format!("{url}/#/overview");
    let shown = place.run(&["once", "--flink", &page]).expect_code(0);
    assert!(shown.stdout.contains("orders-recover"), "{shown:?}");
    let note = format!("--flink: the address of a page, taking {url} as the REST address");
    assert!(shown.stderr.contains(&note), "{shown:?}");
}

#[test]
fn check_knows_the_reporters_of_the_json_argument() {
    let flink = FakeFlink::start(session::answers());
    let place = Place::new();
    let check = ["check", "--flink", &flink.url(), "--json", "lines", "--json-format", "otlp"];
    let checked = place.run(&check).expect_code(0);
    for line in [
        "  traces.reporter.json.format = otlp  [--json]\n",
        "  ok      events.reporter.json: directory lines does not exist yet, run creates it\n",
    ] {
        assert!(checked.stdout.contains(line), "{}", checked.stdout);
    }
    assert_eq!(place.names(), [""; 0]);
}

#[test]
fn malformed_legacy_line_is_a_warning_like_in_flink() {
    let flink = FakeFlink::start(session::answers());
    let url = flink.url();
    let told = check("flink-conf.yaml", "a:1\nmetrics.scope.delimiter: _\n", &["--flink", &url], 0);
    assert!(
        told.contains("WARN") && told.contains("conf/flink-conf.yaml:1:1: line skipped: expected `key: value`"),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn yaml_bombs_are_rejected_at_once() {
    let mut aliases = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let below = level - 1;
        writeln!(aliases, "a{level}: &a{level} [{}]", vec![format!("*a{below}"); 9].join(", ")).unwrap();
    }
    let depth = "[".repeat(20_000);
    let scalar = format!("a: {}\n", "x".repeat(20 << 20));
    for (content, expected) in [
        (aliases, "larger than 16 MiB with aliases replaced"),
        (depth, "recursion limit exceeded"),
        (scalar, "larger than 3 MiB"),
    ] {
        let began = Instant::now();
        let told = check("config.yaml", &content, &[], 78);
        assert!(told.starts_with("error: conf/config.yaml") && told.contains(expected), "{told}");
        assert!(told.len() < 1_000 && began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    }
}

#[test]
fn invalid_clusters_are_rejected() {
    let place = Place::new();
    let none = "error: no cluster: give --flink URL, or configure flink-traces.clusters.<name>";
    for (command, discovery) in [("run", " or flink-traces.discovery"), ("once", "")] {
        let none = [none, discovery, "\n"].concat();
        for (arguments, expected) in [
            (&[][..], none.as_str()),
            (
                &["--flink", "nonsense"],
                "error: --flink: invalid URL nonsense: expected http:// or https:// in front of it, did you mean http://nonsense?\n",
            ),
            (
                &["--flink", "127.0.0.1:8081"],
                "error: --flink: invalid URL 127.0.0.1:8081: expected http:// or https:// in front of it, did you mean http://127.0.0.1:8081?\n",
            ),
            (
                &["--flink", "a=http://h", "--flink", "b=http://h:1", "--flink", "a=http://i"],
                "error: --flink: two clusters have the name 'a'\n",
            ),
            (
                &["--flink", "http://h:8081/", "--flink", "http://h:8081"],
                "error: --flink: two clusters have the name 'h:8081'\n",
            ),
            (&["--flink", "=http://h"], "error: --flink: a cluster has an empty name\n"),
            (
                &["--flink", "http://h", "-D", "flink-traces.rest.ca-certificates=away.pem"],
                "error: -D: flink-traces.rest.ca-certificates: cannot be read: No such file or directory (os error 2)\n",
            ),
        ] {
            let refused = place.run(&[&[command], arguments].concat()).expect_code(78);
            assert_eq!((refused.stdout.as_str(), refused.stderr.as_str()), ("", expected), "{arguments:?}");
        }
    }
}

#[test]
fn invalid_arguments_are_rejected() {
    let place = Place::new();
    for (arguments, expected) in [
        (&["-D", "a=1", "-D", "canary"][..], "error: -D number 2 is not key=value\n"),
        (&["-D=canary"], "error: -D number 1 is not key=value\n"),
        (&["--conf", "away"], "error: away: cannot be read: No such file or directory (os error 2)\n"),
        (
            &["-Dtraces.reporters.x=canary"],
            "error: -D: traces.reporters.x: unknown key; did you mean traces.reporters?\n",
        ),
    ] {
        let refused = place.run(&[&["demo"], arguments].concat()).expect_code(78);
        assert_eq!(refused.stderr, expected, "{arguments:?}");
    }
    let refused = place.run(&["demo", "--otlp", "collector:4317"]).expect_code(78);
    let told = ["traces", "events"].map(|signal| {
        format!(
            "error: --otlp: {signal}.reporter.otlp.exporter.endpoint: 'collector:4317' is not a URL that begins with http:// or \
             https://, without user, password and fragment: no scheme; did you mean http://collector:4317?\n"
        )
    });
    assert_eq!(refused.stderr, told.concat());
}

#[test]
fn check_prints_options_and_tests_destinations() {
    let place = Place::new();
    let (flink, away) = (FakeFlink::start(session::answers()), Port::reserve());
    place.write(
        "conf/config.yaml",
        format!(
            "flink-traces.clusters:\n  prod: {}\n  test: {}\nmetrics.scope.delimiter: _\njobmanager.rpc.address: host\n",
            flink.url(),
            away.url()
        ),
    );
    let collector = OtlpCollector::start().unwrap();
    let endpoint = collector.http_endpoint();
    let spool = place.path("spool").display().to_string();
    let options = [
        "-Dflink-traces.poll-interval=2 s".to_owned(),
        format!("-Dtraces.reporter.otlp.spool.directory={spool}"),
        "-Dtraces.reporter.otlp.scope.variables.additional=apikey:canary".to_owned(),
    ];
    let mut arguments = vec!["check", "--conf", "conf", "--otlp", &endpoint];
    arguments.extend(options.iter().map(String::as_str));
    let short = place.run(&arguments).expect_code(69);
    assert!(short.stdout.contains("\nDefaults are not shown, see --all\n"), "{}", short.stdout);
    assert!(!short.stdout.contains("[default]") && short.stdout.contains("  [-D]\n"), "{}", short.stdout);
    flink.ignore_requests();
    let checked = place.run(&[&arguments[..], &["--all"]].concat()).expect_code(69);
    let mut lines = checked.stdout.lines();
    for expected in [
        "Options".to_owned(),
        format!("  flink-traces.clusters.prod = {}  [conf/config.yaml:2:3]", flink.url()),
        "  flink-traces.poll-interval = 2 s  [-D]".to_owned(),
        "  flink-traces.rest.timeout = 10 s  [default]".to_owned(),
        "  metrics.scope.delimiter = _  [conf/config.yaml:4:1]".to_owned(),
        "Reporter traces.reporter.otlp".to_owned(),
        "  traces.reporter.otlp.scope.variables.additional = apikey:******  [-D]".to_owned(),
        format!("  traces.reporter.otlp.exporter.endpoint = {endpoint}  [--otlp]"),
        "  traces.reporter.otlp.exporter.protocol = auto  [--otlp]".to_owned(),
        "  traces.reporter.otlp.exporter.timeout = 10 s  [default]".to_owned(),
        "Reporter events.reporter.otlp".to_owned(),
        "Clusters and destinations".to_owned(),
        format!("  ok      cluster prod: Flink 2.3.0 at {}", flink.url()),
        format!(
            "  FAILED  cluster test: {}/config: connection refused: tcp connect error: Connection refused (os error 111)",
            away.url()
        ),
        format!(
            "  ok      traces.reporter.otlp: {endpoint}/opentelemetry.proto.collector.trace.v1.TraceService/Export accepts \
             traces over grpc"
        ),
        format!("  ok      traces.reporter.otlp: directory {spool}/traces-otlp is writable"),
        format!(
            "  ok      events.reporter.otlp: {endpoint}/opentelemetry.proto.collector.logs.v1.LogsService/Export accepts \
             events over grpc"
        ),
    ] {
        assert!(lines.any(|line| line == expected), "not there, or not in order: {expected}\n{}", checked.stdout);
    }
    assert_eq!(checked.stderr, "");
    // No span and no event was sent, and no file is left. Requests to Flink are for the version,
    // the overview, and three facts about the job.
    assert_eq!(flink.authorizations().len(), 1 + 1 + 3);
    assert!(collector.requests().iter().all(|request| request.records == 0));
    assert_eq!(place.names(), ["conf"]);
    // The clusters of --flink replace the configured ones.
    let checked = place.run(&["check", "--conf", "conf", "--flink", &flink.url()]).expect_code(0);
    assert!(!checked.stdout.contains("cluster test"), "{}", checked.stdout);
}

/// Scenario: the address leads to something that is no collector. Guarantees: `check` fails, and
/// says what to change.
#[test]
fn check_names_the_mistake_in_an_address() {
    let (place, flink) = (Place::new(), FakeFlink::start(session::answers()));
    let collector = OtlpCollector::start().unwrap();
    collector.respond_by(|_| HttpResponse::new(404).into());
    let wrong_path = format!("{}/otlp", collector.http_endpoint());
    let encrypted = collector.grpc_endpoint().replace("http://", "https://");
    for (endpoint, expected) in [
        (&wrong_path, "; no OTLP receiver at this path"),
        (&encrypted, "this port has no TLS: begin `exporter.endpoint` with http://"),
    ] {
        let checked = place.run(&["check", "--flink", &flink.url(), "--otlp", endpoint]).expect_code(69);
        let lines = checked.stdout.lines().filter(|line| line.contains("  FAILED  ") && line.contains(expected));
        assert_eq!(lines.count(), 2, "{}", checked.stdout);
    }
}

/// Scenario: a map is written as text and malformed. Guarantees: the error shows no secret in it.
#[test]
fn malformed_map_does_not_show_its_secret() {
    let place = Place::new();
    for option in ["resource.attributes=password=canary", "scope.variables.additional=a,apikey:canary"] {
        let option = format!("-Dtraces.reporter.otlp.{option}");
        let refused = place.run(&["demo", "--otlp", "http://localhost:1", &option]).expect_code(78);
        assert!(refused.stderr.contains("' is not a map") && refused.stderr.contains("******"), "{refused:?}");
        assert!(!refused.stderr.contains("canary"), "{refused:?}");
    }
}

/// Returns the standard output of `check` with one OTLP reporter, in an environment.
fn check_in(environment: &[(&str, &str)], options: &str, arguments: &[&str]) -> String {
    let place = Place::new();
    place.write("token", "canary-in-file");
    place.write(
        "conf/config.yaml",
        format!(
            "traces.reporter.otel.factory.class: org.apache.flink.traces.otel.OpenTelemetryTraceReporterFactory
events.reporter.otel.factory.class: org.apache.flink.events.otel.OpenTelemetryEventReporterFactory
{options}"
        ),
    );
    let arguments = [&["check", "--all", "--conf", "conf", "--log-level", "trace"], arguments].concat();
    let mut command = command(&place.path(""), &arguments);
    command.envs(environment.iter().copied());
    // The exit code is 69, because there is no cluster.
    let checked = Running::start(command).finish().expect_code(69);
    assert!(!format!("{checked:?}").contains("canary"), "{checked:?}");
    format!("{}{}", checked.stdout, checked.stderr)
}

/// Scenario: variables are in quotes, not Unicode, or no headers, and there is a proxy.
/// Guarantees: each is warned about and left out, and the loopback interface needs no proxy.
#[cfg(unix)]
#[test]
fn unreadable_variables_are_warned_about() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let nobody = Port::reserve();
    let mut command = command(&place.path(""), &["check", "--otlp", &nobody.url()]);
    command.env("OTEL_SERVICE_NAME", std::ffi::OsStr::from_bytes(b"canary\xff"));
    command.env("OTEL_EXPORTER_OTLP_HEADERS", "\"authorization=Bearer canary,a b=canary\"");
    command.env("HTTP_PROXY", "http://127.0.0.1:1");
    let checked = Running::start(command).finish().expect_code(69);
    for warning in [
        "OTEL_SERVICE_NAME: is not Unicode; ignored",
        "OTEL_EXPORTER_OTLP_HEADERS: is in quotes, which are left out",
        "OTEL_EXPORTER_OTLP_HEADERS: has an entry that is not a valid header; ignored",
    ] {
        assert_eq!(checked.stderr.matches(warning).count(), 1, "{checked:?}");
    }
    assert_eq!(checked.stderr.lines().count(), 3, "{checked:?}");
    assert!(checked.stdout.contains("exporter.headers.authorization = ******  [OTEL_EXPORTER_OTLP_HEADERS]"));
    assert!(!checked.stdout.contains("exporter.proxy") && !format!("{checked:?}").contains("canary"), "{checked:?}");
}

/// Scenario: options are set by OpenTelemetry's variables, by the file and by arguments.
/// Guarantees: the precedence is argument, file, variable, default. `check` prints the origin.
#[test]
fn environment_has_lower_precedence_than_file() {
    let nobody = Port::reserve();
    let url = nobody.url();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "carrier-pigeon"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=canary"),
        ("OTEL_SERVICE_NAME", "by-variable"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a=b"),
    ];
    let options = "traces.reporter.otel.exporter.timeout: 3 s\nevents.reporter.otel.service.name: by-file\n";
    let told = check_in(&environment, options, &["-D", "events.reporter.otel.exporter.protocol=http/json"]);
    for expected in [
        format!("traces.reporter.otel.exporter.endpoint = {url}/v1/traces  [OTEL_EXPORTER_OTLP_ENDPOINT]"),
        "traces.reporter.otel.exporter.protocol = http/protobuf  [OTEL_EXPORTER_OTLP_PROTOCOL]".to_owned(),
        "traces.reporter.otel.exporter.timeout = 3 s  [conf/config.yaml:3:1]".to_owned(),
        "traces.reporter.otel.exporter.compression = none  [default]".to_owned(),
        "traces.reporter.otel.exporter.headers.x-key = ******  [OTEL_EXPORTER_OTLP_HEADERS]".to_owned(),
        "traces.reporter.otel.service.name = by-variable  [OTEL_SERVICE_NAME]".to_owned(),
        "traces.reporter.otel.resource.attributes.a = b  [OTEL_RESOURCE_ATTRIBUTES]".to_owned(),
        format!("events.reporter.otel.exporter.endpoint = {url}/v1/logs  [OTEL_EXPORTER_OTLP_ENDPOINT]"),
        "events.reporter.otel.exporter.protocol = http/json  [-D]".to_owned(),
        "events.reporter.otel.exporter.timeout = 2500 ms  [OTEL_EXPORTER_OTLP_TIMEOUT]".to_owned(),
        "events.reporter.otel.service.name = by-file  [conf/config.yaml:4:1]".to_owned(),
        "OTEL_EXPORTER_OTLP_COMPRESSION: has an unknown value; ignored".to_owned(),
    ] {
        assert!(told.contains(&expected), "{expected} is not in\n{told}");
    }
}

/// Scenario: every secret option is set. Guarantees: `check` shows no secret.
#[test]
fn check_shows_no_secret() {
    let nobody = Port::reserve();
    let base = format!("exporter.endpoint: {}/?key=canary", nobody.url());
    for credentials in [
        "exporter.headers.authorization: canary",
        "exporter.basic-auth: me:canary",
        "exporter.bearer-token: canary",
        "exporter.bearer-token-file: token",
    ] {
        let traces = [base.as_str(), credentials, "exporter.proxy: http://me:canary@h", "exporter.headers.x: canary"];
        let traces = traces.map(|option| format!("traces.reporter.otel.{option}\n")).concat();
        // A label of more than 63 bytes is unknown without a DNS request.
        let unknown = "a".repeat(64);
        let events = format!("events.reporter.otel.exporter.endpoint: http://{unknown}/?key=canary\n");
        let environment = [("OTEL_EXPORTER_OTLP_HEADERS", "y=canary"), ("HTTP_PROXY", "http://me:canary@h")];
        let told = check_in(&environment, &(traces + &events), &[]);
        assert!(told.contains("events.reporter.otel.exporter.proxy = http://******@h  [HTTP_PROXY]"), "{told}");
    }
}

/// An image without root certificates. The error names the options that replace them.
#[test]
#[cfg(target_os = "linux")]
fn missing_root_certificates_name_the_options() {
    let place = Place::new();
    let mut command =
        command(&place.path(""), &["run", "--flink", "https://localhost:1", "--otlp", "https://localhost:1"]);
    command.env("SSL_CERT_FILE", place.path("away")).env("SSL_CERT_DIR", place.path("away"));
    let refused = Running::start(command).finish().expect_code(78);
    for key in ["set flink-traces.rest.ca-certificates", "set exporter.ca-certificates"] {
        assert!(refused.stderr.contains(key), "{}", refused.stderr);
    }
}
