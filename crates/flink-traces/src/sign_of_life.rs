//! The signs of life of the observer of a cluster, which follow from responses only.

use flink_rest::{Resource, Response};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::seen::Answered;

/// The time between two signs, in milliseconds.
const PERIOD_MS: i64 = 10_000;

/// The last sign of life.
#[derive(Debug, Default)]
pub(crate) struct SignOfLife {
    last_ms: Option<i64>,
}

/// The jobs that a cluster lists.
#[derive(Deserialize)]
struct Overview {
    jobs: Vec<IgnoredAny>,
}

impl SignOfLife {
    /// Returns the number of jobs that the cluster lists, if `answer` is due as a sign of life.
    pub(crate) fn of(&mut self, answer: &Answered) -> Option<i64> {
        let at = answer.answered_at;
        let (Resource::JobsOverview(_), Ok(Response { status: 200, body, .. })) = (&answer.resource, &answer.response)
        else {
            return None;
        };
        if self.last_ms.is_some_and(|last| (0..PERIOD_MS).contains(&at.saturating_sub(last))) {
            return None;
        }
        let jobs = serde_json::from_slice::<Overview>(body).ok()?.jobs.len();
        self.last_ms = Some(at);
        i64::try_from(jobs).ok()
    }
}
