//! The client: one connection pool to one JobManager.

use std::fmt;
use std::io::Read as _;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION,
    USER_AGENT,
};
use reqwest::{Method, RequestBuilder, Url, redirect};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

use tokio::io::AsyncRead;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::body::{BodyError, StatusError, first_telling_line};
use crate::text::{escaped, redacted};
use crate::types::{AsynchronousOperationResult, JarUploadResponseBody, OperationInfo, TriggerResponse};
use crate::upload::{JarFile, Upload};
use crate::{EncodedBody, Endpoint, Operation, QueueStatusId, Resource, ResponseBody as _, TriggerId, UploadJar};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;
/// The pause before a request is sent again, and between two questions how an operation stands; doubled each time up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Characters of a transport's error in a message.
const SHOWN: usize = 300;

/// Asks one JobManager. Cheap to clone; clones share connections.
///
/// Connections are kept alive, redirects are not followed, bodies are read up to a limit, which is that of what they unpack to, and heads
/// of up to 400 KiB and 100 fields. All of a request has one deadline, however slowly an answer comes.
/// Nothing is retried unless [`ClientBuilder::retries`] says so, and nothing is logged. Its futures need a tokio runtime.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    /// For plain HTTP without a proxy, which is how most JobManagers are asked: it takes a third less CPU than what can do all.
    direct: Option<legacy::Client<HttpConnector, Full<Bytes>>>,
    headers: HeaderMap,
    base_url: Arc<str>,
    timeout: Duration,
    retries: u32,
    max_body_bytes: usize,
}

enum Authentication {
    Basic { user: String, password: String },
    Bearer(String),
}

