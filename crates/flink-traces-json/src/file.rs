//! A file of whole lines that is rotated by size and age.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::lines::{Line, Lines};
use crate::open;

/// The file that a reporter appends to, whose name is always the configured one.
///
/// A full file is closed for good under a numbered name, and a new one takes its place.
///
/// The file holds whole lines before and after any error or crash. The remains of a failed write
/// are cut off at once, or else when the file is opened next.
#[derive(Debug)]
pub(crate) struct LineFile {
    path: PathBuf,
    rules: Rules,
    active: Option<Active>,
}

#[derive(Debug)]
struct Active {
    file: File,
    /// The time at which the file was created, or opened if the file system does not know that.
    created: SystemTime,
}

/// The rules for all files of one path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// The beginning of every line. A file with another beginning belongs to another program.
    pub(crate) line_start: &'static str,
    /// The maximum size of a file in bytes, which only a single longer line exceeds. 0 means no
    /// limit.
    pub(crate) size_limit: u64,
    /// The maximum age of a file to which a line is added. Zero means no limit.
    pub(crate) age_limit: Duration,
    /// The number of closed files to keep.
    pub(crate) keep: u64,
    /// The time at which data is written to disk.
    pub(crate) sync: Sync,
}

/// The time at which the operating system must write its cache to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// The operating system decides.
    Never,
    /// Before a file is closed for good.
    Closed,
    /// Before lines count as written.
    Always,
}

/// The reason why a file cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FileError {
    /// The operating system returned an error.
    #[error("{path:?}: {error}")]
    Io { path: PathBuf, error: io::Error },
    /// The path leads to something else than a file of this reporter.
    #[error("{path:?} is not {expected}")]
    Unsuitable { path: PathBuf, expected: &'static str },
}

impl LineFile {
    /// Opens the file or creates it, and cuts off a torn last line.
    pub(crate) fn open(path: PathBuf, rules: Rules) -> Result<Self, FileError> {
        let active = open_active(&path, rules)?;
        Ok(Self { path, rules, active: Some(active) })
    }

    /// Appends the lines at the time `now`.
    ///
    /// In case of an error, too, `written` grows by the number of records whose lines are in a
    /// file, and on disk if the rules demand that.
    pub(crate) fn append(&mut self, lines: &Lines, now: SystemTime, written: &mut usize) -> Result<(), FileError> {
        let mut limit = match self.rules.size_limit {
            0 => u64::MAX,
            limit => limit,
        };
        let mut may_rotate = true;
        let mut begin = 0;
        let mut rest = lines.ends();
        while let Some(first) = rest.first() {
            let mut size = self.active_size()?;
            let is_full = size.saturating_add((first.end - begin) as u64) > limit;
            if size > 0 && (is_full || may_rotate && self.is_expired(now)) {
                match self.rotate() {
                    Ok(()) => size = self.active_size()?,
                    Err(error) => {
                        // A file that is too large or too old is better than dropped spans.
                        tracing::warn!(path = ?self.path, %error, "cannot rotate file, appending to it");
                        (limit, may_rotate) = (u64::MAX, false);
                    }
                }
            }
            let room = limit.saturating_sub(size);
            let count = rest.partition_point(|line| (line.end - begin) as u64 <= room).max(1);
            let (fitting, later) = rest.split_at(count);
            let (sync, before) = (self.rules.sync, *written);
            let file = &mut self.active()?.file;
            let result = write_whole_lines(file, lines.as_bytes(), begin, fitting, written);
            let result = result.and_then(|()| match sync {
                Sync::Always => open::sync(file).inspect_err(|_| *written = before),
                Sync::Closed | Sync::Never => Ok(()),
            });
            if let Err(error) = result {
                // Opening it again cuts off a torn line.
                self.active = None;
                return Err(self.io_error(error));
            }
            begin = fitting.last().map_or(begin, |line| line.end);
            rest = later;
        }
        Ok(())
    }

    /// Returns the file at the path, which may have been renamed or deleted since it was opened.
    fn active(&mut self) -> Result<&mut Active, FileError> {
        let active = match self.active.take() {
            Some(active) if open::is_at(&active.file, &self.path) => active,
            _ => open_active(&self.path, self.rules)?,
        };
        Ok(self.active.insert(active))
    }

