//! Following the objects of one kind: a list in pages, and then a watch from where it ended.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use kube::api::{Api, DynamicObject, ListParams, ObjectList, WatchEvent, WatchParams};
use kube::{Client, Error};
use tokio::sync::mpsc::Sender;
use tokio::time::{sleep, timeout};

use super::object::{Entry, Kind};
use super::{Change, Kubernetes, causes};
use crate::text::one_line;

/// The number of objects of a page.
const PAGE: u32 = 500;
/// The pause after a failure, which doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The pause until a resource that the API server does not have is looked for again.
const MISSING_PAUSE: Duration = Duration::from_secs(60);
/// The time in which a page of a list must arrive.
const PAGE_WITHIN: Duration = Duration::from_secs(60);
/// The time after which a watch is begun again, so that a silent connection is noticed.
const WATCH_FOR: Duration = Duration::from_secs(240);
/// The part of the time of a watch that the API server has to end it by itself.
const GRACE: u32 = 16;

/// The objects of one kind in one namespace, or in all.
pub(super) struct Follower {
    pub(super) source: Kubernetes,
    pub(super) kind: Kind,
    pub(super) namespace: Option<String>,
    pub(super) selector: String,
    pub(super) limits: Limits,
}

/// The patience with a silent API server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    page_within: Duration,
    watch_for: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { page_within: PAGE_WITHIN, watch_for: WATCH_FOR }
    }
}

/// The receiver of the changes of one follower, which has a number.
pub(super) struct Changes {
    pub(super) number: usize,
    pub(super) sender: Sender<(usize, Change)>,
}

impl Changes {
    /// Sends a change. Returns `false` if the receiver is gone.
    async fn send(&self, change: Change) -> bool {
        self.sender.send((self.number, change)).await.is_ok()
    }
}

/// The reason why a list is not complete.
#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error("no response within {0:?}")]
    Silence(Duration),
    #[error(transparent)]
    Failed(#[from] Error),
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
    pub(super) async fn run(self, changes: Changes) {
        let mut pause = FIRST_PAUSE;
        loop {
            // A new client reads the token and the kubeconfig again.
            let failure = match self.source.client().await {
                Ok(client) => self.follow(client, &changes, &mut pause).await,
                Err(error) => error,
            };
            if !changes.send(Change::Problem(Some(failure))).await {
                return;
            }
            let number = changes.number as u32 % 7;
            sleep(pause + pause.mul_f64(f64::from(number) / 20.0)).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Follows the objects until something fails. Returns the reason.
    async fn follow(&self, client: Client, changes: &Changes, pause: &mut Duration) -> String {
        let resource = self.kind.resource();
        let api: Api<DynamicObject> = match &self.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        };
        loop {
            let (entries, mut versions) = match self.list(&api).await {
                Ok(listed) => listed,
                // Without the operator, there are no objects of its kinds.
                Err(ListError::Failed(Error::Api(status))) if status.code == 404 => {
                    *pause = FIRST_PAUSE;
                    changes.send(Change::All(BTreeMap::new())).await;
                    if !changes.send(Change::Problem(None)).await {
                        return String::new();
                    }
                    sleep(MISSING_PAUSE).await;
                    continue;
                }
                Err(ListError::Failed(error)) => return self.described("list", &reason(&error)),
                Err(error @ ListError::Silence(_)) => return self.described("list", &error.to_string()),
            };
            if !changes.send(Change::All(entries)).await {
                return String::new();
            }
            loop {
                let started = Instant::now();
                let end = self.watch(&api, &mut versions, changes, pause).await;
                if let End::Failed(error) = &end {
                    return self.described("watch", &reason(error));
                }
                // A server that ends each watch at once is not asked all the time.
                sleep(FIRST_PAUSE.saturating_sub(started.elapsed())).await;
                if matches!(end, End::Expired) {
                    tracing::debug!(resource = resource.plural, "the version has expired, listing again");
                    break;
                }
            }
        }
    }

    /// Lists all objects, in pages.
    async fn list(&self, api: &Api<DynamicObject>) -> Result<(BTreeMap<String, Entry>, Versions), ListError> {
        let first = ListParams::default().labels(&self.selector).limit(PAGE);
        let mut entries = BTreeMap::new();
        let mut of_objects = BTreeMap::new();
        let mut page = self.page(api, &first).await?;
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
                Some(token) => page = self.page(api, &first.clone().continue_token(token)).await?,
            }
        }
    }

    /// Lists the objects of one page.
    async fn page(&self, api: &Api<DynamicObject>, of: &ListParams) -> Result<ObjectList<DynamicObject>, ListError> {
        let within = self.limits.page_within;
        Ok(timeout(within, api.list(of)).await.map_err(|_| ListError::Silence(within))??)
    }

    /// Watches the objects from the last version on, until the watch ends. Once it has begun, the
    /// objects are up to date, and the next pause is the first one.
    async fn watch(
        &self,
        api: &Api<DynamicObject>,
        versions: &mut Versions,
        changes: &Changes,
        pause: &mut Duration,
    ) -> End {
        let watch_for = self.limits.watch_for;
        let seconds = watch_for.as_secs().clamp(1, 290);
        let params = WatchParams::default().labels(&self.selector).timeout(u32::try_from(seconds).unwrap_or(290));
        let limit = watch_for + watch_for / GRACE;
        let until = tokio::time::Instant::now() + limit;
        let begun = timeout(limit, api.watch(&params, &versions.last)).await;
        let events = match begun {
            Ok(Ok(events)) => events,
            Ok(Err(Error::Api(status))) if status.code == 410 => return End::Expired,
            Ok(Err(error)) => return End::Failed(error),
            Err(_) => return End::Resumable,
        };
        *pause = FIRST_PAUSE;
        if !changes.send(Change::Problem(None)).await {
            return End::Resumable;
        }
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
                && !changes.send(change).await
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

    fn described(&self, verb: &str, reason: &str) -> String {
        let plural = self.kind.resource().plural;
        let namespace = self.namespace.as_ref().map(|name| format!(" in {name}")).unwrap_or_default();
        format!("cannot {verb} {plural}{namespace}: {reason}")
    }
}

