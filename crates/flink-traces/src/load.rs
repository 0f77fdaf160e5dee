//! Loading: from arguments and configuration files to the settings of a command.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flink_traces_api::{Clock, ConfigOption, Origin, Registry};
use flink_traces_runtime::config::{
    ReporterSetup, SCOPE_DELIMITER, SPAN_DETAIL_LEVEL, Severity, SpanDetailLevel, placeholders, unknown_keys,
};
use flink_traces_runtime::{Configuration, Dispatcher, Problem, discover};

use crate::certificate::Certificate;
use crate::cli::ConfigurationArgs;
use crate::cluster::{Cluster, ClusterOptions};
use crate::clusters::clusters;
use crate::discovery::{Source, sources};
use crate::journal::Journal;
use crate::listener::Credentials;
use crate::options::{
    CLUSTERS, HTTP_BASIC_AUTH, HTTP_BEARER_TOKEN, HTTP_LISTEN, HTTP_TRACE_URL, JOURNAL_PATH, METRICS_LISTEN,
    METRICS_MAX_JOBS, OTLP_BASIC_AUTH, OTLP_BEARER_TOKEN, OTLP_CLUSTER_NAME, OTLP_LISTEN_GRPC, OTLP_LISTEN_HTTP,
    OTLP_MAX_MESSAGE_SIZE, SHUTDOWN_TIMEOUT, TLS_CERTIFICATE, TLS_KEY, known_options, take,
};
use crate::reporters::{
    Shorthand, extended_lists, history_reporters, otlp_reporters, registry, set_by_environment, trial,
};
use crate::text::count;

/// The beginnings of the keys that this program reads. All others are Flink's.
pub(crate) const OUR_PREFIXES: &[&str] = &["flink-traces.", "traces.", "events."];

/// The settings of a command, validated.
pub(crate) struct Settings {
    /// The whole configuration.
    pub(crate) configuration: Configuration,
    /// The reporters that the program has.
    pub(crate) registry: Registry,
    /// The reporters that are configured.
    pub(crate) reporters: Vec<ReporterSetup>,
    /// The children that a checkpoint span has.
    pub(crate) detail: SpanDetailLevel,
    /// The options of clusters that have no others.
    pub(crate) cluster_options: ClusterOptions,
    /// The sources of clusters that are not configured.
    pub(crate) sources: Vec<Source>,
    /// See [`SHUTDOWN_TIMEOUT`].
    pub(crate) shutdown_timeout: Duration,
    /// See [`JOURNAL_PATH`].
    pub(crate) journal_path: Option<PathBuf>,
    /// See [`METRICS_LISTEN`].
    pub(crate) metrics_listen: Option<SocketAddr>,
    /// See [`METRICS_MAX_JOBS`].
    pub(crate) metrics_max_jobs: usize,
    /// The page.
    pub(crate) http: Http,
    /// The listeners for OTLP.
    pub(crate) otlp: OtlpListeners,
    /// The certificate of all listeners. Without one, they speak plain HTTP.
    pub(crate) certificate: Option<Arc<Certificate>>,
}

/// The problems of a configuration. At least one of them is an error.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has {}", count(.0.len() as u64, "problem"))]
pub(crate) struct InvalidConfiguration(pub(crate) Vec<Problem>);

impl InvalidConfiguration {
    /// Returns the error of a command that has no cluster, and that may find clusters by discovery.
    pub(crate) fn no_cluster(discovers: bool) -> Self {
        let discovery = if discovers { " or flink-traces.discovery" } else { "" };
        let key = CLUSTERS.key();
        Self(vec![Problem::error(format!("no cluster: give --flink URL, or configure {key}.<name>{discovery}"))])
    }
}

