//! Options are read with their defaults, and errors name what was expected.

use flink_traces_api::{ReporterConfig, Signal};

use super::*;

const URL: (&str, &str) = ("exporter.endpoint", "http://collector:4317");

fn read(signal: Signal, options: &[(&str, &str)]) -> Result<Options, String> {
    let config = ReporterConfig::from_pairs("otlp", options.iter().copied());
    Options::read(&config, signal).map_err(|error| error.to_string())
}

#[test]
fn url_without_path_gets_the_signal_path() {
    let check = |endpoint: &str, more: &[(&str, &str)], traces: &str, logs: &str| {
        let mut options = vec![("exporter.endpoint", endpoint)];
        options.extend(more);
        for (signal, expected) in [(Signal::Traces, traces), (Signal::Events, logs)] {
            assert_eq!(read(signal, &options).unwrap().target.url.as_str(), expected, "{options:?}");
        }
    };
    let traces = "http://h:4317/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let logs = "http://h:4317/opentelemetry.proto.collector.logs.v1.LogsService/Export";
    for endpoint in ["http://h:4317", " HTTP://h:4317/ ", "http://h:4317/some/path?with=query"] {
        check(endpoint, &[], traces, logs);
    }
    let http = ("exporter.protocol", "http");
    check("https://h", &[http], "https://h/v1/traces", "https://h/v1/logs");
    check("http://h/?a=b", &[http], "http://h/v1/traces?a=b", "http://h/v1/logs?a=b");
    check("http://h:4318/v1/traces", &[http], "http://h:4318/v1/traces", "http://h:4318/v1/traces");
    check("http://h", &[http, ("exporter.append-path", "false")], "http://h/", "http://h/");
    check("http://[::1]:4318", &[http, ("compatibility", "flink")], "http://[::1]:4318/", "http://[::1]:4318/");
}

#[test]
fn protocol_and_compression_ignore_case() {
    for (text, protocol) in [
        ("grpc", Protocol::Grpc),
        ("gRPC", Protocol::Grpc),
        ("HTTP", Protocol::Http),
        ("http/Protobuf", Protocol::Http),
        ("HTTP/JSON", Protocol::HttpJson),
    ] {
        let options = read(Signal::Traces, &[URL, ("exporter.protocol", text)]).unwrap();
        assert_eq!(options.target.protocol, protocol);
    }
    for (text, gzip) in [("none", false), ("GZIP", true)] {
        assert_eq!(read(Signal::Traces, &[URL, ("exporter.compression", text)]).unwrap().target.gzip, gzip);
    }
}

#[test]
fn auto_is_grpc_and_its_alternative_http() {
    let options = read(Signal::Events, &[("exporter.endpoint", "http://h:1"), ("exporter.protocol", "Auto")]).unwrap();
    let ways = options.targets().into_iter().map(|target| (target.protocol, target.url.to_string()));
    let grpc = "http://h:1/opentelemetry.proto.collector.logs.v1.LogsService/Export".to_owned();
    let expected = [(Protocol::Grpc, grpc), (Protocol::Http, "http://h:1/v1/logs".to_owned())];
    assert_eq!(ways.collect::<Vec<_>>(), expected);
    assert!(read(Signal::Events, &[URL]).unwrap().alternative.is_none());
}

#[test]
fn batch_limit_is_higher_over_http() {
    let bytes = |protocol, size| {
        read(Signal::Traces, &[URL, ("exporter.protocol", protocol), ("batch.bytes", size)])
            .map(|options| options.batch_bytes)
    };
    assert_eq!(bytes("grpc", "3584 kb"), Ok(3_670_016));
    assert_eq!(bytes("http", "16 mb"), Ok(16_777_216));
    bytes("grpc", "3585 kb").unwrap_err();
}

#[test]
fn defaults_match_the_documentation() {
    let options = read(Signal::Traces, &[URL]).unwrap();
    let Options { target, retry, batch_bytes, concurrency, on_refusal, dead_letters, .. } = options;
    assert_eq!((target.protocol, target.gzip, target.headers.len()), (Protocol::Grpc, false, 0));
    assert_eq!(target.timeout, Duration::from_secs(10));
    assert_eq!([retry.initial_backoff, retry.max_backoff, retry.timeout].map(|time| time.as_secs()), [1, 30, 300]);
    assert_eq!((batch_bytes, concurrency), (1 << 20, 4));
    assert_eq!((on_refusal, dead_letters.is_none()), (OnRefusal::Keep, true));
}

