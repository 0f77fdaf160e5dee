//! The options of both reporters.

mod read;

use std::time::Duration;

use flink_traces_api::otel::{RESOURCE_ATTRIBUTES, SERVICE_NAME, SERVICE_VERSION};
use flink_traces_api::{ConfigOption, OptionDoc, parse_bytes, parse_duration};
use reqwest::Url;

use crate::config::{OnRefusal, Protocol};
pub(crate) use read::{Options, header};

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

pub(crate) const INITIAL_BACKOFF: ConfigOption<Duration> = ConfigOption::parsed(
    "retry.initial-backoff",
    "a duration from `1 ms` to `365 d`",
    positive_duration,
    "The longest pause after the first failure. It doubles with each further failure. The pause itself is random, up to this value.",
)
.or("1 s");

pub(crate) const MAX_BACKOFF: ConfigOption<Duration> = ConfigOption::parsed(
    "retry.max-backoff",
    "a duration from `1 ms` to `365 d`",
    positive_duration,
    "The limit that the longest pause grows to. If the collector requests a longer one, the reporter waits up to 10 min.",
)
.or("30 s");

pub(crate) const RETRY_TIMEOUT: ConfigOption<Duration> = ConfigOption::parsed(
    "retry.timeout",
    "a duration from `0` to `365 d`",
    duration,
    "The time without any delivery after which the pending records of a report are dropped and counted. `0` disables retries.",
)
.or("5 min");

pub(crate) const CONCURRENCY: ConfigOption<u64> = ConfigOption::parsed(
    "exporter.concurrency",
    "a whole number from 1 to 32",
    |text| text.trim().parse().ok().filter(|number| (1..=32).contains(number)),
    "The number of requests of one report that may be in flight at once. A request with child spans waits until the collector has \
     their parents. Other requests may arrive in any order. `1` keeps the order.",
)
.or("4");

pub(crate) const SPOOL_DIRECTORY: ConfigOption<String> = ConfigOption::string(
    crate::SPOOL_DIRECTORY,
    "The directory of the spool, which keeps records through outages and crashes. Each reporter uses a subdirectory `traces-<name>` \
     or `events-<name>`. Stored records count as delivered, and an outage of any length drops none. A request that alone \
     fails for `retry.timeout`, while others are accepted, becomes a dead letter. Several processes can share a directory. Without this option, records are kept in memory only.",
);

pub(crate) const SPOOL_MAX_SIZE: ConfigOption<u64> = ConfigOption::parsed(
    "spool.max-size",
    "a size from `1 mb`",
    |text| parse_bytes(text).filter(|size| *size >= 1 << 20),
    "The maximum size of the spool. A full spool drops the oldest records and counts them, child spans before their parents.",
)
.or("1 gb");

pub(crate) const ON_REFUSAL: ConfigOption<OnRefusal> = ConfigOption::parsed(
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

pub(crate) const DEAD_LETTER_DIRECTORY: ConfigOption<String> = ConfigOption::string(
    "dead-letter.directory",
    "The directory of dead letters: rejected records as OTLP/JSON lines, in a file `traces-<name>.jsonl` or `events-<name>.jsonl`. \
     Without it, rejected records are only counted, unless there is a spool, which has a directory `dead-letter`.",
);

pub(crate) const DEAD_LETTER_MAX_SIZE: ConfigOption<u64> = ConfigOption::bytes(
    "dead-letter.max-size",
    "The maximum size of that file. Records that do not fit are only counted.",
)
.or("64 mb");

pub(crate) const BATCH_BYTES: ConfigOption<u64> = ConfigOption::parsed(
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

fn duration(text: &str) -> Option<Duration> {
    // Adding a longer duration to the current time could overflow.
    const LONGEST: Duration = Duration::from_secs(365 * 86_400);
    parse_duration(text).filter(|duration| *duration <= LONGEST)
}

fn positive_duration(text: &str) -> Option<Duration> {
    duration(text).filter(|duration| *duration >= Duration::from_millis(1))
}

#[cfg(test)]
mod tests;
