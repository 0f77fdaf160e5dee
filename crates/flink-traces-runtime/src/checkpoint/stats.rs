//! The statistics of one checkpoint and of one initialization.
//!
//! A tracker inside an engine and an observer of a cluster's REST API both fill in these types.

use flink_traces_api::{SpanContext, Text, Timestamp, TraceId};

use super::subtask::{SubtaskMetric, Subtasks};
use crate::job::ExecutionAttemptId;
use crate::setters::setters;

/// The statistics of one checkpoint or savepoint. Flink's `AbstractCheckpointStats`.
///
/// A field that the source does not know is `None`, and the span then lacks the attribute.
///
/// # Examples
///
/// ```
/// use flink_traces_runtime::CheckpointStats;
/// use flink_traces_runtime::checkpoint::{CheckpointStatus, CheckpointType};
///
/// let stats = CheckpointStats::new(
///     7,
///     1_795_230_921_331,
///     CheckpointType::Checkpoint,
///     CheckpointStatus::Completed,
/// )
/// .with_latest_ack_timestamp(1_795_230_921_354)
/// .with_state_size(187_221);
/// assert_eq!(stats.metadata_size, None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointStats {
    /// The id, consecutive within a job.
    pub checkpoint_id: i64,
    /// The time of the trigger, in milliseconds since the epoch.
    pub trigger_timestamp: i64,
    /// The status.
    pub status: CheckpointStatus,
    /// The type.
    pub checkpoint_type: CheckpointType,
    /// `true` if any subtask persisted in-flight data.
    pub is_unaligned: Option<bool>,
    /// The time of the last acknowledgement, in milliseconds since the epoch; `None` if there was
    /// none.
    pub latest_ack_timestamp: Option<i64>,
    /// The bytes of state that the checkpoint refers to.
    pub state_size: Option<i64>,
    /// The bytes that were written for the checkpoint.
    pub checkpointed_size: Option<i64>,
    /// The bytes of metadata; −1 for a failed checkpoint, as in Flink.
    pub metadata_size: Option<i64>,
    /// The path of a completed checkpoint.
    pub external_path: Option<String>,
    /// The time and cause of the failure; `None` if the checkpoint did not fail or the cause is
    /// unknown.
    pub failure: Option<CheckpointFailure>,
    /// The tasks, in the job's order; empty if the source has none.
    pub tasks: Vec<TaskStats>,
    /// `true` if the source did not get the statistics of all tasks.
    pub is_incomplete: bool,
    /// `true` if the checkpoint completed in about the usual time, so that no detail is needed to
    /// explain it. See [`UsualDuration`](super::UsualDuration).
    pub is_ordinary: bool,
    /// The time between two checkpoints of the job, in milliseconds.
    pub checkpoint_interval_ms: Option<i64>,
    /// The time after which a checkpoint of the job expires, in milliseconds.
    pub checkpoint_timeout_ms: Option<i64>,
    /// The span that caused the checkpoint, whose trace the checkpoint's span joins.
    pub parent: Option<SpanContext>,
    /// The spans that the checkpoint's span links to.
    pub links: Vec<SpanContext>,
}

impl CheckpointStats {
    /// Creates statistics whose other fields are unknown.
    pub fn new(
        checkpoint_id: i64,
        trigger_timestamp: i64,
        checkpoint_type: CheckpointType,
        status: CheckpointStatus,
    ) -> Self {
        Self {
            checkpoint_id,
            trigger_timestamp,
            status,
            checkpoint_type,
            is_unaligned: None,
            latest_ack_timestamp: None,
            state_size: None,
            checkpointed_size: None,
            metadata_size: None,
            external_path: None,
            failure: None,
            tasks: Vec::new(),
            is_incomplete: false,
            is_ordinary: false,
            checkpoint_interval_ms: None,
            checkpoint_timeout_ms: None,
            parent: None,
            links: Vec::new(),
        }
    }

