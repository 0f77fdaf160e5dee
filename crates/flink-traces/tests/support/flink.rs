//! A JobManager that answers by script.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpSocket;
use tokio::sync::oneshot;

use super::Watched;

/// A port of the loopback interface where nobody listens, and nobody else can.
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

/// Status and body by path; a status of 0 stands for no answer ever. Anything else is answered as Flink answers an unknown path.
pub(crate) type Answers = BTreeMap<String, (u16, String)>;

/// A JobManager on the loopback interface. It is gone when this is dropped.
pub(crate) struct FakeFlink {
    address: SocketAddr,
    script: Arc<Watched<Script>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Script {
    answers: Answers,
    /// Paths, and what `authorization` said.
    requests: Vec<(String, Option<String>)>,
}

impl FakeFlink {
    pub(crate) fn start(answers: Answers) -> Self {
        Self::start_on(Port::reserve(), answers)
    }

    fn start_on(port: Port, answers: Answers) -> Self {
        let address = port.0.local_addr().unwrap();
        let script = Arc::new(Watched::<Script>::default());
        script.change(|script| script.answers = answers);
        let service = Router::new().fallback(answer).with_state(script.clone());
        let (stop, stopped) = oneshot::channel::<()>();
        let (listening, ready) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
            runtime.block_on(async {
                let listener = port.0.listen(64).unwrap();
                listening.send(()).unwrap();
                tokio::select! {
                    served = axum::serve(listener, service) => served.unwrap(),
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

    /// Answers otherwise from now on.
    pub(crate) fn set(&self, answers: Answers) {
        self.script.change(|script| script.answers = answers);
    }

    /// Forgets the requests so far.
    pub(crate) fn ignore_requests(&self) {
        self.script.change(|script| script.requests.clear());
    }

    /// Waits for that many requests of that path.
    pub(crate) fn wait_for_requests(&self, path: &str, count: usize) {
        let found = self.script.wait_for(|script| {
            let asked = script.requests.iter().filter(|(asked, _)| asked == path).count();
            (asked >= count).then_some(())
        });
        found.unwrap_or_else(|| panic!("{path} was not requested {count} times"));
    }

    /// What the requests so far had as `authorization`.
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

async fn answer(State(script): State<Arc<Watched<Script>>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let authorization = request.headers().get(AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    let answer = script.change(|script| {
        script.requests.push((path.clone(), authorization));
        script.answers.get(&path).cloned()
    });
    let unknown = || (404, format!(r#"{{"errors":["Unable to load requested file {path}."]}}"#));
    let (status, body) = answer.unwrap_or_else(unknown);
    if status == 0 {
        return std::future::pending().await;
    }
    let kind = if body.starts_with('<') { "text/html" } else { "application/json; charset=UTF-8" };
    let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
