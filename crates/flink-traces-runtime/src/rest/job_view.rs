//! The state of a tracked job in the JSON types of Flink's REST API.

use std::collections::BTreeMap;

use flink_rest::types::{
    ApplicationDetails, ApplicationDetailsInfo, ApplicationExceptionHistory, ApplicationExceptionInfo,
    ApplicationExceptionsInfoWithHistory, ExceptionInfo, JobConfigInfo, JobDetails, JobDetailsInfo,
    JobDetailsVertexInfo, JobExceptionHistory, JobExceptionsInfoWithHistory, JobVertexDetailsInfo,
    JobVertexTaskManagersInfo, Plan, PlanInput, PlanNode, SubtaskAccumulatorsInfo, SubtaskExecutionAttemptDetailsInfo,
    SubtaskTimeInfo, SubtasksAllAccumulatorsInfo, SubtasksTimesInfo, TaskCounts, VertexTaskManagerInfo,
};
use flink_rest::{ApplicationId, InvalidId, JobVertexId, OpenEnum};

use super::job::{State, Subtask, TrackedJob, UNSET};
use crate::job::{ExecutionState, JobStatus};

const UNASSIGNED: &str = "(unassigned)";

impl TrackedJob {
    pub(super) fn details(&self, now: i64) -> JobDetails {
        let state = self.lock();
        let all = || state.subtasks.iter().flatten();
        let count = |wanted: ExecutionState| all().filter(|subtask| subtask.state == wanted).count() as i64;
        let mut tasks = TaskCounts::default();
        tasks.total = all().count() as i64;
        tasks.created = count(ExecutionState::Created);
        tasks.scheduled = count(ExecutionState::Scheduled);
        tasks.deploying = count(ExecutionState::Deploying);
        tasks.reconciling = count(ExecutionState::Reconciling);
        tasks.initializing = Some(count(ExecutionState::Initializing));
        tasks.running = count(ExecutionState::Running);
        tasks.finished = count(ExecutionState::Finished);
        tasks.canceling = count(ExecutionState::Canceling);
        tasks.canceled = count(ExecutionState::Canceled);
        tasks.failed = count(ExecutionState::Failed);
        let mut details = JobDetails::new(self.job_id.clone(), state.start_time, state.status);
        details.name = self.info.name.clone();
        details.end_time = state.end_time();
        details.duration = state.duration(now);
        details.last_modification = Some(state.last_modification);
        details.tasks = tasks;
        details.pending_operators = Some(0);
        details.job_type = Some("STREAMING".to_owned());
        details.scheduler_type = Some("Default".to_owned());
        details
    }

    /// Returns the application of this job. It has the job's id and no other job.
    pub(super) fn application(&self, now: i64) -> Result<ApplicationDetails, InvalidId> {
        let job = self.details(now);
        let mut application = ApplicationDetails::new(
            ApplicationId::new(self.job_id.as_str())?,
            application_status(self.status()).to_owned(),
        );
        application.name = job.name;
        application.start_time = Some(job.start_time);
        application.end_time = job.end_time;
        application.duration = job.duration;
        application.jobs = [(job.state, 1)].into();
        Ok(application)
    }

    pub(super) fn application_info(&self, now: i64) -> Result<ApplicationDetailsInfo, InvalidId> {
        let ApplicationDetails { id, name, start_time, end_time, duration, status, .. } = self.application(now)?;
        let state = self.lock();
        let entered = |status: &str| {
            let at = state.timestamps.iter().filter(|(known, _)| application_status(**known) == status);
            (status.to_owned(), at.map(|(_, at)| *at).min().unwrap_or(0))
        };
        let timestamps = APPLICATION_STATUSES.map(entered).into();
        drop(state);
        let jobs = vec![self.details(now)];
        let mut application = ApplicationDetailsInfo::new(id, status);
        application.name = name;
        application.start_time = start_time;
        application.end_time = end_time;
        application.duration = duration;
        application.timestamps = timestamps;
        application.jobs = jobs;
        Ok(application)
    }

