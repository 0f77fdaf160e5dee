//! From arguments and configuration files to what a command needs.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use flink_rest::Client;
use flink_traces_api::{
    Clock, ConfigError, ConfigOption, OptionDoc, Origin, RawValue, Registry, ReporterConfig, Signal, parse_duration,
    printable,
};
use flink_traces_runtime::config::{
    CORE_OPTIONS, EVENTS_REPORTERS, ReporterSetup, SCOPE_DELIMITER, SPAN_DETAIL_LEVEL, Severity, SpanDetailLevel,
    TRACES_REPORTERS, unknown_keys,
};
use flink_traces_runtime::{Configuration, Dispatcher, Problem, discover};

use crate::cli::{ConfigurationArgs, Environment};

/// The clusters to watch: `flink-traces.clusters.<name>: URL`.
pub(crate) const CLUSTERS: ConfigOption<Vec<(String, String)>> = ConfigOption::map(
    "flink-traces.clusters",
    "The clusters to watch: `flink-traces.clusters.<name>` is the REST address of the cluster of that name. The name is part of the \
     ids of spans; do not change it needlessly. User and password in an address are sent as basic authentication.",
);

/// How often each cluster is looked at.
pub(crate) const POLL_INTERVAL: ConfigOption<Duration> = ConfigOption::parsed(
    "flink-traces.poll-interval",
    "a duration from `10 ms` to `1 d`",
    |text| parse_duration(text).filter(|time| (Duration::from_millis(10)..=DAY).contains(time)),
    "How often each cluster is asked for changes of its jobs. What Flink caches is not asked for more often than every 3 s.",
)
.or("1 s");

/// How long a request to a cluster may take.
pub(crate) const REST_TIMEOUT: ConfigOption<Duration> = ConfigOption::parsed(
    "flink-traces.rest.timeout",
    "a duration from `1 ms` to `1 d`",
    |text| parse_duration(text).filter(|time| (Duration::from_millis(1)..=DAY).contains(time)),
    "How long an answer of a cluster may take.",
)
.or("10 s");

/// What to show to clusters that want a token.
pub(crate) const REST_BEARER_TOKEN: ConfigOption<String> = ConfigOption::string(
    "flink-traces.rest.bearer-token",
    "Sent to every cluster as `Authorization: Bearer …`, for a proxy before it.",
);

/// Whom to believe.
pub(crate) const REST_CA_CERTIFICATES: ConfigOption<String> = ConfigOption::string(
    "flink-traces.rest.ca-certificates",
    "A PEM file of the authorities whose certificates clusters may show; the system's authorities without it.",
);

/// How long what is queued may take to be delivered at the end.
pub(crate) const SHUTDOWN_TIMEOUT: ConfigOption<Duration> = ConfigOption::parsed(
    "flink-traces.shutdown-timeout",
    "a duration up to `1 d`",
    |text| parse_duration(text).filter(|time| *time <= DAY),
    "How long the reporters may take, when the program is stopped, to deliver what is queued. What is left is counted and lost.",
)
.or("10 s");

/// Where the program tells of itself.
pub(crate) const METRICS_LISTEN: ConfigOption<SocketAddr> = ConfigOption::parsed(
    "flink-traces.metrics.listen",
    "a port, or an IP address and a port",
    |text| match text.trim().parse::<u16>() {
        Ok(port) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        Err(_) => text.trim().parse().ok(),
    },
    "Where `run` serves `/metrics` for Prometheus and `/healthz`: a port of 127.0.0.1, or an address such as `0.0.0.0:9250`. Without \
     it the program listens nowhere.",
);

const DAY: Duration = Duration::from_secs(86_400);

/// The options of this program's own.
pub(crate) const OWN_OPTIONS: &[OptionDoc] = &[
    CLUSTERS.doc(),
    POLL_INTERVAL.doc(),
    REST_TIMEOUT.doc(),
    REST_BEARER_TOKEN.doc(),
    REST_CA_CERTIFICATES.doc(),
    SHUTDOWN_TIMEOUT.doc(),
    METRICS_LISTEN.doc(),
];

/// All options that are not of one reporter.
pub(crate) fn global_options() -> impl Iterator<Item = &'static OptionDoc> {
    OWN_OPTIONS.iter().chain(CORE_OPTIONS)
}

