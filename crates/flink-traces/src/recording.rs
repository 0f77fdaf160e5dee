//! Recordings of REST sessions: gzipped JSON lines, one exchange a line, an answer that equals the last one for its path left out.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The longest line that is read; an answer of Flink's is some kilobytes.
const MAX_LINE_BYTES: u64 = 64 << 20;

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
    lines: Box<dyn BufRead>,
    line: usize,
    position: Position,
}

/// How far a reader has come.
#[derive(Debug, Clone, Default)]
pub struct Position(Arc<AtomicU64>);

impl Position {
    /// In bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Counting<R> {
    inner: R,
    position: Position,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.position.0.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

impl RecordingReader {
    /// Reads the file at `path`, gzipped or plain.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let failed = |source| RecordingError::Open { path: path.display().to_string(), source };
        let mut file = BufReader::new(std::fs::File::open(path).map_err(failed)?);
        let gzipped = file.fill_buf().map_err(failed)?.starts_with(&[0x1f, 0x8b]);
        Ok(match gzipped {
            true => Self::gzipped(file),
            false => {
                let position = Position::default();
                let counting = Counting { inner: file, position: position.clone() };
                Self { lines: Box::new(BufReader::new(counting)), line: 0, position }
            }
        })
    }

    /// Reads gzipped data.
    pub fn gzipped(data: impl Read + 'static) -> Self {
        let position = Position::default();
        let counting = Counting { inner: data, position: position.clone() };
        Self { lines: Box::new(BufReader::new(MultiGzDecoder::new(counting))), line: 0, position }
    }

    /// How far it has come, also while it is away.
    pub fn position(&self) -> Position {
        self.position.clone()
    }

    fn read(&mut self) -> Result<Option<Exchange>, RecordingError> {
        loop {
            self.line += 1;
            let line = self.line;
            let mut text = Vec::new();
            let bounded = &mut (&mut self.lines).take(MAX_LINE_BYTES);
            let length =
                bounded.read_until(b'\n', &mut text).map_err(|source| RecordingError::Read { line, source })?;
            match length as u64 {
                0 => return Ok(None),
                MAX_LINE_BYTES => return Err(RecordingError::TooLong { line }),
                _ if text.trim_ascii().is_empty() => {}
                _ => {
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