/// An answer of any status.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Where a redirect leads.
    pub location: Option<String>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Client {
    /// A client of the JobManager, or the proxy before it, at `base_url`, such as `http://localhost:8081`, with all else as
    /// [`ClientBuilder`] has it.
    pub fn new(base_url: &str) -> Result<Self, Error> {
        Self::builder(base_url).build()
    }

    /// Starts a client of the JobManager, or the proxy before it, at `base_url`. A path in it is kept and put before each
    /// request's; `user:password@` in it is taken as [`basic_auth`](ClientBuilder::basic_auth).
    pub fn builder(base_url: &str) -> ClientBuilder {
        ClientBuilder {
            base_url: base_url.to_owned(),
            authentication: None,
            connect_timeout: CONNECT_TIMEOUT,
            timeout: TIMEOUT,
            retries: 0,
            max_body_bytes: MAX_BODY_BYTES,
            user_agent: concat!("flink-rest/", env!("CARGO_PKG_VERSION")).to_owned(),
            ca_certificates: None,
            identity: None,
            proxy: None,
        }
    }

    /// The address that is asked, without user and password and without a slash at its end.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Asks `endpoint`, or gives it its order, and reads its answer; any status but success is [`Error::Status`].
    ///
    /// # Errors
    /// When there is no answer, or it is not what `endpoint` answers.
    pub async fn call<E: Endpoint>(&self, endpoint: &E) -> Result<E::Response, Error> {
        let path = endpoint.path();
        let method = Method::from_bytes(E::METHOD.as_bytes()).map_err(|error| Error::InvalidUrl {
            url: format!("{}{path}", self.base_url),
            problem: error.to_string(),
        })?;
        // What only reads may be asked twice. Two GETs of Flink's end a job, and answer with another status.
        let retries = if method == Method::GET && E::STATUS == 200 { self.retries } else { 0 };
        let mut pauses = pauses();
        for _ in 0..retries {
            match self.ask(&method, &path, endpoint).await {
                Err(error) if error.is_temporary() => sleep(pauses()).await,
                result => return result,
            }
        }
        self.ask(&method, &path, endpoint).await
    }

    async fn ask<E: Endpoint>(&self, method: &Method, path: &str, endpoint: &E) -> Result<E::Response, Error> {
        let response = self.send(method.clone(), path, endpoint.body()).await?;
        self.answer::<E>(path, &response)
    }

    fn answer<E: Endpoint>(&self, path: &str, response: &Response) -> Result<E::Response, Error> {
        let url = || format!("{}{path}", self.base_url);
        if let Some(problem) = response.status_error() {
            return Err(Error::Status { url: url(), problem });
        }
        E::Response::from_bytes(&response.body).map_err(|problem| Error::Body { url: url(), problem })
    }

    /// Gives an order that takes its time, such as [`TriggerSavepoint`](crate::TriggerSavepoint), and asks after it until it is done, at
    /// most for `within`. The order is given once, whatever happens; questions that a later one may answer are asked again.
    ///
    /// # Errors
    /// When the order is not taken or a question not answered; [`Error::OperationFailed`] when the cluster could not do it;
    /// [`Error::Deadline`] when it takes longer, in which case it goes on.
    pub async fn run<O: Operation>(&self, operation: &O, within: Duration) -> Result<OperationInfo, Error> {
        let deadline = Instant::now() + within;
        let given = format!("{}{}", self.base_url, operation.path());
        let late = |trigger: Option<TriggerId>| Error::Deadline { url: given.clone(), within, trigger };
        let TriggerResponse { request_id, .. } =
            timeout_at(deadline, self.call(operation)).await.map_err(|_| late(None))??;
        let status = operation.status(request_id.clone());
        let mut pauses = pauses();
        let outcome = timeout_at(deadline, async {
            loop {
                sleep(pauses()).await;
                match self.call(&status).await {
                    Ok(AsynchronousOperationResult { status, operation, .. })
                        if status.id == QueueStatusId::Completed =>
                    {
                        return Ok(operation.unwrap_or_default());
                    }
                    Ok(_) => {}
                    Err(error) if error.is_temporary() => {}
                    Err(error) => return Err(error),
                }
            }
        });
        let outcome = outcome.await.map_err(|_| late(Some(request_id)))??;
        match outcome.failure() {
            None => Ok(outcome),
            Some(failure) => Err(Error::OperationFailed {
                url: given,
                class: escaped(&failure.class, SHOWN),
                problem: first_telling_line(&failure.stack_trace),
            }),
        }
    }

    /// Uploads a jar, at most for `within`. It is read while it is sent; after each piece `progress` is told how many bytes were.
    ///
    /// # Errors
    /// When the jar cannot be read or is shorter than it says, or it is not taken. It is never sent twice.
    pub async fn upload_jar<R>(
        &self,
        jar: JarFile<R>,
        within: Duration,
        progress: impl FnMut(u64) + Send + Sync + Unpin + 'static,
    ) -> Result<JarUploadResponseBody, Error>
    where
        R: AsyncRead + Send + Sync + Unpin + 'static,
    {
        let (content_type, upload) = Upload::new(jar, progress);
        let url = self.url(UploadJar::PATH)?;
        let request = self.http.request(Method::POST, url.clone()).timeout(within);
        let request = request.header(CONTENT_TYPE, content_type).body(reqwest::Body::wrap(upload));
        let response = self.exchange(url, within, request).await?;
        self.answer::<UploadJar>(UploadJar::PATH, &response)
    }

    /// Asks `resource`; an answer of any status is `Ok`.
    pub async fn get(&self, resource: &Resource) -> Result<Response, Error> {
        self.get_raw(&resource.path()).await
    }

    /// Asks whatever is at `path`, which begins with a slash and is encoded; an answer of any status is `Ok`.
    ///
    /// Not every GET of Flink's only reads: `/jobs/:jobid/yarn-cancel` and `/jobs/:jobid/yarn-stop` end the job.
    pub async fn get_raw(&self, path: &str) -> Result<Response, Error> {
        self.send(Method::GET, path, None).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<EncodedBody>) -> Result<Response, Error> {
        let url = self.url(path)?;
        if let Some(direct) = &self.direct {
            return self.exchange_directly(direct, &url, method, body).await;
        }
        let mut request = self.http.request(method, url.clone());
        if let Some(EncodedBody { content_type, content }) = body {
            request = request.header(CONTENT_TYPE, content_type).body(content);
        }
        self.exchange(url, self.timeout, request).await
    }

    async fn exchange_directly(
        &self,
        direct: &legacy::Client<HttpConnector, Full<Bytes>>,
        url: &Url,
        method: Method,
        body: Option<EncodedBody>,
    ) -> Result<Response, Error> {
        let uri = url.as_str().parse().map_err(|error: http::uri::InvalidUri| Error::InvalidUrl {
            url: escaped(url.as_str(), SHOWN),
            problem: error.to_string(),
        })?;
        let mut request = http::Request::new(Full::default());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        if let Some(EncodedBody { content_type, content }) = body {
            let content_type = HeaderValue::try_from(content_type).map_err(|error| Error::Transport {
                url: url.to_string(),
                problem: format!("the media type of the request: {error}"),
            })?;
            request.headers_mut().insert(CONTENT_TYPE, content_type);
            *request.body_mut() = content.into();
        }
        let exchanged = timeout(self.timeout, async {
            let answer = direct.request(request).await.map_err(|error| broken(url, error.is_connect(), &error))?;
            self.read(url, answer, |error| broken(url, false, &error)).await
        });
        exchanged.await.unwrap_or_else(|_| Err(Error::Timeout { url: url.to_string(), after: self.timeout }))
    }

    async fn exchange(&self, url: Url, timeout: Duration, request: RequestBuilder) -> Result<Response, Error> {
        let failed = |error| failure(&url, timeout, &error);
        let answer = request.send().await.map_err(failed)?;
        self.read(&url, http::Response::<reqwest::Body>::from(answer), failed).await
    }

    /// Reads an answer of which the head is there.
    async fn read<B: Body<Data = Bytes>>(
        &self,
        url: &Url,
        answer: http::Response<B>,
        failed: impl Fn(B::Error) -> Error,
    ) -> Result<Response, Error> {
        let too_large = || Error::BodyTooLarge { url: url.to_string(), limit: self.max_body_bytes };
        let (head, content) = answer.into_parts();
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (location, encoding) = (header(LOCATION), header(CONTENT_ENCODING));
        let announced = content.size_hint().lower();
        if announced > self.max_body_bytes as u64 {
            return Err(too_large());
        }
        let mut body = Vec::with_capacity(usize::try_from(announced).unwrap_or_default());
        let mut content = pin!(content);
        while let Some(frame) = content.frame().await {
            let Ok(piece) = frame.map_err(&failed)?.into_data() else { continue };
            if piece.len() > self.max_body_bytes - body.len() {
                return Err(too_large());
            }
            body.extend_from_slice(&piece);
        }
        let status = head.status.as_u16();
        match encoding.as_deref() {
            Some("gzip" | "x-gzip") => match unpacked(&body, self.max_body_bytes) {
                Ok(Some(body)) => Ok(Response { status, location, body }),
                Ok(None) => Err(too_large()),
                Err(error) => Err(Error::Transport {
                    url: url.to_string(),
                    problem: format!("the answer is said to be gzip: {error}"),
                }),
            },
            _ => Ok(Response { status, location, body }),
        }
    }

    fn url(&self, path: &str) -> Result<Url, Error> {
        let text = format!("{}{path}", self.base_url);
        let invalid = |problem: String| Error::InvalidUrl { url: escaped(&text, SHOWN), problem };
        if !path.starts_with('/') {
            return Err(invalid("a path begins with a slash".to_owned()));
        }
        let mut url = Url::parse(&text).map_err(|error| invalid(error.to_string()))?;
        // A fragment is not sent, and `..` and the like are resolved before: that would ask for something else.
        url.set_fragment(None);
        if url.as_str() != text {
            return Err(invalid(format!("it would be asked as {}", escaped(url.as_str(), SHOWN))));
        }
        Ok(url)
    }
}

