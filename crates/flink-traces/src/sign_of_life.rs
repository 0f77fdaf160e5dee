//! The signs of life of the observer of a cluster, which follow from responses only.

use flink_rest::Resource;
use serde::Deserialize;
use serde::de::IgnoredAny;

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
    /// Returns the number of jobs that the cluster lists, if a response is due as a sign of life.
    ///
    /// The response to `resource` came at `at`, in milliseconds since the epoch.
    pub(crate) fn of(&mut self, at: i64, resource: &Resource, status: u16, body: &[u8]) -> Option<i64> {
        let (Resource::JobsOverview(_), 200) = (resource, status) else { return None };
        if self.last_ms.is_some_and(|last| (0..PERIOD_MS).contains(&at.saturating_sub(last))) {
            return None;
        }
        let jobs = serde_json::from_slice::<Overview>(body).ok()?.jobs.len();
        self.last_ms = Some(at);
        i64::try_from(jobs).ok()
    }
}
