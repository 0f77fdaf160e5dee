//! What others may do to an engine's jobs over REST: the part that the engine implements, and what became of what was ordered.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use flink_rest::types::{AsynchronousOperationResult, OperationInfo, QueueStatus, SerializedThrowable};
use flink_rest::{JobId, QueueStatusId, RestError, TriggerId};
use flink_traces_api::{Clock, Identity};

use crate::causes::with_java_causes;
use crate::checkpoint::CheckpointType;

/// How long it is remembered what became of an operation, in milliseconds: Flink's `rest.async.store-duration`.
const STORE_DURATION: i64 = 300_000;
/// How many operations of a kind are remembered.
const MOST: usize = 1000;
/// What Flink names as the class of what keeps a checkpoint or savepoint from completing.
const FAILURE: &str = "org.apache.flink.runtime.checkpoint.CheckpointException";

/// What an engine lets others do to its jobs; what it does not implement is answered as by a version of Flink that lacks it. As Flink's
/// `RestfulGateway`.
///
/// Methods are called on the server's threads, at once for several requests, so they hand over what is to be done, and return. The
/// jobs that they are called for are known to the [`TrackedCluster`](super::TrackedCluster) and have not ended, as far as has been reported.
/// Whoever can reach the server can call them.
pub trait RestfulGateway: Send + Sync + 'static {
    /// The job shall end, and be cancelled then. `PATCH /jobs/:jobid`.
    ///
    /// # Errors
    /// Where the engine cannot.
    fn cancel_job(&self, _job_id: &str) -> Result<(), NotSupported> {
        Err(NotSupported)
    }

    /// A checkpoint shall be taken, now and of this type; `operation` awaits its id. `POST /jobs/:jobid/checkpoints`.
    ///
    /// # Errors
    /// Where the engine cannot.
    fn trigger_checkpoint(
        &self,
        _job_id: &str,
        _checkpoint_type: CheckpointType,
        _operation: PendingOperation<i64>,
    ) -> Result<(), NotSupported> {
        Err(NotSupported)
    }

    /// A savepoint shall be taken, and perhaps the job end with it; `operation` awaits its path. `POST /jobs/:jobid/savepoints` and
    /// `POST /jobs/:jobid/stop`.
    ///
    /// # Errors
    /// Where the engine cannot.
    fn trigger_savepoint(
        &self,
        _job_id: &str,
        _request: SavepointRequest,
        _operation: PendingOperation<String>,
    ) -> Result<(), NotSupported> {
        Err(NotSupported)
    }

    /// All shall end. `DELETE /cluster`.
    ///
    /// # Errors
    /// Where the engine cannot.
    fn shut_down_cluster(&self) -> Result<(), NotSupported> {
        Err(NotSupported)
    }
}

/// The error of an operation that the engine does not support.
// Exhaustive: engines create it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this engine does not do that")]
pub struct NotSupported;

/// Which savepoint to take.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SavepointRequest {
    /// Where to put it; `None` for where the engine puts savepoints by itself.
    pub target_directory: Option<String>,
    /// In which format.
    pub format_type: SavepointFormatType,
    /// What happens to the job.
    pub mode: TriggerSavepointMode,
}

/// The format of a savepoint. As Flink's `SavepointFormatType`.
// Exhaustive: an engine must decide about each value, and must not take a new one for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SavepointFormatType {
    /// One that does not depend on the state backend.
    Canonical,
    /// The state backend's own.
    Native,
}

/// What happens to a job when its savepoint is complete. As Flink's `TriggerSavepointMode`.
// Exhaustive: an engine must decide about each value, and must not take a new one for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriggerSavepointMode {
    /// It goes on.
    Savepoint,
    /// It is cancelled.
    CancelWithSavepoint,
    /// It finishes, and may go on from the savepoint later: nothing after the savepoint has an effect.
    SuspendWithSavepoint,
    /// It finishes for good: time runs to its end before the savepoint.
    TerminateWithSavepoint,
}

/// Something that was ordered and takes its time; whoever ordered it asks after it. One that is dropped has failed.
pub struct PendingOperation<T> {
    outcome: Outcome<T>,
    clock: Arc<dyn Clock>,
}

/// What became of an operation, and when, in milliseconds since the epoch.
type Outcome<T> = Arc<OnceLock<(i64, Result<T, String>)>>;

impl<T> PendingOperation<T> {
    /// It is done.
    pub fn complete(self, result: T) {
        self.end(Ok(result));
    }

    /// It failed.
    pub fn fail(self, error: &dyn Error) {
        self.end(Err(with_java_causes(error.to_string(), error)));
    }

    fn end(&self, result: Result<T, String>) {
        // The first outcome counts.
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
    /// What they are, for messages.
    kind: &'static str,
    known: Mutex<Known<T>>,
}

#[derive(Debug)]
struct Known<T> {
    /// How many there were.
    count: u64,
    /// Oldest first.
    operations: VecDeque<(JobId, TriggerId, Outcome<T>)>,
}

impl<T> Operations<T> {
    pub(super) fn new(kind: &'static str) -> Self {
        Self { kind, known: Mutex::new(Known { count: 0, operations: VecDeque::new() }) }
    }

    /// Begins one by calling `begin`, under that id or a new one. One that is known by that id is not begun again.
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

    /// How one stands; `done` tells what came of it.
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
