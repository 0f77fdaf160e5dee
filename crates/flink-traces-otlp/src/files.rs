//! Files and directories for their owner only: what the platform decides.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

/// Makes the directory and those above it, unless they are there.
pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Opens a file for reading and appending; makes it if there is none. A symbolic link is no file, whoever may have put it there.
pub(crate) fn open_to_append(path: &Path) -> io::Result<File> {
    private(OpenOptions::new().read(true).append(true).create(true)).open(path)
}

/// Opens a file for reading; not a symbolic link.
pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
    private(OpenOptions::new().read(true)).open(path)
}

/// Whether an error says nothing of the file: later it may well be opened.
#[cfg(unix)]
pub(crate) fn is_passing(error: &io::Error) -> bool {
    use rustix::io::Errno;

    let passing = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::AGAIN, Errno::INTR];
    Errno::from_io_error(error).is_some_and(|error| passing.contains(&error))
}

/// Whether an error says nothing of the file: later it may well be opened.
#[cfg(not(unix))]
pub(crate) fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::Interrupted)
}

/// Waits until names in the directory are on disk.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    // Elsewhere a directory cannot be opened.
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}

/// Claims the file for as long as it is open; answers whether nobody else has. File systems without locks allow all.
#[cfg(unix)]
pub(crate) fn lock(file: &File) -> bool {
    use rustix::fs::{FlockOperation, flock};

    flock(file, FlockOperation::NonBlockingLockExclusive) != Err(rustix::io::Errno::WOULDBLOCK)
}

/// Here an open file cannot be claimed.
#[cfg(not(unix))]
pub(crate) fn lock(_: &File) -> bool {
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