    setters! {
        with_is_unaligned: is_unaligned, into Option<bool>;
        with_latest_ack_timestamp: latest_ack_timestamp, into Option<i64>;
        with_state_size: state_size, into Option<i64>;
        with_checkpointed_size: checkpointed_size, into Option<i64>;
        with_metadata_size: metadata_size, into Option<i64>;
        with_external_path: external_path, into Option<String>;
        with_failure: failure, into Option<CheckpointFailure>;
        with_tasks: tasks, Vec<TaskStats>;
        with_incomplete: is_incomplete, bool;
        with_ordinary: is_ordinary, bool;
        with_checkpoint_interval_ms: checkpoint_interval_ms, into Option<i64>;
        with_checkpoint_timeout_ms: checkpoint_timeout_ms, into Option<i64>;
        with_parent: parent, into Option<SpanContext>;
        with_links: links, Vec<SpanContext>;
    }
}

/// The status of a checkpoint. Flink's `CheckpointStatsStatus`.
// Exhaustive: a checkpoint is in progress, completed or failed, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointStatus {
    /// Some subtasks have not acknowledged yet.
    InProgress,
    /// All subtasks acknowledged and the metadata is written.
    Completed,
    /// The checkpoint will never complete.
    Failed,
}

impl CheckpointStatus {
    /// Returns Flink's name of the status.
    pub fn name(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        }
    }
}

/// The type of a checkpoint. Flink's `SnapshotType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckpointType {
    /// Taken periodically, for recovery.
    Checkpoint,
    /// A checkpoint that shares no files with earlier ones.
    FullCheckpoint,
    /// Triggered and owned by a user.
    Savepoint,
    /// A savepoint with which the job drains and ends.
    TerminateSavepoint,
    /// A savepoint with which the job ends, to be resumed from it later.
    SuspendSavepoint,
}

impl CheckpointType {
    /// Returns the value of the attribute `checkpointType`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Checkpoint => "Checkpoint",
            Self::FullCheckpoint => "Full Checkpoint",
            Self::Savepoint => "Savepoint",
            Self::TerminateSavepoint => "Terminate Savepoint",
            Self::SuspendSavepoint => "Suspend Savepoint",
        }
    }

    /// Returns `true` for every type of savepoint.
    pub fn is_savepoint(self) -> bool {
        match self {
            Self::Savepoint | Self::TerminateSavepoint | Self::SuspendSavepoint => true,
            Self::Checkpoint | Self::FullCheckpoint => false,
        }
    }
}

/// The result of a checkpoint that completed. Flink's `CompletedCheckpoint`.
///
/// A path converts into one.
///
/// # Examples
///
/// ```
/// use flink_traces_runtime::checkpoint::CompletedCheckpoint;
///
/// let completed =
///     CompletedCheckpoint::from("file:///checkpoints/chk-7").with_metadata_size(1_234);
/// assert_eq!(completed.metadata_size, Some(1_234));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CompletedCheckpoint {
    /// The path, if the checkpoint has one.
    pub external_path: Option<String>,
    /// The bytes of metadata, if they are known.
    pub metadata_size: Option<i64>,
    /// The bytes of state that a checkpoint without subtasks refers to.
    pub state_size: Option<i64>,
    /// The bytes that were written for a checkpoint without subtasks. The default is `state_size`.
    pub checkpointed_size: Option<i64>,
}

impl CompletedCheckpoint {
    setters! {
        with_external_path: external_path, into Option<String>;
        with_metadata_size: metadata_size, into Option<i64>;
        with_state_size: state_size, into Option<i64>;
        with_checkpointed_size: checkpointed_size, into Option<i64>;
    }
}

impl From<String> for CompletedCheckpoint {
    fn from(external_path: String) -> Self {
        Self::default().with_external_path(external_path)
    }
}

impl From<&str> for CompletedCheckpoint {
    fn from(external_path: &str) -> Self {
        Self::from(external_path.to_owned())
    }
}

/// The time and cause of a checkpoint's failure, from Flink's `FailedCheckpointStats`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointFailure {
    /// The time of the failure, in milliseconds since the epoch.
    pub timestamp: i64,
    /// The message of the cause; may be empty.
    pub message: String,
}

impl CheckpointFailure {
    /// Creates a failure at `timestamp`, in milliseconds since the epoch.
    pub fn new(timestamp: i64, message: impl Into<String>) -> Self {
        Self { timestamp, message: message.into() }
    }
}

