//! The coordinator: deploys subtasks, triggers checkpoints, restarts the job after a failure, and
//! reports to the trackers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow, ensure};
use flink_rest::types::{CheckpointConfigInfo, ExecutionConfigInfo, ExternalizedCheckpointInfo};
use flink_traces_api::{Clock, Identity, SystemClock};
use flink_traces_runtime::checkpoint::{
    CheckpointFailure, CheckpointTask, CheckpointType, RestoredCheckpoint, job_initialization_span,
    partial_job_initialization_span,
};
use flink_traces_runtime::job::{
    AllSubtasksTracker, DeployedTask, ExecutionAttemptId, ExecutionState, FailureHandlingResult, JobFailureTracker,
    JobStatus, JobStatusTracker, NamedJob,
};
use flink_traces_runtime::rest::{JobInfo, JobInput, JobVertex, TrackedJob, TriggerSavepointMode};
use flink_traces_runtime::{
    CheckpointStats, CheckpointStatsTracker, JobIdentity, MetricGroup, checkpoint_event, checkpoint_span,
};

use crate::gateway::{EndRequest, Gateway, Message, Operation, Snapshot, task_manager_id};
use crate::inbox::{Barrier, Canceled, Inbox};
use crate::options::Options;
use crate::store::{Metadata, Store};
use crate::subtask::{Command, Report, Subtask, count, sink, source};

/// The first part of all span identities.
const CLUSTER: &str = "engine";
/// The tasks of the job, in the order of the data flow.
const TASKS: [&str; 3] = ["source", "count", "sink"];
/// The maximum number of operations that wait for the checkpoint in progress.
const MAX_PENDING_OPERATIONS: usize = 16;

/// The coordinator of one job.
pub(crate) struct Coordinator {
    options: Options,
    store: Store,
    group: MetricGroup,
    job_id: String,
    tasks: Vec<CheckpointTask>,
    next_checkpoint_id: i64,
    tracker: Arc<CheckpointStatsTracker>,
    status: JobStatusTracker,
    all_subtasks: AllSubtasksTracker,
    /// The identity of the last initialization.
    initialization: Identity,
    failures: JobFailureTracker,
    /// The job in the REST API, which gets the same reports as the four trackers above.
    job: Arc<TrackedJob>,
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
}

/// A checkpoint in progress.
struct Pending {
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
    /// The time in milliseconds since the epoch, the subtask if one failed, and the cause.
    Failed(i64, Option<ExecutionAttemptId>, Error),
}

impl Coordinator {
    /// Creates the coordinator of the job in `options.directory`, with a group below `job_manager`.
    pub(crate) fn new(options: Options, job_manager: &MetricGroup, gateway: Arc<Gateway>) -> Result<Self> {
        let store = Store::open(&options.directory)?;
        // The ids stay the same in the next process, whose recovery links to a checkpoint of
        // this one.
        let id = |parts: &[&str]| Identity::of(parts).trace_id().to_string();
        let task = |name: &&str| {
            CheckpointTask::new(id(&[&options.name, name]), options.parallelism).with_task_name((*name).to_owned())
        };
        let tasks: Vec<_> = TASKS.iter().map(task).collect();
        let job_id = id(&[&options.name]);
        let tracker = CheckpointStatsTracker::builder(10)
            .span_detail_level(options.detail)
            .checkpoint_interval_ms(i64::try_from(options.interval.as_millis()).unwrap_or(i64::MAX));
        let tracker = Arc::new(tracker.build());
        let info = describe(&options, &job_id, &tasks);
        let restored = store.latest(options.recovery.as_deref())?.map(|(_, metadata)| metadata.checkpoint_id);
        Ok(Self {
            group: job_manager.add_job(&job_id, &options.name),
            // Ids are never reused, not even those of incomplete checkpoints.
            next_checkpoint_id: store.ids()?.into_iter().chain(restored).max().map_or(1, |last| last + 1),
            job: Arc::new(TrackedJob::new(info, tracker.clone(), JobStatus::Created, SystemClock.now_millis())?),
            tracker,
            gateway,
            status: JobStatusTracker::new(JobStatus::Created),
            all_subtasks: AllSubtasksTracker::default(),
            initialization: Identity::of(&[]),
            failures: JobFailureTracker::default(),
            options,
            store,
            job_id,
            tasks,
        })
    }

