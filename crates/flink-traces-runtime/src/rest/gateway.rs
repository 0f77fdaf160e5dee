//! The operations on an engine's jobs that REST clients may trigger.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use flink_rest::types::{AsynchronousOperationResult, OperationInfo, QueueStatus, SerializedThrowable};
use flink_rest::{JobId, QueueStatusId, RestError, TriggerId};
use flink_traces_api::{Clock, Identity};

use crate::causes::with_java_causes;
use crate::checkpoint::CheckpointType;

/// The time for which the outcome of an operation is kept, in milliseconds. Flink's
/// `rest.async.store-duration`.
const STORE_DURATION: i64 = 300_000;
/// The maximum number of operations of a kind that are kept.
const MOST: usize = 1000;
/// The class of the failures of checkpoints and savepoints in Flink.
const FAILURE: &str = "org.apache.flink.runtime.checkpoint.CheckpointException";

/// The operations that an engine supports on its jobs. Flink's `RestfulGateway`.
///
/// An operation without an implementation is refused as by a version of Flink that lacks it.
///
/// Methods run on the server's threads, for several requests at once. They must pass the operation
/// on and return. Every job is known to the [`TrackedCluster`](super::TrackedCluster) and has not
/// ended, according to the reports so far. Everyone who can reach the server can call these
/// methods.
///
/// # Examples
///
/// A gateway that passes checkpoints on to a coordinator:
///
/// ```
/// use std::sync::mpsc::{SyncSender, sync_channel};
///
/// use flink_traces_runtime::checkpoint::CheckpointType;
/// use flink_traces_runtime::rest::{NotSupported, PendingOperation, RestfulGateway};
///
/// struct Gateway(SyncSender<PendingOperation<i64>>);
///
/// impl RestfulGateway for Gateway {
///     fn trigger_checkpoint(
///         &self,
///         _job_id: &str,
///         _checkpoint_type: CheckpointType,
///         operation: PendingOperation<i64>,
///     ) -> Result<(), NotSupported> {
///         // Never block the server. If the channel is full, the operation is dropped and fails.
///         let _ = self.0.try_send(operation);
///         Ok(())
///     }
/// }
///
/// let (sender, operations) = sync_channel(16);
/// let gateway = Gateway(sender);
/// // The coordinator takes each checkpoint and completes its operation with the id.
/// for operation in operations.try_iter() {
///     operation.complete(7);
/// }
/// # let _ = gateway;
/// ```
pub trait RestfulGateway: Send + Sync + 'static {
    /// Cancels a job. `PATCH /jobs/:jobid`.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine does not support it.
    fn cancel_job(&self, _job_id: &str) -> Result<(), NotSupported> {
        Err(NotSupported)
    }

    /// Triggers a checkpoint of this type, and completes `operation` with its id.
    ///
    /// `POST /jobs/:jobid/checkpoints`.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine does not support it.
    fn trigger_checkpoint(
        &self,
        _job_id: &str,
        _checkpoint_type: CheckpointType,
        _operation: PendingOperation<i64>,
    ) -> Result<(), NotSupported> {
        Err(NotSupported)
    }

    /// Triggers a savepoint, with which the job may end, and completes `operation` with its path.
    ///
    /// `POST /jobs/:jobid/savepoints` and `POST /jobs/:jobid/stop`.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine does not support it.
    fn trigger_savepoint(
        &self,
        _job_id: &str,
        _request: SavepointRequest,
        _operation: PendingOperation<String>,
    ) -> Result<(), NotSupported> {
        Err(NotSupported)
    }

    /// Shuts the engine down. `DELETE /cluster`.
    ///
    /// # Errors
    ///
    /// Returns an error if the engine does not support it.
    fn shut_down_cluster(&self) -> Result<(), NotSupported> {
        Err(NotSupported)
    }
}

/// The error of an operation that the engine does not support.
// Exhaustive: engines create it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the engine does not support this operation")]
pub struct NotSupported;

/// The parameters of a savepoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SavepointRequest {
    /// The directory of the savepoint; `None` for the engine's default.
    pub target_directory: Option<String>,
    /// The format.
    pub format_type: SavepointFormatType,
    /// The effect on the job.
    pub mode: TriggerSavepointMode,
}

/// The format of a savepoint. Flink's `SavepointFormatType`.
// Exhaustive: an engine must decide about each value, and must not take a new one for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SavepointFormatType {
    /// A format that does not depend on the state backend.
    Canonical,
    /// The format of the state backend.
    Native,
}

/// The effect of a completed savepoint on its job. Flink's `TriggerSavepointMode`.
// Exhaustive: an engine must decide about each value, and must not take a new one for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriggerSavepointMode {
    /// The job continues.
    Savepoint,
    /// The job is canceled.
    CancelWithSavepoint,
    /// The job finishes, and may be resumed from the savepoint. Nothing after the savepoint has an
    /// effect.
    SuspendWithSavepoint,
    /// The job finishes for good. Event time advances to its end before the savepoint.
    TerminateWithSavepoint,
}

