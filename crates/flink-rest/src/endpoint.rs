//! What an endpoint is: a path with parameters, perhaps a body, and an answer.

use std::fmt::{self, Display};
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::body::{BodyError, decode};
use crate::text::escaped;
use crate::types::File;

/// What stays as it is in a path.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
/// Characters of a parameter in a message.
const SHOWN: usize = 100;
pub(crate) const JSON: &str = "application/json; charset=UTF-8";

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// A question that Flink answers, or an order that it takes, with its parameters; what Flink calls `MessageHeaders`,
/// `MessageParameters` and the request's body.
///
/// `Client::call` asks any type that has this trait, so a program may declare endpoints that this crate lacks.
pub trait Endpoint: Sized {
    /// The HTTP method.
    const METHOD: &'static str = "GET";

    /// The path as Flink declares it, with `:name` in the places of parameters. Flink takes it with and without `/v1` before it.
    const PATH: &'static str;

    /// The HTTP status of an answer that is no error.
    const STATUS: u16 = 200;

    /// What it answers with that status.
    type Response: ResponseBody;

    /// The values of the path's parameters, in order; not encoded.
    fn parameters(&self) -> Vec<String> {
        Vec::new()
    }

    /// The query, encoded.
    fn query(&self) -> Option<String> {
        None
    }

    /// The body to send.
    fn body(&self) -> Option<EncodedBody> {
        None
    }

    /// The endpoint back from its parameters.
    ///
    /// # Errors
    /// When one is missing or not of its kind.
    fn from_parameters(parameters: &mut Parameters<'_>) -> Result<Self, InvalidParameter>;

    /// The path to request, with the query.
    fn path(&self) -> String {
        let mut parameters = self.parameters().into_iter();
        let mut path = String::new();
        for segment in segments(Self::PATH) {
            path.push('/');
            match segment.strip_prefix(':') {
                Some(_) => path.push_str(&encoded(&parameters.next().unwrap_or_default())),
                None => path.push_str(segment),
            }
        }
        if let Some(query) = self.query() {
            path.push('?');
            path.push_str(&query);
        }
        path
    }

    /// The endpoint that `path` asks, with or without `/v1`, query and a slash at its end; `None` if that is not this one.
    fn parse(path: &str) -> Option<Self> {
        let path = RequestPath::new(path)?;
        Self::from_parameters(&mut path.parameters(Self::PATH)?).ok()
    }
}

fn segments(template: &'static str) -> impl Iterator<Item = &'static str> {
    template.split('/').skip(1)
}

/// The path of a request, cut into its segments.
#[derive(Debug, Clone)]
pub(crate) struct RequestPath<'a> {
    segments: Vec<&'a str>,
    query: &'a str,
}

impl<'a> RequestPath<'a> {
    /// `None` if it does not begin with a slash.
    pub(crate) fn new(path: &'a str) -> Option<Self> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path = path.strip_prefix("/v1").filter(|path| path.starts_with('/')).unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path).strip_prefix('/')?;
        Some(Self { segments: path.split('/').collect(), query })
    }

    /// Its parameters, if it is a path of `template`.
    pub(crate) fn parameters(&self, template: &'static str) -> Option<Parameters<'a>> {
        let mut given = self.segments.iter();
        let mut values = Vec::new();
        for segment in segments(template) {
            let value = *given.next()?;
            match segment.strip_prefix(':') {
                Some(name) => values.push((name, value)),
                None if segment == value => {}
                None => return None,
            }
        }
        given.next().is_none().then(|| Parameters {
            values: values.into_iter(),
            query: self.query,
            content_type: "",
            body: &[],
        })
    }
}

/// The parameters of a request as they came.
#[derive(Debug)]
pub struct Parameters<'a> {
    values: std::vec::IntoIter<(&'static str, &'a str)>,
    query: &'a str,
    content_type: &'a str,
    body: &'a [u8],
}

impl<'a> Parameters<'a> {
    /// The same with the request's body.
    #[cfg(feature = "service")]
    pub(crate) fn with_body(self, content_type: &'a str, body: &'a [u8]) -> Self {
        Self { content_type, body, ..self }
    }

    /// The path's next parameter, decoded.
    ///
    /// # Errors
    /// When there is none or it is no `T`.
    pub fn take<T: FromStr>(&mut self) -> Result<T, InvalidParameter> {
        let (name, value) = self.values.next().ok_or_else(|| InvalidParameter::new("path", "", ""))?;
        let parsed = decoded(value).and_then(|value| value.parse().ok());
        parsed.ok_or_else(|| InvalidParameter::new("path", name, value))
    }

    /// The query's parameter `key`, decoded.
    ///
    /// # Errors
    /// When it is not of its kind.
    pub fn query<T: QueryParameter>(&self, key: &str) -> Result<T, InvalidParameter> {
        let mut pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        let value = pairs.find(|(name, _)| *name == key).map(|(_, value)| value);
        T::from_query(value).ok_or_else(|| InvalidParameter::new("query", key, value.unwrap_or_default()))
    }

