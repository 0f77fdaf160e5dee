//! Decoding of bodies and its errors.

use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Track;

use crate::text::{MAX_TEXT_CHARS, escaped};

/// The number of bytes shown on either side of a problem in a body.
const CONTEXT_BYTES: usize = 60;

/// Decodes a JSON body without skipping anything.
pub(crate) fn decode_whole<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    decode_strictly(body).or_else(|error| match replace_invalid_unicode(body) {
        Some(body) => decode_strictly(&body),
        None => Err(error),
    })
}

/// Replaces anything in a JSON text that is not Unicode by U+FFFD.
///
/// Such are invalid UTF-8 and escapes of half a surrogate pair. Returns `None` if there is nothing
/// to replace.
///
/// # Examples
///
/// ```
/// let text = flink_rest::replace_invalid_unicode(br#"{"name":"a\ud800"}"#);
/// assert_eq!(text.as_deref(), Some(&br#"{"name":"a\ufffd"}"#[..]));
/// ```
pub fn replace_invalid_unicode(body: &[u8]) -> Option<Vec<u8>> {
    let mut text = String::from_utf8_lossy(body).into_owned().into_bytes();
    let mut is_changed = text != body;
    let mut position = 0;
    while let Some(offset) = text.get(position..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\')) {
        position += offset;
        let unit = |at: usize| {
            let digits = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
            u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        };
        match (unit(position), unit(position + 6)) {
            (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => position += 12,
            (Some(0xd800..0xe000), _) => {
                text[position..position + 6].copy_from_slice(b"\\ufffd");
                is_changed = true;
                position += 6;
            }
            // Any other escape. Its second byte may be a backslash.
            _ => position += 2,
        }
    }
    is_changed.then_some(text)
}

fn decode_strictly<T: DeserializeOwned>(body: &[u8]) -> Result<T, BodyError> {
    // Tracking the path doubles the time, and only an error needs it.
    serde_json::from_slice(body).map_err(|error| BodyError::new(body, &path_of_error::<T>(body), &error))
}

/// Returns the path at which a body is not a `T`, or not JSON.
///
/// It is found in a tree, because the code that tracks a path is long for each type and source.
fn path_of_error<T: DeserializeOwned>(body: &[u8]) -> String {
    let mut track = Track::new();
    let is_read = match serde_json::from_slice::<Value>(body) {
        Ok(tree) => T::deserialize(serde_path_to_error::Deserializer::new(&tree, &mut track)).is_ok(),
        Err(_) => {
            let mut text = serde_json::Deserializer::from_slice(body);
            Value::deserialize(serde_path_to_error::Deserializer::new(&mut text, &mut track)).is_ok()
        }
    };
    if is_read { ".".to_owned() } else { track.path().to_string() }
}

/// An error of decoding a body. All foreign text in it is truncated and escaped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The body is HTML, as from a proxy, a login page or another program.
    #[error("expected JSON, found HTML (is this Flink's REST address?): {excerpt}")]
    Html {
        /// The beginning of the page.
        excerpt: String,
    },
    /// The body is not JSON, or not of the expected form.
    #[error("{problem} at {path}, line {line}, column {column}: {excerpt}")]
    Undecodable {
        /// The path of the problem, such as `jobs[3].jid`; `.` is the whole body.
        path: String,
        /// The line, from 1.
        line: usize,
        /// The column in bytes, from 1. For a missing field it is the end of the object.
        column: usize,
        /// The problem.
        problem: String,
        /// The body around the problem.
        excerpt: String,
    },
    /// An entry of a list could not be decoded and was skipped. The rest of the body was decoded.
    #[error("{problem} at {path}, entry skipped: {excerpt}")]
    Skipped {
        /// The path of the problem, such as `jobs[3].start-time`.
        path: String,
        /// The problem.
        problem: String,
        /// The beginning of the entry.
        excerpt: String,
    },
}

