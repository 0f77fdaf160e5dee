//! The operations on the active file that depend on the platform.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

#[cfg(unix)]
mod platform {
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

    use rustix::fs::{FlockOperation, OFlags, flock};
    use rustix::io::Errno;

    use super::{File, OpenOptions, Path, io};

    /// Opens the file for appending. A new file is readable by its owner only.
    ///
    /// Symbolic links are not followed, since another user may have created them.
    pub(crate) fn open(path: &Path) -> io::Result<File> {
        let no_follow = OFlags::NOFOLLOW.bits().cast_signed();
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).custom_flags(no_follow).open(path)
    }

    /// Locks the file while it is open. Returns `false` if another process has locked it.
    ///
    /// On a file system without locks, every process succeeds.
    pub(crate) fn lock(file: &File) -> bool {
        flock(file, FlockOperation::NonBlockingLockExclusive) != Err(Errno::WOULDBLOCK)
    }

    /// Writes the entries of the directory to disk.
    pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }

    /// Returns `true` if the path still leads to this file.
    pub(crate) fn is_at(file: &File, path: &Path) -> bool {
        let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        match (file.metadata().map(identity), path.symlink_metadata().map(identity)) {
            (Ok(open), Ok(found)) => open == found,
            _ => false,
        }
    }
}

#[cfg(not(unix))]
mod platform {
    use super::{File, OpenOptions, Path, io};

    /// Opens the file for writing.
    pub(crate) fn open(path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
    }

    /// Returns `true`, since an open file cannot be locked here.
    pub(crate) fn lock(_: &File) -> bool {
        true
    }

    /// Does nothing, since directories need no sync here.
    pub(crate) fn sync_directory(_: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Returns `true` if the path leads to a file. The platform cannot say whether it is this one.
    pub(crate) fn is_at(_: &File, path: &Path) -> bool {
        path.exists()
    }
}

pub(crate) use platform::{is_at, lock, open};

/// Writes the content of the file to disk.
pub(crate) fn sync(file: &File) -> io::Result<()> {
    #[cfg(test)]
    tests::note("file")?;
    file.sync_data()
}

/// Writes the entries of the directory to disk.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    #[cfg(test)]
    tests::note("directory")?;
    platform::sync_directory(directory)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::RefCell;

    use super::io;

    thread_local! {
        static SYNCED: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
        static FAILS: RefCell<bool> = const { RefCell::new(false) };
    }

    pub(super) fn note(kind: &'static str) -> io::Result<()> {
        SYNCED.with_borrow_mut(|synced| synced.push(kind));
        if FAILS.with_borrow(|fails| *fails) { Err(io::Error::other("injected")) } else { Ok(()) }
    }

    /// Returns what this thread wrote to disk since the last call.
    pub(crate) fn synced() -> Vec<&'static str> {
        SYNCED.take()
    }

    /// Lets the next calls of this thread fail, or not.
    pub(crate) fn fail(fails: bool) {
        FAILS.set(fails);
    }
}
