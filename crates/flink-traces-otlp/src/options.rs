//! The options of both reporters, and the configuration that they give.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use flink_traces_api::otel::{RESOURCE_ATTRIBUTES, SERVICE_NAME, SERVICE_VERSION, resource};
use flink_traces_api::{
    COMPATIBILITY, Compatibility, ConfigError, ConfigOption, OptionDoc, ReporterConfig, Signal, parse_bytes,
    parse_duration,
};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::Url;

use crate::config::{Authorization, OnRefusal, Protocol, Retry, SpoolConfig, Target, TlsConfig};
use crate::dead_letter::{DeadLetters, file_name};
use crate::encode::encode_resource;

pub(crate) const ENDPOINT: ConfigOption<Url> = ConfigOption::parsed(
    "exporter.endpoint",
    "a URL that begins with http:// or https://, without user, password and fragment",
    endpoint,
    "The URL of the collector. Over gRPC the path is ignored. Over HTTP, a URL without a path gets `v1/traces` or `v1/logs`. \
     Under `compatibility: flink` the URL is used unchanged, as Flink does.",
);

pub(crate) const APPEND_PATH: ConfigOption<bool> = ConfigOption::bool(
    "exporter.append-path",
    "Over HTTP, appends the path of the signal to `exporter.endpoint` if it has none.",
)
.or("true");

/// The value of `exporter.protocol` for a protocol that has to be found.
pub(crate) const AUTO: &str = "auto";

/// The protocol, or `None` for one that has to be found.
pub(crate) const PROTOCOL: ConfigOption<Option<Protocol>> = ConfigOption::parsed(
    "exporter.protocol",
    "`grpc`, `http`, `http/json` or `auto`",
    |text| match text.trim().to_ascii_lowercase().as_str() {
        "grpc" => Some(Some(Protocol::Grpc)),
        "http" | "http/protobuf" => Some(Some(Protocol::Http)),
        "http/json" => Some(Some(Protocol::HttpJson)),
        AUTO => Some(None),
        _ => None,
    },
    "The protocol, in upper or lower case. `http`, also written `http/protobuf`, is protobuf over HTTP. `http/json` is JSON over HTTP. \
     `auto` sends empty requests over `grpc` and `http` until one is accepted, and then uses that protocol until the program ends.",
)
.or("grpc");

pub(crate) const TIMEOUT: ConfigOption<Duration> = ConfigOption::parsed(
    "exporter.timeout",
    "a duration from `1 ms` to `365 d`",
    positive_duration,
    "The time limit of one request. A request that takes longer counts as failed.",
)
.or("10 s");

pub(crate) const COMPRESSION: ConfigOption<bool> = ConfigOption::parsed(
    "exporter.compression",
    "`none` or `gzip`",
    |text| match text.trim().to_ascii_lowercase().as_str() {
        "none" => Some(false),
        "gzip" => Some(true),
        _ => None,
    },
    "The compression of requests: `none` or `gzip`, in upper or lower case.",
)
.or("none");

pub(crate) const HEADERS: ConfigOption<Vec<(String, String)>> = ConfigOption::map(
    "exporter.headers",
    "Headers of each request, such as `exporter.headers.authorization: Bearer …`. Over gRPC they are the metadata. Their values are \
     never shown.",
);

pub(crate) const BASIC_AUTH: ConfigOption<(String, String)> = ConfigOption::parsed(
    "exporter.basic-auth",
    "a user and a password, as `user:password`",
    |text| text.trim().split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned())),
    "The user and the password for basic authentication. Never shown.",
);

pub(crate) const BEARER_TOKEN: ConfigOption<String> =
    ConfigOption::string("exporter.bearer-token", "A token, sent as `Authorization: Bearer …`. Never shown.");

pub(crate) const BEARER_TOKEN_FILE: ConfigOption<String> = ConfigOption::string(
    "exporter.bearer-token-file",
    "A file that contains a bearer token. It is read before each request, so it may change. While it cannot be read, the last token \
     stays in use.",
);