/// Returns the text of an error. The API server's own names the missing right.
fn reason(error: &Error) -> String {
    match error {
        Error::Api(status) => {
            let reason = format!("{} {}", status.code, status.reason);
            let has_message = !status.message.is_empty() && status.message != status.reason;
            one_line(&if has_message { format!("{reason}: {}", status.message) } else { reason }, 500)
        }
        Error::Service(error) => causes(&**error),
        error => causes(error),
    }
}

/// Returns the namespace and the name of an object.
fn key(object: &DynamicObject) -> String {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{}/{}", part(&object.metadata.namespace), part(&object.metadata.name))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::Router;
    use axum::extract::{Request, State};
    use axum::http::StatusCode;
    use axum::response::{IntoResponse as _, Response};
    use flink_traces_runtime::Configuration;
    use serde_json::json;
    use tokio::sync::mpsc;
    use tokio::task::JoinSet;

    use super::*;
    use crate::cluster::ClusterOptions;

    fn is_watch(request: &Request) -> bool {
        request.uri().query().unwrap_or_default().contains("watch=true")
    }

    fn empty_list() -> Response {
        let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": []});
        list.to_string().into_response()
    }

    /// Answers a list, stays silent to the first watch, and ends the second after one object.
    async fn silent_at_first(State(watches): State<Arc<AtomicU32>>, request: Request) -> Response {
        if !is_watch(&request) {
            return empty_list();
        }
        match watches.fetch_add(1, Ordering::Relaxed) {
            0 => std::future::pending().await,
            1 => {
                let metadata = json!({"name": "orders", "namespace": "a", "resourceVersion": "8"});
                let object = json!({"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment",
                    "metadata": metadata, "spec": {}});
                assert!(request.uri().query().unwrap().contains("resourceVersion=7"));
                format!("{}\n", json!({"type": "ADDED", "object": object})).into_response()
            }
            _ => String::new().into_response(),
        }
    }

    /// Answers a list, and refuses a watch.
    async fn unwatchable(request: Request) -> Response {
        if !is_watch(&request) {
            return empty_list();
        }
        let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403,
            "reason": "Forbidden", "message": "u cannot watch resource"});
        (StatusCode::FORBIDDEN, status.to_string()).into_response()
    }

    /// Runs a follower of the objects of an API server until the result is dropped.
    async fn follow(api: Router) -> (mpsc::Receiver<(usize, Change)>, JoinSet<()>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, api).await.unwrap() });
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
            limits: Limits { page_within: Duration::from_secs(1), watch_for: Duration::from_secs(1) },
        };
        let (sender, changes) = mpsc::channel(8);
        tasks.spawn(async move {
            follower.run(Changes { number: 3, sender }).await;
            drop(kubeconfig);
        });
        (changes, tasks)
    }

    async fn next(changes: &mut mpsc::Receiver<(usize, Change)>) -> Change {
        let (number, change) = timeout(Duration::from_secs(60), changes.recv()).await.unwrap().unwrap();
        assert_eq!(number, 3);
        change
    }

    #[tokio::test]
    async fn silent_watch_is_begun_again() {
        let api = Router::new().fallback(silent_at_first).with_state(Arc::default());
        let (mut changes, _tasks) = follow(api).await;
        assert!(matches!(next(&mut changes).await, Change::All(entries) if entries.is_empty()));
        assert!(matches!(next(&mut changes).await, Change::Problem(None)));
        assert!(matches!(next(&mut changes).await, Change::Set(key, Entry::Cluster(_)) if key == "a/orders"));
    }

    #[tokio::test]
    async fn silent_list_is_a_problem() {
        let (mut changes, _tasks) = follow(Router::new().fallback(std::future::pending::<String>)).await;
        let Change::Problem(Some(problem)) = next(&mut changes).await else { panic!("no problem") };
        assert_eq!(problem, "cannot list flinkdeployments: no response within 1s");
    }

    #[tokio::test]
    async fn refused_watch_keeps_its_problem_between_lists() {
        let (mut changes, _tasks) = follow(Router::new().fallback(unwatchable)).await;
        for _ in 0..2 {
            assert!(matches!(next(&mut changes).await, Change::All(_)));
            let Change::Problem(Some(problem)) = next(&mut changes).await else { panic!("no problem") };
            assert_eq!(problem, "cannot watch flinkdeployments: 403 Forbidden: u cannot watch resource");
        }
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
