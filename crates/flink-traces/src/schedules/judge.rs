//! The judge of a schedule: an independent recorder of what the clusters show, and what arrived.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::world::{Happening, Kind, World, happening};

/// A process that watches a cluster: the process, the name of the cluster, and the cluster.
pub(crate) type Watch = (usize, &'static str, usize);

/// A record that arrived, and the process that reported it.
struct Arrival {
    at: i64,
    process: usize,
}

/// A process that reports.
struct Process {
    journal: u32,
    killed_at: Option<i64>,
    /// The clusters that a reload has removed, which may have returned.
    removed: BTreeSet<String>,
}

#[derive(Default)]
pub(crate) struct Judge {
    /// The time before a kill whose records may repeat.
    lost_ms: i64,
    processes: Vec<Process>,
    /// Since when each watch could reach its cluster. That starts over if the cluster goes away
    /// before it was certainly polled.
    since: HashMap<Watch, i64>,
    /// Since when each watch could see each happening without a break.
    seen: HashMap<(usize, &'static str, Happening), i64>,
    expected: BTreeSet<(&'static str, Happening)>,
    /// The ids of each happening.
    ids: BTreeMap<(String, Happening), BTreeSet<String>>,
    arrivals: HashMap<String, Vec<Arrival>>,
    pub(crate) problems: Vec<String>,
}

/// A cluster that is away sooner than this may have had no poll.
const FIRST_POLL_MS: i64 = 3_000;

/// Returns the time for which a record is visible before it must arrive.
///
/// A poll comes at most two seconds later, and the next request for the details at most three.
/// Facts then settle for 4.5 s. A checkpoint waits as long for the hosts of a job that restarts.
/// An initialization waits for the times of subtasks, too.
fn long_enough(kind: Kind) -> i64 {
    match kind {
        Kind::Checkpoint | Kind::CheckpointEvent | Kind::Status | Kind::Failure => 11_000,
        Kind::Initialization => 15_000,
    }
}

impl Judge {
    pub(crate) fn new(lost_ms: i64) -> Self {
        Self { lost_ms, ..Self::default() }
    }

    /// Adds a process, and returns its number.
    pub(crate) fn start(&mut self, journal: u32) -> usize {
        self.processes.push(Process { journal, killed_at: None, removed: BTreeSet::new() });
        self.processes.len() - 1
    }

    pub(crate) fn kill(&mut self, process: usize, at: i64) {
        self.processes[process].killed_at = Some(at);
    }

    pub(crate) fn remove(&mut self, process: usize, cluster: &str) {
        self.processes[process].removed.insert(cluster.to_owned());
    }

    /// Looks at all clusters that a process watches now.
    pub(crate) async fn look(&mut self, world: &World, watches: impl IntoIterator<Item = Watch>) {
        let now = world.now();
        let mut shown = BTreeMap::new();
        let (mut since, mut seen) = (HashMap::new(), HashMap::new());
        for watch in watches {
            let (process, name, site) = watch;
            let began = self.since.get(&watch).copied();
            if world.is_away(site) {
                let polled = began.filter(|began| now - began >= FIRST_POLL_MS);
                since.extend(polled.map(|began| (watch, began)));
                continue;
            }
            let began = began.unwrap_or(now);
            since.insert(watch, began);
            if let Entry::Vacant(entry) = shown.entry(site) {
                entry.insert(world.shown(site).await);
            }
            for happening in &shown[&site] {
                let key = (process, name, *happening);
                let first = self.seen.get(&key).copied().unwrap_or(now);
                seen.insert(key, first);
                if now - first >= long_enough(happening.kind) && is_complete(happening, began, &shown[&site]) {
                    self.expected.insert((name, *happening));
                }
            }
        }
        (self.since, self.seen) = (since, seen);
    }

    /// Takes a record that arrived from a process. `attribute` returns an attribute as text.
    pub(crate) fn arrive(
        &mut self,
        (process, at): (usize, i64),
        id: String,
        (name, happened_at): (&str, i64),
        attribute: impl Fn(&str) -> Option<String>,
    ) {
        let cluster = attribute("flink.cluster.name").unwrap_or_default();
        let (reporter, problems) = (&self.processes[process], &mut self.problems);
        let earlier = self.arrivals.entry(id.clone()).or_default();
        for Arrival { at: before, process: other } in earlier.iter() {
            let ended = &self.processes[*other];
            let may_repeat = if *other == process {
                reporter.removed.contains(&cluster)
            } else {
                ended.journal != reporter.journal
                    || ended.killed_at.is_some_and(|killed| *before > killed - self.lost_ms)
            };
            // That a job vanished again, in the same status, has the same id.
            if !may_repeat && name != "JobVanishedEvent" {
                problems.push(format!("{cluster}: {name} {id} of {other} at {before} and of {process} at {at}"));
            }
        }
        earlier.push(Arrival { at, process });
        if let Some(happening) = happening(name, happened_at, attribute) {
            self.ids.entry((cluster, happening)).or_default().insert(id);
        }
    }

    /// Returns the numbers of records that had to arrive, and of those that arrived twice.
    pub(crate) fn finish(&mut self, world: &World) -> [usize; 2] {
        let problems = &mut self.problems;
        let has_arrived =
            |(cluster, happening): &&(&str, Happening)| self.ids.contains_key(&((*cluster).to_owned(), *happening));
        let missing = self.expected.iter().filter(|expected| !has_arrived(expected));
        problems.extend(missing.map(|(cluster, missing)| format!("missing of {cluster}: {missing:?}")));
        for ((cluster, happening), ids) in &self.ids {
            if ids.len() > 1 {
                problems.push(format!("several ids of {cluster}: {happening:?} {ids:?}"));
            }
            if !world.truth.contains(happening) {
                problems.push(format!("invented: {cluster}: {happening:?}"));
            }
        }
        let repeated = self.arrivals.values().map(|arrivals| arrivals.len() - 1).sum();
        [self.expected.len(), repeated]
    }
}

/// Returns `false` if a process does not report a restore, because it is old and its checkpoint is
/// not shown any more. An earlier process has reported it, or none could.
fn is_complete(happening: &Happening, watched_since: i64, shown: &[Happening]) -> bool {
    let has_checkpoint = || {
        let of = |other: &&Happening| (other.kind, other.job, other.number);
        shown.iter().any(|other| of(&other) == (Kind::Checkpoint, happening.job, happening.number))
    };
    happening.kind != Kind::Initialization || happening.at >= watched_since - 5_000 || has_checkpoint()
}
