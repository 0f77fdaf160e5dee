//! The errors of a history.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

/// SQLite's code for a statement that does not fit the tables.
const SQLITE_ERROR: i32 = 1;

/// An error of a history on disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// A file or directory cannot be used.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or the directory.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// SQLite cannot use a file.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// The error of SQLite.
        source: Box<dyn Error + Send + Sync>,
        /// `true` if the file is damaged beyond use.
        is_damaged: bool,
    },
    /// A newer version of this program has written the file, which stays untouched.
    #[error("{}: expected format {known} or older, found {found}, which a newer version has written", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of its format.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// The directory has no history, or does not exist.
    #[error("{}: expected a history, found none", directory.display())]
    Missing {
        /// The directory.
        directory: PathBuf,
    },
    /// The newest rows are in SQLite's log, which cannot be read in a read-only directory.
    #[error("{}: expected a writable directory, because {} has rows too; copy both files to one", path.display(), log.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// The file of the log.
        log: PathBuf,
    },
    /// The file is a database of another program and stays untouched.
    #[error("{}: expected a history, found a database of another program", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
}

impl HistoryError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        let is_damaged = match &source {
            // A table that is missing or has another form is damage, too.
            rusqlite::Error::SqlInputError { .. } | rusqlite::Error::InvalidColumnType(..) => true,
            rusqlite::Error::SqliteFailure(error, _) => {
                error.extended_code == SQLITE_ERROR || matches!(error.code, DatabaseCorrupt | NotADatabase)
            }
            _ => false,
        };
        Self::Sqlite { path: path.to_owned(), source: source.into(), is_damaged }
    }
}
