//! Opening the active file: what the platform decides.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

#[cfg(unix)]
mod platform {
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

    use rustix::fs::{FlockOperation, OFlags, flock};
    use rustix::io::Errno;

    use super::{File, OpenOptions, Path, io};

    /// Opens for appending; a new file is for its owner only. A symbolic link is no file, whoever may have put it there.
    pub(crate) fn open(path: &Path) -> io::Result<File> {
        let no_follow = OFlags::NOFOLLOW.bits().cast_signed();
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).custom_flags(no_follow).open(path)
    }

    /// Claims the file for as long as it is open; answers whether nobody else has. File systems without locks allow all.
    pub(crate) fn lock(file: &File) -> bool {
        flock(file, FlockOperation::NonBlockingLockExclusive) != Err(Errno::WOULDBLOCK)
    }

    /// Puts on the disk which files the directory has.
    pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }

    /// Whether the path still leads to this file.
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

    /// Opens for writing.
    pub(crate) fn open(path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
    }

    /// Here an open file cannot be claimed.
    pub(crate) fn lock(_: &File) -> bool {
        true
    }

    /// Here a directory needs no such care.
    pub(crate) fn sync_directory(_: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Whether the path leads to a file; here there is no telling which.
    pub(crate) fn is_at(_: &File, path: &Path) -> bool {
        path.exists()
    }
}

pub(crate) use platform::{is_at, lock, open, sync_directory};
