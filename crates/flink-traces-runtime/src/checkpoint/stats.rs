//! What is known of one checkpoint and of one initialization, whoever found it out: a tracker inside an engine or an observer of
//! a cluster's REST API.

use flink_traces_api::Text;

use crate::job::ExecutionAttemptId;

/// One checkpoint or savepoint, as Flink's `AbstractCheckpointStats`. What a source cannot know is `None`, and the span then
/// lacks the attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointStats {
    /// Its id, consecutive within a job.
    pub checkpoint_id: i64,
    /// When it was triggered, in milliseconds since the epoch.
    pub trigger_timestamp: i64,
    /// How it stands.
    pub status: CheckpointStatus,
    /// What it is for.
    pub checkpoint_type: CheckpointType,
    /// Whether any subtask persisted data in flight.
    pub is_unaligned: Option<bool>,
    /// When the last subtask acknowledged; `None` if none did.
    pub latest_ack_timestamp: Option<i64>,
    /// Bytes of state that it refers to.
    pub state_size: Option<i64>,
    /// Bytes that were written for it.
    pub checkpointed_size: Option<i64>,
    /// Bytes of its metadata; −1 if it failed, as in Flink.
    pub metadata_size: Option<i64>,
    /// Where it lies, once it is complete.
    pub external_path: Option<String>,
    /// When and why it failed; `None` if it did not, or nobody knows.
    pub failure: Option<CheckpointFailure>,
    /// Its tasks, in the job's order; empty where the source tells none.
    pub tasks: Vec<TaskStats>,
}

/// How a checkpoint stands, as Flink's `CheckpointStatsStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointStatus {
    /// Subtasks are still to report.
    InProgress,
    /// All subtasks acknowledged and the metadata is written.
    Completed,
    /// It will never complete.
    Failed,
}

impl CheckpointStatus {
    /// Flink's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        }
    }
}

/// What a checkpoint is for, as the names of Flink's `SnapshotType`s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointType {
    /// Taken periodically, for recovery.
    Checkpoint,
    /// A checkpoint that shares nothing with earlier ones.
    FullCheckpoint,
    /// Taken by a user, to keep.
    Savepoint,
    /// A savepoint at which the job drains and ends.
    TerminateSavepoint,
    /// A savepoint at which the job ends, to go on from it later.
    SuspendSavepoint,
}

impl CheckpointType {
    /// The text of attribute `checkpointType`.
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

/// When and why a checkpoint failed, as Flink's `FailedCheckpointStats` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointFailure {
    /// In milliseconds since the epoch.
    pub timestamp: i64,
    /// The cause's message; may be empty.
    pub message: String,
}

/// What one task did for a checkpoint, as Flink's `TaskStateStats`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskStats {
    /// The job vertex, 32 hexadecimal digits.
    pub job_vertex_id: String,
    /// The vertex's name, if the source knows it.
    pub task_name: Option<String>,
    /// When its last subtask acknowledged; `None` if none did.
    pub latest_ack_timestamp: Option<i64>,
    /// The subtasks that reported, by index.
    pub subtasks: Vec<SubtaskStats>,
}

impl TaskStats {
    /// The shortest start delay among its subtasks, in milliseconds; 0 if none reported one.
    pub fn min_start_delay(&self) -> i64 {
        let delays = self.subtasks.iter().filter_map(|subtask| subtask.metric(SubtaskMetric::CheckpointStartDelayMs));
        delays.filter(|delay| *delay >= 0).min().unwrap_or(0)
    }
}

/// What one subtask did for a checkpoint, as Flink's `SubtaskStateStats`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubtaskStats {
    /// Its index within the task, from 0.
    pub index: i64,
    /// When its report arrived, in milliseconds since the epoch.
    pub ack_timestamp: i64,
    /// Whether data in flight was persisted.
    pub is_unaligned: bool,
    /// Whether it completed its part; `false` for an aborted snapshot, and for a report that came too late.
    pub is_completed: bool,
    /// Its numbers, in the order of [`SubtaskMetric::ALL`]; −1 where the subtask left one unset.
    pub metrics: [Option<i64>; SubtaskMetric::ALL.len()],
}