    /// Returns the job for the REST API.
    pub(crate) fn job(&self) -> Arc<TrackedJob> {
        self.job.clone()
    }

    /// Returns the tracker of the checkpoints.
    pub(crate) fn checkpoints(&self) -> Arc<CheckpointStatsTracker> {
        self.tracker.clone()
    }

    /// Runs the job until it has ended, or has failed without restarts left.
    pub(crate) fn run(mut self) -> Result<Outcome> {
        for attempt_number in 0.. {
            self.report_status(JobStatus::Running)?;
            let deployment = self.deploy(attempt_number)?;
            let result = self.supervise(&deployment);
            let outcome = match &result {
                Ok(Attempt::Ended(outcome)) => Some(*outcome),
                _ => None,
            };
            if outcome == Some(Outcome::Canceled) {
                self.report_status(JobStatus::Cancelling)?;
            }
            let is_interrupted = matches!(outcome, None | Some(Outcome::Canceled | Outcome::Suspended));
            self.cancel(deployment, attempt_number, is_interrupted);
            let (timestamp, execution, error) = match result? {
                Attempt::Failed(timestamp, execution, error) => (timestamp, execution, error),
                Attempt::Ended(outcome) => {
                    self.report_status(match outcome {
                        Outcome::Finished | Outcome::Stopped => JobStatus::Finished,
                        Outcome::Canceled => JobStatus::Canceled,
                        Outcome::Suspended => JobStatus::Suspended,
                    })?;
                    return Ok(outcome);
                }
            };
            let can_restart = u64::from(attempt_number) < self.options.restarts;
            let failure = FailureHandlingResult::new(timestamp, error.as_ref(), can_restart)
                .with_failed_execution(execution.as_ref())
                .with_labels(&[])
                .with_global_failure(execution.is_none());
            self.job.report_failure(&failure);
            self.group.add_event(self.failures.report_failure(self.named(), &failure));
            if !can_restart {
                self.report_status(JobStatus::Failing)?;
                self.report_status(JobStatus::Failed)?;
                return Err(error.context("the job failed for good"));
            }
            self.report_status(JobStatus::Restarting)?;
        }
        Err(anyhow!("too many attempts"))
    }

    fn attempts(&self, attempt_number: u32) -> Vec<ExecutionAttemptId> {
        let of_task = |task: &CheckpointTask| {
            let job_vertex_id = task.job_vertex_id.clone();
            (0..task.parallelism).map(move |subtask_index| ExecutionAttemptId {
                job_vertex_id: job_vertex_id.clone(),
                subtask_index,
                attempt_number,
            })
        };
        self.tasks.iter().flat_map(of_task).collect()
    }

