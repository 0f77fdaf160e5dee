//! The thread of a subtask: a source or an operator, its barriers, its state and its reports.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, anyhow, bail};
use flink_traces_api::Timestamp;
use flink_traces_runtime::checkpoint::{StateObjectLocation, SubTaskInitializationMetrics};
use flink_traces_runtime::job::ExecutionAttemptId;
use flink_traces_runtime::reporting::{self, InitializedSubtask};
use serde::de::DeserializeOwned;

use crate::gateway::Message;
use crate::inbox::{Barrier, Canceled, Inbox, Message as Sent, Record};
use crate::store::Store;

/// The number of different keys.
pub(crate) const KEYS: u32 = 1_000;

/// Returns the key of a record.
pub(crate) fn key_of(number: u64) -> u32 {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32 % KEYS
}

/// A command of the coordinator to a source.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Command {
    /// Begin this checkpoint.
    Trigger(Barrier),
    /// Begin this savepoint, and send nothing after it.
    Stop(Barrier),
    /// End, because a checkpoint contains everything.
    Finish,
}

/// A report of a subtask to the coordinator.
#[derive(Debug)]
pub(crate) enum Report {
    /// The state is restored, and the subtask runs.
    Running(InitializedSubtask),
    /// The state of the subtask for a checkpoint is on disk, in this file.
    Acknowledged { checkpoint_id: i64, subtask: reporting::Subtask, file: String, size: u64 },
    /// A source has no more records.
    Exhausted,
    /// The thread is about to end.
    Ended(Result<()>),
}

/// One attempt to run one subtask.
pub(crate) struct Subtask {
    pub(crate) id: ExecutionAttemptId,
    /// The name of the state file.
    pub(crate) file: String,
    pub(crate) store: Store,
    /// The folder of the checkpoint or savepoint to restore.
    pub(crate) restored: Option<PathBuf>,
    /// The checkpoint at which the subtask fails.
    pub(crate) fail_at: Option<i64>,
    pub(crate) reports: SyncSender<Message>,
    pub(crate) inbox: Arc<Inbox>,
    /// The inputs of the next task, each with the channel of this subtask.
    pub(crate) outputs: Vec<(Arc<Inbox>, usize)>,
    pub(crate) deployed: Instant,
}

/// The metrics of a checkpoint before its state is stored.
struct Alignment {
    barrier: Barrier,
    start_delay: Duration,
    began: Instant,
    processed: usize,
}

impl Alignment {
    fn begin(barrier: Barrier) -> Self {
        let delay = Timestamp::from(SystemTime::now()).as_millis() - barrier.trigger_timestamp;
        let start_delay = Duration::from_millis(u64::try_from(delay).unwrap_or(0));
        Self { barrier, start_delay, began: Instant::now(), processed: 0 }
    }
}

impl Subtask {
    /// Restores the state, passes it to `open`, and reports the durations.
    fn initialize<T: DeserializeOwned, S>(&self, open: impl FnOnce(Option<T>) -> Result<S>) -> Result<S> {
        let (mailbox, began) = (self.deployed.elapsed(), Instant::now());
        let restored = self.restored.as_ref().map(|folder| fs::read(folder.join(&self.file))).transpose()?;
        let state = restored.as_deref().map(serde_json::from_slice).transpose()?;
        let opened = open(state)?;
        let mut subtask = InitializedSubtask::completed()
            .duration(SubTaskInitializationMetrics::MAILBOX_START_DURATION, mailbox)
            .duration(SubTaskInitializationMetrics::INITIALIZE_STATE_DURATION, began.elapsed());
        if let Some(bytes) = restored {
            subtask = subtask.restored_state_size(StateObjectLocation::LocalDisk, bytes.len() as u64);
        }
        self.report(Report::Running(subtask))?;
        Ok(opened)
    }

    fn report(&self, report: Report) -> Result<()> {
        self.reports.send(Message::Report(self.id.clone(), report)).map_err(|_| Canceled.into())
    }

    fn send(&self, record: Record) -> Result<()> {
        let (inbox, channel) = &self.outputs[record.key as usize % self.outputs.len()];
        Ok(inbox.push(*channel, Sent::Record(record))?)
    }

    fn broadcast(&self, message: Sent) -> Result<()> {
        Ok(self.outputs.iter().try_for_each(|(inbox, channel)| inbox.push(*channel, message))?)
    }

    /// Forwards the barrier, writes the state and acknowledges the checkpoint, all synchronously.
    fn snapshot(&self, alignment: Alignment, take_state: impl FnOnce() -> Result<Vec<u8>>) -> Result<()> {
        let Alignment { barrier: Barrier { checkpoint_id, .. }, start_delay, began, processed } = alignment;
        if self.fail_at == Some(checkpoint_id) {
            bail!("fails on purpose at checkpoint {checkpoint_id}");
        }
        let aligned = began.elapsed();
        self.broadcast(Sent::Barrier(alignment.barrier))?;
        let began = Instant::now();
        let size = self.store.write_state(checkpoint_id, &self.file, &take_state()?)?;
        let subtask = reporting::Subtask::new(self.id.subtask_index)
            .state_size(size)
            .start_delay(start_delay)
            .alignment_duration(aligned)
            .sync_duration(began.elapsed())
            .async_duration(Duration::ZERO)
            .processed_data((processed * size_of::<Record>()) as u64)
            .persisted_data(0)
            .host("localhost");
        self.report(Report::Acknowledged { checkpoint_id, subtask, file: self.file.clone(), size })
    }
}

