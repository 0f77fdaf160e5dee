//! The options of the program itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use flink_traces_api::{ConfigOption, OptionDoc, parse_bytes, parse_duration};
use flink_traces_runtime::config::CORE_OPTIONS;
use flink_traces_runtime::{Configuration, Problem};

/// The clusters to watch: `flink-traces.clusters.<name>: URL`.
pub(crate) const CLUSTERS: ConfigOption<Vec<(String, String)>> = ConfigOption::map(
    "flink-traces.clusters",
    "The clusters to watch. The value of `flink-traces.clusters.<name>` is the REST address of the cluster with that name. The name is \
     part of span ids, so keep it. A user and a password in the address are sent as basic authentication.",
);

/// The interval between two polls of a cluster.
pub(crate) const POLL_INTERVAL: ConfigOption<Duration> = ConfigOption::parsed(
    "flink-traces.poll-interval",
    "a duration from `10 ms` to `1 d`",
    |text| parse_duration(text).filter(|time| (Duration::from_millis(10)..=DAY).contains(time)),
    "The interval between two polls of a cluster. Responses that Flink caches are requested at most every 3 s.",
)
.or("1 s");

/// The timeout of a request to a cluster.
pub(crate) const REST_TIMEOUT: ConfigOption<Duration> = ConfigOption::parsed(
    "flink-traces.rest.timeout",
    "a duration from `1 ms` to `1 d`",
    |text| parse_duration(text).filter(|time| (Duration::from_millis(1)..=DAY).contains(time)),
    "The timeout of a request to a cluster.",
)
.or("10 s");

/// The token for clusters that require one.
pub(crate) const REST_BEARER_TOKEN: ConfigOption<String> = ConfigOption::string(
    "flink-traces.rest.bearer-token",
    "A token that is sent to every cluster as `Authorization: Bearer …`, for a proxy in front of it.",
);

/// The authorities that clusters' certificates are verified against.
pub(crate) const REST_CA_CERTIFICATES: ConfigOption<String> = ConfigOption::string(
    "flink-traces.rest.ca-certificates",
    "A PEM file with the certificate authorities that are trusted for clusters. Without it, the authorities of the system are trusted.",
);

/// The time that the reporters have for their queues at the end.
pub(crate) const SHUTDOWN_TIMEOUT: ConfigOption<Duration> = ConfigOption::parsed(
    "flink-traces.shutdown-timeout",
    "a duration up to `1 d`",
    |text| parse_duration(text).filter(|time| *time <= DAY),
    "The time that the reporters have to deliver their queues when the program is stopped. Records that remain are counted and dropped.",
)
.or("10 s");

/// The address of the metrics.
pub(crate) const METRICS_LISTEN: ConfigOption<SocketAddr> = ConfigOption::parsed(
    "flink-traces.metrics.listen",
    "a port, or an IP address and a port",
    parse_address,
    "The address at which `run` serves `/metrics` for Prometheus, `/healthz` and `/readyz`: a port of 127.0.0.1, or an address such as \
     `0.0.0.0:9250`. Without it, the program does not listen.",
);

/// The address of the page.
pub(crate) const HTTP_LISTEN: ConfigOption<SocketAddr> = ConfigOption::parsed(
    "flink-traces.http.listen",
    "a port, or an IP address and a port",
    parse_address,
    "The address at which `run` and `serve` serve the page of a history. `run` also serves `/metrics`, `/healthz` and `/readyz` there. \
     An address that is not loopback requires credentials. `serve` listens at `127.0.0.1:9260` without it, and `run` does not.",
);

/// A token for the page.
pub(crate) const HTTP_BEARER_TOKEN: ConfigOption<String> = ConfigOption::parsed(
    "flink-traces.http.bearer-token",
    "a text that is not empty",
    not_empty,
    "A token that requests at `flink-traces.http.listen` must have, as `Authorization: Bearer …`. Never shown.",
);

/// A user and a password for the page.
pub(crate) const HTTP_BASIC_AUTH: ConfigOption<String> = ConfigOption::parsed(
    "flink-traces.http.basic-auth",
    "a user and a password, as `user:password`",
    user_and_password,
    "The user and the password that requests at `flink-traces.http.listen` must have. A browser asks for them. Never shown.",
);

/// The certificate of the listeners.
pub(crate) const TLS_CERTIFICATE: ConfigOption<String> = ConfigOption::string(
    "flink-traces.tls.certificate",
    "A PEM file with the certificate of all addresses that the program listens at, and with those that signed it. It requires \
     `flink-traces.tls.key`. Both files are read again when they change. Without them, the program speaks plain HTTP.",
);

/// The key of the listeners' certificate.
pub(crate) const TLS_KEY: ConfigOption<String> =
    ConfigOption::string("flink-traces.tls.key", "A PEM file with the private key of `flink-traces.tls.certificate`.");

/// The address for OTLP over gRPC.
pub(crate) const OTLP_LISTEN_GRPC: ConfigOption<SocketAddr> = ConfigOption::parsed(
    "flink-traces.otlp.listen.grpc",
    "a port, or an IP address and a port",
    parse_address,
    "The address at which `run` and `serve` take spans and log records over OTLP/gRPC into the history, usually `4317`. \
     An address that is not loopback requires credentials.",
);

