//! The options of the program itself.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flink_traces_api::{ConfigOption, OptionDoc, parse_bytes, parse_duration};
use flink_traces_runtime::config::{CORE_OPTIONS, REPORTER_DETAIL_LEVEL, SpanDetailLevel};
use flink_traces_runtime::{Configuration, Problem};

/// The clusters to watch: `flink-traces.clusters.<name>: URL`, or the options of
/// [`CLUSTER_OPTIONS`] below the name.
pub(crate) const CLUSTERS: ConfigOption<Vec<(String, String)>> = ConfigOption::map(
    "flink-traces.clusters",
    "The clusters to watch. The value of `flink-traces.clusters.<name>` is the REST address of the cluster with that name, or the \
     addresses of its JobManagers. The name is part of span ids, so keep it. A user and a password in the address are sent as basic \
     authentication.",
);

/// The interval between two polls of a cluster.
pub(crate) const POLL_INTERVAL: ConfigOption<Duration> = poll_interval(
    "flink-traces.poll-interval",
    "The interval between two polls of a cluster. Responses that Flink caches are requested at most every 3 s.",
)
.or("1 s");

const fn poll_interval(key: &'static str, description: &'static str) -> ConfigOption<Duration> {
    ConfigOption::parsed(
        key,
        "a duration from `10 ms` to `1 d`",
        |text| parse_duration(text).filter(|time| (Duration::from_millis(10)..=DAY).contains(time)),
        description,
    )
}

/// The beginning of the keys that hold for all clusters.
pub(crate) const REST: &str = "flink-traces.rest.";

/// The timeout of a request to a cluster, below [`REST`] or the name of a cluster.
pub(crate) const REQUEST_TIMEOUT: ConfigOption<Duration> = ConfigOption::parsed(
    "timeout",
    "a duration from `1 ms` to `1 d`",
    |text| parse_duration(text).filter(|time| (Duration::from_millis(1)..=DAY).contains(time)),
    "The timeout of a request to a cluster.",
)
.or("10 s");

/// The token for clusters that require one.
pub(crate) const BEARER_TOKEN: ConfigOption<String> = ConfigOption::string(
    "bearer-token",
    "A token that is sent to the cluster as `Authorization: Bearer …`, for a proxy in front of it. Never shown.",
);

/// A file with the token.
pub(crate) const BEARER_TOKEN_FILE: ConfigOption<String> = ConfigOption::string(
    "bearer-token-file",
    "A file that contains such a token. It is read again every second, so it may change. While it cannot be read, the last token stays \
     in use.",
);

/// The user and the password for clusters that require them.
pub(crate) const BASIC_AUTH: ConfigOption<String> = ConfigOption::string(
    "basic-auth",
    "A user and a password for basic authentication, as `user:password`. Never shown.",
);

/// The authorities that clusters' certificates are verified against.
pub(crate) const CA_CERTIFICATES: ConfigOption<String> = ConfigOption::string(
    "ca-certificates",
    "A PEM file with the certificate authorities that are trusted for the cluster. Without it, the authorities of the system are trusted.",
);

/// The certificate for clusters that require one.
pub(crate) const CLIENT_CERTIFICATE: ConfigOption<String> = ConfigOption::string(
    "client-certificate",
    "A PEM file with the client certificate and its intermediate certificates, which Flink's \
     `security.ssl.rest.authentication-enabled` requires. Requires `client-key`.",
);

/// The private key of [`CLIENT_CERTIFICATE`].
pub(crate) const CLIENT_KEY: ConfigOption<String> =
    ConfigOption::string("client-key", "A PEM file with the private key of `client-certificate`.");

/// The limit of requests to a cluster.
pub(crate) const REQUESTS_PER_SECOND: ConfigOption<f64> = ConfigOption::parsed(
    "requests-per-second",
    "a number above 0, such as `5` or `0.5`",
    |text| text.trim().parse().ok().filter(|rate| *rate > 0.0 && f64::is_finite(*rate)),
    "The maximum number of requests to the cluster in a second. Polls take at most half of it. Without it, only the number of \
     requests in flight is limited.",
);