/// An option that an argument stands for, over those of the file and under those of `-D`: the argument, the key, the value.
pub(crate) type Shorthand = (&'static str, String, String);

/// The files that [`json_reporters`] writes.
pub(crate) const JSON_FILES: [&str; 2] = ["spans.jsonl", "events.jsonl"];

/// What the configuration says, checked.
pub(crate) struct Settings {
    /// All of it.
    pub(crate) configuration: Configuration,
    /// The reporters that this program can make.
    pub(crate) registry: Registry,
    /// The reporters that are configured.
    pub(crate) reporters: Vec<ReporterSetup>,
    /// What a checkpoint's spans tell.
    pub(crate) detail: SpanDetailLevel,
    /// See [`POLL_INTERVAL`].
    pub(crate) poll_interval: Duration,
    /// See [`SHUTDOWN_TIMEOUT`].
    pub(crate) shutdown_timeout: Duration,
    /// See [`METRICS_LISTEN`].
    pub(crate) metrics_listen: Option<SocketAddr>,
    rest: Rest,
}

/// A cluster to watch.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// What tells it from others: the name that it was given, or else its address without `http://`.
    pub(crate) name: String,
    /// How to ask it.
    pub(crate) client: Client,
    /// The host in its address, which stands in for the JobManager's host name.
    pub(crate) host: String,
}

/// All that is wrong with a configuration; at least one of it keeps the program from starting.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has {} problems", .0.len())]
pub(crate) struct InvalidConfiguration(pub(crate) Vec<Problem>);

impl InvalidConfiguration {
    /// That there is nothing to watch.
    pub(crate) fn no_cluster() -> Self {
        Self(vec![Problem::error(format!(
            "no cluster to watch: give --flink URL, or configure {}.<name>",
            CLUSTERS.key()
        ))])
    }
}

impl Settings {
    /// Reads what `arguments` name, and what other arguments stand for.
    ///
    /// # Errors
    /// All problems, if one of them is an error. Warnings alone are logged.
    pub(crate) fn load(arguments: &ConfigurationArgs, shorthands: &[Shorthand]) -> Result<Self, InvalidConfiguration> {
        let (settings, problems) = Self::read(arguments, shorthands);
        reject(problems)?;
        Ok(settings)
    }

    /// As [`load`](Self::load), with the clusters to watch: those of `flink`, the values of `--flink`, or else those that are
    /// configured, possibly none.
    ///
    /// # Errors
    /// All problems, if one of them is an error. Warnings alone are logged.
    pub(crate) fn load_with_clusters(
        arguments: &ConfigurationArgs,
        flink: &[String],
    ) -> Result<(Self, Vec<Cluster>), InvalidConfiguration> {
        let (settings, mut problems) = Self::read(arguments, &[]);
        let clusters = settings.clusters(flink, &mut problems);
        reject(problems)?;
        Ok((settings, clusters))
    }

    fn read(arguments: &ConfigurationArgs, shorthands: &[Shorthand]) -> (Self, Vec<Problem>) {
        let (mut configuration, mut problems) = configuration(arguments, shorthands);
        problems.extend(set_by_environment(&mut configuration, &arguments.environment));
        let registry = registry();
        problems.extend(unknown_keys(&configuration, &registry, OWN_OPTIONS));
        let (reporters, found) = discover(&configuration, &registry);
        problems.extend(found);
        problems.extend(trial(&reporters, &registry));
        let settings = Self {
            detail: take(&configuration, &SPAN_DETAIL_LEVEL, &mut problems).unwrap_or_default(),
            poll_interval: take(&configuration, &POLL_INTERVAL, &mut problems).unwrap_or_default(),
            shutdown_timeout: take(&configuration, &SHUTDOWN_TIMEOUT, &mut problems).unwrap_or_default(),
            metrics_listen: take(&configuration, &METRICS_LISTEN, &mut problems),
            rest: Rest::read(&configuration, &mut problems),
            configuration,
            registry,
            reporters,
        };
        (settings, problems)
    }

