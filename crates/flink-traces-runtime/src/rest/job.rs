//! One job: its graph, its states, its subtasks, its failures.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flink_rest::types::{
    ApplicationDetails, ApplicationDetailsInfo, ApplicationExceptionHistory, ApplicationExceptionInfo,
    ApplicationExceptionsInfoWithHistory, CheckpointConfigInfo, ExceptionInfo, ExecutionConfigInfo, JobConfigInfo,
    JobDetails, JobDetailsInfo, JobDetailsVertexInfo, JobExceptionHistory, JobExceptionsInfoWithHistory,
    JobVertexDetailsInfo, JobVertexTaskManagersInfo, Plan, PlanInput, PlanNode, SubtaskAccumulatorsInfo,
    SubtaskExecutionAttemptDetailsInfo, SubtaskTimeInfo, SubtasksAllAccumulatorsInfo, SubtasksTimesInfo,
    VertexTaskManagerInfo,
};
use flink_rest::{ApplicationId, ExecutionState as WireState, InvalidId, JobId, JobStatus as WireStatus, JobVertexId};

use crate::causes::with_java_causes;
use crate::checkpoint::CheckpointStatsTracker;
use crate::job::{DeployedTask, ExecutionAttemptId, ExecutionState, FailureHandlingResult, JobStatus};
use crate::setters::setters;

/// What Flink writes for what is not set.
pub(super) const UNSET: i64 = -1;
/// Flink's `web.exception-history-size`.
const EXCEPTION_HISTORY_SIZE: usize = 16;
/// Flink's `jobmanager.execution.attempts-history-size`.
const ATTEMPTS_HISTORY_SIZE: usize = 16;
const UNASSIGNED: &str = "(unassigned)";

/// What a job is, before anything of it runs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct JobInfo {
    /// Its id: 32 hexadecimal digits, if Flink's own tools shall know it.
    pub job_id: String,
    /// Its name.
    pub name: String,
    /// Its vertices, in topological order.
    pub vertices: Vec<JobVertex>,
    /// How it checkpoints.
    pub checkpoints: CheckpointConfigInfo,
    /// How it runs, and its program's own parameters.
    pub execution: ExecutionConfigInfo,
}

impl JobInfo {
    /// Creates the description of a job with a default execution configuration.
    pub fn new(
        job_id: impl Into<String>,
        name: impl Into<String>,
        vertices: Vec<JobVertex>,
        checkpoints: CheckpointConfigInfo,
    ) -> Self {
        let execution = ExecutionConfigInfo::default();
        Self { job_id: job_id.into(), name: name.into(), vertices, checkpoints, execution }
    }

    setters! {
        with_execution: execution, ExecutionConfigInfo;
    }
}

/// A vertex of a job's graph: what runs as subtasks. As Flink's `JobVertex`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobVertex {
    /// Its id: 32 hexadecimal digits, if Flink's own tools shall know it; the same as in every report.
    pub job_vertex_id: String,
    /// Its name.
    pub name: String,
    /// How many subtasks it has.
    pub parallelism: u32,
    /// How many it may have; `None` if nothing limits it.
    pub max_parallelism: Option<u32>,
    /// The edges that end here.
    pub inputs: Vec<JobInput>,
}

impl JobVertex {
    /// Creates a vertex without a maximum parallelism and without inputs.
    pub fn new(job_vertex_id: impl Into<String>, name: impl Into<String>, parallelism: u32) -> Self {
        let (job_vertex_id, name) = (job_vertex_id.into(), name.into());
        Self { job_vertex_id, name, parallelism, max_parallelism: None, inputs: Vec::new() }
    }

    setters! {
        with_max_parallelism: max_parallelism, into Option<u32>;
        with_inputs: inputs, Vec<JobInput>;
    }
}

/// An edge of a job's graph. As Flink's `JobEdge`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobInput {
    /// The vertex that it comes from.
    pub job_vertex_id: String,
    /// How records are spread over subtasks, such as `HASH`, `REBALANCE` or `FORWARD`.
    pub ship_strategy: String,
}

