//! Clusters that the API server of Kubernetes knows.

mod follow;
mod object;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;

use flink_traces_runtime::{Configuration, Problem};
use kube::client::AuthError;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, Error};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Discovery, Found, Results};
use crate::cluster::{Cluster, ClusterOptions};
use crate::options::{
    KUBERNETES_CLUSTER_NAME, KUBERNETES_CONTEXT, KUBERNETES_ENABLED, KUBERNETES_KUBECONFIG, KUBERNETES_LABEL_SELECTOR,
    KUBERNETES_NAMESPACES, KUBERNETES_SERVICE_SELECTOR, take,
};
use crate::text::{one_line, with_causes};
use follow::{Changes, Follower, Limits};
use object::{Entry, Kind};

/// The number of changes that may wait.
const WAITING: usize = 256;

/// The objects of a Kubernetes cluster that stand for Flink clusters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kubernetes {
    /// The first part of the names of clusters.
    cluster_name: Option<String>,
    /// The namespaces; empty for all.
    namespaces: Vec<String>,
    label_selector: String,
    service_selector: String,
    kubeconfig: Option<PathBuf>,
    context: Option<String>,
    /// The options of the clusters.
    defaults: ClusterOptions,
}

/// A change of the objects of one kind in one namespace.
enum Change {
    /// All objects, by namespace and name.
    All(BTreeMap<String, Entry>),
    /// An object that is new or has changed.
    Set(String, Entry),
    /// An object that is gone.
    Remove(String),
    /// The reason why the objects are not up to date, or `None` if they are watched.
    Problem(Option<String>),
}

/// The known objects of one kind in one namespace.
#[derive(Default)]
struct Known {
    entries: BTreeMap<String, Entry>,
    is_listed: bool,
    /// Set once a watch has begun, or something has failed.
    is_settled: bool,
    problem: Option<String>,
}

impl Kubernetes {
    /// Reads the options. Returns `None` unless the source is enabled.
    pub(crate) fn read(
        configuration: &Configuration,
        defaults: &ClusterOptions,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let is_enabled = take(configuration, &KUBERNETES_ENABLED, problems).unwrap_or_default();
        let source = Self {
            cluster_name: take(configuration, &KUBERNETES_CLUSTER_NAME, problems),
            namespaces: take(configuration, &KUBERNETES_NAMESPACES, problems).unwrap_or_default(),
            label_selector: take(configuration, &KUBERNETES_LABEL_SELECTOR, problems).unwrap_or_default(),
            service_selector: take(configuration, &KUBERNETES_SERVICE_SELECTOR, problems).unwrap_or_default(),
            kubeconfig: take(configuration, &KUBERNETES_KUBECONFIG, problems).map(PathBuf::from),
            context: take(configuration, &KUBERNETES_CONTEXT, problems),
            defaults: defaults.clone(),
        };
        is_enabled.then_some(source)
    }

    /// Creates a client. Reads the kubeconfig, or the files of the pod.
    async fn client(&self) -> Result<Client, String> {
        let config = if self.kubeconfig.is_some() || self.context.is_some() {
            let kubeconfig = match &self.kubeconfig {
                Some(path) => Kubeconfig::read_from(path),
                None => Kubeconfig::read(),
            };
            let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
            let kubeconfig = kubeconfig.map_err(|error| causes(&error))?;
            Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| causes(&error))?
        } else {
            Config::infer().await.map_err(|error| causes(&error))?
        };
        let plugin = config.auth_info.exec.as_ref().and_then(|exec| exec.command.clone());
        Client::try_from(config).map_err(|error| match (&error, plugin) {
            (Error::Auth(AuthError::AuthExecStart(error)), Some(plugin)) => {
                one_line(&format!("cannot run {plugin}, which the kubeconfig needs for its credentials: {error}"), 500)
            }
            _ => causes(&error),
        })
    }

    /// Returns the followers, in the order of precedence.
    fn followers(&self) -> Vec<Follower> {
        let mut followers = Vec::new();
        for kind in Kind::ALL {
            let selector = if kind == Kind::Service { &self.service_selector } else { &self.label_selector };
            if kind == Kind::Service && selector.trim().is_empty() {
                continue;
            }
            let follower = |namespace: Option<&String>| Follower {
                source: self.clone(),
                kind,
                namespace: namespace.cloned(),
                selector: selector.clone(),
                limits: Limits::default(),
            };
            match &self.namespaces[..] {
                [] => followers.push(follower(None)),
                namespaces => followers.extend(namespaces.iter().map(|namespace| follower(Some(namespace)))),
            }
        }
        followers
    }
}

