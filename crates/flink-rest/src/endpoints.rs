//! The endpoints. Client, server, documentation and tests use these declarations.

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

/// The declaration of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Declaration {
    /// The name of the type.
    pub name: &'static str,
    /// The description, as in the documentation of the type.
    pub description: &'static str,
    /// The HTTP method.
    pub method: &'static str,
    /// The path as Flink declares it, with `:name` for each parameter.
    pub path: &'static str,
    /// The parameters of the query.
    pub query: &'static [&'static str],
    /// The type of the request's body; `None` without one.
    pub request: Option<&'static str>,
    /// The type of the response's body.
    pub response: &'static str,
    /// The HTTP status of a success.
    pub status: u16,
    /// The versions that have the endpoint.
    pub versions: Versions,
}

impl Declaration {
    /// Returns the declaration of the endpoint of a request; `None` for an unknown endpoint.
    ///
    /// The path may have the prefix `/v1`, a query and a trailing slash.
    pub fn of(method: &str, path: &str) -> Option<&'static Self> {
        let path = RequestPath::new(path)?;
        // The first match counts. Paths with a fixed segment come before those with a parameter
        // there.
        ENDPOINTS.iter().find(|endpoint| endpoint.method == method && path.parameters(endpoint.path).is_some())
    }
}

/// Returns `true` for a request that changes nothing. `path` includes the query.
///
/// Two GET requests of Flink are operations, whose status is not that of a read.
#[cfg(any(feature = "client", feature = "server"))]
pub(crate) fn is_read(method: &str, path: &str) -> bool {
    match method {
        "HEAD" => true,
        "GET" => Declaration::of("GET", path).is_none_or(|endpoint| endpoint.status == 200),
        _ => false,
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

// A type without a query is exhaustive: its fields are the parameters of a path, and another path
// is another endpoint.
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

/// Declares the constructor of an endpoint: `new` with the parameters of the path and the body.
///
/// A body without required fields is left out. It is empty unless the setter `body` sets it.
macro_rules! constructor {
    ($name:ident $parameters:tt $fields:tt (CheckpointTriggerRequestBody)) => {
        constructor! { @without_body $name $parameters $fields CheckpointTriggerRequestBody }
    };
    ($name:ident $parameters:tt $fields:tt (JarRunRequestBody)) => {
        constructor! { @without_body $name $parameters $fields JarRunRequestBody }
    };
    ($name:ident $parameters:tt $fields:tt (SavepointTriggerRequestBody)) => {
        constructor! { @without_body $name $parameters $fields SavepointTriggerRequestBody }
    };
    ($name:ident $parameters:tt $fields:tt (StopWithSavepointRequestBody)) => {
        constructor! { @without_body $name $parameters $fields StopWithSavepointRequestBody }
    };
    (@without_body $name:ident ($($parameter:ident: $parameter_type:ty),*) ($($field:ident)*) $body:ident) => {
        impl $name {
            /// Creates a request with an empty query and an empty body.
            pub fn new($($parameter: $parameter_type),*) -> Self {
                Self { $($parameter,)* $($field: Default::default(),)* body: Default::default() }
            }

            /// Sets the body of the request.
            #[must_use]
            pub fn body(mut self, body: $body) -> Self {
                self.body = body;
                self
            }
        }
    };
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
                #[doc = concat!("Sets the parameter `", $key, "` of the query.")]
                #[must_use]
                pub fn $field(mut self, $field: impl Into<$field_type>) -> Self {
                    self.$field = $field.into();
                    self
                }
            )+
        }
    };
}

/// Declares setters for the fields of a request's body, each with the text of its documentation.
macro_rules! body_setters {
    ($($name:ident: $body:ident { $($field:ident: $type:ty = $doc:literal,)+ })+) => {$(
        impl $name {
            $(
                #[doc = concat!("Sets ", $doc)]
                #[doc = ""]
                #[doc = concat!("This is [`", stringify!($field), "`](", stringify!($body), "::", stringify!($field), ") of the body.")]
                #[must_use]
                pub fn $field(mut self, $field: impl Into<$type>) -> Self {
                    self.body.$field = $field.into().into();
                    self
                }
            )+
        }
    )+};
}