    /// Starts the reporters.
    ///
    /// # Errors
    /// When one of them cannot be made: all problems.
    pub(crate) fn start(&self, clock: Arc<dyn Clock>) -> Result<Dispatcher, InvalidConfiguration> {
        let delimiter = self.configuration.get(&SCOPE_DELIMITER).ok().flatten().unwrap_or_default();
        let (dispatcher, problems) = Dispatcher::start(self.reporters.clone(), &self.registry, clock, &delimiter);
        match problems.is_empty() {
            true => Ok(dispatcher),
            false => Err(InvalidConfiguration(problems)),
        }
    }

    fn clusters(&self, flink: &[String], problems: &mut Vec<Problem>) -> Vec<Cluster> {
        let named = match flink {
            [] => self.configured_clusters(problems),
            _ => flink.iter().map(|argument| named_cluster(argument)).collect(),
        };
        let mut clusters: Vec<Cluster> = Vec::new();
        for NamedCluster { name, url, origin, key } in named {
            let cluster = self.rest.client(&url).map(|client| Cluster::new(name, client));
            let trouble = match &cluster {
                Err(error) => error.to_string(),
                Ok(cluster) if cluster.name.is_empty() => "a cluster has an empty name".to_owned(),
                Ok(cluster) if clusters.iter().any(|known| known.name == cluster.name) => {
                    format!("two clusters have the name '{}'", printable(&cluster.name))
                }
                Ok(_) => {
                    clusters.extend(cluster);
                    continue;
                }
            };
            problems.push(Problem { origin: Some(origin), key, ..Problem::error(trouble) });
        }
        clusters
    }

    fn configured_clusters(&self, problems: &mut Vec<Problem>) -> Vec<NamedCluster> {
        let clusters = take(&self.configuration, &CLUSTERS, problems).unwrap_or_default().into_iter();
        let named = |(name, url): (String, String)| {
            let key = format!("{}.{name}", CLUSTERS.key());
            let value = self.configuration.value(&key).or_else(|| self.configuration.value(CLUSTERS.key()));
            let origin = value.map(|value| value.origin.clone()).unwrap_or_default();
            NamedCluster { name: Some(name), url, origin, key: Some(key) }
        };
        clusters.map(named).collect()
    }
}

impl Cluster {
    fn new(name: Option<String>, client: Client) -> Self {
        let address = client.base_url();
        let address = address.split_once("://").map_or(address, |(_, address)| address).to_owned();
        let authority = address.split('/').next().unwrap_or_default();
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => host,
            _ => authority,
        };
        Self { host: host.to_owned(), name: name.unwrap_or(address), client }
    }
}

/// A cluster as it is written.
struct NamedCluster {
    name: Option<String>,
    url: String,
    origin: Origin,
    /// The option, where it is one.
    key: Option<String>,
}

/// What `--flink [NAME=]URL` stands for. A name has neither a colon nor a slash: an address has both before it may have a `=`.
fn named_cluster(argument: &str) -> NamedCluster {
    let (name, url) = match argument.split_once('=') {
        Some((name, url)) if !name.contains([':', '/']) => (Some(name.to_owned()), url),
        _ => (None, argument),
    };
    let origin = Origin::new("--flink");
    NamedCluster { name, url: url.to_owned(), origin, key: None }
}

/// How clusters are asked.
#[derive(Default)]
struct Rest {
    timeout: Duration,
    token: Option<String>,
    certificates: Option<Vec<u8>>,
}

impl Rest {
    fn read(configuration: &Configuration, problems: &mut Vec<Problem>) -> Self {
        let mut report = |option: &ConfigOption<String>, message: String| {
            let origin = configuration.value(option.key()).map(|value| value.origin.clone());
            problems.push(Problem { origin, key: Some(option.key().to_owned()), ..Problem::error(message) });
        };
        let certificates = configuration.get(&REST_CA_CERTIFICATES).ok().flatten();
        let certificates = certificates.and_then(|path| {
            std::fs::read(path).map_err(|error| report(&REST_CA_CERTIFICATES, format!("cannot be read: {error}"))).ok()
        });
        let token = configuration.get(&REST_BEARER_TOKEN).ok().flatten();
        let mut rest = Self { timeout: DAY, token, certificates };
        // What is wrong with all clients alike is told once, and where it was written.
        match rest.client("http://localhost") {
            Err(flink_rest::Error::InvalidOption { option: "bearer_auth", problem }) => {
                report(&REST_BEARER_TOKEN, problem);
                rest.token = None;
            }
            Err(flink_rest::Error::InvalidOption { problem, .. }) => {
                report(&REST_CA_CERTIFICATES, problem);
                rest.certificates = None;
            }
            _ => {}
        }
        rest.timeout = take(configuration, &REST_TIMEOUT, problems).unwrap_or_default();
        rest
    }

