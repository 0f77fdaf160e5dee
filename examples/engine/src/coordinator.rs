//! The coordinator: deploys the job's subtasks, triggers checkpoints, restarts what failed, and reports all of it to the trackers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use flink_traces_api::{Clock, Identity, SystemClock};
use flink_traces_runtime::{
    AllSubtasksTracker, CheckpointFailure, CheckpointStats, CheckpointStatsTracker, CheckpointTask, CheckpointType,
    DeployedTask, ExecutionAttemptId, ExecutionState, FailureHandlingResult, JobFailureTracker, JobIdentity, JobStatus,
    JobStatusTracker, MetricGroup, RestoredCheckpoint, checkpoint_event, checkpoint_span, job_initialization_span,
    partial_job_initialization_span,
};

use crate::inbox::{Barrier, Canceled, Inbox};
use crate::options::Options;
use crate::store::{Metadata, Store};
use crate::subtask::{Command, Report, Subtask, count, sink, source};

/// What the identities of spans begin with.
const CLUSTER: &str = "engine";
/// The tasks of the job, in the order in which records pass them.
const TASKS: [&str; 3] = ["source", "count", "sink"];

/// Runs one job.
pub(crate) struct Coordinator {
    options: Options,
    store: Store,
    group: MetricGroup,
    job_id: String,
    tasks: Vec<CheckpointTask>,
    next_checkpoint_id: i64,
    tracker: CheckpointStatsTracker,
    status: JobStatusTracker,
    all_subtasks: AllSubtasksTracker,
    failures: JobFailureTracker,
}

/// The threads of one attempt to run the job.
struct Deployment {
    threads: Vec<JoinHandle<()>>,
    inboxes: Vec<Arc<Inbox>>,
    sources: Vec<SyncSender<Command>>,
    reports: Receiver<(ExecutionAttemptId, Report)>,
}

/// A checkpoint in progress: the files that are there.
struct Pending {
    barrier: Barrier,
    files: BTreeMap<String, u64>,
    is_last: bool,
}

/// How an attempt to run the job failed: when, in milliseconds since the epoch, what, and why.
type JobFailed = (i64, ExecutionAttemptId, anyhow::Error);

impl Coordinator {
    /// Takes up the job in `options.directory`, which reports below `job_manager`.
    pub(crate) fn new(options: Options, job_manager: &MetricGroup) -> Result<Self> {
        let store = Store::open(&options.directory)?;
        // The same in the next process, so that a recovery there links to the checkpoint that was taken here.
        let id = |parts: &[&str]| Identity::of(parts).trace_id().to_string();
        let task = |name: &&str| CheckpointTask {
            job_vertex_id: id(&[&options.name, name]),
            task_name: Some((*name).to_owned()),
            parallelism: options.parallelism,
        };
        let tasks = TASKS.iter().map(task).collect();
        let job_id = id(&[&options.name]);
        Ok(Self {
            group: job_manager.add_job(&job_id, &options.name),
            // A number is never used again, not even that of a checkpoint which did not complete.
            next_checkpoint_id: store.ids()?.last().map_or(1, |last| last + 1),
            tracker: CheckpointStatsTracker::new(10).with_span_detail_level(options.detail),
            status: JobStatusTracker::new(JobStatus::Created),
            all_subtasks: AllSubtasksTracker::default(),
            failures: JobFailureTracker::default(),
            options,
            store,
            job_id,
            tasks,
        })
    }