    /// The request's body; an empty one is `T`'s default.
    ///
    /// # Errors
    /// When it is no `T`.
    pub fn body<T: RequestBody>(&self) -> Result<T, InvalidParameter> {
        T::decode(self.content_type, self.body)
    }
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

/// A parameter or body of a request that is not what the endpoint takes. The text is the one that Flink answers with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidParameter(String);

impl InvalidParameter {
    fn new(place: &str, name: &str, value: &str) -> Self {
        let value = escaped(value, SHOWN);
        Self(format!(
            "Bad request, could not parse parameters: Cannot resolve {place} parameter ({name}) from value \"{value}\"."
        ))
    }

    pub(crate) fn body(kind: &str, problem: &dyn Display) -> Self {
        Self(format!("Request did not match expected format {kind}: {problem}"))
    }
}

/// A value of a query.
pub trait QueryParameter: Sized {
    /// The value as it is sent, encoded; `None` leaves the parameter out.
    fn to_query(&self) -> Option<String>;

    /// The value of what was sent, which is `None` for a parameter that is left out; `None` if it is not of this kind.
    fn from_query(value: Option<&str>) -> Option<Self>;
}

impl<T: Display + FromStr> QueryParameter for Option<T> {
    fn to_query(&self) -> Option<String> {
        self.as_ref().map(|value| encoded(&value.to_string()))
    }

    fn from_query(value: Option<&str>) -> Option<Self> {
        value.map_or(Some(None), |value| decoded(value)?.parse().ok().map(Some))
    }
}

/// Items with commas between them; none leaves the parameter out.
impl<T: Display + FromStr> QueryParameter for Vec<T> {
    fn to_query(&self) -> Option<String> {
        let items: Vec<_> = self.iter().map(|item| encoded(&item.to_string())).collect();
        (!items.is_empty()).then(|| items.join(","))
    }

    fn from_query(value: Option<&str>) -> Option<Self> {
        let Some(value) = value else { return Some(Self::new()) };
        value.split(',').map(|item| decoded(item)?.parse().ok()).collect()
    }
}

/// The query of these keys and values; `None` if all are left out.
pub(crate) fn query_of<'a>(parameters: impl IntoIterator<Item = (&'a str, Option<String>)>) -> Option<String> {
    let given = parameters.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
    let given: Vec<_> = given.collect();
    (!given.is_empty()).then(|| given.join("&"))
}

/// The body of a request as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EncodedBody {
    /// Its media type.
    pub content_type: String,
    /// Its bytes.
    pub content: Vec<u8>,
}

impl EncodedBody {
    /// Creates a body of that media type.
    pub fn new(content_type: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { content_type: content_type.into(), content: content.into() }
    }
}

/// What can be the body of a request: whatever can be JSON, and [`Multipart`](crate::Multipart).
pub trait RequestBody: Sized {
    /// The body as it is sent.
    fn encode(&self) -> EncodedBody;

    /// The body back.
    ///
    /// # Errors
    /// When it is not of this kind.
    fn decode(content_type: &str, content: &[u8]) -> Result<Self, InvalidParameter>;
}

impl<T: Serialize + DeserializeOwned + Default> RequestBody for T {
    fn encode(&self) -> EncodedBody {
        // Only maps with keys that are no text cannot be JSON, and no body has one.
        let content = serde_json::to_vec(self).unwrap_or_default();
        EncodedBody { content_type: JSON.to_owned(), content }
    }

    fn decode(_: &str, content: &[u8]) -> Result<Self, InvalidParameter> {
        if content.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let kind = std::any::type_name::<T>().rsplit("::").next().unwrap_or_default();
        decode(content).map_err(|problem| InvalidParameter::body(kind, &problem))
    }
}

/// What can be the body of an answer: whatever can be JSON, and [`File`].
pub trait ResponseBody: Sized {
    /// Its media type.
    const CONTENT_TYPE: &'static str;

    /// The body as it is sent.
    ///
    /// # Errors
    /// When it cannot be JSON, which no type of this crate is.
    fn to_bytes(&self) -> Result<Vec<u8>, fmt::Error>;

    /// The body back.
    ///
    /// # Errors
    /// When it is not of this kind.
    fn from_bytes(content: &[u8]) -> Result<Self, BodyError>;
}

impl<T: Serialize + DeserializeOwned> ResponseBody for T {
    const CONTENT_TYPE: &'static str = JSON;

    fn to_bytes(&self) -> Result<Vec<u8>, fmt::Error> {
        serde_json::to_vec(self).map_err(|_| fmt::Error)
    }

    fn from_bytes(content: &[u8]) -> Result<Self, BodyError> {
        decode(content)
    }
}

impl ResponseBody for File {
    const CONTENT_TYPE: &'static str = "application/octet-stream";

    fn to_bytes(&self) -> Result<Vec<u8>, fmt::Error> {
        Ok(self.content.clone())
    }

    fn from_bytes(content: &[u8]) -> Result<Self, BodyError> {
        Ok(Self { content: content.to_vec() })
    }
}
