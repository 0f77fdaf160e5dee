//! The options of a client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{Url, redirect};

use super::transport::causes;
use super::{Client, Error, MAX_TEXT_CHARS, tls};
use crate::text::{escaped, redacted};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// The options of a [`Client`].
#[derive(Clone)]
pub struct ClientBuilder {
    base_url: String,
    authentication: Option<Arc<Authentication>>,
    connect_timeout: Duration,
    timeout: Duration,
    retries: u32,
    max_body_bytes: usize,
    user_agent: String,
    pub(super) ca_certificates: Option<Vec<u8>>,
    pub(super) identity: Option<Vec<u8>>,
    pub(super) proxy: Option<String>,
}

impl ClientBuilder {
    pub(super) fn new(base_url: &str) -> Self {
        Self {
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

    /// Limits the time to connect, including the TLS handshake. Default: 5 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Limits the time from the start of a request to the last byte of the response. Default: 10 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the number of retries of [`Client::call`]. Default: 0.
    ///
    /// Only read-only requests are retried, and only after [temporary](Error::is_temporary) errors.
    /// The pauses between attempts grow from 0.1 s to 1 s.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Limits the size of a response body, before and after decompression. Default: 32 MiB.
    ///
    /// The rest of a larger body is not read.
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// Sends a user and a password with each request.
    ///
    /// Flink itself has no users, but proxies in front of it may.
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

    /// Sets the `User-Agent` header. Default: `flink-rest/` and its version.
    #[must_use]
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.user_agent = name.into();
        self
    }

    /// Trusts only certificates that these, in PEM, have signed.
    ///
    /// By default the client trusts the certificate authorities of the system.
    #[must_use]
    pub fn ca_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca_certificates = Some(pem.into());
        self
    }

    /// Authenticates with a client certificate, in PEM with its chain and its private key.
    ///
    /// Flink requires one if `security.ssl.rest.authentication-enabled` is set.
    #[must_use]
    pub fn identity(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.identity = Some(pem.into());
        self
    }

    /// Sends requests through a proxy.
    ///
    /// By default there is none. Environment variables have no effect.
    #[must_use]
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = Some(url.into());
        self
    }

    /// Builds the client, without connecting it.
    ///
    /// # Errors
    /// Returns an error if the base URL or an option is invalid.
    pub fn build(self) -> Result<Client, Error> {
        let invalid = |problem: &str| Error::InvalidUrl { url: redacted(&self.base_url), problem: problem.to_owned() };
        let mut base_url = Url::parse(&self.base_url).map_err(|error| invalid(&error.to_string()))?;
        if !matches!(base_url.scheme(), "http" | "https") {
            return Err(invalid("expected http:// or https://"));
        }
        if base_url.query().is_some() || base_url.fragment().is_some() {
            return Err(invalid("expected neither ? nor #"));
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
            .tls_backend_preconfigured(tls::config(&self, base_url.scheme())?);
        if let Some(proxy) = &self.proxy {
            let proxy = reqwest::Proxy::all(proxy).map_err(|_| {
                invalid_option("proxy", &format!("expected the URL of a proxy, found {}", redacted(proxy)))
            })?;
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
}

/// The credentials of each request.
enum Authentication {
    Basic { user: String, password: String },
    Bearer(String),
}

/// Returns the headers of all requests.
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
            .map_err(|_| invalid_option("bearer_auth", "the token has a character that is not allowed in a header"))?;
        authorization.set_sensitive(true);
        headers.insert(AUTHORIZATION, authorization);
    }
    Ok(headers)
}

/// Moves user and password out of a URL.
fn user_information(url: &mut Url) -> Result<Option<Arc<Authentication>>, &'static str> {
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().map(String::from);
    let unusable = "expected a user and a password in UTF-8";
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let user = decoded(url.username()).map_err(|_| unusable)?;
    let password = decoded(url.password().unwrap_or_default()).map_err(|_| unusable)?;
    url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| "expected a host")?;
    Ok(Some(Arc::new(Authentication::Basic { user, password })))
}

pub(super) fn invalid_option(option: &'static str, problem: &str) -> Error {
    Error::InvalidOption { option, problem: escaped(problem, MAX_TEXT_CHARS) }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("******")
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