impl SubtaskStats {
    /// One of its numbers; `None` where the source does not tell it.
    pub fn metric(&self, metric: SubtaskMetric) -> Option<i64> {
        self.metrics[metric as usize]
    }
}

/// The numbers that each subtask reports of a checkpoint, as the `CheckpointSpanMetric`s of Flink's `DefaultCheckpointStatsTracker`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubtaskMetric {
    /// Bytes of state referred to.
    StateSizeBytes,
    /// Bytes written.
    CheckpointedSizeBytes,
    /// From the trigger to the start of the subtask's part.
    CheckpointStartDelayMs,
    /// From the first to the last barrier.
    AlignmentDurationMs,
    /// The part that stops processing.
    SyncCheckpointDurationMs,
    /// The part beside processing.
    AsyncCheckpointDurationMs,
    /// Bytes processed during alignment.
    ProcessedDataBytes,
    /// Bytes in flight that were persisted.
    PersistedDataBytes,
}

impl SubtaskMetric {
    /// All of them, in Flink's order.
    pub const ALL: [Self; 8] = [
        Self::StateSizeBytes,
        Self::CheckpointedSizeBytes,
        Self::CheckpointStartDelayMs,
        Self::AlignmentDurationMs,
        Self::SyncCheckpointDurationMs,
        Self::AsyncCheckpointDurationMs,
        Self::ProcessedDataBytes,
        Self::PersistedDataBytes,
    ];
}

/// How the subtasks of a job came up, once: at its start, after a failure, after rescaling. As Flink's `JobInitializationMetrics`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitializationStats {
    /// When it began, in milliseconds since the epoch.
    pub start_timestamp: i64,
    /// When the last subtask was up.
    pub end_timestamp: i64,
    /// Whether all came up.
    pub status: InitializationStatus,
    /// The checkpoint that was restored; `None` at a fresh start.
    pub restored_checkpoint_id: Option<i64>,
    /// When that checkpoint was triggered, if it is one of this job's that is still known.
    pub restored_trigger_timestamp: Option<i64>,
    /// Bytes of state of the restored checkpoint.
    pub restored_state_size: Option<i64>,
    /// What the subtasks reported, by name.
    pub metrics: Vec<InitializationMetric>,
    /// The reports of single subtasks, by job vertex and subtask, where they were kept: at the detail level
    /// [`ChildrenSpansPerSubtask`](crate::config::SpanDetailLevel::ChildrenSpansPerSubtask). Beyond Flink.
    pub subtasks: Vec<(ExecutionAttemptId, SubTaskInitializationMetrics)>,
}

/// Whether an initialization succeeded, as Flink's `InitializationStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitializationStatus {
    /// All subtasks came up.
    Completed,
    /// At least one did not.
    Failed,
}

impl InitializationStatus {
    /// Flink's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
        }
    }
}

/// One number that subtasks report of their initialization, over all subtasks, as Flink's `JobInitializationMetrics.SumMaxDuration`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitializationMetric {
    /// Its name, such as `MailboxStartDurationMs`, or any that a state backend chose.
    pub name: String,
    /// The largest.
    pub max: i64,
    /// The sum.
    pub sum: i64,
}

/// What one subtask reports once it is up, or has failed to come up, as Flink's `SubTaskInitializationMetrics`.
///
/// ```
/// use flink_traces_runtime::checkpoint::{InitializationStatus, StateObjectLocation, SubTaskInitializationMetrics};
///
/// let mut metrics = SubTaskInitializationMetrics::new(InitializationStatus::Completed, 1_795_230_917_430);
/// metrics.add(SubTaskInitializationMetrics::INITIALIZE_STATE_DURATION, 38);
/// metrics.add_restored_state_size(StateObjectLocation::of_file("s3://bucket/chk-7/1f"), 4096);
/// metrics.add("WarmUpCacheDurationMs", 12);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubTaskInitializationMetrics {
    status: InitializationStatus,
    end_timestamp: i64,
    metrics: Vec<(Text, i64)>,
}

