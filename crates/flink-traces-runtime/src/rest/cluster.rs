//! The jobs of an engine, served like a Flink cluster.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use flink_rest::types::{
    AggregatedMetricsResponseBody, ApplicationDetailsInfo, ApplicationExceptionsInfoWithHistory,
    AsynchronousOperationResult, CheckpointConfigInfo, CheckpointStatistics, CheckpointingStatistics,
    ClusterOverviewWithVersion, ConfigurationInfo, ConfigurationInfoEntry, DashboardConfiguration, EmptyResponseBody,
    EnvironmentInfo, JobAccumulatorsInfo, JobConfigInfo, JobDetailsInfo, JobExceptionsInfoWithHistory, JobIdWithStatus,
    JobIdsWithStatusOverview, JobPlanInfo, JobStatusInfo, JobVertexAccumulatorsInfo, JobVertexDetailsInfo,
    JobVertexTaskManagersInfo, LogListInfo, Metric, MetricCollectionResponseBody, MultipleApplicationsDetails,
    MultipleJobsDetails, OperationInfo, SubtaskExecutionAttemptDetailsInfo, SubtasksAllAccumulatorsInfo,
    SubtasksTimesInfo, TaskCheckpointStatisticsWithSubtaskDetails, TaskManagerInfo, TaskManagersInfo, TriggerResponse,
};
use flink_rest::{
    Application, ApplicationExceptions, ApplicationId, ApplicationJobManagerConfig, ApplicationsOverview,
    CancelApplication, CancelJob, CheckpointConfig, CheckpointDetails, CheckpointSubtasks, CheckpointTriggerStatus,
    Checkpoints, Config, Endpoint, FlinkVersion, Job, JobAccumulators, JobConfig, JobExceptions, JobId,
    JobJobManagerConfig, JobManagerConfig, JobManagerEnvironment, JobManagerLogs, JobManagerMetrics, JobMetrics,
    JobPlan, JobState, Jobs, JobsOverview, Overview, RestError, RestService, SavepointStatus, ShutdownCluster, StopJob,
    Subtask, SubtaskAttempt, SubtaskTimes, SubtasksAccumulators, SubtasksMetrics, TaskManagerId, TaskManagerLogs,
    TaskManagerMetrics, TaskManagers, TriggerCheckpoint, TriggerId, TriggerSavepoint, Vertex, VertexAccumulators,
    VertexMetrics, VertexTaskManagers, Watermarks, YarnCancelJob,
};
use flink_traces_api::{AttributeValue, Clock, ConfigValue};

use super::checkpoints::{details, statistics, subtasks};
use super::gateway::{
    NotSupported, Operations, PendingOperation, RestfulGateway, SavepointFormatType, SavepointRequest,
    TriggerSavepointMode,
};
use super::job::TrackedJob;
use super::task_managers::{AllocatedSlots, TaskExecutorRegistration, TaskManager};
use crate::checkpoint::{CheckpointType, TrackedCheckpoint};
use crate::config::Configuration;
use crate::job::JobStatus;
use crate::setters::setters;

/// The default maximum number of failures in a response, as in Flink.
const MAX_EXCEPTIONS: i64 = 20;

/// The description of a [`TrackedCluster`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClusterInfo {
    /// The version of Flink whose API the cluster has.
    ///
    /// Clients decide by it which requests they send. `2.3.0` matches the fields of the responses.
    /// With an older version, `/jobs/overview` has that version's fields, because the command lines
    /// of 1.17 and 1.18 accept no others.
    pub flink_version: String,
    /// The version or commit of the engine.
    pub revision: String,
    /// The refresh interval of the web UI, in milliseconds. Flink's default is 3000.
    pub refresh_interval: i64,
    /// `true` if the web UI may cancel a job, provided that the [`RestfulGateway`] can. Flink's
    /// `web.cancel.enable`.
    pub web_cancel: bool,
}

impl ClusterInfo {
    /// Creates a description with Flink's refresh interval and without canceling from the web UI.
    pub fn new(flink_version: impl Into<String>, revision: impl Into<String>) -> Self {
        let (flink_version, revision) = (flink_version.into(), revision.into());
        Self { flink_version, revision, refresh_interval: 3000, web_cancel: false }
    }

