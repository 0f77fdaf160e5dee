//! A job of an engine: its graph, status, subtasks and failures.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flink_rest::types::{CheckpointConfigInfo, ExceptionInfo};
use flink_rest::{InvalidId, JobId, JobVertexId};

use super::job_info::JobInfo;
use crate::causes::with_java_causes;
use crate::checkpoint::CheckpointStatsTracker;
use crate::job::{DeployedTask, ExecutionAttemptId, ExecutionState, FailureHandlingResult, JobStatus, JobVertex};

/// The number that Flink writes for an unset value in maps and in fields that old versions lack.
pub(super) const UNSET: i64 = -1;
/// Flink's default of `web.exception-history-size`.
const EXCEPTION_HISTORY_SIZE: usize = 16;
/// Flink's default of `jobmanager.execution.attempts-history-size`.
const ATTEMPTS_HISTORY_SIZE: usize = 16;

/// The state of a job as its engine reports it. Flink's `ExecutionGraph` over REST.
///
/// It takes the same reports as [`JobStatusTracker`](crate::job::JobStatusTracker),
/// [`AllSubtasksTracker`](crate::job::AllSubtasksTracker) and
/// [`JobFailureTracker`](crate::job::JobFailureTracker), but builds no events. Each report holds a
/// lock for a few map operations. Reports of unknown vertices and subtasks are ignored. See
/// [`TrackedCluster`](super::TrackedCluster) for an example.
#[derive(Debug)]
pub struct TrackedJob {
    pub(super) info: JobInfo,
    pub(super) job_id: JobId,
    pub(super) vertex_ids: Vec<JobVertexId>,
    checkpoints: Arc<CheckpointStatsTracker>,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) status: JobStatus,
    pub(super) start_time: i64,
    pub(super) last_modification: i64,
    /// The time at which the job last entered each status.
    pub(super) timestamps: BTreeMap<JobStatus, i64>,
    /// The subtasks, by index of the vertex and of the subtask.
    pub(super) subtasks: Vec<Vec<Subtask>>,
    /// The replaced attempts, by index of the vertex and of the subtask, newest first.
    pub(super) earlier: BTreeMap<(usize, usize), VecDeque<Subtask>>,
    /// The failures, newest first.
    pub(super) failures: VecDeque<ExceptionInfo>,
    pub(super) is_truncated: bool,
}

/// The current attempt of a subtask.
#[derive(Debug, Clone)]
pub(super) struct Subtask {
    pub(super) attempt_number: u32,
    pub(super) state: ExecutionState,
    pub(super) timestamps: BTreeMap<ExecutionState, i64>,
    pub(super) task: DeployedTask,
}

impl Subtask {
    fn new(attempt_number: u32, ts_millis: i64) -> Self {
        let state = ExecutionState::Created;
        Self { attempt_number, state, timestamps: BTreeMap::from([(state, ts_millis)]), task: DeployedTask::default() }
    }

    pub(super) fn at(&self, states: &[ExecutionState]) -> Option<i64> {
        states.iter().find_map(|state| self.timestamps.get(state)).copied()
    }

    pub(super) fn start_time(&self) -> Option<i64> {
        self.at(&[ExecutionState::Deploying])
    }

    pub(super) fn end_time(&self) -> Option<i64> {
        self.at(&[ExecutionState::Finished, ExecutionState::Canceled, ExecutionState::Failed])
    }
}

impl TrackedJob {
    /// Creates a job in status `initial` since `ts_millis`, in milliseconds since the epoch.
    ///
    /// # Errors
    ///
    /// Returns an error if the id of the job or of a vertex cannot be part of a path.
    pub fn new(
        info: JobInfo,
        checkpoints: Arc<CheckpointStatsTracker>,
        initial: JobStatus,
        ts_millis: i64,
    ) -> Result<Self, InvalidId> {
        let job_id = JobId::new(info.job_id.as_str())?;
        let vertex_ids: Result<_, _> =
            info.vertices.iter().map(|vertex| JobVertexId::new(vertex.job_vertex_id.as_str())).collect();
        let subtasks = |vertex: &JobVertex| vec![Subtask::new(0, ts_millis); vertex.parallelism as usize];
        let state = State {
            status: initial,
            start_time: ts_millis,
            last_modification: ts_millis,
            timestamps: BTreeMap::from([(initial, ts_millis)]),
            subtasks: info.vertices.iter().map(subtasks).collect(),
            earlier: BTreeMap::new(),
            failures: VecDeque::new(),
            is_truncated: false,
        };
        Ok(Self { job_id, vertex_ids: vertex_ids?, info, checkpoints, state: Mutex::new(state) })
    }

    /// Returns the tracker of the job's checkpoints.
    pub fn checkpoints(&self) -> &CheckpointStatsTracker {
        &self.checkpoints
    }

    /// Returns the current status.
    pub fn status(&self) -> JobStatus {
        self.lock().status
    }

    /// Reports that the job changed to `status` at `ts_millis`, in milliseconds since the epoch.
    ///
    /// The report is ignored if the job has ended.
    pub fn report_status(&self, status: JobStatus, ts_millis: i64) {
        let mut state = self.lock();
        if state.status != status && !state.status.is_terminal() {
            state.status = status;
            state.timestamps.insert(status, ts_millis);
            state.last_modification = state.last_modification.max(ts_millis);
        }
    }

