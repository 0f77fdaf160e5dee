//! Reporting observations to a dispatcher.

use flink_traces_api::EventBuilder;
use flink_traces_runtime::config::SpanDetailLevel;
use flink_traces_runtime::extension::{
    ObserverIdentity, VanishedJobOutcome, cluster_reachable_event, cluster_unreachable_event, observation_event,
};
use flink_traces_runtime::{Dispatcher, MetricGroup};

use crate::observation::{CLUSTER, JobKey, JobObservation, MissedCheckpoints, Observation};

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
    /// name of the JobManager; `host` takes its place. `resource` are attributes of the records'
    /// resource, which replace those of a reporter with the same keys.
    pub fn new(
        dispatcher: &Dispatcher,
        cluster: &str,
        host: &str,
        detail: SpanDetailLevel,
        resource: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let job_manager = MetricGroup::job_manager_of(dispatcher, cluster, host, resource);
        Self { cluster: cluster.to_owned(), job_manager, job: None, detail }
    }

    /// Reports one observation. Missed checkpoints and vanished jobs are also logged.
    pub fn report(&mut self, observation: &JobObservation) {
        let job = &observation.job;
        self.log(job, &observation.observation);
        let last = self.job.take().filter(|(last, _)| last == job);
        let (_, group) =
            self.job.insert(last.unwrap_or_else(|| (job.clone(), self.job_manager.add_job(&job.id, &job.name))));
        observation.report(&self.cluster, group, self.detail);
    }

    /// Reports that the cluster has not responded since `ts_millis`, in milliseconds since the
    /// epoch.
    ///
    /// `process` identifies this process among all that observe the cluster, and `reason` is the
    /// first error.
    pub fn report_unreachable(&self, process: &str, ts_millis: i64, reason: &str) {
        let observer = ObserverIdentity { cluster: &self.cluster, process };
        self.add_event(cluster_unreachable_event(observer, ts_millis, reason));
    }

    /// Reports that the cluster responds again, at `ts_millis`.
    ///
    /// `unreachable_since` is the time of the preceding
    /// [`report_unreachable`](Self::report_unreachable). Times are in milliseconds since the epoch.
    pub fn report_reachable(&self, process: &str, ts_millis: i64, unreachable_since: i64) {
        let observer = ObserverIdentity { cluster: &self.cluster, process };
        self.add_event(cluster_reachable_event(observer, ts_millis, Some(unreachable_since)));
    }

    /// Reports a sign of life: the cluster listed that many jobs at `ts_millis`.
    ///
    /// `process` is that of [`report_unreachable`](Self::report_unreachable).
    pub fn report_observation(&self, process: &str, ts_millis: i64, jobs: i64) {
        let observer = ObserverIdentity { cluster: &self.cluster, process };
        self.add_event(observation_event(observer, ts_millis, jobs));
    }

    fn add_event(&self, event: EventBuilder) {
        self.job_manager.add_event(event.extension_attribute(CLUSTER, self.cluster.clone()));
    }

    fn log(&self, job: &JobKey, observation: &Observation) {
        let (cluster, job_id, job_name) = (&self.cluster, &job.id, &job.name);
        match observation {
            Observation::Missed(MissedCheckpoints {
                count, first_id, last_id, history_needed: Some(history), ..
            }) => {
                tracing::warn!(
                    cluster,
                    job_id,
                    job_name,
                    missed = count,
                    first = first_id,
                    last = last_id,
                    "web.checkpoints.history" = history,
                    "missed checkpoints: increase web.checkpoints.history to the given value"
                );
            }
            Observation::Missed(MissedCheckpoints { count, first_id, last_id, .. }) => {
                tracing::warn!(
                    cluster,
                    job_id,
                    job_name,
                    missed = count,
                    first = first_id,
                    last = last_id,
                    "missed checkpoints: their statistics ended with the JobManager"
                );
            }
            Observation::Vanished { job, .. } => {
                let status = &*job.last_status;
                match job.outcome {
                    None => tracing::warn!(cluster, job_id, job_name, status, "job vanished with its cluster"),
                    Some(VanishedJobOutcome::Gone) => {
                        tracing::warn!(cluster, job_id, job_name, status, "job vanished, cluster no longer has it");
                    }
                    Some(VanishedJobOutcome::Returned) => {
                        tracing::info!(cluster, job_id, job_name, status, "vanished job returned");
                    }
                }
            }
            _ => {}
        }
    }
}
