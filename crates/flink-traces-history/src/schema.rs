//! The schema of both kinds of files, and its versions.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use crate::error::HistoryError;
use crate::files;

/// The number that SQLite shows as the application of our files: `FLTH`.
const APPLICATION_ID: u32 = 0x464c_5448;
/// The time for which a connection waits for another writer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause before another attempt to open a file that is busy.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// The steps from each version of `history.db` to the next. The first creates it.
const INDEX_STEPS: &[&str] = &[include_str!("index.sql"), include_str!("index-2.sql")];
/// The steps of the file of one day.
const DAY_STEPS: &[&str] = &[include_str!("day.sql")];

/// The kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `history.db`.
    Index,
    /// The trees and events of one day.
    Day,
}

impl Kind {
    fn steps(self) -> &'static [&'static str] {
        match self {
            Self::Index => INDEX_STEPS,
            Self::Day => DAY_STEPS,
        }
    }
}

/// Opens a file for writing, creates it if necessary, and brings its format up to date.
pub(crate) fn open_for_writing(path: &Path, kind: Kind) -> Result<Connection, HistoryError> {
    check_version(path, kind)?;
    files::create_file(path)?;
    let begin = Instant::now();
    loop {
        match try_open(path, kind) {
            // SQLite does not wait for others when it turns to the log.
            Err(error) if is_busy(&error) && begin.elapsed() < BUSY_TIMEOUT => std::thread::sleep(BUSY_PAUSE),
            result => return result.map_err(|error| HistoryError::sqlite(path, error)),
        }
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked))
}

fn try_open(path: &Path, kind: Kind) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    prepare(&connection)?;
    let is_new = user_version(&connection)? == 0;
    if is_new {
        // Both pragmas have to precede the first table.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
    }
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "journal_size_limit", 4 << 20)?;
    migrate(&mut connection, kind.steps())?;
    Ok(connection)
}

/// Sets what every connection needs.
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // A container may have no directory for temporary files.
    connection.pragma_update(None, "temp_store", "MEMORY")
}

/// Opens a file for reading. A file that another program writes to is fine.
pub(crate) fn open_for_reading(path: &Path, kind: Kind) -> Result<Connection, HistoryError> {
    check_version(path, kind)?;
    let at = |error| HistoryError::sqlite(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(at)?;
    prepare(&connection).map_err(at)?;
    match user_version(&connection) {
        Ok(version) => return adapted(connection, version, kind).map_err(at),
        // In a directory that is read-only, there can be no file of shared memory.
        Err(error) if !is_read_only(&error) => return Err(at(error)),
        Err(_) => {}
    }
    // What follows does not see the log.
    let log = log_of(path);
    if std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Err(HistoryError::Log { path: path.to_owned(), log });
    }
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => uri.push(char::from(*byte)),
            other => uri += &format!("%{other:02x}"),
        }
    }
    uri += "?immutable=1";
    let connection = Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI).map_err(at)?;
    prepare(&connection).map_err(at)?;
    let version = user_version(&connection).map_err(at)?;
    adapted(connection, version, kind).map_err(at)
}

/// Returns the path of SQLite's log of a file.
fn log_of(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// Shows the tables of an older version as those of this one, without a change of the file.
fn adapted(connection: Connection, version: u32, kind: Kind) -> rusqlite::Result<Connection> {
    if kind == Kind::Index && version == 1 {
        connection.execute_batch(
            "CREATE TEMP VIEW checkpoint AS SELECT *, NULL AS other_trace FROM main.checkpoint;
             CREATE TEMP VIEW recovery AS SELECT *, NULL AS other_trace FROM main.recovery",
        )?;
    }
    Ok(connection)
}

fn is_read_only(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(rusqlite::ErrorCode::CannotOpen | rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::PermissionDenied)
    )
}

