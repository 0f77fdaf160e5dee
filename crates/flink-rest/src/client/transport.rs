//! Sending a request over a connection and reading the response within limits.

use std::io::{self, Read as _};
use std::pin::pin;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, LOCATION};
use http::{Method, Request, Uri};
use http_body::Body as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::pool::{Connection, Content};
use super::{Client, ConnectFailure, Error, Response, tls};
use crate::EncodedBody;
use crate::text::{MAX_TEXT_CHARS, escaped};

impl Client {
    /// Sends a request and reads the response.
    ///
    /// If a kept connection breaks before the response, a repeatable request is sent once more, on
    /// a new connection.
    pub(super) async fn exchange(
        &self,
        url: &str,
        method: &Method,
        body: Option<EncodedBody>,
        is_repeatable: bool,
    ) -> Result<Response, Error> {
        let uri = self.uri(url)?;
        let body =
            body.map(|EncodedBody { content_type, content }| Ok((media_type(url, content_type)?, content.into())));
        let body: Option<(HeaderValue, Bytes)> = body.transpose()?;
        let request = || match body.clone() {
            None => self.request(method, &uri, None, Either::Left(Full::default())),
            Some((kind, content)) => self.request(method, &uri, Some(kind), Either::Left(Full::new(content))),
        };
        let response = timeout(self.timeout, self.send(url, request(), || is_repeatable.then(request))).await;
        response.unwrap_or_else(|_| Err(late(url, self.timeout)))
    }

    /// Sends a request whose body is read while it is sent, and reads the response.
    pub(super) async fn upload(
        &self,
        url: &str,
        limit: Duration,
        content_type: String,
        content: UnsyncBoxBody<Bytes, io::Error>,
    ) -> Result<Response, Error> {
        let kind = media_type(url, content_type)?;
        let request = self.request(&Method::POST, &self.uri(url)?, Some(kind), Either::Right(content));
        timeout(limit, self.send(url, request, || None)).await.unwrap_or_else(|_| Err(late(url, limit)))
    }

    fn request(&self, method: &Method, uri: &Uri, kind: Option<HeaderValue>, content: Content) -> Request<Content> {
        let mut request = Request::new(content);
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = self.headers.clone();
        let authorization = self.authorization.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(authorization) = authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization);
        }
        request.headers_mut().extend(kind.map(|kind| (CONTENT_TYPE, kind)));
        request
    }

    /// Returns what a request line says: the whole URL only to a proxy that forwards requests.
    fn uri(&self, url: &str) -> Result<Uri, Error> {
        let target = if self.is_forwarded { url } else { &url[self.origin_length..] };
        target.parse().map_err(|error: http::uri::InvalidUri| Error::InvalidUrl {
            url: escaped(url, MAX_TEXT_CHARS),
            problem: error.to_string(),
        })
    }

    /// Sends a request over a kept connection, or over a new one, and reads the response.
    ///
    /// If the kept connection broke before the response, `again` returns the request to send over a
    /// new one. A request that was not even begun is always sent again.
    async fn send(
        &self,
        url: &str,
        mut request: Request<Content>,
        again: impl FnOnce() -> Option<Request<Content>>,
    ) -> Result<Response, Error> {
        if let Some(mut connection) = self.pool.take() {
            let mut error = match connection.send(request).await {
                Ok(response) => return self.finish(url, connection, response).await,
                Err(error) => error,
            };
            let repeated = error.take_message().or_else(|| if is_closed(error.error()) { again() } else { None });
            request = repeated.ok_or_else(|| self.transport_error(url, false, error.error()))?;
        }
        // In a box, because it is large and happens rarely.
        let opened = Box::pin(self.pool.open()).await;
        let mut connection = opened.map_err(|error| self.transport_error(url, true, &*error))?;
        let response = connection.send(request).await;
        let response = response.map_err(|error| self.transport_error(url, false, error.error()))?;
        self.finish(url, connection, response).await
    }

    /// Reads the body of a response and keeps the connection.
    async fn finish(
        &self,
        url: &str,
        mut connection: Connection,
        response: http::Response<Incoming>,
    ) -> Result<Response, Error> {
        let response = connection.drive(pin!(self.read(url, response))).await?;
        self.pool.keep(connection);
        Ok(response)
    }

    /// Reads the body of a response.
    async fn read(&self, url: &str, response: http::Response<Incoming>) -> Result<Response, Error> {
        let too_large = || Error::BodyTooLarge { url: url.to_owned(), limit: self.max_body_bytes };
        let (head, content) = response.into_parts();
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let (location, encoding) = (header(LOCATION), header(CONTENT_ENCODING));
        let announced = content.size_hint().lower();
        if announced > self.max_body_bytes as u64 {
            return Err(too_large());
        }
        let mut body = Vec::with_capacity(usize::try_from(announced).unwrap_or_default());
        let mut content = pin!(content);
        while let Some(frame) = content.frame().await {
            let frame = frame.map_err(|error| self.transport_error(url, false, &error))?;
            let Ok(piece) = frame.into_data() else { continue };
            if piece.len() > self.max_body_bytes - body.len() {
                return Err(too_large());
            }
            body.extend_from_slice(&piece);
        }
        let status = head.status.as_u16();
        match encoding.as_deref() {
            Some("gzip" | "x-gzip") => match decompress(&body, self.max_body_bytes) {
                Ok(Some(body)) => Ok(Response { status, location, body }),
                Ok(None) => Err(too_large()),
                // The status of an error says more than its unreadable body.
                Err(_) if !head.status.is_success() => Ok(Response { status, location, body: Vec::new() }),
                Err(error) => Err(Error::Transport { url: url.to_owned(), problem: format!("invalid gzip: {error}") }),
            },
            _ => Ok(Response { status, location, body }),
        }
    }

    fn transport_error(&self, url: &str, is_connect: bool, error: &(dyn std::error::Error + 'static)) -> Error {
        let url = url.to_owned();
        let (failure, mut problem) = causes(error);
        if failure.is_none() && !is_connect {
            return Error::Transport { url, problem };
        }
        if let Some(proxy) = &self.proxy {
            problem = format!("through the proxy {proxy}: {problem}");
        }
        Error::Connect { url, failure: failure.unwrap_or(ConnectFailure::Other), problem }
    }
}