/// The statistics of one task of a checkpoint. Flink's `TaskStateStats`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskStats {
    /// The id of the job vertex, 32 hexadecimal digits.
    pub job_vertex_id: String,
    /// The name of the vertex, if the source knows it.
    pub task_name: Option<String>,
    /// The time of the last acknowledgement, in milliseconds since the epoch; `None` if there was
    /// none.
    pub latest_ack_timestamp: Option<i64>,
    /// The number of subtasks that take part, if the source knows it.
    pub num_subtasks: Option<i64>,
    /// The subtasks that reported, by index.
    pub subtasks: Subtasks,
}

impl TaskStats {
    /// Creates the statistics of a task of which no subtask has reported.
    pub fn new(job_vertex_id: impl Into<String>) -> Self {
        Self {
            job_vertex_id: job_vertex_id.into(),
            task_name: None,
            latest_ack_timestamp: None,
            num_subtasks: None,
            subtasks: Subtasks::default(),
        }
    }

    setters! {
        with_task_name: task_name, into Option<String>;
        with_latest_ack_timestamp: latest_ack_timestamp, into Option<i64>;
        with_num_subtasks: num_subtasks, into Option<i64>;
        with_subtasks: subtasks, into Subtasks;
    }

    /// Returns the shortest start delay among the subtasks, in milliseconds; 0 if none reported
    /// one.
    pub fn min_start_delay(&self) -> i64 {
        let delays = self.subtasks.iter().filter_map(|subtask| subtask.metric(SubtaskMetric::CheckpointStartDelayMs));
        delays.filter(|delay| *delay >= 0).min().unwrap_or(0)
    }
}

/// The statistics of one initialization of a job's subtasks. Flink's `JobInitializationMetrics`.
///
/// A job is initialized at its start, after a failure and after rescaling.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InitializationStats {
    /// The start, in milliseconds since the epoch.
    pub start_timestamp: i64,
    /// The time at which the last subtask was initialized, in milliseconds since the epoch.
    pub end_timestamp: i64,
    /// The outcome.
    pub status: InitializationStatus,
    /// The checkpoint that was restored; `None` for a fresh start.
    pub restored_checkpoint_id: Option<i64>,
    /// The trigger time of the restored checkpoint, if this job took it and its history still has
    /// it.
    pub restored_trigger_timestamp: Option<i64>,
    /// The trace of the restored checkpoint's span, if that span has a parent.
    pub restored_trace_id: Option<TraceId>,
    /// The bytes of state of the restored checkpoint.
    pub restored_state_size: Option<i64>,
    /// The metrics over all subtasks, by name.
    pub metrics: Vec<InitializationMetric>,
    /// The reports of single subtasks, by job vertex and subtask.
    ///
    /// Kept only at the span detail level
    /// [`ChildrenSpansPerSubtask`](crate::config::SpanDetailLevel::ChildrenSpansPerSubtask).
    /// Flink has no such reports.
    pub subtasks: Vec<(ExecutionAttemptId, SubTaskInitializationMetrics)>,
}

impl InitializationStats {
    /// Creates statistics of an initialization without a restored checkpoint and without metrics.
    pub fn new(start_timestamp: i64, end_timestamp: i64, status: InitializationStatus) -> Self {
        Self {
            start_timestamp,
            end_timestamp,
            status,
            restored_checkpoint_id: None,
            restored_trigger_timestamp: None,
            restored_trace_id: None,
            restored_state_size: None,
            metrics: Vec::new(),
            subtasks: Vec::new(),
        }
    }

    setters! {
        with_restored_checkpoint_id: restored_checkpoint_id, into Option<i64>;
        with_restored_trigger_timestamp: restored_trigger_timestamp, into Option<i64>;
        with_restored_state_size: restored_state_size, into Option<i64>;
        with_metrics: metrics, Vec<InitializationMetric>;
        with_subtasks: subtasks, Vec<(ExecutionAttemptId, SubTaskInitializationMetrics)>;
    }
}

