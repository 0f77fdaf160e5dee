//! The HTTP listeners of the program, and the rules for who may ask them.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flink_rest::{RestServer, ServerOptions};
use flink_traces_runtime::metrics::{NOT_LOOPBACK, is_loopback_name};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio_rustls::TlsAcceptor;

use crate::certificate::Certificate;

/// The timeout of a request, including its response.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum number of connections. The agent needs the other descriptors itself.
const MAX_CONNECTIONS: usize = 64;
/// The time limit for the head of a request, and for the pause before the next one. A scraper sends
/// its request at once.
const HEADER_TIMEOUT: Duration = Duration::from_secs(3);
/// The paths that supervisors ask, which have no secrets.
const HEALTH: [&str; 2] = ["/healthz", "/readyz"];

/// The credentials of a listener. If there are none, everybody may ask.
#[derive(Clone, Default)]
pub(crate) struct Credentials {
    /// The accepted schemes of the header `Authorization`, with what has to follow them.
    accepted: Vec<(&'static str, String)>,
}

impl Credentials {
    /// Creates credentials of a bearer token, a user with a password, or both.
    pub(crate) fn new(bearer_token: Option<&str>, basic_auth: Option<&str>) -> Self {
        let bearer = bearer_token.map(|token| ("Bearer", token.to_owned()));
        let basic = basic_auth.map(|pair| ("Basic", BASE64_STANDARD.encode(pair)));
        Self { accepted: bearer.into_iter().chain(basic).collect() }
    }

    /// Returns `true` if there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.accepted.is_empty()
    }

    /// Returns `true` if a request has one of them, or if there are none.
    pub(crate) fn accept(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
        let end = given.iter().position(|byte| *byte == b' ').unwrap_or(given.len());
        let (scheme, secret) = (&given[..end], given[end..].trim_ascii());
        self.is_empty()
            || self.accepted.iter().any(|(known, accepted)| {
                // The name of a scheme is case-insensitive.
                known.as_bytes().eq_ignore_ascii_case(scheme) && is_equal(accepted.as_bytes(), secret)
            })
    }
}

/// Compares two texts in a time that depends on their lengths only.
fn is_equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}

struct Access {
    local_only: bool,
    credentials: Credentials,
}

/// Serves `router` at `address` for as long as the process lives.
///
/// Returns the URL, whose port is chosen by the system if it was 0. With a certificate, the
/// listener speaks TLS only. On a loopback address, only requests to a loopback name are served,
/// which keeps web pages in a browser out. Fails if the address cannot be bound.
pub(crate) fn serve(
    address: SocketAddr,
    router: Router,
    credentials: Credentials,
    certificate: Option<Arc<Certificate>>,
) -> io::Result<String> {
    let access = Arc::new(Access { local_only: address.ip().is_loopback(), credentials });
    let router = router.layer(from_fn_with_state(access, guard));
    let mut limits = ServerOptions::default();
    (limits.max_connections, limits.header_timeout) = (MAX_CONNECTIONS, HEADER_TIMEOUT);
    bind(address, router, limits, certificate)
}

/// Serves `router` at `address` with these limits, without a look at hosts and credentials.
///
/// Returns the URL. The listener has a thread of its own, so that no page waits for the polls of
/// clusters, and no poll for a page.
pub(crate) fn bind(
    address: SocketAddr,
    router: Router,
    limits: ServerOptions,
    certificate: Option<Arc<Certificate>>,
) -> io::Result<String> {
    let (sender, bound) = mpsc::sync_channel(1);
    let listen = async move |sender: &SyncSender<io::Result<String>>| -> io::Result<()> {
        let listener = listener(address).await?;
        let scheme = if certificate.is_some() { "https" } else { "http" };
        // The other end waits for it.
        let _ = sender.send(Ok(format!("{scheme}://{}", listener.local_addr()?)));
        server(listener, router, limits, certificate).serve(std::future::pending()).await;
        Ok(())
    };
    thread::Builder::new().name("listener".to_owned()).spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build();
        if let Err(error) = runtime.and_then(|runtime| runtime.block_on(listen(&sender))) {
            let _ = sender.send(Err(error));
        }
    })?;
    bound.recv().map_err(io::Error::other)?
}

async fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let bound = match TcpListener::bind(address).await {
        // `[::]` is all addresses, which are those of IPv4 on a machine without IPv6.
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && error.kind() != ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await.map_err(|_| error)
        }
        bound => bound,
    };
    bound.map_err(|error| {
        let remedy = if error.kind() == ErrorKind::AddrInUse { ", choose another port" } else { "" };
        io::Error::new(error.kind(), format!("{address}: {error}{remedy}"))
    })
}

fn server(
    listener: TcpListener,
    router: Router,
    limits: ServerOptions,
    certificate: Option<Arc<Certificate>>,
) -> RestServer {
    let http2 = limits.http2;
    let server = RestServer::new(listener, router, limits);
    let Some(certificate) = certificate else { return server };
    server.with_handshake(move |stream| {
        let mut config = certificate.config();
        if http2 {
            Arc::make_mut(&mut config).alpn_protocols = vec![b"h2".to_vec()];
        }
        TlsAcceptor::from(config).accept(stream)
    })
}

/// Limits the time of a request, and checks its host and its credentials.
async fn guard(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if access.local_only && !is_loopback_name(host) {
        return (StatusCode::MISDIRECTED_REQUEST, format!("{NOT_LOOPBACK}\n")).into_response();
    }
    if !HEALTH.contains(&request.uri().path()) && !access.credentials.accept(request.headers()) {
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"flink-traces\", charset=\"UTF-8\"")];
        return (StatusCode::UNAUTHORIZED, challenge, "credentials are required\n").into_response();
    }
    match tokio::time::timeout(TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Guarantees: `[::]` serves IPv4, too, on a machine with IPv6 and on one without.
    #[test]
    fn all_addresses_include_those_of_ipv4() {
        let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        let url = bind(address, Router::new(), ServerOptions::default(), None).unwrap();
        let port = url.trim_end_matches('/').rsplit_once(':').unwrap().1.parse().unwrap();
        assert!(std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
    }

    #[test]
    fn only_the_configured_credentials_are_accepted() {
        let credentials = Credentials::new(Some("t0"), Some("me:secret"));
        for (given, expected) in [
            ("Bearer t0", true),
            ("Basic bWU6c2VjcmV0", true),
            ("bearer t0", true),
            ("BASIC  bWU6c2VjcmV0", true),
            ("Bearer T0", false),
            ("Bearert0", false),
            ("Bearer bWU6c2VjcmV0", false),
            ("Bearer t1", false),
            ("Bearer t", false),
            ("Basic bWU6", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, given.parse().unwrap());
            assert_eq!(credentials.accept(&headers), expected, "{given}");
            assert!(Credentials::default().accept(&headers));
        }
        assert!(!credentials.accept(&HeaderMap::new()));
    }
}