fn failure(url: &Url, timeout: Duration, error: &reqwest::Error) -> Error {
    if error.is_timeout() && !error.is_connect() {
        return Error::Timeout { url: url.to_string(), after: timeout };
    }
    broken(url, error.is_connect(), error)
}

fn broken(url: &Url, is_connect: bool, error: &(dyn std::error::Error + 'static)) -> Error {
    let url = url.to_string();
    let (failure, problem) = causes(error);
    match failure {
        Some(failure) => Error::Connect { url, failure, problem },
        None if is_connect => Error::Connect { url, failure: ConnectFailure::Other, problem },
        None => Error::Transport { url, problem },
    }
}

/// The pauses between attempts, one after the other.
fn pauses() -> impl FnMut() -> Duration {
    let mut next = FIRST_PAUSE;
    move || {
        let pause = next;
        next = LONGEST_PAUSE.min(next * 2);
        pause
    }
}

/// What a body unpacks to; `None` if that is more than `limit` bytes, of which no more are unpacked.
fn unpacked(packed: &[u8], limit: usize) -> std::io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    MultiGzDecoder::new(packed).take(limit as u64 + 1).read_to_end(&mut body)?;
    Ok((body.len() <= limit).then_some(body))
}

/// What kind of connection failure is behind `error`, and its innermost causes in words.
fn causes(error: &(dyn std::error::Error + 'static)) -> (Option<ConnectFailure>, String) {
    let mut failure = None;
    let mut problem = Vec::new();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        failure = failure.or_else(|| kind(error, &text));
        // The layers above the cause only say that something went wrong, and name the URL again.
        if !error.is::<reqwest::Error>() && !text.starts_with("client error (") && !problem.contains(&text) {
            problem.push(text);
        }
        cause = error.source();
    }
    (failure, escaped(&problem.join(": "), SHOWN))
}

