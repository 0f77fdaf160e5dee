//! What an observer asks for, and what it is answered, as one type each.

use serde::Serialize;

use crate::body::{BodyError, decode};
use crate::endpoint::{
    CheckpointConfig, CheckpointDetails, CheckpointSubtasks, Checkpoints, Config, Endpoint, Job, JobExceptions,
    JobMetrics, Jobs, JobsOverview, Overview, SubtaskAttempt, SubtaskTimes, TaskManagers, Vertex,
};

macro_rules! resources {
    ($($endpoint:ident,)+) => {
        /// Any of the endpoints of this crate, with its parameters.
        ///
        /// Whoever only passes requests and bodies on, such as a recorder or a replay, need not know which they are.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Resource {
            $(#[doc = concat!("A request to [`", stringify!($endpoint), "`](crate::", stringify!($endpoint), ").")]
            $endpoint($endpoint),)+
        }

        /// What a [`Resource`] answered. Written back, it is the answer's own JSON.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(untagged)]
        #[non_exhaustive]
        #[allow(clippy::large_enum_variant, reason = "there is one at a time, and it is passed by reference")]
        pub enum Answer {
            $(#[doc = concat!("What [`", stringify!($endpoint), "`](crate::", stringify!($endpoint), ") answered.")]
            $endpoint(<$endpoint as Endpoint>::Response),)+
        }

        impl Resource {
            /// Method and path of every endpoint, as Flink declares them.
            pub const ENDPOINTS: &[(&str, &str)] = &[$((<$endpoint as Endpoint>::METHOD, <$endpoint as Endpoint>::PATH),)+];

            /// The path to request, with the query; [`parse`](Self::parse) makes the same resource of it.
            pub fn path(&self) -> String {
                match self {
                    $(Self::$endpoint(endpoint) => endpoint.path(),)+
                }
            }

            /// The path as Flink declares it, with `:name` in the places of parameters; the same for all requests to one endpoint.
            pub fn template(&self) -> &'static str {
                match self {
                    $(Self::$endpoint(_) => <$endpoint as Endpoint>::PATH,)+
                }
            }

            /// The resource that the path of a request names, with or without `/v1`, query and a slash at its end; `None` if it is
            /// none of these.
            pub fn parse(path: &str) -> Option<Self> {
                $(if let Some(endpoint) = $endpoint::parse(path) {
                    return Some(Self::$endpoint(endpoint));
                })+
                None
            }

            /// Reads the body of an answer with status 200.
            pub fn parse_body(&self, body: &[u8]) -> Result<Answer, BodyError> {
                match self {
                    $(Self::$endpoint(_) => decode(body).map(Answer::$endpoint),)+
                }
            }
        }

        $(impl From<$endpoint> for Resource {
            fn from(endpoint: $endpoint) -> Self {
                Self::$endpoint(endpoint)
            }
        })+
    };
}

resources! {
    Config,
    Overview,
    TaskManagers,
    Jobs,
    JobsOverview,
    Job,
    JobExceptions,
    JobMetrics,
    Checkpoints,
    CheckpointConfig,
    CheckpointDetails,
    CheckpointSubtasks,
    Vertex,
    SubtaskTimes,
    SubtaskAttempt,
}
