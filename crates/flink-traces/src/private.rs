//! Files that only their owner may read, because they name jobs and hosts.

use std::fs::OpenOptions;

/// Returns the options to write such a file. They neither create nor truncate it yet.
pub(crate) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