pub(crate) const CA_CERTIFICATES: ConfigOption<String> = ConfigOption::string(
    "exporter.ca-certificates",
    "A PEM file with the trusted root certificates. Without it, the system's root certificates are trusted.",
);

pub(crate) const CLIENT_CERTIFICATE: ConfigOption<String> = ConfigOption::string(
    "exporter.client-certificate",
    "A PEM file with the client certificate and its intermediate certificates. Requires `exporter.client-key`.",
);

pub(crate) const CLIENT_KEY: ConfigOption<String> =
    ConfigOption::string("exporter.client-key", "A PEM file with the private key of `exporter.client-certificate`.");

pub(crate) const PROXY: ConfigOption<Option<Url>> = ConfigOption::parsed(
    "exporter.proxy",
    "empty or a URL that begins with http:// or https://",
    |text| match text.trim() {
        "" => Some(None),
        text => http_url(text).map(Some),
    },
    "The URL of an HTTP proxy, with user and password if needed. An empty value means no proxy. For gRPC and for https:// \
     endpoints the proxy provides a tunnel. For gRPC the URL of the proxy must begin with http://.",
);

pub(crate) const NO_PROXY: ConfigOption<String> = ConfigOption::string(
    "exporter.no-proxy",
    "Hosts that are reached without the proxy, in the form of `NO_PROXY`: domain names with their subdomains, addresses and \
     networks, separated by commas.",
);

const INITIAL_BACKOFF: ConfigOption<Duration> = ConfigOption::parsed(
    "retry.initial-backoff",
    "a duration from `1 ms` to `365 d`",
    positive_duration,
    "The longest pause after the first failure. It doubles with each further failure. The pause itself is random, up to this value.",
)
.or("1 s");

const MAX_BACKOFF: ConfigOption<Duration> = ConfigOption::parsed(
    "retry.max-backoff",
    "a duration from `1 ms` to `365 d`",
    positive_duration,
    "The limit that the longest pause grows to. If the collector requests a longer one, the reporter waits up to 10 min.",
)
.or("30 s");

const RETRY_TIMEOUT: ConfigOption<Duration> = ConfigOption::parsed(
    "retry.timeout",
    "a duration from `0` to `365 d`",
    duration,
    "The time without any delivery after which the pending records of a report are dropped and counted. `0` disables retries.",
)
.or("5 min");

const CONCURRENCY: ConfigOption<u64> = ConfigOption::parsed(
    "exporter.concurrency",
    "a whole number from 1 to 32",
    |text| text.trim().parse().ok().filter(|number| (1..=32).contains(number)),
    "The number of requests of one report that may be in flight at once. A request with child spans waits until the collector has \
     their parents. Other requests may arrive in any order. `1` keeps the order.",
)
.or("4");

const SPOOL_DIRECTORY: ConfigOption<String> = ConfigOption::string(
    crate::SPOOL_DIRECTORY,
    "The directory of the spool, which keeps records through outages and crashes. Each reporter uses a subdirectory `traces-<name>` \
     or `events-<name>`. Stored records count as delivered, and are sent until the collector accepts them, regardless of \
     `retry.timeout`. Several processes can share a directory. Without this option, records are kept in memory only.",
);

const SPOOL_MAX_SIZE: ConfigOption<u64> = ConfigOption::parsed(
    "spool.max-size",
    "a size from `1 mb`",
    |text| parse_bytes(text).filter(|size| *size >= 1 << 20),
    "The maximum size of the spool. A full spool drops the oldest records and counts them, child spans before their parents.",
)
.or("1 gb");

const ON_REFUSAL: ConfigOption<OnRefusal> = ConfigOption::parsed(
    "on-auth-failure",
    "`keep` or `drop`",
    |text| match text.trim().to_ascii_lowercase().as_str() {
        "keep" => Some(OnRefusal::Keep),
        "drop" => Some(OnRefusal::Drop),
        _ => None,
    },
    "The reaction to a destination that refuses every request, because of the credentials, the address or the protocol. `keep` \
     retries with backoff (at least once a minute) until a request is accepted, regardless of `retry.timeout`. `drop` counts the \
     records as rejected, as the OTLP specification requires.",
)
.or("keep");

