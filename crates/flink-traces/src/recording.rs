//! Recordings of REST sessions: gzipped JSON lines, one exchange a line, an answer that equals the last one for its path left out.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::input::{Line, Lines, Position};

/// The longest line that is read; an answer of Flink's is some kilobytes.
const MAX_LINE_BYTES: usize = 64 << 20;

/// One exchange with a cluster, or a remark.
#[derive(Debug, Serialize, Deserialize)]
pub struct Exchange {
    /// When the request was sent, in milliseconds since the epoch.
    pub t_ms: i64,
    /// How long the answer took, in milliseconds.
    #[serde(default)]
    pub dur_ms: i64,
    /// `GET` and so on; `META` for the first line, `NOTE` for remarks.
    pub method: String,
    /// The path with its query.
    #[serde(default)]
    pub path: String,
    /// The status; 0 where there was no answer.
    #[serde(default)]
    pub status: u16,
    /// The body that was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Box<RawValue>>,
    /// The body that came back; text that is not JSON as `{"$text": …}`, the lack of an answer as `{"$error": …}`.
    pub body: Box<RawValue>,
}

impl Exchange {
    /// When the answer arrived, in milliseconds since the epoch.
    pub fn arrived_at(&self) -> i64 {
        self.t_ms.saturating_add(self.dur_ms)
    }
}

/// What is wrong with a recording.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file cannot be opened.
    #[error("{path} cannot be opened")]
    Open {
        /// Which file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The data ends too early or is not gzip.
    #[error("line {line} cannot be read")]
    Read {
        /// The line that was being read, from 1.
        line: usize,
        /// Why.
        source: io::Error,
    },
    /// A line is not an exchange.
    #[error("line {line} is no exchange of a recording")]
    Parse {
        /// Which line, from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// A line is longer than any answer.
    #[error("line {line} is longer than {} MiB", MAX_LINE_BYTES >> 20)]
    TooLong {
        /// Which line, from 1.
        line: usize,
    },
    /// It was read to its end, but for lines that are no exchanges.
    #[error("lines left out as they are no exchanges of a recording: {count}, the first is line {line}")]
    LeftOut {
        /// How many.
        count: usize,
        /// The first of them, from 1.
        line: usize,
        /// What is wrong with that.
        source: serde_json::Error,
    },
    /// There is no exchange in it.
    #[error("there is nothing in it")]
    Empty,
}

/// Reads a recording exchange by exchange. After a line that is no exchange it goes on with the next one; any other error is the end.
pub struct RecordingReader {
    lines: Lines,
    line: usize,
}

impl RecordingReader {
    /// Reads the file at `path`, gzipped or plain.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let lines = File::open(path).and_then(Lines::of);
        let failed = |source| RecordingError::Open { path: path.display().to_string(), source };
        Ok(Self { lines: lines.map_err(failed)?, line: 0 })
    }

    /// Reads data, gzipped or plain.
    ///
    /// # Errors
    /// When its beginning cannot be read.
    pub fn of(data: impl Read + 'static) -> io::Result<Self> {
        Ok(Self { lines: Lines::of(data)?, line: 0 })
    }

    /// How far it has come, also while it is away.
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

/// Writes a recording.
pub struct RecordingWriter<W: Write> {
    gzip: GzEncoder<W>,
}

impl<W: Write> RecordingWriter<W> {
    /// Writes to `output`.
    pub fn new(output: W) -> Self {
        Self { gzip: GzEncoder::new(output, Compression::default()) }
    }

    /// Appends one exchange.
    ///
    /// # Errors
    /// When `output` fails.
    pub fn write(&mut self, exchange: &Exchange) -> io::Result<()> {
        serde_json::to_writer(&mut self.gzip, exchange)?;
        self.gzip.write_all(b"\n")
    }

    /// Ends the recording; without it, the file is damaged at its end.
    ///
    /// # Errors
    /// When `output` fails.
    pub fn finish(self) -> io::Result<W> {
        self.gzip.finish()
    }
}