    setters! {
        with_refresh_interval: refresh_interval, i64;
        with_web_cancel: web_cancel, bool;
    }
}

/// The tracked jobs of an engine, served like a Flink cluster.
///
/// Behind a server of `flink-rest`, every client of Flink's REST API can read them: Flink's command
/// line, its web UI, and the program `flink-traces`.
///
/// The cluster serves `/config`, `/overview`, `/applications`, `/jobs` and `/jobs/overview`. For
/// each job, it serves the details, status, plan, configuration, exceptions, vertices, subtasks,
/// times, metrics and checkpoints. For the engine, it serves the configuration and the
/// [registered](Self::register_task_executor) TaskManagers with their subtasks. Nothing is cached,
/// so every response has the last reported state.
///
/// Accumulators, logs, JVM options and the metrics of vertices and TaskManagers are empty lists.
/// Everything else, such as thread dumps and profiles, is refused as by a version of Flink that
/// lacks it. Operations on jobs go to the engine's [`RestfulGateway`]. Without one, the cluster is
/// read-only.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use flink_rest::types::CheckpointConfigInfo;
/// use flink_traces_api::SystemClock;
/// use flink_traces_runtime::CheckpointStatsTracker;
/// use flink_traces_runtime::job::JobStatus;
/// use flink_traces_runtime::rest::{ClusterInfo, JobInfo, JobVertex, TrackedCluster, TrackedJob};
///
/// let checkpoints: CheckpointConfigInfo =
///     serde_json::from_str(r#"{"mode":"exactly_once","interval":60000}"#)?;
/// let vertices = vec![JobVertex::new("cbc357ccb763df2852fee8c4fc7d55f2", "map", 4)];
/// let info =
///     JobInfo::new("0a4480b1aa43ca25b4801a22462f387a", "word count", vertices, checkpoints);
/// let tracker = Arc::new(CheckpointStatsTracker::new(10));
/// let job = Arc::new(TrackedJob::new(info, tracker, JobStatus::Created, 1_795_230_917_019)?);
///
/// let cluster =
///     TrackedCluster::new(ClusterInfo::new("2.3.0", "my engine 1.0"), Arc::new(SystemClock));
/// cluster.add_job(job.clone());
/// job.report_status(JobStatus::Running, 1_795_230_917_430);
/// assert_eq!(job.status(), JobStatus::Running);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TrackedCluster {
    info: ClusterInfo,
    clock: Arc<dyn Clock>,
    gateway: Option<Arc<dyn RestfulGateway>>,
    configuration: ConfigurationInfo,
    jobs: RwLock<BTreeMap<JobId, Arc<TrackedJob>>>,
    task_managers: RwLock<BTreeMap<String, TaskManager>>,
    checkpoints: Operations<i64>,
    savepoints: Operations<String>,
}

impl TrackedCluster {
    /// Creates a cluster without jobs and TaskManagers. `clock` provides the current time for
    /// durations.
    pub fn new(info: ClusterInfo, clock: Arc<dyn Clock>) -> Self {
        Self {
            info,
            clock,
            gateway: None,
            configuration: ConfigurationInfo::default(),
            jobs: RwLock::default(),
            task_managers: RwLock::default(),
            checkpoints: Operations::new("checkpoint"),
            savepoints: Operations::new("savepoint"),
        }
    }

    /// Serves this configuration, with secrets masked.
    #[must_use]
    pub fn with_configuration(self, configuration: &Configuration) -> Self {
        let entry = |(key, value): (&str, &ConfigValue)| ConfigurationInfoEntry::new(key, value.redacted());
        Self { configuration: ConfigurationInfo::new(configuration.iter().map(entry).collect()), ..self }
    }

    /// Passes operations on jobs, such as canceling, to `gateway`.
    #[must_use]
    pub fn with_gateway(self, gateway: Arc<dyn RestfulGateway>) -> Self {
        Self { gateway: Some(gateway), ..self }
    }

