//! A word count on several workers of timely dataflow, with checkpoints.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Barrier};
use std::time::Instant;

use flink_traces_runtime::checkpoint::RestoredCheckpoint;
use flink_traces_runtime::job::{ExecutionAttemptId, ExecutionState};
use flink_traces_runtime::reporting::{Initialization, InitializedSubtask};
use flink_traces_runtime::{CheckpointType, JobHandle, JobStatus, JobVertex, Reporting, Subtask, Timestamp};
use timely::dataflow::operators::{Exchange, Inspect, Probe};
use timely::dataflow::{InputHandleVec, ProbeHandle};
use timely::worker::Worker;

/// The usual number of workers.
pub const WORKERS: u32 = 4;
/// The number of rounds between two checkpoints.
const INTERVAL: u64 = 2;
/// The number of words in a round.
const WORDS: u64 = 1_000;
const JOB: &str = "0b1d198cd84d58810f0faf9761017b2f";
const COUNT: &str = "cbc357ccb763df2852fee8c4fc7d55f2";

/// The number of occurrences of each word.
pub type Counts = BTreeMap<String, u64>;
type Failure = Box<dyn Error + Send + Sync>;

/// A complete checkpoint, as its `_metadata` describes it.
struct Checkpoint {
    /// The number of rounds that it contains, which is its id.
    rounds: u64,
    trigger: Timestamp,
    folder: PathBuf,
}

/// The parts of one worker.
struct Task {
    attempt: ExecutionAttemptId,
    workers: u32,
    directory: PathBuf,
    restored: Option<Arc<Checkpoint>>,
    job: JobHandle,
    initialization: Initialization,
    /// All workers wait here before and after a checkpoint.
    barrier: Arc<Barrier>,
}

/// Counts the words of `rounds` rounds, from the last checkpoint in `directory`.
///
/// # Errors
///
/// Returns an error if files cannot be read or written, or if a worker failed.
pub fn run(reporting: &Reporting, directory: &Path, workers: u32, rounds: u64) -> Result<Counts, Failure> {
    let restored = latest(directory)?.map(Arc::new);
    let attempts: Vec<_> = (0..workers).map(|index| ExecutionAttemptId::new(COUNT, index, 0)).collect(); // report
    let job = reporting.job_builder(JOB, "words").vertices([JobVertex::new(COUNT, "count", workers)]).build(); // report
    job.status(JobStatus::Running)?; // report
    attempts.iter().for_each(|attempt| job.subtask(attempt, ExecutionState::Scheduled)); // report
    let initialization = job.initialization(attempts.iter().cloned()); // report
    if let Some(Checkpoint { rounds, trigger, .. }) = restored.as_deref() {
        let id = rounds.cast_signed();
        initialization.restored(RestoredCheckpoint::checkpoint(id).with_trigger_timestamp(*trigger))?; // report
    }

    let (barrier, directory, of_job) = (Arc::new(Barrier::new(workers as usize)), directory.to_owned(), job.clone());
    let guards = timely::execute(timely::Config::process(workers as usize), move |worker| {
        let (directory, restored) = (directory.clone(), restored.clone());
        let (job, initialization, barrier) = (of_job.clone(), initialization.clone(), barrier.clone());
        let attempt = attempts[worker.index()].clone();
        let task = Task { attempt, workers, directory, restored, job, initialization, barrier };
        task.run(worker, rounds).map_err(|error| error.to_string())
    })?;
    let mut total = Counts::new();
    for counts in guards.join() {
        total.extend(counts??);
    }
    job.status(JobStatus::Finished)?; // report
    Ok(total)
}

