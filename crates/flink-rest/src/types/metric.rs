//! Metrics by name.

use serde::{Deserialize, Serialize};

use crate::lenient::optional_text;

/// Metrics; answers `/jobs/:jobid/metrics`. At most as new as `metrics.fetcher.update-interval` allows, 10 s by default, and empty
/// when asked for the first time or after the job ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MetricCollectionResponseBody {
    /// Those that were asked for and are known; all known ones, without values, where none was asked for.
    pub metrics: Vec<Metric>,
}

impl MetricCollectionResponseBody {
    /// The value of the metric `id` as Flink prints it; `None` where it is not known.
    pub fn value(&self, id: &str) -> Option<&str> {
        self.metrics.iter().find(|metric| metric.id == id)?.value.as_deref()
    }
}

/// A metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Its name, such as `lastCheckpointRestoreTimestamp`.
    pub id: String,
    /// Its value as Java prints it; `None` in a list of names.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}
