//! The handle of one job.

use std::error::Error;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[cfg(feature = "rest")]
use flink_rest::{
    InvalidId,
    types::{CheckpointConfigInfo, ExecutionConfigInfo},
};
use flink_traces_api::{Clock, EventBuilder, SpanBuilder, Timestamp};

use crate::checkpoint::{
    CheckpointFailure, CheckpointStats, CheckpointStatsTracker, TrackerError, checkpoint_event, checkpoint_span,
};
use crate::config::SpanDetailLevel;
use crate::dispatch::MetricGroup;
use crate::job::{
    AllSubtasksTracker, CLUSTER_NAME, DeployedTask, ExecutionAttemptId, ExecutionState, FailureHandlingResult,
    JobEnded, JobFailureTracker, JobIdentity, JobStatus, JobStatusTracker, JobVertex, NamedJob,
};
#[cfg(feature = "rest")]
use crate::rest::{JobInfo, TrackedJob};

/// Flink's default of `web.checkpoints.history`.
const HISTORY_SIZE: usize = 10;

/// A builder of a [`JobHandle`]. [`Reporting::job_builder`](super::Reporting::job_builder) returns
/// it.
#[must_use]
pub struct JobBuilder {
    cluster: String,
    job_id: String,
    name: String,
    group: MetricGroup,
    detail: SpanDetailLevel,
    clock: Arc<dyn Clock>,
    status: JobStatus,
    history_size: usize,
    interval: Option<Duration>,
    timeout: Option<Duration>,
    vertices: Vec<JobVertex>,
    #[cfg(feature = "rest")]
    checkpoint_config: Option<CheckpointConfigInfo>,
    #[cfg(feature = "rest")]
    execution_config: ExecutionConfigInfo,
}

impl JobBuilder {
    pub(super) fn new(
        cluster: &str,
        job_id: String,
        name: String,
        job_manager: &MetricGroup,
        detail: SpanDetailLevel,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        Self {
            group: job_manager.add_job(&job_id, &name),
            cluster: cluster.to_owned(),
            job_id,
            name,
            detail,
            clock: clock.clone(),
            status: JobStatus::Created,
            history_size: HISTORY_SIZE,
            interval: None,
            timeout: None,
            vertices: Vec::new(),
            #[cfg(feature = "rest")]
            checkpoint_config: None,
            #[cfg(feature = "rest")]
            execution_config: ExecutionConfigInfo::default(),
        }
    }

    /// Sets the vertices of the job's graph, in topological order.
    ///
    /// They name the subtasks in failures, and the REST view shows them.
    pub fn vertices(mut self, vertices: impl IntoIterator<Item = JobVertex>) -> Self {
        self.vertices = vertices.into_iter().collect();
        self
    }

    /// Sets the initial status, for which there is no event. The default is `CREATED`.
    pub fn status(mut self, status: JobStatus) -> Self {
        self.status = status;
        self
    }

    /// Sets the number of checkpoints that the history keeps. The default is 10.
    pub fn history_size(mut self, checkpoints: usize) -> Self {
        self.history_size = checkpoints;
        self
    }

    /// Sets the time between two checkpoints, which spans repeat.
    pub fn checkpoint_interval(mut self, interval: Duration) -> Self {
        self.interval = Some(interval);
        self
    }

    /// Sets the time after which a checkpoint expires, which spans repeat.
    pub fn checkpoint_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the children of the job's spans, instead of the level of the configuration.
    pub fn span_detail_level(mut self, detail: SpanDetailLevel) -> Self {
        self.detail = detail;
        self
    }

    /// Sets the checkpoint configuration in the REST view.
    ///
    /// The default has the interval and the timeout of this builder.
    #[cfg(feature = "rest")]
    #[cfg_attr(docsrs, doc(cfg(feature = "rest")))]
    pub fn checkpoint_config(mut self, config: CheckpointConfigInfo) -> Self {
        self.checkpoint_config = Some(config);
        self
    }

    /// Sets the execution configuration in the REST view.
    #[cfg(feature = "rest")]
    #[cfg_attr(docsrs, doc(cfg(feature = "rest")))]
    pub fn execution_config(mut self, config: ExecutionConfigInfo) -> Self {
        self.execution_config = config;
        self
    }

    /// Creates the job. Its history begins now.
    pub fn build(self) -> JobHandle {
        let now = self.clock.now_millis();
        let checkpoints = CheckpointStatsTracker::builder(self.history_size)
            .span_detail_level(self.detail)
            .checkpoint_interval_ms(self.interval.map(millis))
            .checkpoint_timeout_ms(self.timeout.map(millis));
        let checkpoints = Arc::new(checkpoints.build());
        let mut failures = JobFailureTracker::default();
        for vertex in &self.vertices {
            failures.report_vertex(&vertex.job_vertex_id, &vertex.name, vertex.parallelism);
        }
        let state = State {
            status: JobStatusTracker::new(self.status),
            subtasks: AllSubtasksTracker::default(),
            failures,
            initialization: (None, now),
        };
        let job = Job {
            #[cfg(feature = "rest")]
            tracked: self.tracked(&checkpoints, now),
            cluster: self.cluster,
            job_id: self.job_id,
            name: self.name,
            group: self.group,
            detail: self.detail,
            clock: self.clock,
            checkpoints,
            state: Mutex::new(state),
        };
        JobHandle { job: Arc::new(job), at: None }
    }