impl Task {
    /// Returns the counts of the words that belong to this worker.
    fn run(&self, worker: &mut Worker, rounds: u64) -> Result<Counts, Failure> {
        let (first, counts) = match &self.restored {
            Some(checkpoint) => (checkpoint.rounds, serde_json::from_slice(&fs::read(self.file(&checkpoint.folder))?)?),
            None => (0, Counts::new()),
        };
        self.initialization.initialized(&self.attempt, InitializedSubtask::completed())?; // report
        self.job.subtask(&self.attempt, ExecutionState::Running); // report

        let counts = Rc::new(RefCell::new(counts));
        let (mut input, probe) = (InputHandleVec::<u64, String>::new(), ProbeHandle::new());
        let shared = counts.clone();
        worker.dataflow(|scope| {
            input
                .to_stream(scope)
                .exchange(|word: &String| hash(word))
                .inspect(move |word: &String| *shared.borrow_mut().entry(word.clone()).or_default() += 1)
                .probe_with(&probe);
        });
        input.advance_to(first);
        for round in first..rounds {
            let own = (0..WORDS).filter(|number| number % u64::from(self.workers) == u64::from(self.index()));
            own.for_each(|number| input.send(word(round, number)));
            input.advance_to(round + 1);
            // From here on, no worker has unprocessed words of this round.
            while probe.less_than(input.time()) {
                worker.step();
            }
            if (round + 1) % INTERVAL == 0 {
                self.checkpoint(round + 1, &counts.borrow())?;
            }
        }
        self.job.subtask(&self.attempt, ExecutionState::Finished); // report
        Ok(counts.take())
    }

    /// Writes the counts of this worker. The first worker triggers and completes the checkpoint.
    fn checkpoint(&self, rounds: u64, counts: &Counts) -> Result<(), Failure> {
        let (id, folder) = (rounds.cast_signed(), self.directory.join(format!("chk-{rounds}")));
        if self.index() == 0 {
            fs::create_dir_all(&folder)?;
            self.job.trigger(id, CheckpointType::Checkpoint, [JobVertex::new(COUNT, "count", self.workers)])?; // report
        }
        self.barrier.wait();
        let checkpoint = self.job.checkpoint(id); // report
        let (began, state) = (Instant::now(), serde_json::to_vec(counts)?);
        fs::write(self.file(&folder), &state)?;
        let (size, duration) = (state.len() as u64, began.elapsed());
        checkpoint.ack(COUNT, Subtask::new(self.index()).state_size(size).sync_duration(duration))?; // report
        // No worker sends words of the next round before all have stored their counts.
        if self.barrier.wait().is_leader() {
            let trigger = checkpoint.trigger_timestamp().ok_or("no trigger")?; // report
            fs::write(folder.join("_metadata"), trigger.as_millis().to_string())?;
            checkpoint.complete(folder.display().to_string())?; // report
        }
        Ok(())
    }

    fn index(&self) -> u32 {
        self.attempt.subtask_index
    }

    fn file(&self, folder: &Path) -> PathBuf {
        folder.join(format!("count-{}.json", self.index()))
    }
}

/// Returns the newest checkpoint with a `_metadata`.
fn latest(directory: &Path) -> io::Result<Option<Checkpoint>> {
    let mut newest: Option<Checkpoint> = None;
    for entry in fs::read_dir(directory)? {
        let folder = entry?.path();
        let name = folder.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("chk-"));
        let (Some(Ok(rounds)), Ok(trigger)) = (name.map(str::parse), fs::read_to_string(folder.join("_metadata")))
        else {
            continue;
        };
        let trigger = Timestamp::from_millis(trigger.parse().map_err(io::Error::other)?);
        if newest.as_ref().is_none_or(|known| known.rounds < rounds) {
            newest = Some(Checkpoint { rounds, trigger, folder });
        }
    }
    Ok(newest)
}

/// Returns the word of that number in a round.
pub fn word(round: u64, number: u64) -> String {
    const SYLLABLES: [&str; 8] = ["ka", "lo", "mi", "nu", "pe", "ra", "so", "ti"];
    let (first, second) = ((round + number) % 8, (round * 3 + number / 8) % 8);
    format!("{}{}", SYLLABLES[first as usize], SYLLABLES[second as usize])
}

fn hash(word: &String) -> u64 {
    let mut hasher = DefaultHasher::new();
    word.hash(&mut hasher);
    hasher.finish()
}
