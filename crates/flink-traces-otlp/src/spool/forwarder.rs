//! The thread that sends what is in a spool.

use std::cell::RefCell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io, mem};

use flink_traces_api::{BufferStats, ConfigError, Deadline, ReporterMeter};
use tokio::runtime::Runtime;

use super::{Destination, Notice, Slots, Spool, Ticket};
use crate::config::SpoolConfig;
use crate::delivery::{ChunkQueue, Counts, Delivery};
use crate::encode::Chunk;
use crate::error::OpenError;

/// The time to send the rest in, if the reporter is closed without a deadline.
const DRAIN: Duration = Duration::from_secs(10);
/// The pause after no pending chunk could be sent, because the disk could not be read.
const STUCK: Duration = Duration::from_millis(20);
/// The interval at which free slots are looked for.
const ADOPT_INTERVAL: Duration = Duration::from_secs(30);

/// Stores chunks on the caller's thread, and sends them on its own.
pub(crate) struct Forwarder {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    deadline: Deadline,
    name: String,
}

struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
    meter: ReporterMeter,
    name: String,
}

struct State {
    /// The reporter's own spool, and one that was adopted.
    spools: Vec<Spool>,
    slots: Slots,
    /// The slots that could not be opened or removed. They count as held until the next look.
    stuck: Vec<u32>,
    /// The time at which free slots are looked for.
    next_adoption: Instant,
    /// The records of spools that were adopted and removed.
    removed: BufferStats,
    is_closed: bool,
}

impl Forwarder {
    /// Takes a slot and starts the thread. `delivery` creates the connection and its runtime.
    pub(crate) fn start(
        name: &str,
        config: &SpoolConfig,
        destination: Destination,
        meter: &ReporterMeter,
        delivery: impl FnOnce() -> Result<(Runtime, Delivery), ConfigError>,
    ) -> Result<Self, OpenError> {
        let mut slots = Slots::open(&config.directory, destination, name)?;
        let spool = Spool::open(slots.take()?, config.max_size)?;
        let queued = spool.queued();
        if queued > 0 {
            tracing::info!(target: "flink_traces_otlp", reporter = name, queued, "sending records of an earlier process");
        }
        let state = State::new(spool, slots);
        let (arrived, meter, name) = (Condvar::new(), meter.clone(), name.to_owned());
        let shared = Arc::new(Shared { state: Mutex::new(state), arrived, meter, name: name.clone() });
        shared.with(|_| {});
        let (runtime, delivery) = delivery()?;
        let deadline = Deadline::unlimited();
        let sending = {
            let (shared, deadline) = (shared.clone(), deadline.clone());
            move || {
                shared.send(&runtime, &delivery, &deadline);
                // Dropping a runtime waits for a name lookup that hangs.
                runtime.shutdown_background();
            }
        };
        let spawned = thread::Builder::new().name(format!("spool-{}", name.replace('\0', ""))).spawn(sending);
        let thread = spawned.map_err(|error| ConfigError::Setup(error.into()))?;
        Ok(Self { shared, thread: Some(thread), deadline, name })
    }

    /// Stores chunks, which are on disk when this returns.
    pub(crate) fn store(&self, chunks: &[Chunk]) -> io::Result<()> {
        let begun = self.shared.with(|state| state.spools[0].begin(chunks));
        let stored = begun.and_then(|append| {
            // The other thread continues meanwhile.
            let synced = append.sync();
            self.shared.with(|state| state.spools[0].end(append, synced))
        });
        self.shared.arrived.notify_one();
        stored
    }

    /// Sends what can be sent until the deadline. The rest stays.
    pub(crate) fn close(mut self, deadline: &Deadline) {
        self.end(deadline.remaining().unwrap_or(DRAIN));
        let stats = self.shared.meter.read().buffer.unwrap_or_default();
        let (reporter, BufferStats { delivered, rejected, dropped, queued, .. }) = (&self.name, stats);
        if queued == 0 {
            tracing::info!(target: "flink_traces_otlp", reporter, delivered, rejected, dropped, "spool empty");
        } else {
            tracing::warn!(target: "flink_traces_otlp", reporter, queued, delivered, rejected, dropped, "records stay in the spool");
        }
    }