impl BodyError {
    fn new(body: &[u8], path: &str, error: &serde_json::Error) -> Self {
        if is_html(body) {
            return Self::Html {
                excerpt: escaped(&String::from_utf8_lossy(first(body, CONTEXT_BYTES * 2)), MAX_TEXT_CHARS),
            };
        }
        let problem = error.to_string();
        let problem = problem.rsplit_once(" at line ").map_or(problem.as_str(), |(problem, _)| problem);
        Self::Undecodable {
            path: escaped(path, MAX_TEXT_CHARS),
            line: error.line(),
            column: error.column(),
            problem: escaped(problem, MAX_TEXT_CHARS),
            excerpt: around(body, error.line(), error.column()),
        }
    }
}

fn is_html(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    body.starts_with(b"<")
}

pub(crate) fn first(bytes: &[u8], length: usize) -> &[u8] {
    &bytes[..bytes.len().min(length)]
}

fn around(body: &[u8], line: usize, column: usize) -> String {
    let lines_before = body.split_inclusive(|byte| *byte == b'\n').take(line.saturating_sub(1));
    let position = (lines_before.map(<[u8]>::len).sum::<usize>() + column).min(body.len());
    let start = position.saturating_sub(CONTEXT_BYTES);
    let excerpt = escaped(&String::from_utf8_lossy(first(&body[start..], CONTEXT_BYTES * 2)), MAX_TEXT_CHARS);
    let before = if start > 0 { "…" } else { "" };
    let after = if start + CONTEXT_BYTES * 2 < body.len() { "…" } else { "" };
    format!("{before}{excerpt}{after}")
}

/// A response with an error status.
#[derive(Clone, PartialEq, Eq)]
pub struct StatusError {
    status: u16,
    message: String,
    errors: Vec<String>,
}

/// The body of an error response of Flink.
#[derive(Deserialize)]
struct ErrorResponseBody {
    errors: Vec<String>,
}

impl StatusError {
    /// Returns the error of a response with that status and body; `None` for a success.
    ///
    /// It is meant for responses that did not come through the client of this crate.
    pub fn of(status: u16, body: &[u8]) -> Option<Self> {
        if (200..300).contains(&status) {
            return None;
        }
        let errors = serde_json::from_slice(body).map(|ErrorResponseBody { errors }| errors).unwrap_or_default();
        let message = errors.iter().flat_map(|error| error.lines()).find(|line| is_relevant(line));
        let message = match message {
            Some(message) => escaped(message, MAX_TEXT_CHARS),
            None if is_html(body) => BodyError::Html {
                excerpt: escaped(&String::from_utf8_lossy(first(body, CONTEXT_BYTES * 2)), MAX_TEXT_CHARS),
            }
            .to_string(),
            None => escaped(&String::from_utf8_lossy(first(body, MAX_TEXT_CHARS)), MAX_TEXT_CHARS),
        };
        Some(Self { status, message, errors })
    }

    /// Returns the error for a redirect, which the client does not follow.
    #[cfg(feature = "client")]
    pub(crate) fn redirect(status: u16, location: &str) -> Self {
        let message = format!("redirects to {}, which is not followed", crate::text::redacted(location));
        Self { status, message, errors: Vec::new() }
    }

    /// Returns the HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the first line with the actual error, truncated and escaped.
    ///
    /// Since 1.13, Flink sends whole stack traces.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the errors as Flink sent them; empty if the response is not from Flink.
    ///
    /// They are often whole stack traces and may contain any text of a user's exception.
    pub fn errors(&self) -> &[String] {
        &self.errors
    }

    /// Returns `true` if the job, vertex, checkpoint, attempt or endpoint does not exist.
    pub fn is_not_found(&self) -> bool {
        self.status == 404
    }

    /// Returns `true` if this version of Flink lacks the endpoint.
    pub fn is_missing_endpoint(&self) -> bool {
        self.is_not_found() && self.message.contains("Unable to load requested file")
    }

    /// Returns `true` if the same request may succeed later.
    ///
    /// This is so during a leader election, while the job initializes, and if a proxy has no
    /// upstream.
    pub fn is_temporary(&self) -> bool {
        matches!(self.status, 408 | 429 | 502..=504) || (self.status == 500 && self.is_initializing())
    }