    /// Runs the job until it has finished, or failed once too often. Answers with the statistics of its checkpoints.
    pub(crate) fn run(mut self) -> Result<CheckpointStatsTracker> {
        for attempt_number in 0.. {
            self.report_status(JobStatus::Running)?;
            let deployment = self.deploy(attempt_number)?;
            let result = self.supervise(&deployment);
            self.cancel(deployment, attempt_number);
            let Some((timestamp, execution, error)) = result? else { break };
            let can_restart = u64::from(attempt_number) < self.options.restarts;
            self.group.add_event(self.failures.report_failure(&FailureHandlingResult {
                timestamp,
                failed_execution: Some(&execution),
                error: error.as_ref(),
                error_type: None,
                labels: &[],
                can_restart,
                is_global_failure: Some(false),
            }));
            if !can_restart {
                self.report_status(JobStatus::Failing)?;
                self.report_status(JobStatus::Failed)?;
                return Err(error.context("the job failed for good"));
            }
            self.report_status(JobStatus::Restarting)?;
        }
        self.report_status(JobStatus::Finished)?;
        Ok(self.tracker)
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

    /// Starts a thread for each subtask, from the newest checkpoint that is complete.
    fn deploy(&mut self, attempt_number: u32) -> Result<Deployment> {
        let restored = self.store.latest()?;
        let attempts = self.attempts(attempt_number);
        for attempt in &attempts {
            self.report_state(attempt, ExecutionState::Scheduled);
        }
        let now = SystemClock.now_millis();
        self.tracker.report_initialization_started(now, attempts.iter().cloned());
        if let Some(metadata) = &restored {
            let parallelism = self.options.parallelism;
            ensure!(metadata.parallelism == parallelism, "the checkpoint has parallelism {}", metadata.parallelism);
            self.tracker.report_restored(RestoredCheckpoint {
                checkpoint_id: metadata.checkpoint_id,
                restore_timestamp: now,
                is_savepoint: false,
                external_path: Some(self.store.path(metadata.checkpoint_id).display().to_string()),
                state_size: Some(metadata.state_size() as i64),
                trigger_timestamp: Some(metadata.trigger_timestamp),
            });
        }

        let parallelism = self.options.parallelism as usize;
        let inboxes: Vec<_> = attempts.iter().map(|_| Arc::new(Inbox::new(parallelism))).collect();
        let (tell, reports) = sync_channel(attempts.len());
        let mut deployment = Deployment { threads: Vec::new(), inboxes, sources: Vec::new(), reports };
        for (place, id) in attempts.into_iter().enumerate() {
            let (task, subtask) = (place / parallelism, place % parallelism);
            let next_task = deployment.inboxes.iter().skip((task + 1) * parallelism).take(parallelism);
            // Once: a recovered job does not fail again.
            let fails = (task, subtask, attempt_number) == (1, 0, 0);
            let running = Subtask {
                file: format!("{}-{subtask}.json", TASKS[task]),
                store: self.store.clone(),
                restored: restored.as_ref().map(|metadata| metadata.checkpoint_id),
                fail_at: self.options.fail_at.filter(|_| fails),
                reports: tell.clone(),
                inbox: deployment.inboxes[place].clone(),
                outputs: next_task.map(|inbox| (inbox.clone(), subtask)).collect(),
                deployed: Instant::now(),
                id: id.clone(),
            };
            let task_name = Some(format!("{} ({}/{parallelism})", TASKS[task], subtask + 1));
            let task_manager_id = Some(format!("process {}", std::process::id()));
            self.failures.report_deployed(&id, DeployedTask { task_name, endpoint: None, task_manager_id });
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
        }
        Ok(deployment)
    }

    /// Follows the subtasks until all have finished or one has failed.
    fn supervise(&mut self, deployment: &Deployment) -> Result<Option<JobFailed>> {
        let subtasks = deployment.threads.len();
        let (mut running, mut exhausted, mut finished, mut is_finishing) = (0, 0, 0, false);
        let mut pending: Option<Pending> = None;
        let mut next_trigger = Instant::now() + self.options.interval;
        while finished < subtasks {
            let can_trigger = running == subtasks && pending.is_none() && !is_finishing;
            let wait = match can_trigger {
                true => next_trigger.saturating_duration_since(Instant::now()),
                false => self.options.interval,
            };
            match deployment.reports.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) if can_trigger => {
                    pending = Some(self.trigger(deployment, exhausted == deployment.sources.len())?);
                    next_trigger = Instant::now() + self.options.interval;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(anyhow!("all subtasks are gone without a word")),
                Ok((id, Report::Running(metrics))) => {
                    running += 1;
                    self.report_state(&id, ExecutionState::Running);
                    if let Some(stats) = self.tracker.report_initialization_metrics(&id, &metrics)? {
                        self.group.add_span(job_initialization_span(self.job(), &stats, stats.start_timestamp));
                    }
                }
                // From now on there is no pause between checkpoints: the first that begins now is the last, and has everything.
                Ok((_, Report::Exhausted)) => {
                    exhausted += 1;
                    next_trigger = if exhausted == deployment.sources.len() { Instant::now() } else { next_trigger };
                }
                Ok((id, Report::Acknowledged { checkpoint_id, stats, file, size })) => {
                    self.tracker.report_subtask(checkpoint_id, &id.job_vertex_id, stats)?;
                    let mut current = pending.take().context("nobody asked for a checkpoint")?;
                    current.files.insert(file, size);
                    if current.files.len() < subtasks {
                        pending = Some(current);
                        continue;
                    }
                    is_finishing = current.is_last;
                    self.complete(current)?;
                    for source in deployment.sources.iter().filter(|_| is_finishing) {
                        let _ = source.send(Command::Finish);
                    }
                }
                Ok((id, Report::Ended(Ok(())))) => {
                    finished += 1;
                    self.report_state(&id, ExecutionState::Finished);
                }
                Ok((execution, Report::Ended(Err(error)))) => {
                    self.report_state(&execution, ExecutionState::Failed);
                    let timestamp = SystemClock.now_millis();
                    if let Some(Pending { barrier, .. }) = pending {
                        let failure = CheckpointFailure { timestamp, message: error.to_string() };
                        self.report_checkpoint(&self.tracker.report_failed(barrier.checkpoint_id, failure)?);
                    }
                    return Ok(Some((timestamp, execution, error)));
                }
            }
        }
        Ok(None)
    }

