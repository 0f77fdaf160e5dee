//! What Flink answers and takes, by the names of its own Java classes.
//!
//! One type serves all versions from 1.9 to 2.3: a field that a version lacks is an `Option` or has the value that its
//! description names; what this crate has no name for is kept in `other`, so that what was read can be written again. Without what
//! all versions send and nothing can be done without (ids, states, trigger times) an answer is an error, so that another
//! program's JSON is not taken for a cluster without jobs. Written back, an answer has Flink's names and leaves out what the
//! version it came from lacks. A field that is `null` may be left out then, or the other way round; Flink's own clients do not tell
//! these apart.
//!
//! Times are milliseconds since the epoch by the JobManager's clock, durations milliseconds, sizes bytes. −1 is Flink's "not
//! set", 0 in a map of timestamps "never reached".

/// Declares how a type is made: `new` with the fields that [`decode`](crate::decode) requires, or `Default` if there are
/// none. All other fields are as if a body lacked them.
macro_rules! constructor {
    ($name:ident() $(unset($($unset:ident),+))? $(empty($($empty:ident),+))?) => {
        /// As if a body had none of the fields.
        impl Default for $name {
            fn default() -> Self {
                Self {
                    $($($unset: crate::lenient::unset(),)+)?
                    $($($empty: Default::default(),)+)?
                }
            }
        }
    };
    (
        $name:ident($($field:ident: $type:ty),+)
        $(unset($($unset:ident),+))?
        $(empty($($empty:ident),+))?
    ) => {
        impl $name {
            /// Creates a value of the fields that every body has. All others are as if a body lacked them.
            pub fn new($($field: $type),+) -> Self {
                Self {
                    $($field: $field.into(),)+
                    $($($unset: crate::lenient::unset(),)+)?
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

/// The fields of an object that this crate has no name for: what a version adds, and what nobody has asked for.
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
    PlanNode,
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
