//! The options of a client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HOST, PROXY_AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderValue};
use url::{ParseError, Position, Url};

use super::connector::{Connector, Proxy};
use super::error::invalid_option;
use super::pool::Pool;
use super::tls::{Certificates, Tls};
use super::{Client, Error, OnSkipped};
use crate::BodyError;
use crate::text::redacted;

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
    max_idle_connections: usize,
    max_body_bytes: usize,
    user_agent: String,
    certificates: Certificates,
    proxy: Option<String>,
    on_skipped: OnSkipped,
}

impl ClientBuilder {
    pub(super) fn new(base_url: &str) -> Self {
        Self {
            base_url: base_url.to_owned(),
            authentication: None,
            connect_timeout: CONNECT_TIMEOUT,
            timeout: TIMEOUT,
            retries: 0,
            max_idle_connections: usize::MAX,
            max_body_bytes: MAX_BODY_BYTES,
            user_agent: concat!("flink-rest/", env!("CARGO_PKG_VERSION")).to_owned(),
            certificates: Certificates::default(),
            proxy: None,
            on_skipped: Arc::new(|_, _| {}),
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

    /// Limits the number of unused connections that are kept for later requests, each for 30
    /// seconds. Default: no limit.
    ///
    /// A connection needs about 35 kB of memory. A client of thousands of servers can save most of
    /// it, at the cost of connections that are opened again.
    #[must_use]
    pub fn max_idle_connections(mut self, connections: usize) -> Self {
        self.max_idle_connections = connections;
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
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    #[must_use]
    pub fn ca_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.certificates.authorities = Some(pem.into());
        self
    }

    /// Authenticates with a client certificate, in PEM with its chain and its private key.
    ///
    /// Flink requires one if `security.ssl.rest.authentication-enabled` is set.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    #[must_use]
    pub fn identity(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.certificates.identity = Some(pem.into());
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

    /// Sets the function that gets the URL and the error of each entry that [`Client::call`] skips.
    ///
    /// An entry of a list that cannot be decoded is skipped. By default, nothing reports it.
    #[must_use]
    pub fn on_skipped(mut self, report: impl Fn(&str, &BodyError) + Send + Sync + 'static) -> Self {
        self.on_skipped = Arc::new(report);
        self
    }

    /// Builds the client, without connecting it.
    ///
    /// # Errors
    /// Returns an error if the base URL or an option is invalid, or if a URL needs TLS and the
    /// feature `tls` is off.
    pub fn build(self) -> Result<Client, Error> {
        let invalid = |problem: &str| Error::InvalidUrl { url: redacted(&self.base_url), problem: problem.to_owned() };
        let mut base_url = parsed(&self.base_url).map_err(|problem| invalid(&problem))?;
        if base_url.query().is_some() || base_url.fragment().is_some() {
            return Err(invalid("expected neither ? nor #"));
        }
        let in_url = user_information(&mut base_url).map_err(invalid)?;
        let authentication = self.authentication.clone().or(in_url);
        let host = &base_url[Position::BeforeHost..Position::AfterPort];
        let host = HeaderValue::from_str(host).map_err(|_| invalid("expected a host"))?;
        let mut headers = headers(host, &self.user_agent, authentication.as_deref())?;
        let origin = &base_url[..Position::BeforePath];
        let origin_length = origin.len();
        let origin = origin.parse().map_err(|_| invalid("expected a host"))?;
        let proxy = self.proxy.as_deref().map(proxy).transpose()?;
        let is_https = base_url.scheme() == "https";
        if let Some(proxy) = proxy.as_ref().filter(|_| !is_https) {
            headers.extend(proxy.authorization.clone().map(|value| (PROXY_AUTHORIZATION, value)));
        }
        let has_tls = is_https || proxy.as_ref().is_some_and(|proxy| proxy.uri.scheme_str() == Some("https"));
        let tls = Tls::new(&self.certificates, has_tls)?;
        let shown_proxy = proxy.as_ref().map(|proxy| proxy.uri.to_string().trim_end_matches('/').into());
        let is_forwarded = proxy.is_some() && !is_https;
        let connector = Connector::new(&tls, proxy, self.connect_timeout);
        Ok(Client {
            pool: Arc::new(Pool::new(connector, origin, self.max_idle_connections)),
            headers,
            authorization: Arc::default(),
            proxy: shown_proxy,
            is_forwarded,
            base_url: base_url.as_str().trim_end_matches('/').into(),
            origin_length,
            timeout: self.timeout,
            retries: self.retries,
            max_body_bytes: self.max_body_bytes,
            on_skipped: self.on_skipped,
        })
    }
}

/// Parses the URL of a server. The error is what to change about it.
fn parsed(text: &str) -> Result<Url, String> {
    let expected = "expected http:// or https://";
    if !text.contains("://") {
        return Err(match text {
            "" => expected.to_owned(),
            _ => format!("{expected} in front of it, did you mean http://{}?", redacted(text)),
        });
    }
    let url = Url::parse(text).map_err(|error| match error {
        _ if text.contains(char::is_whitespace) => "expected no blanks".to_owned(),
        ParseError::InvalidPort => "invalid port number, expected 1 to 65535".to_owned(),
        ParseError::InvalidIpv6Address => "invalid IPv6 address, expected [address]:port".to_owned(),
        error => error.to_string(),
    })?;
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err(expected.to_owned()) }
}

/// Parses the URL of a proxy. `http://` may be omitted.
fn proxy(text: &str) -> Result<Proxy, Error> {
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let invalid = |problem: &str| {
        let shown = redacted(text);
        invalid_option("proxy", &format!("expected the URL of a proxy, found {shown}: {problem}"))
    };
    let mut url = parsed(&with_scheme).map_err(|problem| invalid(&problem))?;
    let user = user_information(&mut url).map_err(invalid)?;
    let authorization = user.map(|user| user.header("proxy")).transpose()?;
    let uri = url[..url::Position::BeforePath].parse().map_err(|_| invalid("expected a host"))?;
    Ok(Proxy { uri, authorization })
}

/// The credentials of each request.
enum Authentication {
    Basic { user: String, password: String },
    Bearer(String),
}

impl Authentication {
    /// Returns the value of the header. `option` is the one that an error names.
    fn header(&self, option: &'static str) -> Result<HeaderValue, Error> {
        let value = match self {
            Self::Basic { user, password } => {
                format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
            }
            Self::Bearer(token) => format!("Bearer {token}"),
        };
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| invalid_option(option, "the token has a character that is not allowed in a header"))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// Returns the value of the header for a token.
pub(super) fn bearer_header(token: &str) -> Result<HeaderValue, Error> {
    Authentication::Bearer(token.to_owned()).header("bearer_auth")
}

/// Returns the headers of all requests.
fn headers(host: HeaderValue, user_agent: &str, authentication: Option<&Authentication>) -> Result<HeaderMap, Error> {
    let user_agent =
        HeaderValue::from_str(user_agent).map_err(|error| invalid_option("user_agent", &error.to_string()))?;
    let mut headers = HeaderMap::from_iter([
        (HOST, host),
        (ACCEPT, HeaderValue::from_static("application/json")),
        (ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
        (USER_AGENT, user_agent),
    ]);
    if let Some(authentication) = authentication {
        headers.insert(AUTHORIZATION, authentication.header("bearer_auth")?);
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
            .field("max_idle_connections", &self.max_idle_connections)
            .field("max_body_bytes", &self.max_body_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_marked_sensitive() {
        let local = || Client::builder("http://localhost:8081");
        for (builder, name) in [
            (local().bearer_auth("c4nary"), AUTHORIZATION),
            (local().basic_auth("me", "c4nary"), AUTHORIZATION),
            (Client::builder("http://me:c4nary@localhost:8081"), AUTHORIZATION),
            (local().proxy("http://me:c4nary@localhost:3128"), PROXY_AUTHORIZATION),
        ] {
            let client = builder.build().unwrap();
            assert!(client.headers[&name].is_sensitive());
            assert!(!format!("{:?}", client.headers).contains("c4nary"));
        }
        let proxy = proxy("me:c4nary@localhost:3128").unwrap();
        assert!(proxy.authorization.unwrap().is_sensitive());
    }
}
