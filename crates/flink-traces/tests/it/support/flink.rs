//! A scripted JobManager: the server of `flink-rest` over recorded responses, with responses that
//! Flink would not send in front of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use flink_rest::{
    CheckpointConfig, CheckpointDetails, CheckpointSubtasks, Checkpoints, Config, Endpoint, Job, JobExceptions,
    JobManagerConfig, JobMetrics, JobsOverview, Overview, Resource, ResponseBody, RestError, RestServer, RestService,
    ServerOptions, StatusError, SubtaskTimes, router,
};
use tokio::net::TcpSocket;
use tokio::sync::oneshot;

use super::Watched;

/// A reserved port of the loopback interface, without a listener.
pub(crate) struct Port(TcpSocket);

impl Port {
    pub(crate) fn reserve() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        Self(socket)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    /// Starts a JobManager there.
    pub(crate) fn start_flink(self, answers: Answers) -> FakeFlink {
        FakeFlink::start_on(self, answers)
    }
}

/// The responses by path. Another path gets Flink's response to an unknown path.
pub(crate) type Answers = BTreeMap<String, Reply>;

#[derive(Clone)]
pub(crate) enum Reply {
    /// A response of Flink: a status, and the JSON of the endpoint or of an error.
    Flink(u16, String),
    /// A response that Flink would not send: of a proxy, or broken.
    Strange(String),
    /// The same, that late.
    Late(Duration, u16, String),
    /// No response, for ever.
    Never,
}

/// A JobManager on the loopback interface. It stops when this is dropped.
pub(crate) struct FakeFlink {
    address: SocketAddr,
    script: Arc<Watched<Script>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Script {
    answers: Answers,
    /// The paths of requests, and their `authorization` headers.
    requests: Vec<(String, Option<String>)>,
}

impl FakeFlink {
    pub(crate) fn start(answers: Answers) -> Self {
        Self::start_on(Port::reserve(), answers)
    }

    fn start_on(port: Port, answers: Answers) -> Self {
        let address = port.0.local_addr().unwrap();
        let script = Arc::new(Watched::<Script>::default());
        script.change(|script| script.answers = checked(answers));
        let options = ServerOptions::default();
        let router = router(Recorded(script.clone()), &options).layer(from_fn_with_state(script.clone(), in_front));
        let (stop, stopped) = oneshot::channel::<()>();
        let (listening, ready) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = RestServer::new(port.0.listen(64).unwrap(), router, options);
                listening.send(()).unwrap();
                // A client that waits for a response does not delay the shutdown.
                tokio::select! {
                    () = server.serve(std::future::pending()) => {}
                    _ = stopped => {}
                }
            });
        });
        ready.blocking_recv().unwrap();
        Self { address, script, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Replaces the responses.
    pub(crate) fn set(&self, answers: Answers) {
        self.script.change(|script| script.answers = checked(answers));
    }

    /// Forgets the requests so far.
    pub(crate) fn ignore_requests(&self) {
        self.script.change(|script| script.requests.clear());
    }

    /// Returns the number of requests of a path so far.
    pub(crate) fn requests(&self, path: &str) -> usize {
        self.script.change(|script| script.requests.iter().filter(|(asked, _)| asked == path).count())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until a path was requested `count` times.
    pub(crate) fn wait_for_requests(&self, path: &str, count: usize) {
        let found = self.script.wait_for(|script| {
            let asked = script.requests.iter().filter(|(asked, _)| asked == path).count();
            (asked >= count).then_some(())
        });
        found.unwrap_or_else(|| panic!("{path} was not requested {count} times"));
    }

    /// Returns the `authorization` headers of the requests so far.
    pub(crate) fn authorizations(&self) -> Vec<Option<String>> {
        self.script.change(|script| script.requests.iter().map(|(_, authorization)| authorization.clone()).collect())
    }
}

impl Drop for FakeFlink {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Checks that Flink could have sent the responses.
fn checked(answers: Answers) -> Answers {
    for (path, reply) in &answers {
        if let Reply::Flink(200, body) = reply {
            let resource = Resource::parse(path).unwrap_or_else(|| panic!("{path} is no endpoint"));
            resource.parse_body(body.as_bytes()).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
    }
    answers
}

/// Records the requests, and sends the responses that Flink would not send.
async fn in_front(State(script): State<Arc<Watched<Script>>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let authorization = request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    let answer = script.change(|script| {
        script.requests.push((path.clone(), authorization));
        script.answers.get(&path).cloned()
    });
    match answer {
        Some(Reply::Strange(body)) => {
            let kind = if body.starts_with('<') { "text/html" } else { "application/json; charset=UTF-8" };
            let mut response = (StatusCode::OK, body).into_response();
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            response
        }
        Some(Reply::Never) => std::future::pending().await,
        Some(Reply::Late(pause, ..)) => {
            tokio::time::sleep(pause).await;
            next.run(request).await
        }
        Some(Reply::Flink(..)) | None => next.run(request).await,
    }
}

/// The recorded cluster.
struct Recorded(Arc<Watched<Script>>);

impl Recorded {
    fn answer<E: Endpoint>(&self, request: &E) -> Result<E::Response, RestError> {
        let path = request.path();
        let (status, body) = match self.0.change(|script| script.answers.get(&path).cloned()) {
            Some(Reply::Flink(status, body) | Reply::Late(_, status, body)) => (status, body),
            _ => return Err(RestError::unknown(E::METHOD, &path)),
        };
        match StatusError::of(status, body.as_bytes()) {
            None => E::Response::from_bytes(body.as_bytes()).map_err(|error| RestError::new(500, error.to_string())),
            Some(error) => Err(error.into()),
        }
    }
}

macro_rules! recorded {
    ($($function:ident $request:ident),+) => {
        impl RestService for Recorded {
            $(async fn $function(&self, request: $request) -> Result<<$request as Endpoint>::Response, RestError> {
                self.answer(&request)
            })+
        }
    };
}

recorded! {
    config Config, job_manager_config JobManagerConfig, overview Overview, jobs_overview JobsOverview, job Job, job_exceptions JobExceptions,
    checkpoints Checkpoints, checkpoint_config CheckpointConfig, checkpoint_details CheckpointDetails,
    checkpoint_subtasks CheckpointSubtasks, subtask_times SubtaskTimes, job_metrics JobMetrics
}