    /// Serves a job. It replaces a job with the same id.
    pub fn add_job(&self, job: Arc<TrackedJob>) {
        self.jobs.write().unwrap_or_else(PoisonError::into_inner).insert(job.id().clone(), job);
    }

    /// Stops serving a job, and returns it if it was served.
    pub fn remove_job(&self, job_id: &str) -> Option<Arc<TrackedJob>> {
        let job_id = JobId::new(job_id).ok()?;
        self.jobs.write().unwrap_or_else(PoisonError::into_inner).remove(&job_id)
    }

    /// Serves a TaskManager. It replaces a TaskManager with the same id.
    ///
    /// Flink's `ResourceManagerGateway.registerTaskExecutor`.
    pub fn register_task_executor(&self, registration: TaskExecutorRegistration) {
        let id = registration.resource_id.clone();
        let task_manager = TaskManager { registration, last_heartbeat: None };
        self.task_managers.write().unwrap_or_else(PoisonError::into_inner).insert(id, task_manager);
    }

    /// Reports that a TaskManager was alive at `ts_millis`, in milliseconds since the epoch.
    ///
    /// A TaskManager within this process needs no heartbeat.
    pub fn heartbeat_from_task_manager(&self, resource_id: &str, ts_millis: i64) {
        let mut task_managers = self.task_managers.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(task_manager) = task_managers.get_mut(resource_id) {
            task_manager.last_heartbeat = Some(ts_millis);
        }
    }

    /// Stops serving a TaskManager. Returns `true` if it was served.
    pub fn disconnect_task_manager(&self, resource_id: &str) -> bool {
        self.task_managers.write().unwrap_or_else(PoisonError::into_inner).remove(resource_id).is_some()
    }

