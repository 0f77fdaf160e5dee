//! Files of lines, gzipped or not, of any length.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

/// The beginning of whatever is gzipped.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// How far a reader has come.
#[derive(Debug, Clone, Default)]
pub struct Position(Arc<AtomicU64>);

impl Position {
    /// In bytes of the file, as it is packed.
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

/// Reads lines of gzipped or plain data.
pub struct Lines {
    data: Box<dyn BufRead>,
    position: Position,
}

/// What was read of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// All of it, without its end.
    Whole,
    /// Nothing, as it is too long; the next one can be read all the same.
    TooLong,
    /// There is none.
    End,
}

impl Lines {
    /// Reads data, which is unpacked if it begins as gzip does.
    ///
    /// # Errors
    /// When its beginning cannot be read.
    pub fn of(data: impl Read + 'static) -> io::Result<Self> {
        let position = Position::default();
        let mut packed = BufReader::new(Counting { inner: data, position: position.clone() });
        let data: Box<dyn BufRead> = match packed.fill_buf()?.starts_with(&GZIP) {
            true => Box::new(BufReader::new(MultiGzDecoder::new(packed))),
            false => Box::new(packed),
        };
        Ok(Self { data, position })
    }

    /// Reads a file up to the size that it has now.
    ///
    /// # Errors
    /// When its beginning cannot be read.
    pub(crate) fn of_file(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        // A pipe has no size.
        let size = if metadata.is_file() { metadata.len() } else { u64::MAX };
        Self::of(file.take(size))
    }

    /// How far it has come, also while it is away.
    pub(crate) fn position(&self) -> Position {
        self.position.clone()
    }

    /// Reads the next line into `line`, if it has at most `longest` bytes.
    pub(crate) fn read(&mut self, longest: usize, line: &mut Vec<u8>) -> io::Result<Line> {
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
                // What nobody will read takes no memory.
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
    fn lines_of_any_length_are_read_in_bounded_memory() {
        // 40 MB without an end.
        let long = io::repeat(b'x').take(40_000_000);
        let text = io::Cursor::new("a\n\nabc\n").chain(long).chain(io::Cursor::new("\nabcd\nlast"));
        let mut lines = Lines::of(text).unwrap();
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
    fn several_gzipped_files_in_one_are_one() {
        let packed = |text: &str| {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
            gzip.write_all(text.as_bytes()).unwrap();
            gzip.finish().unwrap()
        };
        let mut lines = Lines::of(io::Cursor::new([packed("a\nb"), packed("c\n")].concat())).unwrap();
        let mut line = Vec::new();
        assert_eq!((lines.read(9, &mut line).unwrap(), &line[..]), (Line::Whole, &b"a"[..]));
        assert_eq!((lines.read(9, &mut line).unwrap(), &line[..]), (Line::Whole, &b"bc"[..]));
        assert_eq!(lines.read(9, &mut line).unwrap(), Line::End);
        let damaged = packed("a\nb");
        let mut lines = Lines::of(io::Cursor::new(damaged[..damaged.len() - 9].to_vec())).unwrap();
        while lines.read(9, &mut line).is_ok_and(|line| line == Line::Whole) {}
        lines.read(9, &mut line).unwrap_err();
    }
}
