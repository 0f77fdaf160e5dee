#![doc = include_str!("../README.md")]

mod checkpoint;
mod configuration;
mod dispatcher;
mod filter;
mod job;
mod lane;
mod metric_group;
mod reporters;
#[cfg(feature = "rest")]
mod rest;
mod stats;
mod sync;

pub use checkpoint::{
    AllSubtasksStatus, CheckpointFailure, CheckpointGauges, CheckpointStats, CheckpointStatsCounts,
    CheckpointStatsSnapshot, CheckpointStatsTracker, CheckpointStatus, CheckpointTask, CheckpointType,
    CompletedCheckpointStatsSummary, ExecutionAttemptId, IgnoredReports, InitializationMetric, InitializationStats,
    InitializationStatus, JobFailure, JobIdentity, JobInitializationMetricsBuilder, PartialInitialization,
    RestoredCheckpoint, StateObjectLocation, StatsSummary, SubTaskInitializationMetrics, SubtaskMetric, SubtaskStats,
    TaskStats, TrackedCheckpoint, TrackedTask, TrackerError, all_subtasks_status_change_event, checkpoint_event,
    checkpoint_span, job_failure_event, job_initialization_span, job_status_change_event,
    partial_job_initialization_span,
};
pub use configuration::{
    ADDITIONAL_VARIABLES, CORE_OPTIONS, Configuration, EVENTS_REPORTERS, EXCLUDED_VARIABLES, FACTORY_CLASS,
    FILTER_EXCLUDES, FILTER_INCLUDES, Problem, QUEUE_SIZE, REDACTED_KEYS, REPORT_EVENTS_AS_SPANS, REPORTER_OPTIONS,
    REPORTER_SCOPE_DELIMITER, SCOPE_DELIMITER, SPAN_DETAIL_LEVEL, Severity, SpanDetailLevel, TRACES_REPORTERS,
    unknown_keys,
};
pub use dispatcher::Dispatcher;
pub use filter::{Filter, Rule, RuleError};
pub use job::{
    AllSubtasksTracker, DeployedTask, ExecutionState, FailureHandlingResult, JobEnded, JobFailureTracker, JobStatus,
    JobStatusTracker,
};
pub use metric_group::{MetricGroup, TaskVariables};
pub use reporters::{ReporterSetup, VariableRules, discover};
#[cfg(feature = "rest")]
pub use rest::{
    ClusterInfo, JobInfo, JobInput, JobVertex, NotSupported, PendingOperation, RestfulGateway, SavepointFormatType,
    SavepointRequest, TaskExecutorRegistration, TrackedCluster, TrackedJob, TriggerSavepointMode,
};
pub use stats::{DropReason, ReporterStats};
