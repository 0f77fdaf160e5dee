//! Clusters at the addresses of names.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use flink_traces_api::printable;

use super::{Discovery, Found, Results};
use crate::cluster::{Cluster, ClusterOptions};

/// Names, each address of which is a cluster.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Dns {
    names: Vec<Name>,
    interval: Duration,
    defaults: ClusterOptions,
}

/// A URL with a name in place of an address.
#[derive(Debug, Clone, PartialEq)]
struct Name {
    /// The scheme, and the user with the password if there is one, up to the host.
    before: String,
    host: String,
    port: u16,
    /// The path.
    after: String,
}

impl Name {
    fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let default = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let (authority, after) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, host) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (host, default),
        };
        let is_name = !host.is_empty() && !host.contains([':', '[', ' ', '?', '#']) && !after.contains(['?', '#']);
        let before = format!("{scheme}://{user}");
        is_name.then(|| Self { before, host: host.to_owned(), port, after: after.trim_end_matches('/').to_owned() })
    }
}

impl Dns {
    /// Reads the URLs.
    pub(crate) fn new(urls: &[String], interval: Duration, defaults: &ClusterOptions) -> Result<Self, String> {
        let parse = |url: &String| {
            let shown = url.rsplit_once('@').map_or(url.as_str(), |(_, rest)| rest);
            Name::parse(url).ok_or_else(|| {
                format!("'{}' is not a URL with the name of a host, such as http://jobmanagers:8081", printable(shown))
            })
        };
        let names = urls.iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { names, interval, defaults: defaults.clone() })
    }

    /// Resolves a name. Returns its clusters.
    async fn look(&self, name: &Name) -> Result<Vec<Cluster>, String> {
        let addresses = tokio::net::lookup_host((name.host.as_str(), name.port)).await;
        let addresses = addresses.map_err(|error| format!("{}: {error}", name.host))?;
        let cluster = |address: std::net::SocketAddr| Cluster {
            name: format!("{address}{}", name.after),
            urls: vec![format!("{}{address}{}", name.before, name.after)],
            options: self.defaults.clone(),
        };
        let by_name: BTreeMap<_, _> = addresses.map(cluster).map(|cluster| (cluster.name.clone(), cluster)).collect();
        Ok(by_name.into_values().collect())
    }
}

impl Discovery for Dns {
    fn run(self: Box<Self>, results: Results) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            // A name that cannot be resolved now keeps its clusters.
            let mut known: Vec<Vec<Cluster>> = vec![Vec::new(); self.names.len()];
            loop {
                let mut problem = None;
                for (name, known) in self.names.iter().zip(&mut known) {
                    match self.look(name).await {
                        Ok(clusters) => *known = clusters,
                        Err(error) => problem = problem.or(Some(error)),
                    }
                }
                results.send(Found { clusters: Some(known.concat()), problem, is_pending: false }).await;
                tokio::time::sleep(self.interval).await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use flink_traces_runtime::Configuration;

    use super::*;

    fn defaults() -> ClusterOptions {
        ClusterOptions::read(&Configuration::default(), &mut Vec::new())
    }

    #[test]
    fn url_has_the_name_of_a_host() {
        for (url, expected) in [
            ("http://flink:8081", Some(("http://", "flink", 8081, ""))),
            ("https://me:secret@flink.example.com/a/", Some(("https://me:secret@", "flink.example.com", 443, "/a"))),
            ("http://flink", Some(("http://", "flink", 80, ""))),
            ("flink:8081", None),
            ("ftp://flink", None),
            ("http://", None),
            ("http://flink:port", None),
            ("http://flink/?a=b", None),
            ("http://[::1]:8081", None),
        ] {
            let name = Name::parse(url);
            let found = name.as_ref().map(|name| (&*name.before, &*name.host, name.port, &*name.after));
            assert_eq!(found, expected, "{url}");
        }
        let error = Dns::new(&["ftp://me:secret@flink".to_owned()], Duration::ZERO, &defaults()).unwrap_err();
        assert!(error.starts_with("'flink' is not a URL") && !error.contains("secret"), "{error}");
    }

    #[tokio::test]
    async fn each_address_of_a_name_is_a_cluster() {
        let dns = Dns::new(&["http://localhost:8081/flink".to_owned()], Duration::ZERO, &defaults()).unwrap();
        let clusters = dns.look(&dns.names[0]).await.unwrap();
        assert!(!clusters.is_empty());
        for Cluster { name, urls, .. } in clusters {
            assert!(["127.0.0.1:8081/flink", "[::1]:8081/flink"].contains(&name.as_str()), "{name}");
            assert_eq!(urls, [format!("http://{name}")]);
        }
        let unknown = Dns::new(&["http://nothing.invalid:8081".to_owned()], Duration::ZERO, &defaults()).unwrap();
        let error = unknown.look(&unknown.names[0]).await.unwrap_err();
        assert!(error.starts_with("nothing.invalid: "), "{error}");
    }
}