impl Settings {
    /// Loads the settings from `arguments` and `shorthands`.
    ///
    /// Warnings are logged. If there is an error, all problems are returned.
    pub(crate) fn load(arguments: &ConfigurationArgs, shorthands: &[Shorthand]) -> Result<Self, InvalidConfiguration> {
        let (settings, problems) = Self::read(arguments, shorthands);
        reject(problems)?;
        Ok(settings)
    }

    /// Loads the settings and the clusters to watch, which may be none.
    ///
    /// The clusters are those of `flink`, the values of `--flink`. If there are none, they are
    /// those that are configured. Warnings and errors are as those of [`load`](Self::load).
    pub(crate) fn load_with_clusters(
        arguments: &ConfigurationArgs,
        flink: &[String],
        shorthands: &[Shorthand],
    ) -> Result<(Self, Vec<Cluster>), InvalidConfiguration> {
        with_clusters(Self::read(arguments, shorthands), flink)
    }

    /// Loads the settings and the clusters again, while reporters run.
    pub(crate) fn reload(
        arguments: &ConfigurationArgs,
        flink: &[String],
        shorthands: &[Shorthand],
    ) -> Result<(Self, Vec<Cluster>), InvalidConfiguration> {
        with_clusters(Self::read_without_trial(arguments, shorthands), flink)
    }

    fn read(arguments: &ConfigurationArgs, shorthands: &[Shorthand]) -> (Self, Vec<Problem>) {
        let (settings, mut problems) = Self::read_without_trial(arguments, shorthands);
        // A reporter with a placeholder would fail for the same reason.
        let placeholders = placeholders(&settings.configuration, OUR_PREFIXES);
        let has_placeholder = |setup: &&ReporterSetup| {
            let prefix = setup.config.key("");
            placeholders.iter().any(|problem| problem.key.as_ref().is_some_and(|key| key.starts_with(&prefix)))
        };
        let tried: Vec<_> = settings.reporters.iter().filter(|setup| !has_placeholder(setup)).collect();
        problems.extend(trial(tried.into_iter(), &settings.registry));
        (settings, problems)
    }

    fn read_without_trial(arguments: &ConfigurationArgs, shorthands: &[Shorthand]) -> (Self, Vec<Problem>) {
        let (mut configuration, mut problems) = configuration(arguments, shorthands);
        problems.extend(set_by_environment(&mut configuration, &arguments.environment));
        let registry = registry();
        problems.extend(unknown_keys(&configuration, &registry, &known_options()));
        let (reporters, found) = discover(&configuration, &registry);
        problems.extend(found);
        problems.extend(placeholders(&configuration, OUR_PREFIXES));
        // These options are checked even if the command does not connect to a cluster.
        let cluster_options = ClusterOptions::read(&configuration, &mut problems);
        let settings = Self {
            detail: take(&configuration, &SPAN_DETAIL_LEVEL, &mut problems).unwrap_or_default(),
            sources: sources(&configuration, &cluster_options, &mut problems),
            cluster_options,
            shutdown_timeout: take(&configuration, &SHUTDOWN_TIMEOUT, &mut problems).unwrap_or_default(),
            journal_path: take(&configuration, &JOURNAL_PATH, &mut problems),
            metrics_listen: take(&configuration, &METRICS_LISTEN, &mut problems),
            metrics_max_jobs: take(&configuration, &METRICS_MAX_JOBS, &mut problems).unwrap_or_default(),
            http: Http::read(&configuration, &mut problems),
            otlp: OtlpListeners::read(&configuration, &mut problems),
            certificate: certificate(&configuration, &mut problems),
            configuration,
            registry,
            reporters,
        };
        (settings, problems)
    }

    /// Opens the journal, if there is one.
    pub(crate) fn open_journal(&self) -> Result<Option<Arc<Journal>>, InvalidConfiguration> {
        let opened = self.journal_path.as_deref().map(Journal::open).transpose();
        opened.map(|journal| journal.map(Arc::new)).map_err(|error| {
            InvalidConfiguration(vec![Problem::error(error.to_string()).with_key(JOURNAL_PATH.key().to_owned())])
        })
    }

