//! A fake API server of Kubernetes, with faults that a real one cannot be made to have.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde_json::{Value, json};

use super::Watched;

/// A fake API server on the loopback interface, which runs until the end of the process.
pub(crate) struct ApiServer {
    address: std::net::SocketAddr,
    state: Arc<Watched<Objects>>,
}

#[derive(Default)]
struct Objects {
    version: u64,
    /// The objects by plural, namespace and name.
    objects: BTreeMap<(String, String), Value>,
    /// The lines of watches by version and plural.
    lines: Vec<(u64, String, String)>,
    /// The versions up to this one are forgotten.
    forgotten: u64,
    /// Each change ends all watches.
    watches: u64,
    /// The token that requests must have.
    token: String,
    /// The paths of lists and watches.
    requests: Vec<String>,
}

impl ApiServer {
    pub(crate) fn start(token: &str) -> Self {
        let state = Arc::new(Watched::<Objects>::default());
        state.change(|objects| (objects.token, objects.version) = (token.to_owned(), 1));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let router = Router::new().fallback(answer).with_state(state.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        Self { address, state }
    }

    /// Returns a kubeconfig with a token.
    pub(crate) fn kubeconfig(&self, token: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: it\nclusters:\n- name: it\n  cluster:\n    server: http://{}\n\
             users:\n- name: it\n  user:\n    token: {token}\ncontexts:\n- name: it\n  context:\n    cluster: it\n    user: it\n",
            self.address
        )
    }

    /// Creates or replaces a `FlinkDeployment` with these annotations.
    pub(crate) fn put(&self, namespace: &str, name: &str, annotations: &Value) {
        self.state.change(|objects| {
            objects.version += 1;
            let object = json!({
                "apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment",
                "metadata": {"name": name, "namespace": namespace, "resourceVersion": objects.version.to_string(),
                    "annotations": annotations},
                "spec": {},
            });
            let key = ("flinkdeployments".to_owned(), format!("{namespace}/{name}"));
            let kind = if objects.objects.contains_key(&key) { "MODIFIED" } else { "ADDED" };
            objects.lines.push((objects.version, key.0.clone(), json!({"type": kind, "object": object}).to_string()));
            objects.objects.insert(key, object);
        });
    }

    pub(crate) fn delete(&self, namespace: &str, name: &str) {
        self.state.change(|objects| {
            objects.version += 1;
            let key = ("flinkdeployments".to_owned(), format!("{namespace}/{name}"));
            let mut object = objects.objects.remove(&key).unwrap();
            object["metadata"]["resourceVersion"] = json!(objects.version.to_string());
            objects.lines.push((objects.version, key.0, json!({"type": "DELETED", "object": object}).to_string()));
        });
    }

    /// Adds a line to the watches of `FlinkDeployment`s, of a version that they get next.
    pub(crate) fn say(&self, line: &Value) {
        self.state.change(|objects| {
            objects.version += 1;
            objects.lines.push((objects.version, "flinkdeployments".to_owned(), line.to_string()));
        });
    }

    /// Ends all watches in the middle of a line.
    pub(crate) fn cut(&self) {
        self.state.change(|objects| objects.watches += 1);
    }

    /// Forgets the versions so far, so that watches from them are expired.
    pub(crate) fn forget(&self) {
        self.state.change(|objects| {
            objects.version += 1;
            objects.forgotten = objects.version;
        });
    }

    /// Requires another token.
    pub(crate) fn require(&self, token: &str) {
        self.state.change(|objects| objects.token = token.to_owned());
    }

    /// Returns the number of requests so far that contain a text.
    pub(crate) fn requests(&self, part: &str) -> usize {
        self.state.change(|objects| objects.requests.iter().filter(|request| request.contains(part)).count())
    }
}

fn failure(code: u16, reason: &str) -> Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": reason});
    (StatusCode::from_u16(code).unwrap(), status.to_string()).into_response()
}

async fn answer(State(state): State<Arc<Watched<Objects>>>, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let query: BTreeMap<_, _> = query.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let plural = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let authorization = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
    let uri = request.uri().to_string();
    let is_allowed = state.change(|objects| {
        objects.requests.push(uri);
        authorization == Some(format!("Bearer {}", objects.token))
    });
    if !is_allowed {
        return failure(401, "Unauthorized");
    }
    // The operator's jobs are not installed.
    if plural == "flinksessionjobs" {
        return failure(404, "NotFound");
    }
    if query.get("watch").is_some_and(|watch| watch == "true") {
        let from: u64 = query["resourceVersion"].parse().unwrap();
        return watch(state, plural, from);
    }
    let limit: usize = query["limit"].parse().unwrap();
    let start: usize = query.get("continue").map_or(0, |token| token.parse().unwrap());
    state.change(|objects| {
        let all: Vec<_> =
            objects.objects.iter().filter(|((of, _), _)| *of == plural).map(|(_, object)| object).collect();
        let items: Vec<_> = all.iter().skip(start).take(limit).collect();
        let end = start + items.len();
        let token = if end < all.len() { end.to_string() } else { String::new() };
        let metadata = json!({"resourceVersion": objects.version.to_string(), "continue": token});
        json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items}).to_string().into_response()
    })
}

fn watch(state: Arc<Watched<Objects>>, plural: String, from: u64) -> Response {
    let (forgotten, watches) = state.change(|objects| (objects.forgotten, objects.watches));
    if from < forgotten {
        return failure(410, "Expired");
    }
    let lines = stream::unfold((from, false), move |(from, is_over)| {
        let (state, plural) = (state.clone(), plural.clone());
        async move {
            if is_over {
                return None;
            }
            loop {
                let next = state.change(|objects| {
                    if objects.watches != watches {
                        return Some((from, r#"{"type":"ADDED","obj"#.to_owned(), true));
                    }
                    let mut lines = objects.lines.iter();
                    let (version, _, line) = lines.find(|(version, of, _)| *version > from && *of == plural)?;
                    Some((*version, format!("{line}\n"), false))
                });
                if let Some((version, line, is_over)) = next {
                    return Some((Ok::<_, std::io::Error>(Bytes::from(line)), (version, is_over)));
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    Body::from_stream(lines).into_response()
}
