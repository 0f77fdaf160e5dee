//! The server: HTTP, with limits; what is answered is a [`RestService`]'s.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::endpoints::{Declaration, RestService, dispatch};
use crate::service::{RestError, ServiceResponse};

/// By which a browser tells whether it is a page of the same site that asks.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Flink's `rest.port`.
const PORT: u16 = 8081;
/// How long a connection may take to end once it shall.
const GRACE: Duration = Duration::from_secs(5);
/// The pause after a connection could not be accepted, as when there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What hyper needs at least to read a head.
const LEAST_HEADER_BYTES: usize = 8192;

/// How a [`RestServer`] is protected. Times are long enough for people, sizes for Flink's own clients.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerOptions {
    /// Where to listen: port 8081 of the loopback interface unless set. Whoever reaches the server may do what the service does, so before
    /// any other interface something has to ask who they are.
    pub address: SocketAddr,
    /// The names by which the server may be asked, besides `localhost` and IP addresses. A page of another site that has its name point
    /// here asks by that name, and is refused.
    pub hosts: Vec<String>,
    /// The largest body of a request, in bytes: 1 MiB unless set. As in Flink nothing is unpacked, so what is packed is refused.
    pub max_body_bytes: usize,
    /// The largest head of a request, in bytes: 16 KiB unless set, and at least 8 KiB.
    pub max_header_bytes: usize,
    /// How long the head of a request may take: 10 s unless set.
    pub header_timeout: Duration,
    /// How long the body of a request and its answer may take: 30 s unless set.
    pub request_timeout: Duration,
    /// How long a connection may last: 10 min unless set. A client makes a new one.
    pub connection_timeout: Duration,
    /// How many connections there may be: 256 unless set. Others wait.
    pub max_connections: usize,
}

impl ServerOptions {
    /// Creates options for a server at `address`. Port 0 stands for any free port.
    pub fn new(address: impl Into<SocketAddr>) -> Self {
        Self { address: address.into(), ..Self::default() }
    }
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
            hosts: Vec::new(),
            max_body_bytes: 1 << 20,
            max_header_bytes: 16 << 10,
            header_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            connection_timeout: Duration::from_secs(600),
            max_connections: 256,
        }
    }
}

/// Serves a [`RestService`].
#[derive(Debug)]
pub struct RestServer {
    listener: TcpListener,
    router: Router,
    options: ServerOptions,
}

impl RestServer {
    /// Listens, but does not answer yet.
    ///
    /// # Errors
    /// When the address cannot be listened to.
    pub async fn bind(service: impl RestService, options: ServerOptions) -> io::Result<Self> {
        let listener = TcpListener::bind(options.address).await?;
        Ok(Self::new(listener, router(service, &options), options))
    }

    /// Serves what [`router`] made, with layers of one's own around it, such as one that asks who it is, to whoever comes to `listener`;
    /// the address of `options` is not looked at. It does not answer yet.
    pub fn new(listener: TcpListener, router: Router, options: ServerOptions) -> Self {
        Self { listener, router, options }
    }

    /// Where it listens, with the port that the system chose if it was asked for port 0.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until `shutdown` is ready, and then until requests that have begun are answered, at most 5 s.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let Self { listener, router, options } = self;
        let options = Arc::new(options);
        let places = Arc::new(Semaphore::new(options.max_connections));
        let (stop, stopped) = watch::channel(());
        let mut shutdown = pin!(shutdown);
        loop {
            let place = tokio::select! {
                () = &mut shutdown => break,
                place = places.clone().acquire_owned() => place,
            };
            let stream = tokio::select! {
                () = &mut shutdown => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(_) => {
                        sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                },
            };
            let connection = connection(stream, router.clone(), options.clone(), stopped.clone());
            tokio::spawn(async move {
                connection.await;
                drop(place);
            });
        }
        drop((listener, stopped));
        // Tells all connections, and waits until the last one has let go of its end.
        let _ = stop.send(());
        let _ = timeout(GRACE, stop.closed()).await;
    }
}

