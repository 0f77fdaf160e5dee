//! The thread that sends what is in a spool.

use std::cell::RefCell;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io};

use flink_traces_api::{ConfigError, Deadline, ReporterMeter};
use tokio::runtime::Runtime;

use crate::config::SpoolConfig;
use crate::delivery::{Delivery, Outcome, Source};
use crate::encode::Chunk;
use crate::error::OpenError;
use crate::spool::{Account, Notice, Spool};
use crate::withheld::Withheld;

/// How long the rest may take if whoever closes the reporter does not say.
const DRAIN: Duration = Duration::from_secs(10);

/// How long it waits when the disk cannot be read.
const STUCK: Duration = Duration::from_millis(100);

/// Stores chunks on the caller's thread, and sends them on its own.
pub(crate) struct Spooler {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    deadline: Deadline,
    name: String,
}

struct Shared {
    state: Mutex<State>,
    arrived: Condvar,
    meter: ReporterMeter,
}

struct State {
    spool: Spool,
    is_closed: bool,
}

impl Spooler {
    /// Opens the spool. `delivery` makes what sends, with its runtime.
    pub(crate) fn start(
        name: &str,
        options: &SpoolConfig,
        meter: &ReporterMeter,
        delivery: impl FnOnce() -> Result<(Runtime, Delivery), ConfigError>,
    ) -> Result<Self, OpenError> {
        let spool = Spool::open(&options.directory, options.max_size)?;
        let state = Mutex::new(State { spool, is_closed: false });
        let shared = Shared { state, arrived: Condvar::new(), meter: meter.clone() };
        let (shared, deadline) = (Arc::new(shared), Deadline::unlimited());
        let Account { queued, .. } = shared.with_spool(|spool| spool.account());
        if queued > 0 {
            tracing::info!(target: "flink_traces_otlp", reporter = name, queued, "Sends what an earlier process left in the spool");
        }
        shared.tell(name);
        let (runtime, delivery) = delivery()?;
        let sending = {
            let (shared, deadline, name) = (shared.clone(), deadline.clone(), name.to_owned());
            move || {
                shared.send(&runtime, &delivery, &deadline, &name);
                // Dropping a runtime waits for a name lookup that hangs.
                runtime.shutdown_background();
            }
        };
        let spawned = thread::Builder::new().name(format!("spool-{}", name.replace('\0', ""))).spawn(sending);
        let thread = spawned.map_err(|error| ConfigError::Setup(error.into()))?;
        Ok(Self { shared, thread: Some(thread), deadline, name: name.to_owned() })
    }

    /// Stores chunks; they are on disk when this returns.
    pub(crate) fn store(&self, chunks: &[Chunk]) -> io::Result<()> {
        let begun = self.shared.with_spool(|spool| spool.begin(chunks));
        let stored = begun.and_then(|begun| {
            // Whoever sends goes on meanwhile.
            let synced = begun.sync();
            self.shared.with_spool(|spool| spool.end(begun, synced))
        });
        self.shared.arrived.notify_one();
        self.shared.tell(&self.name);
        stored
    }

    /// Sends what can be sent until the deadline; the rest stays.
    pub(crate) fn close(mut self, deadline: &Deadline) {
        self.end(deadline.remaining().unwrap_or(DRAIN));
        let Account { delivered, rejected, dropped, queued } = self.shared.with_spool(|spool| spool.account());
        let reporter = &self.name;
        match queued {
            0 => {
                tracing::info!(target: "flink_traces_otlp", reporter, delivered, rejected, dropped, "The spool is empty")
            }
            _ => {
                tracing::warn!(target: "flink_traces_otlp", reporter, queued, delivered, rejected, dropped, "The rest stays in the spool")
            }
        }
    }

    fn end(&mut self, left: Duration) {
        self.deadline.set(Instant::now() + left);
        self.shared.lock().is_closed = true;
        self.shared.arrived.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What is not sent stays.
impl Drop for Spooler {
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

    /// Uses the spool, and lets others read what became of it.
    fn with_spool<R>(&self, work: impl FnOnce(&mut Spool) -> R) -> R {
        let mut state = self.lock();
        let result = work(&mut state.spool);
        self.meter.update(|stats| state.spool.tell(stats.buffer.get_or_insert_default()));
        result
    }

    fn send(&self, runtime: &Runtime, delivery: &Delivery, deadline: &Deadline, name: &str) {
        loop {
            let is_idle = |state: &mut State| !state.spool.has_waiting() && !state.is_closed;
            let state = self.arrived.wait_while(self.lock(), is_idle).unwrap_or_else(PoisonError::into_inner);
            if !state.spool.has_waiting() || deadline.is_over() {
                return;
            }
            drop(state);
            let source = RefCell::new(FromSpool(self));
            runtime.block_on(delivery.deliver(&source, deadline));
            self.tell(name);
            if self.lock().spool.is_stuck {
                deadline.sleep(STUCK);
            }
        }
    }

    /// One line for each change of the spool's state.
    fn tell(&self, reporter: &str) {
        for notice in mem::take(&mut self.lock().spool.notices) {
            match notice {
                Notice::Quarantined(file, bytes) => {
                    tracing::error!(target: "flink_traces_otlp", reporter, file, bytes, "Part of the spool cannot be read and is put into quarantine");
                }
                Notice::Drops => {
                    tracing::warn!(target: "flink_traces_otlp", reporter, "The spool is full, dropping the oldest, parts before what they are parts of");
                }
                Notice::HasRoom(dropped) => {
                    tracing::info!(target: "flink_traces_otlp", reporter, dropped, "The spool has room again");
                }
                Notice::NoCursor(error) => {
                    tracing::warn!(target: "flink_traces_otlp", reporter, error, "What is delivered cannot be noted, and would be sent again after a crash");
                }
            }
        }
    }
}

/// The spool as the sender's thread sees it, while the other thread stores.
struct FromSpool<'a>(&'a Shared);

impl Source for FromSpool<'_> {
    fn next(&mut self) -> Option<(u64, Chunk)> {
        self.0.with_spool(Spool::next)
    }

    fn settle(&mut self, number: u64, outcome: Outcome) {
        self.0.with_spool(|spool| spool.settle(number, outcome));
    }

    fn give_up(&mut self, number: u64, outcome: Outcome) {
        self.0.with_spool(|spool| spool.give_up(number, outcome));
    }

    fn first_of(&self, number: u64) -> u64 {
        self.0.lock().spool.first_of(number)
    }

    fn with_withheld<R>(&mut self, work: impl FnOnce(&mut Withheld) -> R) -> R {
        self.0.lock().spool.with_withheld(work)
    }
}

impl fmt::Debug for Spooler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spooler").field("name", &self.name).finish_non_exhaustive()
    }
}