fn kind(error: &(dyn std::error::Error + 'static), text: &str) -> Option<ConnectFailure> {
    if error.is::<rustls::Error>() {
        return Some(ConnectFailure::Tls);
    }
    if text == "dns error" {
        return Some(ConnectFailure::Dns);
    }
    let error = error.downcast_ref::<std::io::Error>()?;
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => Some(ConnectFailure::Refused),
        // An I/O error does not list the error that it wraps among its sources.
        _ => kind(error.get_ref()?, ""),
    }
}

impl Response {
    /// The error that it is; `None` if it is a success.
    pub fn status_error(&self) -> Option<StatusError> {
        match &self.location {
            Some(location) if (300..400).contains(&self.status) => Some(StatusError::redirect(self.status, location)),
            _ => StatusError::of(self.status, &self.body),
        }
    }
}

/// Builds a [`Client`].
#[derive(Clone)]
pub struct ClientBuilder {
    base_url: String,
    authentication: Option<Arc<Authentication>>,
    connect_timeout: Duration,
    timeout: Duration,
    retries: u32,
    max_body_bytes: usize,
    user_agent: String,
    ca_certificates: Option<Vec<u8>>,
    identity: Option<Vec<u8>>,
    proxy: Option<String>,
}

impl ClientBuilder {
    /// How long a connection may take to be made, TLS included: 5 s unless set.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a request may take from its start to the last byte of its answer: 10 s unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How often [`Client::call`] asks again what only reads, where that [may help](Error::is_temporary): never unless set. The pauses
    /// between grow from 0.1 s to 1 s.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// How large a body may be, also unpacked: 32 MiB unless set. The rest of a larger one is not read.
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// Sends a user and a password with each request. Flink itself knows no users, but proxies before it do.
    #[must_use]
    pub fn basic_auth(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.authentication = Some(Arc::new(Authentication::Basic { user: user.into(), password: password.into() }));
        self
    }

    /// Sends a token with each request.
    #[must_use]
    pub fn bearer_auth(mut self, token: impl Into<String>) -> Self {
        self.authentication = Some(Arc::new(Authentication::Bearer(token.into())));
        self
    }