    pub(super) fn details_info(&self, now: i64) -> JobDetailsInfo {
        let state = self.lock();
        let vertices: Vec<_> =
            (0..self.info.vertices.len()).map(|index| self.vertex_info(&state, index, now)).collect();
        let mut status_counts: BTreeMap<_, _> = ExecutionState::ALL.map(|wanted| (wanted.into(), 0)).into();
        for vertex in &vertices {
            *status_counts.entry(vertex.status.clone()).or_default() += 1;
        }
        let entered = |status: JobStatus| (status.into(), state.timestamps.get(&status).copied().unwrap_or(0));
        let mut other = flink_rest::types::Other::new();
        other.insert("isStoppable".to_owned(), false.into());
        other.insert("maxParallelism".to_owned(), UNSET.into());
        let mut details = JobDetailsInfo::new(self.job_id.clone(), state.status, state.start_time);
        details.name = self.info.name.clone();
        details.end_time = state.end_time();
        details.duration = state.duration(now);
        details.now = Some(now);
        details.timestamps = JobStatus::ALL.map(entered).into();
        details.vertices = vertices;
        details.status_counts = status_counts;
        details.job_type = Some("STREAMING".to_owned());
        details.scheduler_type = Some("Default".to_owned());
        details.pending_operators = Some(0);
        details.application_id = Some(self.info.job_id.clone());
        details.plan = Some(self.plan());
        details.other = other;
        details
    }

    fn vertex_info(&self, state: &State, index: usize, now: i64) -> JobDetailsVertexInfo {
        let vertex = &self.info.vertices[index];
        let Combined { status, start_time, end_time, counts } = Combined::of(state.subtasks[index].iter());
        let mut info = JobDetailsVertexInfo::new(self.vertex_ids[index].clone(), status);
        info.name = vertex.name.clone();
        info.parallelism = Some(vertex.parallelism.into());
        info.max_parallelism = Some(vertex.max_parallelism.map_or(UNSET, i64::from));
        info.start_time = start_time;
        info.end_time = end_time;
        info.duration = duration(start_time, end_time, now);
        info.tasks = counts;
        // These metrics are unknown. The web UI shows zeros.
        info.metrics = Some(Default::default());
        info
    }

    pub(super) fn plan(&self) -> Plan {
        // The web UI draws edges only to vertices that it already has, so the sinks come first.
        let nodes = self.info.vertices.iter().rev().map(|vertex| {
            let inputs = vertex.inputs.iter().zip(0..).map(|(input, num)| {
                let mut edge = PlanInput::default();
                edge.num = num;
                edge.id = input.job_vertex_id.clone();
                edge.ship_strategy = Some(input.ship_strategy.clone());
                edge.exchange = "pipelined_bounded".to_owned();
                edge
            });
            let mut other = flink_rest::types::Other::new();
            other.insert("optimizer_properties".to_owned(), serde_json::Value::Object(Default::default()));
            let mut node = PlanNode::default();
            node.id = vertex.job_vertex_id.clone();
            node.parallelism = vertex.parallelism.into();
            node.description = html(&vertex.name);
            node.inputs = inputs.collect();
            node.other = other;
            node
        });
        let mut plan = Plan::default();
        plan.jid = self.info.job_id.clone();
        plan.name = self.info.name.clone();
        plan.kind = Some("STREAMING".to_owned());
        plan.nodes = nodes.collect();
        plan
    }

    pub(super) fn config(&self) -> JobConfigInfo {
        let mut config = JobConfigInfo::new(self.job_id.clone());
        config.name = self.info.name.clone();
        config.execution_config = Some(self.info.execution.clone());
        config
    }

