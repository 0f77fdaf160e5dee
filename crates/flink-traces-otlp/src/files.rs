//! Files and directories that only their owner can access, for each platform.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

/// Creates the directory and its parents, unless they exist.
pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Opens a file for reading and appending, and creates it if it does not exist.
///
/// Refuses a symbolic link, which another user may have placed there.
pub(crate) fn open_to_append(path: &Path) -> io::Result<File> {
    private(OpenOptions::new().read(true).append(true).create(true)).open(path)
}

/// Opens a file for reading. Refuses a symbolic link.
pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
    private(OpenOptions::new().read(true)).open(path)
}

/// Returns `true` if the error is temporary, so that the file may be readable later.
#[cfg(unix)]
pub(crate) fn is_passing(error: &io::Error) -> bool {
    use rustix::io::Errno;

    let passing = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN, Errno::INTR];
    Errno::from_io_error(error).is_some_and(|error| passing.contains(&error))
}

/// Returns `true` if the error is temporary, so that the file may be readable later.
#[cfg(not(unix))]
pub(crate) fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::Interrupted)
}

/// Waits until the entries of the directory are on disk.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    // Other platforms cannot open a directory.
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

/// Locks the file for as long as it is open. Returns `false` if another process holds the lock.
///
/// On a file system without locks, it always returns `true`.
#[cfg(unix)]
pub(crate) fn lock(file: &File) -> bool {
    use rustix::fs::{FlockOperation, flock};

    flock(file, FlockOperation::NonBlockingLockExclusive) != Err(rustix::io::Errno::WOULDBLOCK)
}

/// Always returns `true`, because this platform has no such lock.
#[cfg(not(unix))]
pub(crate) fn lock(_: &File) -> bool {
    true
}

/// Locks the file for as long as it is open, as soon as no other process holds the lock.
pub(crate) fn wait_for_lock(file: &File) {
    // A file system without locks has no other way.
    #[cfg(unix)]
    let _ = rustix::fs::flock(file, rustix::fs::FlockOperation::LockExclusive);
    #[cfg(not(unix))]
    let _ = file;
}

/// Returns `true` if the path still names the open file.
#[cfg(unix)]
pub(crate) fn is_same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    let id = |metadata: io::Result<std::fs::Metadata>| metadata.map(|metadata| (metadata.dev(), metadata.ino())).ok();
    let id_of_file = id(file.metadata());
    id_of_file.is_some() && id_of_file == id(std::fs::symlink_metadata(path))
}

/// Returns `true` if the path still names the open file. Here it cannot be found out.
#[cfg(not(unix))]
pub(crate) fn is_same_file(_: &File, _: &Path) -> bool {
    true
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;

    options.mode(0o600).custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}