body_setters! {
    StopJob: StopWithSavepointRequestBody {
        target_directory: String = "the directory for the savepoint.",
        drain: bool = "`true` to advance event time to its end first.",
        format_type: String = "the format of the savepoint, `CANONICAL` or `NATIVE`.",
        trigger_id: TriggerId = "the id to give the operation.",
    }
    TriggerCheckpoint: CheckpointTriggerRequestBody {
        checkpoint_type: String = "the type of the checkpoint, `CONFIGURED` or `FULL`.",
        trigger_id: TriggerId = "the id to give the operation.",
    }
    TriggerSavepoint: SavepointTriggerRequestBody {
        target_directory: String = "the directory for the savepoint.",
        cancel_job: bool = "`true` to end the job afterwards.",
        format_type: String = "the format of the savepoint, `CANONICAL` or `NATIVE`.",
        trigger_id: TriggerId = "the id to give the operation.",
    }
}

/// Declares the type of each endpoint. Its fields are the parameters and the body.
macro_rules! requests {
    ($derive:meta $(
        #[doc = $doc:literal] $method:literal $path:literal $status:literal [$($versions:tt)+]
        $name:ident $function:ident
        ($($parameter:ident: $parameter_type:ty),*)
        $(? ($($key:literal $(#[$key_meta:meta])* $field:ident: $field_type:ty),+))?
        $(body ($body:ident))?
        -> $response:ty;
    )+) => {$(
        item! {
            #[doc = $doc]
            #[doc = ""]
            #[doc = concat!("`", $method, " ", $path, "`")]
            #[$derive]
            $name {
                $(
                    #[doc = concat!("The parameter of the path, a [`", stringify!($parameter_type), "`].")]
                    pub $parameter: $parameter_type,
                )*
                $($(
                    #[doc = concat!("The parameter `", $key, "` of the query.")]
                    $(#[$key_meta])*
                    pub $field: $field_type,
                )+)?
                $(
                    /// The body of the request.
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
        /// All endpoints of Flink 1.9 to 2.3.
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
        /// A request to any of the read-only endpoints with a JSON response.
        ///
        /// A program that only forwards requests and bodies, such as a recorder, can handle all of
        /// them alike.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Resource {
            $(
                #[doc = concat!("A request to [`", stringify!($name), "`](crate::", stringify!($name), ").")]
                $name($name),
            )+
        }

        /// The body of a response to a [`Resource`]. It serializes to the original JSON.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(untagged)]
        #[non_exhaustive]
        #[allow(clippy::large_enum_variant, reason = "there is one at a time, and it is passed by reference")]
        pub enum ResourceBody {
            $(
                #[doc = concat!("The body of a response to [`", stringify!($name), "`](crate::", stringify!($name), ").")]
                $name($response),
            )+
        }

        impl Resource {
            /// Returns the path of the request with the query. [`parse`](Self::parse) is the
            /// inverse.
            pub fn path(&self) -> String {
                match self {
                    $(Self::$name(endpoint) => endpoint.path(),)+
                }
            }

            /// Returns the path as Flink declares it, with `:name` for each parameter.
            pub fn template(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => $path,)+
                }
            }

            /// Parses the path of a request; returns `None` if it is not the path of a resource.
            ///
            /// The path may have the prefix `/v1`, a query and a trailing slash.
            pub fn parse(path: &str) -> Option<Self> {
                let path = RequestPath::new(path)?;
                // The first match counts. Paths with a fixed segment come before those with a
                // parameter there.
                $(if let Some(mut parameters) = path.parameters($path) {
                    return $name::from_parameters(&mut parameters).ok().map(Self::$name);
                })+
                None
            }

            /// Decodes the body of a response with status 200.
            ///
            /// Entries of lists that cannot be decoded are skipped.
            ///
            /// # Errors
            ///
            /// Returns an error if the body is not that of the endpoint.
            pub fn parse_body(&self, body: &[u8]) -> Result<ResourceBody, BodyError> {
                self.parse_body_with(body, &mut Vec::new())
            }

            /// Decodes the body of a response with status 200, and adds an error to `skipped` for
            /// each skipped entry of a list.
            ///
            /// # Errors
            ///
            /// Returns an error if the body is not that of the endpoint.
            pub fn parse_body_with(
                &self,
                body: &[u8],
                skipped: &mut Vec<BodyError>,
            ) -> Result<ResourceBody, BodyError> {
                match self {
                    $(Self::$name(_) => <$response>::from_bytes_with(body, skipped).map(ResourceBody::$name),)+
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
        /// The responses of a server: one method for each endpoint.
        ///
        /// A method that is not implemented returns status 404, like a version of Flink that lacks
        /// the endpoint. Clients then fall back as they do with such a version.
        ///
        /// The server calls methods concurrently, and drops their futures when a request takes too
        /// long. Methods must not block. Errors are sent unchanged.
        ///
        /// # Examples
        ///
        /// ```
        /// use flink_rest::types::{JobIdWithStatus, JobIdsWithStatusOverview};
        /// use flink_rest::{JobId, JobStatus, Jobs, RestError, RestService};
        ///
        /// struct Engine {
        ///     job: JobId,
        /// }
        ///
        /// impl RestService for Engine {
        ///     async fn jobs(&self, _: Jobs) -> Result<JobIdsWithStatusOverview, RestError> {
        ///         let job = JobIdWithStatus::new(self.job.clone(), JobStatus::Running);
        ///         Ok(JobIdsWithStatusOverview::new(vec![job]))
        ///     }
        /// }
        /// ```
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

        /// Calls the method of `service` for a request and encodes its response.
        ///
        /// `path` includes the query. The body is decoded according to `content_type`.
        ///
        /// # Errors
        ///
        /// Returns status 404 for an unknown endpoint, status 400 for an invalid parameter or body,
        /// and otherwise the error of the service.
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
            // The first match counts. Paths with a fixed segment come before those with a parameter
            // there.
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

// The documentation is also the description in the `Declaration`. If two paths match a request, the
// first one counts.
// Exhaustive: without a query, the fields are the parameters of a path, and another path is
// another endpoint.
endpoints! {
resources {
    /// The configuration of the web UI, including the version of Flink.
    "GET" "/config" 200 [1 9] Config config () -> DashboardConfiguration;

    /// The numbers of TaskManagers, slots and jobs. Never cached.
    "GET" "/overview" 200 [1 9] Overview overview () -> ClusterOverviewWithVersion;

    /// All TaskManagers. Never cached.
    "GET" "/taskmanagers" 200 [1 9] TaskManagers task_managers () -> TaskManagersInfo;

    /// Metrics aggregated over TaskManagers.
    "GET" "/taskmanagers/metrics" 200 [1 9] TaskManagersMetrics task_managers_metrics ()
        ? ("get" names: Vec<String>, "agg" aggregations: Vec<String>, "taskmanagers" task_managers: Vec<TaskManagerId>)
        -> AggregatedMetricsResponseBody;

    /// A TaskManager, with its memory and slots.
    "GET" "/taskmanagers/:taskmanagerid" 200 [1 9] TaskManager task_manager (task_manager: TaskManagerId)
        -> TaskManagerInfo;

    /// The log files of a TaskManager.
    "GET" "/taskmanagers/:taskmanagerid/logs" 200 [1 13] TaskManagerLogs task_manager_logs (task_manager: TaskManagerId)
        -> LogListInfo;

    /// The metrics of a TaskManager by name.
    "GET" "/taskmanagers/:taskmanagerid/metrics" 200 [1 9] TaskManagerMetrics task_manager_metrics
        (task_manager: TaskManagerId) ? ("get" names: Vec<String>) -> MetricCollectionResponseBody;

    /// The profilings of a TaskManager.
    "GET" "/taskmanagers/:taskmanagerid/profiler" 200 [1 19] TaskManagerProfilings task_manager_profilings
        (task_manager: TaskManagerId) -> ProfilingInfoList;

    /// The thread dump of a TaskManager.
    "GET" "/taskmanagers/:taskmanagerid/thread-dump" 200 [1 13] TaskManagerThreadDump task_manager_thread_dump
        (task_manager: TaskManagerId) -> ThreadDumpInfo;

    /// The configuration of the JobManager, with masked secrets.
    "GET" "/jobmanager/config" 200 [1 9] JobManagerConfig job_manager_config () -> ConfigurationInfo;

    /// The JVM and the class path of the JobManager.
    "GET" "/jobmanager/environment" 200 [1 17] JobManagerEnvironment job_manager_environment () -> EnvironmentInfo;

    /// The log files of the JobManager.
    "GET" "/jobmanager/logs" 200 [1 13] JobManagerLogs job_manager_logs () -> LogListInfo;

    /// The metrics of the JobManager by name.
    "GET" "/jobmanager/metrics" 200 [1 9] JobManagerMetrics job_manager_metrics () ? ("get" names: Vec<String>)
        -> MetricCollectionResponseBody;

    /// The profilings of the JobManager.
    "GET" "/jobmanager/profiler" 200 [1 19] JobManagerProfilings job_manager_profilings () -> ProfilingInfoList;

    /// The thread dump of the JobManager.
    "GET" "/jobmanager/thread-dump" 200 [1 15] JobManagerThreadDump job_manager_thread_dump () -> ThreadDumpInfo;

    /// The uploaded jars.
    "GET" "/jars" 200 [1 9] Jars jars () -> JarListInfo;

    /// The plan of the program of a jar. Flink runs its main method for this.
    "GET" "/jars/:jarid/plan" 200 [1 9] JarPlan jar_plan (jar: JarId)
        ? ("program-args" #[doc = "Up to 1.20, as one text."] program_args: Option<String>,
           "programArg" program_arguments: Vec<String>,
           "entry-class" entry_class: Option<String>,
           "parallelism" parallelism: Option<i64>)
        -> JobPlanInfo;

    /// The intermediate results that the cluster keeps.
    "GET" "/datasets" 200 [1 13] DataSets data_sets () -> ClusterDataSetListResponseBody;

    /// The status of the deletion of a data set.
    "GET" "/datasets/delete/:triggerid" 200 [1 13] DataSetDeletion data_set_deletion (trigger: TriggerId)
        -> AsynchronousOperationResult;

    /// The status of the disposal of a savepoint.
    "GET" "/savepoint-disposal/:triggerid" 200 [1 9] SavepointDisposal savepoint_disposal (trigger: TriggerId)
        -> AsynchronousOperationResult;

    /// A summary of all applications, for the start page of the web UI of 2.3.
    "GET" "/applications/overview" 200 [2 3] ApplicationsOverview applications_overview ()
        -> MultipleApplicationsDetails;

    /// An application with its jobs.
    "GET" "/applications/:applicationid" 200 [2 3] Application application (application: ApplicationId)
        -> ApplicationDetailsInfo;

    /// The failures of an application.
    "GET" "/applications/:applicationid/exceptions" 200 [2 3] ApplicationExceptions application_exceptions
        (application: ApplicationId) -> ApplicationExceptionsInfoWithHistory;

    /// The configuration of the JobManager that runs an application, with masked secrets.
    "GET" "/applications/:applicationid/jobmanager/config" 200 [2 3] ApplicationJobManagerConfig
        application_job_manager_config (application: ApplicationId) -> ConfigurationInfo;

    /// The ids and states of all jobs. Never cached.
    "GET" "/jobs" 200 [1 9] Jobs jobs () -> JobIdsWithStatusOverview;

    /// A summary of all jobs, which shows every change of state. Never cached.
    "GET" "/jobs/overview" 200 [1 9] JobsOverview jobs_overview () -> MultipleJobsDetails;

    /// Metrics aggregated over jobs.
    "GET" "/jobs/metrics" 200 [1 9] JobsMetrics jobs_metrics ()
        ? ("get" names: Vec<String>, "agg" aggregations: Vec<String>, "jobs" jobs: Vec<JobId>)
        -> AggregatedMetricsResponseBody;

    /// A job with its vertices.
    "GET" "/jobs/:jobid" 200 [1 9] Job job (job: JobId) -> JobDetailsInfo;

    /// The accumulators of a job.
    "GET" "/jobs/:jobid/accumulators" 200 [1 9] JobAccumulators job_accumulators (job: JobId)
        ? ("includeSerializedValue" include_serialized_value: Option<bool>) -> JobAccumulatorsInfo;

    /// The checkpoints of a job: counts, the latest, the last ten. Status 404 for a batch job.
    "GET" "/jobs/:jobid/checkpoints" 200 [1 9] Checkpoints checkpoints (job: JobId) -> CheckpointingStatistics;

    /// The checkpoint configuration of a job.
    "GET" "/jobs/:jobid/checkpoints/config" 200 [1 9] CheckpointConfig checkpoint_config (job: JobId)
        -> CheckpointConfigInfo;

    /// The status of a triggered checkpoint.
    "GET" "/jobs/:jobid/checkpoints/:triggerid" 200 [1 17] CheckpointTriggerStatus checkpoint_trigger_status
        (job: JobId, trigger: TriggerId) -> AsynchronousOperationResult;

    /// A checkpoint with its vertices. Compare it with the history, see [`CheckpointStatistics`].
    "GET" "/jobs/:jobid/checkpoints/details/:checkpointid" 200 [1 9] CheckpointDetails checkpoint_details
        (job: JobId, checkpoint: i64) -> CheckpointStatistics;

    /// The part of a checkpoint that belongs to one vertex, with its subtasks.
    "GET" "/jobs/:jobid/checkpoints/details/:checkpointid/subtasks/:vertexid" 200 [1 9] CheckpointSubtasks
        checkpoint_subtasks (job: JobId, checkpoint: i64, vertex: JobVertexId)
        -> TaskCheckpointStatisticsWithSubtaskDetails;

    /// The configuration of a job by its program.
    "GET" "/jobs/:jobid/config" 200 [1 9] JobConfig job_config (job: JobId) -> JobConfigInfo;

    /// The failures of a job.
    "GET" "/jobs/:jobid/exceptions" 200 [1 9] JobExceptions job_exceptions (job: JobId)
        ? ("maxExceptions" #[doc = "The maximum number of failures; since 1.13."] max_exceptions: Option<i64>,
           "failureLabelFilter" #[doc = "The labels of the failures, each as `key:value`; since 1.18."]
           failure_labels: Vec<String>)
        -> JobExceptionsInfoWithHistory;

    /// The result of a job that has ended.
    "GET" "/jobs/:jobid/execution-result" 200 [1 9] JobExecutionResult job_execution_result (job: JobId)
        -> JobExecutionResultResponseBody;

    /// The configuration of the JobManager that runs a job, with masked secrets.
    "GET" "/jobs/:jobid/jobmanager/config" 200 [1 17] JobJobManagerConfig job_job_manager_config (job: JobId)
        -> ConfigurationInfo;

    /// The JVM and the class path of the JobManager that runs a job.
    "GET" "/jobs/:jobid/jobmanager/environment" 200 [1 17] JobJobManagerEnvironment job_job_manager_environment
        (job: JobId) -> EnvironmentInfo;

    /// The address of the log of the JobManager that runs a job.
    "GET" "/jobs/:jobid/jobmanager/log-url" 200 [1 17] JobManagerLogUrl job_manager_log_url (job: JobId)
        -> LogUrlResponse;

    /// The metrics of a job by name, such as `numRestarts`. Flink omits unknown names.
    "GET" "/jobs/:jobid/metrics" 200 [1 9] JobMetrics job_metrics (job: JobId)
        ? ("get" #[doc = "The names of the metrics; without any, Flink returns all names."] names: Vec<String>)
        -> MetricCollectionResponseBody;

    /// The graph of a job.
    "GET" "/jobs/:jobid/plan" 200 [1 9] JobPlan job_plan (job: JobId) -> JobPlanInfo;

    /// The configuration of rescales by the Adaptive scheduler.
    "GET" "/jobs/:jobid/rescales/config" 200 [2 3] RescaleConfig rescale_config (job: JobId) -> JobRescaleConfigInfo;

    /// A rescale, with its vertices and slots.
    "GET" "/jobs/:jobid/rescales/details/:rescaleuuid" 200 [2 3] RescaleDetails rescale_details
        (job: JobId, rescale: RescaleId) -> JobRescaleDetails;

    /// The last rescales.
    "GET" "/jobs/:jobid/rescales/history" 200 [2 3] RescalesHistory rescales_history (job: JobId)
        -> JobRescalesHistory;

    /// The number of rescales and the latest ones.
    "GET" "/jobs/:jobid/rescales/overview" 200 [2 3] RescalesOverview rescales_overview (job: JobId)
        -> JobRescalesOverview;

    /// The durations of rescales.
    "GET" "/jobs/:jobid/rescales/summary" 200 [2 3] RescalesSummary rescales_summary (job: JobId)
        -> JobRescalesSummary;

    /// The status of a rescaling.
    "GET" "/jobs/:jobid/rescaling/:triggerid" 200 [1 9] RescalingStatus rescaling_status
        (job: JobId, trigger: TriggerId) -> AsynchronousOperationResult;

    /// The bounds of the parallelism of a job. Status 500 without the Adaptive scheduler.
    "GET" "/jobs/:jobid/resource-requirements" 200 [1 18] ResourceRequirements resource_requirements (job: JobId)
        -> JobResourceRequirementsBody;

    /// The status of a triggered savepoint, including that of a stop.
    "GET" "/jobs/:jobid/savepoints/:triggerid" 200 [1 9] SavepointStatus savepoint_status
        (job: JobId, trigger: TriggerId) -> AsynchronousOperationResult;

    /// The state of a job. Never cached.
    "GET" "/jobs/:jobid/status" 200 [1 17] JobState job_state (job: JobId) -> JobStatusInfo;

    /// The address of the log of a TaskManager that runs a job.
    "GET" "/jobs/:jobid/taskmanagers/:taskmanagerid/log-url" 200 [1 17] TaskManagerLogUrl task_manager_log_url
        (job: JobId, task_manager: TaskManagerId) -> LogUrlResponse;

    /// A vertex with the current attempts of its subtasks.
    "GET" "/jobs/:jobid/vertices/:vertexid" 200 [1 9] Vertex vertex (job: JobId, vertex: JobVertexId)
        -> JobVertexDetailsInfo;

    /// The accumulators of a vertex.
    "GET" "/jobs/:jobid/vertices/:vertexid/accumulators" 200 [1 9] VertexAccumulators vertex_accumulators
        (job: JobId, vertex: JobVertexId) -> JobVertexAccumulatorsInfo;

    /// The back pressure of a vertex. The first request only starts the measurement.
    "GET" "/jobs/:jobid/vertices/:vertexid/backpressure" 200 [1 9] BackPressure back_pressure
        (job: JobId, vertex: JobVertexId) -> JobVertexBackPressureInfo;

    /// The flame graph of a vertex, if `rest.flamegraph.enabled` is set.
    "GET" "/jobs/:jobid/vertices/:vertexid/flamegraph" 200 [1 13] FlameGraph flame_graph
        (job: JobId, vertex: JobVertexId)
        ? ("type" #[doc = "`FULL`, `ON_CPU` or `OFF_CPU`."] kind: Option<String>,
           "subtaskindex" #[doc = "The index of a single subtask; since 1.17."] subtask: Option<i64>)
        -> VertexFlameGraph;

    /// The metrics of the operator coordinators of a vertex by name.
    "GET" "/jobs/:jobid/vertices/:vertexid/jm-operator-metrics" 200 [1 20] CoordinatorMetrics coordinator_metrics
        (job: JobId, vertex: JobVertexId) ? ("get" names: Vec<String>) -> MetricCollectionResponseBody;

    /// The metrics of a vertex by name, with the index of the subtask as a prefix.
    "GET" "/jobs/:jobid/vertices/:vertexid/metrics" 200 [1 9] VertexMetrics vertex_metrics
        (job: JobId, vertex: JobVertexId) ? ("get" names: Vec<String>) -> MetricCollectionResponseBody;

    /// The accumulators of the subtasks of a vertex.
    "GET" "/jobs/:jobid/vertices/:vertexid/subtasks/accumulators" 200 [1 9] SubtasksAccumulators subtasks_accumulators
        (job: JobId, vertex: JobVertexId) -> SubtasksAllAccumulatorsInfo;

    /// Metrics aggregated over the subtasks of a vertex.
    "GET" "/jobs/:jobid/vertices/:vertexid/subtasks/metrics" 200 [1 9] SubtasksMetrics subtasks_metrics
        (job: JobId, vertex: JobVertexId)
        ? ("get" names: Vec<String>,
           "agg" aggregations: Vec<String>,
           "subtasks" #[doc = "The indices and ranges of indices, such as `1-3`."] subtasks: Vec<String>)
        -> AggregatedMetricsResponseBody;

    /// The current attempt of a subtask.
    "GET" "/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex" 200 [1 9] Subtask subtask
        (job: JobId, vertex: JobVertexId, subtask: i64) -> SubtaskExecutionAttemptDetailsInfo;

    /// An attempt to run a subtask, even one from before a restart.
    "GET" "/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex/attempts/:attempt" 200 [1 9] SubtaskAttempt
        subtask_attempt (job: JobId, vertex: JobVertexId, subtask: i64, attempt: i64)
        -> SubtaskExecutionAttemptDetailsInfo;

    /// The accumulators of an attempt.
    "GET" "/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex/attempts/:attempt/accumulators" 200 [1 9]
        SubtaskAttemptAccumulators subtask_attempt_accumulators
        (job: JobId, vertex: JobVertexId, subtask: i64, attempt: i64) -> SubtaskExecutionAttemptAccumulatorsInfo;

    /// The metrics of a subtask by name.
    "GET" "/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex/metrics" 200 [1 9] SubtaskMetrics subtask_metrics
        (job: JobId, vertex: JobVertexId, subtask: i64) ? ("get" names: Vec<String>) -> MetricCollectionResponseBody;

    /// The state changes of the subtasks of a vertex.
    "GET" "/jobs/:jobid/vertices/:vertexid/subtasktimes" 200 [1 9] SubtaskTimes subtask_times
        (job: JobId, vertex: JobVertexId) -> SubtasksTimesInfo;

    /// The subtasks of a vertex by TaskManager.
    "GET" "/jobs/:jobid/vertices/:vertexid/taskmanagers" 200 [1 9] VertexTaskManagers vertex_task_managers
        (job: JobId, vertex: JobVertexId) -> JobVertexTaskManagersInfo;

    /// The watermark of each subtask of a vertex, as a metric.
    "GET" "/jobs/:jobid/vertices/:vertexid/watermarks" 200 [1 13] Watermarks watermarks
        (job: JobId, vertex: JobVertexId) -> MetricCollectionResponseBody;
}

files {
    /// The log of the JobManager.
    "GET" "/jobmanager/log" 200 [1 9] JobManagerLog job_manager_log () -> File;

    /// A log file of the JobManager.
    "GET" "/jobmanager/logs/:filename" 200 [1 13] JobManagerLogFile job_manager_log_file (file: FileName) -> File;

    /// The result of a profiling of the JobManager.
    "GET" "/jobmanager/profiler/:filename" 200 [1 19] JobManagerProfile job_manager_profile (file: FileName) -> File;

    /// The standard output of the JobManager.
    "GET" "/jobmanager/stdout" 200 [1 9] JobManagerStdout job_manager_stdout () -> File;

    /// The log of a TaskManager.
    "GET" "/taskmanagers/:taskmanagerid/log" 200 [1 9] TaskManagerLog task_manager_log (task_manager: TaskManagerId)
        -> File;

    /// A log file of a TaskManager.
    "GET" "/taskmanagers/:taskmanagerid/logs/:filename" 200 [1 13] TaskManagerLogFile task_manager_log_file
        (task_manager: TaskManagerId, file: FileName) -> File;

    /// The result of a profiling of a TaskManager.
    "GET" "/taskmanagers/:taskmanagerid/profiler/:filename" 200 [1 19] TaskManagerProfile task_manager_profile
        (task_manager: TaskManagerId, file: FileName) -> File;

    /// The standard output of a TaskManager.
    "GET" "/taskmanagers/:taskmanagerid/stdout" 200 [1 9] TaskManagerStdout task_manager_stdout
        (task_manager: TaskManagerId) -> File;
}

actions {
    /// Cancels an application.
    "POST" "/applications/:applicationid/cancel" 202 [2 3] CancelApplication cancel_application
        (application: ApplicationId) -> EmptyResponseBody;

    /// Shuts down the cluster.
    "DELETE" "/cluster" 200 [1 9] ShutdownCluster shutdown_cluster () -> EmptyResponseBody;

    /// Triggers the deletion of a data set.
    "DELETE" "/datasets/:datasetid" 202 [1 13] DeleteDataSet delete_data_set (data_set: DataSetId) -> TriggerResponse;

    /// Uploads a jar as the part `jarfile`. Use `Client::upload_jar` for large jars.
    "POST" "/jars/upload" 200 [1 9] UploadJar upload_jar () body (Multipart) -> JarUploadResponseBody;

    /// Deletes a jar.
    "DELETE" "/jars/:jarid" 200 [1 9] DeleteJar delete_jar (jar: JarId) -> EmptyResponseBody;

    /// The plan of the program of a jar. Flink runs its main method for this.
    "POST" "/jars/:jarid/plan" 200 [1 9] PlanJar plan_jar (jar: JarId)
        ? ("program-args" #[doc = "Up to 1.20, as one text."] program_args: Option<String>,
           "programArg" program_arguments: Vec<String>,
           "entry-class" entry_class: Option<String>,
           "parallelism" parallelism: Option<i64>)
        body (JarRunRequestBody) -> JobPlanInfo;

    /// Runs the program of a jar as a job.
    "POST" "/jars/:jarid/run" 200 [1 9] RunJar run_jar (jar: JarId)
        ? ("allowNonRestoredState" allow_non_restored_state: Option<bool>,
           "savepointPath" savepoint_path: Option<String>,
           "program-args" #[doc = "Up to 1.20, as one text."] program_args: Option<String>,
           "programArg" program_arguments: Vec<String>,
           "entry-class" entry_class: Option<String>,
           "parallelism" parallelism: Option<i64>)
        body (JarRunRequestBody) -> JarRunResponseBody;

    /// Runs the program of a jar as an application.
    "POST" "/jars/:jarid/run-application" 202 [2 3] RunJarApplication run_jar_application (jar: JarId)
        ? ("allowNonRestoredState" allow_non_restored_state: Option<bool>,
           "savepointPath" savepoint_path: Option<String>,
           "programArg" program_arguments: Vec<String>,
           "entry-class" entry_class: Option<String>,
           "parallelism" parallelism: Option<i64>)
        body (JarRunRequestBody) -> JarRunApplicationResponseBody;

    /// Triggers a profiling of the JobManager.
    "POST" "/jobmanager/profiler" 200 [1 19] ProfileJobManager profile_job_manager () body (ProfilingRequestBody)
        -> ProfilingInfo;

    /// Submits a job: a `JobSubmitRequestBody` as the part `request`, and the files that it names.
    "POST" "/jobs" 202 [1 9] SubmitJob submit_job () body (Multipart) -> JobSubmitResponseBody;

    /// Cancels a job without a savepoint.
    "PATCH" "/jobs/:jobid" 202 [1 9] CancelJob cancel_job (job: JobId)
        ? ("mode" #[doc = "By default `cancel`. Flink answers `stop` with status 308."] mode: Option<String>)
        -> EmptyResponseBody;

    /// Triggers a checkpoint.
    "POST" "/jobs/:jobid/checkpoints" 202 [1 17] TriggerCheckpoint trigger_checkpoint (job: JobId)
        body (CheckpointTriggerRequestBody) -> TriggerResponse;

    /// Reports to a job that its client is alive.
    "PATCH" "/jobs/:jobid/clientHeartbeat" 202 [1 17] ClientHeartbeat client_heartbeat (job: JobId)
        body (JobClientHeartbeatRequestBody) -> EmptyResponseBody;

    /// Sends a request to an operator coordinator.
    "POST" "/jobs/:jobid/coordinators/:operatorUid" 200 [2 0] Coordinate coordinate (job: JobId, operator: OperatorId)
        body (ClientCoordinationRequestBody) -> ClientCoordinationResponseBody;

    /// Sends a request to an operator coordinator, by the hash of the uid in [`Coordinate`].
    "POST" "/jobs/:jobid/coordinators/:operatorid" 200 [1 13 to 1 20] CoordinateById coordinate_by_id
        (job: JobId, operator: OperatorId) body (ClientCoordinationRequestBody) -> ClientCoordinationResponseBody;

    /// Triggers a rescaling. All versions return status 503, since 1.9 disabled it (FLINK-12312).
    "PATCH" "/jobs/:jobid/rescaling" 200 [1 9] RescaleJob rescale_job (job: JobId) ? ("parallelism" #[doc = "It is required."] parallelism: Option<i64>)
        -> TriggerResponse;

    /// Changes the bounds of the parallelism of a job under the Adaptive scheduler.
    "PUT" "/jobs/:jobid/resource-requirements" 200 [1 18] UpdateResourceRequirements update_resource_requirements
        (job: JobId) body (JobResourceRequirementsBody) -> EmptyResponseBody;

    /// Triggers a savepoint.
    "POST" "/jobs/:jobid/savepoints" 202 [1 9] TriggerSavepoint trigger_savepoint (job: JobId)
        body (SavepointTriggerRequestBody) -> TriggerResponse;

    /// Triggers a savepoint and stops the job with it.
    "POST" "/jobs/:jobid/stop" 202 [1 9] StopJob stop_job (job: JobId) body (StopWithSavepointRequestBody)
        -> TriggerResponse;

    /// Cancels a job without a savepoint, although the method is GET.
    "GET" "/jobs/:jobid/yarn-cancel" 202 [1 9] YarnCancelJob yarn_cancel_job (job: JobId) -> EmptyResponseBody;

    /// Stops a job, although the method is GET.
    "GET" "/jobs/:jobid/yarn-stop" 202 [1 9] YarnStopJob yarn_stop_job (job: JobId) -> EmptyResponseBody;

    /// Triggers the disposal of a savepoint.
    "POST" "/savepoint-disposal" 200 [1 9] DisposeSavepoint dispose_savepoint () body (SavepointDisposalRequest)
        -> TriggerResponse;

    /// Triggers a profiling of a TaskManager.
    "POST" "/taskmanagers/:taskmanagerid/profiler" 200 [1 19] ProfileTaskManager profile_task_manager
        (task_manager: TaskManagerId) body (ProfilingRequestBody) -> ProfilingInfo;
}
}