/// An asynchronous operation whose outcome a client polls. If it is dropped, it has failed.
pub struct PendingOperation<T> {
    outcome: Outcome<T>,
    clock: Arc<dyn Clock>,
}

/// The outcome of an operation and its time, in milliseconds since the epoch.
type Outcome<T> = Arc<OnceLock<(i64, Result<T, String>)>>;

impl<T> PendingOperation<T> {
    /// Completes the operation.
    pub fn complete(self, result: T) {
        self.end(Ok(result));
    }

    /// Fails the operation.
    pub fn fail(self, error: &dyn Error) {
        self.end(Err(with_java_causes(error.to_string(), error)));
    }

    fn end(&self, result: Result<T, String>) {
        // Only the first outcome counts.
        let _ = self.outcome.set((self.clock.now_millis(), result));
    }
}

impl<T> fmt::Debug for PendingOperation<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingOperation").finish_non_exhaustive()
    }
}

impl<T> Drop for PendingOperation<T> {
    fn drop(&mut self) {
        self.end(Err("The engine gave the operation up.".to_owned()));
    }
}

/// The operations of one kind.
#[derive(Debug)]
pub(super) struct Operations<T> {
    /// The kind, for messages.
    kind: &'static str,
    known: Mutex<Known<T>>,
}

#[derive(Debug)]
struct Known<T> {
    /// The number of operations so far.
    count: u64,
    /// The operations, oldest first.
    operations: VecDeque<(JobId, TriggerId, Outcome<T>)>,
}

impl<T> Operations<T> {
    pub(super) fn new(kind: &'static str) -> Self {
        Self { kind, known: Mutex::new(Known { count: 0, operations: VecDeque::new() }) }
    }

    /// Begins an operation by calling `begin`, with the given id or a new one.
    ///
    /// An operation whose id is known is not begun again.
    pub(super) fn trigger(
        &self,
        job: &JobId,
        trigger: Option<TriggerId>,
        clock: &Arc<dyn Clock>,
        begin: impl FnOnce(PendingOperation<T>) -> Result<(), RestError>,
    ) -> Result<TriggerId, RestError> {
        let now = clock.now_millis();
        let mut known = self.lock();
        known.count += 1;
        let trigger = match trigger {
            Some(trigger) if known.find(job, &trigger).is_some() => return Ok(trigger),
            Some(trigger) => trigger,
            None => {
                let parts = [self.kind, job.as_str(), &now.to_string(), &known.count.to_string()];
                let id = Identity::of(&parts).trace_id().to_string();
                TriggerId::new(id).map_err(|error| RestError::new(500, error.to_string()))?
            }
        };
        let is_kept = |outcome: &Outcome<T>| outcome.get().is_none_or(|(ended, _)| now - ended < STORE_DURATION);
        known.operations.retain(|(_, _, outcome)| is_kept(outcome));
        if known.operations.len() >= MOST {
            let ended = known.operations.iter().position(|(_, _, outcome)| outcome.get().is_some());
            let oldest = ended.ok_or_else(|| RestError::new(503, "Too many operations are under way."))?;
            known.operations.remove(oldest);
        }
        let outcome = Outcome::default();
        begin(PendingOperation { outcome: outcome.clone(), clock: clock.clone() })?;
        known.operations.push_back((job.clone(), trigger.clone(), outcome));
        Ok(trigger)
    }

    /// Returns the status of an operation. `done` converts its outcome.
    pub(super) fn status(
        &self,
        job: &JobId,
        trigger: &TriggerId,
        done: impl FnOnce(Result<T, SerializedThrowable>) -> OperationInfo,
    ) -> Result<AsynchronousOperationResult, RestError>
    where
        T: Clone,
    {
        let known = self.lock();
        let outcome = known.find(job, trigger).ok_or_else(|| {
            RestError::not_found(format!("There is no {} operation with triggerId={trigger} for job {job}.", self.kind))
        })?;
        let operation = outcome
            .get()
            .map(|(_, result)| done(result.clone().map_err(|message| SerializedThrowable::new(FAILURE, &message))));
        let id = if operation.is_some() { QueueStatusId::Completed } else { QueueStatusId::InProgress };
        let status = QueueStatus::new(id);
        let mut result = AsynchronousOperationResult::new(status);
        result.operation = operation;
        Ok(result)
    }

    fn lock(&self) -> MutexGuard<'_, Known<T>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Known<T> {
    fn find(&self, job: &JobId, trigger: &TriggerId) -> Option<&Outcome<T>> {
        let mut operations = self.operations.iter();
        operations.find(|(of, id, _)| of == job && id == trigger).map(|(_, _, outcome)| outcome)
    }
}