    /// Returns the failure that ended the job.
    pub(super) fn application_exceptions(&self) -> ApplicationExceptionsInfoWithHistory {
        let state = self.lock();
        let last = state.failures.front().filter(|_| state.status == JobStatus::Failed);
        let entries = last.into_iter().map(|failure| {
            let mut exception = ApplicationExceptionInfo::new(failure.timestamp);
            exception.exception_name = failure.exception_name.clone();
            exception.stacktrace = failure.stacktrace.clone();
            exception.job_id = Some(self.job_id.clone());
            exception
        });
        let exception_history = ApplicationExceptionHistory::new(entries.collect());
        ApplicationExceptionsInfoWithHistory::new(exception_history)
    }

    /// Returns at most `most` failures that have all of `labels`.
    pub(super) fn exceptions(&self, most: usize, labels: &[(String, String)]) -> JobExceptionsInfoWithHistory {
        let state = self.lock();
        let has_all = |failure: &&ExceptionInfo| {
            let known = failure.failure_labels.as_ref();
            labels.iter().all(|(key, value)| known.and_then(|known| known.get(key)) == Some(value))
        };
        let mut entries: Vec<_> = state.failures.iter().filter(has_all).take(most.saturating_add(1)).cloned().collect();
        let truncated = state.is_truncated || entries.len() > most;
        entries.truncate(most);
        let mut history = JobExceptionHistory::new(entries);
        history.truncated = truncated;
        let mut exceptions = JobExceptionsInfoWithHistory::default();
        exceptions.exception_history = Some(history);
        exceptions
    }

    pub(super) fn vertex(&self, vertex: &JobVertexId, now: i64) -> Option<JobVertexDetailsInfo> {
        let vertex_index = self.vertex_index(vertex.as_str())?;
        let state = self.lock();
        let subtasks =
            state.subtasks[vertex_index].iter().zip(0..).map(|(subtask, index)| attempt_info(subtask, index, now));
        let mut info = JobVertexDetailsInfo::new(vertex.clone(), subtasks.collect());
        info.name = self.info.vertices[vertex_index].name.clone();
        info.parallelism = Some(self.info.vertices[vertex_index].parallelism.into());
        info.max_parallelism = Some(self.info.vertices[vertex_index].max_parallelism.map_or(UNSET, i64::from));
        info.now = Some(now);
        Some(info)
    }

    /// Returns the TaskManagers of a vertex's subtasks.
    ///
    /// Subtasks that are not deployed belong to an entry without a location.
    pub(super) fn vertex_task_managers(&self, vertex: &JobVertexId, now: i64) -> Option<JobVertexTaskManagersInfo> {
        let vertex_index = self.vertex_index(vertex.as_str())?;
        let state = self.lock();
        let mut workers = BTreeMap::<_, Vec<_>>::new();
        for subtask in &state.subtasks[vertex_index] {
            workers.entry((task_manager_id(subtask), endpoint(subtask))).or_default().push(subtask);
        }
        let workers = workers.into_iter().map(|((task_manager_id, endpoint), subtasks)| {
            let Combined { status, start_time, end_time, counts } = Combined::of(subtasks.into_iter());
            let mut task_manager = VertexTaskManagerInfo::new(status);
            task_manager.endpoint = Some(endpoint);
            task_manager.taskmanager_id = Some(task_manager_id);
            task_manager.start_time = start_time;
            task_manager.end_time = end_time;
            task_manager.duration = duration(start_time, end_time, now);
            task_manager.metrics = Some(Default::default());
            task_manager.status_counts = counts;
            task_manager
        });
        let taskmanagers = workers.collect();
        let mut info = JobVertexTaskManagersInfo::new(vertex.clone(), taskmanagers);
        info.name = self.info.vertices[vertex_index].name.clone();
        info.now = Some(now);
        Some(info)
    }