fn user_version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Applies the steps that the file lacks, all or none of them.
fn migrate(connection: &mut Connection, steps: &[&str]) -> rusqlite::Result<()> {
    let known = steps.len() as u32;
    if user_version(connection)? == known {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    let found = user_version(&transaction)?;
    for step in steps.iter().skip(found as usize) {
        transaction.execute_batch(step)?;
    }
    if found < known {
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", known)?;
    }
    transaction.commit()?;
    // The head of the file has the version from now on, see `check_version`.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// Fails if another program or a newer version of this program has written the file.
///
/// Only the head of the file is read, so that nothing of it changes.
pub(crate) fn check_version(path: &Path, kind: Kind) -> Result<(), HistoryError> {
    let mut head = [0; 100];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    match read {
        Ok(()) => {}
        // An absent, empty or torn file. SQLite finds out.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::UnexpectedEof) => return Ok(()),
        Err(error) => return Err(HistoryError::io(path, error)),
    }
    if !head.starts_with(b"SQLite format 3\0") {
        // Damaged, unless it never was a file of ours. Both end in quarantine.
        return Ok(());
    }
    let number = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (found, application, known) = (number(60), number(68), kind.steps().len() as u32);
    if application != APPLICATION_ID && (found, application) != (0, 0) {
        return Err(HistoryError::Foreign { path: path.to_owned() });
    }
    if found > known {
        return Err(HistoryError::Newer { path: path.to_owned(), found, known });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_file_is_migrated_and_newer_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.db");
        let mut connection = open_for_writing(&path, Kind::Index).unwrap();
        let later = "CREATE TABLE later (x); INSERT INTO later VALUES (7)";
        let steps = [INDEX_STEPS, &[later]].concat();
        migrate(&mut connection, &steps).unwrap();
        migrate(&mut connection, &steps).unwrap();
        let later: Vec<i64> = connection
            .prepare("SELECT x FROM later")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(later, [7]);
        drop(connection);
        let before = std::fs::read(&path).unwrap();
        for error in
            [open_for_writing(&path, Kind::Index).unwrap_err(), open_for_reading(&path, Kind::Index).unwrap_err()]
        {
            assert!(matches!(error, HistoryError::Newer { found: 3, known: 2, .. }), "{error}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    /// Scenario: the file system is read-only but for the history. Guarantees: no connection needs
    /// a directory for temporary files.
    #[test]
    fn temporary_tables_are_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.db");
        let connections =
            [open_for_writing(&path, Kind::Index).unwrap(), open_for_reading(&path, Kind::Index).unwrap()];
        for connection in connections {
            let kind: i64 = connection.query_row("PRAGMA temp_store", [], |row| row.get(0)).unwrap();
            assert_eq!(kind, 2);
        }
    }

    /// Scenario: a crash left rows in the log, and a copy of the files is in a read-only
    /// directory. Guarantees: the rows are not left out without a word.
    #[cfg(unix)]
    #[test]
    fn log_in_a_read_only_directory_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.db");
        let connection = open_for_writing(&path, Kind::Index).unwrap();
        connection.execute_batch("INSERT INTO job (cluster, name) VALUES ('a', 'b')").unwrap();
        let copies = tempfile::tempdir().unwrap();
        let copy = copies.path().join("history.db");
        std::fs::copy(&path, &copy).unwrap();
        // The superuser may write to every directory, but SQLite follows no links.
        std::os::unix::fs::symlink("nowhere", copies.path().join("history.db-shm")).unwrap();
        assert!(open_for_reading(&copy, Kind::Index).is_ok());
        std::fs::copy(log_of(&path), log_of(&copy)).unwrap();
        let error = open_for_reading(&copy, Kind::Index).unwrap_err();
        assert!(matches!(error, HistoryError::Log { .. }), "{error}");
    }

    #[test]
    fn failed_migration_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mut connection = open_for_writing(&folder.path().join("history.db"), Kind::Index).unwrap();
        assert!(migrate(&mut connection, &[INDEX_STEPS, &["CREATE TABLE later (x)", "nonsense"]].concat()).is_err());
        assert_eq!(user_version(&connection).unwrap(), 2);
        assert!(connection.prepare("SELECT x FROM later").is_err());
    }

    #[test]
    fn database_of_others_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.db");
        let other = Connection::open(&path).unwrap();
        other.execute_batch("PRAGMA application_id = 7; CREATE TABLE t (x)").unwrap();
        drop(other);
        let error = open_for_writing(&path, Kind::Index).unwrap_err();
        assert!(matches!(error, HistoryError::Foreign { .. }), "{error}");
    }
}
