//! The coordinator: deploys subtasks, triggers checkpoints, restarts the job after a failure, and
//! reports to the handle of its job.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Error, Result, anyhow, ensure};
use flink_rest::types::{CheckpointConfigInfo, ExecutionConfigInfo, ExternalizedCheckpointInfo};
use flink_traces_api::{Identity, Timestamp};
use flink_traces_runtime::checkpoint::{CheckpointType, CompletedCheckpoint, RestoredCheckpoint};
use flink_traces_runtime::job::{DeployedTask, ExecutionAttemptId, ExecutionState, JobInput, JobStatus, JobVertex};
use flink_traces_runtime::reporting::Initialization;
use flink_traces_runtime::rest::TriggerSavepointMode;
use flink_traces_runtime::{JobHandle, PendingCheckpoint, Reporting};

use crate::gateway::{EndRequest, Gateway, Message, Operation, Snapshot, task_manager_id};
use crate::inbox::{Barrier, Canceled, Inbox};
use crate::options::Options;
use crate::store::{Metadata, Store};
use crate::subtask::{Command, Report, Subtask, count, sink, source};

/// The tasks of the job, in the order of the data flow.
const TASKS: [&str; 3] = ["source", "count", "sink"];
/// The maximum number of operations that wait for the checkpoint in progress.
const MAX_PENDING_OPERATIONS: usize = 16;

/// The coordinator of one job.
pub(crate) struct Coordinator {
    options: Options,
    store: Store,
    job_id: String,
    vertices: Vec<JobVertex>,
    next_checkpoint_id: i64,
    job: JobHandle,
    gateway: Arc<Gateway>,
}

/// The end of a job that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All records are counted.
    Finished,
    /// A savepoint stopped the job, which can continue from it.
    Stopped,
    /// A client canceled the job.
    Canceled,
    /// The process ends, and the next one continues the job.
    Suspended,
}

/// The threads of one attempt to run the job.
struct Deployment {
    threads: Vec<JoinHandle<()>>,
    inboxes: Vec<Arc<Inbox>>,
    sources: Vec<SyncSender<Command>>,
    messages: Receiver<Message>,
    initialization: Initialization,
}

/// A checkpoint in progress.
struct Pending {
    checkpoint: PendingCheckpoint,
    barrier: Barrier,
    /// The files that exist so far, and their sizes.
    files: BTreeMap<String, u64>,
    /// The end of the job, if this checkpoint ends it.
    outcome: Option<Outcome>,
    snapshot: Snapshot,
}

/// The end of an attempt to run the job.
enum Attempt {
    Ended(Outcome),
    /// The time, the subtask if one failed, and the cause.
    Failed(SystemTime, Option<ExecutionAttemptId>, Error),
}

impl Coordinator {
    /// Creates the coordinator of the job in `options.directory`, which reports to `reporting`.
    pub(crate) fn new(options: Options, reporting: &Reporting, gateway: Arc<Gateway>) -> Result<Self> {
        let store = Store::open(&options.directory)?;
        // The ids stay the same in the next process, whose recovery links to a checkpoint of
        // this one.
        let id = |parts: &[&str]| Identity::of(parts).trace_id().to_string();
        let mut vertices: Vec<JobVertex> = Vec::new();
        for name in TASKS {
            let inputs = vertices.last().map(|before| JobInput::new(before.job_vertex_id.clone(), "HASH"));
            let vertex = JobVertex::new(id(&[&options.name, name]), name, options.parallelism);
            vertices.push(vertex.with_inputs(inputs.into_iter().collect()));
        }
        let job_id = id(&[&options.name]);
        let job = reporting
            .job_builder(&job_id, &options.name)
            .vertices(vertices.clone())
            .checkpoint_interval(options.interval)
            .checkpoint_config(checkpoint_config(&options))
            .execution_config(execution_config(&options))
            .build();
        let restored = store.latest(options.recovery.as_deref())?.map(|(_, metadata)| metadata.checkpoint_id);
        // Ids are never reused, not even those of incomplete checkpoints.
        let next_checkpoint_id = store.ids()?.into_iter().chain(restored).max().map_or(1, |last| last + 1);
        Ok(Self { options, store, job_id, vertices, next_checkpoint_id, job, gateway })
    }

