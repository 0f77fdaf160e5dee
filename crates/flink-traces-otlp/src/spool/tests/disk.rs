//! A record of what a spool does to its files, from which the states after a loss of power follow.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// An operation on a file. Reads are not recorded, but may fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Op {
    Create(PathBuf),
    Write(PathBuf, Vec<u8>),
    Overwrite(PathBuf, u64, Vec<u8>),
    Truncate(PathBuf, u64),
    Sync(PathBuf),
    Rename(PathBuf, PathBuf),
    Link(PathBuf, PathBuf),
    Remove(PathBuf),
    CreateDirectory(PathBuf),
    SyncDirectory(PathBuf),
    Read(PathBuf),
}

type Fault = Box<dyn FnMut(&Op) -> bool>;

thread_local! {
    static RECORD: RefCell<Option<Vec<Op>>> = const { RefCell::new(None) };
    static FAULT: RefCell<Option<Fault>> = const { RefCell::new(None) };
}

/// Records an operation of this thread, or lets it fail.
pub(in crate::spool) fn note(op: Op) -> io::Result<()> {
    if FAULT.with_borrow_mut(|fault| fault.as_mut().is_some_and(|fault| fault(&op))) {
        return Err(match op {
            // As if the process had no descriptors left.
            #[cfg(unix)]
            Op::Read(_) => rustix::io::Errno::MFILE.into(),
            _ => io::Error::other("injected"),
        });
    }
    if !matches!(op, Op::Read(_)) {
        RECORD.with_borrow_mut(|record| record.iter_mut().for_each(|record| record.push(op.clone())));
    }
    Ok(())
}

/// Runs `work` while operations fail for which `fault` returns `true`.
pub(in crate::spool) fn with_fault<R>(fault: impl FnMut(&Op) -> bool + 'static, work: impl FnOnce() -> R) -> R {
    FAULT.set(Some(Box::new(fault)));
    let result = work();
    FAULT.set(None);
    result
}

pub(crate) fn start_recording() {
    RECORD.set(Some(Vec::new()));
}

/// Returns the number of operations so far.
pub(super) fn recorded() -> usize {
    RECORD.with_borrow(|record| record.as_ref().map_or(0, Vec::len))
}

pub(crate) fn stop_recording() -> Vec<Op> {
    RECORD.take().unwrap_or_default()
}

/// The effect of an operation, with inodes instead of names of files.
#[derive(Debug, Clone)]
enum Effect {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
    Write(usize, usize, Vec<u8>),
    Truncate(usize, usize),
    CreateDirectory(PathBuf),
}

/// Recorded operations, as a file system that keeps only what it has to sees them.
pub(super) struct Replay {
    /// The effects, each with its operation and the operation that makes it durable.
    effects: Vec<(Effect, usize, usize)>,
}

/// A state after a crash.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Lost {
    /// The number of effects before the crash.
    effects: usize,
    /// The effects that are missing.
    missing: BTreeSet<usize>,
    /// The effect that is there by half.
    torn: Option<usize>,
}

/// Renames a file, or a directory with all that is in it.
fn move_names(names: &mut BTreeMap<PathBuf, usize>, from: &Path, to: &Path) {
    let moved: Vec<_> = names.keys().filter(|path| path.starts_with(from)).cloned().collect();
    for path in moved {
        let rest = path.strip_prefix(from).unwrap();
        let inode = names.remove(&path).unwrap();
        names.insert(if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) }, inode);
    }
}

/// The files after a crash.
pub(super) type Files = Vec<(PathBuf, Vec<u8>)>;

/// The files after a crash, each with its effects, and whether they are there by half.
pub(super) type Layout = Vec<(PathBuf, Vec<(usize, bool)>)>;

impl Replay {
    pub(super) fn new(ops: &[Op]) -> Self {
        let mut names: BTreeMap<PathBuf, usize> = BTreeMap::new();
        let mut lengths: Vec<usize> = Vec::new();
        let mut effects: Vec<(Effect, usize, usize)> = Vec::new();
        for (index, op) in ops.iter().enumerate() {
            let effect = match op {
                Op::Create(path) if names.contains_key(path) => None,
                Op::Create(path) => {
                    names.insert(path.clone(), lengths.len());
                    lengths.push(0);
                    Some(Effect::Link(path.clone(), lengths.len() - 1))
                }
                Op::Write(path, bytes) => {
                    let inode = names[path];
                    lengths[inode] += bytes.len();
                    Some(Effect::Write(inode, lengths[inode] - bytes.len(), bytes.clone()))
                }
                Op::Overwrite(path, offset, bytes) => {
                    let (inode, offset) = (names[path], usize::try_from(*offset).unwrap());
                    lengths[inode] = lengths[inode].max(offset + bytes.len());
                    Some(Effect::Write(inode, offset, bytes.clone()))
                }
                Op::Truncate(path, length) => {
                    let inode = names[path];
                    lengths[inode] = usize::try_from(*length).unwrap();
                    Some(Effect::Truncate(inode, lengths[inode]))
                }
                Op::Rename(from, to) => {
                    move_names(&mut names, from, to);
                    Some(Effect::Rename(from.clone(), to.clone()))
                }
                Op::Link(from, to) => {
                    let inode = names[from];
                    names.insert(to.clone(), inode);
                    Some(Effect::Link(to.clone(), inode))
                }
                Op::Read(_) => None,
                Op::Remove(path) => names.remove(path).map(|_| Effect::Unlink(path.clone())),
                Op::CreateDirectory(path) => Some(Effect::CreateDirectory(path.clone())),
                Op::Sync(path) => {
                    let inode = names[path];
                    let is_of = |effect: &Effect| matches!(effect, Effect::Write(known, ..) | Effect::Truncate(known, _) if *known == inode);
                    effects
                        .iter_mut()
                        .filter(|effect| is_of(&effect.0))
                        .for_each(|effect| effect.2 = effect.2.min(index));
                    None
                }
                Op::SyncDirectory(path) => {
                    let is_in = |effect: &Effect| match effect {
                        Effect::Link(name, _)
                        | Effect::Unlink(name)
                        | Effect::Rename(_, name)
                        | Effect::CreateDirectory(name) => name.parent() == Some(path),
                        _ => false,
                    };
                    effects
                        .iter_mut()
                        .filter(|effect| is_in(&effect.0))
                        .for_each(|effect| effect.2 = effect.2.min(index));
                    None
                }
            };
            effects.extend(effect.map(|effect| (effect, index, usize::MAX)));
        }
        Self { effects }
    }

