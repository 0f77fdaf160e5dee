//! Endpoints: a method, a path with parameters, an optional body and a response.

use std::fmt::{self, Display};
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::body::{BodyError, decode_whole};
use crate::entries::decode_with;
use crate::text::escaped;
use crate::types::File;

/// The characters that are encoded in a path: all but ASCII letters, digits, `-` and `_`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
/// The maximum number of characters of a parameter in a message.
const MAX_VALUE_CHARS: usize = 100;
pub(crate) const JSON: &str = "application/json; charset=UTF-8";

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// A request to an endpoint with its parameters.
///
/// Flink splits it into `MessageHeaders`, `MessageParameters` and the body of the request.
/// `Client::call` takes any type with this trait, so a program may declare endpoints that this
/// crate lacks.
pub trait Endpoint: Sized {
    /// The HTTP method.
    const METHOD: &'static str = "GET";

    /// The path as Flink declares it, with `:name` for each parameter.
    ///
    /// Flink accepts it with and without the prefix `/v1`.
    const PATH: &'static str;

    /// The HTTP status of a success.
    const STATUS: u16 = 200;

    /// The body of a success.
    type Response: ResponseBody;

    /// Returns the parameters of the path in order, not encoded.
    fn parameters(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns the encoded query.
    fn query(&self) -> Option<String> {
        None
    }

    /// Returns the body of the request.
    fn body(&self) -> Option<EncodedBody> {
        None
    }

    /// Creates the request from its parameters.
    ///
    /// # Errors
    ///
    /// Returns an error if a parameter is missing or invalid.
    fn from_parameters(parameters: &mut Parameters<'_>) -> Result<Self, InvalidParameter>;

    /// Returns the path of the request, including the query.
    fn path(&self) -> String {
        let mut parameters = self.parameters().into_iter();
        let mut path = String::new();
        for segment in segments(Self::PATH) {
            path.push('/');
            match segment.strip_prefix(':') {
                Some(_) => path.extend(utf8_percent_encode(&parameters.next().unwrap_or_default(), ENCODED)),
                None => path.push_str(segment),
            }
        }
        if let Some(query) = self.query() {
            path.push('?');
            path.push_str(&query);
        }
        path
    }

    /// Parses a path, which may have the prefix `/v1`, a query and a trailing slash.
    ///
    /// Returns `None` if it is not a path of this endpoint.
    fn parse(path: &str) -> Option<Self> {
        let path = RequestPath::new(path)?;
        Self::from_parameters(&mut path.parameters(Self::PATH)?).ok()
    }
}

fn segments(template: &'static str) -> impl Iterator<Item = &'static str> {
    template.split('/').skip(1)
}

/// The path of a request, split into segments.
#[derive(Debug, Clone)]
pub(crate) struct RequestPath<'a> {
    segments: Vec<&'a str>,
    query: &'a str,
}

impl<'a> RequestPath<'a> {
    /// Splits a path; returns `None` if it does not begin with a slash.
    pub(crate) fn new(path: &'a str) -> Option<Self> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path = path.strip_prefix("/v1").filter(|path| path.starts_with('/')).unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path).strip_prefix('/')?;
        Some(Self { segments: path.split('/').collect(), query })
    }

    /// Returns the parameters; `None` if the path does not match `template`.
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

/// The parameters of a received request.
#[derive(Debug)]
pub struct Parameters<'a> {
    values: std::vec::IntoIter<(&'static str, &'a str)>,
    query: &'a str,
    content_type: &'a str,
    body: &'a [u8],
}

impl<'a> Parameters<'a> {
    /// Adds the body of the request.
    #[cfg(feature = "service")]
    pub(crate) fn with_body(self, content_type: &'a str, body: &'a [u8]) -> Self {
        Self { content_type, body, ..self }
    }

    /// Returns the next parameter of the path, decoded.
    ///
    /// # Errors
    ///
    /// Returns an error if there is none or if it is not a `T`.
    pub fn take<T: FromStr>(&mut self) -> Result<T, InvalidParameter> {
        let (name, value) = self.values.next().ok_or_else(|| InvalidParameter::new("path", "", ""))?;
        let parsed = decoded(value).and_then(|value| value.parse().ok());
        parsed.ok_or_else(|| InvalidParameter::new("path", name, value))
    }

    /// Returns the parameter `key` of the query, decoded.
    ///
    /// # Errors
    ///
    /// Returns an error if the value is not a `T`.
    pub fn query<T: QueryParameter>(&self, key: &str) -> Result<T, InvalidParameter> {
        let mut pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        let value = pairs.find(|(name, _)| *name == key).map(|(_, value)| value);
        T::from_query(value).ok_or_else(|| InvalidParameter::new("query", key, value.unwrap_or_default()))
    }

    /// Returns the body of the request. An empty body is the default of `T`.
    ///
    /// # Errors
    ///
    /// Returns an error if the body is not a `T`.
    pub fn body<T: RequestBody>(&self) -> Result<T, InvalidParameter> {
        T::decode(self.content_type, self.body)
    }
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

/// An invalid parameter or body of a request. The text is the one that Flink sends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidParameter(String);

impl InvalidParameter {
    fn new(place: &str, name: &str, value: &str) -> Self {
        let value = escaped(value, MAX_VALUE_CHARS);
        Self(format!(
            "Bad request, could not parse parameters: Cannot resolve {place} parameter ({name}) from value \"{value}\"."
        ))
    }

    pub(crate) fn body(kind: &str, problem: &dyn Display) -> Self {
        Self(format!("Request did not match expected format {kind}: {problem}"))
    }
}

/// The value of a parameter in a query.
pub trait QueryParameter: Sized {
    /// Returns the encoded value; `None` omits the parameter.
    fn to_query(&self) -> Option<String>;

    /// Parses a value, which is `None` for an omitted parameter. Returns `None` if the value is
    /// invalid.
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

/// Items separated by commas. An empty vector omits the parameter.
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

/// Returns the query of these keys and values; `None` if all are omitted.
pub(crate) fn query_of<'a>(parameters: impl IntoIterator<Item = (&'a str, Option<String>)>) -> Option<String> {
    let given = parameters.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
    let given: Vec<_> = given.collect();
    (!given.is_empty()).then(|| given.join("&"))
}

/// The encoded body of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EncodedBody {
    /// The media type.
    pub content_type: String,
    /// The bytes.
    pub content: Vec<u8>,
}

impl EncodedBody {
    /// Creates a body of that media type.
    pub fn new(content_type: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { content_type: content_type.into(), content: content.into() }
    }
}

/// The body of a request: any JSON type, or [`Multipart`](crate::Multipart).
pub trait RequestBody: Sized {
    /// Encodes the body.
    fn encode(&self) -> EncodedBody;