    pub(super) fn subtasks_accumulators(&self, vertex: &JobVertexId) -> Option<SubtasksAllAccumulatorsInfo> {
        let vertex_index = self.vertex_index(vertex.as_str())?;
        let state = self.lock();
        let subtasks = state.subtasks[vertex_index].iter().zip(0..).map(|(subtask, index)| {
            let mut accumulators = SubtaskAccumulatorsInfo::new(index, subtask.attempt_number.into(), Vec::new());
            accumulators.other = [("endpoint".to_owned(), endpoint(subtask).into())].into_iter().collect();
            accumulators
        });
        let parallelism = self.info.vertices[vertex_index].parallelism.into();
        let (id, subtasks) = (vertex.clone(), subtasks.collect());
        Some(SubtasksAllAccumulatorsInfo::new(id, parallelism, subtasks))
    }

    pub(super) fn attempt(
        &self,
        vertex: &JobVertexId,
        index: i64,
        attempt: Option<i64>,
        now: i64,
    ) -> Option<SubtaskExecutionAttemptDetailsInfo> {
        let vertex_index = self.vertex_index(vertex.as_str())?;
        let state = self.lock();
        let position = usize::try_from(index).ok()?;
        let current = state.subtasks[vertex_index].get(position)?;
        let earlier = state.earlier.get(&(vertex_index, position)).into_iter().flatten();
        let mut all = [current].into_iter().chain(earlier);
        let found = all.find(|known| attempt.is_none_or(|attempt| attempt == i64::from(known.attempt_number)))?;
        Some(attempt_info(found, index, now))
    }

    pub(super) fn subtask_times(&self, vertex: &JobVertexId, now: i64) -> Option<SubtasksTimesInfo> {
        let vertex_index = self.vertex_index(vertex.as_str())?;
        let state = self.lock();
        let subtasks = state.subtasks[vertex_index].iter().zip(0..).map(|(subtask, index)| {
            let entered = |state: ExecutionState| (state.into(), subtask.timestamps.get(&state).copied().unwrap_or(0));
            let mut times = SubtaskTimeInfo::new(index, ExecutionState::ALL.map(entered).into());
            times.endpoint = Some(endpoint(subtask));
            times.duration = duration(subtask.at(&[ExecutionState::Scheduled]), subtask.end_time(), now);
            times
        });
        let mut times = SubtasksTimesInfo::new(vertex.clone(), subtasks.collect());
        times.name = self.info.vertices[vertex_index].name.clone();
        times.now = Some(now);
        Some(times)
    }
}

/// The combined state of several subtasks of a vertex.
struct Combined {
    status: ExecutionState,
    start_time: Option<i64>,
    end_time: Option<i64>,
    /// The number of subtasks by state.
    counts: BTreeMap<OpenEnum<ExecutionState>, i64>,
}

impl Combined {
    fn of<'a>(subtasks: impl Iterator<Item = &'a Subtask> + Clone) -> Self {
        let count = |wanted| subtasks.clone().filter(|subtask| subtask.state == wanted).count() as i64;
        // There is no end before all subtasks have one.
        let ends: Option<Vec<_>> = subtasks.clone().map(Subtask::end_time).collect();
        Self {
            status: aggregate(subtasks.clone().map(|subtask| subtask.state)),
            start_time: subtasks.clone().filter_map(Subtask::start_time).min(),
            end_time: ends.and_then(|ends| ends.into_iter().max()),
            counts: ExecutionState::ALL.map(|wanted| (wanted.into(), count(wanted))).into(),
        }
    }
}

impl State {
    fn end_time(&self) -> Option<i64> {
        self.timestamps.get(&self.status).copied().filter(|_| self.status.is_terminal())
    }

    fn duration(&self, now: i64) -> Option<i64> {
        duration(Some(self.start_time), self.end_time(), now)
    }
}

/// Returns the time from the start to the end, or until now; `None` before the start.
fn duration(start: Option<i64>, end: Option<i64>, now: i64) -> Option<i64> {
    Some(end.unwrap_or(now).saturating_sub(start?).max(0))
}

fn endpoint(subtask: &Subtask) -> String {
    subtask.task.endpoint.clone().unwrap_or_else(|| UNASSIGNED.to_owned())
}

