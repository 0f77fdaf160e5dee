//! Metrics by name.

use serde::{Deserialize, Serialize};

use super::Other;
use crate::lenient::{optional_double, optional_text};

/// Metrics, returned by `/jobs/:jobid/metrics` and similar endpoints.
///
/// The values are at most as new as `metrics.fetcher.update-interval` allows, 10 s by default. The
/// list is empty at the first request and after the job has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
#[non_exhaustive]
pub struct MetricCollectionResponseBody {
    /// The requested metrics that are known.
    ///
    /// If the request names no metric, the list has all known metrics, without values.
    pub metrics: Vec<Metric>,
}

constructor! {
    MetricCollectionResponseBody(metrics: Vec<Metric>)
}

impl MetricCollectionResponseBody {
    /// Returns the value of the metric `id` as Flink prints it, or `None` if it is not known.
    pub fn value(&self, id: &str) -> Option<&str> {
        self.metrics.iter().find(|metric| metric.id == id)?.value.as_deref()
    }
}

/// A metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Metric {
    /// The name of the metric, such as `lastCheckpointRestoreTimestamp`.
    pub id: String,
    /// The value of the metric as Java prints it, or `None` in a list of names.
    #[serde(default, deserialize_with = "optional_text", skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    Metric(id: impl Into<String>)
    empty(value, other)
}

/// Metrics aggregated over several jobs, TaskManagers or subtasks.
///
/// Returned by `/jobs/metrics` and similar endpoints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
#[non_exhaustive]
pub struct AggregatedMetricsResponseBody {
    /// The requested metrics that are known.
    ///
    /// If the request names no metric, the list has all known metrics, without values.
    pub metrics: Vec<AggregatedMetric>,
}

constructor! {
    AggregatedMetricsResponseBody(metrics: Vec<AggregatedMetric>)
}

/// A metric aggregated over several jobs, TaskManagers or subtasks.
///
/// An aggregate that was not requested is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AggregatedMetric {
    /// The name of the metric.
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
    /// The inequality of the values, in percent; since 1.20.
    #[serde(default, with = "optional_double", skip_serializing_if = "Option::is_none")]
    pub skew: Option<f64>,
    /// The fields that this crate does not name.
    #[serde(flatten)]
    pub other: Other,
}

constructor! {
    AggregatedMetric(id: impl Into<String>)
    empty(min, max, avg, sum, skew, other)
}