    fn active_size(&mut self) -> Result<u64, FileError> {
        let metadata = self.active()?.file.metadata();
        metadata.map(|metadata| metadata.len()).map_err(|error| self.io_error(error))
    }

    fn is_expired(&self, now: SystemTime) -> bool {
        let created = self.active.as_ref().map(|active| active.created);
        let age = created.and_then(|created| now.duration_since(created).ok()).unwrap_or_default();
        !self.rules.age_limit.is_zero() && age >= self.rules.age_limit
    }

    /// Closes the active file under the next number and deletes the oldest closed files.
    fn rotate(&mut self) -> io::Result<()> {
        let closed = self.closed_numbers()?;
        let next = closed.last().map_or(Some(1), |newest| newest.checked_add(1));
        let next = next.ok_or_else(|| io::Error::other("closed files have used up all numbers"))?;
        if let (Some(active), Sync::Closed | Sync::Always) = (&self.active, self.rules.sync) {
            open::sync(&active.file)?;
        }
        fs::rename(&self.path, closed_path(&self.path, next))?;
        self.active = None;
        let surplus = (closed.len() as u64 + 1).saturating_sub(self.rules.keep);
        for number in closed.into_iter().take(surplus as usize) {
            let oldest = closed_path(&self.path, number);
            if let Err(error) = fs::remove_file(&oldest) {
                tracing::warn!(path = ?oldest, %error, "cannot delete closed file, keeping it");
            }
        }
        Ok(())
    }

    /// Returns the numbers of all closed files, oldest first.
    fn closed_numbers(&self) -> io::Result<Vec<u64>> {
        let (before, after) = closed_affixes(&self.path);
        let mut numbers = Vec::new();
        for entry in fs::read_dir(directory(&self.path))? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(&before)?.strip_suffix(&after)?.parse().ok());
            // `+1` and `01` parse as numbers, but this reporter does not write them.
            numbers.extend(number.filter(|number| closed_path(&self.path, *number).file_name() == Some(&name)));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn io_error(&self, error: io::Error) -> FileError {
        FileError::Io { path: self.path.clone(), error }
    }
}

/// Returns the parts of a closed file's name that surround its number.
fn closed_affixes(path: &Path) -> (String, String) {
    let text = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let extension = path.extension().map_or_else(String::new, |_| format!(".{}", text(path.extension())));
    (format!("{}.closed-", text(path.file_stem())), extension)
}

/// Returns the path of a closed file, such as `spans.closed-000001.jsonl` for `spans.jsonl`.
///
/// A number is not reused while files with higher numbers exist. A pattern that matches the closed
/// files does not match the active one.
fn closed_path(path: &Path, number: u64) -> PathBuf {
    let (before, after) = closed_affixes(path);
    path.with_file_name(format!("{before}{number:06}{after}"))
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if directory != Path::new("") => directory,
        _ => Path::new("."),
    }
}

fn open_active(path: &Path, rules: Rules) -> Result<Active, FileError> {
    let unsuitable = |expected| FileError::Unsuitable { path: path.to_owned(), expected };
    let io_error = |error| FileError::Io { path: path.to_owned(), error };
    if path.is_symlink() {
        return Err(unsuitable("a regular file (symbolic links are not followed)"));
    }
    let mut file = open::open(path).map_err(io_error)?;
    if !file.metadata().map_err(io_error)?.is_file() {
        return Err(unsuitable("a regular file"));
    }
    if !open::lock(&file) {
        return Err(unsuitable("free, because another reporter or process writes to it"));
    }
    if !begins_with(&mut file, rules.line_start.as_bytes()).map_err(io_error)? {
        return Err(unsuitable("empty or a file of the same format and signal"));
    }
    let torn = cut_torn_line(&mut file).map_err(io_error)?;
    if torn > 0 {
        tracing::warn!(?path, bytes = torn, "cut off torn last line");
    }
    if rules.sync == Sync::Always {
        open::sync_directory(directory(path)).map_err(io_error)?;
    }
    // Not every file system knows when a file was created.
    let created = file.metadata().and_then(|metadata| metadata.created()).unwrap_or_else(|_| SystemTime::now());
    Ok(Active { file, created })
}