/// The addresses of a cluster.
pub(crate) const URL: ConfigOption<Vec<String>> = ConfigOption::comma_list(
    "url",
    "The REST address of the cluster. If it has several JobManagers, their addresses: one is used as long as it answers, and then the \
     first that does.",
);

/// [`POLL_INTERVAL`] of one cluster.
pub(crate) const CLUSTER_POLL_INTERVAL: ConfigOption<Duration> =
    poll_interval("poll-interval", "`flink-traces.poll-interval` of this cluster.");

/// The children of checkpoint spans of one cluster.
pub(crate) const CLUSTER_DETAIL_LEVEL: ConfigOption<SpanDetailLevel> = REPORTER_DETAIL_LEVEL;

/// The name of the service of one cluster's records.
pub(crate) const SERVICE_NAME: ConfigOption<String> = ConfigOption::string(
    "service-name",
    "The resource attribute `service.name` of the cluster's spans and events. It replaces that of the reporter. A reporter with \
     `compatibility: flink` ignores it.",
);

/// The resource attributes of one cluster's records.
pub(crate) const RESOURCE_ATTRIBUTES: ConfigOption<Vec<(String, String)>> = ConfigOption::map(
    "resource-attributes",
    "Resource attributes of the cluster's spans and events, such as `deployment.environment.name:prod`. They replace those of the \
     reporter with the same names. A reporter with `compatibility: flink` ignores them.",
);

/// The options of one cluster.
pub(crate) const CLUSTER_OPTIONS: &[OptionDoc] = &[
    of_cluster("flink-traces.clusters.<name>.url", URL.doc()),
    of_cluster("flink-traces.clusters.<name>.poll-interval", CLUSTER_POLL_INTERVAL.doc()),
    of_cluster("flink-traces.clusters.<name>.timeout", REQUEST_TIMEOUT.doc()),
    of_cluster("flink-traces.clusters.<name>.bearer-token", BEARER_TOKEN.doc()),
    of_cluster("flink-traces.clusters.<name>.bearer-token-file", BEARER_TOKEN_FILE.doc()),
    of_cluster("flink-traces.clusters.<name>.basic-auth", BASIC_AUTH.doc()),
    of_cluster("flink-traces.clusters.<name>.ca-certificates", CA_CERTIFICATES.doc()),
    of_cluster("flink-traces.clusters.<name>.client-certificate", CLIENT_CERTIFICATE.doc()),
    of_cluster("flink-traces.clusters.<name>.client-key", CLIENT_KEY.doc()),
    of_cluster("flink-traces.clusters.<name>.requests-per-second", REQUESTS_PER_SECOND.doc()),
    of_cluster(
        "flink-traces.clusters.<name>.checkpoint.span-detail-level",
        described(
            CLUSTER_DETAIL_LEVEL.doc(),
            "`traces.checkpoint.span-detail-level` of this cluster. A reporter with a level of its own ignores it.",
        ),
    ),
    of_cluster("flink-traces.clusters.<name>.service-name", SERVICE_NAME.doc()),
    of_cluster("flink-traces.clusters.<name>.resource-attributes", RESOURCE_ATTRIBUTES.doc()),
];

/// A directory with a file for each cluster.
pub(crate) const DISCOVERY_DIRECTORY: ConfigOption<String> = ConfigOption::string(
    "flink-traces.discovery.directory",
    "A directory with a file for each cluster to watch, such as `prod.yaml` for the cluster `prod`. The keys in the file are those below \
     `flink-traces.clusters.<name>.`.",
);

/// Names whose addresses are those of clusters.
pub(crate) const DISCOVERY_DNS: ConfigOption<Vec<String>> = ConfigOption::comma_list(
    "flink-traces.discovery.dns",
    "URLs such as `http://jobmanagers.example.com:8081`. Each A and AAAA record of the host is a cluster, whose name is the address and the \
     port.",
);

/// Set for clusters that the API server of Kubernetes knows.
#[cfg(feature = "kubernetes")]
pub(crate) const KUBERNETES_ENABLED: ConfigOption<bool> = ConfigOption::bool(
    "flink-traces.kubernetes.enabled",
    "Watches the clusters that the API server of Kubernetes knows: `FlinkDeployment`s and the session clusters of `FlinkSessionJob`s of \
     the Flink Kubernetes operator, and services with the labels of Flink's native integration.",
)
.or("false");