    /// Decodes the body.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are not of this type.
    fn decode(content_type: &str, content: &[u8]) -> Result<Self, InvalidParameter>;
}

impl<T: Serialize + DeserializeOwned + Default> RequestBody for T {
    fn encode(&self) -> EncodedBody {
        // Encoding fails only for maps whose keys are not text, which no body has.
        let content = serde_json::to_vec(self).unwrap_or_default();
        EncodedBody { content_type: JSON.to_owned(), content }
    }

    fn decode(_: &str, content: &[u8]) -> Result<Self, InvalidParameter> {
        if content.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        let kind = std::any::type_name::<T>().rsplit("::").next().unwrap_or_default();
        decode_whole(content).map_err(|problem| InvalidParameter::body(kind, &problem))
    }
}

/// The body of a response: any JSON type, or [`File`].
pub trait ResponseBody: Sized {
    /// The media type.
    const CONTENT_TYPE: &'static str;

    /// Encodes the body.
    ///
    /// # Errors
    ///
    /// Returns an error if the value cannot be encoded as JSON. No type of this crate does.
    fn to_bytes(&self) -> Result<Vec<u8>, fmt::Error>;

    /// Decodes the body.
    ///
    /// Entries of lists that cannot be decoded are skipped, and `skipped` gets their errors.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are not of this type.
    fn from_bytes_with(content: &[u8], skipped: &mut Vec<BodyError>) -> Result<Self, BodyError>;

    /// Decodes the body without returning the errors of skipped entries.
    ///
    /// # Errors
    ///
    /// Returns an error if the bytes are not of this type.
    fn from_bytes(content: &[u8]) -> Result<Self, BodyError> {
        Self::from_bytes_with(content, &mut Vec::new())
    }
}

impl<T: Serialize + DeserializeOwned> ResponseBody for T {
    const CONTENT_TYPE: &'static str = JSON;

    fn to_bytes(&self) -> Result<Vec<u8>, fmt::Error> {
        serde_json::to_vec(self).map_err(|_| fmt::Error)
    }

    fn from_bytes_with(content: &[u8], skipped: &mut Vec<BodyError>) -> Result<Self, BodyError> {
        decode_with(content, skipped)
    }
}

impl ResponseBody for File {
    const CONTENT_TYPE: &'static str = "application/octet-stream";

    fn to_bytes(&self) -> Result<Vec<u8>, fmt::Error> {
        Ok(self.content.clone())
    }

    fn from_bytes_with(content: &[u8], _: &mut Vec<BodyError>) -> Result<Self, BodyError> {
        Ok(Self { content: content.to_vec() })
    }
}