    /// Starts the reporters. If one of them cannot be created, all problems are returned.
    pub(crate) fn start(&self, clock: Arc<dyn Clock>) -> Result<Dispatcher, InvalidConfiguration> {
        self.start_with_journal(clock, None)
    }

    /// Starts the reporters, which do not get what the journal knows.
    pub(crate) fn start_with_journal(
        &self,
        clock: Arc<dyn Clock>,
        journal: Option<Arc<Journal>>,
    ) -> Result<Dispatcher, InvalidConfiguration> {
        let journal = journal.map(|journal| journal as Arc<dyn flink_traces_runtime::dispatch::Journal>);
        let delimiter = self.configuration.get(&SCOPE_DELIMITER).ok().flatten().unwrap_or_default();
        let (dispatcher, problems) =
            Dispatcher::start_with_journal(self.reporters.clone(), &self.registry, clock, &delimiter, journal);
        if problems.is_empty() { Ok(dispatcher) } else { Err(InvalidConfiguration(problems)) }
    }
}

/// The options of the page.
pub(crate) struct Http {
    /// See [`HTTP_LISTEN`].
    pub(crate) listen: Option<SocketAddr>,
    /// See [`HTTP_BEARER_TOKEN`] and [`HTTP_BASIC_AUTH`].
    pub(crate) credentials: Credentials,
    /// See [`HTTP_TRACE_URL`].
    pub(crate) trace_url: Option<String>,
}

impl Http {
    fn read(configuration: &Configuration, problems: &mut Vec<Problem>) -> Self {
        let listen = take(configuration, &HTTP_LISTEN, problems);
        let token = take(configuration, &HTTP_BEARER_TOKEN, problems);
        let basic = take(configuration, &HTTP_BASIC_AUTH, problems);
        let credentials = Credentials::new(token.as_deref(), basic.as_deref());
        check_access(&HTTP_LISTEN, listen, &credentials, [&HTTP_BEARER_TOKEN, &HTTP_BASIC_AUTH], problems);
        Self { listen, credentials, trace_url: take(configuration, &HTTP_TRACE_URL, problems) }
    }
}

/// The options of the listeners for OTLP.
pub(crate) struct OtlpListeners {
    /// See [`OTLP_LISTEN_GRPC`].
    pub(crate) grpc: Option<SocketAddr>,
    /// See [`OTLP_LISTEN_HTTP`].
    pub(crate) http: Option<SocketAddr>,
    /// See [`OTLP_BEARER_TOKEN`] and [`OTLP_BASIC_AUTH`].
    pub(crate) credentials: Credentials,
    /// See [`OTLP_CLUSTER_NAME`].
    pub(crate) cluster_name: Option<String>,
    /// See [`OTLP_MAX_MESSAGE_SIZE`].
    pub(crate) max_message_size: u64,
}

impl OtlpListeners {
    fn read(configuration: &Configuration, problems: &mut Vec<Problem>) -> Self {
        let token = take(configuration, &OTLP_BEARER_TOKEN, problems);
        let basic = take(configuration, &OTLP_BASIC_AUTH, problems);
        let credentials = Credentials::new(token.as_deref(), basic.as_deref());
        let [grpc, http] = [&OTLP_LISTEN_GRPC, &OTLP_LISTEN_HTTP].map(|option| {
            let address = take(configuration, option, problems);
            check_access(option, address, &credentials, [&OTLP_BEARER_TOKEN, &OTLP_BASIC_AUTH], problems);
            address
        });
        Self {
            grpc,
            http,
            credentials,
            cluster_name: take(configuration, &OTLP_CLUSTER_NAME, problems),
            max_message_size: take(configuration, &OTLP_MAX_MESSAGE_SIZE, problems).unwrap_or_default(),
        }
    }
}

