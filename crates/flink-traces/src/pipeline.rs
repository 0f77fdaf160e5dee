//! From the observer's outputs to the reporters, and to whoever looks on.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use flink_traces_api::{Clock, Compatibility, ReportContext, ReportedEvent, ReportedSpan};
use flink_traces_runtime::checkpoint::job_initialization_span;
use flink_traces_runtime::config::SpanDetailLevel;
use flink_traces_runtime::job::{
    JobFailure, all_subtasks_status_change_event, job_failure_event, job_status_change_event,
};
use flink_traces_runtime::{Dispatcher, JobIdentity, MetricGroup, checkpoint_span};

use crate::observer::{JobKey, Output, Record};
use crate::text::{one_line, unless_closed};

/// The longest line that is printed, and the longest name of a job in it, in characters.
const MAX_LINE_CHARS: usize = 1_000;
const MAX_NAME_CHARS: usize = 60;

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
    job_manager: MetricGroup,
    /// The job of the last output, and its group: outputs of a job mostly follow each other.
    job: Option<(JobKey, MetricGroup)>,
    detail: SpanDetailLevel,
}

impl Pipeline {
    /// Reports to `dispatcher` what happens in the cluster that `cluster` names, in the ids of spans too; `host` stands in for the
    /// JobManager's host name, which REST does not tell.
    pub fn new(dispatcher: &Dispatcher, cluster: &str, host: &str, detail: SpanDetailLevel) -> Self {
        Self { cluster: cluster.to_owned(), job_manager: MetricGroup::job_manager(dispatcher, host), job: None, detail }
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
        let last = self.job.take().filter(|(last, _)| last == job);
        let (_, group) =
            self.job.insert(last.unwrap_or_else(|| (job.clone(), self.job_manager.add_job(&job.id, &job.name))));
        record.report(&self.cluster, job, group, self.detail);
    }
}

/// Prints outputs for people, one line for each span and event. Lines are escaped and of bounded length, whatever a job's names hold.
pub struct Printer<W> {
    output: W,
    /// Nobody listens, or nothing can be written any more.
    closed: bool,
}

impl<W: Write> Printer<W> {
    /// Prints to `output`.
    pub fn new(output: W) -> Self {
        Self { output, closed: false }
    }

    /// Sends what is buffered on its way.
    ///
    /// # Errors
    /// As [`print`](Self::print).
    pub fn flush(&mut self) -> io::Result<()> {
        self.write(|output| output.flush())
    }

    /// Prints one output. `at` is when it was known, in milliseconds since the epoch.
    ///
    /// # Errors
    /// When `output` fails, unless it is a pipe whose other end is closed. In both cases nothing is printed from then on.
    pub fn print(&mut self, at: i64, output: &Output) -> io::Result<()> {
        lines(at, output).iter().try_for_each(|line| {
            let line = one_line(line, MAX_LINE_CHARS);
            self.write(|output| writeln!(output, "{line}"))
        })
    }

    fn write(&mut self, write: impl FnOnce(&mut W) -> io::Result<()>) -> io::Result<()> {
        if self.closed {
            return Ok(());
        }
        let written = write(&mut self.output);
        self.closed = written.is_err();
        unless_closed(written)
    }
}

/// The lines that tell an output.
fn lines(at: i64, output: &Output) -> Vec<String> {
    let Output { job, record } = output;
    let job_name = one_line(&job.name, MAX_NAME_CHARS);
    let identity = JobIdentity { cluster: "", job_id: &job.id };
    let (span, event) = match record {
        Record::Checkpoint(stats) => (Some(checkpoint_span(identity, stats, SpanDetailLevel::SpanPerCheckpoint)), None),
        Record::Initialization { stats, identity_timestamp } => {
            (Some(job_initialization_span(identity, stats, *identity_timestamp)), None)
        }
        Record::StatusChange { status, ts_millis } => {
            (None, Some(job_status_change_event(status.as_str(), *ts_millis)))
        }
        // Nobody reads a stack trace in a line.
        Record::Failure(failure) => {
            (None, Some(job_failure_event(&JobFailure { stacktrace: None, ..failure.clone() })))
        }
        Record::AllSubtasks { status, ts_millis } => {
            (None, Some(all_subtasks_status_change_event(*status, *ts_millis)))
        }
        Record::Missed { count, last_id } => {
            return vec![format!("{job_name}: {count} checkpoints up to {last_id} were not seen")];
        }
    };
    let clock = ReplayClock::default();
    clock.set(at);
    let variables = vec![("<job_name>".to_owned(), job_name)];
    let context = Arc::new(ReportContext::new(Compatibility::Standard).with_variables(variables));
    let span = span.map(|span| {
        let span = ReportedSpan::new(Arc::new(span.build(&clock)), context.clone());
        flink_traces_log::span_line(span.root())
    });
    let event = event.map(|event| {
        let event = ReportedEvent::new(Arc::new(event.build(&clock)), at, context);
        flink_traces_log::event_line(&event)
    });
    span.into_iter().chain(event).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails with this error after some writes.
    struct Failing(usize, io::ErrorKind);

    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or(self.1)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_no_failure_and_a_full_disk_is_one_failure() {
        let job = JobKey { start_time: 0, id: "1".to_owned(), name: "job".to_owned() };
        let output = Output { job, record: Record::Missed { count: 1, last_id: 2 } };
        for (kind, failures) in [(io::ErrorKind::BrokenPipe, 0), (io::ErrorKind::StorageFull, 1)] {
            let mut printer = Printer::new(Failing(4, kind));
            let failed = (0..10).filter(|_| printer.print(0, &output).is_err()).count();
            assert_eq!((failed, printer.closed), (failures, true), "{kind}");
        }
    }
}
