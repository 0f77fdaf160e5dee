//! Asynchronous operations: Flink returns an id at once, and the client polls the status.

use crate::endpoint::Endpoint;
use crate::types::{AsynchronousOperationResult, TriggerResponse};
use crate::{
    CheckpointTriggerStatus, DataSetDeletion, DeleteDataSet, DisposeSavepoint, RescaleJob, RescalingStatus,
    SavepointDisposal, SavepointStatus, StopJob, TriggerCheckpoint, TriggerId, TriggerSavepoint,
};

/// A request that triggers an asynchronous operation, such as a savepoint.
///
/// Flink keeps the result for five minutes (`rest.async.store-duration`). `Client::run` triggers an
/// operation and polls its status.
pub trait Operation: Endpoint<Response = TriggerResponse> {
    /// The request for the status.
    type Status: Endpoint<Response = AsynchronousOperationResult>;

    /// Returns the request for the status of this operation, which Flink named `trigger`.
    fn status(&self, trigger: TriggerId) -> Self::Status;
}

macro_rules! operations {
    ($($operation:ident => $status:ident { $($field:ident),* })+) => {$(
        impl Operation for $operation {
            type Status = $status;

            fn status(&self, trigger: TriggerId) -> $status {
                $status { $($field: self.$field.clone(),)* trigger }
            }
        }
    )+};
}

operations! {
    DeleteDataSet => DataSetDeletion {}
    DisposeSavepoint => SavepointDisposal {}
    RescaleJob => RescalingStatus { job }
    StopJob => SavepointStatus { job }
    TriggerCheckpoint => CheckpointTriggerStatus { job }
    TriggerSavepoint => SavepointStatus { job }
}
