//! `multipart/form-data` bodies (RFC 7578), in which Flink takes jars and job graphs.

use std::fmt::Write as _;

use crate::endpoint::{EncodedBody, InvalidParameter, RequestBody};

/// A body of several parts.
///
/// Without the feature `service`, this crate writes such bodies but does not read them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Multipart {
    /// The parts, in order.
    pub parts: Vec<Part>,
}

/// A part of a [`Multipart`] body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// The name of the field, such as `jarfile`.
    pub name: String,
    /// The name of the file; `None` if the part is not a file.
    pub file_name: Option<String>,
    /// The media type; `None` if the part has none.
    pub content_type: Option<String>,
    /// The bytes of the part.
    pub content: Vec<u8>,
}

impl Multipart {
    /// Creates a body of these parts.
    pub fn new(parts: Vec<Part>) -> Self {
        Self { parts }
    }

    /// Creates a body of one file.
    pub fn file(field: &str, file_name: &str, content_type: &str, content: Vec<u8>) -> Self {
        let part = Part {
            name: field.to_owned(),
            file_name: Some(file_name.to_owned()),
            content_type: Some(content_type.to_owned()),
            content,
        };
        Self { parts: vec![part] }
    }
}

impl Part {
    /// Creates a part without a file name or a media type.
    pub fn new(name: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), content: content.into(), ..Self::default() }
    }
}

/// Returns the text before the content of a part, which begins with `boundary`.
pub(crate) fn head(boundary: &str, name: &str, file_name: Option<&str>, content_type: Option<&str>) -> String {
    let mut head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"", quoted(name));
    // Writing to a string cannot fail.
    if let Some(file_name) = file_name {
        let _ = write!(head, "; filename=\"{}\"", quoted(file_name));
    }
    head.push_str("\r\n");
    if let Some(content_type) = content_type {
        let _ = write!(head, "Content-Type: {}\r\n", content_type.replace(char::is_control, ""));
    }
    head.push_str("\r\n");
    head
}

/// Returns the text after the content of the last part.
pub(crate) fn tail(boundary: &str) -> String {
    format!("\r\n--{boundary}--\r\n")
}

/// Escapes quotes and line breaks as browsers do, so that a name cannot end its quotes or its line.
fn quoted(text: &str) -> String {
    text.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

/// Returns a boundary that occurs in none of `contents`.
pub(crate) fn boundary<'a>(contents: impl IntoIterator<Item = &'a [u8]> + Clone) -> String {
    let contains = |content: &[u8], text: &[u8]| content.windows(text.len()).any(|window| window == text);
    let mut number = 0_u64;
    loop {
        let boundary = format!("flink-rest-{number:016x}");
        if !contents.clone().into_iter().any(|content| contains(content, boundary.as_bytes())) {
            return boundary;
        }
        number += 1;
    }
}

impl RequestBody for Multipart {
    fn encode(&self) -> EncodedBody {
        let boundary = boundary(self.parts.iter().map(|part| part.content.as_slice()));
        let mut content = Vec::new();
        for (index, part) in self.parts.iter().enumerate() {
            let line = if index == 0 { "" } else { "\r\n" };
            content.extend_from_slice(line.as_bytes());
            let head = head(&boundary, &part.name, part.file_name.as_deref(), part.content_type.as_deref());
            content.extend_from_slice(head.as_bytes());
            content.extend_from_slice(&part.content);
        }
        content.extend_from_slice(tail(&boundary).as_bytes());
        EncodedBody { content_type: format!("multipart/form-data; boundary={boundary}"), content }
    }

    #[cfg(feature = "service")]
    fn decode(content_type: &str, content: &[u8]) -> Result<Self, InvalidParameter> {
        decode::multipart(content_type, content).map_err(|problem| InvalidParameter::body("Multipart", &problem))
    }

    #[cfg(not(feature = "service"))]
    fn decode(_: &str, _: &[u8]) -> Result<Self, InvalidParameter> {
        Err(InvalidParameter::body("Multipart", &"reading it needs the feature service"))
    }
}

#[cfg(feature = "service")]
mod decode {
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures_util::FutureExt as _;
    use futures_util::stream::once;
    use multer::Field;

    use super::{Multipart, Part};
    use crate::text::escaped;

    /// The maximum number of parts: a job graph comes with its jars and artifacts.
    const MAX_PARTS: usize = 1000;
    /// The maximum length of the headers of a part.
    const MAX_HEADER_BYTES: usize = 4096;
    /// The maximum length of a boundary (RFC 2046).
    const MAX_BOUNDARY_BYTES: usize = 70;
    /// The maximum number of characters of a parser's error.
    const MAX_PROBLEM_CHARS: usize = 100;

    /// Reads a body. The text of an error fits into a response.
    pub(super) fn multipart(content_type: &str, content: &[u8]) -> Result<Multipart, String> {
        let boundary = multer::parse_boundary(content_type)
            .ok()
            .filter(|boundary| (1..=MAX_BOUNDARY_BYTES).contains(&boundary.len()))
            .ok_or("expected multipart/form-data with a boundary")?;
        // The parser would skip anything before the first boundary.
        if !content.starts_with(format!("--{boundary}").as_bytes()) {
            return Err("expected a boundary at the beginning".to_owned());
        }
        let content = Bytes::copy_from_slice(content);
        let mut parser = multer::Multipart::new(once(async { Ok::<_, Infallible>(content) }), boundary);
        let mut parts = Vec::new();
        while let Some(field) = ready(parser.next_field())? {
            if parts.len() == MAX_PARTS {
                return Err(format!("expected at most {MAX_PARTS} parts"));
            }
            parts.push(part(field)?);
        }
        Ok(Multipart { parts })
    }