async fn connection(stream: TcpStream, router: Router, options: Arc<ServerOptions>, mut stopped: watch::Receiver<()>) {
    let _ = stream.set_nodelay(true);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_buf_size(options.max_header_bytes.max(LEAST_HEADER_BYTES));
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = sleep(options.connection_timeout) => {}
        _ = stopped.changed() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(GRACE, connection).await;
}

/// What a [`RestServer`] serves, to put layers around it or for a server of one's own. It checks hosts, bodies and how long an answer
/// takes; heads and connections are up to the server.
pub fn router(service: impl RestService, options: &ServerOptions) -> Router {
    let state = Arc::new(Shared { service, options: options.clone() });
    Router::new().fallback(handle).with_state(state)
}

struct Shared<S> {
    service: S,
    options: ServerOptions,
}

async fn handle<S: RestService>(State(shared): State<Arc<Shared<S>>>, request: Request) -> Response {
    let options = &shared.options;
    let (head, body) = request.into_parts();
    let path = head.uri.path_and_query().map_or("", |path| path.as_str());
    if let Err(error) = check_sender(&head.method, path, &head.headers, &options.hosts) {
        return response(Err(error));
    }
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let answered = timeout(options.request_timeout, async {
        let body = to_bytes(body, options.max_body_bytes).await.map_err(|error| {
            let is_large =
                std::error::Error::source(&error).is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>());
            match is_large {
                true => RestError::new(413, format!("The body is larger than {} bytes.", options.max_body_bytes)),
                false => RestError::new(400, "The body broke off."),
            }
        })?;
        dispatch(&shared.service, head.method.as_str(), path, content_type, &body).await
    });
    response(answered.await.unwrap_or_else(|_| Err(RestError::new(408, "The request took too long."))))
}

/// Refuses what a page of another site can make a browser send.
fn check_sender(method: &Method, path: &str, headers: &HeaderMap, hosts: &[String]) -> Result<(), RestError> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text(HOST).ok_or_else(|| RestError::new(400, "The request names no host."))?;
    if !is_known_host(host, hosts) {
        return Err(RestError::new(421, "This server is not known by the name of that host."));
    }
    // Two GETs of Flink's are orders, and answer with another status than those that read.
    let reads = match *method {
        Method::HEAD => true,
        Method::GET => Declaration::of("GET", path).is_none_or(|endpoint| endpoint.status == 200),
        _ => false,
    };
    let origin = text(ORIGIN).map(|origin| origin.split_once("://").map_or(origin, |(_, authority)| authority));
    let is_elsewhere = origin.is_some_and(|origin| !origin.eq_ignore_ascii_case(host))
        // What a browser says also of a GET: `none` is a user's own, by the address bar or a bookmark.
        || text(SEC_FETCH_SITE).is_some_and(|site| !matches!(site, "same-origin" | "none"));
    match is_elsewhere && !reads {
        true => Err(RestError::new(403, "A page of another site must not change anything here.")),
        false => Ok(()),
    }
}

fn is_known_host(host: &str, hosts: &[String]) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    // A name can be made to point here by anyone, an address cannot.
    address.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn response(result: Result<ServiceResponse, RestError>) -> Response {
    let ServiceResponse { status, content_type, body } = result.unwrap_or_else(ServiceResponse::from);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_anyone_can_point_here_is_no_host_of_ours() {
        let hosts = ["Jobs.example.com".to_owned()];
        for (host, expected) in [
            ("localhost:8081", true),
            ("LOCALHOST", true),
            ("127.0.0.1:8081", true),
            ("10.0.0.1", true),
            ("[::1]:8081", true),
            ("::1", false),
            ("jobs.example.com:443", true),
            ("evil.example.com:8081", false),
            ("localhost.evil.example.com", false),
            ("127.0.0.1.evil.example.com", false),
            ("localhost:8081@evil.example.com", false),
            ("evil.example.com:localhost", false),
            ("", false),
        ] {
            assert_eq!(is_known_host(host, &hosts), expected, "{host}");
        }
    }
}