#[test]
fn invalid_value_is_an_error_with_expectation() {
    let check = |option: (&str, &str), shown: &str, expected: &str| {
        let error = read(Signal::Traces, &[URL, option]).err().unwrap();
        assert_eq!(error, format!("code: reporter.otlp.{}: '{shown}' is not {expected}", option.0));
    };
    assert_eq!(read(Signal::Events, &[]).err().unwrap(), "reporter.otlp.exporter.endpoint is not set");
    for url in ["collector:4317", "ftp://collector", "http:collector", "http://", "http://h:99999", "http://h/#x", ""] {
        check(("exporter.endpoint", url), url, ENDPOINT.doc().expected);
    }
    check(("exporter.endpoint", "http://me:canary@h"), "http://******@h", ENDPOINT.doc().expected);
    check(("exporter.protocol", "http/xml"), "http/xml", PROTOCOL.doc().expected);
    check(("exporter.compression", "zstd"), "zstd", "`none` or `gzip`");
    for option in [&TIMEOUT, &INITIAL_BACKOFF, &MAX_BACKOFF] {
        for text in ["0", "366 d", "999 us", "ten"] {
            check((option.key(), text), text, "a duration from `1 ms` to `365 d`");
        }
    }
    check(("retry.timeout", "366 d"), "366 d", "a duration from `0` to `365 d`");
    for text in ["1023", "4 mb", "17 mb", "-1"] {
        check(("batch.bytes", text), text, BATCH_BYTES.doc().expected);
    }
    for text in ["0", "33", "two"] {
        check(("exporter.concurrency", text), text, "a whole number from 1 to 32");
    }
    check(("on-auth-failure", "wait"), "wait", "`keep` or `drop`");
}

#[test]
fn conflicting_credentials_error_hides_secrets() {
    let check = |options: &[(&str, &str)], key: &str, expected: &str| {
        let error = read(Signal::Traces, &[&[URL], options].concat()).err().unwrap();
        assert!(error.starts_with(&format!("code: reporter.otlp.{key}: '")) && error.ends_with(expected), "{error}");
        assert!(!error.contains("canary"), "{error}");
    };
    let only = "the header `authorization`";
    let basic = ("exporter.basic-auth", "me:canary");
    let token = ("exporter.bearer-token", "canary");
    check(&[basic, token], "exporter.bearer-token", only);
    check(&[token, ("exporter.bearer-token-file", "canary")], "exporter.bearer-token-file", only);
    check(&[basic, ("exporter.headers.Authorization", "canary")], "exporter.basic-auth", only);
    check(&[("exporter.basic-auth", "canary")], "exporter.basic-auth", BASIC_AUTH.doc().expected);
    check(&[("exporter.client-certificate", "x")], "exporter.client-certificate", "`exporter.client-key`");
    check(&[("exporter.client-key", "canary")], "exporter.client-key", "`exporter.client-certificate`");
    check(&[("exporter.proxy", "socks5://me:canary@h")], "exporter.proxy", PROXY.doc().expected);
}

#[test]
fn invalid_header_error_hides_secrets() {
    let headers = |options: &[(&str, &str)]| {
        let config = ReporterConfig::from_pairs("otlp", options.iter().copied());
        read::headers(&config).map_err(|error| error.to_string())
    };
    let good = [("exporter.headers.Authorization", "Bearer canary"), ("exporter.headers.x-scope-orgid", "7")];
    let parsed = headers(&good).unwrap();
    assert_eq!(
        (parsed["authorization"].to_str().unwrap(), &parsed["x-scope-orgid"]),
        ("Bearer canary", &"7".parse().unwrap())
    );
    assert!(!format!("{parsed:?}").contains("canary"));
    assert_eq!(headers(&[("exporter.headers", "a:canary,b:2")]).unwrap().len(), 2);
    let twice = [("exporter.headers.X-A", "canary"), ("exporter.headers.x-a", "canary")];
    let error = headers(&twice).unwrap_err();
    assert!(error.ends_with("two names differ in case only") && !error.contains("canary"), "{error}");
    for (key, value) in [
        ("exporter.headers.a b", "canary"),
        ("exporter.headers.a", "can\nary"),
        ("exporter.headers.a", "canary\u{7f}"),
        ("exporter.headers.a", "canäry"),
        ("exporter.headers.content-type", "canary"),
        ("exporter.headers.Grpc-Timeout", "canary"),
        ("exporter.headers", "canary"),
    ] {
        let error = headers(&[(key, value)]).unwrap_err();
        assert!(error.starts_with("code: reporter.otlp.exporter.headers: '******' is not a map"), "{error}");
    }
}
