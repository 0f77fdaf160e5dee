//! Checkpoints on disk: one folder per checkpoint, one file per subtask, and `_metadata`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The content of `_metadata`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) checkpoint_id: i64,
    pub(crate) trigger_timestamp: i64,
    pub(crate) parallelism: u32,
    /// The files of all subtasks and their sizes, in bytes.
    pub(crate) files: BTreeMap<String, u64>,
}

impl Metadata {
    pub(crate) fn state_size(&self) -> u64 {
        self.files.values().sum()
    }
}

/// The folder of a job.
#[derive(Debug, Clone)]
pub(crate) struct Store(PathBuf);

impl Store {
    /// Opens the folder, or creates it.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        Ok(Self(folder.to_owned()))
    }

    pub(crate) fn path(&self, checkpoint_id: i64) -> PathBuf {
        self.0.join(format!("chk-{checkpoint_id}"))
    }

    /// Returns the output file of a sink subtask.
    pub(crate) fn output(&self, subtask: u32) -> PathBuf {
        self.0.join(format!("result-{subtask}.txt"))
    }

    /// Writes the state of a subtask. Returns its size in bytes.
    pub(crate) fn write_state(&self, checkpoint_id: i64, name: &str, state: &[u8]) -> io::Result<u64> {
        let folder = self.path(checkpoint_id);
        fs::create_dir_all(&folder)?;
        write_whole(&folder, name, state)
    }

    /// Marks a checkpoint as complete. Returns the size of its metadata in bytes.
    pub(crate) fn complete(&self, metadata: &Metadata) -> Result<u64> {
        let text = serde_json::to_vec_pretty(metadata)?;
        Ok(write_whole(&self.path(metadata.checkpoint_id), "_metadata", &text)?)
    }

    /// Copies a checkpoint to a folder below `target`, and marks only the copy as complete.
    ///
    /// Returns the folder, and the size of the metadata in bytes.
    /// The original stays incomplete, but prevents reuse of its id.
    pub(crate) fn complete_savepoint(&self, target: &Path, job: &str, metadata: &Metadata) -> Result<(PathBuf, u64)> {
        let short = job.get(..6).unwrap_or(job);
        let folder = target.join(format!("savepoint-{short}-{}", metadata.checkpoint_id));
        fs::create_dir_all(target)?;
        fs::create_dir(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        for name in metadata.files.keys() {
            write_whole(&folder, name, &fs::read(self.path(metadata.checkpoint_id).join(name))?)?;
        }
        let size = write_whole(&folder, "_metadata", &serde_json::to_vec_pretty(metadata)?)?;
        Ok((folder, size))
    }

    /// Deletes a checkpoint.
    ///
    /// Deletes `_metadata` first, so that a crash leaves no folder that looks complete.
    pub(crate) fn discard(&self, checkpoint_id: i64) -> io::Result<()> {
        let folder = self.path(checkpoint_id);
        match fs::remove_file(folder.join("_metadata")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => fs::remove_dir_all(folder),
        }
    }

    /// Returns the newer of the last complete checkpoint and the savepoint, with its folder.
    pub(crate) fn latest(&self, savepoint: Option<&Path>) -> Result<Option<(PathBuf, Metadata)>> {
        let saved = savepoint.map(|folder| {
            let metadata = read_metadata(folder)?;
            let metadata = metadata.with_context(|| format!("{} contains no savepoint", folder.display()))?;
            anyhow::Ok((folder.to_owned(), metadata))
        });
        let saved = saved.transpose()?;
        for checkpoint_id in self.ids()?.into_iter().rev() {
            if saved.as_ref().is_some_and(|(_, metadata)| metadata.checkpoint_id > checkpoint_id) {
                break;
            }
            let folder = self.path(checkpoint_id);
            if let Some(metadata) = read_metadata(&folder)? {
                return Ok(Some((folder, metadata)));
            }
        }
        Ok(saved)
    }

    /// Returns the ids of all checkpoints, complete or not, in order.
    pub(crate) fn ids(&self) -> Result<Vec<i64>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let name = entry?.file_name();
            ids.extend(name.to_str().and_then(|name| name.strip_prefix("chk-")?.parse::<i64>().ok()));
        }
        ids.sort_unstable();
        Ok(ids)
    }
}

fn read_metadata(folder: &Path) -> Result<Option<Metadata>> {
    match fs::read(folder.join("_metadata")) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Writes a file atomically: after a crash, it is complete or absent.
fn write_whole(folder: &Path, name: &str, content: &[u8]) -> io::Result<u64> {
    let part = folder.join(format!("{name}.part"));
    let mut file = File::create(&part)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(part, folder.join(name))?;
    // The directory entry must be on disk, too.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(content.len() as u64)
}