    /// Reports that an attempt entered `subtask_state` at `ts_millis`, in milliseconds since the
    /// epoch.
    ///
    /// A later attempt replaces an earlier one of the same subtask. Reports of earlier attempts and
    /// of ended attempts are ignored.
    pub fn report_subtask(&self, attempt: &ExecutionAttemptId, subtask_state: ExecutionState, ts_millis: i64) {
        let mut state = self.lock();
        state.last_modification = state.last_modification.max(ts_millis);
        let current = self.current(&mut state, attempt, ts_millis);
        if let Some(subtask) = current.filter(|subtask| !subtask.state.is_terminal()) {
            subtask.state = subtask_state;
            subtask.timestamps.insert(subtask_state, ts_millis);
        }
    }

    /// Reports that an attempt was deployed.
    pub fn report_deployed(&self, attempt: &ExecutionAttemptId, task: DeployedTask, ts_millis: i64) {
        if let Some(subtask) = self.current(&mut self.lock(), attempt, ts_millis) {
            subtask.task = task;
        }
    }

    /// Reports a failure that the scheduler handled. The last 16 are kept.
    pub fn report_failure(&self, failure: &FailureHandlingResult<'_>) {
        let mut state = self.lock();
        let attempt = failure.failed_execution;
        let task = attempt.and_then(|attempt| self.subtask(&state, attempt)).map(|subtask| subtask.task.clone());
        let task = task.unwrap_or_default();
        let name = attempt.and_then(|attempt| self.task_name(attempt, task.task_name.as_deref()));
        let mut exception = ExceptionInfo::new(failure.timestamp);
        exception.exception_name = failure.error_type.unwrap_or_default().to_owned();
        exception.stacktrace = stacktrace(failure);
        exception.failure_labels = Some(failure.labels.iter().cloned().collect());
        exception.task_name = name;
        exception.endpoint = task.endpoint;
        exception.task_manager_id = task.task_manager_id;
        exception.concurrent_exceptions = Some(Vec::new());
        state.failures.push_front(exception);
        state.is_truncated |= state.failures.len() > EXCEPTION_HISTORY_SIZE;
        state.failures.truncate(EXCEPTION_HISTORY_SIZE);
    }

    pub(super) fn id(&self) -> &JobId {
        &self.job_id
    }

    /// Returns the number of running subtasks of each vertex, by the id of their TaskManager.
    pub(super) fn deployed(&self) -> BTreeMap<String, Vec<usize>> {
        let state = self.lock();
        let mut workers = BTreeMap::<_, Vec<_>>::new();
        // An engine need not report the subtasks of a job that has ended.
        let vertices = state.subtasks.iter().enumerate().filter(|_| !state.status.is_terminal());
        for (vertex, subtasks) in vertices {
            for subtask in subtasks.iter().filter(|subtask| !subtask.state.is_terminal()) {
                if let Some(id) = &subtask.task.task_manager_id {
                    let counts = workers.entry(id.clone()).or_default();
                    counts.resize(state.subtasks.len(), 0);
                    counts[vertex] += 1;
                }
            }
        }
        workers
    }

    pub(super) fn checkpoint_config(&self) -> &CheckpointConfigInfo {
        &self.info.checkpoints
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn vertex_index(&self, job_vertex_id: &str) -> Option<usize> {
        self.info.vertices.iter().position(|vertex| vertex.job_vertex_id == job_vertex_id)
    }

    fn subtask<'a>(&self, state: &'a State, attempt: &ExecutionAttemptId) -> Option<&'a Subtask> {
        let subtask = state.subtasks[self.vertex_index(&attempt.job_vertex_id)?].get(attempt.subtask_index as usize)?;
        (subtask.attempt_number == attempt.attempt_number).then_some(subtask)
    }

    /// Returns the subtask of an attempt, which becomes the current one if it is later.
    fn current<'a>(
        &self,
        state: &'a mut State,
        attempt: &ExecutionAttemptId,
        ts_millis: i64,
    ) -> Option<&'a mut Subtask> {
        let (vertex, index) = (self.vertex_index(&attempt.job_vertex_id)?, attempt.subtask_index as usize);
        let subtask = state.subtasks[vertex].get_mut(index)?;
        if subtask.attempt_number < attempt.attempt_number {
            let replaced = std::mem::replace(subtask, Subtask::new(attempt.attempt_number, ts_millis));
            let earlier = state.earlier.entry((vertex, index)).or_default();
            earlier.push_front(replaced);
            earlier.truncate(ATTEMPTS_HISTORY_SIZE);
        }
        (subtask.attempt_number == attempt.attempt_number).then_some(subtask)
    }

    /// Returns the name in Flink's exception history.
    fn task_name(&self, attempt: &ExecutionAttemptId, known: Option<&str>) -> Option<String> {
        let vertex = &self.info.vertices[self.vertex_index(&attempt.job_vertex_id)?];
        Some(match known {
            Some(name) => attempt.named(name),
            None => attempt.in_vertex(&vertex.name, vertex.parallelism),
        })
    }
}

/// Formats a failure like Java, with class, message and causes.
fn stacktrace(failure: &FailureHandlingResult<'_>) -> String {
    let text = match failure.error_type {
        Some(kind) => format!("{kind}: {}", failure.error),
        None => failure.error.to_string(),
    };
    with_java_causes(text, failure.error)
}
