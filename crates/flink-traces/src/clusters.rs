//! The clusters to watch, as the configuration and other sources describe them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use flink_traces_api::{ConfigOption, OptionDoc, Origin, RawValue, ReporterConfig, printable};
use flink_traces_runtime::{Configuration, Problem};

use crate::cluster::{Access, Authorization, Cluster, ClusterOptions, TokenFile};
use crate::connection::Connection;
use crate::options::{
    BASIC_AUTH, BEARER_TOKEN, BEARER_TOKEN_FILE, CA_CERTIFICATES, CLIENT_CERTIFICATE, CLIENT_KEY, CLUSTER_DETAIL_LEVEL,
    CLUSTER_OPTIONS, CLUSTER_POLL_INTERVAL, CLUSTERS, POLL_INTERVAL, REQUEST_TIMEOUT, REQUESTS_PER_SECOND,
    RESOURCE_ATTRIBUTES, REST, SERVICE_NAME, URL, take,
};

impl ClusterOptions {
    /// Reads the options of all clusters, and checks them.
    pub(crate) fn read(configuration: &Configuration, problems: &mut Vec<Problem>) -> Self {
        let mut options = Self {
            poll_interval: take(configuration, &POLL_INTERVAL, problems).unwrap_or_default(),
            requests_per_second: None,
            detail: None,
            resource: Vec::new(),
            access: Access::new(REQUEST_TIMEOUT.default_value().unwrap_or_default()),
        };
        options.override_by(&section(configuration, REST), problems);
        options
    }

    /// Replaces the options that `section` sets, and checks them.
    pub(crate) fn override_by(&mut self, section: &ReporterConfig, problems: &mut Vec<Problem>) {
        if let Some(interval) = set(section, &CLUSTER_POLL_INTERVAL, problems) {
            self.poll_interval = interval;
        }
        if let Some(rate) = set(section, &REQUESTS_PER_SECOND, problems) {
            self.requests_per_second = Some(rate);
        }
        if let Some(level) = set(section, &CLUSTER_DETAIL_LEVEL, problems) {
            self.detail = Some(level);
        }
        self.resource.extend(set(section, &RESOURCE_ATTRIBUTES, problems).unwrap_or_default());
        if let Some(name) = set(section, &SERVICE_NAME, problems) {
            self.resource.push((SERVICE_NAME_ATTRIBUTE.to_owned(), name));
        }
        if let Some(timeout) = set(section, &REQUEST_TIMEOUT, problems) {
            self.access.timeout = timeout;
        }
        let known = problems.len();
        let mut complain = |option: &ConfigOption<String>, message: String| {
            problems.push(of_option(section, option, message));
        };
        self.access.override_credentials(section, &mut complain);
        self.access.override_certificates(section, &mut complain);
        // A problem of all addresses is reported once, with its key and its place in the file.
        if problems.len() == known
            && let Err(flink_rest::Error::InvalidOption { option, problem }) = self.access.client("http://localhost")
        {
            problems.push(of_option(section, option_of(option), problem));
            self.access = Access::new(self.access.timeout);
        }
    }
}

impl Access {
    fn override_credentials(
        &mut self,
        section: &ReporterConfig,
        complain: &mut impl FnMut(&ConfigOption<String>, String),
    ) {
        let options = [&BEARER_TOKEN, &BEARER_TOKEN_FILE, &BASIC_AUTH];
        let mut given = options.into_iter().filter_map(|option| Some((option, text(section, option)?)));
        let Some((option, value)) = given.next() else { return };
        if let Some((other, _)) = given.next() {
            complain(other, format!("expected only one of this and {}", section.key(option.key())));
        }
        self.authorization = match option.key() {
            key if key == BEARER_TOKEN.key() => Authorization::Bearer(value),
            key if key == BEARER_TOKEN_FILE.key() => {
                let file = TokenFile(PathBuf::from(value));
                if let Err(error) = file.read() {
                    complain(option, error);
                }
                Authorization::BearerFile(file)
            }
            _ => match value.split_once(':') {
                Some((user, password)) => Authorization::Basic(user.to_owned(), password.to_owned()),
                None => {
                    complain(option, "expected a user and a password, as `user:password`".to_owned());
                    Authorization::None
                }
            },
        };
    }

