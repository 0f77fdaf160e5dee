//! Reporting observations to a dispatcher.

use flink_traces_runtime::config::SpanDetailLevel;
use flink_traces_runtime::{Dispatcher, MetricGroup};

use crate::observation::{JobKey, JobObservation, Observation};

/// A pipeline that reports the observations of one cluster to a [`Dispatcher`].
pub struct Pipeline {
    cluster: String,
    job_manager: MetricGroup,
    /// The job of the last observation with its group: observations of a job mostly come in a row.
    job: Option<(JobKey, MetricGroup)>,
    detail: SpanDetailLevel,
}

impl Pipeline {
    /// Creates a pipeline to `dispatcher`.
    ///
    /// The name of the cluster is part of the ids of spans. The REST API does not return the host
    /// name of the JobManager; `host` takes its place.
    pub fn new(dispatcher: &Dispatcher, cluster: &str, host: &str, detail: SpanDetailLevel) -> Self {
        Self { cluster: cluster.to_owned(), job_manager: MetricGroup::job_manager(dispatcher, host), job: None, detail }
    }

    /// Reports one observation. Missed checkpoints are logged.
    pub fn report(&mut self, observation: &JobObservation) {
        let JobObservation { job, observation } = observation;
        if let Observation::Missed { count, last_id } = observation {
            tracing::warn!(
                job = %job.id, missed = count, last = last_id,
                "missed checkpoints: increase web.checkpoints.history or decrease flink-traces.poll-interval"
            );
        }
        let last = self.job.take().filter(|(last, _)| last == job);
        let (_, group) =
            self.job.insert(last.unwrap_or_else(|| (job.clone(), self.job_manager.add_job(&job.id, &job.name))));
        observation.report(&self.cluster, job, group, self.detail);
    }
}
