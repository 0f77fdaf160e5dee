//! The thread that sends what is in a spool.

use std::cell::RefCell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io, mem};

use flink_traces_api::{BufferStats, ConfigError, Deadline, RecordCounts, ReporterMeter};
use tokio::runtime::Runtime;

use super::disk::remove_all;
use super::read::{Access, next_chunk};
use super::{Destination, Notice, Slots, Spool, Ticket};
use crate::chunk::Chunk;
use crate::config::SpoolConfig;
use crate::delivery::{ChunkQueue, Delivery};
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
        let shared = Arc::new(Shared::new(spool, meter, name));
        shared.with(|_| {});
        let (runtime, delivery) = delivery()?;
        let deadline = Deadline::unlimited();
        let sending = {
            let (shared, deadline) = (shared.clone(), deadline.clone());
            move || {
                let adopter = Adopter { shared: &shared, slots, stuck: Vec::new(), next: Instant::now() };
                send(adopter, &runtime, &delivery, &deadline);
                // Dropping a runtime waits for a name lookup that hangs.
                runtime.shutdown_background();
            }
        };
        let spawned = thread::Builder::new().name(format!("spool-{}", name.replace('\0', ""))).spawn(sending);
        let thread = spawned.map_err(|error| ConfigError::Setup(error.into()))?;
        Ok(Self { shared, thread: Some(thread), deadline })
    }

    /// Stores chunks, which are on disk when this returns.
    pub(crate) fn store(&self, chunks: &[Chunk]) -> io::Result<()> {
        let begun = self.shared.with(|state| state.spools[0].begin(chunks));
        let stored = begun.and_then(|mut append| {
            // The other thread continues meanwhile.
            let written = append.write();
            self.shared.with(|state| state.spools[0].end(append, written))
        });
        self.shared.arrived.notify_one();
        stored
    }

    /// Sends what can be sent until the deadline. The rest stays.
    pub(crate) fn close(mut self, deadline: &Deadline) {
        self.end(deadline.remaining().unwrap_or(DRAIN));
        let BufferStats { finalized, queued, .. } = self.shared.meter.read().buffer.unwrap_or_default();
        let (reporter, RecordCounts { delivered, rejected, dropped }) = (&self.shared.name, finalized);
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
    fn new(spool: Spool, meter: &ReporterMeter, name: &str) -> Self {
        let state = Mutex::new(State { spools: vec![spool], removed: BufferStats::default(), is_closed: false });
        Self { state, arrived: Condvar::new(), meter: meter.clone(), name: name.to_owned() }
    }

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

    /// Writes the cursors that are due.
    fn persist_if_due(&self) {
        // Only the calling thread adds and removes spools.
        let spools = self.lock().spools.len();
        for index in 0..spools {
            let Some(snapshot) = self.lock().spools[index].snapshot_if_due() else { continue };
            let written = snapshot.write();
            remove_all(&self.with(|state| state.spools[index].end_persist(&snapshot, written)));
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
    fn has_pending(&self) -> bool {
        self.spools.iter().any(Spool::has_pending)
    }
}

/// Sends what is in the spools until the deadline, or until nothing is pending and no more comes.
fn send(adopter: Adopter<'_>, runtime: &Runtime, delivery: &Delivery, deadline: &Deadline) {
    let shared = adopter.shared;
    let queue = RefCell::new(adopter);
    loop {
        let is_idle = |state: &mut State| !state.has_pending() && !state.is_closed;
        let wait = queue.borrow().next.saturating_duration_since(Instant::now());
        let waited = shared.arrived.wait_timeout_while(shared.lock(), wait, is_idle);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if deadline.is_over() || (state.is_closed && !state.has_pending()) {
            return;
        }
        drop(state);
        runtime.block_on(delivery.deliver(&queue, deadline));
        if shared.lock().has_pending() {
            deadline.sleep(STUCK);
        }
    }
}

/// The spools as the thread that sends sees them, while another thread stores. Also adopts slots.
struct Adopter<'a> {
    shared: &'a Shared,
    slots: Slots,
    /// The slots that could not be opened or removed. They count as held until the next look.
    stuck: Vec<u32>,
    /// The time at which free slots are looked for.
    next: Instant,
}

impl Adopter<'_> {
    /// Adopts a free slot, if it is time to look for one.
    fn adopt_if_due(&mut self) {
        let can_adopt = |state: &State| state.spools.len() == 1 && !state.is_closed;
        while Instant::now() >= self.next && can_adopt(&self.shared.lock()) {
            let Ok(Some(slot)) = self.slots.adopt() else {
                self.next = Instant::now() + ADOPT_INTERVAL;
                for index in self.stuck.drain(..) {
                    self.slots.held.remove(&index);
                }
                return;
            };
            let (reporter, index) = (&self.shared.name, slot.index);
            // An adopted spool takes no more records, so it has no limit.
            match Spool::open(slot, u64::MAX) {
                Ok(spool) => {
                    let queued = spool.queued();
                    tracing::info!(target: "flink_traces_otlp", reporter, slot = index, queued, "adopting a spool slot");
                    self.shared.with(|state| state.spools.push(spool));
                    self.remove_empty();
                }
                Err(_) => self.stuck.push(index),
            }
        }
    }

    /// Removes an adopted slot in which nothing is left.
    fn remove_empty(&mut self) {
        let removed = self.shared.with(|state| {
            let is_adopted = state.spools.len() > 1;
            let spool = state.spools.pop_if(|spool| is_adopted && spool.queued() == 0)?;
            spool.add_to(&mut state.removed);
            Some(spool)
        });
        let Some(spool) = removed else { return };
        let (index, directory) = (spool.slot.index, spool.slot.directory.clone());
        spool.remove_if_empty();
        // Foreign files may keep it. If it were adopted again at once, that would never end.
        if directory.exists() {
            self.stuck.push(index);
        } else {
            self.slots.held.remove(&index);
        }
    }

    fn with_spool(&self, slot: u32, work: impl FnOnce(&mut Spool)) {
        self.shared.with(|state| state.spools.iter_mut().find(|spool| spool.slot.index == slot).map(work));
    }
}

/// One of the spools, by its position.
struct Locked<'a> {
    shared: &'a Shared,
    position: usize,
}

impl Access for Locked<'_> {
    fn with<R>(&mut self, work: impl FnOnce(&mut Spool) -> R) -> R {
        self.shared.with(|state| work(&mut state.spools[self.position]))
    }
}

impl ChunkQueue for Adopter<'_> {
    type Ticket = (u32, Ticket);

    fn next(&mut self) -> Option<((u32, Ticket), Chunk)> {
        self.adopt_if_due();
        self.shared.persist_if_due();
        // Only this thread adds and removes spools.
        let slots: Vec<_> = self.shared.lock().spools.iter().map(|spool| spool.slot.index).collect();
        slots.into_iter().enumerate().find_map(|(position, slot)| {
            let (ticket, chunk) = next_chunk(&mut Locked { shared: self.shared, position })?;
            Some(((slot, ticket), chunk))
        })
    }

    fn finalize(&mut self, (slot, ticket): (u32, Ticket), counts: RecordCounts) {
        self.with_spool(slot, |spool| spool.finalize(ticket, counts));
        self.remove_empty();
    }

    fn abandon(&mut self, (slot, ticket): (u32, Ticket), _: RecordCounts) {
        self.with_spool(slot, |spool| spool.abandon(ticket));
    }
}

impl fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarder").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
