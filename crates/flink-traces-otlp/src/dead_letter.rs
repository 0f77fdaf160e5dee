//! What a collector refused for good is kept in a file, for people to look at and to send again.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use flink_traces_api::Signal;

use crate::encode::Chunk;
use crate::files::{create_directory, open_to_append};
use crate::json;

/// A file of OTLP/JSON lines, one refused request each. Made when it is first needed.
#[derive(Debug, Clone)]
pub(crate) struct DeadLetters {
    pub(crate) path: PathBuf,
    pub(crate) signal: Signal,
    /// How long the file may become, in bytes.
    pub(crate) max_size: u64,
}

impl DeadLetters {
    /// Appends the chunk and waits until it is on disk. Fails if that would make the file too long.
    pub(crate) fn keep(&self, chunk: &Chunk) -> io::Result<()> {
        if let Some(directory) = self.path.parent() {
            create_directory(directory)?;
        }
        let mut file = open_to_append(&self.path)?;
        let length = whole_lines(&mut file)?;
        let line = json::of_request(self.signal, &chunk.message) + "\n";
        if length + line.len() as u64 > self.max_size {
            return Err(io::Error::new(
                io::ErrorKind::QuotaExceeded,
                format!("it would exceed {} bytes", self.max_size),
            ));
        }
        file.write_all(line.as_bytes())?;
        file.sync_data()
    }
}

/// Cuts off a line without an end, which a crash left. Answers how long the file is then.
fn whole_lines(file: &mut File) -> io::Result<u64> {
    const BLOCK: u64 = 64 << 10;
    let length = file.metadata()?.len();
    let mut end = length;
    let mut block = Vec::new();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        file.take(end - start).read_to_end(&mut block)?;
        if let Some(place) = block.iter().rposition(|byte| *byte == b'\n') {
            end = start + place as u64 + 1;
            break;
        }
        end = start;
    }
    if end < length {
        file.set_len(end)?;
    }
    Ok(end)
}

/// The name of a file or directory of a reporter: its own, with whatever a path could misunderstand replaced.
pub(crate) fn file_name(signal: Signal, reporter: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    format!("{signal}-{}", reporter.chars().map(safe).collect::<String>())
}