impl JobInput {
    /// Creates an edge from the vertex `job_vertex_id`.
    pub fn new(job_vertex_id: impl Into<String>, ship_strategy: impl Into<String>) -> Self {
        Self { job_vertex_id: job_vertex_id.into(), ship_strategy: ship_strategy.into() }
    }
}

/// A job as its engine reports it, for whoever asks. As Flink's `ExecutionGraph`, seen by REST.
///
/// It takes the same reports as [`JobStatusTracker`](crate::job::JobStatusTracker), [`AllSubtasksTracker`](crate::job::AllSubtasksTracker) and
/// [`JobFailureTracker`](crate::job::JobFailureTracker), and makes no event of them. Each takes a lock for a few map operations. Reports of
/// vertices and subtasks that the job does not have are ignored.
#[derive(Debug)]
pub struct TrackedJob {
    info: JobInfo,
    job_id: JobId,
    vertex_ids: Vec<JobVertexId>,
    checkpoints: Arc<CheckpointStatsTracker>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    status: JobStatus,
    start_time: i64,
    last_modification: i64,
    /// When it last entered each state.
    timestamps: BTreeMap<JobStatus, i64>,
    /// By place of the vertex and index.
    subtasks: Vec<Vec<Subtask>>,
    /// Attempts that others took the place of, by place of the vertex and index, newest first.
    earlier: BTreeMap<(usize, usize), VecDeque<Subtask>>,
    /// Newest first.
    failures: VecDeque<ExceptionInfo>,
    is_truncated: bool,
}

/// The current attempt of a subtask.
#[derive(Debug, Clone)]
struct Subtask {
    attempt_number: u32,
    state: ExecutionState,
    timestamps: BTreeMap<ExecutionState, i64>,
    place: DeployedTask,
}

impl Subtask {
    fn new(attempt_number: u32, ts_millis: i64) -> Self {
        let state = ExecutionState::Created;
        Self { attempt_number, state, timestamps: BTreeMap::from([(state, ts_millis)]), place: DeployedTask::default() }
    }

    fn at(&self, states: &[ExecutionState]) -> i64 {
        states.iter().find_map(|state| self.timestamps.get(state)).copied().unwrap_or(UNSET)
    }

    fn start_time(&self) -> i64 {
        self.at(&[ExecutionState::Deploying])
    }

    fn end_time(&self) -> i64 {
        self.at(&[ExecutionState::Finished, ExecutionState::Canceled, ExecutionState::Failed])
    }
}

impl TrackedJob {
    /// A job that begins in state `initial` at `ts_millis`, in milliseconds since the epoch.
    ///
    /// # Errors
    /// When the id of the job or of a vertex has no place in a path.
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

    /// Its checkpoints.
    pub fn checkpoints(&self) -> &CheckpointStatsTracker {
        &self.checkpoints
    }

    /// The state that it is in.
    pub fn status(&self) -> JobStatus {
        self.lock().status
    }

    /// It went into `status` at `ts_millis`, in milliseconds since the epoch. Ignored once it has ended.
    pub fn report_status(&self, status: JobStatus, ts_millis: i64) {
        let mut state = self.lock();
        if state.status != status && !state.status.is_terminal() {
            state.status = status;
            state.timestamps.insert(status, ts_millis);
            state.last_modification = state.last_modification.max(ts_millis);
        }
    }

    /// An attempt went into `subtask_state` at `ts_millis`, in milliseconds since the epoch. A later attempt takes the place of an earlier
    /// one of the same subtask; an earlier one is ignored, and so is what comes after the end of an attempt.
    pub fn report_subtask(&self, attempt: &ExecutionAttemptId, subtask_state: ExecutionState, ts_millis: i64) {
        let mut state = self.lock();
        state.last_modification = state.last_modification.max(ts_millis);
        let current = self.current(&mut state, attempt, ts_millis);
        if let Some(subtask) = current.filter(|subtask| !subtask.state.is_terminal()) {
            subtask.state = subtask_state;
            subtask.timestamps.insert(subtask_state, ts_millis);
        }
    }