    fn override_certificates(
        &mut self,
        section: &ReporterConfig,
        complain: &mut impl FnMut(&ConfigOption<String>, String),
    ) {
        let read = |path: &str| std::fs::read(path).map_err(|error| format!("cannot be read: {error}"));
        if let Some(path) = text(section, &CA_CERTIFICATES) {
            match read(&path) {
                Ok(pem) => self.authorities = Some(pem),
                Err(error) => complain(&CA_CERTIFICATES, error),
            }
        }
        match (text(section, &CLIENT_CERTIFICATE), text(section, &CLIENT_KEY)) {
            (Some(certificate), Some(key)) => match (read(&certificate), read(&key)) {
                (Ok(certificate), Ok(key)) => self.identity = Some([certificate, key].join(&b'\n')),
                (Err(error), _) => complain(&CLIENT_CERTIFICATE, error),
                (_, Err(error)) => complain(&CLIENT_KEY, error),
            },
            (Some(_), None) => complain(&CLIENT_CERTIFICATE, format!("requires {}", section.key(CLIENT_KEY.key()))),
            (None, Some(_)) => complain(&CLIENT_KEY, format!("requires {}", section.key(CLIENT_CERTIFICATE.key()))),
            (None, None) => {}
        }
    }
}

/// Returns the value of an option, without its default.
fn set<T>(section: &ReporterConfig, option: &ConfigOption<T>, problems: &mut Vec<Problem>) -> Option<T> {
    let below = format!("{}.", option.key());
    let is_set = section.values().any(|(key, _)| key == option.key() || key.starts_with(&below));
    let value = is_set.then(|| section.get(option)).transpose();
    value.map_err(|error| problems.push(Problem::from(&error))).ok().flatten().flatten()
}

fn text(section: &ReporterConfig, option: &ConfigOption<String>) -> Option<String> {
    section.get(option).ok().flatten()
}

fn of_option(section: &ReporterConfig, option: &ConfigOption<String>, message: String) -> Problem {
    let origin = section.value(option.key()).map(|value| value.origin.clone());
    problem(message, origin, Some(section.key(option.key())))
}

/// The resource attribute that [`SERVICE_NAME`] sets.
const SERVICE_NAME_ATTRIBUTE: &str = "service.name";

/// Returns the option behind the name of an option of `flink-rest`.
fn option_of(name: &str) -> &'static ConfigOption<String> {
    match name {
        "bearer_auth" => &BEARER_TOKEN,
        "identity" => &CLIENT_CERTIFICATE,
        _ => &CA_CERTIFICATES,
    }
}

/// Returns the options below `prefix`.
fn section(configuration: &Configuration, prefix: &str) -> ReporterConfig {
    let values = configuration.below(prefix).map(|(key, value)| (key.to_owned(), value.clone()));
    ReporterConfig::new(prefix, "", values)
}

/// Returns the clusters of `flink`, the values of `--flink`. If there are none, returns those that
/// are configured.
pub(crate) fn clusters(
    configuration: &Configuration,
    defaults: &ClusterOptions,
    flink: &[String],
    problems: &mut Vec<Problem>,
) -> Vec<Cluster> {
    let described = match flink {
        [] => configured_clusters(configuration, defaults, problems),
        _ => flink.iter().map(|argument| of_argument(argument, defaults)).collect(),
    };
    let mut clusters: Vec<Cluster> = Vec::new();
    for Described { name, urls, options, origin, key } in described {
        let urls = urls.into_iter().map(|url| match without_page(&url) {
            None => url,
            Some(base) => {
                let message = format!("the address of a page, taking {} as the REST address", printable(base));
                let mut warning = Problem::warning(message);
                (warning.origin, warning.key) = (Some(origin.clone()), key.clone());
                problems.push(warning);
                base.to_owned()
            }
        });
        let is_unnamed = name.is_none();
        let mut cluster = Cluster { name: name.unwrap_or_default(), urls: urls.collect(), options };
        let connection = Connection::open(cluster.clone());
        if let (Ok(connection), true) = (&connection, is_unnamed) {
            cluster.name = connection.address().to_owned();
        }
        let message = match connection {
            // The options were checked before, but only TLS needs the system's authorities.
            Err(flink_rest::Error::InvalidOption { problem, .. }) => {
                format!("{problem}: set {REST}{}", CA_CERTIFICATES.key())
            }
            Err(error) => error.to_string(),
            Ok(_) if cluster.urls.is_empty() => "expected a URL".to_owned(),
            Ok(_) if cluster.name.is_empty() => "a cluster has an empty name".to_owned(),
            Ok(_) if clusters.iter().any(|known| known.name == cluster.name) => {
                format!("two clusters have the name '{}'", printable(&cluster.name))
            }
            Ok(_) => {
                clusters.push(cluster);
                continue;
            }
        };
        problems.push(problem(message, Some(origin), key));
    }
    clusters
}