    fn all_task_managers(&self) -> Vec<TaskManager> {
        self.task_managers.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn find_task_manager(&self, id: &TaskManagerId) -> Result<TaskManager, RestError> {
        let task_managers = self.task_managers.read().unwrap_or_else(PoisonError::into_inner);
        let found = task_managers.get(id.as_str()).cloned();
        found.ok_or_else(|| RestError::not_found(format!("Could not find TaskExecutor {id}.")))
    }

    fn all(&self) -> Vec<Arc<TrackedJob>> {
        self.jobs.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn find(&self, job_id: &JobId) -> Result<Arc<TrackedJob>, RestError> {
        let jobs = self.jobs.read().unwrap_or_else(PoisonError::into_inner);
        jobs.get(job_id).cloned().ok_or_else(|| RestError::not_found(format!("Job {job_id} not found")))
    }

    /// Returns the job of an application. Each job is an application of its own.
    fn find_application(&self, application: &ApplicationId) -> Result<Arc<TrackedJob>, RestError> {
        let missing = || RestError::not_found("Application could not be found.");
        let job_id = JobId::new(application.as_str()).map_err(|_| missing())?;
        self.find(&job_id).map_err(|_| missing())
    }

    fn checkpoint(&self, job_id: &JobId, checkpoint_id: i64) -> Result<Arc<TrackedCheckpoint>, RestError> {
        let snapshot = self.find(job_id)?.checkpoints().snapshot();
        let found = snapshot.checkpoint(checkpoint_id).cloned();
        let missing = || format!("Could not find checkpointing statistics for checkpoint {checkpoint_id}.");
        found.ok_or_else(|| RestError::not_found(missing()))
    }

    fn now(&self) -> i64 {
        self.clock.now_millis()
    }

    /// Returns the gateway, or the error of `request` if there is none.
    fn gateway<E: Endpoint>(&self, request: &E) -> Result<&dyn RestfulGateway, RestError> {
        self.gateway.as_deref().ok_or_else(|| unknown(request))
    }

    /// Cancels a job for `request`.
    fn cancel<E: Endpoint>(&self, request: &E, job: &JobId) -> Result<EmptyResponseBody, RestError> {
        let gateway = self.gateway(request)?;
        match self.find(job)?.status() {
            // The job already has the requested status.
            JobStatus::Canceled => {}
            status if status.is_terminal() => {
                let problem = "Job cancellation failed because the job has already reached another terminal state";
                return Err(RestError::new(409, format!("{problem} ({status}).")));
            }
            _ => gateway.cancel_job(job.as_str()).map_err(|NotSupported| unknown(request))?,
        }
        Ok(EmptyResponseBody::default())
    }

    /// Begins an operation on a job, unless the request repeats an earlier trigger id.
    fn order<E: Endpoint, T>(
        &self,
        request: &E,
        job: &JobId,
        trigger: Option<TriggerId>,
        operations: &Operations<T>,
        begin: impl FnOnce(&dyn RestfulGateway, &str, PendingOperation<T>) -> Result<(), NotSupported>,
    ) -> Result<TriggerResponse, RestError> {
        let gateway = self.gateway(request)?;
        let status = self.find(job)?.status();
        let request_id = operations.trigger(job, trigger, &self.clock, |operation| {
            if status.is_terminal() {
                operation.fail(&JobEnded(status.name()));
                return Ok(());
            }
            begin(gateway, job.as_str(), operation).map_err(|NotSupported| unknown(request))
        })?;
        Ok(TriggerResponse::new(request_id))
    }
}

/// The error of an operation on a job that has ended.
#[derive(Debug, thiserror::Error)]
#[error("The job has already ended ({0}).")]
struct JobEnded(&'static str);

fn unknown<E: Endpoint>(request: &E) -> RestError {
    RestError::unknown(E::METHOD, &request.path())
}

fn format_type(name: Option<&str>) -> Result<SavepointFormatType, RestError> {
    match name {
        None | Some("CANONICAL") => Ok(SavepointFormatType::Canonical),
        Some("NATIVE") => Ok(SavepointFormatType::Native),
        Some(name) => Err(RestError::new(400, format!("There is no format {name} of savepoints."))),
    }
}

fn no_vertex(vertex: &dyn std::fmt::Display) -> RestError {
    RestError::not_found(format!("Vertex {vertex} not found"))
}

fn internal(error: impl std::fmt::Display) -> RestError {
    RestError::new(500, error.to_string())
}

impl RestService for TrackedCluster {
    async fn config(&self, _: Config) -> Result<DashboardConfiguration, RestError> {
        let features = [
            ("web-submit", false),
            ("web-cancel", self.info.web_cancel),
            ("web-rescale", false),
            ("web-history", false),
        ];
        let mut config = DashboardConfiguration::new(self.info.flink_version.clone());
        config.refresh_interval = Some(self.info.refresh_interval);
        config.timezone_name = "Coordinated Universal Time".to_owned();
        config.timezone_offset = Some(0);
        config.flink_revision = self.info.revision.clone();
        config.features = features.map(|(feature, is_on)| (feature.to_owned(), is_on)).into();
        Ok(config)
    }

    async fn overview(&self, _: Overview) -> Result<ClusterOverviewWithVersion, RestError> {
        let jobs = self.all();
        let count = |wanted: &dyn Fn(JobStatus) -> bool| jobs.iter().filter(|job| wanted(job.status())).count() as i64;
        let (task_managers, allocated) = (self.all_task_managers(), AllocatedSlots::of(&jobs));
        let mut overview = ClusterOverviewWithVersion::new(self.info.flink_version.clone());
        overview.taskmanagers = Some(task_managers.len() as i64);
        let slots = task_managers.iter().map(|task_manager| i64::from(task_manager.registration.slots));
        overview.slots_total = Some(slots.sum());
        let free = task_managers.iter().map(|task_manager| task_manager.free_slots(&allocated));
        overview.slots_available = Some(free.sum());
        overview.jobs_running = Some(count(&|status| !status.is_terminal()));
        overview.jobs_finished = Some(count(&|status| status == JobStatus::Finished));
        overview.jobs_cancelled = Some(count(&|status| status == JobStatus::Canceled));
        overview.jobs_failed = Some(count(&|status| status == JobStatus::Failed));
        overview.flink_commit = self.info.revision.clone();
        Ok(overview)
    }

    async fn jobs(&self, _: Jobs) -> Result<JobIdsWithStatusOverview, RestError> {
        let now = self.now();
        let jobs = self.all().into_iter().map(|job| {
            let details = job.details(now);
            JobIdWithStatus::new(details.jid, details.state)
        });
        Ok(JobIdsWithStatusOverview::new(jobs.collect()))
    }

    async fn jobs_overview(&self, _: JobsOverview) -> Result<MultipleJobsDetails, RestError> {
        let (now, version) = (self.now(), FlinkVersion::from_str(&self.info.flink_version));
        let has = |major, minor| !version.is_ok_and(|version| version < FlinkVersion::new(major, minor));
        let jobs = self.all().into_iter().map(|job| {
            let mut details = job.details(now);
            // The command line of 2.x requires this field. Those of 1.17 and 1.18 reject unknown
            // fields.
            details.pending_operators = details.pending_operators.filter(|_| has(2, 0));
            details.job_type = details.job_type.filter(|_| has(2, 3));
            details.scheduler_type = details.scheduler_type.filter(|_| has(2, 3));
            details
        });
        Ok(MultipleJobsDetails::new(jobs.collect()))
    }

    async fn job(&self, request: Job) -> Result<JobDetailsInfo, RestError> {
        Ok(self.find(&request.job)?.details_info(self.now()))
    }

    async fn job_state(&self, request: JobState) -> Result<JobStatusInfo, RestError> {
        let status = self.find(&request.job)?.details(self.now()).state;
        Ok(JobStatusInfo::new(status))
    }

    async fn job_config(&self, request: JobConfig) -> Result<JobConfigInfo, RestError> {
        Ok(self.find(&request.job)?.config())
    }

    async fn job_plan(&self, request: JobPlan) -> Result<JobPlanInfo, RestError> {
        Ok(JobPlanInfo::new(self.find(&request.job)?.plan()))
    }

    async fn job_exceptions(&self, request: JobExceptions) -> Result<JobExceptionsInfoWithHistory, RestError> {
        let job = self.find(&request.job)?;
        let labels = request.failure_labels.iter().map(|label| {
            let pair = label.split_once(':').map(|(key, value)| (key.to_owned(), value.to_owned()));
            pair.ok_or_else(|| RestError::new(400, format!("{label} is no label: key:value is expected")))
        });
        let labels = labels.collect::<Result<Vec<_>, _>>()?;
        let most = request.max_exceptions.unwrap_or(MAX_EXCEPTIONS);
        Ok(job.exceptions(usize::try_from(most).unwrap_or(0), &labels))
    }

    async fn job_metrics(&self, request: JobMetrics) -> Result<MetricCollectionResponseBody, RestError> {
        let gauges = self.find(&request.job)?.checkpoints().gauges().entries();
        Ok(metrics(gauges.into_iter().map(|(name, value)| (name, text(value))), &request.names))
    }

    async fn checkpoints(&self, request: Checkpoints) -> Result<CheckpointingStatistics, RestError> {
        Ok(statistics(&self.find(&request.job)?.checkpoints().snapshot()))
    }

    async fn checkpoint_config(&self, request: CheckpointConfig) -> Result<CheckpointConfigInfo, RestError> {
        Ok(self.find(&request.job)?.checkpoint_config().clone())
    }

    async fn checkpoint_details(&self, request: CheckpointDetails) -> Result<CheckpointStatistics, RestError> {
        details(&*self.checkpoint(&request.job, request.checkpoint)?).map_err(internal)
    }

    async fn checkpoint_subtasks(
        &self,
        request: CheckpointSubtasks,
    ) -> Result<TaskCheckpointStatisticsWithSubtaskDetails, RestError> {
        let checkpoint = self.checkpoint(&request.job, request.checkpoint)?;
        let task = checkpoint.task(request.vertex.as_str());
        let missing = || format!("There is no checkpoint statistics for task {}.", request.vertex);
        Ok(subtasks(&checkpoint, task.ok_or_else(|| RestError::not_found(missing()))?))
    }

    async fn vertex(&self, request: Vertex) -> Result<JobVertexDetailsInfo, RestError> {
        let vertex = self.find(&request.job)?.vertex(&request.vertex, self.now());
        vertex.ok_or_else(|| no_vertex(&request.vertex))
    }

    async fn subtask_times(&self, request: SubtaskTimes) -> Result<SubtasksTimesInfo, RestError> {
        let times = self.find(&request.job)?.subtask_times(&request.vertex, self.now());
        times.ok_or_else(|| no_vertex(&request.vertex))
    }

    async fn subtask(&self, request: Subtask) -> Result<SubtaskExecutionAttemptDetailsInfo, RestError> {
        let attempt = self.find(&request.job)?.attempt(&request.vertex, request.subtask, None, self.now());
        attempt.ok_or_else(|| RestError::not_found(format!("Subtask {} not found", request.subtask)))
    }

    async fn subtask_attempt(&self, request: SubtaskAttempt) -> Result<SubtaskExecutionAttemptDetailsInfo, RestError> {
        let SubtaskAttempt { job, vertex, subtask, attempt } = request;
        let found = self.find(&job)?.attempt(&vertex, subtask, Some(attempt), self.now());
        found.ok_or_else(|| {
            RestError::not_found(format!(
                "Could not find attempt {attempt} in subtask {subtask} in job vertex {vertex}"
            ))
        })
    }

    /// Returns an empty list, because the web UI requests one.
    async fn subtasks_metrics(&self, request: SubtasksMetrics) -> Result<AggregatedMetricsResponseBody, RestError> {
        self.find(&request.job)?;
        Ok(AggregatedMetricsResponseBody::new(Vec::new()))
    }

    /// Returns each job as an application of its own. The web UI begins with this request.
    async fn applications_overview(&self, _: ApplicationsOverview) -> Result<MultipleApplicationsDetails, RestError> {
        let now = self.now();
        let applications = self.all().into_iter().map(|job| job.application(now)).collect::<Result<_, _>>();
        Ok(MultipleApplicationsDetails::new(applications.map_err(internal)?))
    }

    async fn application(&self, request: Application) -> Result<ApplicationDetailsInfo, RestError> {
        self.find_application(&request.application)?.application_info(self.now()).map_err(internal)
    }

    async fn application_exceptions(
        &self,
        request: ApplicationExceptions,
    ) -> Result<ApplicationExceptionsInfoWithHistory, RestError> {
        Ok(self.find_application(&request.application)?.application_exceptions())
    }

    async fn application_job_manager_config(
        &self,
        request: ApplicationJobManagerConfig,
    ) -> Result<ConfigurationInfo, RestError> {
        self.find_application(&request.application)?;
        Ok(self.configuration.clone())
    }

    async fn job_job_manager_config(&self, request: JobJobManagerConfig) -> Result<ConfigurationInfo, RestError> {
        self.find(&request.job)?;
        Ok(self.configuration.clone())
    }

    async fn job_manager_config(&self, _: JobManagerConfig) -> Result<ConfigurationInfo, RestError> {
        Ok(self.configuration.clone())
    }

    /// Returns an empty environment, because there is no JVM and the web UI requests one.
    async fn job_manager_environment(&self, _: JobManagerEnvironment) -> Result<EnvironmentInfo, RestError> {
        Ok(EnvironmentInfo::default())
    }

    async fn job_manager_metrics(&self, request: JobManagerMetrics) -> Result<MetricCollectionResponseBody, RestError> {
        let overview = self.overview(Overview).await?;
        let gauges = [
            ("numRegisteredTaskManagers", overview.taskmanagers),
            ("numRunningJobs", overview.jobs_running),
            ("taskSlotsAvailable", overview.slots_available),
            ("taskSlotsTotal", overview.slots_total),
        ];
        Ok(metrics(gauges.map(|(name, value)| (name, value.unwrap_or(0).to_string())), &request.names))
    }

    /// Returns an empty list, because the web UI requests one.
    async fn job_manager_logs(&self, _: JobManagerLogs) -> Result<LogListInfo, RestError> {
        Ok(LogListInfo::default())
    }

    async fn task_managers(&self, _: TaskManagers) -> Result<TaskManagersInfo, RestError> {
        let (allocated, now) = (AllocatedSlots::of(&self.all()), self.now());
        let taskmanagers = self.all_task_managers().into_iter().map(|task_manager| {
            let mut info = task_manager.info(&allocated, now);
            info.metrics = None;
            info.allocated_slots = None;
            info
        });
        Ok(TaskManagersInfo::new(taskmanagers.collect()))
    }

    async fn task_manager(&self, request: flink_rest::TaskManager) -> Result<TaskManagerInfo, RestError> {
        let found = self.find_task_manager(&request.task_manager)?;
        Ok(found.info(&AllocatedSlots::of(&self.all()), self.now()))
    }

    /// Returns an empty list, because the web UI requests one.
    async fn task_manager_metrics(
        &self,
        request: TaskManagerMetrics,
    ) -> Result<MetricCollectionResponseBody, RestError> {
        self.find_task_manager(&request.task_manager)?;
        Ok(MetricCollectionResponseBody::new(Vec::new()))
    }

    /// Returns an empty list, because the web UI requests one.
    async fn task_manager_logs(&self, request: TaskManagerLogs) -> Result<LogListInfo, RestError> {
        self.find_task_manager(&request.task_manager)?;
        Ok(LogListInfo::default())
    }

    async fn vertex_task_managers(&self, request: VertexTaskManagers) -> Result<JobVertexTaskManagersInfo, RestError> {
        let workers = self.find(&request.job)?.vertex_task_managers(&request.vertex, self.now());
        workers.ok_or_else(|| no_vertex(&request.vertex))
    }

    async fn job_accumulators(&self, request: JobAccumulators) -> Result<JobAccumulatorsInfo, RestError> {
        self.find(&request.job)?;
        Ok(JobAccumulatorsInfo::default())
    }

    async fn vertex_accumulators(&self, request: VertexAccumulators) -> Result<JobVertexAccumulatorsInfo, RestError> {
        let known = self.find(&request.job)?.subtasks_accumulators(&request.vertex);
        let SubtasksAllAccumulatorsInfo { id, .. } = known.ok_or_else(|| no_vertex(&request.vertex))?;
        Ok(JobVertexAccumulatorsInfo::new(id, Vec::new()))
    }

    async fn subtasks_accumulators(
        &self,
        request: SubtasksAccumulators,
    ) -> Result<SubtasksAllAccumulatorsInfo, RestError> {
        let known = self.find(&request.job)?.subtasks_accumulators(&request.vertex);
        known.ok_or_else(|| no_vertex(&request.vertex))
    }

    /// Returns an empty list, because the web UI requests one.
    async fn vertex_metrics(&self, request: VertexMetrics) -> Result<MetricCollectionResponseBody, RestError> {
        self.find(&request.job)?;
        Ok(MetricCollectionResponseBody::new(Vec::new()))
    }

    /// Returns an empty list, because the web UI requests one.
    async fn watermarks(&self, request: Watermarks) -> Result<MetricCollectionResponseBody, RestError> {
        self.find(&request.job)?;
        Ok(MetricCollectionResponseBody::new(Vec::new()))
    }

    async fn cancel_job(&self, request: CancelJob) -> Result<EmptyResponseBody, RestError> {
        match request.mode.as_deref() {
            None | Some("cancel") => self.cancel(&request, &request.job),
            Some("stop") => {
                let instead = "cancel it, or stop it with POST /jobs/:jobid/stop.";
                Err(RestError::new(308, format!("Jobs cannot be ended with mode=stop any more: {instead}")))
            }
            Some(mode) => Err(RestError::new(400, format!("Jobs cannot be ended with mode={mode}."))),
        }
    }

    /// Cancels a job for the button of the web UI.
    async fn yarn_cancel_job(&self, request: YarnCancelJob) -> Result<EmptyResponseBody, RestError> {
        if self.info.web_cancel { self.cancel(&request, &request.job) } else { Err(unknown(&request)) }
    }

    /// Cancels the only job of the application.
    async fn cancel_application(&self, request: CancelApplication) -> Result<EmptyResponseBody, RestError> {
        let job = self.find_application(&request.application)?;
        self.cancel(&request, job.id())
    }

    async fn trigger_checkpoint(&self, request: TriggerCheckpoint) -> Result<TriggerResponse, RestError> {
        let checkpoint_type = match request.body.checkpoint_type.as_deref() {
            None | Some("CONFIGURED") => CheckpointType::Checkpoint,
            Some("FULL") => CheckpointType::FullCheckpoint,
            Some(name) => return Err(RestError::new(400, format!("Checkpoints of type {name} cannot be triggered."))),
        };
        let trigger = request.body.trigger_id.clone();
        self.order(&request, &request.job, trigger, &self.checkpoints, |gateway, job_id, operation| {
            gateway.trigger_checkpoint(job_id, checkpoint_type, operation)
        })
    }

    async fn checkpoint_trigger_status(
        &self,
        request: CheckpointTriggerStatus,
    ) -> Result<AsynchronousOperationResult, RestError> {
        self.gateway(&request)?;
        self.checkpoints.status(&request.job, &request.trigger, |result| {
            let (checkpoint_id, checkpoint_failure_cause) = (result.as_ref().ok().copied(), result.err());
            let mut operation = OperationInfo::default();
            operation.checkpoint_id = checkpoint_id;
            operation.checkpoint_failure_cause = checkpoint_failure_cause;
            operation
        })
    }

    async fn trigger_savepoint(&self, request: TriggerSavepoint) -> Result<TriggerResponse, RestError> {
        let body = request.body.clone();
        let mode =
            if body.cancel_job { TriggerSavepointMode::CancelWithSavepoint } else { TriggerSavepointMode::Savepoint };
        let format_type = format_type(body.format_type.as_deref())?;
        let savepoint = SavepointRequest { target_directory: body.target_directory, format_type, mode };
        self.order(&request, &request.job, body.trigger_id, &self.savepoints, |gateway, job_id, operation| {
            gateway.trigger_savepoint(job_id, savepoint, operation)
        })
    }

    async fn stop_job(&self, request: StopJob) -> Result<TriggerResponse, RestError> {
        let body = request.body.clone();
        let mode = if body.drain {
            TriggerSavepointMode::TerminateWithSavepoint
        } else {
            TriggerSavepointMode::SuspendWithSavepoint
        };
        let format_type = format_type(body.format_type.as_deref())?;
        let savepoint = SavepointRequest { target_directory: body.target_directory, format_type, mode };
        self.order(&request, &request.job, body.trigger_id, &self.savepoints, |gateway, job_id, operation| {
            gateway.trigger_savepoint(job_id, savepoint, operation)
        })
    }

    async fn savepoint_status(&self, request: SavepointStatus) -> Result<AsynchronousOperationResult, RestError> {
        self.gateway(&request)?;
        self.savepoints.status(&request.job, &request.trigger, |result| {
            let (location, failure_cause) = (result.as_ref().ok().cloned(), result.err());
            let mut operation = OperationInfo::default();
            operation.location = location;
            operation.failure_cause = failure_cause;
            operation
        })
    }

    async fn shutdown_cluster(&self, request: ShutdownCluster) -> Result<EmptyResponseBody, RestError> {
        self.gateway(&request)?.shut_down_cluster().map_err(|NotSupported| unknown(&request))?;
        Ok(EmptyResponseBody::default())
    }
}

/// Returns the values of the metrics in `names`, or the names of all metrics if it is empty.
fn metrics<'a>(known: impl IntoIterator<Item = (&'a str, String)>, names: &[String]) -> MetricCollectionResponseBody {
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let metrics = known.into_iter().filter(|(name, _)| wanted(name)).map(|(name, value)| {
        let mut metric = Metric::new(name);
        metric.value = (!names.is_empty()).then_some(value);
        metric
    });
    MetricCollectionResponseBody::new(metrics.collect())
}

/// Formats a value like Java.
fn text(value: AttributeValue) -> String {
    match value {
        AttributeValue::String(text) => text.to_string(),
        AttributeValue::Long(number) => number.to_string(),
        AttributeValue::Double(number) => number.to_string(),
        AttributeValue::Bool(is) => is.to_string(),
    }
}