impl SubTaskInitializationMetrics {
    /// From the start of the task's restore until its operators are made.
    pub const MAILBOX_START_DURATION: &'static str = "MailboxStartDurationMs";
    /// Reading the output in flight of an unaligned checkpoint.
    pub const READ_OUTPUT_DATA_DURATION: &'static str = "ReadOutputDataDurationMs";
    /// Initializing the state of all operators and opening them.
    pub const INITIALIZE_STATE_DURATION: &'static str = "InitializeStateDurationMs";
    /// From then until the input in flight is recovered.
    pub const GATE_RESTORE_DURATION: &'static str = "GateRestoreDurationMs";
    /// Fetching state from remote storage.
    pub const DOWNLOAD_STATE_DURATION: &'static str = "DownloadStateDurationMs";
    /// Rebuilding state from local files.
    pub const RESTORE_STATE_DURATION: &'static str = "RestoreStateDurationMs";
    /// Compacting state after rescaling, beside processing; see [`JobInitializationMetricsBuilder::add_late`].
    pub const RESTORE_ASYNC_COMPACTION_DURATION: &'static str = "RestoreAsyncCompactionDurationMs";

    /// The report of a subtask that came up, or failed, at `end_timestamp`, in milliseconds since the epoch. Phases that it did not reach
    /// are left out.
    pub fn new(status: InitializationStatus, end_timestamp: i64) -> Self {
        Self { status, end_timestamp, metrics: Vec::new() }
    }

    /// Whether the subtask came up.
    pub fn status(&self) -> InitializationStatus {
        self.status
    }

    /// When it came up, or failed to, in milliseconds since the epoch.
    pub fn end_timestamp(&self) -> i64 {
        self.end_timestamp
    }

    /// Its numbers by name, in the order in which they were first added.
    pub fn metrics(&self) -> impl ExactSizeIterator<Item = (&str, i64)> {
        self.metrics.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    pub(super) fn named_metrics(&self) -> &[(Text, i64)] {
        &self.metrics
    }

    /// Adds a number under one of the names above or any other; numbers of the same name, from several operators, are summed up. −1
    /// stands for one that was left unset.
    pub fn add(&mut self, name: impl Into<Text>, value: i64) {
        let name = name.into();
        match self.metrics.iter_mut().find(|(known, _)| *known == name) {
            Some((_, sum)) => *sum = sum.saturating_add(value),
            None => self.metrics.push((name, value)),
        }
    }

    /// Adds bytes of state that an operator restored from there, as `RestoredStateSizeBytes.<location>`.
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

/// Where restored state came from, as Flink's `StateObject.StateObjectLocation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateObjectLocation {
    /// It was part of the metadata, or in memory otherwise.
    LocalMemory,
    /// Files of this machine.
    LocalDisk,
    /// Files elsewhere.
    Remote,
    /// Nobody knows.
    Unknown,
}

impl StateObjectLocation {
    /// Flink's rule for a file: remote if its URI has a scheme of letters, digits and underscores that is not `file`, followed by `://`.
    pub fn of_file(uri: &str) -> Self {
        let is_word = |scheme: &str| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        match uri.split_once("://") {
            Some((scheme, _)) if !scheme.is_empty() && scheme != "file" && is_word(scheme) => Self::Remote,
            _ => Self::LocalDisk,
        }
    }
}

/// What a job was restored from, as Flink's `RestoredCheckpointStats`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredCheckpoint {
    /// The checkpoint's id.
    pub checkpoint_id: i64,
    /// When the job was restored, in milliseconds since the epoch.
    pub restore_timestamp: i64,
    /// Whether it is a savepoint.
    pub is_savepoint: bool,
    /// Where it lies, if that is known.
    pub external_path: Option<String>,
    /// Bytes of state that it refers to, if that is known.
    pub state_size: Option<i64>,
    /// When it was triggered, in milliseconds since the epoch, if that is known: the span `JobInitialization` then links to its span.
    pub trigger_timestamp: Option<i64>,
}