/// The name of the Kubernetes cluster.
#[cfg(feature = "kubernetes")]
pub(crate) const KUBERNETES_CLUSTER_NAME: ConfigOption<String> = ConfigOption::parsed(
    "flink-traces.kubernetes.cluster-name",
    "a text that is not empty",
    not_empty,
    "The name of the Kubernetes cluster. It comes before namespace and name in the names of clusters, which are part of span ids, and is \
     the resource attribute `k8s.cluster.name`.",
);

/// The namespaces with clusters.
#[cfg(feature = "kubernetes")]
pub(crate) const KUBERNETES_NAMESPACES: ConfigOption<Vec<String>> = ConfigOption::comma_list(
    "flink-traces.kubernetes.namespaces",
    "The namespaces to look into. By default, all, which requires a ClusterRole.",
);

/// The labels of the operator's objects.
#[cfg(feature = "kubernetes")]
pub(crate) const KUBERNETES_LABEL_SELECTOR: ConfigOption<String> = ConfigOption::string(
    "flink-traces.kubernetes.label-selector",
    "A label selector, such as `team=orders`, for `FlinkDeployment`s and `FlinkSessionJob`s.",
)
.or("");

/// The labels of services.
#[cfg(feature = "kubernetes")]
pub(crate) const KUBERNETES_SERVICE_SELECTOR: ConfigOption<String> = ConfigOption::string(
    "flink-traces.kubernetes.service-selector",
    "A label selector for services that have a port named `rest`, or a name that ends with `-rest` and only one port. The label `app` is the name of the cluster. If it is empty, services are not looked at.",
)
.or("component=jobmanager,type in (flink-native-kubernetes,flink-standalone-kubernetes)");

/// The file with the address of the API server.
#[cfg(feature = "kubernetes")]
pub(crate) const KUBERNETES_KUBECONFIG: ConfigOption<String> = ConfigOption::string(
    "flink-traces.kubernetes.kubeconfig",
    "A kubeconfig. By default, that of the variable `KUBECONFIG`, `~/.kube/config`, or the service account of the pod.",
);

/// The context of the kubeconfig.
#[cfg(feature = "kubernetes")]
pub(crate) const KUBERNETES_CONTEXT: ConfigOption<String> = ConfigOption::string(
    "flink-traces.kubernetes.context",
    "The context of the kubeconfig. By default, its current one.",
);

/// The pause between two looks at files and names.
pub(crate) const DISCOVERY_INTERVAL: ConfigOption<Duration> = ConfigOption::parsed(
    "flink-traces.discovery.interval",
    "a duration from `100 ms` to `1 d`",
    |text| parse_duration(text).filter(|time| (Duration::from_millis(100)..=DAY).contains(time)),
    "The interval between two looks at the directory, the names and the configuration file.",
)
.or("10 s");

/// The time that the reporters have for their queues at the end.
pub(crate) const SHUTDOWN_TIMEOUT: ConfigOption<Duration> = ConfigOption::parsed(
    "flink-traces.shutdown-timeout",
    "a duration up to `1 d`",
    |text| parse_duration(text).filter(|time| *time <= DAY),
    "The time that the reporters have to deliver their queues when the program is stopped. Records that remain are counted and dropped.",
)
.or("10 s");

/// The file of the journal.
pub(crate) const JOURNAL_PATH: ConfigOption<PathBuf> = ConfigOption::parsed(
    "flink-traces.journal.path",
    "the path of a file",
    |text| Path::new(text).file_name().filter(|_| !text.contains('\0')).map(|_| PathBuf::from(text)),
    "A file in which `run` notes what all reporters delivered, stored or rejected, so that a restart does not report it again. Its \
     directory must exist. Without it, a restart reports all that the clusters still show.",
);

/// The address of the metrics.
pub(crate) const METRICS_LISTEN: ConfigOption<SocketAddr> = ConfigOption::parsed(
    "flink-traces.metrics.listen",
    "a port, or an IP address and a port",
    parse_address,
    "The address at which `run` serves `/metrics` for Prometheus, `/healthz` and `/readyz`: a port of 127.0.0.1, or an address such as \
     `[::]:9250` for all addresses of IPv4 and IPv6. Without it, these pages are only at `flink-traces.http.listen`, if that is \
     set.",
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
    "The maximum size of a request to the addresses below `flink-traces.otlp.listen.`, before and after decompression.",
)
.or("8 mb");