const DEAD_LETTER_DIRECTORY: ConfigOption<String> = ConfigOption::string(
    "dead-letter.directory",
    "The directory of dead letters: rejected records as OTLP/JSON lines, in a file `traces-<name>.jsonl` or `events-<name>.jsonl`. \
     Without it, rejected records are only counted, unless there is a spool, which has a directory `dead-letter`.",
);

const DEAD_LETTER_MAX_SIZE: ConfigOption<u64> = ConfigOption::bytes(
    "dead-letter.max-size",
    "The maximum size of that file. Records that do not fit are only counted.",
)
.or("64 mb");

const BATCH_BYTES: ConfigOption<u64> = ConfigOption::parsed(
    "batch.bytes",
    "a size from `1 kb` to `16 mb`, over gRPC to `3584 kb`",
    |text| parse_bytes(text).filter(|size| (1 << 10..=HTTP_LARGEST_BATCH).contains(size)),
    "The maximum size of a request before compression. A single span or event above it is sent alone. Requests of 200 kb to 1 mb \
     are the most efficient. By default, collectors reject more than 4 mb over gRPC and 20 mb over HTTP.",
)
.or("1 mb");

/// The maximum of `batch.bytes` over gRPC, 3.5 MiB.
const GRPC_LARGEST_BATCH: u64 = 7 << 19;
/// The maximum of `batch.bytes` over HTTP.
const HTTP_LARGEST_BATCH: u64 = 16 << 20;

/// All options except `compatibility`, in the order of the documentation.
pub(crate) const OPTIONS: &[OptionDoc] = &[
    ENDPOINT.doc(),
    APPEND_PATH.doc(),
    PROTOCOL.doc(),
    TIMEOUT.doc(),
    COMPRESSION.doc(),
    HEADERS.doc(),
    BASIC_AUTH.doc(),
    BEARER_TOKEN.doc(),
    BEARER_TOKEN_FILE.doc(),
    CA_CERTIFICATES.doc(),
    CLIENT_CERTIFICATE.doc(),
    CLIENT_KEY.doc(),
    PROXY.doc(),
    NO_PROXY.doc(),
    SERVICE_NAME.doc(),
    SERVICE_VERSION.doc(),
    RESOURCE_ATTRIBUTES.doc(),
    BATCH_BYTES.doc(),
    CONCURRENCY.doc(),
    INITIAL_BACKOFF.doc(),
    MAX_BACKOFF.doc(),
    RETRY_TIMEOUT.doc(),
    ON_REFUSAL.doc(),
    SPOOL_DIRECTORY.doc(),
    SPOOL_MAX_SIZE.doc(),
    DEAD_LETTER_DIRECTORY.doc(),
    DEAD_LETTER_MAX_SIZE.doc(),
];

/// The configuration of one reporter.
pub(crate) struct Options {
    pub(crate) name: String,
    pub(crate) target: Target,
    /// The second way to the destination, if the protocol has to be found.
    pub(crate) alternative: Option<Target>,
    pub(crate) concurrency: usize,
    pub(crate) retry: Retry,
    pub(crate) on_refusal: OnRefusal,
    pub(crate) dead_letters: Option<DeadLetters>,
    pub(crate) spool: Option<SpoolConfig>,
    /// The encoded resource, the first field of every envelope.
    pub(crate) resource: Bytes,
    pub(crate) batch_bytes: usize,
}

