//! The clusters to watch, and how the program connects to them.

use std::time::Duration;

use flink_rest::Client;
use flink_traces_api::{ConfigOption, Origin, RawValue, printable};
use flink_traces_runtime::{Configuration, Problem};

use crate::options::{CLUSTERS, REST_BEARER_TOKEN, REST_CA_CERTIFICATES, REST_TIMEOUT, take};

/// A cluster to watch.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// The configured name, or the address without `http://`.
    pub(crate) name: String,
    /// The client for its REST API.
    pub(crate) client: Client,
    /// The host in its address, which takes the place of the JobManager's host name.
    pub(crate) host: String,
}

/// Returns the clusters of `flink`, the values of `--flink`. If there are none, returns those that
/// are configured.
pub(crate) fn clusters(configuration: &Configuration, flink: &[String], problems: &mut Vec<Problem>) -> Vec<Cluster> {
    let rest = Rest::read(configuration, problems);
    let named = match flink {
        [] => configured_clusters(configuration, problems),
        _ => flink.iter().map(|argument| named_cluster(argument)).collect(),
    };
    let mut clusters: Vec<Cluster> = Vec::new();
    for NamedCluster { name, url, origin, key } in named {
        let url = match without_page(&url) {
            None => url,
            Some(base) => {
                let message = format!("the address of a page, taking {} as the REST address", printable(base));
                let mut warning = Problem::warning(message);
                (warning.origin, warning.key) = (Some(origin.clone()), key.clone());
                problems.push(warning);
                base.to_owned()
            }
        };
        let cluster = rest.client(&url).map(|client| Cluster::new(name, client));
        let message = match &cluster {
            // The options were checked before, but only TLS needs the system's authorities.
            Err(flink_rest::Error::InvalidOption { problem, .. }) => {
                format!("{problem}: set {}", REST_CA_CERTIFICATES.key())
            }
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

/// Returns the clusters of a text such as `prod:http://a:8081,test:http://b:8081`, in which names
/// may be missing. Returns `None` for any other form, such as one with quotes.
fn plain_clusters(text: &str) -> Option<Vec<(Option<String>, String)>> {
    let is_url = |text: &str| text.starts_with("http://") || text.starts_with("https://");
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

fn configured_clusters(configuration: &Configuration, problems: &mut Vec<Problem>) -> Vec<NamedCluster> {
    if let Some(value) = configuration.value(CLUSTERS.key())
        && let RawValue::Text(text) = &value.raw
        && let Some(clusters) = plain_clusters(text)
    {
        let named = |(name, url)| {
            let key = Some(CLUSTERS.key().to_owned());
            NamedCluster { name, url, origin: value.origin.clone(), key }
        };
        return clusters.into_iter().map(named).collect();
    }
    let clusters = take(configuration, &CLUSTERS, problems).unwrap_or_default().into_iter();
    let named = |(name, url): (String, String)| {
        let key = format!("{}.{name}", CLUSTERS.key());
        let value = configuration.value(&key).or_else(|| configuration.value(CLUSTERS.key()));
        let origin = value.map(|value| value.origin.clone()).unwrap_or_default();
        NamedCluster { name: Some(name), url, origin, key: Some(key) }
    };
    clusters.map(named).collect()
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

/// A cluster, as written in an argument or in the configuration.
struct NamedCluster {
    name: Option<String>,
    url: String,
    origin: Origin,
    /// The key, if the cluster is configured.
    key: Option<String>,
}

/// Parses the value of `--flink [NAME=]URL`.
///
/// A name contains neither a colon nor a slash, and an address contains both before any `=`.
fn named_cluster(argument: &str) -> NamedCluster {
    let (name, url) = match argument.split_once('=') {
        Some((name, url)) if !name.contains([':', '/']) => (Some(name.to_owned()), url),
        _ => (None, argument),
    };
    let origin = Origin::new("--flink");
    NamedCluster { name, url: url.to_owned(), origin, key: None }
}

/// The settings of all clients.
#[derive(Default)]
pub(crate) struct Rest {
    timeout: Duration,
    token: Option<String>,
    certificates: Option<Vec<u8>>,
}

impl Rest {
    /// Reads the settings and checks them.
    pub(crate) fn read(configuration: &Configuration, problems: &mut Vec<Problem>) -> Self {
        let timeout = take(configuration, &REST_TIMEOUT, problems).unwrap_or_default();
        let mut report = |option: &ConfigOption<String>, message: String| {
            let origin = configuration.value(option.key()).map(|value| value.origin.clone());
            problems.push(problem(message, origin, Some(option.key().to_owned())));
        };
        let certificates = configuration.get(&REST_CA_CERTIFICATES).ok().flatten();
        let certificates = certificates.and_then(|path| {
            std::fs::read(path).map_err(|error| report(&REST_CA_CERTIFICATES, format!("cannot be read: {error}"))).ok()
        });
        let token = configuration.get(&REST_BEARER_TOKEN).ok().flatten();
        let mut rest = Self { timeout, token, certificates };
        // A problem of all clients is reported once, with its key and its place in the file.
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
        rest
    }

    fn client(&self, url: &str) -> Result<Client, flink_rest::Error> {
        let mut client = Client::builder(url)
            .timeout(self.timeout)
            .user_agent(concat!("flink-traces/", env!("CARGO_PKG_VERSION")))
            .on_skipped(|url, error| tracing::warn!(url, %error, "unreadable entry, skipping it"));
        if let Some(token) = &self.token {
            client = client.bearer_auth(token);
        }
        if let Some(pem) = &self.certificates {
            client = client.ca_certificates(pem.clone());
        }
        client.build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_of_the_web_ui_is_cut_off() {
        for (url, expected) in [
            ("http://host:8081/#/overview", Some("http://host:8081")),
            ("https://host/flink/#/job/running", Some("https://host/flink")),
            ("http://host:8081#/", Some("http://host:8081")),
            ("http://host:8081", None),
            ("http://host:8081/#x", None),
            ("http://me:se#/cret@host", None),
        ] {
            assert_eq!(without_page(url), expected, "{url}");
        }
    }

    #[test]
    fn plain_text_lists_clusters() {
        for (text, expected) in [
            ("prod:http://a:8081, test: https://b", Some(vec![("prod", "http://a:8081"), ("test", "https://b")])),
            ("http://a:8081,b:http://b", Some(vec![("", "http://a:8081"), ("b", "http://b")])),
            ("prod:'http://a:8081'", None),
            ("{prod: http://a:8081}", None),
            ("prod:a:8081", None),
            ("", None),
        ] {
            let found = plain_clusters(text);
            let found: Option<Vec<_>> = found.as_ref().map(|found| {
                found.iter().map(|(name, url)| (name.as_deref().unwrap_or_default(), url.as_str())).collect()
            });
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn cluster_name_is_given_or_is_the_address() {
        let rest = Rest { timeout: Duration::from_secs(1), ..Rest::default() };
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
}
