//! Bodies of several parts (RFC 7578), as Flink takes jars and job graphs.

use std::fmt::Write as _;

use crate::endpoint::{EncodedBody, InvalidParameter, RequestBody};
use crate::text::escaped;

/// The most parts that are read: a job graph comes with its jars and artifacts.
const MAX_PARTS: usize = 1000;
/// The longest head of a part that is read.
const MAX_HEAD_BYTES: usize = 4096;

/// A body of several parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Multipart {
    /// The parts, in order.
    pub parts: Vec<Part>,
}

/// A part of a [`Multipart`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// The field's name, such as `jarfile`.
    pub name: String,
    /// The file's name, if it is a file.
    pub file_name: Option<String>,
    /// Its media type, if one is named.
    pub content_type: Option<String>,
    /// Its bytes.
    pub content: Vec<u8>,
}

impl Multipart {
    /// Creates a body of these parts.
    pub fn new(parts: Vec<Part>) -> Self {
        Self { parts }
    }

    /// A body of one file.
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
    /// Creates a part without a file name and a media type.
    pub fn new(name: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), content: content.into(), ..Self::default() }
    }
}

/// What comes before a part's content, `boundary` included.
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

/// What comes after the last part's content.
pub(crate) fn tail(boundary: &str) -> String {
    format!("\r\n--{boundary}--\r\n")
}

/// As browsers do it: a name cannot end its quotes or its line.
fn quoted(text: &str) -> String {
    text.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

/// A boundary that is in none of `contents`.
pub(crate) fn boundary<'a>(contents: impl IntoIterator<Item = &'a [u8]> + Clone) -> String {
    let is_in =
        |boundary: &str| contents.clone().into_iter().any(|content| find(content, boundary.as_bytes()).is_some());
    let mut number = 0_u64;
    loop {
        let boundary = format!("flink-rest-{number:016x}");
        if !is_in(&boundary) {
            return boundary;
        }
        number += 1;
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

impl RequestBody for Multipart {
    fn encode(&self) -> EncodedBody {
        let boundary = boundary(self.parts.iter().map(|part| part.content.as_slice()));
        let mut content = Vec::new();
        for (place, part) in self.parts.iter().enumerate() {
            let line = if place == 0 { "" } else { "\r\n" };
            content.extend_from_slice(line.as_bytes());
            let head = head(&boundary, &part.name, part.file_name.as_deref(), part.content_type.as_deref());
            content.extend_from_slice(head.as_bytes());
            content.extend_from_slice(&part.content);
        }
        content.extend_from_slice(tail(&boundary).as_bytes());
        EncodedBody { content_type: format!("multipart/form-data; boundary={boundary}"), content }
    }

    fn decode(content_type: &str, content: &[u8]) -> Result<Self, InvalidParameter> {
        let invalid = |problem: &str| InvalidParameter::body("Multipart", &escaped(problem, 100));
        let boundary = boundary_of(content_type).ok_or_else(|| invalid("it is no multipart/form-data"))?;
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        // The first delimiter has no line before it.
        let mut rest = content.strip_prefix(&delimiter[2..]).ok_or_else(|| invalid("it does not begin with a part"))?;
        let mut parts = Vec::new();
        while !rest.starts_with(b"--") {
            let line = rest.strip_prefix(b"\r\n").ok_or_else(|| invalid("a part does not begin with a line"))?;
            let end = find(line, &delimiter).ok_or_else(|| invalid("the last part does not end"))?;
            if parts.len() == MAX_PARTS {
                return Err(invalid("there are too many parts"));
            }
            parts.push(part(&line[..end]).ok_or_else(|| invalid("a part has no name"))?);
            rest = &line[end + delimiter.len()..];
        }
        Ok(Self { parts })
    }
}

fn boundary_of(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("boundary="))?;
    let boundary = boundary.trim_matches('"');
    (1..=70).contains(&boundary.len()).then_some(boundary)
}

fn part(text: &[u8]) -> Option<Part> {
    // A part without headers begins with the empty line that would end them.
    let (head, content) = match text.strip_prefix(b"\r\n") {
        Some(content) => (&text[..0], content),
        None => {
            let end = find(&text[..text.len().min(MAX_HEAD_BYTES)], b"\r\n\r\n")?;
            (&text[..end], &text[end + 4..])
        }
    };
    let head = std::str::from_utf8(head).ok()?;
    let header = |wanted: &str| {
        head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    };
    let disposition = header("content-disposition")?;
    let parameter = |wanted: &str| {
        let mut parameters =
            unquoted_split(disposition).skip(1).filter_map(|parameter| parameter.trim().split_once('='));
        let (_, value) = parameters.find(|(name, _)| *name == wanted)?;
        Some(value.trim_matches('"').replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n"))
    };
    Some(Part {
        name: parameter("name")?,
        file_name: parameter("filename"),
        content_type: header("content-type").map(str::to_owned),
        content: content.to_vec(),
    })
}

/// Cut at the semicolons that are not in quotes.
fn unquoted_split(text: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    text.split(move |character| {
        is_quoted ^= character == '"';
        character == ';' && !is_quoted
    })
}

#[cfg(test)]
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
        fn parts_come_back(parts in prop::collection::vec(any_part(), 1..4)) {
            let body = Multipart { parts };
            let EncodedBody { content_type, content } = body.encode();
            prop_assert_eq!(Multipart::decode(&content_type, &content), Ok(body));
        }

        #[test]
        fn any_bytes_are_read_or_refused(content in "(--x|\r\n|\n|--|a|Content-Disposition: form-data; name=\"n\"|:|;){0,20}") {
            let _ = Multipart::decode("multipart/form-data; boundary=x", content.as_bytes());
        }
    }

    #[test]
    fn what_is_no_multipart_is_refused_with_the_reason() {
        let kind = "multipart/form-data; boundary=x";
        for (content_type, content, expected) in [
            ("application/json", "{}", "it is no multipart/form-data"),
            ("multipart/form-data; boundary=", "", "it is no multipart/form-data"),
            (kind, "", "it does not begin with a part"),
            (kind, "--xy", "a part does not begin with a line"),
            (kind, "--x\r\nabc", "the last part does not end"),
            (kind, "--x\r\nabc\r\n--x--", "a part has no name"),
        ] {
            let error = Multipart::decode(content_type, content.as_bytes()).unwrap_err().to_string();
            assert!(error.ends_with(expected), "{content}: {error}");
        }
        assert_eq!(Multipart::decode(kind, b"--x--\r\n"), Ok(Multipart::default()));
    }
}