    #[cfg(feature = "rest")]
    fn tracked(&self, checkpoints: &Arc<CheckpointStatsTracker>, now: i64) -> Result<Arc<TrackedJob>, InvalidId> {
        let config = self.checkpoint_config.clone().unwrap_or_else(|| {
            let mut config = CheckpointConfigInfo::new("exactly_once", self.interval.map_or(i64::MAX, millis));
            config.timeout = Some(self.timeout.map_or(i64::MAX, millis));
            config.min_pause = Some(0);
            config.max_concurrent = Some(1);
            config
        });
        let info = JobInfo::new(self.job_id.clone(), self.name.clone(), self.vertices.clone(), config)
            .with_execution(self.execution_config.clone());
        TrackedJob::new(info, checkpoints.clone(), self.status, now).map(Arc::new)
    }
}

/// A handle of one job, which takes each report of an engine once.
///
/// It feeds all trackers of the job, and with the feature `rest` also its REST view. It adds
/// Flink's events and spans to the job's metric group, in Flink's order. It is a cheap handle for
/// any thread, which never waits for a reporter. [`Reporting::job`](super::Reporting::job) creates
/// it.
///
/// A report that Flink's JobMaster would not make is an error, which changes nothing.
///
/// # Examples
///
/// ```
/// use flink_traces_runtime::job::{ExecutionAttemptId, ExecutionState, JobStatus, JobVertex};
/// use flink_traces_runtime::reporting::{InitializedSubtask, Reporting};
/// # use flink_traces_log::Log;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let reporting = Reporting::builder().reporter(Log::new()).start()?;
/// let job = reporting
///     .job_builder("0a4480b1aa43ca25b4801a22462f387a", "word count")
///     .vertices([JobVertex::new("a0", "map", 1)])
///     .build();
/// let attempt = ExecutionAttemptId::new("a0", 0, 0);
///
/// job.status(JobStatus::Running)?;
/// let initialization = job.initialization([attempt.clone()]);
/// job.subtask(&attempt, ExecutionState::Scheduled);
/// initialization.initialized(&attempt, InitializedSubtask::completed())?;
/// job.subtask(&attempt, ExecutionState::Running);
///
/// job.subtask(&attempt, ExecutionState::Failed);
/// job.failure(Some(&attempt), &std::io::Error::other("disk full"), true);
/// job.status(JobStatus::Restarting)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct JobHandle {
    pub(super) job: Arc<Job>,
    /// The time of all reports through this handle; `None` for the current time.
    at: Option<Timestamp>,
}

pub(super) struct Job {
    cluster: String,
    job_id: String,
    name: String,
    group: MetricGroup,
    detail: SpanDetailLevel,
    clock: Arc<dyn Clock>,
    pub(super) checkpoints: Arc<CheckpointStatsTracker>,
    state: Mutex<State>,
    #[cfg(feature = "rest")]
    tracked: Result<Arc<TrackedJob>, InvalidId>,
}

pub(super) struct State {
    status: JobStatusTracker,
    subtasks: AllSubtasksTracker,
    failures: JobFailureTracker,
    /// The restored checkpoint and the start of the last initialization.
    pub(super) initialization: (Option<i64>, i64),
}

impl JobHandle {
    /// Returns a handle whose reports happen at `time` instead of now.
    #[must_use]
    pub fn at(&self, time: impl Into<Timestamp>) -> Self {
        Self { job: self.job.clone(), at: Some(time.into()) }
    }

    /// Reports that a checkpoint failed before its trigger, for instance because not all tasks run.
    ///
    /// As in Flink, it is counted and has no span and no event.
    pub fn fail_before_trigger(&self, cause: impl Display) {
        self.job.checkpoints.report_failed_before_trigger(CheckpointFailure::new(self.now(), cause.to_string()));
    }

    /// Reports that a completed checkpoint was removed from storage.
    ///
    /// # Errors
    ///
    /// Returns an error if the checkpoint is unknown or has not completed. For a checkpoint older
    /// than the history, this is normal.
    pub fn discard(&self, checkpoint_id: i64) -> Result<(), TrackerError> {
        self.job.checkpoints.report_discarded(checkpoint_id)
    }

    /// Reports that the job changed to `status`. The event is Flink's `JobStatusChangeEvent`.
    ///
    /// The status that the job already has changes nothing.
    ///
    /// # Errors
    ///
    /// Returns an error if the job has ended.
    pub fn status(&self, status: JobStatus) -> Result<(), JobEnded> {
        let now = self.now();
        let mut state = self.job.lock();
        let event = state.status.report(self.job.named(), status, now)?;
        #[cfg(feature = "rest")]
        self.with_tracked(|tracked| tracked.report_status(status, now));
        if let Some(event) = event {
            self.job.add_event(event);
        }
        Ok(())
    }