    /// What the client calls itself: `flink-rest/` and its version unless set.
    #[must_use]
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.user_agent = name.into();
        self
    }

    /// Trusts certificates that these, in PEM, have signed, and no others. Unset: those that the system trusts.
    #[must_use]
    pub fn ca_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_certificates = Some(pem.into());
        self
    }

    /// Shows a certificate, in PEM with those between it and the authority and with its private key. Flink asks for it under
    /// `security.ssl.rest.authentication-enabled`.
    #[must_use]
    pub fn identity(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.identity = Some(pem.into());
        self
    }

    /// Asks through a proxy. Unset: none, whatever the environment says.
    #[must_use]
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }

    /// The client. It is not connected yet.
    pub fn build(self) -> Result<Client, Error> {
        let invalid = |problem: &str| Error::InvalidUrl { url: redacted(&self.base_url), problem: problem.to_owned() };
        let mut base_url = Url::parse(&self.base_url).map_err(|error| invalid(&error.to_string()))?;
        if !matches!(base_url.scheme(), "http" | "https") {
            return Err(invalid("it has to begin with http:// or https://"));
        }
        if base_url.query().is_some() || base_url.fragment().is_some() {
            return Err(invalid("it must have neither ? nor #"));
        }
        let in_url = user_information(&mut base_url).map_err(invalid)?;
        let authentication = self.authentication.clone().or(in_url);
        let headers = headers(&self.user_agent, authentication.as_deref())?;
        let mut http = reqwest::Client::builder()
            .default_headers(headers.clone())
            .http1_only()
            .redirect(redirect::Policy::none())
            .connect_timeout(self.connect_timeout)
            .timeout(self.timeout)
            .tcp_nodelay(true)
            .no_proxy()
            .tls_backend_preconfigured(self.tls(base_url.scheme())?);
        if let Some(proxy) = &self.proxy {
            let proxy = reqwest::Proxy::all(proxy)
                .map_err(|_| invalid_option("proxy", &format!("{} is no URL of a proxy", redacted(proxy))))?;
            http = http.proxy(proxy);
        }
        let http = http.build().map_err(|error| invalid_option("tls", &causes(&error).1))?;
        let is_plain = base_url.scheme() == "http" && self.proxy.is_none();
        Ok(Client {
            http,
            direct: is_plain.then(|| self.direct()),
            headers,
            base_url: base_url.as_str().trim_end_matches('/').into(),
            timeout: self.timeout,
            retries: self.retries,
            max_body_bytes: self.max_body_bytes,
        })
    }

    fn direct(&self) -> legacy::Client<HttpConnector, Full<Bytes>> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(self.connect_timeout));
        let mut http = legacy::Client::builder(TokioExecutor::new());
        http.pool_timer(TokioTimer::new());
        http.build(connector)
    }

    /// With the provider named here, since a process may have two or none installed.
    fn tls(&self, scheme: &str) -> Result<ClientConfig, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| invalid_option("tls", &error.to_string()))?;
        let needs_system = scheme == "https" || self.proxy.as_ref().is_some_and(|url| url.starts_with("https"));
        let config = match &self.ca_certificates {
            None if needs_system => {
                let verifier = Verifier::new(provider)
                    .map_err(|error| invalid_option("ca_certificates", &format!("the system has none: {error}")))?;
                config.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
            }
            None => config.with_root_certificates(RootCertStore::empty()),
            Some(pem) => config.with_root_certificates(roots(pem)?),
        };
        let mut config = match &self.identity {
            None => config.with_no_client_auth(),
            Some(pem) => {
                let invalid = |problem: &dyn fmt::Display| invalid_option("identity", &problem.to_string());
                let chain = certificates(pem).map_err(|error| invalid(&error))?;
                let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| invalid(&error))?;
                config.with_client_auth_cert(chain, key).map_err(|error| invalid(&error))?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// What all requests have.
fn headers(user_agent: &str, authentication: Option<&Authentication>) -> Result<HeaderMap, Error> {
    let user_agent =
        HeaderValue::from_str(user_agent).map_err(|error| invalid_option("user_agent", &error.to_string()))?;
    let mut headers = HeaderMap::from_iter([
        (ACCEPT, HeaderValue::from_static("application/json")),
        (ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
        (USER_AGENT, user_agent),
    ]);
    if let Some(authentication) = authentication {
        let authorization = match authentication {
            Authentication::Basic { user, password } => {
                format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
            }
            Authentication::Bearer(token) => format!("Bearer {token}"),
        };
        let mut authorization = HeaderValue::try_from(authorization)
            .map_err(|_| invalid_option("bearer_auth", "the token holds a character that no header can carry"))?;
        authorization.set_sensitive(true);
        headers.insert(AUTHORIZATION, authorization);
    }
    Ok(headers)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    CertificateDer::pem_slice_iter(pem).collect()
}

fn roots(pem: &[u8]) -> Result<RootCertStore, Error> {
    let invalid = |problem: &dyn fmt::Display| invalid_option("ca_certificates", &problem.to_string());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem).map_err(|error| invalid(&error))? {
        roots.add(certificate).map_err(|error| invalid(&error))?;
    }
    if roots.is_empty() {
        return Err(invalid(&"there is no certificate in it"));
    }
    Ok(roots)
}

/// Takes user and password out of a URL.
fn user_information(url: &mut Url) -> Result<Option<Arc<Authentication>>, &'static str> {
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().map(String::from);
    let unusable = "its user and password are not UTF-8";
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let user = decoded(url.username()).map_err(|_| unusable)?;
    let password = decoded(url.password().unwrap_or_default()).map_err(|_| unusable)?;
    url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| "it has no host")?;
    Ok(Some(Arc::new(Authentication::Basic { user, password })))
}

