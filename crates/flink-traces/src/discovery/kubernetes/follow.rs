//! Following the objects of one kind: a list in pages, and then a watch from where it ended.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use kube::api::{Api, DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::{Client, Error};
use tokio::sync::mpsc::Sender;
use tokio::time::{sleep, timeout};

use super::object::{Entry, Kind};
use super::{Change, Kubernetes, causes};

/// The number of objects of a page.
const PAGE: u32 = 500;
/// The pause after a failure, which doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The pause until a resource that the API server does not have is looked for again.
const MISSING_PAUSE: Duration = Duration::from_secs(60);
/// The part of the time of a watch that the API server has to end it by itself.
const GRACE: u32 = 16;

/// The objects of one kind in one namespace, or in all.
pub(super) struct Follower {
    pub(super) source: Kubernetes,
    pub(super) kind: Kind,
    pub(super) namespace: Option<String>,
    pub(super) selector: String,
    pub(super) watch_for: Duration,
}

/// The reason why a watch ended.
enum End {
    /// The watch may go on from the last version.
    Resumable,
    /// The API server has forgotten the version, so the objects are listed again.
    Expired,
    /// The watch failed.
    Failed(Error),
}

/// The versions of objects, which tell a late event.
struct Versions {
    /// The version from which a watch goes on.
    last: String,
    /// The version of each object.
    of_objects: BTreeMap<String, String>,
}

impl Versions {
    /// Notes the version of an event. A version that is older than the last does not count.
    fn note(&mut self, version: &str) {
        if !is_older(version, &self.last) {
            version.clone_into(&mut self.last);
        }
    }
}

/// Returns `true` if both are numbers, as those of etcd, and the first is less.
fn is_older(version: &str, known: &str) -> bool {
    match (version.parse::<u64>(), known.parse::<u64>()) {
        (Ok(version), Ok(known)) => version < known,
        _ => false,
    }
}

impl Follower {
    /// Follows the objects until the receiver of changes is gone.
    pub(super) async fn run(self, number: usize, changes: Sender<(usize, Change)>) {
        let mut pause = FIRST_PAUSE;
        loop {
            // A new client reads the token and the kubeconfig again.
            let failure = match self.source.client().await {
                Ok(client) => self.follow(client, number, &changes, &mut pause).await,
                Err(error) => error,
            };
            if changes.send((number, Change::Problem(Some(failure)))).await.is_err() {
                return;
            }
            sleep(pause + pause.mul_f64(f64::from(number as u32 % 7) / 20.0)).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Follows the objects until something fails. Returns the reason.
    async fn follow(
        &self,
        client: Client,
        number: usize,
        changes: &Sender<(usize, Change)>,
        pause: &mut Duration,
    ) -> String {
        let resource = self.kind.resource();
        let api: Api<DynamicObject> = match &self.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        };
        loop {
            let (entries, mut versions) = match self.list(&api).await {
                Ok(listed) => listed,
                // Without the operator, there are no objects of its kinds.
                Err(Error::Api(status)) if status.code == 404 => {
                    let _ = changes.send((number, Change::All(BTreeMap::new()))).await;
                    let _ = changes.send((number, Change::Problem(None))).await;
                    sleep(MISSING_PAUSE).await;
                    continue;
                }
                Err(error) => return self.described("list", &error),
            };
            *pause = FIRST_PAUSE;
            let _ = changes.send((number, Change::All(entries))).await;
            if changes.send((number, Change::Problem(None))).await.is_err() {
                return String::new();
            }
            loop {
                let started = Instant::now();
                match self.watch(&api, &mut versions, number, changes).await {
                    End::Resumable => {}
                    End::Expired => break,
                    End::Failed(error) => return self.described("watch", &error),
                }
                // A server that ends each watch at once is not asked all the time.
                sleep(FIRST_PAUSE.saturating_sub(started.elapsed())).await;
            }
        }
    }

    /// Lists all objects, in pages.
    async fn list(&self, api: &Api<DynamicObject>) -> Result<(BTreeMap<String, Entry>, Versions), Error> {
        let first = ListParams::default().labels(&self.selector).limit(PAGE);
        let mut entries = BTreeMap::new();
        let mut of_objects = BTreeMap::new();
        let mut page = api.list(&first).await?;
        loop {
            for object in &page.items {
                let key = key(object);
                of_objects.insert(key.clone(), object.metadata.resource_version.clone().unwrap_or_default());
                entries.insert(key, self.source.entry(self.kind, object));
            }
            match page.metadata.continue_.as_deref() {
                None | Some("") => {
                    let last = page.metadata.resource_version.unwrap_or_default();
                    return Ok((entries, Versions { last, of_objects }));
                }
                Some(token) => page = api.list(&first.clone().continue_token(token)).await?,
            }
        }
    }

    /// Watches the objects from the last version on, until the watch ends.
    async fn watch(
        &self,
        api: &Api<DynamicObject>,
        versions: &mut Versions,
        number: usize,
        changes: &Sender<(usize, Change)>,
    ) -> End {
        let seconds = self.watch_for.as_secs().clamp(1, 290);
        let params = WatchParams::default().labels(&self.selector).timeout(u32::try_from(seconds).unwrap_or(290));
        let limit = self.watch_for + self.watch_for / GRACE;
        let until = tokio::time::Instant::now() + limit;
        let begun = timeout(limit, api.watch(&params, &versions.last)).await;
        let events = match begun {
            Ok(Ok(events)) => events,
            Ok(Err(Error::Api(status))) if status.code == 410 => return End::Expired,
            Ok(Err(error)) => return End::Failed(error),
            Err(_) => return End::Resumable,
        };
        let mut events = pin!(events);
        loop {
            let event = match tokio::time::timeout_at(until, events.try_next()).await {
                Ok(Ok(Some(event))) => event,
                // The end of the time, a line that was cut, or silence.
                Ok(Ok(None)) | Err(_) => return End::Resumable,
                Ok(Err(Error::ReadEvents(_) | Error::SerdeError(_) | Error::HyperError(_))) => return End::Resumable,
                Ok(Err(Error::Api(status))) if status.code == 410 => return End::Expired,
                Ok(Err(error)) => return End::Failed(error),
            };
            let change = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => self.change(&object, versions, false),
                WatchEvent::Deleted(object) => self.change(&object, versions, true),
                WatchEvent::Bookmark(bookmark) => {
                    versions.note(&bookmark.metadata.resource_version);
                    None
                }
                WatchEvent::Error(status) if status.code == 410 => return End::Expired,
                WatchEvent::Error(status) => return End::Failed(Error::Api(status)),
            };
            if let Some(change) = change
                && changes.send((number, change)).await.is_err()
            {
                return End::Resumable;
            }
        }
    }