    /// Returns the current status.
    pub fn current_status(&self) -> JobStatus {
        self.job.lock().status.status()
    }

    /// Reports that an attempt entered `state`.
    ///
    /// The event is Flink's `AllSubtasksStatusChangeEvent`, when all scheduled subtasks run and
    /// when one of them no longer does. Schedule all attempts before the first one starts.
    pub fn subtask(&self, attempt: &ExecutionAttemptId, state: ExecutionState) {
        let (now, job) = (self.now(), &self.job);
        #[cfg(feature = "rest")]
        self.with_tracked(|tracked| tracked.report_subtask(attempt, state, now));
        let mut trackers = job.lock();
        let (restored, start) = trackers.initialization;
        let initialization = job.identity().initialization(restored, start);
        if let Some(event) = trackers.subtasks.report(job.named(), initialization, attempt, state, now) {
            job.add_event(event);
        }
    }

    /// Reports the location at which an attempt was deployed.
    ///
    /// Failures and the REST view show it.
    pub fn deployed(&self, attempt: &ExecutionAttemptId, task: DeployedTask) {
        #[cfg(feature = "rest")]
        self.with_tracked(|tracked| tracked.report_deployed(attempt, task.clone(), self.now()));
        self.job.lock().failures.report_deployed(attempt, task);
    }

    /// Reports a failure that the scheduler handled, of an attempt or of the whole job.
    ///
    /// The event is Flink's `JobFailureEvent`. `can_restart` is `true` if the job restarts.
    pub fn failure(&self, attempt: Option<&ExecutionAttemptId>, error: &dyn Error, can_restart: bool) {
        let failure = FailureHandlingResult::new(self.now(), error, can_restart)
            .with_failed_execution(attempt)
            .with_global_failure(attempt.is_none());
        self.report_failure(&failure);
    }

    /// Reports a failure with its own time, labels and type.
    pub fn report_failure(&self, failure: &FailureHandlingResult<'_>) {
        #[cfg(feature = "rest")]
        self.with_tracked(|tracked| tracked.report_failure(failure));
        let state = self.job.lock();
        self.job.add_event(state.failures.report_failure(self.job.named(), failure));
    }

    /// Returns the metric group of the job, for spans and events of the engine's own.
    pub fn metric_group(&self) -> &MetricGroup {
        &self.job.group
    }

    /// Returns the tracker of the checkpoints, for its snapshots and gauges.
    pub fn checkpoints(&self) -> &CheckpointStatsTracker {
        &self.job.checkpoints
    }

    /// Returns the job's REST view, for a [`TrackedCluster`](crate::rest::TrackedCluster).
    ///
    /// # Errors
    ///
    /// Returns an error if the id of the job or of a vertex cannot be part of a path.
    #[cfg(feature = "rest")]
    #[cfg_attr(docsrs, doc(cfg(feature = "rest")))]
    pub fn tracked(&self) -> Result<Arc<TrackedJob>, InvalidId> {
        self.job.tracked.clone()
    }

    #[cfg(feature = "rest")]
    fn with_tracked(&self, report: impl FnOnce(&TrackedJob)) {
        if let Ok(tracked) = &self.job.tracked {
            report(tracked);
        }
    }

    pub(super) fn now(&self) -> i64 {
        self.at.map_or_else(|| self.job.clock.now_millis(), Timestamp::as_millis)
    }
}

impl std::fmt::Debug for JobHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Job { job_id, name, .. } = &*self.job;
        f.debug_struct("JobHandle").field("job_id", job_id).field("name", name).field("at", &self.at).finish()
    }
}

impl Job {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn identity(&self) -> JobIdentity<'_> {
        JobIdentity { cluster: &self.cluster, job_id: &self.job_id }
    }

    fn named(&self) -> NamedJob<'_> {
        self.identity().named(&self.name)
    }

    /// Adds the event and then the span of a checkpoint that ended.
    pub(super) fn add_checkpoint(&self, stats: &CheckpointStats) {
        self.add_event(checkpoint_event(self.named(), stats));
        let span = |detail| self.with_cluster(checkpoint_span(self.identity(), stats, detail));
        self.group.add_span_of_levels(self.detail, stats.is_ordinary, span);
    }

    pub(super) fn add_span(&self, span: SpanBuilder) {
        self.group.add_span(self.with_cluster(span));
    }

    fn with_cluster(&self, span: SpanBuilder) -> SpanBuilder {
        match self.cluster.as_str() {
            "" => span,
            name => span.extension_attribute(CLUSTER_NAME, name.to_owned()),
        }
    }

    fn add_event(&self, event: EventBuilder) {
        self.group.add_event(match self.cluster.as_str() {
            "" => event,
            name => event.extension_attribute(CLUSTER_NAME, name.to_owned()),
        });
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
