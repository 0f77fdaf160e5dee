//! An HTTP server with limits for a [`RestService`].

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, REFERER, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::endpoints::{RestService, dispatch, is_read};
use crate::service::{RestError, ServiceResponse};

/// The header in which a browser names the relation of a request to its page.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Flink's `rest.port`.
const PORT: u16 = 8081;
/// The time limit for closing a connection.
const GRACE: Duration = Duration::from_secs(5);
/// The pause after a connection could not be accepted, as with too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The maximum number of requests at the same time on a connection of HTTP/2.
const MAX_STREAMS: u32 = 32;
/// The minimum buffer of hyper for reading a head.
const MIN_HEADER_BYTES: usize = 8192;

/// The address and the limits of a [`RestServer`].
///
/// The defaults allow for people's delays and for the sizes of Flink's own clients.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerOptions {
    /// The address to listen on. Default: port 8081 of the loopback interface.
    ///
    /// Any client that reaches the server can use the service. Put authentication in front of any
    /// other interface.
    pub address: SocketAddr,
    /// The accepted host names, besides `localhost` and IP addresses.
    ///
    /// A page of another site may resolve its own name to this server (DNS rebinding). Its requests
    /// carry that name and are refused.
    pub hosts: Vec<String>,
    /// The maximum size of a request's body, in bytes. Default: 1 MiB.
    ///
    /// Like Flink, the server does not decompress bodies, so a compressed one is refused.
    pub max_body_bytes: usize,
    /// The maximum size of a request's head, in bytes, at least 8 KiB. Default: 16 KiB.
    pub max_header_bytes: usize,
    /// The time limit for the head of a request, and for a pause before it. Default: 10 s.
    pub header_timeout: Duration,
    /// The time limit for the body of a request and the response. Default: 30 s.
    pub request_timeout: Duration,
    /// The maximum age of a connection, after which a client opens a new one. Default: 10 min.
    pub connection_timeout: Duration,
    /// The maximum number of connections. Default: 256. Others wait.
    pub max_connections: usize,
    /// Serves HTTP/2 instead of HTTP/1.1, as gRPC needs it. Default: `false`.
    ///
    /// A client has to know that, or learns it in the handshake of TLS.
    pub http2: bool,
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
            http2: false,
        }
    }
}

/// A server for a [`RestService`], or for any other router that needs its limits.
///
/// # Examples
///
/// ```no_run
/// use flink_rest::{RestServer, RestService, ServerOptions};
///
/// async fn serve(service: impl RestService) -> std::io::Result<()> {
///     let server = RestServer::bind(service, ServerOptions::new(([127, 0, 0, 1], 0))).await?;
///     println!("listening on {}", server.local_addr()?);
///     server.serve(std::future::pending()).await;
///     Ok(())
/// }
/// ```
pub struct RestServer {
    listener: TcpListener,
    router: Router,
    options: ServerOptions,
    handshake: Option<Arc<Handshake>>,
}

/// A step between a connection and its first request.
type Handshake = dyn Fn(TcpStream) -> Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>> + Send + Sync;

/// The bytes of a connection, in both directions.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl fmt::Debug for RestServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestServer").field("listener", &self.listener).field("options", &self.options).finish()
    }
}

impl RestServer {
    /// Binds the address without serving requests yet.
    ///
    /// # Errors
    ///
    /// Returns an error if the address cannot be bound.
    pub async fn bind(service: impl RestService, options: ServerOptions) -> io::Result<Self> {
        let listener = TcpListener::bind(options.address).await?;
        Ok(Self::new(listener, router(service, &options), options))
    }

    /// Creates a server from a listener and a [`router`], without serving requests yet.
    ///
    /// The router may have more layers, such as one for authentication, or be another one. The
    /// address in `options` is ignored.
    pub fn new(listener: TcpListener, router: Router, options: ServerOptions) -> Self {
        Self { listener, router, options, handshake: None }
    }

