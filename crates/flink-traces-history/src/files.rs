//! The files of a history: names, sizes, quarantine.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::{Timestamp, tz::TimeZone};

use crate::error::HistoryError;

/// The name of the file of rows and roll-ups.
pub(crate) const INDEX: &str = "history.db";
/// The beginning of the name of the file of a day.
const DAY_PREFIX: &str = "day-";
const DAY_SUFFIX: &str = ".db";
/// The directory of damaged files.
pub(crate) const QUARANTINE: &str = "quarantine";
/// The files that SQLite keeps beside a database.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];
/// A day in milliseconds.
pub(crate) const DAY_MS: i64 = 86_400_000;
/// An hour in milliseconds.
pub(crate) const HOUR_MS: i64 = 3_600_000;
/// The last millisecond of the year 9998, which every calendar computation survives.
const LAST_MS: i64 = 253_370_764_799_999;

/// A UTC day, by its number since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Day(i64);

impl Day {
    /// Returns the day of a time. Times before 1970 belong to its first day.
    pub(crate) fn of(at_ms: i64) -> Self {
        Self(at_ms.clamp(0, LAST_MS) / DAY_MS)
    }

    /// Returns the first millisecond after the day.
    pub(crate) fn end_ms(self) -> i64 {
        (self.0 + 1) * DAY_MS
    }

    /// Returns the path of the day's file.
    pub(crate) fn path(self, directory: &Path) -> PathBuf {
        let date = Timestamp::from_millisecond(self.0 * DAY_MS).map(|at| at.to_zoned(TimeZone::UTC).date());
        let date = date.map(|date| date.to_string()).unwrap_or_default();
        directory.join(format!("{DAY_PREFIX}{date}{DAY_SUFFIX}"))
    }

    fn of_name(name: &str) -> Option<Self> {
        let date = name.strip_prefix(DAY_PREFIX)?.strip_suffix(DAY_SUFFIX)?;
        let date: jiff::civil::Date = date.parse().ok()?;
        Some(Self::of(date.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond()))
    }
}

/// Returns the days that have a file, oldest first.
pub(crate) fn days(directory: &Path) -> Vec<Day> {
    let names = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut days: Vec<_> = names.filter_map(|entry| Day::of_name(entry.file_name().to_str()?)).collect();
    days.sort_unstable();
    days
}

/// Creates the directory for its owner only, but not its parent.
pub(crate) fn create_directory(path: &Path) -> Result<(), HistoryError> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(HistoryError::io(path, error)),
        _ => Ok(()),
    }
}

/// Creates a file for its owner only, unless it exists. SQLite gives its companions the same mode.
pub(crate) fn create_file(path: &Path) -> Result<(), HistoryError> {
    let mut options = fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(|error| HistoryError::io(path, error))
}

/// Returns the size of all files of the history in bytes, those in quarantine included.
pub(crate) fn size(directory: &Path) -> u64 {
    let size_of = |directory: &Path| {
        let files = fs::read_dir(directory).into_iter().flatten().flatten().filter_map(|entry| entry.metadata().ok());
        files.filter(fs::Metadata::is_file).map(|file| file.len()).sum::<u64>()
    };
    size_of(directory) + size_of(&directory.join(QUARANTINE))
}

/// Removes a database and its companions.
pub(crate) fn remove(path: &Path) -> Result<(), HistoryError> {
    for path in with_companions(path) {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(HistoryError::io(&path, error)),
            _ => {}
        }
    }
    Ok(())
}

/// Removes all files in quarantine. Returns `true` if there were some.
pub(crate) fn empty_quarantine(directory: &Path) -> bool {
    let files = fs::read_dir(directory.join(QUARANTINE)).into_iter().flatten().flatten();
    files.filter(|file| fs::remove_file(file.path()).is_ok()).count() > 0
}

/// Moves a damaged database and its companions to the quarantine, under a name with `now_ms`.
pub(crate) fn quarantine(directory: &Path, path: &Path, now_ms: i64) -> Result<(), HistoryError> {
    let quarantine = directory.join(QUARANTINE);
    create_directory(&quarantine)?;
    for path in with_companions(path) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match fs::rename(&path, quarantine.join(format!("{now_ms}-{name}"))) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(HistoryError::io(&path, error)),
            _ => {}
        }
    }
    Ok(())
}

fn with_companions(path: &Path) -> impl Iterator<Item = PathBuf> {
    // The database goes last, so that no database ever lacks its log.
    let companions = COMPANIONS.map(|companion| {
        let mut name = path.as_os_str().to_owned();
        name.push(companion);
        PathBuf::from(name)
    });
    companions.into_iter().chain([path.to_owned()])
}

/// The identity of a file, by which a replaced one is recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId(u64, u64);

impl FileId {
    /// Returns the identity of the file at `path`, or `None` if there is none.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        #[cfg(unix)]
        let id = {
            use std::os::unix::fs::MetadataExt as _;
            Self(metadata.dev(), metadata.ino())
        };
        #[cfg(not(unix))]
        let id = {
            let created = metadata.created().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
            Self(created.as_secs(), created.subsec_nanos().into())
        };
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_a_day_with_a_file() {
        let folder = Path::new("h");
        for (at_ms, name) in [
            (i64::MIN, "h/day-1970-01-01.db"),
            (0, "h/day-1970-01-01.db"),
            (1_795_230_917_019, "h/day-2026-11-21.db"),
            (i64::MAX, "h/day-9998-12-31.db"),
        ] {
            let day = Day::of(at_ms);
            assert_eq!(day.path(folder), Path::new(name));
            let file = day.path(folder).file_name().unwrap().to_str().unwrap().to_owned();
            assert_eq!(Day::of_name(&file), Some(day));
        }
        assert_eq!(Day::of_name("history.db"), None);
    }
}
