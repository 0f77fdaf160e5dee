//! Reading plain or gzipped lines of any length in bounded memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

/// The first bytes of gzipped data.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The read position in a file. Clones show the same position.
#[derive(Debug, Clone, Default)]
pub struct Position(Arc<AtomicU64>);

impl Position {
    /// Returns the number of bytes read so far. Of gzipped data, these are compressed bytes.
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

/// A reader of lines, plain or gzipped.
pub struct Lines {
    data: Box<dyn BufRead>,
    position: Position,
}

/// The result of reading a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
// Exhaustive: callers must handle every result, and there is no other.
pub enum Line {
    /// The whole line was read. It is stored without its line break.
    Whole,
    /// The line was skipped, because it is too long. The next line can be read.
    TooLong,
    /// There are no more lines.
    End,
}

impl Lines {
    /// Creates a reader of `data`, which is decompressed if it begins like gzip.
    ///
    /// # Errors
    ///
    /// Returns an error if the beginning of `data` cannot be read.
    pub fn from_reader(data: impl Read + 'static) -> io::Result<Self> {
        let position = Position::default();
        let mut packed = BufReader::new(Counting { inner: data, position: position.clone() });
        let data: Box<dyn BufRead> = if packed.fill_buf()?.starts_with(&GZIP) {
            Box::new(BufReader::new(MultiGzDecoder::new(packed)))
        } else {
            Box::new(packed)
        };
        Ok(Self { data, position })
    }

    /// Creates a reader of `file`, up to its present size.
    ///
    /// # Errors
    ///
    /// Returns an error if the beginning of the file cannot be read.
    pub fn from_file(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        // A pipe has no size.
        let size = if metadata.is_file() { metadata.len() } else { u64::MAX };
        Self::from_reader(file.take(size))
    }

    /// Returns the read position, which stays up to date while the reader is used.
    pub fn position(&self) -> Position {
        self.position.clone()
    }

    /// Reads the next line into `line`, if it has at most `longest` bytes.
    ///
    /// # Errors
    ///
    /// Returns an error if the data cannot be read or decompressed.
    pub fn read(&mut self, longest: usize, line: &mut Vec<u8>) -> io::Result<Line> {
        line.clear();
        let mut length = 0;
        loop {
            let data = match self.data.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                data => data?,
            };
            let end = data.iter().position(|byte| *byte == b'\n');
            let part = &data[..end.unwrap_or(data.len())];
            let is_over = end.is_some() || data.is_empty();
            length += part.len();
            if length <= longest {
                line.extend_from_slice(part);
            } else {
                // A line that is skipped takes no memory.
                *line = Vec::new();
            }
            let used = part.len() + usize::from(end.is_some());
            self.data.consume(used);
            if is_over {
                return Ok(match length {
                    0 if end.is_none() => Line::End,
                    length if length > longest => Line::TooLong,
                    _ => Line::Whole,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn lines_any_length_bounded_memory() {
        // 40 MB without an end.
        let long = io::repeat(b'x').take(40_000_000);
        let text = io::Cursor::new("a\n\nabc\n").chain(long).chain(io::Cursor::new("\nabcd\nlast"));
        let mut lines = Lines::from_reader(text).unwrap();
        let mut line = Vec::new();
        let mut found = Vec::new();
        let position = lines.position();
        loop {
            match lines.read(3, &mut line).unwrap() {
                Line::Whole => found.push(String::from_utf8(line.clone()).unwrap()),
                Line::TooLong => found.push("too long".to_owned()),
                Line::End => break,
            }
            assert!(line.capacity() < 100_000);
        }
        assert_eq!(found, ["a", "", "abc", "too long", "too long", "too long"]);
        assert_eq!(position.bytes(), 40_000_000 + 17);
    }

    #[test]
    fn concatenated_gzip_members_are_read() {
        let packed = |text: &str| {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
            gzip.write_all(text.as_bytes()).unwrap();
            gzip.finish().unwrap()
        };
        let mut lines = Lines::from_reader(io::Cursor::new([packed("a\nb"), packed("c\n")].concat())).unwrap();
        let mut line = Vec::new();
        assert_eq!((lines.read(9, &mut line).unwrap(), &line[..]), (Line::Whole, &b"a"[..]));
        assert_eq!((lines.read(9, &mut line).unwrap(), &line[..]), (Line::Whole, &b"bc"[..]));
        assert_eq!(lines.read(9, &mut line).unwrap(), Line::End);
        let damaged = packed("a\nb");
        let mut lines = Lines::from_reader(io::Cursor::new(damaged[..damaged.len() - 9].to_vec())).unwrap();
        while lines.read(9, &mut line).is_ok_and(|line| line == Line::Whole) {}
        lines.read(9, &mut line).unwrap_err();
    }
}