    /// Returns the handle of the job.
    pub(crate) fn job(&self) -> JobHandle {
        self.job.clone()
    }

    /// Runs the job until it has ended, or has failed without restarts left.
    pub(crate) fn run(mut self) -> Result<Outcome> {
        for attempt_number in 0.. {
            self.job.status(JobStatus::Running)?;
            let deployment = self.deploy(attempt_number)?;
            let result = self.supervise(&deployment);
            let outcome = match &result {
                Ok(Attempt::Ended(outcome)) => Some(*outcome),
                _ => None,
            };
            if outcome == Some(Outcome::Canceled) {
                self.job.status(JobStatus::Cancelling)?;
            }
            let is_interrupted = matches!(outcome, None | Some(Outcome::Canceled | Outcome::Suspended));
            self.cancel(deployment, attempt_number, is_interrupted);
            let (time, execution, error) = match result? {
                Attempt::Failed(time, execution, error) => (time, execution, error),
                Attempt::Ended(outcome) => {
                    self.job.status(match outcome {
                        Outcome::Finished | Outcome::Stopped => JobStatus::Finished,
                        Outcome::Canceled => JobStatus::Canceled,
                        Outcome::Suspended => JobStatus::Suspended,
                    })?;
                    return Ok(outcome);
                }
            };
            let can_restart = u64::from(attempt_number) < self.options.restarts;
            self.job.at(time).failure(execution.as_ref(), error.as_ref(), can_restart);
            if !can_restart {
                self.job.status(JobStatus::Failing)?;
                self.job.status(JobStatus::Failed)?;
                return Err(error.context("the job failed for good"));
            }
            self.job.status(JobStatus::Restarting)?;
        }
        Err(anyhow!("too many attempts"))
    }

    fn attempts(&self, attempt_number: u32) -> Vec<ExecutionAttemptId> {
        let of_vertex = |vertex: &JobVertex| {
            let job_vertex_id = vertex.job_vertex_id.clone();
            (0..vertex.parallelism)
                .map(move |subtask| ExecutionAttemptId::new(job_vertex_id.clone(), subtask, attempt_number))
        };
        self.vertices.iter().flat_map(of_vertex).collect()
    }

    /// Starts a thread for each subtask, from the newest complete checkpoint.
    fn deploy(&mut self, attempt_number: u32) -> Result<Deployment> {
        let restored = self.store.latest(self.options.recovery.as_deref())?;
        let attempts = self.attempts(attempt_number);
        for attempt in &attempts {
            self.job.subtask(attempt, ExecutionState::Scheduled);
        }
        let initialization = self.job.initialization(attempts.iter().cloned());
        if let Some((folder, metadata)) = &restored {
            let parallelism = self.options.parallelism;
            ensure!(metadata.parallelism == parallelism, "the checkpoint has parallelism {}", metadata.parallelism);
            let checkpoint = match self.options.recovery.as_ref() == Some(folder) {
                true => RestoredCheckpoint::savepoint(metadata.checkpoint_id),
                false => RestoredCheckpoint::checkpoint(metadata.checkpoint_id),
            };
            initialization.restored(
                checkpoint
                    .with_external_path(folder.display().to_string())
                    .with_state_size(metadata.state_size() as i64)
                    .with_trigger_timestamp(Timestamp::from_millis(metadata.trigger_timestamp)),
            )?;
        }

        let parallelism = self.options.parallelism as usize;
        let inboxes: Vec<_> = attempts.iter().map(|_| Arc::new(Inbox::new(parallelism))).collect();
        // A subtask has only a few reports at a time, so there is room for an operation.
        let (sender, messages) = sync_channel(4 * attempts.len());
        self.gateway.connect(Some(sender.clone()));
        let mut deployment = Deployment { threads: Vec::new(), inboxes, sources: Vec::new(), messages, initialization };
        for (index, id) in attempts.into_iter().enumerate() {
            let (task, subtask) = (index / parallelism, index % parallelism);
            let next_task = deployment.inboxes.iter().skip((task + 1) * parallelism).take(parallelism);
            // Only the first attempt fails.
            let fails = (task, subtask, attempt_number) == (1, 0, 0);
            let running = Subtask {
                file: format!("{}-{subtask}.json", TASKS[task]),
                store: self.store.clone(),
                restored: restored.as_ref().map(|(folder, _)| folder.clone()),
                fail_at: self.options.fail_at.filter(|_| fails),
                reports: sender.clone(),
                inbox: deployment.inboxes[index].clone(),
                outputs: next_task.map(|inbox| (inbox.clone(), subtask)).collect(),
                deployed: Instant::now(),
                id: id.clone(),
            };
            let task_name = Some(format!("{} ({}/{parallelism})", TASKS[task], subtask + 1));
            let task_manager_id = Some(task_manager_id());
            let deployed = DeployedTask::default()
                .with_task_name(task_name)
                .with_endpoint("localhost".to_owned())
                .with_task_manager_id(task_manager_id);
            self.job.deployed(&id, deployed);
            self.job.subtask(&id, ExecutionState::Deploying);
            deployment.threads.push(match task {
                0 => {
                    let (sender, commands) = sync_channel(1);
                    deployment.sources.push(sender);
                    let Options { records, pause, .. } = self.options;
                    spawn(running, move |task| source(task, &commands, records, parallelism as u64, pause))
                }
                1 => spawn(running, count),
                _ => spawn(running, sink),
            }?);
            self.job.subtask(&id, ExecutionState::Initializing);
        }
        Ok(deployment)
    }