    fn is_initializing(&self) -> bool {
        self.errors.iter().any(|error| error.contains("UnavailableDispatcherOperationException"))
    }
}

/// Omits the original errors, which may be long and may contain secrets.
impl fmt::Debug for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("StatusError");
        debug.field("status", &self.status).field("message", &self.message).finish_non_exhaustive()
    }
}

/// Returns the first line of a stack trace with the actual error, truncated and escaped.
#[cfg(feature = "client")]
pub(crate) fn first_relevant_line(text: &str) -> String {
    escaped(text.lines().find(|line| is_relevant(line)).unwrap_or_default(), MAX_TEXT_CHARS)
}

/// Returns `false` for the lines with which Flink wraps an error of the JobManager.
fn is_relevant(line: &str) -> bool {
    let line = line.trim();
    !line.is_empty() && line != "Internal server error." && !line.starts_with("<Exception on server side")
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status)?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for StatusError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;
    use crate::types::{CheckpointingStatistics, MultipleJobsDetails};
    use expect_test::{Expect, expect};

    fn check<T: DeserializeOwned + fmt::Debug>(body: &[u8], expected: Expect) {
        expected.assert_eq(&decode::<T>(body).unwrap_err().to_string());
    }

    #[test]
    fn error_names_problem_and_position() {
        let job = r#"{"jid":"a","start-time":1,"state":"RUNNING"}"#;
        check::<MultipleJobsDetails>(b"", expect!["EOF while parsing a value at ., line 1, column 0: "]);
        check::<MultipleJobsDetails>(b"{}", expect!["missing field `jobs` at ., line 1, column 2: {}"]);
        check::<MultipleJobsDetails>(
            format!("{{\"jobs\": [\n  {},\n  {{\"jid\":\"b\"}}]}}", job.replace(":1", ":\"soon\"")).as_bytes(),
            expect![[
                r#"invalid value: string "soon", expected a number at jobs[0].start-time, line 2, column 32: {"jobs": [\n  {"jid":"a","start-time":"soon","state":"RUNNING"},\n  {"jid":"b"}]}"#
            ]],
        );
        check::<MultipleJobsDetails>(
            format!("{{\"jobs\":[{job},{}", &job[..20]).as_bytes(),
            expect![[
                r#"EOF while parsing a string at jobs[1].?, line 1, column 74: …":"a","start-time":1,"state":"RUNNING"},{"jid":"a","start-ti"#
            ]],
        );
        check::<MultipleJobsDetails>(
            br#"{"jobs":[{"jid":"","start-time":1,"state":"RUNNING"}]}"#,
            expect![[
                r#"invalid id "": expected 1 to 255 bytes and none of ["overview", "metrics", ".", ".."] at jobs[0].jid, line 1, column 18: {"jobs":[{"jid":"","start-time":1,"state":"RUNNING"}]}"#
            ]],
        );
        check::<MultipleJobsDetails>(
            br#"{"jobs":[]} x"#,
            expect![[r#"trailing characters at ., line 1, column 13: {"jobs":[]} x"#]],
        );
        check::<CheckpointingStatistics>(
            br#"{"counts":{"restored":0,"total":true}}"#,
            expect![[
                r#"invalid type: boolean `true`, expected a number at counts.total, line 1, column 36: {"counts":{"restored":0,"total":true}}"#
            ]],
        );
        check::<MultipleJobsDetails>(
            b"\x1f\x8b\x08\x00\x00\x1b[2Jgzip",
            expect!["expected value at ., line 1, column 1: \\u{1f}�\\u{8}\\0\\0\\u{1b}[2Jgzip"],
        );
        check::<MultipleJobsDetails>(
            b"\n <!DOCTYPE html><html><head><title>Log in</title>\x1b</head>",
            expect![
                "expected JSON, found HTML (is this Flink's REST address?): \\n <!DOCTYPE html><html><head><title>Log in</title>\\u{1b}</head>"
            ],
        );
    }

    #[test]
    fn invalid_unicode_is_replaced() {
        for (name, expected) in [
            (&br"a\ud800b"[..], "a\u{fffd}b"),
            (br"a\udc00\ud800", "a\u{fffd}\u{fffd}"),
            (br"\ud83d\ude00\ud83d", "\u{1f600}\u{fffd}"),
            (br"\\ud800 \ud800", "\\ud800 \u{fffd}"),
            (b"a\xffb", "a\u{fffd}b"),
        ] {
            // A named field and a field in `other`.
            let body = [
                &br#"{"jobs":[{"jid":"a","start-time":1,"state":"RUNNING","name":""#[..],
                name,
                br#"","new":""#,
                name,
                br#""}]}"#,
            ];
            let jobs = decode::<MultipleJobsDetails>(&body.concat()).unwrap().jobs;
            assert_eq!((jobs[0].name.as_str(), jobs[0].other["new"].as_str()), (expected, Some(expected)));
        }
    }

    #[test]
    fn error_of_a_long_body_is_short() {
        let name = "x".repeat(1_000_000);
        for body in
            [format!(r#"{{"jobs":"{name}"}}"#), format!(r#"{{"jobs":[{{"jid":"{name}"}}]}}"#), format!("<{name}")]
        {
            let error = decode::<MultipleJobsDetails>(body.as_bytes()).unwrap_err().to_string();
            assert!(error.len() < 800, "{} bytes", error.len());
        }
        assert!(decode::<MultipleJobsDetails>("[".repeat(1_000_000).as_bytes()).is_err());
    }

    #[test]
    fn status_error_shows_the_first_relevant_line() {
        for (status, body, expected, kinds) in [
            (404, r#"{"errors":["Job x not found"]}"#, "status 404: Job x not found", "not found"),
            (
                404,
                r#"{"errors":["org.apache.flink.NotFoundException: Job x not found\n\tat org.apache.flink.A.b(A.java:1)"]}"#,
                "status 404: org.apache.flink.NotFoundException: Job x not found",
                "not found",
            ),
            (
                404,
                r#"{"errors":["Unable to load requested file /jobs/x/rescales/history."]}"#,
                "status 404: Unable to load requested file /jobs/x/rescales/history.",
                "not found, missing endpoint",
            ),
            (503, r#"{"errors":["Leader election."]}"#, "status 503: Leader election.", "temporary"),
            (
                500,
                r#"{"errors":["Internal server error.","<Exception on server side:\norg.apache.flink.runtime.dispatcher.UnavailableDispatcherOperationException: initializing\n\tat x\nEnd of exception on server side>"]}"#,
                "status 500: org.apache.flink.runtime.dispatcher.UnavailableDispatcherOperationException: initializing",
                "temporary",
            ),
            (
                500,
                r#"{"errors":["Internal server error.","<Exception on server side:\njava.lang.NullPointerException\n\tat x"]}"#,
                "status 500: java.lang.NullPointerException",
                "",
            ),
            (
                502,
                "<html><h1>Bad Gateway</h1></html>",
                "status 502: expected JSON, found HTML (is this Flink's REST address?): <html><h1>Bad Gateway</h1></html>",
                "temporary",
            ),
            (401, "", "status 401", ""),
            (400, "no\u{1b}[31m way", "status 400: no\\u{1b}[31m way", ""),
            (500, r#"{"errors":[]}"#, r#"status 500: {"errors":[]}"#, ""),
            (
                500,
                r#"{"errors":["Internal server error."]}"#,
                r#"status 500: {"errors":["Internal server error."]}"#,
                "",
            ),
        ] {
            let error = StatusError::of(status, body.as_bytes()).unwrap();
            let all = [
                (error.is_not_found(), "not found"),
                (error.is_missing_endpoint(), "missing endpoint"),
                (error.is_temporary(), "temporary"),
            ];
            let is: Vec<_> = all.iter().filter(|(is, _)| *is).map(|(_, kind)| *kind).collect();
            assert_eq!((error.to_string().as_str(), is.join(", ").as_str()), (expected, kinds));
        }
        assert_eq!(StatusError::of(202, b"{}"), None);
    }
}