/// Creates every `step`th of `records` records. The state is the number of the next one.
pub(crate) fn source(
    task: &Subtask,
    commands: &Receiver<Command>,
    records: u64,
    step: u64,
    pause: Duration,
) -> Result<()> {
    const AT_ONCE: u64 = 100;
    const FOREVER: Duration = Duration::from_secs(86_400);
    let first = u64::from(task.id.subtask_index);
    let mut next: u64 = task.initialize(|restored| Ok(restored.unwrap_or(first)))?;
    let (mut is_exhausted, mut is_stopped) = (false, false);
    loop {
        let wait = if is_exhausted || is_stopped { FOREVER } else { pause };
        match commands.recv_timeout(wait) {
            Ok(command @ (Command::Trigger(barrier) | Command::Stop(barrier))) => {
                task.snapshot(Alignment::begin(barrier), || Ok(serde_json::to_vec(&next)?))?;
                is_stopped |= matches!(command, Command::Stop(_));
            }
            Ok(Command::Finish) => break,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(Canceled.into()),
        }
        for _ in 0..AT_ONCE {
            if next < records && !is_stopped {
                task.send(Record { key: key_of(next), count: 0 })?;
                next += step;
            }
        }
        if next >= records && !is_exhausted {
            is_exhausted = true;
            task.report(Report::Exhausted)?;
        }
    }
    task.broadcast(Sent::End)
}

/// A processor of records with a state.
pub(crate) trait Operator {
    /// Processes a record. Returns the record for the next task.
    fn process(&mut self, record: Record) -> Result<Option<Record>>;
    /// Returns the current state.
    fn state(&mut self) -> Result<Vec<u8>>;
}

/// Passes records to `operator`, and stores its state when all channels have a barrier.
fn operate(task: &Subtask, mut operator: impl Operator) -> Result<()> {
    let channels = task.inbox.channels();
    let mut blocked = vec![false; channels];
    let mut ended = 0;
    let mut alignment: Option<Alignment> = None;
    while ended < channels {
        let (channel, message) = task.inbox.pop(&blocked)?;
        match message {
            Sent::Record(record) => {
                if let Some(alignment) = &mut alignment {
                    alignment.processed += 1;
                }
                if let Some(result) = operator.process(record)? {
                    task.send(result)?;
                }
            }
            Sent::Barrier(barrier) => {
                blocked[channel] = true;
                let current = alignment.take().unwrap_or_else(|| Alignment::begin(barrier));
                if blocked.contains(&false) {
                    alignment = Some(current);
                    continue;
                }
                task.snapshot(current, || operator.state())?;
                blocked.fill(false);
            }
            Sent::End => ended += 1,
        }
    }
    task.broadcast(Sent::End)
}

/// Counts the records of each key, and emits each new count.
pub(crate) fn count(task: &Subtask) -> Result<()> {
    struct Count(Vec<u64>);

    impl Operator for Count {
        fn process(&mut self, record: Record) -> Result<Option<Record>> {
            let count = self.0.get_mut(record.key as usize).ok_or_else(|| anyhow!("unknown key"))?;
            *count += 1;
            Ok(Some(Record { count: *count, ..record }))
        }

        fn state(&mut self) -> Result<Vec<u8>> {
            Ok(serde_json::to_vec(&self.0)?)
        }
    }

    let counts = task.initialize(|restored| Ok(Count(restored.unwrap_or_else(|| vec![0; KEYS as usize]))))?;
    operate(task, counts)
}

/// Writes records to a file. The state is the size of the file.
///
/// On recovery, output beyond that size is cut off.
pub(crate) fn sink(task: &Subtask) -> Result<()> {
    struct Sink(BufWriter<File>);

    impl Operator for Sink {
        fn process(&mut self, record: Record) -> Result<Option<Record>> {
            writeln!(self.0, "{} {}", record.key, record.count)?;
            Ok(None)
        }

        fn state(&mut self) -> Result<Vec<u8>> {
            self.0.flush()?;
            self.0.get_ref().sync_data()?;
            Ok(serde_json::to_vec(&self.0.stream_position()?)?)
        }
    }

    let path = task.store.output(task.id.subtask_index);
    let sink = task.initialize(|length: Option<u64>| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        file.set_len(length.unwrap_or(0))?;
        file.seek(SeekFrom::End(0))?;
        Ok(Sink(BufWriter::new(file)))
    })?;
    operate(task, sink)
}