fn problem(message: String, origin: Option<Origin>, key: Option<String>) -> Problem {
    let mut problem = Problem::error(message);
    (problem.origin, problem.key) = (origin, key);
    problem
}

/// Returns the address before the page if `url` is that of Flink's web UI in a browser, such as
/// `http://host:8081/#/overview`. A user or a password stays untouched.
fn without_page(url: &str) -> Option<&str> {
    let (base, page) = url.split_once("#/")?;
    (!page.contains('@')).then(|| base.trim_end_matches('/'))
}

/// A cluster, as written in an argument or in the configuration.
struct Described {
    name: Option<String>,
    urls: Vec<String>,
    options: ClusterOptions,
    origin: Origin,
    /// The key, if the cluster is configured.
    key: Option<String>,
}

fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// Returns the clusters of a text such as `prod:http://a:8081,test:http://b:8081`, in which names
/// may be missing. Returns `None` for any other form, such as one with quotes.
fn plain_clusters(text: &str) -> Option<Vec<(Option<String>, String)>> {
    if text.trim_start().starts_with('{') {
        return None;
    }
    let entries = text.split(',').map(str::trim).map(|entry| match entry.split_once(':') {
        _ if is_url(entry) => Some((None, entry.to_owned())),
        Some((name, url)) if is_url(url.trim()) => Some((Some(name.trim().to_owned()), url.trim().to_owned())),
        _ => None,
    });
    entries.collect()
}

fn configured_clusters(
    configuration: &Configuration,
    defaults: &ClusterOptions,
    problems: &mut Vec<Problem>,
) -> Vec<Described> {
    let Some(value) = configuration.value(CLUSTERS.key()) else {
        return clusters_by_key(configuration, defaults, problems);
    };
    let below = format!("{}.", CLUSTERS.key());
    if let Some((key, ignored)) = configuration.below(&below).next() {
        let mut warning = Problem::warning(format!("has no effect, because {} is set", CLUSTERS.key()));
        (warning.origin, warning.key) = (Some(ignored.origin.clone()), Some(format!("{below}{key}")));
        problems.push(warning);
    }
    let entries = match &value.raw {
        RawValue::Text(text) => plain_clusters(text),
        RawValue::List(_) => None,
    };
    let entries = entries.unwrap_or_else(|| {
        let map = take(configuration, &CLUSTERS, problems).unwrap_or_default();
        map.into_iter().map(|(name, url)| (Some(name), url)).collect()
    });
    let described = |(name, url)| Described {
        name,
        options: without_global_user(defaults, std::slice::from_ref(&url)),
        urls: vec![url],
        origin: value.origin.clone(),
        key: Some(CLUSTERS.key().to_owned()),
    };
    entries.into_iter().map(described).collect()
}

