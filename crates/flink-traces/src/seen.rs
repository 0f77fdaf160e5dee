//! The responses of a cluster, and the changes that a watcher sees.

use std::sync::Arc;

use flink_rest::{Error, Resource, Response};
use flink_traces_observer::JobObservation;

use crate::connection::Connection;

/// A response of a cluster.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The request.
    pub(crate) resource: Resource,
    /// The time of the request, in milliseconds since the epoch.
    pub(crate) asked_at: i64,
    /// The time at which the response was complete, in milliseconds since the epoch.
    pub(crate) answered_at: i64,
    /// The response of any status, or the error if there is none.
    pub(crate) response: Result<Response, Error>,
}

/// Something that a watcher saw.
pub(crate) enum Seen<'a> {
    /// A response, and the observations that it completes.
    Response(&'a Answered, &'a [JobObservation]),
    /// The cluster does not respond any more.
    Unreachable {
        /// The time of the first failed request, in milliseconds since the epoch.
        since: i64,
        /// The error.
        reason: &'a str,
    },
    /// The cluster has other options from now on.
    Changed(&'a Arc<Connection>),
    /// The cluster responds again.
    Reachable {
        /// The time of the response, in milliseconds since the epoch.
        at: i64,
        /// The time since which it did not respond, in milliseconds since the epoch.
        away_since: i64,
    },
}