    fn client(&self, url: &str) -> Result<Client, flink_rest::Error> {
        let mut client =
            Client::builder(url).timeout(self.timeout).user_agent(concat!("flink-traces/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = &self.token {
            client = client.bearer_auth(token);
        }
        if let Some(pem) = &self.certificates {
            client = client.ca_certificates(pem.clone());
        }
        client.build()
    }
}

/// The reporters that this program can make.
pub(crate) fn registry() -> Registry {
    let mut registry = Registry::new();
    for register in [flink_traces_log::register, flink_traces_json::register, flink_traces_otlp::register] {
        let registered = register(&mut registry);
        debug_assert!(registered.is_ok(), "two crates have the same class: {registered:?}");
    }
    registry
}

/// Logs `problems` if they are warnings only.
fn reject(mut problems: Vec<Problem>) -> Result<(), InvalidConfiguration> {
    let place = |origin: &Origin| (origin.source.clone(), origin.line, origin.column);
    problems.sort_by_key(|problem| problem.origin.as_ref().map(place));
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(InvalidConfiguration(problems));
    }
    for problem in problems {
        tracing::warn!("{problem}");
    }
    Ok(())
}

fn take<T>(configuration: &Configuration, option: &ConfigOption<T>, problems: &mut Vec<Problem>) -> Option<T> {
    configuration.get(option).map_err(|error| problems.push(Problem::from(&error))).ok().flatten()
}

/// The file, over it what other arguments stand for, over that what `-D` says.
fn configuration(arguments: &ConfigurationArgs, shorthands: &[Shorthand]) -> (Configuration, Vec<Problem>) {
    let mut shorthands = shorthands.to_vec();
    shorthands.extend(arguments.otlp.iter().flat_map(|url| otlp_reporters(url)));
    let mut pairs: Vec<(&str, String)> =
        shorthands.iter().map(|(argument, key, value)| (*argument, format!("{key}={value}"))).collect();
    let mut malformed = Vec::new();
    for (number, pair) in (1..).zip(&arguments.dynamic) {
        match pair.split_once('=') {
            Some((key, _)) if !key.trim().is_empty() => pairs.push(("-D", pair.clone())),
            // Not shown: it may be a secret.
            _ => malformed.push(Problem::error(format!("-D number {number} is not key=value"))),
        }
    }
    let (mut configuration, mut problems) = Configuration::load(arguments.conf.as_deref(), &pairs);
    let extended = extended_lists(&configuration, &shorthands);
    if !extended.is_empty() {
        pairs.extend(extended);
        (configuration, problems) = Configuration::load(arguments.conf.as_deref(), &pairs);
    }
    malformed.extend(problems);
    (configuration, malformed)
}

/// A list of the reporters to run, such as `traces.reporters`, would silence those that an argument asks for: they join it.
fn extended_lists(configuration: &Configuration, shorthands: &[Shorthand]) -> Vec<(&'static str, String)> {
    let extended = |option: &ConfigOption<Vec<String>>| {
        let mut names = option.parse(&configuration.value(option.key())?.raw).filter(|names| !names.is_empty())?;
        let mut asked_by = None;
        for (argument, key, _) in shorthands {
            let name = key.strip_prefix(option.key().trim_end_matches('s')).and_then(|rest| rest.strip_prefix('.'));
            let name = name.and_then(|name| name.strip_suffix(".factory.class")).map(str::to_owned);
            if let Some(name) = name.filter(|name| !names.contains(name)) {
                names.push(name);
                asked_by = Some(*argument);
            }
        }
        Some((asked_by?, format!("{}={}", option.key(), names.join(", "))))
    };
    [&TRACES_REPORTERS, &EVENTS_REPORTERS].into_iter().filter_map(extended).collect()
}