    /// Returns the effects that may be missing if the power fails before operation `end`.
    fn loose(&self, end: usize) -> Vec<usize> {
        let effects = self.effects.iter().enumerate();
        let loose = effects.filter(|(_, (_, at, durable))| *at < end && *durable >= end);
        loose.map(|(index, _)| index).collect()
    }

    /// Returns the names of the files after a crash, and the effects of which each consists.
    ///
    /// Equal layouts are equal files, and comparing them costs less than comparing contents.
    pub(super) fn layout(&self, Lost { effects, missing, torn }: &Lost) -> Layout {
        let mut names: BTreeMap<PathBuf, usize> = BTreeMap::new();
        let mut contents: Vec<Vec<(usize, bool)>> = Vec::new();
        let mut lost_directories = Vec::new();
        for (index, (effect, ..)) in self.effects.iter().enumerate().take(*effects) {
            if let Effect::Link(_, inode) = effect {
                contents.resize(contents.len().max(inode + 1), Vec::new());
            }
            if missing.contains(&index) {
                if let Effect::CreateDirectory(path) = effect {
                    lost_directories.push(path);
                }
                continue;
            }
            match effect {
                Effect::Link(path, inode) => drop(names.insert(path.clone(), *inode)),
                Effect::Unlink(path) => drop(names.remove(path)),
                Effect::Rename(from, to) => move_names(&mut names, from, to),
                Effect::Write(inode, ..) => {
                    let content = &mut contents[*inode];
                    let is_torn = *torn == Some(index);
                    // The cursor is overwritten again and again.
                    content.retain(|(earlier, _)| is_torn || !self.is_overwritten(*earlier, index));
                    content.push((index, is_torn));
                }
                Effect::Truncate(inode, _) => contents[*inode].push((index, false)),
                Effect::CreateDirectory(_) => {}
            }
        }
        let is_there = |path: &Path| !lost_directories.iter().any(|lost| path.starts_with(lost));
        let names = names.into_iter().filter(|(path, _)| is_there(path));
        names.map(|(path, inode)| (path, contents[inode].clone())).collect()
    }

    /// Returns `true` if nothing of one write is left after another to the same file.
    fn is_overwritten(&self, earlier: usize, later: usize) -> bool {
        match [&self.effects[earlier].0, &self.effects[later].0] {
            [Effect::Write(_, offset, bytes), Effect::Write(_, later, others)] => {
                later <= offset && offset + bytes.len() <= later + others.len()
            }
            _ => false,
        }
    }

    /// Returns the files with that layout.
    pub(super) fn files(&self, layout: &Layout) -> Files {
        let content = |effects: &[(usize, bool)]| {
            let mut content = Vec::new();
            for (index, is_torn) in effects {
                match &self.effects[*index].0 {
                    Effect::Write(_, offset, bytes) => {
                        let bytes = if *is_torn { &bytes[..bytes.len() / 2] } else { bytes };
                        let end = offset + bytes.len();
                        if content.len() < end {
                            content.extend(vec![0; end - content.len()]);
                        }
                        content[*offset..end].copy_from_slice(bytes);
                    }
                    Effect::Truncate(_, length) => content.resize(*length, 0),
                    _ => {}
                }
            }
            content
        };
        layout.iter().map(|(path, effects)| (path.clone(), content(effects))).collect()
    }

    /// Returns the possible states if the power fails before operation `end`: everything is there,
    /// or of what was not synchronized each effect alone is missing, all are, or one of `subsets`,
    /// which choose by the position. The last effect may also be torn.
    pub(super) fn states(&self, end: usize, subsets: impl Iterator<Item = u64>) -> BTreeSet<Lost> {
        let effects = self.effects.partition_point(|(_, at, _)| *at < end);
        let loose = self.loose(end);
        let lost = |missing: BTreeSet<usize>| Lost { effects, missing, torn: None };
        let mut states = BTreeSet::from([lost(BTreeSet::new()), lost(loose.iter().copied().collect())]);
        states.extend(loose.iter().map(|index| lost(BTreeSet::from([*index]))));
        states.insert(Lost { torn: loose.last().copied(), ..lost(BTreeSet::new()) });
        if loose.len() > 1 {
            states.extend(subsets.map(|subset| {
                let missing = loose.iter().enumerate().filter(|(place, _)| subset >> (place % 64) & 1 == 1);
                lost(missing.map(|(_, index)| *index).collect())
            }));
        }
        states
    }
}

/// Writes files into a directory; their paths begin with `origin`.
pub(super) fn materialize(files: &Files, origin: &Path, directory: &Path) {
    let mut created = BTreeSet::new();
    for (path, content) in files {
        let path = directory.join(path.strip_prefix(origin).unwrap());
        let parent = path.parent().unwrap().to_owned();
        if !created.contains(&parent) {
            fs::create_dir_all(&parent).unwrap();
            created.insert(parent);
        }
        fs::write(path, content).unwrap();
    }
}
