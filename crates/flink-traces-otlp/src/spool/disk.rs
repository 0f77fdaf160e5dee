//! The operations that change files of a spool. Tests record them, let them fail, and replay a
//! loss of power from the record.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

#[cfg(test)]
pub(super) use super::tests::disk::{Op, note};
use crate::files;

/// A file that bytes are appended to.
#[derive(Debug)]
pub(super) struct Appender {
    #[cfg(test)]
    path: std::path::PathBuf,
    file: File,
}

impl Appender {
    /// Opens a file, which is created if it is missing.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        #[cfg(test)]
        note(Op::Create(path.into()))?;
        let file = files::open_to_append(path)?;
        Ok(Self {
            #[cfg(test)]
            path: path.to_owned(),
            file,
        })
    }

    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        note(Op::Write(self.path.clone(), bytes.into()))?;
        (&self.file).write_all(bytes)
    }

    /// Waits until the content is on disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        #[cfg(test)]
        note(Op::Sync(self.path.clone()))?;
        self.file.sync_data()
    }
}

/// Cuts a file and waits until that is on disk.
pub(super) fn truncate(path: &Path, length: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    #[cfg(test)]
    note(Op::Truncate(path.into(), length))?;
    file.set_len(length)?;
    sync(&file, path)
}

/// Overwrites bytes of a file and waits until that is on disk.
pub(super) fn overwrite(path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    #[cfg(test)]
    note(Op::Overwrite(path.into(), offset, bytes.into()))?;
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)?;
    sync(&file, path)
}

/// Waits until the content of the file at `path` is on disk.
#[cfg_attr(not(test), allow(unused_variables, reason = "only tests record the path"))]
pub(crate) fn sync(file: &File, path: &Path) -> io::Result<()> {
    #[cfg(test)]
    note(Op::Sync(path.into()))?;
    file.sync_data()
}

/// Replaces a file by another with this content, or leaves it as it is.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    // A crash may have left one.
    remove(&new)?;
    let file = Appender::open(&new)?;
    file.write(content)?;
    file.sync()?;
    rename(&new, path)?;
    path.parent().map_or(Ok(()), sync_directory)
}

pub(super) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(test)]
    note(Op::Rename(from.into(), to.into()))?;
    fs::rename(from, to)
}

/// Gives a file another name.
pub(super) fn link(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(test)]
    note(Op::Link(from.into(), to.into()))?;
    fs::hard_link(from, to)
}

/// Removes a file, if it exists.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    #[cfg(test)]
    note(Op::Remove(path.into()))?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Creates a directory and those above it, and waits until their names are on disk.
pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        create_directory(parent)?;
    }
    #[cfg(test)]
    note(Op::CreateDirectory(path.into()))?;
    files::create_directory(path)?;
    sync_directory(parent.unwrap_or(Path::new(".")))
}

/// Waits until the names in a directory are on disk.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    #[cfg(test)]
    note(Op::SyncDirectory(path.into()))?;
    files::sync_directory(path)
}

/// Removes the files of segments.
pub(super) fn remove_all(files: &[PathBuf]) {
    // A file that stays is recognized as finalized at the next start.
    files.iter().for_each(|file| drop(remove(file)));
}

/// Returns a free path in quarantine for a file of a slot.
pub(super) fn quarantine_path(path: &Path) -> io::Result<PathBuf> {
    let slot = path.parent().unwrap_or(Path::new(""));
    let directory = slot.with_file_name("quarantine");
    create_directory(&directory)?;
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = format!("{}-{}", name(slot), name(path));
    let mut paths = (0..).map(|count: u64| directory.join(format!("{name}.{count}")));
    paths.find(|path| !path.exists()).ok_or_else(|| io::ErrorKind::AlreadyExists.into())
}

/// Moves a file of a slot to quarantine.
pub(super) fn quarantine(path: &Path) -> io::Result<()> {
    rename(path, &quarantine_path(path)?)
}