/// Returns the error for a response that did not arrive within `limit`.
fn late(url: &str, limit: Duration) -> Error {
    Error::Timeout { url: url.to_owned(), after: limit }
}

fn media_type(url: &str, content_type: String) -> Result<HeaderValue, Error> {
    HeaderValue::try_from(content_type).map_err(|error| Error::Transport {
        url: url.to_owned(),
        problem: format!("invalid media type of the request: {error}"),
    })
}

/// Decompresses a body; returns `None` as soon as it is larger than `limit`.
fn decompress(packed: &[u8], limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    MultiGzDecoder::new(packed).take(limit as u64 + 1).read_to_end(&mut body)?;
    Ok((body.len() <= limit).then_some(body))
}

/// Returns the kind of connection failure behind `error`, and its innermost causes as text.
fn causes(error: &(dyn std::error::Error + 'static)) -> (Option<ConnectFailure>, String) {
    let mut failure = None;
    let mut problem = Vec::new();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let text = text_of(error);
        failure = failure.or_else(|| kind(error, &text));
        if !problem.contains(&text) {
            problem.push(text);
        }
        cause = error.source();
    }
    (failure, escaped(&problem.join(": "), MAX_TEXT_CHARS))
}

/// Returns `true` if the server closed the connection.
fn is_closed(error: &hyper::Error) -> bool {
    error.is_incomplete_message()
        || error.is_closed()
        || error.is_canceled()
        || std::error::Error::source(error).is_some_and(|cause| cause.is::<io::Error>())
}

fn text_of(error: &(dyn std::error::Error + 'static)) -> String {
    // An I/O error has the text of the error that it wraps.
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => text_of(wrapped),
        None => tls::text(error).map_or_else(|| error.to_string(), str::to_owned),
    }
}

fn kind(error: &(dyn std::error::Error + 'static), text: &str) -> Option<ConnectFailure> {
    if tls::is_failure(error) {
        return Some(ConnectFailure::Tls);
    }
    if text == "dns error" {
        return Some(ConnectFailure::Dns);
    }
    let error = error.downcast_ref::<io::Error>()?;
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Some(ConnectFailure::Refused),
        // An I/O error does not list the error that it wraps among its sources.
        _ => kind(error.get_ref()?, ""),
    }
}