/// The address for OTLP over HTTP.
pub(crate) const OTLP_LISTEN_HTTP: ConfigOption<SocketAddr> = ConfigOption::parsed(
    "flink-traces.otlp.listen.http",
    "a port, or an IP address and a port",
    parse_address,
    "The same over OTLP/HTTP at `/v1/traces` and `/v1/logs`, usually `4318`.",
);

/// The cluster of records that name none.
pub(crate) const OTLP_CLUSTER_NAME: ConfigOption<String> = ConfigOption::parsed(
    "flink-traces.otlp.cluster-name",
    "a text that is not empty",
    not_empty,
    "The cluster of received records that have no attribute `flink.cluster.name` and whose resource has none. Without it, such \
     records are refused.",
);

/// The maximum size of a request.
pub(crate) const OTLP_MAX_MESSAGE_SIZE: ConfigOption<u64> = ConfigOption::parsed(
    "flink-traces.otlp.max-message-size",
    "a size from `64 kb` to `64 mb`",
    |text| parse_bytes(text).filter(|size| (64 << 10..=64 << 20).contains(size)),
    "The maximum size of a request to `flink-traces.otlp.listen`, before and after decompression.",
)
.or("8 mb");

/// A token for OTLP.
pub(crate) const OTLP_BEARER_TOKEN: ConfigOption<String> = ConfigOption::parsed(
    "flink-traces.otlp.bearer-token",
    "a text that is not empty",
    not_empty,
    "A token that requests at `flink-traces.otlp.listen` must have, as `Authorization: Bearer …`. Never shown.",
);

/// A user and a password for OTLP.
pub(crate) const OTLP_BASIC_AUTH: ConfigOption<String> = ConfigOption::parsed(
    "flink-traces.otlp.basic-auth",
    "a user and a password, as `user:password`",
    user_and_password,
    "The user and the password that requests at `flink-traces.otlp.listen` must have. Never shown.",
);

/// The address of a trace in a trace store.
pub(crate) const HTTP_TRACE_URL: ConfigOption<String> = ConfigOption::parsed(
    "flink-traces.http.trace-url",
    "a URL that begins with http:// or https:// and contains `{traceId}`",
    |text| {
        let is_http = text.starts_with("http://") || text.starts_with("https://");
        (is_http && text.contains("{traceId}")).then(|| text.to_owned())
    },
    "The address of a trace in your trace store, such as `http://localhost:16686/trace/{traceId}`. The page links to it.",
);

/// The maximum number of jobs on the metrics page.
pub(crate) const METRICS_MAX_JOBS: ConfigOption<usize> = ConfigOption::parsed(
    "flink-traces.metrics.max-jobs",
    "a number",
    |text| text.trim().parse().ok(),
    "The maximum number of jobs with metrics of their own. Jobs beyond it are watched and reported as all others, and \
     `flink_traces_jobs_omitted_total` counts what their metrics lack.",
)
.or("10000");

const DAY: Duration = Duration::from_secs(86_400);

/// The options of the program itself.
pub(crate) const OWN_OPTIONS: &[OptionDoc] = &[
    CLUSTERS.doc(),
    POLL_INTERVAL.doc(),
    REST_TIMEOUT.doc(),
    REST_BEARER_TOKEN.doc(),
    REST_CA_CERTIFICATES.doc(),
    SHUTDOWN_TIMEOUT.doc(),
    METRICS_LISTEN.doc(),
    METRICS_MAX_JOBS.doc(),
    HTTP_LISTEN.doc(),
    HTTP_BEARER_TOKEN.doc(),
    HTTP_BASIC_AUTH.doc(),
    TLS_CERTIFICATE.doc(),
    TLS_KEY.doc(),
    HTTP_TRACE_URL.doc(),
    OTLP_LISTEN_GRPC.doc(),
    OTLP_LISTEN_HTTP.doc(),
    OTLP_CLUSTER_NAME.doc(),
    OTLP_MAX_MESSAGE_SIZE.doc(),
    OTLP_BEARER_TOKEN.doc(),
    OTLP_BASIC_AUTH.doc(),
];

/// Parses an address. A port alone is one of the loopback interface.
fn parse_address(text: &str) -> Option<SocketAddr> {
    match text.trim().parse::<u16>() {
        Ok(port) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        Err(_) => text.trim().parse().ok(),
    }
}

fn user_and_password(text: &str) -> Option<String> {
    let (user, password) = text.split_once(':')?;
    (!user.is_empty() && !password.is_empty()).then(|| text.to_owned())
}

fn not_empty(text: &str) -> Option<String> {
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// Returns all options that do not belong to one reporter.
pub(crate) fn global_options() -> impl Iterator<Item = &'static OptionDoc> {
    OWN_OPTIONS.iter().chain(CORE_OPTIONS)
}

/// Returns the value of `option`, and adds a problem if it is invalid.
pub(crate) fn take<T>(
    configuration: &Configuration,
    option: &ConfigOption<T>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    configuration.get(option).map_err(|error| problems.push(Problem::from(&error))).ok().flatten()
}