/// Adds a problem if an address that others reach has no credentials.
fn check_access(
    listen: &ConfigOption<SocketAddr>,
    address: Option<SocketAddr>,
    credentials: &Credentials,
    [token, basic]: [&ConfigOption<String>; 2],
    problems: &mut Vec<Problem>,
) {
    if address.is_some_and(|address| !address.ip().is_loopback()) && credentials.is_empty() {
        let message = format!("expected a loopback address, or credentials in {} or {}", token.key(), basic.key());
        problems.push(Problem::error(message).with_key(listen.key().to_owned()));
    }
}

/// Reads the certificate of the listeners, if there is one.
fn certificate(configuration: &Configuration, problems: &mut Vec<Problem>) -> Option<Arc<Certificate>> {
    let paths = [&TLS_CERTIFICATE, &TLS_KEY].map(|option| take(configuration, option, problems));
    let problem = match paths {
        [None, None] => return None,
        [Some(certificate), Some(key)] => match Certificate::read(certificate.as_ref(), key.as_ref()) {
            Ok(certificate) => return Some(Arc::new(certificate)),
            Err(error) => Problem::error(error),
        },
        [has_certificate, _] => {
            let (given, missing) =
                if has_certificate.is_some() { (&TLS_CERTIFICATE, &TLS_KEY) } else { (&TLS_KEY, &TLS_CERTIFICATE) };
            Problem::error(format!("expected {} beside it", missing.key())).with_key(given.key().to_owned())
        }
    };
    problems.push(problem);
    None
}

/// Adds the clusters to the settings, unless one of the problems is an error.
fn with_clusters(
    (settings, mut problems): (Settings, Vec<Problem>),
    flink: &[String],
) -> Result<(Settings, Vec<Cluster>), InvalidConfiguration> {
    let clusters = clusters(&settings.configuration, &settings.cluster_options, flink, &mut problems);
    reject(problems)?;
    Ok((settings, clusters))
}

/// Logs `problems` if all of them are warnings. Fails otherwise.
fn reject(mut problems: Vec<Problem>) -> Result<(), InvalidConfiguration> {
    let position = |origin: &Origin| (origin.source.clone(), origin.line, origin.column);
    problems.sort_by_key(|problem| problem.origin.as_ref().map(position));
    if problems.iter().any(|problem| problem.severity == Severity::Error) {
        return Err(InvalidConfiguration(problems));
    }
    for problem in problems {
        tracing::warn!("{problem}");
    }
    Ok(())
}

/// Loads the configuration file, with the options of other arguments and of `-D` in increasing
/// precedence.
fn configuration(arguments: &ConfigurationArgs, shorthands: &[Shorthand]) -> (Configuration, Vec<Problem>) {
    let mut shorthands = shorthands.to_vec();
    shorthands.extend(arguments.otlp.iter().flat_map(|url| otlp_reporters(url)));
    shorthands.extend(arguments.history.iter().flat_map(|directory| history_reporters(directory)));
    let mut pairs: Vec<(&str, String)> =
        shorthands.iter().map(|(argument, key, value)| (*argument, format!("{key}={value}"))).collect();
    let mut malformed = Vec::new();
    for (number, pair) in (1..).zip(&arguments.dynamic) {
        match pair.split_once('=') {
            Some((key, _)) if !key.trim().is_empty() => pairs.push(("-D", pair.clone())),
            // The text is not shown, because it may be a secret.
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::JsonFormat;
    use crate::reporters::json_reporters;

    #[test]
    fn reporter_list_keeps_reporters_of_arguments() {
        let names = |dynamic: &[&str]| {
            let arguments = ConfigurationArgs {
                dynamic: dynamic.iter().map(|pair| (*pair).to_owned()).collect(),
                otlp: Some("http://localhost:4317".to_owned()),
                ..ConfigurationArgs::default()
            };
            let settings = Settings::load(&arguments, &json_reporters(Path::new("dir"), JsonFormat::Flat)).unwrap();
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