    fn end(&mut self, left: Duration) {
        self.deadline.set(Instant::now() + left);
        self.shared.lock().is_closed = true;
        self.shared.arrived.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        self.shared.with(|_| {});
        // The first slot stays, so that its counts can be read.
        let spools = mem::take(&mut self.shared.lock().spools);
        spools.into_iter().filter(|spool| spool.slot.index > 0).for_each(Spool::remove_if_empty);
    }
}

/// Leaves the rest in the spool.
impl Drop for Forwarder {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.end(Duration::ZERO);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Uses the spools. Then updates the counts, and logs what happened.
    fn with<R>(&self, work: impl FnOnce(&mut State) -> R) -> R {
        let mut state = self.lock();
        let result = work(&mut state);
        let mut stats = state.removed;
        state.spools.iter().for_each(|spool| spool.add_to(&mut stats));
        self.meter.update(|transfer| transfer.buffer = Some(stats));
        let notices: Vec<_> = state.spools.iter_mut().flat_map(|spool| mem::take(&mut spool.notices)).collect();
        drop(state);
        notices.into_iter().for_each(|notice| self.log(notice));
        result
    }

    fn send(&self, runtime: &Runtime, delivery: &Delivery, deadline: &Deadline) {
        loop {
            let is_idle = |state: &mut State| !state.has_pending() && !state.is_closed;
            let state = self.lock();
            let wait = state.next_adoption.saturating_duration_since(Instant::now());
            let waited = self.arrived.wait_timeout_while(state, wait, is_idle);
            let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if deadline.is_over() || (state.is_closed && !state.has_pending()) {
                return;
            }
            drop(state);
            let queue = RefCell::new(SharedQueue(self));
            runtime.block_on(delivery.deliver(&queue, deadline));
            if self.lock().has_pending() {
                deadline.sleep(STUCK);
            }
        }
    }

    fn log(&self, notice: Notice) {
        let reporter = &self.name;
        match notice {
            Notice::Quarantined(file, bytes) => {
                tracing::error!(target: "flink_traces_otlp", reporter, file, bytes, "spool damaged, unreadable part goes to quarantine");
            }
            Notice::NoProgress => {
                tracing::error!(target: "flink_traces_otlp", reporter, "spool cursor unreadable, sending everything again");
            }
            Notice::Drops => {
                tracing::warn!(target: "flink_traces_otlp", reporter, "spool full, dropping oldest records (child spans first)");
            }
            Notice::HasRoom(dropped) => {
                tracing::info!(target: "flink_traces_otlp", reporter, dropped, "spool has room again");
            }
            Notice::NoCursor(error) => {
                tracing::warn!(target: "flink_traces_otlp", reporter, error, "cannot persist delivery progress, records may be sent again after a crash");
            }
        }
    }
}

impl State {
    fn new(spool: Spool, slots: Slots) -> Self {
        let (next_adoption, removed) = (Instant::now(), BufferStats::default());
        Self { spools: vec![spool], slots, stuck: Vec::new(), next_adoption, removed, is_closed: false }
    }

    fn has_pending(&self) -> bool {
        self.spools.iter().any(Spool::has_pending)
    }

    /// Adopts a free slot, if it is time to look for one.
    fn adopt_if_due(&mut self) {
        while self.spools.len() == 1 && !self.is_closed && Instant::now() >= self.next_adoption {
            let Ok(Some(slot)) = self.slots.adopt() else {
                self.next_adoption = Instant::now() + ADOPT_INTERVAL;
                for index in self.stuck.drain(..) {
                    self.slots.held.remove(&index);
                }
                return;
            };
            let (reporter, index) = (&self.slots.reporter, slot.index);
            // An adopted spool takes no more records, so it has no limit.
            match Spool::open(slot, u64::MAX) {
                Ok(spool) => {
                    let queued = spool.queued();
                    tracing::info!(target: "flink_traces_otlp", reporter, slot = index, queued, "adopting a spool slot");
                    self.spools.push(spool);
                    self.remove_empty();
                }
                Err(_) => self.stuck.push(index),
            }
        }
    }