    /// An attempt is deployed to a place.
    pub fn report_deployed(&self, attempt: &ExecutionAttemptId, place: DeployedTask, ts_millis: i64) {
        if let Some(subtask) = self.current(&mut self.lock(), attempt, ts_millis) {
            subtask.place = place;
        }
    }

    /// The scheduler handled a failure. The last 16 are remembered.
    pub fn report_failure(&self, failure: &FailureHandlingResult<'_>) {
        let mut state = self.lock();
        let attempt = failure.failed_execution;
        let place = attempt.and_then(|attempt| self.subtask(&state, attempt)).map(|subtask| subtask.place.clone());
        let place = place.unwrap_or_default();
        let name = attempt.and_then(|attempt| self.task_name(attempt, place.task_name.as_deref()));
        let mut exception = ExceptionInfo::new(failure.timestamp);
        exception.exception_name = failure.error_type.unwrap_or_default().to_owned();
        exception.stacktrace = stacktrace(failure);
        exception.failure_labels = Some(failure.labels.iter().cloned().collect());
        exception.task_name = name;
        exception.endpoint = place.endpoint;
        exception.task_manager_id = place.task_manager_id;
        exception.concurrent_exceptions = Some(Vec::new());
        state.failures.push_front(exception);
        state.is_truncated |= state.failures.len() > EXCEPTION_HISTORY_SIZE;
        state.failures.truncate(EXCEPTION_HISTORY_SIZE);
    }

    pub(super) fn id(&self) -> &JobId {
        &self.job_id
    }

    /// How many subtasks of each vertex a worker runs, by the worker's id.
    pub(super) fn deployed(&self) -> BTreeMap<String, Vec<usize>> {
        let state = self.lock();
        let mut workers = BTreeMap::<_, Vec<_>>::new();
        // Of a job that has ended nobody need have told how its subtasks did.
        let vertices = state.subtasks.iter().enumerate().filter(|_| !state.status.is_terminal());
        for (place, subtasks) in vertices {
            for subtask in subtasks.iter().filter(|subtask| !subtask.state.is_terminal()) {
                if let Some(id) = &subtask.place.task_manager_id {
                    let counts = workers.entry(id.clone()).or_default();
                    counts.resize(state.subtasks.len(), 0);
                    counts[place] += 1;
                }
            }
        }
        workers
    }

