//! Printing observations for people.

use std::io::{self, Write};
use std::sync::Arc;

use flink_traces_api::{Compatibility, ReportContext, ReportedEvent, ReportedSpan};
use flink_traces_observer::replay::ReplayClock;
use flink_traces_observer::{JobObservation, MissedCheckpoints, Observation};
use flink_traces_runtime::checkpoint::job_initialization_span;
use flink_traces_runtime::config::SpanDetailLevel;
use flink_traces_runtime::extension::{checkpoints_missed_event, job_observed_event, job_vanished_event, rescale_span};
use flink_traces_runtime::job::{all_subtasks_status_change_event, job_failure_event, job_status_change_event};
use flink_traces_runtime::{JobIdentity, checkpoint_span};

use crate::text::{one_line, unless_closed};

/// The maximum length of a printed line, in characters.
const MAX_LINE_CHARS: usize = 1_000;
/// The maximum length of a job name in a printed line, in characters.
const MAX_NAME_CHARS: usize = 60;
/// The maximum length of the names of the vertices in a printed line, in characters.
const MAX_VERTICES_CHARS: usize = 100;

/// A printer of observations, one line for each span and event.
///
/// Lines are escaped and of bounded length, whatever characters the names of a job contain.
pub(crate) struct Printer<W> {
    output: W,
    /// The output is a closed pipe, or a write failed. Nothing is printed anymore.
    closed: bool,
}

impl<W: Write> Printer<W> {
    /// Creates a printer to `output`.
    pub(crate) fn new(output: W) -> Self {
        Self { output, closed: false }
    }

    /// Flushes the output. Fails as [`print`](Self::print) does.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.write(|output| output.flush())
    }

    /// Prints one observation, which was made at `at`, in milliseconds since the epoch.
    ///
    /// After a failure nothing is printed anymore. A closed pipe is not reported as a failure.
    pub(crate) fn print(&mut self, at: i64, observation: &JobObservation) -> io::Result<()> {
        lines(at, observation).iter().try_for_each(|line| {
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

/// Returns the lines of an observation.
fn lines(at: i64, observation: &JobObservation) -> Vec<String> {
    let JobObservation { job, observation, .. } = observation;
    let job_name = one_line(&job.name, MAX_NAME_CHARS);
    let identity = JobIdentity { cluster: "", job_id: &job.id };
    let named = identity.named(&job_name);
    let (span, event) = match observation {
        Observation::Checkpoint(stats) => {
            (Some(checkpoint_span(identity, stats, SpanDetailLevel::SpanPerCheckpoint)), None)
        }
        Observation::Initialization { stats, identity_timestamp } => {
            (Some(job_initialization_span(identity, stats, *identity_timestamp)), None)
        }
        Observation::StatusChange { status, ts_millis } => {
            (None, Some(job_status_change_event(named, status.name(), *ts_millis)))
        }
        // A stack trace does not fit into a line.
        Observation::Failure(failure) => {
            let mut failure = failure.clone();
            failure.stacktrace = None;
            (None, Some(job_failure_event(named, &failure)))
        }
        Observation::AllSubtasks { status, ts_millis, restored_checkpoint_id, identity_timestamp } => {
            let initialization = identity.initialization(*restored_checkpoint_id, *identity_timestamp);
            (None, Some(all_subtasks_status_change_event(named, *status, initialization, *ts_millis)))
        }
        Observation::Rescale(rescale) => (Some(rescale_span(identity, rescale)), None),
        Observation::Missed(MissedCheckpoints { count, first_id, last_id, ts_millis, .. }) => {
            (None, Some(checkpoints_missed_event(named, *first_id, *last_id, *count, *ts_millis)))
        }
        // Only the names of the vertices fit.
        Observation::Content { job, ts_millis } => {
            let names: Vec<_> = job.vertices.iter().map(|vertex| vertex.name.as_str()).collect();
            let names = one_line(&names.join(", "), MAX_VERTICES_CHARS);
            (None, Some(job_observed_event(named, job, *ts_millis).attribute("vertices", names)))
        }
        Observation::Vanished { job, ts_millis } => (None, Some(job_vanished_event(named, job, *ts_millis))),
        _ => (None, None),
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
    use flink_rest::JobStatus;
    use flink_traces_observer::JobKey;

    use super::*;

    /// A writer that fails with this error after some writes.
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
    fn closed_pipe_is_silent_full_disk_fails_once() {
        let change = Observation::StatusChange { status: JobStatus::Running, ts_millis: 1 };
        let observation = JobObservation::new(JobKey::new(0, "1", "job"), change);
        for (kind, failures) in [(io::ErrorKind::BrokenPipe, 0), (io::ErrorKind::StorageFull, 1)] {
            let mut printer = Printer::new(Failing(4, kind));
            let failed = (0..10).filter(|_| printer.print(0, &observation).is_err()).count();
            assert_eq!((failed, printer.closed), (failures, true), "{kind}");
        }
    }
}
