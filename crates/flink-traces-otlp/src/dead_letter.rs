//! Dead letters: rejected chunks, saved to a file for inspection and for sending them again.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use flink_traces_api::Signal;

use crate::chunk::Chunk;
use crate::files::{open_to_append, wait_for_lock};
use crate::json;
use crate::spool::{create_directory, sync, sync_directory};

/// A file of OTLP/JSON lines, one rejected request per line. The first write creates it.
#[derive(Debug, Clone)]
pub(crate) struct DeadLetters {
    pub(crate) path: PathBuf,
    pub(crate) signal: Signal,
    /// The maximum size of the file, in bytes.
    pub(crate) max_size: u64,
}

impl DeadLetters {
    /// Appends the chunk and waits until it is on disk.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be written or would exceed its maximum size.
    pub(crate) fn keep(&self, chunk: &Chunk) -> io::Result<()> {
        if let Some(directory) = self.path.parent() {
            create_directory(directory)?;
        }
        let is_new = !self.path.exists();
        let mut file = open_to_append(&self.path)?;
        // Several processes may share the file.
        wait_for_lock(&file);
        let length = whole_lines(&mut file)?;
        let line = json::from_request(self.signal, &chunk.message) + "\n";
        if length + line.len() as u64 > self.max_size {
            return Err(io::Error::new(
                io::ErrorKind::QuotaExceeded,
                format!("the file would exceed {} bytes", self.max_size),
            ));
        }
        file.write_all(line.as_bytes())?;
        sync(&file, &self.path)?;
        self.path.parent().filter(|_| is_new).map_or(Ok(()), sync_directory)
    }
}

/// Cuts off an incomplete last line, which a crash left. Returns the size of the rest.
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

/// Returns a file name for a reporter, without characters that have a meaning in paths.
pub(crate) fn file_name(signal: Signal, reporter: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    format!("{signal}-{}", reporter.chars().map(safe).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::tests::disk::{Op, start_recording, stop_recording};

    #[test]
    fn dead_letters_are_synchronized() {
        let place = tempfile::tempdir().unwrap();
        let directory = place.path().join("dead-letter");
        let path = directory.join("traces.jsonl");
        let dead_letters = DeadLetters { path: path.clone(), signal: Signal::Traces, max_size: 1 << 20 };
        let chunk = Chunk::stored(Vec::new().into(), 1);
        start_recording();
        dead_letters.keep(&chunk).unwrap();
        dead_letters.keep(&chunk).unwrap();
        let created = [Op::CreateDirectory(directory.clone()), Op::SyncDirectory(place.path().to_owned())];
        let kept = [Op::Sync(path.clone()), Op::SyncDirectory(directory), Op::Sync(path)];
        assert_eq!(stop_recording(), [&created[..], &kept].concat());
    }

    #[test]
    fn file_is_filled_up_to_its_maximum_size() {
        let place = tempfile::tempdir().unwrap();
        let chunk = Chunk::stored(Vec::new().into(), 1);
        let line = json::from_request(Signal::Traces, &chunk.message) + "\n";
        for (max_size, lines) in [(2 * line.len() - 1, 1), (2 * line.len(), 2), (2 * line.len() + 1, 2)] {
            let path = place.path().join(max_size.to_string());
            let dead_letters = DeadLetters { path: path.clone(), signal: Signal::Traces, max_size: max_size as u64 };
            for _ in 0..lines {
                dead_letters.keep(&chunk).unwrap();
            }
            assert_eq!(dead_letters.keep(&chunk).unwrap_err().kind(), io::ErrorKind::QuotaExceeded);
            assert_eq!(std::fs::read_to_string(path).unwrap(), line.repeat(lines));
        }
    }

    /// Guarantees: exactly what follows the last line is cut off, wherever it lies.
    #[test]
    fn incomplete_last_line_is_cut_off() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("traces.jsonl");
        let lengths = [0, 1, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, (128 << 10) + 1];
        for (first, rest) in lengths.iter().flat_map(|first| lengths.iter().map(move |rest| (*first, *rest))) {
            let line = if first == 0 { String::new() } else { "a".repeat(first - 1) + "\n" };
            std::fs::write(&path, line.clone() + &"b".repeat(rest)).unwrap();
            let mut file = open_to_append(&path).unwrap();
            assert_eq!(whole_lines(&mut file).unwrap(), first as u64, "{first} and {rest}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), line, "{first} and {rest}");
        }
    }

    #[test]
    fn file_name_has_no_separators() {
        assert_eq!(file_name(Signal::Traces, "Az09-_"), "traces-Az09-_");
        assert_eq!(file_name(Signal::Events, "../a b\\é:\0"), "events-___a_b____");
    }
}
