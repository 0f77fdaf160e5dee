//! From arguments and configuration files to what a command needs.

use std::sync::Arc;
use std::time::Duration;

use flink_traces_api::{Clock, ConfigOption, OptionDoc, Registry};
use flink_traces_runtime::{
    CORE_OPTIONS, Configuration, Dispatcher, Problem, ReporterSetup, SCOPE_DELIMITER, SPAN_DETAIL_LEVEL, Severity,
    SpanDetailLevel, discover, unknown_keys,
};

use crate::cli::ConfigurationArgs;

/// The clusters to watch: `flink-traces.clusters.<name>: URL`.
pub const CLUSTERS: ConfigOption<Vec<(String, String)>> = ConfigOption::map(
    "flink-traces.clusters",
    "The clusters to watch: `flink-traces.clusters.<name>` is the REST address of the cluster of that name. The name is part of the \
     ids of spans; do not change it needlessly. User and password in an address are sent as basic authentication.",
);

/// How often each cluster is looked at.
pub const POLL_INTERVAL: ConfigOption<Duration> = ConfigOption::duration(
    "flink-traces.poll-interval",
    "How often each cluster is asked for changes of its jobs. What Flink caches is not asked for more often than every 3 s.",
)
.or("1 s");

/// How long a request to a cluster may take.
pub const REST_TIMEOUT: ConfigOption<Duration> =
    ConfigOption::duration("flink-traces.rest.timeout", "How long an answer of a cluster may take.").or("10 s");

/// What to show to clusters that want a token.
pub const REST_BEARER_TOKEN: ConfigOption<String> = ConfigOption::string(
    "flink-traces.rest.bearer-token",
    "Sent to every cluster as `Authorization: Bearer …`, for a proxy before it.",
);

/// Whom to believe.
pub const REST_CA_CERTIFICATES: ConfigOption<String> = ConfigOption::string(
    "flink-traces.rest.ca-certificates",
    "A PEM file of the authorities whose certificates clusters may show; the system's authorities without it.",
);

/// How long what is queued may take to be delivered at the end.
pub const SHUTDOWN_TIMEOUT: ConfigOption<Duration> = ConfigOption::duration(
    "flink-traces.shutdown-timeout",
    "How long the reporters may take, when the program is stopped, to deliver what is queued. What is left is counted and lost.",
)
.or("10 s");

/// The options of this program's own.
pub const OWN_OPTIONS: &[OptionDoc] = &[
    CLUSTERS.doc(),
    POLL_INTERVAL.doc(),
    REST_TIMEOUT.doc(),
    REST_BEARER_TOKEN.doc(),
    REST_CA_CERTIFICATES.doc(),
    SHUTDOWN_TIMEOUT.doc(),
];

/// All options that are not of one reporter.
pub fn global_options() -> impl Iterator<Item = &'static OptionDoc> {
    OWN_OPTIONS.iter().chain(CORE_OPTIONS)
}

/// What the configuration says, checked.
pub struct Settings {
    /// All of it.
    pub configuration: Configuration,
    /// The reporters that this program can make.
    pub registry: Registry,
    /// The reporters that are configured.
    pub reporters: Vec<ReporterSetup>,
    /// What a checkpoint's spans tell.
    pub detail: SpanDetailLevel,
    /// The clusters to watch, names and addresses.
    pub clusters: Vec<(String, String)>,
    /// See [`POLL_INTERVAL`].
    pub poll_interval: Duration,
    /// See [`REST_TIMEOUT`].
    pub rest_timeout: Duration,
    /// See [`SHUTDOWN_TIMEOUT`].
    pub shutdown_timeout: Duration,
}

/// All that is wrong with a configuration; at least one of it keeps the program from starting.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has {} problems", .0.len())]
pub struct InvalidConfiguration(pub Vec<Problem>);