impl Options {
    pub(crate) fn read(config: &ReporterConfig, signal: Signal) -> Result<Self, ConfigError> {
        let protocol = config.require(&PROTOCOL)?;
        let is_auto = protocol.is_none();
        let protocol = protocol.unwrap_or(Protocol::Grpc);
        let verbatim = config.require(&COMPATIBILITY)? == Compatibility::Flink || !config.require(&APPEND_PATH)?;
        let headers = headers(config)?;
        let spool = spool(config, signal)?;
        let endpoint = config.require(&ENDPOINT)?;
        let url = |protocol| signal_url(endpoint.clone(), protocol, signal, verbatim);
        let target = Target {
            url: url(protocol),
            protocol,
            signal,
            timeout: config.require(&TIMEOUT)?,
            gzip: config.require(&COMPRESSION)?,
            authorization: authorization(config, &headers)?,
            headers,
            tls: tls(config)?,
            proxy: config.get(&PROXY)?.flatten(),
            no_proxy: config.get(&NO_PROXY)?.unwrap_or_default(),
        };
        let alternative =
            is_auto.then(|| Target { url: url(Protocol::Http), protocol: Protocol::Http, ..target.clone() });
        Ok(Self {
            name: config.name().to_owned(),
            target,
            alternative,
            retry: Retry {
                initial_backoff: config.require(&INITIAL_BACKOFF)?,
                max_backoff: config.require(&MAX_BACKOFF)?,
                timeout: config.require(&RETRY_TIMEOUT)?,
                refusal_timeout: Duration::MAX,
            },
            concurrency: usize::try_from(config.require(&CONCURRENCY)?).unwrap_or(1),
            on_refusal: config.require(&ON_REFUSAL)?,
            dead_letters: dead_letters(config, signal, spool.as_ref())?,
            spool,
            resource: encode_resource(&resource(config, signal)?),
            batch_bytes: batch_bytes(config, protocol)?,
        })
    }

    /// Returns the ways to the destination.
    pub(crate) fn targets(&self) -> Vec<Target> {
        std::iter::once(&self.target).chain(&self.alternative).cloned().collect()
    }
}

fn batch_bytes(config: &ReporterConfig, protocol: Protocol) -> Result<usize, ConfigError> {
    let bytes = config.require(&BATCH_BYTES)?;
    if protocol == Protocol::Grpc && bytes > GRPC_LARGEST_BATCH {
        return Err(config.invalid(&BATCH_BYTES, BATCH_BYTES.doc().expected));
    }
    usize::try_from(bytes).map_err(|error| ConfigError::Setup(error.into()))
}

fn spool(config: &ReporterConfig, signal: Signal) -> Result<Option<SpoolConfig>, ConfigError> {
    let max_size = config.require(&SPOOL_MAX_SIZE)?;
    Ok(config.get(&SPOOL_DIRECTORY)?.map(|directory| SpoolConfig {
        directory: Path::new(&directory).join(file_name(signal, config.name())),
        max_size,
    }))
}

fn dead_letters(
    config: &ReporterConfig,
    signal: Signal,
    spool: Option<&SpoolConfig>,
) -> Result<Option<DeadLetters>, ConfigError> {
    let max_size = config.require(&DEAD_LETTER_MAX_SIZE)?;
    let given = config.get(&DEAD_LETTER_DIRECTORY)?.map(PathBuf::from);
    let directory = given.or_else(|| spool.map(|spool| spool.directory.join("dead-letter")));
    Ok(directory.map(|directory| {
        let path = directory.join(format!("{}.jsonl", file_name(signal, config.name())));
        DeadLetters { path, signal, max_size }
    }))
}

fn authorization(config: &ReporterConfig, headers: &HeaderMap) -> Result<Authorization, ConfigError> {
    const EXPECTED: &str = "the only credentials: set one of `exporter.basic-auth`, `exporter.bearer-token`, \
                            `exporter.bearer-token-file` and the header `authorization`";
    let basic = config.get(&BASIC_AUTH)?.map(|(user, password)| Authorization::Basic(user, password));
    let token = config.get(&BEARER_TOKEN)?.map(|token| Authorization::Bearer(token.trim().to_owned()));
    let file = config.get(&BEARER_TOKEN_FILE)?.map(|path| Authorization::BearerFile(path.into()));
    let mut taken = headers.contains_key(AUTHORIZATION);
    let mut found = Authorization::None;
    let given = [
        (basic, config.invalid(&BASIC_AUTH, EXPECTED)),
        (token, config.invalid(&BEARER_TOKEN, EXPECTED)),
        (file, config.invalid(&BEARER_TOKEN_FILE, EXPECTED)),
    ];
    for (authorization, error) in given {
        if let Some(authorization) = authorization {
            if std::mem::replace(&mut taken, true) {
                return Err(error);
            }
            found = authorization;
        }
    }
    Ok(found)
}