/// What `--otlp URL` stands for. Like `OTEL_EXPORTER_OTLP_ENDPOINT`, the address is that of both signals.
fn otlp_reporters(url: &str) -> Vec<Shorthand> {
    let (address, query) = url.find('?').map_or((url, ""), |query| url.split_at(query));
    let of_signal = ["/v1/traces", "/v1/logs"].iter().find_map(|path| address.strip_suffix(path));
    let base = of_signal.unwrap_or(address).trim_end_matches('/');
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    let is_http = of_signal.is_some() || rest.ends_with(":4318") || rest.contains('/');
    let reporter = |signal: &str, class: &str, path: &str| {
        let option = |key: &str, value: String| ("--otlp", format!("{signal}.reporter.otlp.{key}"), value);
        [
            option("factory.class", class.to_owned()),
            option("exporter.endpoint", if is_http { format!("{base}{path}{query}") } else { url.to_owned() }),
            option("exporter.protocol", if is_http { "http" } else { "grpc" }.to_owned()),
        ]
    };
    let traces = reporter("traces", flink_traces_otlp::TRACE_FACTORY, "/v1/traces");
    let events = reporter("events", flink_traces_otlp::EVENT_FACTORY, "/v1/logs");
    traces.into_iter().chain(events).collect()
}

/// What `--json DIR` stands for.
pub(crate) fn json_reporters(directory: &Path) -> Vec<Shorthand> {
    let reporter = |signal: &str, file: &str| {
        let option = |key: &str, value: String| ("--json", format!("{signal}.reporter.json.{key}"), value);
        [
            option("factory.class", flink_traces_json::FACTORY.to_owned()),
            option("path", directory.join(file).display().to_string()),
            option("format", "flat".to_owned()),
        ]
    };
    let [spans, events] = JSON_FILES;
    reporter("traces", spans).into_iter().chain(reporter("events", events)).collect()
}

/// Puts what OpenTelemetry's environment variables say of OTLP reporters under all that is configured. Answers what is odd about them.
fn set_by_environment(configuration: &mut Configuration, environment: &Environment) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    for (signal, prefix, class) in [
        (Signal::Traces, "traces.reporter.", flink_traces_otlp::TRACE_FACTORY),
        (Signal::Events, "events.reporter.", flink_traces_otlp::EVENT_FACTORY),
    ] {
        let of_class = configuration.below(prefix).filter(|(_, value)| value.raw.to_string() == class);
        let names = of_class.filter_map(|(key, _)| key.strip_suffix(".factory.class"));
        for name in names.map(str::to_owned).collect::<Vec<_>>() {
            let prefix = format!("{prefix}{name}.");
            let values = configuration.below(&prefix).map(|(key, value)| (key.to_owned(), value.clone()));
            let config = ReporterConfig::new(prefix.clone(), name, values);
            let variable = |name: &str| environment.0.get(name).cloned();
            let (options, warnings) = flink_traces_otlp::environment_options(signal, &config, &variable);
            for option in options {
                configuration.set_default(format!("{prefix}{}", option.key), option.value, option.variable);
            }
            for warning in warnings {
                let origin = Some(Origin::new(warning.variable));
                let problem = Problem { origin, ..Problem::warning(warning.message) };
                // Both signals may have the same to say.
                if problems.iter().all(|known| known.to_string() != problem.to_string()) {
                    problems.push(problem);
                }
            }
        }
    }
    problems
}

/// What is wrong with the options that only the reporters themselves read: makes each of them once and lets go of it, which neither
/// sends anything nor creates a file.
fn trial(reporters: &[ReporterSetup], registry: &Registry) -> Vec<Problem> {
    let problem = |setup: &ReporterSetup| {
        let config = without_file(setup);
        let error = match setup.signal {
            Signal::Traces => registry.trace(&setup.class)?.create_trace_reporter(&config).err(),
            Signal::Events => registry.event(&setup.class)?.create_event_reporter(&config).err(),
        };
        let of_file = |error: &ConfigError| matches!(error, ConfigError::Setup(_)) && writes_file(setup);
        error.filter(|error| !of_file(error)).map(|error| setup.problem(&error))
    };
    // What they log now they will log again when they are made in earnest.
    let quietly = || {
        tracing::dispatcher::with_default(&tracing::Dispatch::none(), || reporters.iter().filter_map(problem).collect())
    };
    // On a thread of its own, like the dispatcher's: a reporter may own a runtime, which cannot be dropped inside of another.
    let problems = thread::scope(|scope| scope.spawn(quietly).join());
    problems.unwrap_or_else(|_| vec![Problem::error("a reporter panicked when it was made")])
}

