//! Recordings: files with the responses of a cluster.
//!
//! A recording is gzipped JSON lines, one [`Exchange`] a line. A response that equals the previous
//! one for the same path is omitted.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::lines::{Line, Lines, Position};

/// The longest line that is read. A response of Flink has some kilobytes.
const MAX_LINE_BYTES: usize = 64 << 20;

/// One line of a recording: a request with its response, or a note.
#[derive(Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Exchange {
    /// The time at which the request was sent, in milliseconds since the epoch.
    pub t_ms: i64,
    /// The time until the response was complete, in milliseconds.
    #[serde(default)]
    pub dur_ms: i64,
    /// The HTTP method. The first line has `META`, and a note has `NOTE`.
    pub method: String,
    /// The path with its query.
    #[serde(default)]
    pub path: String,
    /// The HTTP status, or 0 if there was no response.
    #[serde(default)]
    pub status: u16,
    /// The body of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Box<RawValue>>,
    /// The body of the response. Text that is not JSON is `{"$text": …}`, and a failed request is
    /// `{"$error": …}`.
    pub body: Box<RawValue>,
}

impl Exchange {
    /// Creates an exchange that was sent at `t_ms`, in milliseconds since the epoch.
    ///
    /// Its `dur_ms` and `status` are 0, and it has no request body.
    pub fn new(t_ms: i64, method: impl Into<String>, path: impl Into<String>, body: Box<RawValue>) -> Self {
        Self { t_ms, dur_ms: 0, method: method.into(), path: path.into(), status: 0, request: None, body }
    }

    /// Returns the time at which the response arrived, in milliseconds since the epoch.
    pub fn arrived_at(&self) -> i64 {
        self.t_ms.saturating_add(self.dur_ms)
    }
}

/// An error in a recording.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// The file cannot be opened.
    #[error("{path}: cannot be opened")]
    #[non_exhaustive]
    Open {
        /// The path of the file.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// The data cannot be read, because it ends too early or is not valid gzip.
    #[error("line {line} cannot be read")]
    #[non_exhaustive]
    Read {
        /// The number of the line, from 1.
        line: usize,
        /// The cause.
        source: io::Error,
    },
    /// A line is not an [`Exchange`].
    #[error("line {line} is not an exchange of a recording")]
    #[non_exhaustive]
    Parse {
        /// The number of the line, from 1.
        line: usize,
        /// The cause.
        source: serde_json::Error,
    },
    /// A line is longer than any response.
    #[error("line {line} is longer than {} MiB", MAX_LINE_BYTES >> 20)]
    #[non_exhaustive]
    TooLong {
        /// The number of the line, from 1.
        line: usize,
    },
    /// The recording was read to its end, but lines that are not exchanges were skipped.
    #[error("skipped {count} lines that are not exchanges of a recording, first line {line}")]
    #[non_exhaustive]
    LeftOut {
        /// The number of skipped lines.
        count: usize,
        /// The number of the first of them, from 1.
        line: usize,
        /// The problem of the first of them.
        source: serde_json::Error,
    },
    /// The recording has no exchanges.
    #[error("the recording is empty")]
    Empty,
}

/// A reader of a recording, which iterates over its exchanges.
///
/// After [`RecordingError::Parse`] the reader continues with the next line. Any other error is
/// final.
///
/// # Examples
///
/// ```
/// use flink_traces_observer::recording::RecordingReader;
///
/// let line = r#"{"t_ms":1000,"dur_ms":2,"method":"GET","path":"/config","status":200,"body":{}}"#;
/// let reader = RecordingReader::from_reader(line.as_bytes())?;
/// let exchanges = reader.collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(exchanges[0].path, "/config");
/// assert_eq!(exchanges[0].arrived_at(), 1002);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RecordingReader {
    lines: Lines,
    line: usize,
}

impl RecordingReader {
    /// Opens the file at `path`, plain or gzipped.
    ///
    /// # Errors
    ///
    /// Returns [`RecordingError::Open`] if the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let lines = File::open(path).and_then(Lines::from_reader);
        let failed = |source| RecordingError::Open { path: path.display().to_string(), source };
        Ok(Self { lines: lines.map_err(failed)?, line: 0 })
    }

    /// Creates a reader of `data`, plain or gzipped.
    ///
    /// # Errors
    ///
    /// Returns an error if the beginning of `data` cannot be read.
    pub fn from_reader(data: impl Read + 'static) -> io::Result<Self> {
        Ok(Self { lines: Lines::from_reader(data)?, line: 0 })
    }

    /// Returns the read position, which stays up to date while the reader is used.
    pub fn position(&self) -> Position {
        self.lines.position()
    }

    fn read(&mut self) -> Result<Option<Exchange>, RecordingError> {
        let mut text = Vec::new();
        loop {
            self.line += 1;
            let line = self.line;
            let read = self.lines.read(MAX_LINE_BYTES, &mut text);
            match read.map_err(|source| RecordingError::Read { line, source })? {
                Line::End => return Ok(None),
                Line::TooLong => return Err(RecordingError::TooLong { line }),
                Line::Whole if text.trim_ascii().is_empty() => {}
                Line::Whole => {
                    return serde_json::from_slice(&text)
                        .map(Some)
                        .map_err(|source| RecordingError::Parse { line, source });
                }
            }
        }
    }
}

impl Iterator for RecordingReader {
    type Item = Result<Exchange, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// A writer of a recording.
pub struct RecordingWriter<W: Write> {
    gzip: GzEncoder<W>,
}

impl<W: Write> RecordingWriter<W> {
    /// Creates a writer to `output`.
    pub fn new(output: W) -> Self {
        Self { gzip: GzEncoder::new(output, Compression::default()) }
    }

    /// Appends one exchange.
    ///
    /// # Errors
    ///
    /// Returns an error if `output` fails.
    pub fn write(&mut self, exchange: &Exchange) -> io::Result<()> {
        serde_json::to_writer(&mut self.gzip, exchange)?;
        self.gzip.write_all(b"\n")
    }

    /// Completes the recording. Without this, the file is damaged at its end.
    ///
    /// # Errors
    ///
    /// Returns an error if `output` fails.
    pub fn finish(self) -> io::Result<W> {
        self.gzip.finish()
    }
}