fn tls(config: &ReporterConfig) -> Result<TlsConfig, ConfigError> {
    let client = match (config.get(&CLIENT_CERTIFICATE)?, config.get(&CLIENT_KEY)?) {
        (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
        (None, None) => None,
        (Some(_), None) => return Err(config.invalid(&CLIENT_CERTIFICATE, "allowed without `exporter.client-key`")),
        (None, Some(_)) => return Err(config.invalid(&CLIENT_KEY, "allowed without `exporter.client-certificate`")),
    };
    Ok(TlsConfig { ca_certificates: config.get(&CA_CERTIFICATES)?.map(Into::into), client })
}

fn endpoint(text: &str) -> Option<Url> {
    http_url(text).filter(|url| url.username().is_empty() && url.password().is_none() && url.fragment().is_none())
}

fn http_url(text: &str) -> Option<Url> {
    let text = text.trim();
    // The parser would also accept `http:host`.
    let (scheme, _) = text.split_once("://")?;
    let known = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    Url::parse(text).ok().filter(|_| known)
}

/// Returns the URL of requests.
fn signal_url(mut url: Url, protocol: Protocol, signal: Signal, verbatim: bool) -> Url {
    let (service, path) = match signal {
        Signal::Traces => ("/opentelemetry.proto.collector.trace.v1.TraceService/Export", "/v1/traces"),
        Signal::Events => ("/opentelemetry.proto.collector.logs.v1.LogsService/Export", "/v1/logs"),
    };
    match protocol {
        Protocol::Grpc => {
            url.set_path(service);
            url.set_query(None);
        }
        Protocol::Http | Protocol::HttpJson if url.path() == "/" && !verbatim => url.set_path(path),
        Protocol::Http | Protocol::HttpJson => {}
    }
    url.set_fragment(None);
    url
}

fn headers(config: &ReporterConfig) -> Result<HeaderMap, ConfigError> {
    const EXPECTED: &str = "a map of HTTP headers: names of letters, digits and `-` that the protocol does not reserve, values of \
                            printable ASCII";
    let mut headers = HeaderMap::new();
    for (name, value) in config.get(&HEADERS)?.unwrap_or_default() {
        let (name, value) = header(&name, &value).ok_or_else(|| config.invalid(&HEADERS, EXPECTED))?;
        if headers.insert(name, value).is_some() {
            return Err(config.invalid(&HEADERS, "a map of HTTP headers: two names differ in case only"));
        }
    }
    Ok(headers)
}

/// Parses a header. Returns `None` if it is invalid or reserved.
pub(crate) fn header(name: &str, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::try_from(name.trim()).ok().filter(|name| !is_reserved(name.as_str()))?;
    let mut value = HeaderValue::try_from(value.trim()).ok().filter(|value| value.to_str().is_ok())?;
    value.set_sensitive(true);
    Some((name, value))
}

/// Returns `true` if the transports set the header themselves.
fn is_reserved(name: &str) -> bool {
    const RESERVED: &[&str] = &[
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "te",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    ];
    RESERVED.contains(&name) || name.starts_with("grpc-")
}

fn duration(text: &str) -> Option<Duration> {
    // Adding a longer duration to the current time could overflow.
    const LONGEST: Duration = Duration::from_secs(365 * 86_400);
    parse_duration(text).filter(|duration| *duration <= LONGEST)
}

fn positive_duration(text: &str) -> Option<Duration> {
    duration(text).filter(|duration| *duration >= Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
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
        let options =
            read(Signal::Events, &[("exporter.endpoint", "http://h:1"), ("exporter.protocol", "Auto")]).unwrap();
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
        for url in
            ["collector:4317", "ftp://collector", "http:collector", "http://", "http://h:99999", "http://h/#x", ""]
        {
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
            assert!(
                error.starts_with(&format!("code: reporter.otlp.{key}: '")) && error.ends_with(expected),
                "{error}"
            );
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
            super::headers(&config).map_err(|error| error.to_string())
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
}