    /// Starts a thread for each subtask, from the newest complete checkpoint.
    fn deploy(&mut self, attempt_number: u32) -> Result<Deployment> {
        let restored = self.store.latest(self.options.recovery.as_deref())?;
        let attempts = self.attempts(attempt_number);
        let now = SystemClock.now_millis();
        let restored_id = restored.as_ref().map(|(_, metadata)| metadata.checkpoint_id);
        self.initialization = self.identity().initialization(restored_id, now);
        for attempt in &attempts {
            self.report_state(attempt, ExecutionState::Scheduled);
        }
        self.tracker.report_initialization_started(now, attempts.iter().cloned());
        if let Some((folder, metadata)) = &restored {
            let parallelism = self.options.parallelism;
            ensure!(metadata.parallelism == parallelism, "the checkpoint has parallelism {}", metadata.parallelism);
            self.tracker.report_restored(
                RestoredCheckpoint::new(metadata.checkpoint_id, now, self.options.recovery.as_ref() == Some(folder))
                    .with_external_path(folder.display().to_string())
                    .with_state_size(metadata.state_size() as i64)
                    .with_trigger_timestamp(metadata.trigger_timestamp),
            )?;
        }

        let parallelism = self.options.parallelism as usize;
        let inboxes: Vec<_> = attempts.iter().map(|_| Arc::new(Inbox::new(parallelism))).collect();
        // A subtask has only a few reports at a time, so there is room for an operation.
        let (sender, messages) = sync_channel(4 * attempts.len());
        self.gateway.connect(Some(sender.clone()));
        let mut deployment = Deployment { threads: Vec::new(), inboxes, sources: Vec::new(), messages };
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
            self.job.report_deployed(&id, deployed.clone(), SystemClock.now_millis());
            self.failures.report_deployed(&id, deployed);
            self.report_state(&id, ExecutionState::Deploying);
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
            self.report_state(&id, ExecutionState::Initializing);
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
                    self.report_state(&id, ExecutionState::Running);
                    if let Some(stats) = self.tracker.report_initialization_metrics(&id, &metrics)? {
                        self.group.add_span(job_initialization_span(self.identity(), &stats, stats.start_timestamp));
                    }
                }
                // Once all sources are exhausted, the next checkpoint is the last one. It begins
                // without delay.
                Ok(Message::Report(_, Report::Exhausted)) => {
                    exhausted += 1;
                    next_trigger = if exhausted == deployment.sources.len() { Instant::now() } else { next_trigger };
                }
                Ok(Message::Report(id, Report::Acknowledged { checkpoint_id, stats, file, size })) => {
                    self.tracker.report_subtask(checkpoint_id, &id.job_vertex_id, stats)?;
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
                        Err(error) => return Ok(Attempt::Failed(SystemClock.now_millis(), None, error)),
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
                    self.report_state(&id, ExecutionState::Finished);
                }
                Ok(Message::Report(execution, Report::Ended(Err(error)))) => {
                    self.report_state(&execution, ExecutionState::Failed);
                    let timestamp = SystemClock.now_millis();
                    if let Some(Pending { barrier, snapshot, .. }) = pending {
                        self.abort(barrier.checkpoint_id, snapshot, error.as_ref())?;
                    }
                    return Ok(Attempt::Failed(timestamp, Some(execution), error));
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
        let (checkpoint_id, trigger_timestamp) = (self.next_checkpoint_id, SystemClock.now_millis());
        self.next_checkpoint_id += 1;
        self.tracker.report_pending(checkpoint_id, trigger_timestamp, kind, &self.tasks)?;
        let barrier = Barrier { checkpoint_id, trigger_timestamp };
        let command = match outcome {
            Some(Outcome::Stopped) => Command::Stop(barrier),
            _ => Command::Trigger(barrier),
        };
        for source in &deployment.sources {
            // A source that does not receive it has failed, and its report will follow.
            let _ = source.send(command);
        }
        Ok(Pending { barrier, files: BTreeMap::new(), outcome, snapshot })
    }