    /// Removes an adopted slot in which nothing is left.
    fn remove_empty(&mut self) {
        if self.spools.len() > 1
            && let Some(spool) = self.spools.pop_if(|spool| spool.queued() == 0)
        {
            spool.add_to(&mut self.removed);
            let (index, directory) = (spool.slot.index, spool.slot.directory.clone());
            spool.remove_if_empty();
            // Foreign files may keep it. If it were adopted again at once, that would never end.
            if directory.exists() {
                self.stuck.push(index);
            } else {
                self.slots.held.remove(&index);
            }
        }
    }
}

/// The spools as the thread that sends sees them, while another thread stores.
struct SharedQueue<'a>(&'a Shared);

impl ChunkQueue for SharedQueue<'_> {
    type Ticket = (u32, Ticket);

    fn next(&mut self) -> Option<((u32, Ticket), Chunk)> {
        self.0.with(|state| {
            state.adopt_if_due();
            state.spools.iter_mut().find_map(|spool| {
                let (ticket, chunk) = spool.next()?;
                Some(((spool.slot.index, ticket), chunk))
            })
        })
    }

    fn finalize(&mut self, (slot, ticket): (u32, Ticket), counts: Counts) {
        self.0.with(|state| {
            if let Some(spool) = state.spools.iter_mut().find(|spool| spool.slot.index == slot) {
                spool.finalize(ticket, counts);
            }
            state.remove_empty();
        });
    }

    fn abandon(&mut self, (slot, ticket): (u32, Ticket), counts: Counts) {
        self.0.with(|state| {
            if let Some(spool) = state.spools.iter_mut().find(|spool| spool.slot.index == slot) {
                spool.abandon(ticket, counts);
            }
        });
    }
}

impl fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarder").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;

    use super::super::tests::power::scratch;
    use super::*;
    use crate::encode::Role;

    /// Scenario: 100 restarts of seven processes each, the new ones before the old ones end.
    /// Guarantees: each record is sent once, and one slot is left.
    #[test]
    fn restarts_leave_no_slots_behind() {
        let directory = scratch();
        let destination = Destination { endpoint: "a".to_owned(), protocol: "grpc" };
        let start = || {
            let mut slots = Slots::open(directory.path(), destination.clone(), "test").unwrap();
            let mut spool = Spool::open(slots.take().unwrap(), 1 << 20).unwrap();
            spool.append(&[Chunk { message: "x".into(), records: 1, role: Role::Root }]).unwrap();
            State::new(spool, slots)
        };
        let (mut running, mut sent) = (Vec::new(), 0);
        for _ in 0..100 {
            let started: Vec<_> = (0..7).map(|_| start()).collect();
            drop(mem::replace(&mut running, started));
            let state = running.last_mut().unwrap();
            state.next_adoption = Instant::now();
            loop {
                state.adopt_if_due();
                let Some(spool) = state.spools.get_mut(1) else { break };
                while let Some((ticket, _)) = spool.next() {
                    spool.finalize(ticket, Counts { delivered: 1, ..Counts::default() });
                    sent += 1;
                }
                state.remove_empty();
            }
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 7);
        }
        assert_eq!(sent, 99 * 7);
    }

    /// Scenario: of two free slots one cannot be removed, because it holds a foreign file, and one
    /// cannot be opened. Guarantees: the look for free slots ends, and a later one tries again.
    #[test]
    fn stuck_slots_are_adopted_once_a_look() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let destination = Destination { endpoint: "a".to_owned(), protocol: "grpc" };
        let mut slots = Slots::open(path, destination.clone(), "test").unwrap();
        let mut other = Slots::open(path, destination, "test").unwrap();
        let spool = Spool::open(slots.take().unwrap(), 1 << 20).unwrap();
        let left = [1, 2].map(|_| other.take().unwrap());
        drop(left);
        fs::write(path.join("1/notes.txt"), "mine").unwrap();
        fs::create_dir(path.join("2/cursor")).unwrap();
        let mut state = State::new(spool, slots);
        for _ in 0..2 {
            state.next_adoption = Instant::now();
            state.adopt_if_due();
            assert!(state.next_adoption > Instant::now());
            assert_eq!((state.spools.len(), state.slots.held.len()), (1, 1));
        }
        fs::remove_file(path.join("1/notes.txt")).unwrap();
        fs::remove_dir(path.join("2/cursor")).unwrap();
        state.next_adoption = Instant::now();
        state.adopt_if_due();
        assert!(!path.join("1").exists() && !path.join("2").exists());
    }
}