    /// Returns the result of a step of the parser, which never waits: all of the body is there.
    fn ready<T>(step: impl Future<Output = multer::Result<T>>) -> Result<T, String> {
        let result = step.now_or_never().ok_or("the body is incomplete")?;
        result.map_err(|error| escaped(&error.to_string(), MAX_PROBLEM_CHARS))
    }

    fn part(field: Field<'_>) -> Result<Part, String> {
        let headers = field.headers();
        let length: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if length > MAX_HEADER_BYTES {
            return Err(format!("expected at most {MAX_HEADER_BYTES} bytes of headers in a part"));
        }
        let header = |name| std::str::from_utf8(headers.get(name)?.as_bytes()).ok();
        let disposition = header("content-disposition").unwrap_or_default();
        let name = parameter(disposition, "name").ok_or("expected a name in each part")?;
        let file_name = parameter(disposition, "filename");
        let content_type = header("content-type").map(str::to_owned);
        Ok(Part { name, file_name, content_type, content: ready(field.bytes())?.into() })
    }

    /// Returns a parameter of a `Content-Disposition`.
    ///
    /// The parser's own reading finds parameters also inside the quotes of others.
    fn parameter(disposition: &str, wanted: &str) -> Option<String> {
        let mut parameters =
            unquoted_split(disposition).skip(1).filter_map(|parameter| parameter.trim().split_once('='));
        let (_, value) = parameters.find(|(name, _)| *name == wanted)?;
        Some(value.trim_matches('"').replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n"))
    }

    /// Splits `text` at the semicolons that are outside of quotes.
    fn unquoted_split(text: &str) -> impl Iterator<Item = &str> {
        let mut is_quoted = false;
        text.split(move |character| {
            is_quoted ^= character == '"';
            character == ';' && !is_quoted
        })
    }
}

#[cfg(all(test, feature = "service"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_part() -> impl Strategy<Value = Part> {
        let text = "[a-z\"\r\n;= é]{1,9}";
        let content = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..100),
            Just(b"\r\n--flink-rest-0000000000000000--\r\n".to_vec()),
        ];
        (text, prop::option::of(text), prop::option::of("[a-z]{1,9}/[a-z]{1,9}"), content)
            .prop_map(|(name, file_name, content_type, content)| Part { name, file_name, content_type, content })
    }

    proptest! {
        #[test]
        fn parts_survive_a_round_trip(parts in prop::collection::vec(any_part(), 1..4)) {
            let body = Multipart { parts };
            let EncodedBody { content_type, content } = body.encode();
            prop_assert_eq!(Multipart::decode(&content_type, &content), Ok(body));
        }

        #[test]
        fn decode_of_any_bytes_returns(
            content in "(--x|\r\n|\n|--|a|Content-Disposition: form-data; name=\"n\"|:|;){0,20}"
        ) {
            let _ = Multipart::decode("multipart/form-data; boundary=x", content.as_bytes());
        }
    }

    #[test]
    fn names_may_look_like_other_parameters() {
        let part = Part { file_name: Some("; name=\"x\"".to_owned()), ..Part::new(";filename=y", "z") };
        let body = Multipart::new(vec![part]);
        let EncodedBody { content_type, content } = body.encode();
        assert_eq!(Multipart::decode(&content_type, &content), Ok(body));
    }

    #[test]
    fn decode_of_another_format_names_the_problem() {
        let kind = "multipart/form-data; boundary=x";
        let disposition = "Content-Disposition: form-data; name=\"n\"";
        for (content_type, content, expected) in [
            ("application/json", "{}", "expected multipart/form-data with a boundary"),
            ("multipart/form-data; boundary=", "", "expected multipart/form-data with a boundary"),
            (
                &format!("multipart/form-data; boundary={}", "x".repeat(71)),
                "",
                "expected multipart/form-data with a boundary",
            ),
            (kind, "", "expected a boundary at the beginning"),
            (kind, "a--x--", "expected a boundary at the beginning"),
            (kind, "--xy", "incomplete multipart stream"),
            (kind, "--x\r\nabc", "incomplete multipart stream"),
            (kind, "--x\r\nabc\r\n\r\n--x--", "failed to read headers"),
            (kind, "--x\r\nA: b\r\n\r\n\r\n--x--", "expected a name in each part"),
            (kind, &format!("--x\r\n{disposition}\r\n\r\nabc"), "received with incomplete data"),
            (
                kind,
                &format!("--x\r\n{disposition}\r\nA: {}\r\n\r\n\r\n--x--", "b".repeat(4096)),
                "expected at most 4096 bytes of headers in a part",
            ),
            (
                kind,
                &format!("{}--x--", format!("--x\r\n{disposition}\r\n\r\n\r\n").repeat(1001)),
                "expected at most 1000 parts",
            ),
        ] {
            let error = Multipart::decode(content_type, content.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{content}: {error}");
        }
        assert_eq!(Multipart::decode(kind, b"--x--\r\n"), Ok(Multipart::default()));
    }
}