fn invalid_option(option: &'static str, problem: &str) -> Error {
    Error::InvalidOption { option, problem: escaped(problem, SHOWN) }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("******")
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("base_url", &self.base_url)
            .field("timeout", &self.timeout)
            .field("max_body_bytes", &self.max_body_bytes)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("base_url", &redacted(&self.base_url))
            .field("authentication", &self.authentication)
            .field("timeout", &self.timeout)
            .field("max_body_bytes", &self.max_body_bytes)
            .finish_non_exhaustive()
    }
}

/// Why there is no answer, by how far the request came. Neither its text nor its debug form holds a secret, and foreign
/// text in both is cut and escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The base URL, or one made of it and a path, cannot be asked.
    #[error("{url} cannot be asked: {problem}")]
    InvalidUrl {
        /// The URL.
        url: String,
        /// Why.
        problem: String,
    },
    /// An option of [`ClientBuilder`] cannot be used.
    #[error("{option}: {problem}")]
    InvalidOption {
        /// The builder's method.
        option: &'static str,
        /// Why.
        problem: String,
    },
    /// There is no connection.
    #[error("{url}: {failure}: {problem}")]
    Connect {
        /// The URL.
        url: String,
        /// In which step it failed.
        failure: ConnectFailure,
        /// Why.
        problem: String,
    },
    /// The answer, or its last byte, took too long.
    #[error("{url}: no answer within {after:?}")]
    Timeout {
        /// The URL.
        url: String,
        /// How long was waited.
        after: Duration,
    },
    /// The connection broke before the answer's end, or what came is not HTTP.
    #[error("{url}: the connection broke: {problem}")]
    Transport {
        /// The URL.
        url: String,
        /// Why.
        problem: String,
    },
    /// The body is larger than allowed.
    #[error("{url}: the answer is larger than {limit} bytes")]
    BodyTooLarge {
        /// The URL.
        url: String,
        /// What is allowed, in bytes.
        limit: usize,
    },
    /// The answer is an error or a redirect.
    #[error("{url}: {problem}")]
    Status {
        /// The URL.
        url: String,
        /// What was answered.
        problem: StatusError,
    },
    /// The cluster took the order, but could not do it.
    #[error("{url}: the operation failed: {problem}")]
    OperationFailed {
        /// The URL of the order.
        url: String,
        /// The class of the exception.
        class: String,
        /// The first line of its stack trace.
        problem: String,
    },
    /// The order was not done in time. It goes on, if it was taken.
    #[error("{url}: the operation was not done within {within:?}")]
    Deadline {
        /// The URL of the order.
        url: String,
        /// How long it was allowed to take.
        within: Duration,
        /// By what to ask after it; `None` if nobody knows whether it was taken.
        trigger: Option<TriggerId>,
    },
    /// The answer is not what the endpoint answers.
    #[error("{url}: {problem}")]
    Body {
        /// The URL.
        url: String,
        /// What is wrong with it.
        problem: BodyError,
    },
}

/// The step in which a connection failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectFailure {
    /// Nobody listens there.
    Refused,
    /// The host's name has no address.
    Dns,
    /// Certificates or protocols do not fit, or the other side does not speak TLS.
    Tls,
    /// Any other: no route, took too long, a proxy that refuses.
    Other,
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused",
            Self::Dns => "unknown host",
            Self::Tls => "TLS failed",
            Self::Other => "cannot connect",
        })
    }
}

impl Error {
    /// Whether the job, vertex, checkpoint or attempt is not there, or the endpoint.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Status { problem, .. } if problem.is_not_found())
    }

    /// Whether it is the endpoint that is not there, since this version of Flink lacks it.
    pub fn is_missing_endpoint(&self) -> bool {
        matches!(self, Self::Status { problem, .. } if problem.is_missing_endpoint())
    }

    /// Whether the same question may be answered later: the JobManager is away, starts, or elects a leader.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Connect { failure, .. } => *failure != ConnectFailure::Tls,
            Self::Timeout { .. } | Self::Transport { .. } => true,
            Self::Status { problem, .. } => problem.is_temporary(),
            Self::InvalidUrl { .. }
            | Self::InvalidOption { .. }
            | Self::BodyTooLarge { .. }
            | Self::OperationFailed { .. }
            | Self::Deadline { .. }
            | Self::Body { .. } => false,
        }
    }
}