    /// Completes a checkpoint and deletes earlier ones, or moves a savepoint to its folder.
    fn complete(&mut self, pending: Pending) -> Result<()> {
        let Pending { barrier: Barrier { checkpoint_id, trigger_timestamp }, files, snapshot, .. } = pending;
        let metadata = Metadata { checkpoint_id, trigger_timestamp, parallelism: self.options.parallelism, files };
        let stored = match &snapshot {
            Snapshot::Savepoint(_, folder, _) => self.store.complete_savepoint(folder, &self.job_id, &metadata),
            _ => self.store.complete(&metadata).map(|size| (self.store.path(checkpoint_id), size)),
        };
        let (path, metadata_size) = match stored {
            Ok(stored) => stored,
            Err(error) => {
                self.abort(checkpoint_id, snapshot, error.as_ref())?;
                return Err(error);
            }
        };
        let path = path.display().to_string();
        let stats = self.tracker.report_completed(checkpoint_id, Some(path.clone()), Some(metadata_size as i64))?;
        self.report_checkpoint(&stats);
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
                // The tracker does not know checkpoints of earlier processes.
                let _ = self.tracker.report_discarded(older);
            }
        }
        Ok(())
    }

    /// Reports the failure of a checkpoint.
    fn abort(&self, checkpoint_id: i64, snapshot: Snapshot, error: &dyn std::error::Error) -> Result<()> {
        let failure = CheckpointFailure::new(SystemClock.now_millis(), error.to_string());
        self.report_checkpoint(&self.tracker.report_failed(checkpoint_id, failure)?);
        snapshot.fail(error);
        Ok(())
    }

    /// Ends the job early, and aborts the checkpoint in progress.
    fn interrupt(&self, pending: Option<Pending>, outcome: Outcome) -> Result<Attempt> {
        if let Some(pending) = pending {
            self.abort(pending.barrier.checkpoint_id, pending.snapshot, &Canceled)?;
        }
        Ok(Attempt::Ended(outcome))
    }

    /// Ends all threads and waits for them.
    fn cancel(&mut self, deployment: Deployment, attempt_number: u32, is_interrupted: bool) {
        let Deployment { threads, inboxes, sources, messages } = deployment;
        self.gateway.connect(None);
        drop((sources, messages));
        inboxes.iter().for_each(|inbox| inbox.cancel());
        for thread in threads {
            // Threads have sent their reports before, and a canceled one has none.
            let _ = thread.join();
        }
        if is_interrupted {
            for attempt in self.attempts(attempt_number) {
                self.report_state(&attempt, ExecutionState::Canceled);
            }
        }
        if let Some(partial) = self.tracker.give_up_initialization(SystemClock.now_millis()) {
            let start = partial.stats.start_timestamp;
            self.group.add_span(partial_job_initialization_span(self.identity(), &partial, start));
        }
    }

    fn identity(&self) -> JobIdentity<'_> {
        JobIdentity { cluster: CLUSTER, job_id: &self.job_id }
    }

    fn named(&self) -> NamedJob<'_> {
        self.identity().named(&self.options.name)
    }

    fn report_checkpoint(&self, stats: &CheckpointStats) {
        self.group.add_event(checkpoint_event(self.named(), stats));
        self.group.add_span(checkpoint_span(self.identity(), stats, self.options.detail));
    }

    fn report_status(&mut self, status: JobStatus) -> Result<()> {
        let now = SystemClock.now_millis();
        self.job.report_status(status, now);
        let job = JobIdentity { cluster: CLUSTER, job_id: &self.job_id }.named(&self.options.name);
        if let Some(event) = self.status.report(job, status, now)? {
            self.group.add_event(event);
        }
        Ok(())
    }

    fn report_state(&mut self, attempt: &ExecutionAttemptId, state: ExecutionState) {
        let now = SystemClock.now_millis();
        self.job.report_subtask(attempt, state, now);
        let job = JobIdentity { cluster: CLUSTER, job_id: &self.job_id }.named(&self.options.name);
        if let Some(event) = self.all_subtasks.report(job, self.initialization, attempt, state, now) {
            self.group.add_event(event);
        }
    }
}

/// Describes the job for the REST API.
fn describe(options: &Options, job_id: &str, tasks: &[CheckpointTask]) -> JobInfo {
    let vertex = |index: usize, task: &CheckpointTask| {
        JobVertex::new(task.job_vertex_id.clone(), TASKS[index].to_owned(), task.parallelism).with_inputs(
            index
                .checked_sub(1)
                .map_or(Vec::new(), |before| vec![JobInput::new(tasks[before].job_vertex_id.clone(), "HASH")]),
        )
    };
    let mut externalization = ExternalizedCheckpointInfo::default();
    externalization.enabled = true;
    let mut checkpoints =
        CheckpointConfigInfo::new("exactly_once", i64::try_from(options.interval.as_millis()).unwrap_or(i64::MAX));
    // Checkpoints have no timeout.
    checkpoints.timeout = i64::MAX;
    checkpoints.min_pause = 0;
    checkpoints.max_concurrent = 1;
    checkpoints.externalization = Some(externalization);
    checkpoints.checkpoint_storage = Some("files".to_owned());
    checkpoints.unaligned_checkpoints = Some(false);
    checkpoints.tolerable_failed_checkpoints = Some(0);
    checkpoints.aligned_checkpoint_timeout = Some(0);
    checkpoints.checkpoints_after_tasks_finish = Some(false);
    let mut execution = ExecutionConfigInfo::default();
    execution.restart_strategy = format!("at most {} restarts", options.restarts);
    execution.job_parallelism = options.parallelism.into();
    execution.user_config = BTreeMap::from([("records".to_owned(), options.records.to_string())]);
    JobInfo::new(
        job_id,
        options.name.clone(),
        tasks.iter().enumerate().map(|(index, task)| vertex(index, task)).collect(),
        checkpoints,
    )
    .with_execution(execution)
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