/// Returns the text of an error with those of its causes, as one line.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    one_line(&with_causes(error), 500)
}

impl Discovery for Kubernetes {
    fn run(self: Box<Self>, results: Results) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let (sender, mut changes) = mpsc::channel(WAITING);
            let mut known: Vec<Known> = Vec::new();
            // They end together with this future.
            let mut following = JoinSet::new();
            for (number, follower) in self.followers().into_iter().enumerate() {
                known.push(Known::default());
                following.spawn(follower.run(Changes { number, sender: sender.clone() }));
            }
            drop(sender);
            while let Some((number, change)) = changes.recv().await {
                known[number].apply(change);
                while let Ok((number, change)) = changes.try_recv() {
                    known[number].apply(change);
                }
                // A cluster that two kinds of object describe has the options of the first.
                if known.iter().all(|known| known.is_listed || known.is_settled) {
                    results.send(found(&known)).await;
                }
            }
        })
    }
}

impl Known {
    fn apply(&mut self, change: Change) {
        match change {
            Change::All(entries) => {
                self.entries = entries;
                self.is_listed = true;
            }
            Change::Set(key, entry) => {
                self.entries.insert(key, entry);
            }
            Change::Remove(key) => {
                self.entries.remove(&key);
            }
            Change::Problem(problem) => {
                self.is_settled = true;
                self.problem = problem;
            }
        }
    }
}

/// Returns the clusters of all objects. An object that says to ignore its cluster hides others.
fn found(known: &[Known]) -> Found {
    let mut clusters: BTreeMap<&str, Option<&Cluster>> = BTreeMap::new();
    for entry in known.iter().flat_map(|known| known.entries.values()) {
        match entry {
            Entry::Cluster(cluster) => {
                clusters.entry(&cluster.name).or_insert(Some(cluster));
            }
            Entry::Ignored(name) => {
                clusters.entry(name).or_insert(None);
            }
            Entry::Nothing => {}
        }
    }
    let clusters: Vec<Cluster> = clusters.into_values().flatten().cloned().collect();
    let problem = known.iter().find_map(|known| known.problem.clone());
    // Before the first list, nothing is known.
    let is_known = known.iter().any(|known| known.is_listed);
    let is_pending = known.iter().any(|known| !known.is_settled);
    Found { clusters: is_known.then_some(clusters), problem, is_pending }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(entries: &[(&str, Entry)], is_listed: bool, problem: Option<&str>) -> Known {
        let entries = entries.iter().map(|(key, entry)| ((*key).to_owned(), entry.clone())).collect();
        Known { entries, is_listed, is_settled: true, problem: problem.map(str::to_owned) }
    }

    /// Scenario: the last cluster of one kind is gone, while another kind cannot be listed.
    /// Guarantees: the cluster is not kept.
    #[test]
    fn listed_kind_counts_beside_one_that_fails() {
        let forbidden = || known(&[], false, Some("forbidden"));
        let result = found(&[known(&[("a/b", Entry::Nothing)], true, None), forbidden()]);
        assert_eq!((result.clusters, result.problem.as_deref()), (Some(Vec::new()), Some("forbidden")));
        assert_eq!(found(&[forbidden(), forbidden()]).clusters, None);
    }

    #[test]
    fn look_is_pending_until_all_kinds_are_settled() {
        let mut kinds = [known(&[], true, None), Known::default()];
        kinds[1].apply(Change::All(BTreeMap::new()));
        assert!(found(&kinds).is_pending);
        kinds[1].apply(Change::Problem(None));
        assert!(!found(&kinds).is_pending);
    }
}