    /// Handles messages until all subtasks have finished, one has failed, or a client ends the job.
    fn supervise(&mut self, deployment: &Deployment) -> Result<Attempt> {
        let subtasks = deployment.threads.len();
        let (mut running, mut exhausted, mut finished) = (0, 0, 0);
        let mut pending: Option<Pending> = None;
        // The end of the job once all subtasks have finished. No further checkpoint begins.
        let mut ending: Option<Outcome> = None;
        let mut operations: VecDeque<Snapshot> = VecDeque::new();
        let mut next_trigger = Instant::now() + self.options.interval;
        while finished < subtasks {
            match self.gateway.end_request().filter(|_| ending.is_none()) {
                Some(EndRequest::Cancel) => return self.interrupt(pending, Outcome::Canceled),
                Some(EndRequest::ShutDown) => return self.interrupt(pending, Outcome::Suspended),
                None => {}
            }
            let can_trigger = running == subtasks && pending.is_none() && ending.is_none();
            let wait = if !can_trigger {
                self.options.interval
            } else if operations.is_empty() {
                next_trigger.saturating_duration_since(Instant::now())
            } else {
                Duration::ZERO
            };
            match deployment.messages.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) if can_trigger => {
                    let snapshot = operations.pop_front().unwrap_or(Snapshot::Periodic);
                    pending = Some(self.trigger(deployment, exhausted == deployment.sources.len(), snapshot)?);
                    next_trigger = Instant::now() + self.options.interval;
                }
                Err(RecvTimeoutError::Timeout) | Ok(Message::Operation(Operation::End)) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(anyhow!("all subtasks ended without a report")),
                // An operation that is not queued is dropped, and its client gets a failure.
                Ok(Message::Operation(Operation::Snapshot(snapshot))) => {
                    operations
                        .extend((operations.len() < MAX_PENDING_OPERATIONS && ending.is_none()).then_some(snapshot));
                }
                Ok(Message::Report(id, Report::Running(metrics))) => {
                    running += 1;
                    self.job.subtask(&id, ExecutionState::Running);
                    deployment.initialization.initialized(&id, metrics)?;
                }
                // Once all sources are exhausted, the next checkpoint is the last one. It begins
                // without delay.
                Ok(Message::Report(_, Report::Exhausted)) => {
                    exhausted += 1;
                    next_trigger = if exhausted == deployment.sources.len() { Instant::now() } else { next_trigger };
                }
                Ok(Message::Report(id, Report::Acknowledged { checkpoint_id, subtask, file, size })) => {
                    self.job.checkpoint(checkpoint_id).ack(&id.job_vertex_id, subtask)?;
                    let mut current = pending.take().context("acknowledgement without a checkpoint in progress")?;
                    current.files.insert(file, size);
                    if current.files.len() < subtasks {
                        pending = Some(current);
                        continue;
                    }
                    let outcome = current.outcome;
                    let continues =
                        matches!(current.snapshot, Snapshot::Savepoint(TriggerSavepointMode::Savepoint, ..));
                    match self.complete(current) {
                        Err(_) if continues => continue,
                        // The sources may have stopped for it, so the job restarts.
                        Err(error) => return Ok(Attempt::Failed(SystemTime::now(), None, error)),
                        Ok(()) => {}
                    }
                    match outcome {
                        Some(Outcome::Canceled) => return self.interrupt(None, Outcome::Canceled),
                        Some(outcome) => {
                            ending = Some(outcome);
                            operations.clear();
                            for source in &deployment.sources {
                                let _ = source.send(Command::Finish);
                            }
                        }
                        None => {}
                    }
                }
                Ok(Message::Report(id, Report::Ended(Ok(())))) => {
                    finished += 1;
                    self.job.subtask(&id, ExecutionState::Finished);
                }
                Ok(Message::Report(execution, Report::Ended(Err(error)))) => {
                    self.job.subtask(&execution, ExecutionState::Failed);
                    let time = SystemTime::now();
                    if let Some(Pending { checkpoint, snapshot, .. }) = pending {
                        abort(&checkpoint, snapshot, error.as_ref())?;
                    }
                    return Ok(Attempt::Failed(time, Some(execution), error));
                }
            }
        }
        Ok(Attempt::Ended(ending.unwrap_or(Outcome::Finished)))
    }

    /// Begins a checkpoint.
    ///
    /// It is the last one if the sources are exhausted, unless the job has yet to fail on purpose.
    fn trigger(&mut self, deployment: &Deployment, are_exhausted: bool, snapshot: Snapshot) -> Result<Pending> {
        let is_last = are_exhausted && self.options.fail_at.is_none_or(|fail_at| fail_at < self.next_checkpoint_id);
        let (kind, outcome) = match &snapshot {
            Snapshot::Periodic => (CheckpointType::Checkpoint, is_last.then_some(Outcome::Finished)),
            Snapshot::Checkpoint(kind, _) => (*kind, is_last.then_some(Outcome::Finished)),
            Snapshot::Savepoint(mode, ..) => match mode {
                TriggerSavepointMode::Savepoint => (CheckpointType::Savepoint, None),
                TriggerSavepointMode::CancelWithSavepoint => (CheckpointType::Savepoint, Some(Outcome::Canceled)),
                TriggerSavepointMode::SuspendWithSavepoint => {
                    (CheckpointType::SuspendSavepoint, Some(Outcome::Stopped))
                }
                TriggerSavepointMode::TerminateWithSavepoint => {
                    (CheckpointType::TerminateSavepoint, Some(Outcome::Stopped))
                }
            },
        };
        let (checkpoint_id, trigger) = (self.next_checkpoint_id, Timestamp::from(SystemTime::now()));
        self.next_checkpoint_id += 1;
        // The metadata has the same time, so that the next process can link to this checkpoint.
        self.job.at(trigger).trigger(checkpoint_id, kind, &self.vertices)?;
        let trigger_timestamp = trigger.as_millis();
        let barrier = Barrier { checkpoint_id, trigger_timestamp };
        let command = match outcome {
            Some(Outcome::Stopped) => Command::Stop(barrier),
            _ => Command::Trigger(barrier),
        };
        for source in &deployment.sources {
            // A source that does not receive it has failed, and its report will follow.
            let _ = source.send(command);
        }
        Ok(Pending {
            checkpoint: self.job.checkpoint(checkpoint_id),
            barrier,
            files: BTreeMap::new(),
            outcome,
            snapshot,
        })
    }

    /// Completes a checkpoint and deletes earlier ones, or moves a savepoint to its folder.
    fn complete(&mut self, pending: Pending) -> Result<()> {
        let Pending { checkpoint, barrier, files, snapshot, .. } = pending;
        let Barrier { checkpoint_id, trigger_timestamp } = barrier;
        let metadata = Metadata { checkpoint_id, trigger_timestamp, parallelism: self.options.parallelism, files };
        let stored = match &snapshot {
            Snapshot::Savepoint(_, folder, _) => self.store.complete_savepoint(folder, &self.job_id, &metadata),
            _ => self.store.complete(&metadata).map(|size| (self.store.path(checkpoint_id), size)),
        };
        let (path, metadata_size) = match stored {
            Ok(stored) => stored,
            Err(error) => {
                abort(&checkpoint, snapshot, error.as_ref())?;
                return Err(error);
            }
        };
        let path = path.display().to_string();
        checkpoint.complete(CompletedCheckpoint::from(path.as_str()).with_metadata_size(metadata_size as i64))?;
        match snapshot {
            Snapshot::Savepoint(_, _, operation) => {
                operation.complete(path);
                return Ok(());
            }
            Snapshot::Checkpoint(_, operation) => operation.complete(checkpoint_id),
            Snapshot::Periodic => {}
        }
        for older in self.store.ids()?.into_iter().filter(|id| *id < checkpoint_id) {
            if self.store.discard(older).is_ok() {
                // The history does not have the checkpoints of earlier processes.
                let _ = self.job.discard(older);
            }
        }
        Ok(())
    }

    /// Ends the job early, and aborts the checkpoint in progress.
    fn interrupt(&self, pending: Option<Pending>, outcome: Outcome) -> Result<Attempt> {
        if let Some(pending) = pending {
            abort(&pending.checkpoint, pending.snapshot, &Canceled)?;
        }
        Ok(Attempt::Ended(outcome))
    }

    /// Ends all threads and waits for them.
    fn cancel(&mut self, deployment: Deployment, attempt_number: u32, is_interrupted: bool) {
        let Deployment { threads, inboxes, sources, messages, initialization } = deployment;
        self.gateway.connect(None);
        drop((sources, messages));
        inboxes.iter().for_each(|inbox| inbox.cancel());
        for thread in threads {
            // Threads have sent their reports before, and a canceled one has none.
            let _ = thread.join();
        }
        if is_interrupted {
            for attempt in self.attempts(attempt_number) {
                self.job.subtask(&attempt, ExecutionState::Canceled);
            }
        }
        initialization.give_up();
    }
}

