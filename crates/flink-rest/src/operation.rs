//! Orders that take their time: Flink answers at once with an id, and whoever gave the order asks after it.

use crate::endpoint::Endpoint;
use crate::types::{AsynchronousOperationResult, TriggerResponse};
use crate::{
    CheckpointTriggerStatus, DataSetDeletion, DeleteDataSet, DisposeSavepoint, RescaleJob, RescalingStatus,
    SavepointDisposal, SavepointStatus, StopJob, TriggerCheckpoint, TriggerId, TriggerSavepoint,
};

/// An order that takes its time, with what to ask after it; what Flink calls an asynchronous operation.
///
/// Flink remembers how one ended for five minutes (`rest.async.store-duration`). `Client::run` does all of it in one call.
pub trait Operation: Endpoint<Response = TriggerResponse> {
    /// The question how it stands.
    type Status: Endpoint<Response = AsynchronousOperationResult>;

    /// The question how this one stands, after Flink answered with `trigger`.
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
