//! The slots of a spool: directories that one process at a time uses.
//!
//! A process takes the first slot that is free, so that several of them can share one
//! configuration. What a process leaves behind is sent by another one, which adopts its slot and
//! removes it once it is empty. A slot names its endpoint, because its records must not reach
//! another one.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::cursor::{self, Checked};
use super::disk;
use crate::files::{is_same_file, lock, open_to_append};

/// The endpoint and the protocol that chunks are for. They hold no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) endpoint: String,
    pub(crate) protocol: &'static str,
}

/// A slot that this process holds.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(super) directory: PathBuf,
    pub(super) index: u32,
    /// Keeps other processes out while it is open.
    _lock: File,
}

impl Slot {
    /// Removes a slot that holds no segments.
    pub(super) fn remove(&self) {
        for name in ["cursor", "cursor.new", "slot.json", "slot.new", "lock"] {
            let _ = disk::remove(&self.directory.join(name));
        }
        let _ = fs::remove_dir(&self.directory);
    }
}

/// The slots of one reporter.
#[derive(Debug)]
pub(crate) struct Slots {
    directory: PathBuf,
    destination: Destination,
    pub(super) reporter: String,
    /// The slots that this process holds.
    pub(super) held: BTreeSet<u32>,
    /// The slots that the log named.
    named: BTreeSet<u32>,
}

impl Slots {
    /// Opens the directory of a reporter, which is created if it is missing.
    pub(crate) fn open(directory: &Path, destination: Destination, reporter: &str) -> io::Result<Self> {
        disk::create_directory(directory)?;
        let [held, named] = [BTreeSet::new(), BTreeSet::new()];
        let slots = Self { directory: directory.to_owned(), destination, reporter: reporter.to_owned(), held, named };
        slots.put_old_layout_aside()?;
        Ok(slots)
    }

    /// Takes the first free slot.
    pub(super) fn take(&mut self) -> io::Result<Slot> {
        for index in 0..u32::MAX {
            if let Some(slot) = self.claim(index, true)? {
                return Ok(slot);
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Takes a slot that another process left.
    pub(super) fn adopt(&mut self) -> io::Result<Option<Slot>> {
        // Elsewhere there are no locks that would tell it.
        if !cfg!(unix) {
            return Ok(None);
        }
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            let index = name.to_str().and_then(|name| name.parse().ok());
            if let Some(index) = index.filter(|index| !self.held.contains(index))
                // One that cannot be claimed does not keep the others from it.
                && let Ok(Some(slot)) = self.claim(index, false)
            {
                return Ok(Some(slot));
            }
        }
        Ok(None)
    }

    fn claim(&mut self, index: u32, is_start: bool) -> io::Result<Option<Slot>> {
        let place = self.directory.join(index.to_string());
        // A slot gets its name when it is locked and complete, so that no other process adopts it.
        // Elsewhere there is no adoption, and no renaming of directories with open files.
        let is_new = cfg!(unix) && is_start && !place.exists();
        let directory = if is_new { place.with_extension("new") } else { place.clone() };
        if is_start {
            disk::create_directory(&directory)?;
        }
        let path = directory.join("lock");
        let mut file = match open_to_append(&path) {
            // Another process has just removed the slot.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let reporter = &self.reporter;
        if !lock(&file) {
            if is_start {
                let mut holder = String::new();
                let _ = file.take(100).read_to_string(&mut holder);
                let holder = holder.trim();
                tracing::info!(target: "flink_traces_otlp", reporter, slot = index, holder, "spool slot in use, taking the next");
            }
            return Ok(None);
        }
        if !is_same_file(&file, &path) {
            return Ok(None);
        }
        let manifest = directory.join("slot.json");
        let Destination { endpoint, protocol } = &self.destination;
        let is_ours = |value: &Value| value["endpoint"] == **endpoint && value["protocol"] == **protocol;
        match cursor::read(&manifest)? {
            Checked::Valid(value) if is_ours(&value) => {}
            Checked::Newer => {
                if self.named.insert(index) {
                    tracing::warn!(target: "flink_traces_otlp", reporter, slot = index, "spool slot of a newer version, left untouched");
                }
                return Ok(None);
            }
            Checked::Valid(value) if has_segments(&directory)? => {
                if self.named.insert(index) {
                    let endpoint = value["endpoint"].as_str().unwrap_or_default();
                    tracing::warn!(target: "flink_traces_otlp", reporter, slot = index, endpoint, "spool slot of another endpoint, left untouched");
                }
                return Ok(None);
            }
            Checked::Valid(_) | Checked::Damaged | Checked::Missing => {
                cursor::write(&manifest, json!({ "endpoint": endpoint, "protocol": protocol }))?;
            }
        }
        file.set_len(0)?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
        let mut slot = Slot { directory, index, _lock: file };
        if is_new {
            if let Err(error) = disk::rename(&slot.directory, &place) {
                slot.remove();
                // Another process may have created it.
                return if place.exists() { Ok(None) } else { Err(error) };
            }
            disk::sync_directory(&self.directory)?;
            slot.directory = place;
        }
        self.held.insert(index);
        Ok(Some(slot))
    }

    /// Moves the files of an unreleased layout to a directory of their own.
    fn put_old_layout_aside(&self) -> io::Result<()> {
        if !self.directory.join("cursor.json").exists() {
            return Ok(());
        }
        let old = self.directory.join("old");
        disk::create_directory(&old)?;
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                disk::rename(&entry.path(), &old.join(entry.file_name()))?;
            }
        }
        let reporter = &self.reporter;
        tracing::warn!(target: "flink_traces_otlp", reporter, directory = %old.display(), "spool of an old layout put aside");
        Ok(())
    }
}

fn has_segments(directory: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(directory)? {
        if entry?.path().extension().is_some_and(|extension| extension == "seg") {
            return Ok(true);
        }
    }
    Ok(false)
}