/// A token for OTLP.
pub(crate) const OTLP_BEARER_TOKEN: ConfigOption<String> = ConfigOption::parsed(
    "flink-traces.otlp.bearer-token",
    "a text that is not empty",
    not_empty,
    "A token that requests at the addresses below `flink-traces.otlp.listen.` must have, as `Authorization: Bearer …`. Never \
     shown.",
);

/// A user and a password for OTLP.
pub(crate) const OTLP_BASIC_AUTH: ConfigOption<String> = ConfigOption::parsed(
    "flink-traces.otlp.basic-auth",
    "a user and a password, as `user:password`",
    user_and_password,
    "The user and the password that requests at the addresses below `flink-traces.otlp.listen.` must have. Never shown.",
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
     `flink_traces_jobs_omitted_total` counts their observations.",
)
.or("10000");

const DAY: Duration = Duration::from_secs(86_400);

/// Returns the description of an option under another key.
const fn under(key: &'static str, mut doc: OptionDoc) -> OptionDoc {
    doc.key = key;
    doc
}

/// Returns the description of an option with another text.
const fn described(mut doc: OptionDoc, description: &'static str) -> OptionDoc {
    doc.description = description;
    doc
}

/// Returns the description of an option of one cluster, whose default is that of all clusters.
const fn of_cluster(key: &'static str, mut doc: OptionDoc) -> OptionDoc {
    doc.default = None;
    under(key, doc)
}

/// The options of the program itself.
pub(crate) const OWN_OPTIONS: &[OptionDoc] = &[
    CLUSTERS.doc(),
    POLL_INTERVAL.doc(),
    under("flink-traces.rest.timeout", REQUEST_TIMEOUT.doc()),
    under("flink-traces.rest.bearer-token", BEARER_TOKEN.doc()),
    under("flink-traces.rest.bearer-token-file", BEARER_TOKEN_FILE.doc()),
    under("flink-traces.rest.basic-auth", BASIC_AUTH.doc()),
    under("flink-traces.rest.ca-certificates", CA_CERTIFICATES.doc()),
    under("flink-traces.rest.client-certificate", CLIENT_CERTIFICATE.doc()),
    under("flink-traces.rest.client-key", CLIENT_KEY.doc()),
    under("flink-traces.rest.requests-per-second", REQUESTS_PER_SECOND.doc()),
    DISCOVERY_DIRECTORY.doc(),
    DISCOVERY_DNS.doc(),
    DISCOVERY_INTERVAL.doc(),
    #[cfg(feature = "kubernetes")]
    KUBERNETES_ENABLED.doc(),
    #[cfg(feature = "kubernetes")]
    KUBERNETES_CLUSTER_NAME.doc(),
    #[cfg(feature = "kubernetes")]
    KUBERNETES_NAMESPACES.doc(),
    #[cfg(feature = "kubernetes")]
    KUBERNETES_LABEL_SELECTOR.doc(),
    #[cfg(feature = "kubernetes")]
    KUBERNETES_SERVICE_SELECTOR.doc(),
    #[cfg(feature = "kubernetes")]
    KUBERNETES_KUBECONFIG.doc(),
    #[cfg(feature = "kubernetes")]
    KUBERNETES_CONTEXT.doc(),
    SHUTDOWN_TIMEOUT.doc(),
    JOURNAL_PATH.doc(),
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

/// Returns the options of the program by which misspelled keys are found.
///
/// Below [`CLUSTERS`], only the options of one cluster are known.
pub(crate) fn known_options() -> Vec<OptionDoc> {
    let mut clusters = CLUSTERS.doc();
    clusters.is_map = false;
    let others = OWN_OPTIONS.iter().filter(|option| option.key != CLUSTERS.key());
    let by_name = [clusters, under("flink-traces.clusters.<name>", clusters)];
    others.chain(CLUSTER_OPTIONS).copied().chain(by_name).collect()
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
