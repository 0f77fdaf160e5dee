//! What Flink answers, by the names of its own Java classes.
//!
//! One type serves all versions from 1.9 to 2.3: a field that a version lacks is an `Option` or has the value that its
//! description names, fields that this crate does not know are ignored. Without what all versions send and nothing can be
//! done without (ids, states, trigger times) an answer is an error, so that another program's JSON is not taken for a
//! cluster without jobs. Written back, an answer has Flink's names and leaves out what the version it came from lacks.
//!
//! Times are milliseconds since the epoch by the JobManager's clock, durations milliseconds, sizes bytes. −1 is Flink's "not
//! set", 0 in a map of timestamps "never reached".

mod checkpoint;
mod cluster;
mod exception;
mod job;
mod metric;
mod vertex;

pub use checkpoint::{
    CheckpointAlignment, CheckpointConfigInfo, CheckpointCounts, CheckpointDuration, CheckpointStatistics,
    CheckpointSummary, CheckpointingStatistics, ExternalizedCheckpointInfo, LatestCheckpoints,
    RestoredCheckpointStatistics, StatsSummaryDto, SubtaskCheckpointStatistics, TaskCheckpointStatistics,
    TaskCheckpointStatisticsWithSubtaskDetails,
};
pub use cluster::{ClusterOverviewWithVersion, DashboardConfiguration, TaskManagerInfo, TaskManagersInfo};
pub use exception::{ExceptionInfo, ExecutionExceptionInfo, JobExceptionHistory, JobExceptionsInfoWithHistory};
pub use job::{
    JobDetails, JobDetailsInfo, JobDetailsVertexInfo, JobIdWithStatus, JobIdsWithStatusOverview, MultipleJobsDetails,
};
pub use metric::{Metric, MetricCollectionResponseBody};
pub use vertex::{JobVertexDetailsInfo, SubtaskExecutionAttemptDetailsInfo, SubtaskTimeInfo, SubtasksTimesInfo};