fn writes_file(setup: &ReporterSetup) -> bool {
    setup.class == flink_traces_json::FACTORY
}

/// The options of a reporter; one that opens a file when it is made gets a directory instead. So it looks at all its other options,
/// fails, and has created nothing. One that has a spool is made without.
fn without_file(setup: &ReporterSetup) -> ReporterConfig {
    let is_file = |key: &str, text: &str| writes_file(setup) && key == "path" && Path::new(text).file_name().is_some();
    let values =
        setup.config.values().filter(|(key, _)| *key != flink_traces_otlp::SPOOL_DIRECTORY).map(|(key, value)| {
            let raw = match is_file(key, &value.raw.to_string()) {
                true => RawValue::Text(std::env::temp_dir().join(".").display().to_string()),
                false => value.raw.clone(),
            };
            let mut value = value.clone();
            value.raw = raw;
            (key.to_owned(), value)
        });
    ReporterConfig::new(setup.config.key(""), setup.name.clone(), values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_otlp_address_is_that_of_both_signals() {
        let check = |url: &str, protocol: &str, traces: &str, events: &str| {
            let options = otlp_reporters(url);
            let values: Vec<_> = options.iter().map(|(_, _, value)| value.as_str()).collect();
            assert_eq!([values[1], values[2], values[4], values[5]], [traces, protocol, events, protocol], "{url}");
        };
        for url in ["http://collector:4317", "https://collector", "http://[::1]:4317/", "nonsense"] {
            check(url, "grpc", url, url);
        }
        for url in ["http://h:4318", "http://h:4318/", "http://h:4318/v1/traces", "http://h:4318/v1/logs"] {
            check(url, "http", "http://h:4318/v1/traces", "http://h:4318/v1/logs");
        }
        check("https://h/otlp/?a=b", "http", "https://h/otlp/v1/traces?a=b", "https://h/otlp/v1/logs?a=b");
        check("https://h/v1/traces", "http", "https://h/v1/traces", "https://h/v1/logs");
    }

    #[test]
    fn clusters_are_named_by_the_user_or_by_their_address() {
        let rest = Rest { timeout: DAY, ..Rest::default() };
        for (argument, name, host) in [
            ("prod=https://flink.example.com", "prod", "flink.example.com"),
            ("http://localhost:8081", "localhost:8081", "localhost"),
            ("http://me:secret@proxy/flink-a/", "proxy/flink-a", "proxy"),
            ("http://[::1]:8081", "[::1]:8081", "[::1]"),
            ("v6=http://[::1]", "v6", "[::1]"),
        ] {
            let NamedCluster { name: given, url, .. } = named_cluster(argument);
            let cluster = Cluster::new(given, rest.client(&url).unwrap());
            assert_eq!((cluster.name.as_str(), cluster.host.as_str()), (name, host), "{argument}");
        }
    }

    #[test]
    fn a_list_of_reporters_does_not_silence_the_command_line() {
        let names = |dynamic: &[&str]| {
            let arguments = ConfigurationArgs {
                dynamic: dynamic.iter().map(|pair| (*pair).to_owned()).collect(),
                otlp: Some("http://localhost:4317".to_owned()),
                ..ConfigurationArgs::default()
            };
            let settings = Settings::load(&arguments, &json_reporters(Path::new("dir"))).unwrap();
            settings.reporters.iter().map(ReporterSetup::full_name).collect::<Vec<_>>().join(" ")
        };
        let all = "traces.reporter.json traces.reporter.otlp events.reporter.json events.reporter.otlp";
        assert_eq!(names(&[]), all);
        let log = "traces.reporter.log.factory.class=org.apache.flink.traces.slf4j.Slf4jTraceReporterFactory";
        assert_eq!(names(&[log, "traces.reporters=json", "events.reporters=otlp, json"]), all);
        assert_eq!(
            names(&[log, "traces.reporters=log"]),
            all.replace("otlp events", "log traces.reporter.otlp events")
        );
    }
}
