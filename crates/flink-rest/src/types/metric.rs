//! Metrics by name.

use serde::{Deserialize, Serialize};

use super::Other;
use crate::lenient::{optional_double, optional_text};

/// Metrics; answers `/jobs/:jobid/metrics` and its like. At most as new as `metrics.fetcher.update-interval` allows, 10 s by default, and empty
/// when asked for the first time or after the job ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
#[non_exhaustive]
pub struct MetricCollectionResponseBody {
    /// Those that were asked for and are known; all known ones, without values, where none was asked for.
    pub metrics: Vec<Metric>,
}

constructor! {
    MetricCollectionResponseBody(metrics: Vec<Metric>)
}

impl MetricCollectionResponseBody {
    /// The value of the metric `id` as Flink prints it; `None` where it is not known.
    pub fn value(&self, id: &str) -> Option<&str> {
        self.metrics.iter().find(|metric| metric.id == id)?.value.as_deref()
    }
}

/// A metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Metric {
    /// Its name, such as `lastCheckpointRestoreTimestamp`.
    pub id: String,
    /// Its value as Java prints it; `None` in a list of names.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    Metric(id: impl Into<String>)
    empty(value, other)
}

/// Metrics over several jobs, TaskManagers or subtasks; answers `/jobs/metrics` and its like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
#[non_exhaustive]
pub struct AggregatedMetricsResponseBody {
    /// Those that were asked for and are known; all known ones, without values, where none was asked for.
    pub metrics: Vec<AggregatedMetric>,
}

constructor! {
    AggregatedMetricsResponseBody(metrics: Vec<AggregatedMetric>)
}

/// A metric over several things. What was not asked for is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AggregatedMetric {
    /// Its name.
    pub id: String,
    /// The smallest value.
    #[serde(default, with = "optional_double", skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The largest value.
    #[serde(default, with = "optional_double", skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// The average.
    #[serde(default, with = "optional_double", skip_serializing_if = "Option::is_none")]
    pub avg: Option<f64>,
    /// The sum.
    #[serde(default, with = "optional_double", skip_serializing_if = "Option::is_none")]
    pub sum: Option<f64>,
    /// How unequal the values are, in percent; since 1.20.
    #[serde(default, with = "optional_double", skip_serializing_if = "Option::is_none")]
    pub skew: Option<f64>,
    /// What this crate has no name for.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    AggregatedMetric(id: impl Into<String>)
    empty(min, max, avg, sum, skew, other)
}