fn task_manager_id(subtask: &Subtask) -> String {
    subtask.task.task_manager_id.clone().unwrap_or_else(|| UNASSIGNED.to_owned())
}

fn attempt_info(subtask: &Subtask, index: i64, now: i64) -> SubtaskExecutionAttemptDetailsInfo {
    let (start_time, end_time) = (subtask.start_time(), subtask.end_time());
    let mut attempt = SubtaskExecutionAttemptDetailsInfo::new(index, subtask.state, subtask.attempt_number.into());
    attempt.endpoint = Some(endpoint(subtask));
    attempt.start_time = start_time;
    attempt.end_time = end_time;
    attempt.duration = duration(start_time, end_time, now);
    attempt.taskmanager_id = Some(task_manager_id(subtask));
    attempt.status_duration = status_durations(subtask, now);
    attempt.metrics = Some(Default::default());
    // Flink has this field twice.
    attempt.other = [("start_time".to_owned(), start_time.into())].into_iter().collect();
    attempt
}

/// Returns the duration of each state, until the next one or until now. A terminal state has none.
fn status_durations(subtask: &Subtask, now: i64) -> BTreeMap<OpenEnum<ExecutionState>, i64> {
    let mut entered: Vec<_> = subtask.timestamps.iter().map(|(state, at)| (*at, *state)).collect();
    // States that were entered at the same time are sorted in Flink's order.
    entered.sort_by_key(|(at, state)| (*at, PROGRESS.iter().position(|known| known == state)));
    let leaves = entered.iter().skip(1).map(|(at, _)| *at).chain([now]);
    let durations: BTreeMap<_, _> =
        entered.iter().zip(leaves).map(|((at, state), left)| (*state, left.saturating_sub(*at).max(0))).collect();
    let lasting = PROGRESS.into_iter().filter(|state| *state != ExecutionState::Canceling);
    lasting.map(|state| (state.into(), durations.get(&state).copied().unwrap_or(UNSET))).collect()
}

/// The states that do not end a subtask, in their order.
const PROGRESS: [ExecutionState; 6] = [
    ExecutionState::Created,
    ExecutionState::Scheduled,
    ExecutionState::Deploying,
    ExecutionState::Initializing,
    ExecutionState::Running,
    ExecutionState::Canceling,
];

/// Returns the state of a vertex. Flink's `ExecutionJobVertex.getAggregateJobVertexState`.
fn aggregate(states: impl Iterator<Item = ExecutionState> + Clone) -> ExecutionState {
    let any = |wanted| states.clone().any(|state| state == wanted);
    let all = |wanted| states.clone().all(|state| state == wanted);
    let first = [
        ExecutionState::Failed,
        ExecutionState::Canceling,
        ExecutionState::Canceled,
        ExecutionState::Initializing,
        ExecutionState::Running,
    ];
    if let Some(state) = first.into_iter().find(|state| any(*state)) {
        return state;
    }
    if any(ExecutionState::Finished) {
        return if all(ExecutionState::Finished) { ExecutionState::Finished } else { ExecutionState::Running };
    }
    // The subtasks are in other states, of which the most advanced one counts.
    states.max().unwrap_or(ExecutionState::Created)
}

/// The statuses of an application. Flink's `ApplicationState`.
const APPLICATION_STATUSES: [&str; 7] =
    ["CREATED", "RUNNING", "FAILING", "FAILED", "CANCELING", "CANCELED", "FINISHED"];

/// Returns the status of the application of a job. An application does not restart.
fn application_status(status: JobStatus) -> &'static str {
    match status {
        JobStatus::Initializing | JobStatus::Created => "CREATED",
        JobStatus::Failing => "FAILING",
        JobStatus::Failed => "FAILED",
        JobStatus::Cancelling => "CANCELING",
        JobStatus::Canceled => "CANCELED",
        JobStatus::Finished => "FINISHED",
        _ => "RUNNING",
    }
}

/// Escapes a text, because the web UI treats descriptions as HTML.
fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