impl Settings {
    /// Reads what `arguments` name. `defaults` are options in force where neither file nor arguments say otherwise, as triples of the
    /// argument that they stand for, key and value.
    ///
    /// # Errors
    /// All problems, if one of them is an error. Warnings alone are logged.
    pub fn load(
        arguments: &ConfigurationArgs,
        defaults: &[(&'static str, String, String)],
    ) -> Result<Self, InvalidConfiguration> {
        let mut pairs: Vec<(&str, String)> =
            defaults.iter().map(|(source, key, value)| (*source, format!("{key}={value}"))).collect();
        pairs.extend(arguments.otlp.iter().flat_map(|url| otlp_reporters(url)).map(|pair| ("--otlp", pair)));
        pairs.extend(arguments.dynamic.iter().map(|pair| ("-D", pair.clone())));
        let (configuration, mut problems) = Configuration::load(arguments.conf.as_deref(), &pairs);
        let registry = registry();
        problems.extend(unknown_keys(&configuration, &registry, OWN_OPTIONS));
        let (reporters, found) = discover(&configuration, &registry);
        problems.extend(found);

        let settings = Self {
            detail: take(&configuration, &SPAN_DETAIL_LEVEL, &mut problems).unwrap_or_default(),
            clusters: take(&configuration, &CLUSTERS, &mut problems).unwrap_or_default(),
            poll_interval: take(&configuration, &POLL_INTERVAL, &mut problems).unwrap_or_default(),
            rest_timeout: take(&configuration, &REST_TIMEOUT, &mut problems).unwrap_or_default(),
            shutdown_timeout: take(&configuration, &SHUTDOWN_TIMEOUT, &mut problems).unwrap_or_default(),
            configuration,
            registry,
            reporters,
        };
        if problems.iter().any(|problem| problem.severity == Severity::Error) {
            return Err(InvalidConfiguration(problems));
        }
        for problem in problems {
            tracing::warn!("{problem}");
        }
        Ok(settings)
    }

    /// Starts the reporters.
    ///
    /// # Errors
    /// When one of them cannot be made: all problems.
    pub fn start(&self, clock: Arc<dyn Clock>) -> Result<Dispatcher, InvalidConfiguration> {
        let delimiter = self.configuration.get(&SCOPE_DELIMITER).ok().flatten().unwrap_or_default();
        let (dispatcher, problems) = Dispatcher::start(self.reporters.clone(), &self.registry, clock, &delimiter);
        match problems.is_empty() {
            true => Ok(dispatcher),
            false => Err(InvalidConfiguration(problems)),
        }
    }

    /// A client for the cluster at `url`.
    ///
    /// # Errors
    /// When the address is none, or the certificates cannot be read.
    pub fn client(&self, url: &str) -> anyhow::Result<flink_rest::Client> {
        let mut client = flink_rest::Client::builder(url)
            .timeout(self.rest_timeout)
            .user_agent(concat!("flink-traces/", env!("CARGO_PKG_VERSION")));
        if let Some(token) = self.configuration.get(&REST_BEARER_TOKEN)? {
            client = client.bearer_auth(token);
        }
        if let Some(path) = self.configuration.get(&REST_CA_CERTIFICATES)? {
            let pem = std::fs::read(&path)
                .map_err(|error| anyhow::anyhow!("{}: {path}: {error}", REST_CA_CERTIFICATES.key()))?;
            client = client.ca_certificates(pem);
        }
        Ok(client.build()?)
    }
}

/// The reporters that this program can make.
pub fn registry() -> Registry {
    let mut registry = Registry::new();
    flink_traces_log::register(&mut registry);
    flink_traces_json::register(&mut registry);
    flink_traces_otlp::register(&mut registry);
    registry
}

/// What `--otlp URL` stands for.
fn otlp_reporters(url: &str) -> Vec<String> {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let protocol = if authority.ends_with(":4318") { "http" } else { "grpc" };
    let reporter = |signal: &str, class: &str| {
        let prefix = format!("{signal}.reporter.otlp");
        [
            format!("{prefix}.factory.class={class}"),
            format!("{prefix}.exporter.endpoint={url}"),
            format!("{prefix}.exporter.protocol={protocol}"),
        ]
    };
    let traces = reporter("traces", flink_traces_otlp::TRACE_FACTORY);
    let events = reporter("events", flink_traces_otlp::EVENT_FACTORY);
    traces.into_iter().chain(events).collect()
}

/// What `--json DIR` stands for.
pub fn json_reporters(directory: &std::path::Path) -> Vec<(&'static str, String, String)> {
    let option = |key: String, value: String| ("--json", key, value);
    let reporter = |signal: &str, file: &str| {
        let prefix = format!("{signal}.reporter.json");
        [
            option(format!("{prefix}.factory.class"), flink_traces_json::FACTORY.to_owned()),
            option(format!("{prefix}.path"), directory.join(file).display().to_string()),
            option(format!("{prefix}.format"), "flat".to_owned()),
        ]
    };
    reporter("traces", "spans.jsonl").into_iter().chain(reporter("events", "events.jsonl")).collect()
}

fn take<T>(configuration: &Configuration, option: &ConfigOption<T>, problems: &mut Vec<Problem>) -> Option<T> {
    configuration.get(option).map_err(|error| problems.push(Problem::from(&error))).ok().flatten()
}