/// Returns `true` if the file begins with `start` or is a prefix of it.
fn begins_with(file: &mut File, start: &[u8]) -> io::Result<bool> {
    let mut found = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(start.len() as u64).read_to_end(&mut found)?;
    Ok(start.starts_with(&found))
}

/// Cuts off the text after the last line feed and returns its length. The next write is an append.
fn cut_torn_line(file: &mut File) -> io::Result<u64> {
    let size = file.metadata()?.len();
    let whole = end_of_last_line(file, size)?;
    if whole < size {
        file.set_len(whole)?;
    }
    file.seek(SeekFrom::End(0))?;
    Ok(size - whole)
}

fn end_of_last_line(file: &mut File, size: u64) -> io::Result<u64> {
    let mut buffer = vec![0; 64 * 1024];
    let mut end = size;
    while end > 0 {
        let begin = end.saturating_sub(buffer.len() as u64);
        let block = &mut buffer[..(end - begin) as usize];
        file.seek(SeekFrom::Start(begin))?;
        file.read_exact(block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

/// The operations of a file that [`write_whole_lines`] needs.
trait Storage {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Removes the last bytes.
    fn cut(&mut self, bytes: usize) -> io::Result<()>;
}

impl Storage for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(self, bytes)
    }

    fn cut(&mut self, bytes: usize) -> io::Result<()> {
        self.set_len(self.metadata()?.len().saturating_sub(bytes as u64))
    }
}

/// Writes `lines`, which begin at `begin` in `text`. If that fails, whole lines remain and are
/// counted.
fn write_whole_lines(
    storage: &mut impl Storage,
    text: &[u8],
    begin: usize,
    lines: &[Line],
    written: &mut usize,
) -> io::Result<()> {
    let end = lines.last().map_or(begin, |line| line.end);
    let mut done = begin;
    let mut result = Ok(());
    while done < end && result.is_ok() {
        match storage.write(&text[done..end]) {
            Ok(0) => result = Err(ErrorKind::WriteZero.into()),
            Ok(count) => done += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => result = Err(error),
        }
    }
    let whole = &lines[..lines.partition_point(|line| line.end <= done)];
    *written += whole.iter().map(|line| line.records).sum::<usize>();
    let torn = done - whole.last().map_or(begin, |line| line.end);
    if torn > 0 {
        storage.cut(torn)?;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that is full after that many bytes and whose calls are interrupted and partial.
    struct SmallDisk {
        content: Vec<u8>,
        capacity: usize,
        interrupt: bool,
    }

    impl Storage for SmallDisk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.interrupt = !self.interrupt;
            if self.interrupt {
                return Err(ErrorKind::Interrupted.into());
            }
            let count = bytes.len().min(7).min(self.capacity - self.content.len());
            self.content.extend(&bytes[..count]);
            if count == 0 { Err(ErrorKind::StorageFull.into()) } else { Ok(count) }
        }

        fn cut(&mut self, bytes: usize) -> io::Result<()> {
            self.content.truncate(self.content.len() - bytes);
            Ok(())
        }
    }

    #[test]
    fn full_disk_holds_whole_lines_and_counts_them() {
        let mut lines = Lines::default();
        for (text, records) in [("before", 100), ("a", 1), ("", 10), ("long enough for three writes", 4), ("z", 2)] {
            lines.text().push_str(text);
            lines.end_line(records);
        }
        let text = lines.as_bytes();
        let begin = lines.ends()[0].end;
        for capacity in 0..=text.len() - begin {
            let mut disk = SmallDisk { content: Vec::new(), capacity, interrupt: false };
            let mut written = 0;
            let result = write_whole_lines(&mut disk, text, begin, &lines.ends()[1..], &mut written);
            assert_eq!(result.is_ok(), capacity == text.len() - begin);
            let whole: Vec<_> = lines.ends()[1..].iter().filter(|line| line.end - begin <= capacity).collect();
            assert_eq!(written, whole.iter().map(|line| line.records).sum::<usize>(), "{capacity}");
            let end = whole.last().map_or(begin, |line| line.end);
            assert_eq!(disk.content, &text[begin..end], "{capacity}");
        }
    }

    #[test]
    fn old_file_is_closed_before_the_next_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.jsonl");
        let hour = Duration::from_secs(3600);
        let mut lines = Lines::default();
        lines.text().push('a');
        lines.end_line(1);
        for (age_limit, files) in [(Duration::ZERO, 1), (hour, 2)] {
            let rules = Rules { line_start: "a", size_limit: 0, age_limit, keep: 9, sync: Sync::Closed };
            let mut file = LineFile::open(path.clone(), rules).unwrap();
            let mut written = 0;
            for minutes in [0, 1, 30, 61] {
                let now = SystemTime::now() + Duration::from_secs(60 * minutes);
                file.append(&lines, now, &mut written).unwrap();
            }
            assert_eq!((written, fs::read_dir(&folder).unwrap().count()), (4, files), "{age_limit:?}");
        }
        assert_eq!(fs::read_to_string(path).unwrap(), "a\n");
    }

    #[test]
    fn sync_option_decides_what_is_on_disk() {
        let nothing = &[][..];
        for (sync, opened, appended, rotated) in [
            (Sync::Never, nothing, nothing, nothing),
            (Sync::Closed, nothing, nothing, &["file"][..]),
            (Sync::Always, &["directory"], &["file"], &["file", "directory", "file"]),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let age_limit = Duration::ZERO;
            let rules = Rules { line_start: "a", size_limit: 2, age_limit, keep: 9, sync };
            let mut file = LineFile::open(folder.path().join("s.jsonl"), rules).unwrap();
            let (mut lines, mut written) = (Lines::default(), 0);
            lines.text().push('a');
            lines.end_line(1);
            assert_eq!(open::tests::synced(), opened, "{sync:?}");
            file.append(&lines, SystemTime::now(), &mut written).unwrap();
            assert_eq!(open::tests::synced(), appended, "{sync:?}");
            file.append(&lines, SystemTime::now(), &mut written).unwrap();
            assert_eq!((open::tests::synced(), written), (rotated.to_vec(), 2), "{sync:?}");
        }
    }

    /// Scenario: the disk fails while a line is written to it. Guarantees: the line does not count,
    /// and a file that is not on disk is not closed.
    #[test]
    fn failed_sync_counts_and_closes_nothing() {
        for (sync, counted) in [(Sync::Never, 3), (Sync::Closed, 3), (Sync::Always, 1)] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("s.jsonl");
            let age_limit = Duration::ZERO;
            let rules = Rules { line_start: "a", size_limit: 4, age_limit, keep: 9, sync };
            let mut file = LineFile::open(path.clone(), rules).unwrap();
            let (mut lines, mut written) = (Lines::default(), 0);
            lines.text().push('a');
            lines.end_line(1);
            file.append(&lines, SystemTime::now(), &mut written).unwrap();
            open::tests::fail(true);
            let results = [(); 2].map(|()| file.append(&lines, SystemTime::now(), &mut written).is_ok());
            open::tests::fail(false);
            assert_eq!((results, written), ([sync != Sync::Always; 2], counted), "{sync:?}");
            let files = fs::read_dir(&folder).unwrap().count();
            assert_eq!(files, if sync == Sync::Never { 2 } else { 1 }, "{sync:?}");
            open::tests::synced();
        }
    }

    #[test]
    fn closed_files_are_named_apart_from_the_active_one() {
        for (path, expected) in [
            ("spans.jsonl", "spans.closed-000001.jsonl"),
            ("/var/log/spans", "/var/log/spans.closed-000001"),
            ("a/b.c.jsonl", "a/b.c.closed-000001.jsonl"),
            (".hidden", ".hidden.closed-000001"),
        ] {
            assert_eq!(closed_path(Path::new(path), 1), Path::new(expected));
        }
        assert_eq!(closed_path(Path::new("s.jsonl"), 12_345_678), Path::new("s.closed-12345678.jsonl"));
    }
}
