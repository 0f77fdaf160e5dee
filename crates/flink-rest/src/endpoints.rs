//! The endpoints, each declared once: client, server, documentation and tests read these lines.

#[cfg(feature = "service")]
use std::future::Future;
#[cfg(feature = "service")]
use std::sync::Arc;

use serde::Serialize;

use crate::body::BodyError;
use crate::endpoint::{
    EncodedBody, Endpoint, InvalidParameter, Parameters, QueryParameter as _, RequestBody as _, RequestPath,
    ResponseBody, query_of,
};
use crate::multipart::Multipart;
#[cfg(feature = "service")]
use crate::service::{RestError, ServiceResponse};
use crate::types::{
    AggregatedMetricsResponseBody, ApplicationDetailsInfo, ApplicationExceptionsInfoWithHistory,
    AsynchronousOperationResult, CheckpointConfigInfo, CheckpointStatistics, CheckpointTriggerRequestBody,
    CheckpointingStatistics, ClientCoordinationRequestBody, ClientCoordinationResponseBody,
    ClusterDataSetListResponseBody, ClusterOverviewWithVersion, ConfigurationInfo, DashboardConfiguration,
    EmptyResponseBody, EnvironmentInfo, File, JarListInfo, JarRunApplicationResponseBody, JarRunRequestBody,
    JarRunResponseBody, JarUploadResponseBody, JobAccumulatorsInfo, JobClientHeartbeatRequestBody, JobConfigInfo,
    JobDetailsInfo, JobExceptionsInfoWithHistory, JobExecutionResultResponseBody, JobIdsWithStatusOverview,
    JobPlanInfo, JobRescaleConfigInfo, JobRescaleDetails, JobRescalesHistory, JobRescalesOverview, JobRescalesSummary,
    JobResourceRequirementsBody, JobStatusInfo, JobSubmitResponseBody, JobVertexAccumulatorsInfo,
    JobVertexBackPressureInfo, JobVertexDetailsInfo, JobVertexTaskManagersInfo, LogListInfo, LogUrlResponse,
    MetricCollectionResponseBody, MultipleApplicationsDetails, MultipleJobsDetails, ProfilingInfo, ProfilingInfoList,
    ProfilingRequestBody, SavepointDisposalRequest, SavepointTriggerRequestBody, StopWithSavepointRequestBody,
    SubtaskExecutionAttemptAccumulatorsInfo, SubtaskExecutionAttemptDetailsInfo, SubtasksAllAccumulatorsInfo,
    SubtasksTimesInfo, TaskCheckpointStatisticsWithSubtaskDetails, TaskManagerInfo, TaskManagersInfo, ThreadDumpInfo,
    TriggerResponse, VertexFlameGraph,
};
use crate::version::{FlinkVersion, Versions};
use crate::{
    ApplicationId, DataSetId, FileName, JarId, JobId, JobVertexId, OperatorId, RescaleId, TaskManagerId, TriggerId,
};

/// What is declared of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Declaration {
    /// The type that asks it.
    pub name: &'static str,
    /// What it is for, as in the type's documentation.
    pub description: &'static str,
    /// The HTTP method.
    pub method: &'static str,
    /// The path as Flink declares it, with `:name` in the places of parameters.
    pub path: &'static str,
    /// The query's parameters.
    pub query: &'static [&'static str],
    /// The type of the request's body, if it takes one.
    pub request: Option<&'static str>,
    /// The type of the answer's body.
    pub response: &'static str,
    /// The HTTP status of an answer that is no error.
    pub status: u16,
    /// The versions that have it.
    pub versions: Versions,
}

impl Declaration {
    /// What is declared of the endpoint that a request asks, with or without `/v1`, query and a slash at its end; `None` if there is
    /// none.
    pub fn of(method: &str, path: &str) -> Option<&'static Self> {
        let path = RequestPath::new(path)?;
        // The first that fits: those without a parameter in a place come before those with one.
        ENDPOINTS.iter().find(|endpoint| endpoint.method == method && path.parameters(endpoint.path).is_some())
    }
}

macro_rules! versions {
    ($major:literal $minor:literal) => {
        Versions { since: FlinkVersion::new($major, $minor), until: None }
    };
    ($major:literal $minor:literal to $last_major:literal $last_minor:literal) => {
        Versions { since: FlinkVersion::new($major, $minor), until: Some(FlinkVersion::new($last_major, $last_minor)) }
    };
}