/// The outcome of an initialization. Flink's `InitializationStatus`.
// Exhaustive: an initialization completes or fails, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitializationStatus {
    /// All subtasks were initialized.
    Completed,
    /// At least one subtask was not initialized.
    Failed,
}

impl InitializationStatus {
    /// Returns Flink's name of the status.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        }
    }
}

/// One metric of an initialization over all subtasks. Flink's
/// `JobInitializationMetrics.SumMaxDuration`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InitializationMetric {
    /// The name, such as `MailboxStartDurationMs`, or any that a state backend chose.
    pub name: String,
    /// The largest value.
    pub max: i64,
    /// The sum of all values.
    pub sum: i64,
}

impl InitializationMetric {
    /// Creates a metric.
    pub fn new(name: impl Into<String>, max: i64, sum: i64) -> Self {
        Self { name: name.into(), max, sum }
    }
}

/// The report of one subtask after its initialization. Flink's `SubTaskInitializationMetrics`.
///
/// # Examples
///
/// ```
/// use flink_traces_runtime::checkpoint::{
///     InitializationStatus, StateObjectLocation, SubTaskInitializationMetrics,
/// };
///
/// let mut metrics =
///     SubTaskInitializationMetrics::new(InitializationStatus::Completed, 1_795_230_917_430);
/// metrics.add(SubTaskInitializationMetrics::INITIALIZE_STATE_DURATION, 38);
/// metrics.add_restored_state_size(StateObjectLocation::from_file("s3://bucket/chk-7/1f"), 4096);
/// metrics.add("WarmUpCacheDurationMs", 12);
/// assert_eq!(metrics.metrics().len(), 3);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubTaskInitializationMetrics {
    status: InitializationStatus,
    end_timestamp: i64,
    metrics: Vec<(Text, i64)>,
}

impl SubTaskInitializationMetrics {
    /// The time from the start of the task's restore until its operators exist.
    pub const MAILBOX_START_DURATION: &'static str = "MailboxStartDurationMs";
    /// The time to read the in-flight output of an unaligned checkpoint.
    pub const READ_OUTPUT_DATA_DURATION: &'static str = "ReadOutputDataDurationMs";
    /// The time to initialize the state of all operators and to open them.
    pub const INITIALIZE_STATE_DURATION: &'static str = "InitializeStateDurationMs";
    /// The time from then until the in-flight input is recovered.
    pub const GATE_RESTORE_DURATION: &'static str = "GateRestoreDurationMs";
    /// The time to fetch state from remote storage.
    pub const DOWNLOAD_STATE_DURATION: &'static str = "DownloadStateDurationMs";
    /// The time to rebuild state from local files.
    pub const RESTORE_STATE_DURATION: &'static str = "RestoreStateDurationMs";
    /// The time to compact state after rescaling, beside processing.
    ///
    /// See [`add_late`](super::JobInitializationMetricsBuilder::add_late).
    pub const RESTORE_ASYNC_COMPACTION_DURATION: &'static str = "RestoreAsyncCompactionDurationMs";

    /// Creates the report of a subtask that was initialized, or failed, at `end_timestamp`.
    ///
    /// The time is in milliseconds since the epoch. Leave out the phases that the subtask did not
    /// reach.
    pub fn new(status: InitializationStatus, end_timestamp: i64) -> Self {
        Self { status, end_timestamp, metrics: Vec::new() }
    }

    pub(crate) fn ended_at(mut self, end_timestamp: i64) -> Self {
        self.end_timestamp = end_timestamp;
        self
    }

    /// Returns the outcome of the subtask's initialization.
    pub fn status(&self) -> InitializationStatus {
        self.status
    }

    /// Returns the end of the subtask's initialization, in milliseconds since the epoch.
    pub fn end_timestamp(&self) -> i64 {
        self.end_timestamp
    }

    /// Returns the metrics, in the order in which their names were first added.
    pub fn metrics(&self) -> impl ExactSizeIterator<Item = (&str, i64)> {
        self.metrics.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    pub(super) fn named_metrics(&self) -> &[(Text, i64)] {
        &self.metrics
    }

    /// Adds a metric under one of the names above or any other.
    ///
    /// Values of the same name, from several operators, are summed. A value of −1 means that the
    /// metric was left unset.
    pub fn add(&mut self, name: impl Into<Text>, value: i64) {
        let name = name.into();
        match self.metrics.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum = sum.saturating_add(value),
            None => self.metrics.push((name, value)),
        }
    }