    /// Sets a step between a connection and its first request, such as the handshake of TLS.
    ///
    /// The server reads requests from the stream that the step returns. It closes a connection
    /// whose step fails or takes longer than [`header_timeout`](ServerOptions::header_timeout).
    #[must_use]
    pub fn with_handshake<S, F>(mut self, handshake: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Self
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
        F: Future<Output = io::Result<S>> + Send + 'static,
    {
        self.handshake = Some(Arc::new(move |stream| {
            let stream = handshake(stream);
            Box::pin(async move { Ok(Box::new(stream.await?) as Box<dyn Stream>) })
        }));
        self
    }

    /// Returns the bound address, with the actual port if port 0 was requested.
    ///
    /// # Errors
    ///
    /// Returns an error if the system does not provide the address.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves requests until `shutdown` is ready.
    ///
    /// It then completes the requests in progress, for at most 5 s.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let Self { listener, router, options, handshake } = self;
        let options = Arc::new(options);
        let permits = Arc::new(Semaphore::new(options.max_connections));
        let (stop, stopped) = watch::channel(());
        let mut shutdown = pin!(shutdown);
        loop {
            let permit = tokio::select! {
                () = &mut shutdown => break,
                permit = permits.clone().acquire_owned() => permit,
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
            let _ = stream.set_nodelay(true);
            let (router, options, stopped) = (router.clone(), options.clone(), stopped.clone());
            let handshake = handshake.clone();
            tokio::spawn(async move {
                match handshake {
                    None => connection(stream, router, options, stopped).await,
                    Some(handshake) => {
                        if let Ok(Ok(stream)) = timeout(options.header_timeout, handshake(stream)).await {
                            connection(stream, router, options, stopped).await;
                        }
                    }
                }
                drop(permit);
            });
        }
        drop((listener, stopped));
        // Stops all connections, and waits until the last one has dropped its receiver.
        let _ = stop.send(());
        let _ = timeout(GRACE, stop.closed()).await;
    }
}

async fn connection(
    stream: impl Stream,
    router: Router,
    options: Arc<ServerOptions>,
    mut stopped: watch::Receiver<()>,
) {
    if options.http2 {
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(options.max_header_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(options.header_timeout)
            .keep_alive_timeout(options.header_timeout);
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
        tokio::select! {
            _ = connection.as_mut() => return,
            () = sleep(options.connection_timeout) => {}
            _ = stopped.changed() => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = timeout(GRACE, connection).await;
        return;
    }
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(options.header_timeout)
        .max_buf_size(options.max_header_bytes.max(MIN_HEADER_BYTES));
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = sleep(options.connection_timeout) => {}
        _ = stopped.changed() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = timeout(GRACE, connection).await;
}

/// Creates the router of a [`RestServer`], to add layers to it or for a server of your own.
///
/// The router limits hosts, bodies and the time for a response. The server limits heads and
/// connections.
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
    let result = timeout(options.request_timeout, async {
        let body = to_bytes(body, options.max_body_bytes).await.map_err(|error| {
            let is_large =
                std::error::Error::source(&error).is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>());
            if is_large {
                RestError::new(413, format!("The body is larger than {} bytes.", options.max_body_bytes))
            } else {
                RestError::new(400, "The body broke off.")
            }
        })?;
        dispatch(&shared.service, head.method.as_str(), path, content_type, &body).await
    });
    response(result.await.unwrap_or_else(|_| Err(RestError::new(408, "The request took too long."))))
}

/// Refuses requests that a page of another site can make a browser send.
fn check_sender(method: &Method, path: &str, headers: &HeaderMap, hosts: &[String]) -> Result<(), RestError> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text(HOST).ok_or_else(|| RestError::new(400, "The request names no host."))?;
    if !is_known_host(host, hosts) {
        return Err(RestError::new(421, "This server is not known by the name of that host."));
    }
    let is_other = |site: &str| !authority(site).eq_ignore_ascii_case(host);
    // A browser omits `Sec-Fetch-Site` towards plain HTTP on other addresses than loopback, and
    // `Origin` with GET.
    let is_elsewhere = text(ORIGIN).is_some_and(is_other)
        || text(REFERER).is_some_and(is_other)
        // `none` is the user's own request, as by a bookmark.
        || text(SEC_FETCH_SITE).is_some_and(|site| !matches!(site, "same-origin" | "none"));
    let reads = is_read(method.as_str(), path);
    if is_elsewhere && !reads {
        return Err(RestError::new(403, "A page of another site must not change anything here."));
    }
    Ok(())
}

/// Returns the host and port of a URL.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

fn is_known_host(host: &str, hosts: &[String]) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    // Another site can resolve its name to this server, but it cannot use an address.
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
    fn only_known_names_and_addresses_are_hosts() {
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