// A type without a query is exhaustive: its fields are the parameters of a path, and another path is another endpoint.
// A query may grow, so that a type with one is not.
macro_rules! item {
    ($(#[$meta:meta])* $name:ident {} ()) => {
        $(#[$meta])*
        pub struct $name;
    };
    ($(#[$meta:meta])* $name:ident { $($fields:tt)+ } ()) => {
        $(#[$meta])*
        pub struct $name { $($fields)+ }
    };
    ($(#[$meta:meta])* $name:ident { $($fields:tt)+ } ($($query:ident)+)) => {
        $(#[$meta])*
        #[non_exhaustive]
        pub struct $name { $($fields)+ }
    };
}

/// Declares how an endpoint is made from the parameters of its path and its body.
macro_rules! constructor {
    ($name:ident () () ()) => {};
    ($name:ident () ($($field:ident)+) ()) => {
        /// A request with an empty query.
        impl Default for $name {
            fn default() -> Self {
                Self { $($field: Default::default(),)+ }
            }
        }
    };
    ($name:ident ($($parameter:ident: $parameter_type:ty),*) ($($field:ident)*) ($($body:ty)?)) => {
        impl $name {
            /// Creates a request with an empty query.
            pub fn new($($parameter: $parameter_type,)* $(body: $body)?) -> Self {
                Self { $($parameter,)* $($field: Default::default(),)* $(body: <$body>::from(body))? }
            }
        }
    };
}

/// Declares a setter for each parameter of a query.
macro_rules! setters {
    ($name:ident) => {};
    ($name:ident $($key:literal $field:ident: $field_type:ty),+) => {
        impl $name {
            $(
                #[doc = concat!("Sets the query's parameter `", $key, "`.")]
                #[must_use]
                pub fn $field(mut self, $field: impl Into<$field_type>) -> Self {
                    self.$field = $field.into();
                    self
                }
            )+
        }
    };
}

/// The type of each endpoint, with what it takes as its fields.
macro_rules! requests {
    ($derive:meta $(
        #[doc = $doc:literal] $method:literal $path:literal $status:literal [$($versions:tt)+]
        $name:ident $function:ident
        ($($parameter:ident: $parameter_type:ty),*)
        $(? ($($key:literal $(#[$key_meta:meta])* $field:ident: $field_type:ty),+))?
        $(body ($body:ty))?
        -> $response:ty;
    )+) => {$(
        item! {
            #[doc = $doc]
            #[doc = ""]
            #[doc = concat!("`", $method, " ", $path, "`")]
            #[$derive]
            $name {
                $(
                    #[doc = concat!("The path's parameter, a [`", stringify!($parameter_type), "`].")]
                    pub $parameter: $parameter_type,
                )*
                $($(
                    #[doc = concat!("The query's parameter `", $key, "`.")]
                    $(#[$key_meta])*
                    pub $field: $field_type,
                )+)?
                $(
                    /// The request's body.
                    pub body: $body,
                )?
            }
            ($($($field)+)?)
        }

        constructor! { $name ($($parameter: $parameter_type),*) ($($($field)+)?) ($($body)?) }
        setters! { $name $($($key $field: $field_type),+)? }

        impl Endpoint for $name {
            const METHOD: &'static str = $method;
            const PATH: &'static str = $path;
            const STATUS: u16 = $status;
            type Response = $response;

            fn parameters(&self) -> Vec<String> {
                vec![$(self.$parameter.to_string(),)*]
            }

            fn query(&self) -> Option<String> {
                query_of([$($(($key, self.$field.to_query()),)+)?] as [(&str, Option<String>); requests!(@count $($($key)+)?)])
            }

            fn body(&self) -> Option<EncodedBody> {
                let body = None::<EncodedBody>;
                $(let body = body.or(Some(<$body>::encode(&self.body)));)?
                body
            }

            #[allow(unused_variables, reason = "some endpoints have no parameters")]
            fn from_parameters(parameters: &mut Parameters<'_>) -> Result<Self, InvalidParameter> {
                Ok(Self {
                    $($parameter: parameters.take()?,)*
                    $($($field: parameters.query($key)?,)+)?
                    $(body: parameters.body::<$body>()?,)?
                })
            }
        }
    )+};
    (@count) => { 0 };
    (@count $first:literal $($rest:literal)*) => { 1 + requests!(@count $($rest)*) };
}

macro_rules! table {
    ($(
        #[doc = $doc:literal] $method:literal $path:literal $status:literal [$($versions:tt)+]
        $name:ident $function:ident
        ($($parameter:ident: $parameter_type:ty),*)
        $(? ($($key:literal $(#[$key_meta:meta])* $field:ident: $field_type:ty),+))?
        $(body ($body:ty))?
        -> $response:ty;
    )+) => {
        /// Every endpoint of Flink 1.9 to 2.3.
        pub const ENDPOINTS: &[Declaration] = &[$(Declaration {
            name: stringify!($name),
            description: $doc.trim_ascii(),
            method: $method,
            path: $path,
            query: &[$($($key,)+)?],
            request: [$(Some(stringify!($body)),)? None][0],
            response: stringify!($response),
            status: $status,
            versions: versions!($($versions)+),
        },)+];
    };
}

macro_rules! resources {
    ($(
        #[doc = $doc:literal] $method:literal $path:literal $status:literal [$($versions:tt)+]
        $name:ident $function:ident
        ($($parameter:ident: $parameter_type:ty),*)
        $(? ($($key:literal $(#[$key_meta:meta])* $field:ident: $field_type:ty),+))?
        $(body ($body:ty))?
        -> $response:ty;
    )+) => {
        /// Any of the endpoints that only read and answer with JSON, with its parameters.
        ///
        /// Whoever only passes requests and bodies on, such as a recorder or a replay, need not know which they are.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Resource {
            $(
                #[doc = concat!("A request to [`", stringify!($name), "`](crate::", stringify!($name), ").")]
                $name($name),
            )+
        }

        /// What a [`Resource`] answered. Written back, it is the answer's own JSON.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(untagged)]
        #[non_exhaustive]
        #[allow(clippy::large_enum_variant, reason = "there is one at a time, and it is passed by reference")]
        pub enum Answer {
            $(
                #[doc = concat!("What [`", stringify!($name), "`](crate::", stringify!($name), ") answered.")]
                $name($response),
            )+
        }

        impl Resource {
            /// The path to request, with the query; [`parse`](Self::parse) makes the same resource of it.
            pub fn path(&self) -> String {
                match self {
                    $(Self::$name(endpoint) => endpoint.path(),)+
                }
            }

            /// The path as Flink declares it, with `:name` in the places of parameters; the same for all requests to one endpoint.
            pub fn template(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => $path,)+
                }
            }

            /// The resource that the path of a request names, with or without `/v1`, query and a slash at its end; `None` if it is
            /// none of these.
            pub fn parse(path: &str) -> Option<Self> {
                let path = RequestPath::new(path)?;
                // The first that fits: those without a parameter in a place come before those with one.
                $(if let Some(mut parameters) = path.parameters($path) {
                    return $name::from_parameters(&mut parameters).ok().map(Self::$name);
                })+
                None
            }

            /// Reads the body of an answer with status 200.
            ///
            /// # Errors
            /// When it is not what the endpoint answers.
            pub fn parse_body(&self, body: &[u8]) -> Result<Answer, BodyError> {
                match self {
                    $(Self::$name(_) => <$response>::from_bytes(body).map(Answer::$name),)+
                }
            }
        }

        $(impl From<$name> for Resource {
            fn from(endpoint: $name) -> Self {
                Self::$name(endpoint)
            }
        })+
    };
}

#[cfg(feature = "service")]
macro_rules! service {
    ($(
        #[doc = $doc:literal] $method:literal $path:literal $status:literal [$($versions:tt)+]
        $name:ident $function:ident
        ($($parameter:ident: $parameter_type:ty),*)
        $(? ($($key:literal $(#[$key_meta:meta])* $field:ident: $field_type:ty),+))?
        $(body ($body:ty))?
        -> $response:ty;
    )+) => {
        /// What a server answers: a method for each endpoint. Unless implemented, one answers as a version of Flink that lacks the endpoint,
        /// with status 404, so that clients fall back as they do there.
        ///
        /// Methods are called at once for several requests, and are dropped when a request takes too long. What needs time on a thread
        /// belongs elsewhere. Errors are sent as they are.
        pub trait RestService: Send + Sync + 'static {
            $(
                #[doc = $doc]
                #[doc = ""]
                #[doc = concat!("`", $method, " ", $path, "`")]
                fn $function(&self, request: $name) -> impl Future<Output = Result<$response, RestError>> + Send {
                    async move { Err(RestError::unknown($method, &request.path())) }
                }
            )+
        }

        impl<S: RestService> RestService for Arc<S> {
            $(
                fn $function(&self, request: $name) -> impl Future<Output = Result<$response, RestError>> + Send {
                    S::$function(self, request)
                }
            )+
        }

        /// Passes a request to the method of `service` for its endpoint.
        ///
        /// `path` includes the query. The service gets the body decoded, by `content_type`.
        ///
        /// # Errors
        /// Returns status 404 if no endpoint fits, status 400 if a parameter or the body is invalid, and otherwise the
        /// error of the service.
        pub async fn dispatch<S: RestService>(
            service: &S,
            method: &str,
            path: &str,
            content_type: &str,
            body: &[u8],
        ) -> Result<ServiceResponse, RestError> {
            let Some(request) = RequestPath::new(path) else {
                return Err(RestError::unknown(method, path));
            };
            // The first that fits: those without a parameter in a place come before those with one.
            $(if method == $method && let Some(parameters) = request.parameters($path) {
                let request = $name::from_parameters(&mut parameters.with_body(content_type, body))?;
                return ServiceResponse::encode::<$name>(&service.$function(request).await?);
            })+
            Err(RestError::unknown(method, path))
        }
    };
}

macro_rules! endpoints {
    (resources { $($resources:tt)+ } files { $($files:tt)+ } actions { $($actions:tt)+ }) => {
        requests! { derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash) $($resources)+ }
        requests! { derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash) $($files)+ }
        requests! { derive(Debug, Clone, PartialEq) $($actions)+ }
        resources! { $($resources)+ }
        table! { $($resources)+ $($files)+ $($actions)+ }
        #[cfg(feature = "service")]
        service! { $($resources)+ $($files)+ $($actions)+ }
    };
}

// The documentation is also the description in the endpoint's `Declaration`. Where two paths fit a request, the first one is taken.
// Exhaustive: without a query, the fields are the parameters of a path, and another path is
// another endpoint.
endpoints! {
resources {
    /// What the web UI needs to know, Flink's version with it.
    "GET" "/config" 200 [1 9] Config config () -> DashboardConfiguration;

    /// How many TaskManagers, slots and jobs there are. Never cached.
    "GET" "/overview" 200 [1 9] Overview overview () -> ClusterOverviewWithVersion;

    /// All TaskManagers. Never cached.
    "GET" "/taskmanagers" 200 [1 9] TaskManagers task_managers () -> TaskManagersInfo;

    /// Metrics over all TaskManagers.
    "GET" "/taskmanagers/metrics" 200 [1 9] TaskManagersMetrics task_managers_metrics ()
        ? ("get" names: Vec<String>, "agg" aggregations: Vec<String>, "taskmanagers" task_managers: Vec<TaskManagerId>)
        -> AggregatedMetricsResponseBody;

    /// A TaskManager, with its memory and slots.
    "GET" "/taskmanagers/:taskmanagerid" 200 [1 9] TaskManager task_manager (task_manager: TaskManagerId)
        -> TaskManagerInfo;

    /// Which log files a TaskManager has.
    "GET" "/taskmanagers/:taskmanagerid/logs" 200 [1 13] TaskManagerLogs task_manager_logs (task_manager: TaskManagerId)
        -> LogListInfo;

    /// A TaskManager's metrics by name.
    "GET" "/taskmanagers/:taskmanagerid/metrics" 200 [1 9] TaskManagerMetrics task_manager_metrics
        (task_manager: TaskManagerId) ? ("get" names: Vec<String>) -> MetricCollectionResponseBody;

    /// The profilings of a TaskManager.
    "GET" "/taskmanagers/:taskmanagerid/profiler" 200 [1 19] TaskManagerProfilings task_manager_profilings
        (task_manager: TaskManagerId) -> ProfilingInfoList;

    /// What a TaskManager's threads do.
    "GET" "/taskmanagers/:taskmanagerid/thread-dump" 200 [1 13] TaskManagerThreadDump task_manager_thread_dump
        (task_manager: TaskManagerId) -> ThreadDumpInfo;

    /// The JobManager's configuration, with secrets masked.
    "GET" "/jobmanager/config" 200 [1 9] JobManagerConfig job_manager_config () -> ConfigurationInfo;

    /// The JobManager's JVM and class path.
    "GET" "/jobmanager/environment" 200 [1 17] JobManagerEnvironment job_manager_environment () -> EnvironmentInfo;

    /// Which log files the JobManager has.
    "GET" "/jobmanager/logs" 200 [1 13] JobManagerLogs job_manager_logs () -> LogListInfo;

    /// The JobManager's metrics by name.
    "GET" "/jobmanager/metrics" 200 [1 9] JobManagerMetrics job_manager_metrics () ? ("get" names: Vec<String>)
        -> MetricCollectionResponseBody;

    /// The profilings of the JobManager.
    "GET" "/jobmanager/profiler" 200 [1 19] JobManagerProfilings job_manager_profilings () -> ProfilingInfoList;

    /// What the JobManager's threads do.
    "GET" "/jobmanager/thread-dump" 200 [1 15] JobManagerThreadDump job_manager_thread_dump () -> ThreadDumpInfo;

    /// The jars that were uploaded.
    "GET" "/jars" 200 [1 9] Jars jars () -> JarListInfo;

    /// The plan of a jar's program. Flink runs its main method for that.
    "GET" "/jars/:jarid/plan" 200 [1 9] JarPlan jar_plan (jar: JarId)
        ? ("program-args" #[doc = "Up to 1.20, as one text."] program_args: Option<String>,
           "programArg" program_arguments: Vec<String>,
           "entry-class" entry_class: Option<String>,
           "parallelism" parallelism: Option<i64>)
        -> JobPlanInfo;

    /// The intermediate results that the cluster keeps.
    "GET" "/datasets" 200 [1 13] DataSets data_sets () -> ClusterDataSetListResponseBody;

    /// Whether a data set is deleted.
    "GET" "/datasets/delete/:triggerid" 200 [1 13] DataSetDeletion data_set_deletion (trigger: TriggerId)
        -> AsynchronousOperationResult;

    /// Whether a savepoint is disposed of.
    "GET" "/savepoint-disposal/:triggerid" 200 [1 9] SavepointDisposal savepoint_disposal (trigger: TriggerId)
        -> AsynchronousOperationResult;

    /// All applications in short: what the start page of 2.3 asks.
    "GET" "/applications/overview" 200 [2 3] ApplicationsOverview applications_overview ()
        -> MultipleApplicationsDetails;

    /// An application with its jobs.
    "GET" "/applications/:applicationid" 200 [2 3] Application application (application: ApplicationId)
        -> ApplicationDetailsInfo;

    /// Why an application failed.
    "GET" "/applications/:applicationid/exceptions" 200 [2 3] ApplicationExceptions application_exceptions
        (application: ApplicationId) -> ApplicationExceptionsInfoWithHistory;

    /// The configuration of the JobManager that runs an application, with secrets masked.
    "GET" "/applications/:applicationid/jobmanager/config" 200 [2 3] ApplicationJobManagerConfig
        application_job_manager_config (application: ApplicationId) -> ConfigurationInfo;

    /// Ids and states of all jobs. Never cached.
    "GET" "/jobs" 200 [1 9] Jobs jobs () -> JobIdsWithStatusOverview;

    /// All jobs in short: the one question that finds every change of state. Never cached.
    "GET" "/jobs/overview" 200 [1 9] JobsOverview jobs_overview () -> MultipleJobsDetails;

    /// Metrics over all jobs.
    "GET" "/jobs/metrics" 200 [1 9] JobsMetrics jobs_metrics ()
        ? ("get" names: Vec<String>, "agg" aggregations: Vec<String>, "jobs" jobs: Vec<JobId>)
        -> AggregatedMetricsResponseBody;

    /// A job with its vertices.
    "GET" "/jobs/:jobid" 200 [1 9] Job job (job: JobId) -> JobDetailsInfo;

    /// What a job's accumulators hold.
    "GET" "/jobs/:jobid/accumulators" 200 [1 9] JobAccumulators job_accumulators (job: JobId)
        ? ("includeSerializedValue" include_serialized_value: Option<bool>) -> JobAccumulatorsInfo;

    /// A job's checkpoints: counts, the latest, the last ten. 404 for a batch job.
    "GET" "/jobs/:jobid/checkpoints" 200 [1 9] Checkpoints checkpoints (job: JobId) -> CheckpointingStatistics;

    /// How a job checkpoints.
    "GET" "/jobs/:jobid/checkpoints/config" 200 [1 9] CheckpointConfig checkpoint_config (job: JobId)
        -> CheckpointConfigInfo;

    /// Whether a checkpoint that was asked for is there.
    "GET" "/jobs/:jobid/checkpoints/:triggerid" 200 [1 17] CheckpointTriggerStatus checkpoint_trigger_status
        (job: JobId, trigger: TriggerId) -> AsynchronousOperationResult;

    /// A checkpoint with its vertices. Ask only for what the history has just shown, and see [`CheckpointStatistics`] for what to check.
    "GET" "/jobs/:jobid/checkpoints/details/:checkpointid" 200 [1 9] CheckpointDetails checkpoint_details
        (job: JobId, checkpoint: i64) -> CheckpointStatistics;

    /// A checkpoint's share of one vertex, with its subtasks.
    "GET" "/jobs/:jobid/checkpoints/details/:checkpointid/subtasks/:vertexid" 200 [1 9] CheckpointSubtasks
        checkpoint_subtasks (job: JobId, checkpoint: i64, vertex: JobVertexId)
        -> TaskCheckpointStatisticsWithSubtaskDetails;

    /// What a job's program configured.
    "GET" "/jobs/:jobid/config" 200 [1 9] JobConfig job_config (job: JobId) -> JobConfigInfo;

    /// Why a job failed.
    "GET" "/jobs/:jobid/exceptions" 200 [1 9] JobExceptions job_exceptions (job: JobId)
        ? ("maxExceptions" #[doc = "The most failures to tell; since 1.13."] max_exceptions: Option<i64>,
           "failureLabelFilter" #[doc = "Labels, each as `key:value`, that they must have; since 1.18."]
           failure_labels: Vec<String>)
        -> JobExceptionsInfoWithHistory;

    /// How a job ended, once it has.
    "GET" "/jobs/:jobid/execution-result" 200 [1 9] JobExecutionResult job_execution_result (job: JobId)
        -> JobExecutionResultResponseBody;

    /// The configuration of the JobManager that runs a job, with secrets masked.
    "GET" "/jobs/:jobid/jobmanager/config" 200 [1 17] JobJobManagerConfig job_job_manager_config (job: JobId)
        -> ConfigurationInfo;

    /// JVM and class path of the JobManager that runs a job.
    "GET" "/jobs/:jobid/jobmanager/environment" 200 [1 17] JobJobManagerEnvironment job_job_manager_environment
        (job: JobId) -> EnvironmentInfo;

    /// Where the log of the JobManager that runs a job is to be seen.
    "GET" "/jobs/:jobid/jobmanager/log-url" 200 [1 17] JobManagerLogUrl job_manager_log_url (job: JobId)
        -> LogUrlResponse;

    /// A job's metrics by name, such as `lastCheckpointRestoreTimestamp` and `numRestarts`. Flink leaves out names that it does not know.
    "GET" "/jobs/:jobid/metrics" 200 [1 9] JobMetrics job_metrics (job: JobId)
        ? ("get" #[doc = "The metrics wanted; none asks for the names of all."] names: Vec<String>)
        -> MetricCollectionResponseBody;

    /// The graph of a job.
    "GET" "/jobs/:jobid/plan" 200 [1 9] JobPlan job_plan (job: JobId) -> JobPlanInfo;

    /// How the Adaptive scheduler rescales a job.
    "GET" "/jobs/:jobid/rescales/config" 200 [2 3] RescaleConfig rescale_config (job: JobId) -> JobRescaleConfigInfo;

    /// A rescale, with its vertices and slots.
    "GET" "/jobs/:jobid/rescales/details/:rescaleuuid" 200 [2 3] RescaleDetails rescale_details
        (job: JobId, rescale: RescaleId) -> JobRescaleDetails;

    /// The last rescales.
    "GET" "/jobs/:jobid/rescales/history" 200 [2 3] RescalesHistory rescales_history (job: JobId)
        -> JobRescalesHistory;

    /// How many rescales there were, and the latest ones.
    "GET" "/jobs/:jobid/rescales/overview" 200 [2 3] RescalesOverview rescales_overview (job: JobId)
        -> JobRescalesOverview;

    /// How long rescales took.
    "GET" "/jobs/:jobid/rescales/summary" 200 [2 3] RescalesSummary rescales_summary (job: JobId)
        -> JobRescalesSummary;

    /// Whether a rescaling is done.
    "GET" "/jobs/:jobid/rescaling/:triggerid" 200 [1 9] RescalingStatus rescaling_status
        (job: JobId, trigger: TriggerId) -> AsynchronousOperationResult;

    /// The parallelism that a job may have. Status 500 unless the Adaptive scheduler runs it.
    "GET" "/jobs/:jobid/resource-requirements" 200 [1 18] ResourceRequirements resource_requirements (job: JobId)
        -> JobResourceRequirementsBody;

    /// Whether a savepoint that was asked for is there, also that of a stop.
    "GET" "/jobs/:jobid/savepoints/:triggerid" 200 [1 9] SavepointStatus savepoint_status
        (job: JobId, trigger: TriggerId) -> AsynchronousOperationResult;

    /// The state of a job. Never cached.
    "GET" "/jobs/:jobid/status" 200 [1 17] JobState job_state (job: JobId) -> JobStatusInfo;

    /// Where the log of a TaskManager that runs a job is to be seen.
    "GET" "/jobs/:jobid/taskmanagers/:taskmanagerid/log-url" 200 [1 17] TaskManagerLogUrl task_manager_log_url
        (job: JobId, task_manager: TaskManagerId) -> LogUrlResponse;

    /// A vertex with its subtasks' current attempts.
    "GET" "/jobs/:jobid/vertices/:vertexid" 200 [1 9] Vertex vertex (job: JobId, vertex: JobVertexId)
        -> JobVertexDetailsInfo;

    /// What a vertex's accumulators hold.
    "GET" "/jobs/:jobid/vertices/:vertexid/accumulators" 200 [1 9] VertexAccumulators vertex_accumulators
        (job: JobId, vertex: JobVertexId) -> JobVertexAccumulatorsInfo;

    /// How busy and how back-pressured a vertex is. The first question only starts the measurement.
    "GET" "/jobs/:jobid/vertices/:vertexid/backpressure" 200 [1 9] BackPressure back_pressure
        (job: JobId, vertex: JobVertexId) -> JobVertexBackPressureInfo;

    /// Where a vertex spends its time, under `rest.flamegraph.enabled`.
    "GET" "/jobs/:jobid/vertices/:vertexid/flamegraph" 200 [1 13] FlameGraph flame_graph
        (job: JobId, vertex: JobVertexId)
        ? ("type" #[doc = "`FULL`, `ON_CPU` or `OFF_CPU`."] kind: Option<String>,
           "subtaskindex" #[doc = "One subtask only; since 1.17."] subtask: Option<i64>)
        -> VertexFlameGraph;

    /// Metrics of a vertex's operator coordinators by name.
    "GET" "/jobs/:jobid/vertices/:vertexid/jm-operator-metrics" 200 [1 20] CoordinatorMetrics coordinator_metrics
        (job: JobId, vertex: JobVertexId) ? ("get" names: Vec<String>) -> MetricCollectionResponseBody;

    /// A vertex's metrics by name, each with the subtask's index before it.
    "GET" "/jobs/:jobid/vertices/:vertexid/metrics" 200 [1 9] VertexMetrics vertex_metrics
        (job: JobId, vertex: JobVertexId) ? ("get" names: Vec<String>) -> MetricCollectionResponseBody;

    /// What the accumulators of a vertex's subtasks hold.
    "GET" "/jobs/:jobid/vertices/:vertexid/subtasks/accumulators" 200 [1 9] SubtasksAccumulators subtasks_accumulators
        (job: JobId, vertex: JobVertexId) -> SubtasksAllAccumulatorsInfo;

    /// Metrics over all subtasks of a vertex.
    "GET" "/jobs/:jobid/vertices/:vertexid/subtasks/metrics" 200 [1 9] SubtasksMetrics subtasks_metrics
        (job: JobId, vertex: JobVertexId)
        ? ("get" names: Vec<String>,
           "agg" aggregations: Vec<String>,
           "subtasks" #[doc = "Indices and ranges, such as `1-3`."] subtasks: Vec<String>)
        -> AggregatedMetricsResponseBody;

    /// The current attempt of a subtask.
    "GET" "/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex" 200 [1 9] Subtask subtask
        (job: JobId, vertex: JobVertexId, subtask: i64) -> SubtaskExecutionAttemptDetailsInfo;

    /// One attempt to run a subtask, also one that a restart has replaced.
    "GET" "/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex/attempts/:attempt" 200 [1 9] SubtaskAttempt
        subtask_attempt (job: JobId, vertex: JobVertexId, subtask: i64, attempt: i64)
        -> SubtaskExecutionAttemptDetailsInfo;

    /// What the accumulators of one attempt hold.
    "GET" "/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex/attempts/:attempt/accumulators" 200 [1 9]
        SubtaskAttemptAccumulators subtask_attempt_accumulators
        (job: JobId, vertex: JobVertexId, subtask: i64, attempt: i64) -> SubtaskExecutionAttemptAccumulatorsInfo;

    /// A subtask's metrics by name.
    "GET" "/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex/metrics" 200 [1 9] SubtaskMetrics subtask_metrics
        (job: JobId, vertex: JobVertexId, subtask: i64) ? ("get" names: Vec<String>) -> MetricCollectionResponseBody;

    /// When each subtask of a vertex entered which state.
    "GET" "/jobs/:jobid/vertices/:vertexid/subtasktimes" 200 [1 9] SubtaskTimes subtask_times
        (job: JobId, vertex: JobVertexId) -> SubtasksTimesInfo;

    /// A vertex's subtasks by TaskManager.
    "GET" "/jobs/:jobid/vertices/:vertexid/taskmanagers" 200 [1 9] VertexTaskManagers vertex_task_managers
        (job: JobId, vertex: JobVertexId) -> JobVertexTaskManagersInfo;

    /// The watermark of each subtask of a vertex, as a metric.
    "GET" "/jobs/:jobid/vertices/:vertexid/watermarks" 200 [1 13] Watermarks watermarks
        (job: JobId, vertex: JobVertexId) -> MetricCollectionResponseBody;
}

files {
    /// The JobManager's log.
    "GET" "/jobmanager/log" 200 [1 9] JobManagerLog job_manager_log () -> File;

    /// One of the JobManager's log files.
    "GET" "/jobmanager/logs/:filename" 200 [1 13] JobManagerLogFile job_manager_log_file (file: FileName) -> File;

    /// What a profiling of the JobManager found.
    "GET" "/jobmanager/profiler/:filename" 200 [1 19] JobManagerProfile job_manager_profile (file: FileName) -> File;

    /// What the JobManager printed.
    "GET" "/jobmanager/stdout" 200 [1 9] JobManagerStdout job_manager_stdout () -> File;

    /// A TaskManager's log.
    "GET" "/taskmanagers/:taskmanagerid/log" 200 [1 9] TaskManagerLog task_manager_log (task_manager: TaskManagerId)
        -> File;

    /// One of a TaskManager's log files.
    "GET" "/taskmanagers/:taskmanagerid/logs/:filename" 200 [1 13] TaskManagerLogFile task_manager_log_file
        (task_manager: TaskManagerId, file: FileName) -> File;

    /// What a profiling of a TaskManager found.
    "GET" "/taskmanagers/:taskmanagerid/profiler/:filename" 200 [1 19] TaskManagerProfile task_manager_profile
        (task_manager: TaskManagerId, file: FileName) -> File;

    /// What a TaskManager printed.
    "GET" "/taskmanagers/:taskmanagerid/stdout" 200 [1 9] TaskManagerStdout task_manager_stdout
        (task_manager: TaskManagerId) -> File;
}

actions {
    /// Ends an application.
    "POST" "/applications/:applicationid/cancel" 202 [2 3] CancelApplication cancel_application
        (application: ApplicationId) -> EmptyResponseBody;

    /// Ends the cluster.
    "DELETE" "/cluster" 200 [1 9] ShutdownCluster shutdown_cluster () -> EmptyResponseBody;

    /// Starts to delete a data set.
    "DELETE" "/datasets/:datasetid" 202 [1 13] DeleteDataSet delete_data_set (data_set: DataSetId) -> TriggerResponse;

    /// Uploads a jar, as the part `jarfile`. Large ones better go by `Client::upload_jar`.
    "POST" "/jars/upload" 200 [1 9] UploadJar upload_jar () body (Multipart) -> JarUploadResponseBody;

    /// Deletes a jar.
    "DELETE" "/jars/:jarid" 200 [1 9] DeleteJar delete_jar (jar: JarId) -> EmptyResponseBody;

    /// The plan of a jar's program. Flink runs its main method for that.
    "POST" "/jars/:jarid/plan" 200 [1 9] PlanJar plan_jar (jar: JarId)
        ? ("program-args" #[doc = "Up to 1.20, as one text."] program_args: Option<String>,
           "programArg" program_arguments: Vec<String>,
           "entry-class" entry_class: Option<String>,
           "parallelism" parallelism: Option<i64>)
        body (JarRunRequestBody) -> JobPlanInfo;

    /// Runs a jar's program as a job.
    "POST" "/jars/:jarid/run" 200 [1 9] RunJar run_jar (jar: JarId)
        ? ("allowNonRestoredState" allow_non_restored_state: Option<bool>,
           "savepointPath" savepoint_path: Option<String>,
           "program-args" #[doc = "Up to 1.20, as one text."] program_args: Option<String>,
           "programArg" program_arguments: Vec<String>,
           "entry-class" entry_class: Option<String>,
           "parallelism" parallelism: Option<i64>)
        body (JarRunRequestBody) -> JarRunResponseBody;

    /// Runs a jar's program as an application.
    "POST" "/jars/:jarid/run-application" 202 [2 3] RunJarApplication run_jar_application (jar: JarId)
        ? ("allowNonRestoredState" allow_non_restored_state: Option<bool>,
           "savepointPath" savepoint_path: Option<String>,
           "programArg" program_arguments: Vec<String>,
           "entry-class" entry_class: Option<String>,
           "parallelism" parallelism: Option<i64>)
        body (JarRunRequestBody) -> JarRunApplicationResponseBody;

    /// Starts to profile the JobManager.
    "POST" "/jobmanager/profiler" 200 [1 19] ProfileJobManager profile_job_manager () body (ProfilingRequestBody)
        -> ProfilingInfo;

    /// Submits a job: as the part `request` a `JobSubmitRequestBody`, and the files that it names.
    "POST" "/jobs" 202 [1 9] SubmitJob submit_job () body (Multipart) -> JobSubmitResponseBody;

    /// Ends a job without a savepoint.
    "PATCH" "/jobs/:jobid" 202 [1 9] CancelJob cancel_job (job: JobId)
        ? ("mode" #[doc = "`cancel` unless set. Flink answers 308 to `stop`."] mode: Option<String>)
        -> EmptyResponseBody;

    /// Starts a checkpoint.
    "POST" "/jobs/:jobid/checkpoints" 202 [1 17] TriggerCheckpoint trigger_checkpoint (job: JobId)
        body (CheckpointTriggerRequestBody) -> TriggerResponse;

    /// Tells a job that its client is alive.
    "PATCH" "/jobs/:jobid/clientHeartbeat" 202 [1 17] ClientHeartbeat client_heartbeat (job: JobId)
        body (JobClientHeartbeatRequestBody) -> EmptyResponseBody;

    /// Asks an operator coordinator.
    "POST" "/jobs/:jobid/coordinators/:operatorUid" 200 [2 0] Coordinate coordinate (job: JobId, operator: OperatorId)
        body (ClientCoordinationRequestBody) -> ClientCoordinationResponseBody;

    /// Asks an operator coordinator. The path is that of [`Coordinate`], the operator's id is its hash.
    "POST" "/jobs/:jobid/coordinators/:operatorid" 200 [1 13 to 1 20] CoordinateById coordinate_by_id
        (job: JobId, operator: OperatorId) body (ClientCoordinationRequestBody) -> ClientCoordinationResponseBody;

    /// Starts to rescale a job. Every version answers 503: it was switched off before 1.9 (FLINK-12312).
    "PATCH" "/jobs/:jobid/rescaling" 200 [1 9] RescaleJob rescale_job (job: JobId) ? ("parallelism" #[doc = "It has to be set."] parallelism: Option<i64>)
        -> TriggerResponse;

    /// Changes the parallelism that a job may have, if the Adaptive scheduler runs it.
    "PUT" "/jobs/:jobid/resource-requirements" 200 [1 18] UpdateResourceRequirements update_resource_requirements
        (job: JobId) body (JobResourceRequirementsBody) -> EmptyResponseBody;

    /// Starts a savepoint.
    "POST" "/jobs/:jobid/savepoints" 202 [1 9] TriggerSavepoint trigger_savepoint (job: JobId)
        body (SavepointTriggerRequestBody) -> TriggerResponse;

    /// Starts a savepoint at which the job ends.
    "POST" "/jobs/:jobid/stop" 202 [1 9] StopJob stop_job (job: JobId) body (StopWithSavepointRequestBody)
        -> TriggerResponse;

    /// Ends a job without a savepoint, though it is a GET.
    "GET" "/jobs/:jobid/yarn-cancel" 202 [1 9] YarnCancelJob yarn_cancel_job (job: JobId) -> EmptyResponseBody;

    /// Ends a job, though it is a GET.
    "GET" "/jobs/:jobid/yarn-stop" 202 [1 9] YarnStopJob yarn_stop_job (job: JobId) -> EmptyResponseBody;

    /// Starts to dispose of a savepoint.
    "POST" "/savepoint-disposal" 200 [1 9] DisposeSavepoint dispose_savepoint () body (SavepointDisposalRequest)
        -> TriggerResponse;

    /// Starts to profile a TaskManager.
    "POST" "/taskmanagers/:taskmanagerid/profiler" 200 [1 19] ProfileTaskManager profile_task_manager
        (task_manager: TaskManagerId) body (ProfilingRequestBody) -> ProfilingInfo;
}
}
