//! The bodies of Flink's requests and responses, named after its own Java classes.
//!
//! One type serves all versions from 1.9 to 2.3. A field that some version lacks is an `Option`, or
//! has the value that its description names. "Since 1.13" and "up to 1.20" in a description name
//! the versions that send the field. Fields that this crate does not name are kept in `other`, so
//! that a decoded body can be written again.
//!
//! Fields such as ids, states and trigger times are required: all versions send them, and nothing
//! can be done without them. A response that lacks one is an error, so that another program's JSON
//! is not mistaken for a cluster without jobs.
//!
//! An entry of a list that cannot be decoded is skipped, and the rest of the body counts. See
//! [`decode_with`](crate::decode_with).
//!
//! An encoded response has Flink's names and omits the fields that its original version lacks. A
//! `null` field may be omitted when it is encoded, or an omitted one may become `null`. Flink's own
//! clients do not distinguish the two.
//!
//! # Creating values
//!
//! Every type is `#[non_exhaustive]`, since a new version of Flink may add fields. `new` takes the
//! fields that [`decode`](crate::decode) requires. Types without required fields and bodies of
//! requests implement `Default`. All other fields start as if a body lacked them, and are public.
//!
//! There are two exceptions. [`CheckpointCounts`] has `Default` instead of five numbers in a row,
//! and [`ConfigurationInfoEntry::new`] also takes the value.
//!
//! ```
//! use flink_rest::types::JobDetails;
//! use flink_rest::{JobId, JobStatus};
//!
//! let job = JobId::new("0b1d198cd84d58810f0faf9761017b2f")?;
//! let mut details = JobDetails::new(job, 1_700_000_000_000, JobStatus::Running);
//! details.name = "orders".to_owned();
//! assert_eq!(details.end_time, None);
//! # Ok::<(), flink_rest::InvalidId>(())
//! ```
//!
//! # Units
//!
//! Times are milliseconds since the epoch by the JobManager's clock, durations are milliseconds,
//! and sizes are bytes.
//!
//! Flink's −1 for "not set" is `None`, which is written as −1 again. Two kinds of values keep
//! Flink's number. In a field that some versions omit, `None` means omitted. In a map, 0 as a
//! timestamp means "never reached".

/// Declares the constructor of a type.
///
/// The constructor is `new` with the fields that [`decode`](crate::decode) requires, or `Default`
/// if it requires none. All other fields are as if a body lacked them.
macro_rules! constructor {
    ($name:ident() $(empty($($empty:ident),+))?) => {
        /// A value as if a body had none of the fields.
        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($($empty: Default::default(),)+)?
                }
            }
        }
    };
    (
        $name:ident($($field:ident: $type:ty),+)
        $(empty($($empty:ident),+))?
    ) => {
        impl $name {
            /// Creates a value from the fields that every body has.
            ///
            /// All other fields are as if a body lacked them.
            pub fn new($($field: $type),+) -> Self {
                Self {
                    $($field: $field.into(),)+
                    $($($empty: Default::default(),)+)?
                }
            }
        }
    };
}

mod accumulator;
mod application;
mod checkpoint;
mod cluster;
mod exception;
mod jar;
mod job;
mod metric;
mod operation;
mod rescale;
mod vertex;

/// The fields of an object that this crate does not name.
///
/// They are fields that a newer version adds, and fields that no caller has needed so far.
pub type Other = serde_json::Map<String, serde_json::Value>;

pub use accumulator::{
    JobAccumulatorsInfo, JobVertexAccumulatorsInfo, SubtaskAccumulatorsInfo, SubtaskExecutionAttemptAccumulatorsInfo,
    SubtasksAllAccumulatorsInfo, UserAccumulator,
};
pub use application::{
    ApplicationDetails, ApplicationDetailsInfo, ApplicationExceptionHistory, ApplicationExceptionInfo,
    ApplicationExceptionsInfoWithHistory, MultipleApplicationsDetails,
};
pub use checkpoint::{
    CheckpointAlignment, CheckpointConfigInfo, CheckpointCounts, CheckpointDuration, CheckpointStatistics,
    CheckpointSummary, CheckpointingStatistics, ExternalizedCheckpointInfo, LatestCheckpoints,
    RestoredCheckpointStatistics, StatsSummaryDto, SubtaskCheckpointStatistics, SubtasksSummary,
    TaskCheckpointStatistics, TaskCheckpointStatisticsWithSubtaskDetails,
};
pub use cluster::{
    ClusterOverviewWithVersion, ConfigurationInfo, ConfigurationInfoEntry, DashboardConfiguration, EnvironmentInfo,
    GarbageCollectorInfo, HardwareDescription, JvmInfo, LogInfo, LogListInfo, LogUrlResponse, ProfilingInfo,
    ProfilingInfoList, ProfilingRequestBody, ResourceProfileInfo, SlotInfo, TaskManagerInfo, TaskManagerMetricsInfo,
    TaskManagersInfo, ThreadDumpInfo, ThreadInfo,
};
pub use exception::{ExceptionInfo, ExecutionExceptionInfo, JobExceptionHistory, JobExceptionsInfoWithHistory};
pub use jar::{
    JarEntryInfo, JarFileInfo, JarListInfo, JarRunApplicationResponseBody, JarRunRequestBody, JarRunResponseBody,
    JarUploadResponseBody,
};
pub use job::{
    ClientCoordinationRequestBody, ClientCoordinationResponseBody, DistributedCacheFile, ExecutionConfigInfo,
    JobClientHeartbeatRequestBody, JobConfigInfo, JobDetails, JobDetailsInfo, JobDetailsVertexInfo, JobIdWithStatus,
    JobIdsWithStatusOverview, JobPlanInfo, JobResourceRequirementsBody, JobStatusInfo, JobSubmitRequestBody,
    JobSubmitResponseBody, JobVertexResourceRequirements, MultipleJobsDetails, ParallelismBounds, Plan, PlanInput,
    PlanNode, TaskCounts,
};
pub use metric::{AggregatedMetric, AggregatedMetricsResponseBody, Metric, MetricCollectionResponseBody};
pub use operation::{
    AsynchronousOperationResult, CheckpointTriggerRequestBody, ClusterDataSetEntry, ClusterDataSetListResponseBody,
    EmptyResponseBody, File, JobExecutionResultResponseBody, JobResult, OperationInfo, QueueStatus,
    SavepointDisposalRequest, SavepointTriggerRequestBody, SerializedThrowable, StopWithSavepointRequestBody,
    TriggerResponse,
};
pub use rescale::{
    JobRescaleConfigInfo, JobRescaleDetails, JobRescalesHistory, JobRescalesOverview, JobRescalesSummary,
    RescalesCounts, SchedulerStateSpan, SlotSharingGroupRescaleInfo, VertexParallelismRescaleInfo,
};
pub use vertex::{
    AggregatedTaskDetailsInfo, FlameGraphNode, IoMetricsInfo, JobVertexBackPressureInfo, JobVertexDetailsInfo,
    JobVertexTaskManagersInfo, SubtaskBackPressureInfo, SubtaskExecutionAttemptDetailsInfo, SubtaskTimeInfo,
    SubtasksTimesInfo, VertexFlameGraph, VertexTaskManagerInfo,
};
