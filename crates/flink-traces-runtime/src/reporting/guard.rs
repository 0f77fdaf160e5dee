//! A program's reporting while it runs, and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use flink_traces_api::Clock;

use super::job::{JobBuilder, JobHandle};
use super::offload::{is_async, offload};
use crate::config::{Configuration, Problems, SpanDetailLevel};
use crate::dispatch::{Dispatcher, MetricGroup, ReporterStats};

/// The reporting of a program: its configuration, its reporters and the end of both.
///
/// It is a cheap handle. When the last clone is dropped, the reporters deliver what is queued, for
/// at most [`shutdown_timeout`](super::ReportingBuilder::shutdown_timeout), and the log says what
/// was lost. Job handles and metric groups do not keep it alive. What they add later is dropped and
/// counted.
///
/// In a tokio runtime, call [`shutdown`](Self::shutdown) before the end. A drop would block the
/// runtime, so it only warns and leaves the delivery to a thread, which the end of the process
/// ends. This needs the feature `tokio`, which is on by default.
///
/// # Examples
///
/// ```
/// use flink_traces_log::Log;
/// use flink_traces_runtime::checkpoint::CheckpointType;
/// use flink_traces_runtime::job::JobVertex;
/// use flink_traces_runtime::reporting::{Reporting, Subtask};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let reporting =
///     Reporting::builder().cluster("prod").host("host-1").reporter(Log::new()).start()?;
/// let job = reporting.job("0a4480b1aa43ca25b4801a22462f387a", "word count");
///
/// let checkpoint = job.trigger(7, CheckpointType::Checkpoint, [JobVertex::new("a0", "map", 1)])?;
/// checkpoint.ack("a0", Subtask::new(0).state_size(4_096))?;
/// checkpoint.complete("file:///checkpoints/chk-7")?;
///
/// for account in reporting.shutdown_blocking() {
///     assert_eq!((account.emitted, account.delivered), (1, 1));
/// }
/// # Ok(())
/// # }
/// ```
///
/// All problems at once, in the form in which the program `flink-traces` prints them:
///
/// ```
/// use flink_traces_runtime::Reporting;
///
/// let problems = Reporting::builder().option("traces.reporters", "log").start().unwrap_err();
/// assert_eq!(
///     problems.to_string(),
///     "error: no reporter: set traces.reporter.<name>.factory.class, or add one in code\n\
///      warning: code: traces.reporters: unknown reporter 'log'"
/// );
/// ```
#[derive(Clone)]
pub struct Reporting(Arc<Guard>);

/// The parts of a started reporting.
pub(super) struct Parts {
    pub(super) dispatcher: Dispatcher,
    pub(super) configuration: Configuration,
    pub(super) cluster: String,
    pub(super) host: String,
    pub(super) detail: SpanDetailLevel,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) shutdown_timeout: Duration,
    pub(super) warnings: Problems,
}

struct Guard {
    parts: Parts,
    job_manager: MetricGroup,
    /// `true` from the first call of a shutdown.
    has_ended: AtomicBool,
}

impl Reporting {
    pub(super) fn new(parts: Parts) -> Self {
        let job_manager = MetricGroup::job_manager(&parts.dispatcher, &parts.host);
        Self(Arc::new(Guard { parts, job_manager, has_ended: AtomicBool::new(false) }))
    }

    /// Creates a job with Flink's defaults, in status `CREATED`.
    ///
    /// [`job_builder`](Self::job_builder) sets more.
    pub fn job(&self, job_id: impl Into<String>, name: impl Into<String>) -> JobHandle {
        self.job_builder(job_id, name).build()
    }

    /// Returns a builder of a job.
    ///
    /// Flink's own tools require an id of 32 hexadecimal digits.
    pub fn job_builder(&self, job_id: impl Into<String>, name: impl Into<String>) -> JobBuilder {
        let parts = &self.0.parts;
        JobBuilder::new(&parts.cluster, job_id.into(), name.into(), &self.0.job_manager, parts.detail, &parts.clock)
    }

    /// Returns the metric group of the JobManager, for records that belong to no job.
    pub fn job_manager(&self) -> &MetricGroup {
        &self.0.job_manager
    }

    /// Creates the metric group of a TaskManager on `host`.
    pub fn task_manager(&self, host: &str, task_manager_id: &str) -> MetricGroup {
        MetricGroup::task_manager(&self.0.parts.dispatcher, host, task_manager_id)
    }

    /// Returns a cluster without jobs for Flink's REST API, with this clock and configuration.
    ///
    /// Add the [tracked jobs](JobHandle::tracked) to it.
    #[cfg(feature = "rest")]
    #[cfg_attr(docsrs, doc(cfg(feature = "rest")))]
    pub fn rest_cluster(&self, info: crate::rest::ClusterInfo) -> crate::rest::TrackedCluster {
        let parts = &self.0.parts;
        crate::rest::TrackedCluster::new(info, parts.clock.clone()).with_configuration(&parts.configuration)
    }

    /// Returns the configuration, with the values in code.
    pub fn configuration(&self) -> &Configuration {
        &self.0.parts.configuration
    }

    /// Returns the problems that did not prevent the start.
    pub fn warnings(&self) -> &Problems {
        &self.0.parts.warnings
    }

    /// Returns the dispatcher of all reporters.
    pub fn dispatcher(&self) -> &Dispatcher {
        &self.0.parts.dispatcher
    }

    /// Returns the accounts of all reporters, traces first.
    pub fn stats(&self) -> Vec<ReporterStats> {
        self.0.parts.dispatcher.stats()
    }

    /// Closes all reporters and returns their accounts, without blocking the caller's thread.
    ///
    /// The reporters have the [timeout](super::ReportingBuilder::shutdown_timeout) to deliver what
    /// is queued. What is added from now on, also through clones and job handles, is dropped and
    /// counted. It needs no particular runtime.
    pub async fn shutdown(&self) -> Vec<ReporterStats> {
        let reporting = self.clone();
        offload("reporting-shutdown", move || reporting.shutdown_blocking()).await
    }

    /// Closes all reporters and returns their accounts.
    ///
    /// It is [`shutdown`](Self::shutdown) for programs without an asynchronous runtime. The call
    /// blocks its thread for at most one second more than the timeout.
    pub fn shutdown_blocking(&self) -> Vec<ReporterStats> {
        self.0.has_ended.store(true, Ordering::Release);
        self.0.parts.dispatcher.shutdown(self.0.parts.shutdown_timeout)
    }
}

impl std::fmt::Debug for Reporting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reporting").field("cluster", &self.0.parts.cluster).field("stats", &self.stats()).finish()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.has_ended.swap(true, Ordering::AcqRel) {
            return;
        }
        let (dispatcher, timeout) = (self.parts.dispatcher.clone(), self.parts.shutdown_timeout);
        let end = move || log_losses(&dispatcher.shutdown(timeout));
        if !is_async() {
            return end();
        }
        tracing::warn!("reporting dropped in an asynchronous runtime, delivering on a thread; call `shutdown().await`");
        // Without a thread, the drop of the dispatcher gives the reporters a second.
        let _ = thread::Builder::new().name("reporting-shutdown".to_owned()).spawn(end);
    }
}

/// Logs the accounts with records that were not delivered.
fn log_losses(accounts: &[ReporterStats]) {
    for account in accounts.iter().filter(|account| account.emitted != account.delivered) {
        tracing::warn!(%account, "records not delivered at the end");
    }
}
