//! Sending a request over a connection and reading the response within limits.

use std::io::Read as _;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Method, RequestBuilder, Url};
use tokio::time::timeout;

use super::{Client, ConnectFailure, Error, MAX_TEXT_CHARS, Response};
use crate::EncodedBody;
use crate::text::escaped;

impl Client {
    pub(super) async fn exchange_directly(
        &self,
        direct: &legacy::Client<HttpConnector, Full<Bytes>>,
        url: &Url,
        method: Method,
        body: Option<EncodedBody>,
    ) -> Result<Response, Error> {
        let uri = url.as_str().parse().map_err(|error: http::uri::InvalidUri| Error::InvalidUrl {
            url: escaped(url.as_str(), MAX_TEXT_CHARS),
            problem: error.to_string(),
        })?;
        let mut request = http::Request::new(Full::default());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        if let Some(EncodedBody { content_type, content }) = body {
            let content_type = HeaderValue::try_from(content_type).map_err(|error| Error::Transport {
                url: url.to_string(),
                problem: format!("invalid media type of the request: {error}"),
            })?;
            request.headers_mut().insert(CONTENT_TYPE, content_type);
            *request.body_mut() = content.into();
        }
        let exchanged = timeout(self.timeout, async {
            let response =
                direct.request(request).await.map_err(|error| from_transport(url, error.is_connect(), &error))?;
            self.read(url, response, |error| from_transport(url, false, &error)).await
        });
        exchanged.await.unwrap_or_else(|_| Err(Error::Timeout { url: url.to_string(), after: self.timeout }))
    }

    pub(super) async fn exchange(
        &self,
        url: Url,
        timeout: Duration,
        request: RequestBuilder,
    ) -> Result<Response, Error> {
        let failed = |error| from_reqwest(&url, timeout, &error);
        let response = request.send().await.map_err(failed)?;
        self.read(&url, http::Response::<reqwest::Body>::from(response), failed).await
    }

    /// Reads the body of a response.
    async fn read<B: Body<Data = Bytes>>(
        &self,
        url: &Url,
        response: http::Response<B>,
        failed: impl Fn(B::Error) -> Error,
    ) -> Result<Response, Error> {
        let too_large = || Error::BodyTooLarge { url: url.to_string(), limit: self.max_body_bytes };
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
            let Ok(piece) = frame.map_err(&failed)?.into_data() else { continue };
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
                Err(error) => Err(Error::Transport { url: url.to_string(), problem: format!("invalid gzip: {error}") }),
            },
            _ => Ok(Response { status, location, body }),
        }
    }
}

fn from_reqwest(url: &Url, timeout: Duration, error: &reqwest::Error) -> Error {
    if error.is_timeout() && !error.is_connect() {
        return Error::Timeout { url: url.to_string(), after: timeout };
    }
    from_transport(url, error.is_connect(), error)
}

fn from_transport(url: &Url, is_connect: bool, error: &(dyn std::error::Error + 'static)) -> Error {
    let url = url.to_string();
    let (failure, problem) = causes(error);
    match failure {
        Some(failure) => Error::Connect { url, failure, problem },
        None if is_connect => Error::Connect { url, failure: ConnectFailure::Other, problem },
        None => Error::Transport { url, problem },
    }
}

/// Decompresses a body; returns `None` as soon as it is larger than `limit`.
fn decompress(packed: &[u8], limit: usize) -> std::io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    MultiGzDecoder::new(packed).take(limit as u64 + 1).read_to_end(&mut body)?;
    Ok((body.len() <= limit).then_some(body))
}

/// Returns the kind of connection failure behind `error`, and its innermost causes as text.
pub(super) fn causes(error: &(dyn std::error::Error + 'static)) -> (Option<ConnectFailure>, String) {
    let mut failure = None;
    let mut problem = Vec::new();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        failure = failure.or_else(|| kind(error, &text));
        // The outer layers only repeat that the request failed, with its URL.
        if !error.is::<reqwest::Error>() && !text.starts_with("client error (") && !problem.contains(&text) {
            problem.push(text);
        }
        cause = error.source();
    }
    (failure, escaped(&problem.join(": "), MAX_TEXT_CHARS))
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
