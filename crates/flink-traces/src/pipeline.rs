//! From the observer's outputs to the reporters, and to whoever looks on.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use flink_traces_api::{Clock, Identity, ReportContext, ReportedEvent, ReportedSpan};
use flink_traces_runtime::{
    Dispatcher, JobFailure, JobIdentity, MetricGroup, SpanDetailLevel, all_subtasks_status_change_event,
    checkpoint_span, job_failure_event, job_initialization_span, job_status_change_event,
};

use crate::observer::{JobKey, Output, Record};
use crate::summary::Summary;
use crate::text::one_line;

/// The clock of a replay: it shows what it was last set to.
#[derive(Debug, Clone, Default)]
pub struct ReplayClock(Arc<AtomicI64>);

impl ReplayClock {
    /// Sets it, to milliseconds since the epoch.
    pub fn set(&self, millis: i64) {
        self.0.store(millis, Ordering::Relaxed);
    }
}

impl Clock for ReplayClock {
    fn now_millis(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Reports what happens in one cluster.
pub struct Pipeline {
    cluster: String,
    dispatcher: Dispatcher,
    job_manager: MetricGroup,
    jobs: BTreeMap<JobKey, MetricGroup>,
    detail: SpanDetailLevel,
    summary: Summary,
}

impl Pipeline {
    /// Reports to `dispatcher` what happens in the cluster that `cluster` names, in the ids of spans too; `host` stands in for the
    /// JobManager's host name, which REST does not tell.
    pub fn new(dispatcher: &Dispatcher, cluster: &str, host: &str, detail: SpanDetailLevel) -> Self {
        Self {
            cluster: cluster.to_owned(),
            dispatcher: dispatcher.clone(),
            job_manager: MetricGroup::job_manager(dispatcher, host),
            jobs: BTreeMap::new(),
            detail,
            summary: Summary::default(),
        }
    }

    /// Reports one output.
    pub fn report(&mut self, output: &Output) {
        let Output { job, record } = output;
        if let Record::Missed { count, last_id } = record {
            tracing::warn!(
                job = %job.id, missed = count, last = last_id,
                "checkpoints left the history unseen: raise web.checkpoints.history or lower flink-traces.poll-interval"
            );
        }
        let job_manager = &self.job_manager;
        let group = self.jobs.entry(job.clone()).or_insert_with(|| job_manager.add_job(&job.id, &job.name));
        record.report(&self.cluster, job, group, self.detail);
        self.summary.add(output);
        // A job's group is made anew at need; those of jobs that ended long ago are not kept.
        if self.jobs.len() > 10_000 {
            self.jobs.pop_first();
        }
    }

    /// Where the outputs go.
    pub fn dispatcher(&self) -> &Dispatcher {
        &self.dispatcher
    }

    /// What happened so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }
}

/// Prints outputs for people, one line each.
pub struct Printer<W> {
    output: W,
}

impl<W: Write> Printer<W> {
    /// Prints to `output`.
    pub fn new(output: W) -> Self {
        Self { output }
    }

    /// Sends what is buffered on its way.
    ///
    /// # Errors
    /// When `output` fails.
    pub fn flush(&mut self) -> std::io::Result<()> {
        self.output.flush()
    }

    /// Prints one output.
    ///
    /// # Errors
    /// When `output` fails.
    pub fn print(&mut self, at: i64, output: &Output) -> std::io::Result<()> {
        let Output { job, record } = output;
        let identity = JobIdentity { cluster: "", job_id: &job.id };
        let span = match record {
            Record::Checkpoint(stats) => Some(checkpoint_span(identity, stats, SpanDetailLevel::SpanPerCheckpoint)),
            Record::Initialization { stats, identity_timestamp } => {
                Some(job_initialization_span(identity, stats, *identity_timestamp))
            }
            _ => None,
        };
        let event = match record {
            Record::StatusChange { status, ts_millis } => Some(job_status_change_event(status.as_str(), *ts_millis)),
            // Nobody reads a stack trace in a line.
            Record::Failure(failure) => Some(job_failure_event(&JobFailure { stacktrace: None, ..failure.clone() })),
            Record::AllSubtasks { status, ts_millis } => Some(all_subtasks_status_change_event(*status, *ts_millis)),
            _ => None,
        };
        let clock = ReplayClock::default();
        clock.set(at);
        let variables = vec![("<job_name>".to_owned(), job.name.clone())];
        let context = Arc::new(ReportContext { variables, ..ReportContext::default() });
        if let Some(span) = span {
            let span = Arc::new(span.build(&clock));
            let span = ReportedSpan::new(span, Identity::of(&[]).trace_id(), context.clone());
            writeln!(self.output, "{}", flink_traces_log::span_line(span.root()))?;
        }
        if let Some(event) = event {
            let event = ReportedEvent::new(Arc::new(event.build(&clock)), at, context);
            writeln!(self.output, "{}", flink_traces_log::event_line(&event))?;
        }
        if let Record::Missed { count, last_id } = record {
            writeln!(self.output, "{}: {count} checkpoints up to {last_id} were not seen", one_line(&job.name, 40))?;
        }
        Ok(())
    }
}