    /// Begins a checkpoint. It is the last if the sources have no more; a job that is to fail does so first.
    fn trigger(&mut self, deployment: &Deployment, are_exhausted: bool) -> Result<Pending> {
        let (checkpoint_id, trigger_timestamp) = (self.next_checkpoint_id, SystemClock.now_millis());
        self.next_checkpoint_id += 1;
        self.tracker.report_pending(checkpoint_id, trigger_timestamp, CheckpointType::Checkpoint, &self.tasks)?;
        let barrier = Barrier { checkpoint_id, trigger_timestamp };
        for source in &deployment.sources {
            // One that does not listen has failed, and its report is on the way.
            let _ = source.send(Command::Trigger(barrier));
        }
        let is_last = are_exhausted && self.options.fail_at.is_none_or(|fail_at| fail_at < checkpoint_id);
        Ok(Pending { barrier, files: BTreeMap::new(), is_last })
    }

    /// Marks a checkpoint as complete, and deletes those before it.
    fn complete(&mut self, pending: Pending) -> Result<()> {
        let Pending { barrier: Barrier { checkpoint_id, trigger_timestamp }, files, .. } = pending;
        let parallelism = self.options.parallelism;
        let metadata_size = self.store.complete(&Metadata { checkpoint_id, trigger_timestamp, parallelism, files })?;
        let path = self.store.path(checkpoint_id).display().to_string();
        let stats = self.tracker.report_completed(checkpoint_id, Some(path), Some(metadata_size as i64))?;
        self.report_checkpoint(&stats);
        for older in self.store.ids()?.into_iter().filter(|id| *id < checkpoint_id) {
            if self.store.discard(older).is_ok() {
                // One of an earlier process is not known to the tracker.
                let _ = self.tracker.report_discarded(older);
            }
        }
        Ok(())
    }

    /// Ends all threads, and waits for them.
    fn cancel(&mut self, deployment: Deployment, attempt_number: u32) {
        let Deployment { threads, inboxes, sources, reports } = deployment;
        drop((sources, reports));
        inboxes.iter().for_each(|inbox| inbox.cancel());
        for thread in threads {
            // What it had to say is said; whoever is cancelled now has nothing more.
            let _ = thread.join();
        }
        if !self.all_subtasks.is_all_running_or_finished() {
            for attempt in self.attempts(attempt_number) {
                self.report_state(&attempt, ExecutionState::Canceled);
            }
        }
        if let Some(partial) = self.tracker.give_up_initialization(SystemClock.now_millis()) {
            let start = partial.stats.start_timestamp;
            self.group.add_span(partial_job_initialization_span(self.job(), &partial, start));
        }
    }

    fn job(&self) -> JobIdentity<'_> {
        JobIdentity { cluster: CLUSTER, job_id: &self.job_id }
    }

    fn report_checkpoint(&self, stats: &CheckpointStats) {
        self.group.add_event(checkpoint_event(stats));
        self.group.add_span(checkpoint_span(self.job(), stats, self.options.detail));
    }

    fn report_status(&mut self, status: JobStatus) -> Result<()> {
        if let Some(event) = self.status.report(status, SystemClock.now_millis())? {
            self.group.add_event(event);
        }
        Ok(())
    }

    fn report_state(&mut self, attempt: &ExecutionAttemptId, state: ExecutionState) {
        if let Some(event) = self.all_subtasks.report(attempt, state, SystemClock.now_millis()) {
            self.group.add_event(event);
        }
    }
}

/// Starts a thread that tells how it ended, unless it was cancelled.
fn spawn(task: Subtask, run: impl FnOnce(&Subtask) -> Result<()> + Send + 'static) -> Result<JoinHandle<()>> {
    let thread = thread::Builder::new().name(task.file.clone());
    let spawned = thread.spawn(move || {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&task)));
        let result = result.unwrap_or_else(|_| Err(anyhow!("panicked")));
        if !result.as_ref().is_err_and(|error| error.is::<Canceled>()) {
            let _ = task.reports.send((task.id.clone(), Report::Ended(result)));
        }
    });
    spawned.context("no thread for a subtask")
}