/// Reports the failure of a checkpoint.
fn abort(checkpoint: &PendingCheckpoint, snapshot: Snapshot, error: &dyn std::error::Error) -> Result<()> {
    checkpoint.fail(error)?;
    snapshot.fail(error);
    Ok(())
}

/// Returns the checkpoint configuration for the REST API.
fn checkpoint_config(options: &Options) -> CheckpointConfigInfo {
    let mut externalization = ExternalizedCheckpointInfo::default();
    externalization.enabled = true;
    let mut checkpoints =
        CheckpointConfigInfo::new("exactly_once", i64::try_from(options.interval.as_millis()).unwrap_or(i64::MAX));
    // Checkpoints have no timeout.
    checkpoints.timeout = Some(i64::MAX);
    checkpoints.min_pause = Some(0);
    checkpoints.max_concurrent = Some(1);
    checkpoints.externalization = Some(externalization);
    checkpoints.checkpoint_storage = Some("files".to_owned());
    checkpoints.unaligned_checkpoints = Some(false);
    checkpoints.tolerable_failed_checkpoints = Some(0);
    checkpoints.aligned_checkpoint_timeout = Some(0);
    checkpoints.checkpoints_after_tasks_finish = Some(false);
    checkpoints
}

/// Returns the execution configuration for the REST API.
fn execution_config(options: &Options) -> ExecutionConfigInfo {
    let mut execution = ExecutionConfigInfo::default();
    execution.restart_strategy = format!("at most {} restarts", options.restarts);
    execution.job_parallelism = Some(options.parallelism.into());
    execution.user_config = BTreeMap::from([("records".to_owned(), options.records.to_string())]);
    execution
}

/// Starts a thread that reports its end, unless it was canceled.
fn spawn(task: Subtask, run: impl FnOnce(&Subtask) -> Result<()> + Send + 'static) -> Result<JoinHandle<()>> {
    let thread = thread::Builder::new().name(task.file.clone());
    let spawned = thread.spawn(move || {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&task)));
        let result = result.unwrap_or_else(|_| Err(anyhow!("panicked")));
        if !result.as_ref().is_err_and(|error| error.is::<Canceled>()) {
            let _ = task.reports.send(Message::Report(task.id.clone(), Report::Ended(result)));
        }
    });
    spawned.context("cannot start the thread of a subtask")
}