    /// Returns the change by an object; `None` if a later state is known.
    fn change(&self, object: &DynamicObject, versions: &mut Versions, is_gone: bool) -> Option<Change> {
        let key = key(object);
        let version = object.metadata.resource_version.clone().unwrap_or_default();
        if versions.of_objects.get(&key).is_some_and(|known| is_older(&version, known)) {
            return None;
        }
        versions.note(&version);
        if is_gone {
            versions.of_objects.remove(&key);
            return Some(Change::Remove(key));
        }
        versions.of_objects.insert(key.clone(), version);
        Some(Change::Set(key, self.source.entry(self.kind, object)))
    }

    fn described(&self, verb: &str, error: &Error) -> String {
        let plural = self.kind.resource().plural;
        let namespace = self.namespace.as_ref().map(|name| format!(" in {name}")).unwrap_or_default();
        format!("cannot {verb} {plural}{namespace}: {}", causes(error))
    }
}

/// Returns the namespace and the name of an object.
fn key(object: &DynamicObject) -> String {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{}/{}", part(&object.metadata.namespace), part(&object.metadata.name))
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::extract::{Request, State};
    use axum::response::{IntoResponse as _, Response};
    use flink_traces_runtime::Configuration;
    use serde_json::json;
    use tokio::sync::{Mutex, mpsc};

    use super::*;
    use crate::cluster::ClusterOptions;

    /// Answers a list, stays silent to the first watch, and ends the second after one object.
    async fn answer(State(watches): State<std::sync::Arc<Mutex<u32>>>, request: Request) -> Response {
        if !request.uri().query().unwrap_or_default().contains("watch=true") {
            let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": []});
            return list.to_string().into_response();
        }
        let number = {
            let mut watches = watches.lock().await;
            *watches += 1;
            *watches
        };
        match number {
            1 => std::future::pending().await,
            2 => {
                let metadata = json!({"name": "orders", "namespace": "a", "resourceVersion": "8"});
                let object = json!({"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment",
                    "metadata": metadata, "spec": {}});
                assert!(request.uri().query().unwrap().contains("resourceVersion=7"));
                format!("{}\n", json!({"type": "ADDED", "object": object})).into_response()
            }
            _ => String::new().into_response(),
        }
    }

    #[tokio::test]
    async fn silent_watch_is_begun_again() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(std::sync::Arc::default());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let kubeconfig = tempfile::NamedTempFile::new().unwrap();
        let content = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: it\nclusters:\n- name: it\n  cluster: {{server: \"http://{address}\"}}\n\
             users:\n- name: it\n  user: {{}}\ncontexts:\n- name: it\n  context: {{cluster: it, user: it}}\n"
        );
        std::fs::write(kubeconfig.path(), content).unwrap();
        let path = kubeconfig.path().display().to_string();
        let configuration = Configuration::from_pairs([
            ("flink-traces.kubernetes.enabled", "true"),
            ("flink-traces.kubernetes.kubeconfig", path.as_str()),
        ]);
        let defaults = ClusterOptions::read(&configuration, &mut Vec::new());
        let source = Kubernetes::read(&configuration, &defaults, &mut Vec::new()).unwrap();
        let follower = Follower {
            source,
            kind: Kind::FlinkDeployment,
            namespace: None,
            selector: String::new(),
            watch_for: Duration::from_secs(1),
        };
        let (sender, mut changes) = mpsc::channel(8);
        let following = tokio::spawn(follower.run(3, sender));
        let mut next = async || timeout(Duration::from_secs(60), changes.recv()).await.unwrap().unwrap();
        assert!(matches!(next().await, (3, Change::All(entries)) if entries.is_empty()));
        assert!(matches!(next().await, (3, Change::Problem(None))));
        assert!(matches!(next().await, (3, Change::Set(key, Entry::Cluster(_))) if key == "a/orders"));
        following.abort();
    }

    #[test]
    fn late_versions_do_not_count() {
        let mut versions = Versions { last: "9".to_owned(), of_objects: BTreeMap::new() };
        versions.note("8");
        assert_eq!(versions.last, "9");
        versions.note("10");
        assert_eq!(versions.last, "10");
        // A version that is no number has no order.
        versions.note("x");
        assert_eq!(versions.last, "x");
    }
}
