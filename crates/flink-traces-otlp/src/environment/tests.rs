//! Variables become options, and invalid ones warnings.

use super::*;

/// Checks the options and warnings, in the form `key=value` and `! variable`.
fn check(signal: Signal, options: &[(&str, &str)], variables: &[(&str, &str)], expected: &[&str]) {
    let config = ReporterConfig::from_pairs("r", options.iter().copied());
    let variable =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let (options, warnings) = environment_options(signal, &config, &variable);
    let options = options.iter().map(|option| format!("{}={}", option.key, option.value));
    let found: Vec<_> = options.chain(warnings.iter().map(|warning| format!("! {}", warning.variable))).collect();
    assert_eq!(found, expected, "{variables:?}");
}

const HTTP: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");

#[test]
fn shared_endpoint_gets_signal_path_own_endpoint_none() {
    let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://h:4318/otlp/?a=b");
    let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t:4318/x");
    let protocol = "exporter.protocol=http/protobuf";
    check(Signal::Traces, &[], &[all, HTTP], &[protocol, "exporter.endpoint=https://h:4318/otlp/v1/traces?a=b"]);
    check(Signal::Events, &[], &[all, HTTP, traces], &[protocol, "exporter.endpoint=https://h:4318/otlp/v1/logs?a=b"]);
    let verbatim = [protocol, "exporter.append-path=false", "exporter.endpoint=http://t:4318/x"];
    check(Signal::Traces, &[], &[all, HTTP, traces], &verbatim);
    check(
        Signal::Traces,
        &[("exporter.protocol", "http/json")],
        &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://t")],
        &["exporter.append-path=false", "exporter.endpoint=http://t", "! OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"],
    );
    check(Signal::Traces, &[("exporter.endpoint", "http://own")], &[all], &[]);
}

#[test]
fn grpc_endpoint_without_scheme_uses_tls_by_default() {
    let address = ("OTEL_EXPORTER_OTLP_ENDPOINT", "h:4317");
    let insecure = |text| ("OTEL_EXPORTER_OTLP_INSECURE", text);
    check(Signal::Traces, &[], &[address], &["exporter.endpoint=https://h:4317"]);
    check(Signal::Traces, &[], &[address, insecure("TRUE")], &["exporter.endpoint=http://h:4317"]);
    check(
        Signal::Traces,
        &[],
        &[address, insecure("yes")],
        &["exporter.endpoint=https://h:4317", "! OTEL_EXPORTER_OTLP_INSECURE"],
    );
    let secure = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://h:4317");
    check(Signal::Traces, &[], &[secure, insecure("true")], &["exporter.endpoint=https://h:4317"]);
}

#[test]
fn configuration_wins_and_invalid_values_are_ignored() {
    let all = [
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "ca.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "me.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "key.pem"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=b%20c, Authorization=x=y"),
        ("OTEL_SERVICE_NAME", "name"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=list,k=v%2C"),
    ];
    let expected = [
        "exporter.compression=gzip",
        "exporter.timeout=2500 ms",
        "exporter.ca-certificates=ca.pem",
        "exporter.client-certificate=me.pem",
        "exporter.client-key=key.pem",
        "exporter.headers.a=b c",
        "exporter.headers.Authorization=x=y",
        "service.name=name",
        "resource.attributes.service.name=list",
        "resource.attributes.k=v,",
    ];
    check(Signal::Traces, &[], &all, &expected);
    let own = [
        ("exporter.compression", "none"),
        ("exporter.timeout", "1 s"),
        ("exporter.ca-certificates", "x"),
        ("exporter.client-certificate", "x"),
        ("exporter.client-key", "x"),
        ("exporter.bearer-token", "x"),
        ("service.name", "x"),
        ("resource.attributes.a", "x"),
    ];
    check(Signal::Traces, &own, &all, &["exporter.headers.a=b c"]);
    check(Signal::Traces, &[("compatibility", "flink")], &all[6..], &[]);
    let bad = [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:canary@h"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10 s"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "canary"),
        ("OTEL_RESOURCE_ATTRIBUTES", "k=%ff"),
        ("HTTP_PROXY", "socks5://h"),
    ];
    check(Signal::Events, &[], &bad, &bad.map(|(name, _)| format!("! {name}")).each_ref().map(String::as_str));
    check(Signal::Events, &[], &bad.map(|(name, _)| (name, " ")), &[]);
}

#[test]
fn variable_of_one_signal_wins() {
    let both = [("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "1"), ("OTEL_EXPORTER_OTLP_TIMEOUT", "2")];
    check(Signal::Events, &[], &both, &["exporter.timeout=1 ms"]);
    check(Signal::Traces, &[], &both, &["exporter.timeout=2 ms"]);
}

#[test]
fn proxy_depends_on_the_scheme() {
    let all =
        [("HTTP_PROXY", "p:1"), ("https_proxy", "http://u:p@s:2"), ("ALL_PROXY", "http://a:3"), ("NO_PROXY", "x,y")];
    let endpoint = |url| [("exporter.endpoint", url)];
    check(Signal::Traces, &endpoint("http://h"), &all, &["exporter.proxy=http://p:1", "exporter.no-proxy=x,y"]);
    check(Signal::Traces, &endpoint("HTTPS://h"), &all, &["exporter.proxy=http://u:p@s:2", "exporter.no-proxy=x,y"]);
    check(Signal::Traces, &endpoint("https://h"), &all[2..3], &["exporter.proxy=http://a:3"]);
    let own = [("exporter.endpoint", "http://h"), ("exporter.proxy", "")];
    check(Signal::Traces, &own, &all, &[]);
}

#[test]
fn loopback_uses_no_proxy_of_the_environment() {
    let all = [("HTTP_PROXY", "p:1"), ("ALL_PROXY", "http://a:3"), ("NO_PROXY", "x")];
    for url in ["http://localhost:4317", "http://a.LOCALHOST", "http://127.1.2.3:4318/x", "https://[::1]:4317"] {
        check(Signal::Traces, &[("exporter.endpoint", url)], &all, &[]);
    }
    let explicit = [("exporter.endpoint", "http://localhost"), ("exporter.proxy", "http://p")];
    check(Signal::Traces, &explicit, &all, &[]);
    for url in ["http://localhost.example.com", "http://[::2]", "http://10.0.0.1"] {
        let expected = ["exporter.proxy=http://p:1", "exporter.no-proxy=x"];
        check(Signal::Traces, &[("exporter.endpoint", url)], &all, &expected);
    }
    let address = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317");
    check(Signal::Traces, &[], &[address, all[0]], &["exporter.endpoint=http://127.0.0.1:4317"]);
}

#[test]
fn quotes_and_invalid_headers_are_left_out() {
    const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
    let authorization = "exporter.headers.authorization=Bearer abc";
    for quoted in ["\"authorization=Bearer abc\"", "'authorization=Bearer abc'"] {
        check(Signal::Traces, &[], &[(HEADERS, quoted)], &[authorization, "! OTEL_EXPORTER_OTLP_HEADERS"]);
    }
    for bad in ["a b=c", "\"x=1", "te=1", "x=a%0Ab"] {
        let text = format!("{bad},authorization=Bearer abc");
        check(Signal::Traces, &[], &[(HEADERS, &text)], &[authorization, "! OTEL_EXPORTER_OTLP_HEADERS"]);
    }
    check(Signal::Traces, &[], &[("OTEL_SERVICE_NAME", "\"\"")], &["! OTEL_SERVICE_NAME"]);
}