    /// Adds the bytes that an operator restored from `location`, as
    /// `RestoredStateSizeBytes.<location>`.
    pub fn add_restored_state_size(&mut self, location: StateObjectLocation, bytes: i64) {
        let name = match location {
            StateObjectLocation::LocalMemory => "RestoredStateSizeBytes.LOCAL_MEMORY",
            StateObjectLocation::LocalDisk => "RestoredStateSizeBytes.LOCAL_DISK",
            StateObjectLocation::Remote => "RestoredStateSizeBytes.REMOTE",
            StateObjectLocation::Unknown => "RestoredStateSizeBytes.UNKNOWN",
        };
        self.add(name, bytes);
    }
}

/// The source of restored state. Flink's `StateObject.StateObjectLocation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateObjectLocation {
    /// Memory, such as the metadata of the checkpoint.
    LocalMemory,
    /// Files on this machine.
    LocalDisk,
    /// Files elsewhere.
    Remote,
    /// An unknown location.
    Unknown,
}

impl StateObjectLocation {
    /// Returns the location of a file by Flink's rule.
    ///
    /// A file is remote if its URI begins with a scheme and `://`. The scheme consists of letters,
    /// digits and underscores, and is not `file`.
    pub fn from_file(uri: &str) -> Self {
        let is_word = |scheme: &str| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        match uri.split_once("://") {
            Some((scheme, _)) if !scheme.is_empty() && scheme != "file" && is_word(scheme) => Self::Remote,
            _ => Self::LocalDisk,
        }
    }
}

/// The checkpoint from which a job was restored. Flink's `RestoredCheckpointStats`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestoredCheckpoint {
    /// The id of the checkpoint.
    pub checkpoint_id: i64,
    /// The time of the restore, in milliseconds since the epoch.
    pub restore_timestamp: i64,
    /// `true` if the checkpoint is a savepoint.
    pub is_savepoint: bool,
    /// The path of the checkpoint, if it is known.
    pub external_path: Option<String>,
    /// The bytes of state that the checkpoint refers to, if they are known.
    pub state_size: Option<i64>,
    /// The time of the checkpoint's trigger, in milliseconds since the epoch, if it is known.
    ///
    /// With it, the span `JobInitialization` links to the checkpoint's span.
    pub trigger_timestamp: Option<i64>,
    /// The trace of the checkpoint's span, if that span has a parent.
    pub trace_id: Option<TraceId>,
}

impl RestoredCheckpoint {
    /// Creates a restored checkpoint for an [`Initialization`](crate::reporting::Initialization),
    /// which sets the time of the restore.
    pub fn checkpoint(checkpoint_id: i64) -> Self {
        Self::new(checkpoint_id, 0, false)
    }

    /// Creates a restored savepoint for an [`Initialization`](crate::reporting::Initialization),
    /// which sets the time of the restore.
    pub fn savepoint(checkpoint_id: i64) -> Self {
        Self::new(checkpoint_id, 0, true)
    }

    /// Creates a restored checkpoint whose other fields are unknown.
    pub fn new(checkpoint_id: i64, restore_timestamp: i64, is_savepoint: bool) -> Self {
        Self {
            checkpoint_id,
            restore_timestamp,
            is_savepoint,
            external_path: None,
            state_size: None,
            trigger_timestamp: None,
            trace_id: None,
        }
    }

    setters! {
        with_external_path: external_path, into Option<String>;
        with_state_size: state_size, into Option<i64>;
        with_trace_id: trace_id, into Option<TraceId>;
    }

    /// Sets [`trigger_timestamp`](Self::trigger_timestamp), such as that of a
    /// [`PendingCheckpoint`](crate::reporting::PendingCheckpoint::trigger_timestamp).
    #[must_use]
    pub fn with_trigger_timestamp(mut self, time: impl Into<Option<Timestamp>>) -> Self {
        self.trigger_timestamp = time.into().map(Timestamp::as_millis);
        self
    }
}