/// Returns the clusters of `flink-traces.clusters.<name>` and of the keys below it.
fn clusters_by_key(
    configuration: &Configuration,
    defaults: &ClusterOptions,
    problems: &mut Vec<Problem>,
) -> Vec<Described> {
    let below = format!("{}.", CLUSTERS.key());
    let names: BTreeSet<&str> =
        configuration.below(&below).map(|(key, _)| key.split('.').next().unwrap_or_default()).collect();
    let mut described = Vec::new();
    for name in names {
        let key = format!("{below}{name}");
        let section = section(configuration, &format!("{key}."));
        let short = configuration.value(&key);
        let long = section.value(URL.key());
        let (value, key) = match (short, long) {
            (Some(short), None) => (short, key),
            (None, Some(long)) => (long, section.key(URL.key())),
            (Some(_), Some(long)) => {
                let message = format!("expected only one of this and {key}");
                problems.push(problem(message, Some(long.origin.clone()), Some(section.key(URL.key()))));
                continue;
            }
            (None, None) => {
                let origin = section.values().next().map(|(_, value)| value.origin.clone());
                problems.push(problem(format!("expected {}", section.key(URL.key())), origin, Some(key)));
                continue;
            }
        };
        let urls = URL.parse(&value.raw).unwrap_or_default();
        let mut options = without_global_user(defaults, &urls);
        options.override_by(&section, problems);
        described.push(Described {
            name: Some(name.to_owned()),
            urls,
            options,
            origin: value.origin.clone(),
            key: Some(key),
        });
    }
    described
}

/// Returns the options of a cluster without others, whose address may have a user.
fn without_global_user(defaults: &ClusterOptions, urls: &[String]) -> ClusterOptions {
    let mut options = defaults.clone();
    if urls.iter().any(|url| has_user(url)) {
        options.access.authorization = Authorization::None;
    }
    options
}

fn has_user(url: &str) -> bool {
    let address = url.split_once("://").map_or(url, |(_, address)| address);
    address.split('/').next().unwrap_or_default().contains('@')
}

/// Parses the value of `--flink [NAME=]URL[,URL…]`.
///
/// A name contains neither a colon nor a slash, and an address contains both before any `=`.
fn of_argument(argument: &str, defaults: &ClusterOptions) -> Described {
    let (name, urls) = match argument.split_once('=') {
        Some((name, urls)) if !name.contains([':', '/']) => (Some(name.to_owned()), urls),
        _ => (None, argument),
    };
    let mut addresses: Vec<String> = Vec::new();
    for part in urls.split(',') {
        match addresses.last_mut() {
            Some(last) if !is_url(part.trim()) => last.extend([",", part]),
            _ => addresses.push(part.trim().to_owned()),
        }
    }
    let options = without_global_user(defaults, &addresses);
    Described { name, urls: addresses, options, origin: Origin::new("--flink"), key: None }
}

/// Reads the cluster of a file, whose keys are those below `flink-traces.clusters.<name>.`.
pub(crate) fn of_file(path: &Path, name: &str, defaults: &ClusterOptions) -> (Option<Cluster>, Vec<Problem>) {
    let (configuration, mut problems) = Configuration::load(Some(path), &[]);
    let section = section(&configuration, "");
    for (key, value) in section.values() {
        let is_known = |option: &OptionDoc| {
            let option_key = option.key.rsplit_once("<name>.").map_or(option.key, |(_, key)| key);
            key == option_key || (option.is_map && key.starts_with(&format!("{option_key}.")))
        };
        if !CLUSTER_OPTIONS.iter().any(is_known) {
            problems.push(problem("unknown key".to_owned(), Some(value.origin.clone()), Some(key.to_owned())));
        }
    }
    let value = section.value(URL.key());
    let urls = value.and_then(|value| URL.parse(&value.raw)).unwrap_or_default();
    if urls.is_empty() {
        problems.push(problem(
            "expected a URL".to_owned(),
            Some(Origin::new(path.display().to_string())),
            Some("url".to_owned()),
        ));
    }
    let mut options = without_global_user(defaults, &urls);
    options.override_by(&section, &mut problems);
    let cluster = Cluster { name: name.to_owned(), urls, options };
    if let Err(error) = Connection::open(cluster.clone()) {
        problems.push(problem(error.to_string(), value.map(|value| value.origin.clone()), Some("url".to_owned())));
    }
    (problems.iter().all(|problem| !problem.is_error()).then_some(cluster), problems)
}

#[cfg(test)]
mod tests;