    pub(super) fn checkpoint_config(&self) -> &CheckpointConfigInfo {
        &self.info.checkpoints
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place_of(&self, job_vertex_id: &str) -> Option<usize> {
        self.info.vertices.iter().position(|vertex| vertex.job_vertex_id == job_vertex_id)
    }

    fn subtask<'a>(&self, state: &'a State, attempt: &ExecutionAttemptId) -> Option<&'a Subtask> {
        let subtask = state.subtasks[self.place_of(&attempt.job_vertex_id)?].get(attempt.subtask_index as usize)?;
        (subtask.attempt_number == attempt.attempt_number).then_some(subtask)
    }

    /// The subtask of an attempt that is the current one, or becomes it.
    fn current<'a>(
        &self,
        state: &'a mut State,
        attempt: &ExecutionAttemptId,
        ts_millis: i64,
    ) -> Option<&'a mut Subtask> {
        let (place, index) = (self.place_of(&attempt.job_vertex_id)?, attempt.subtask_index as usize);
        let subtask = state.subtasks[place].get_mut(index)?;
        if subtask.attempt_number < attempt.attempt_number {
            let replaced = std::mem::replace(subtask, Subtask::new(attempt.attempt_number, ts_millis));
            let earlier = state.earlier.entry((place, index)).or_default();
            earlier.push_front(replaced);
            earlier.truncate(ATTEMPTS_HISTORY_SIZE);
        }
        (subtask.attempt_number == attempt.attempt_number).then_some(subtask)
    }

    /// As Flink names it in its exception history.
    fn task_name(&self, attempt: &ExecutionAttemptId, known: Option<&str>) -> Option<String> {
        let vertex = &self.info.vertices[self.place_of(&attempt.job_vertex_id)?];
        let (index, number) = (attempt.subtask_index + 1, attempt.attempt_number);
        let name = match known {
            Some(name) => name.to_owned(),
            None => format!("{} ({index}/{})", vertex.name, vertex.parallelism),
        };
        Some(format!("{name} - execution #{number}"))
    }

    pub(super) fn details(&self, now: i64) -> JobDetails {
        let state = self.lock();
        let all = || state.subtasks.iter().flatten();
        let count = |wanted: ExecutionState| all().filter(|subtask| subtask.state == wanted).count() as i64;
        let mut tasks: BTreeMap<String, i64> =
            ExecutionState::ALL.map(|wanted| (wanted.name().to_lowercase(), count(wanted))).into();
        tasks.insert("total".to_owned(), all().count() as i64);
        let mut details = JobDetails::new(self.job_id.clone(), state.start_time, wire_status(state.status));
        details.name = self.info.name.clone();
        details.end_time = state.end_time();
        details.duration = state.duration(now);
        details.last_modification = state.last_modification;
        details.tasks = tasks;
        details.pending_operators = Some(0);
        details.job_type = Some("STREAMING".to_owned());
        details.scheduler_type = Some("Default".to_owned());
        details
    }

    /// The application that runs this job and no other; it has the job's id.
    pub(super) fn application(&self, now: i64) -> Result<ApplicationDetails, InvalidId> {
        let job = self.details(now);
        let mut application = ApplicationDetails::new(
            ApplicationId::new(self.job_id.as_str())?,
            application_status(self.status()).to_owned(),
        );
        application.name = job.name;
        application.start_time = job.start_time;
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
            (0..self.info.vertices.len()).map(|place| self.vertex_info(&state, place, now)).collect();
        let mut status_counts: BTreeMap<_, _> = ExecutionState::ALL.map(|wanted| (wire_state(wanted), 0)).into();
        for vertex in &vertices {
            *status_counts.entry(vertex.status.clone()).or_default() += 1;
        }
        let entered = |status| (wire_status(status), state.timestamps.get(&status).copied().unwrap_or(0));
        let mut other = flink_rest::types::Other::new();
        other.insert("isStoppable".to_owned(), false.into());
        other.insert("maxParallelism".to_owned(), UNSET.into());
        let mut details = JobDetailsInfo::new(self.job_id.clone(), wire_status(state.status), state.start_time);
        details.name = self.info.name.clone();
        details.end_time = state.end_time();
        details.duration = state.duration(now);
        details.now = now;
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

    fn vertex_info(&self, state: &State, place: usize, now: i64) -> JobDetailsVertexInfo {
        let vertex = &self.info.vertices[place];
        let Together { status, start_time, end_time, counts } = Together::of(state.subtasks[place].iter());
        let mut info = JobDetailsVertexInfo::new(self.vertex_ids[place].clone(), status);
        info.name = vertex.name.clone();
        info.parallelism = vertex.parallelism.into();
        info.max_parallelism = Some(vertex.max_parallelism.map_or(UNSET, i64::from));
        info.start_time = start_time;
        info.end_time = end_time;
        info.duration = duration(start_time, end_time, now);
        info.tasks = counts;
        // Nothing of it is known here; the web UI shows zeros.
        info.metrics = Some(Default::default());
        info
    }

    pub(super) fn plan(&self) -> Plan {
        // The web UI draws edges to vertices that it knows already, so those come first that end a stream.
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

    /// The failure that ended it.
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

    /// At most `most` failures that have all these labels.
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
        let place = self.place_of(vertex.as_str())?;
        let state = self.lock();
        let subtasks = state.subtasks[place].iter().zip(0..).map(|(subtask, index)| attempt_info(subtask, index, now));
        let mut info = JobVertexDetailsInfo::new(vertex.clone(), subtasks.collect());
        info.name = self.info.vertices[place].name.clone();
        info.parallelism = self.info.vertices[place].parallelism.into();
        info.max_parallelism = Some(self.info.vertices[place].max_parallelism.map_or(UNSET, i64::from));
        info.now = now;
        Some(info)
    }

    /// The workers that run a vertex's subtasks; those that are not deployed yet are in one that has no place.
    pub(super) fn vertex_task_managers(&self, vertex: &JobVertexId, now: i64) -> Option<JobVertexTaskManagersInfo> {
        let place = self.place_of(vertex.as_str())?;
        let state = self.lock();
        let mut workers = BTreeMap::<_, Vec<_>>::new();
        for subtask in &state.subtasks[place] {
            workers.entry((task_manager_id(subtask), endpoint(subtask))).or_default().push(subtask);
        }
        let workers = workers.into_iter().map(|((task_manager_id, endpoint), subtasks)| {
            let Together { status, start_time, end_time, counts } = Together::of(subtasks.into_iter());
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
        info.name = self.info.vertices[place].name.clone();
        info.now = now;
        Some(info)
    }

    pub(super) fn subtasks_accumulators(&self, vertex: &JobVertexId) -> Option<SubtasksAllAccumulatorsInfo> {
        let place = self.place_of(vertex.as_str())?;
        let state = self.lock();
        let subtasks = state.subtasks[place].iter().zip(0..).map(|(subtask, index)| {
            let mut accumulators = SubtaskAccumulatorsInfo::new(index, subtask.attempt_number.into(), Vec::new());
            accumulators.other = [("endpoint".to_owned(), endpoint(subtask).into())].into_iter().collect();
            accumulators
        });
        let parallelism = self.info.vertices[place].parallelism.into();
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
        let place = self.place_of(vertex.as_str())?;
        let state = self.lock();
        let position = usize::try_from(index).ok()?;
        let current = state.subtasks[place].get(position)?;
        let earlier = state.earlier.get(&(place, position)).into_iter().flatten();
        let mut all = [current].into_iter().chain(earlier);
        let found = all.find(|known| attempt.is_none_or(|attempt| attempt == i64::from(known.attempt_number)))?;
        Some(attempt_info(found, index, now))
    }

    pub(super) fn subtask_times(&self, vertex: &JobVertexId, now: i64) -> Option<SubtasksTimesInfo> {
        let place = self.place_of(vertex.as_str())?;
        let state = self.lock();
        let subtasks = state.subtasks[place].iter().zip(0..).map(|(subtask, index)| {
            let entered = |state| (wire_state(state), subtask.timestamps.get(&state).copied().unwrap_or(0));
            let mut times = SubtaskTimeInfo::new(index, ExecutionState::ALL.map(entered).into());
            times.endpoint = Some(endpoint(subtask));
            times.duration = duration(subtask.at(&[ExecutionState::Scheduled]), subtask.end_time(), now);
            times
        });
        let mut times = SubtasksTimesInfo::new(vertex.clone(), subtasks.collect());
        times.name = self.info.vertices[place].name.clone();
        times.now = now;
        Some(times)
    }
}

/// What is told of several subtasks of a vertex.
struct Together {
    status: WireState,
    start_time: i64,
    end_time: i64,
    /// How many are in which state.
    counts: BTreeMap<WireState, i64>,
}

impl Together {
    fn of<'a>(subtasks: impl Iterator<Item = &'a Subtask> + Clone) -> Self {
        let count = |wanted| subtasks.clone().filter(|subtask| subtask.state == wanted).count() as i64;
        let starts = subtasks.clone().map(Subtask::start_time).filter(|time| *time != UNSET);
        let ends: Vec<_> = subtasks.clone().map(Subtask::end_time).collect();
        Self {
            status: wire_state(aggregate(subtasks.clone().map(|subtask| subtask.state))),
            start_time: starts.min().unwrap_or(UNSET),
            end_time: if ends.contains(&UNSET) { UNSET } else { ends.into_iter().max().unwrap_or(UNSET) },
            counts: ExecutionState::ALL.map(|wanted| (wire_state(wanted), count(wanted))).into(),
        }
    }
}

impl State {
    fn end_time(&self) -> i64 {
        if self.status.is_terminal() { self.timestamps.get(&self.status).copied().unwrap_or(UNSET) } else { UNSET }
    }

    fn duration(&self, now: i64) -> i64 {
        duration(self.start_time, self.end_time(), now)
    }
}

fn duration(start: i64, end: i64, now: i64) -> i64 {
    match (start, end) {
        (UNSET, _) => UNSET,
        (start, UNSET) => now.saturating_sub(start).max(0),
        (start, end) => end.saturating_sub(start).max(0),
    }
}

fn endpoint(subtask: &Subtask) -> String {
    subtask.place.endpoint.clone().unwrap_or_else(|| UNASSIGNED.to_owned())
}

fn task_manager_id(subtask: &Subtask) -> String {
    subtask.place.task_manager_id.clone().unwrap_or_else(|| UNASSIGNED.to_owned())
}

fn attempt_info(subtask: &Subtask, index: i64, now: i64) -> SubtaskExecutionAttemptDetailsInfo {
    let (start_time, end_time) = (subtask.start_time(), subtask.end_time());
    let mut attempt =
        SubtaskExecutionAttemptDetailsInfo::new(index, wire_state(subtask.state), subtask.attempt_number.into());
    attempt.endpoint = Some(endpoint(subtask));
    attempt.start_time = start_time;
    attempt.end_time = end_time;
    attempt.duration = duration(start_time, end_time, now);
    attempt.taskmanager_id = Some(task_manager_id(subtask));
    attempt.status_duration = status_durations(subtask, now);
    attempt.metrics = Some(Default::default());
    // The same again, as Flink has it.
    attempt.other = [("start_time".to_owned(), start_time.into())].into_iter().collect();
    attempt
}

/// How long it was in each state, until the next one or now; an end has no duration.
fn status_durations(subtask: &Subtask, now: i64) -> BTreeMap<WireState, i64> {
    let mut entered: Vec<_> = subtask.timestamps.iter().map(|(state, at)| (*at, *state)).collect();
    // In the order in which Flink goes through them, where two were entered at the same time.
    entered.sort_by_key(|(at, state)| (*at, PROGRESS.iter().position(|known| known == state)));
    let leaves = entered.iter().skip(1).map(|(at, _)| *at).chain([now]);
    let durations: BTreeMap<_, _> =
        entered.iter().zip(leaves).map(|((at, state), left)| (*state, left.saturating_sub(*at).max(0))).collect();
    let lasting = PROGRESS.into_iter().filter(|state| *state != ExecutionState::Canceling);
    lasting.map(|state| (wire_state(state), durations.get(&state).copied().unwrap_or(UNSET))).collect()
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

/// The state of a vertex whose subtasks are in these, as Flink's `ExecutionJobVertex.getAggregateJobVertexState`.
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
    // None of the states so far: the one that is furthest on.
    states
        .max_by_key(|state| ExecutionState::ALL.iter().position(|known| known == state))
        .unwrap_or(ExecutionState::Created)
}

/// The states of an application, as Flink's `ApplicationState`.
const APPLICATION_STATUSES: [&str; 7] =
    ["CREATED", "RUNNING", "FAILING", "FAILED", "CANCELING", "CANCELED", "FINISHED"];

/// The state of the application whose job is in this one. An application does not restart.
fn application_status(status: JobStatus) -> &'static str {
    match status {
        JobStatus::Initializing | JobStatus::Created => "CREATED",
        JobStatus::Running | JobStatus::Restarting | JobStatus::Reconciling | JobStatus::Suspended => "RUNNING",
        JobStatus::Failing => "FAILING",
        JobStatus::Failed => "FAILED",
        JobStatus::Cancelling => "CANCELING",
        JobStatus::Canceled => "CANCELED",
        JobStatus::Finished => "FINISHED",
    }
}

fn wire_status(status: JobStatus) -> WireStatus {
    WireStatus::from(status.name().to_owned())
}

fn wire_state(state: ExecutionState) -> WireState {
    WireState::from(state.name().to_owned())
}

/// The web UI takes a description for HTML.
fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// As Java prints it: the class, the message, the causes.
fn stacktrace(failure: &FailureHandlingResult<'_>) -> String {
    let text = match failure.error_type {
        Some(kind) => format!("{kind}: {}", failure.error),
        None => failure.error.to_string(),
    };
    with_java_causes(text, failure.error)
}
