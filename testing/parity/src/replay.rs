//! Follows a sequence with the handle of a job, and prints its reports like the Java program.
//!
//! The handle feeds our trackers. Times of the machine's clock are printed as `now`, because Flink
//! reads that clock when a subtask reports an aborted snapshot. Quantiles are printed as bits.

use std::fmt::{Display, Write};
use std::mem;
use std::str::SplitAsciiWhitespace;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use flink_traces_api::{
    Clock, Deadline, EventReporter, ReportError, ReportedEvent, ReportedSpan, SpanRef, Timestamp, TraceReporter,
    ValueRef,
};
use flink_traces_runtime::checkpoint::{
    CheckpointTask, CheckpointType, CompletedCheckpoint, RestoredCheckpoint, StateObjectLocation, StatsSummary,
    SubtaskMetric, SubtaskStats, TrackedCheckpoint, TrackedTask,
};
use flink_traces_runtime::config::SpanDetailLevel;
use flink_traces_runtime::job::{ExecutionAttemptId, ExecutionState, FailureHandlingResult};
use flink_traces_runtime::reporting::{Initialization, InitializedSubtask};
use flink_traces_runtime::{JobHandle, JobStatus, Reporting};

/// A fixed time, long after those of the sequences.
const NOW: i64 = 1_600_000_000_000;
const JOB_ID: &str = "0a4480b1aa43ca25b4801a22462f387a";
const JOB_NAME: &str = "orders";
/// The time in which everything that was added must have been reported.
const WITHIN: Duration = Duration::from_secs(60);

/// Returns the output of our classes for a sequence.
pub(super) fn answer(sequence: &[String]) -> Result<String> {
    let (first, rest) = sequence.split_first().context("an empty sequence")?;
    let mut replay = Replay::begin(&mut Words::new(first)).context("the first line")?;
    for line in rest {
        replay.apply(&mut Words::new(line)).with_context(|| format!("line {line:?}"))?;
    }
    Ok(replay.lines)
}

struct Replay {
    reporting: Reporting,
    job: JobHandle,
    records: Recorder,
    initialization: Option<Initialization>,
    initialization_start: i64,
    lines: String,
}

/// The reporter of both signals, which keeps the records.
#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Records>>);

#[derive(Default)]
struct Records {
    events: Vec<ReportedEvent>,
    spans: Vec<ReportedSpan>,
}

impl Recorder {
    fn lock(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TraceReporter for Recorder {
    fn report(&mut self, spans: &[ReportedSpan], _: &Deadline) -> Result<(), ReportError> {
        self.lock().spans.extend_from_slice(spans);
        Ok(())
    }
}

impl EventReporter for Recorder {
    fn report(&mut self, events: &[ReportedEvent], _: &Deadline) -> Result<(), ReportError> {
        self.lock().events.extend_from_slice(events);
        Ok(())
    }
}

impl Replay {
    fn begin(words: &mut Words<'_>) -> Result<Self> {
        ensure!(words.word()? == "job", "not a job");
        let history_size = words.parse()?;
        let detail = match words.word()? {
            "SPAN_PER_CHECKPOINT" => SpanDetailLevel::SpanPerCheckpoint,
            "SPAN_PER_CHECKPOINT_WITH_TASKS" => SpanDetailLevel::SpanPerCheckpointWithTasks,
            "CHILDREN_SPANS_PER_TASK" => SpanDetailLevel::ChildrenSpansPerTask,
            "CHILDREN_SPANS_PER_SUBTASK" => SpanDetailLevel::ChildrenSpansPerSubtask,
            unknown => bail!("unknown detail level {unknown}"),
        };
        let records = Recorder::default();
        let (traces, events) = (records.clone(), records.clone());
        let reporting = Reporting::builder()
            .clock(Stopped)
            .span_detail_level(detail)
            .trace_reporter("parity", move || Ok(traces))
            .event_reporter("parity", move || Ok(events))
            .option("traces.reporter.parity.compatibility", "flink")
            .option("events.reporter.parity.compatibility", "flink")
            .start()?;
        let job = reporting.job_builder(JOB_ID, JOB_NAME).history_size(history_size).build();
        let (initialization, initialization_start) = (None, 0);
        Ok(Self { reporting, job, records, initialization, initialization_start, lines: String::new() })
    }

    fn apply(&mut self, words: &mut Words<'_>) -> Result<()> {
        self.report(words)?;
        let Records { events, spans } = self.reported()?;
        events.iter().for_each(|event| self.event(event));
        spans.iter().for_each(|span| self.print_span("span", span.root()));
        Ok(())
    }

    /// Returns the records since the last call. The events of a report precede its spans.
    fn reported(&self) -> Result<Records> {
        ensure!(self.reporting.dispatcher().flush(WITHIN), "some records are still queued");
        Ok(mem::take(&mut self.records.lock()))
    }

    /// Returns a handle whose reports happen at `millis`.
    fn at(&self, millis: i64) -> JobHandle {
        self.job.at(Timestamp::from_millis(millis))
    }

    fn report(&mut self, words: &mut Words<'_>) -> Result<()> {
        match words.word()? {
            "pending" => self.pending(words),
            "subtask" => self.subtask(words),
            "incomplete" => self.incomplete(words),
            "completed" => self.completed(words),
            "failed" => self.failed(words),
            "failed-before-trigger" => {
                self.job.fail_before_trigger("");
                Ok(())
            }
            "discarded" => {
                // Flink reports the checkpoint even if it is no longer known.
                let _ = self.job.discard(words.parse()?);
                Ok(())
            }
            "many" => self.many(words),
            "initialization" => self.initialization(words),
            "restored" => self.restored(words),
            "attempt" => self.attempt(words),
            "location" => {
                let location = match StateObjectLocation::from_file(words.word()?) {
                    StateObjectLocation::LocalMemory => "LOCAL_MEMORY",
                    StateObjectLocation::LocalDisk => "LOCAL_DISK",
                    StateObjectLocation::Remote => "REMOTE",
                    _ => "UNKNOWN",
                };
                self.line(format_args!("location {location}"));
                Ok(())
            }
            "status" => {
                let name = words.word()?;
                let status = JobStatus::from_name(name).context("no such status")?;
                // A job that has ended changes its status no more, in Flink either.
                let _ = self.at(words.parse()?).status(status);
                Ok(())
            }
            "state" => self.state(words),
            "failure" => self.failure(words),
            "snapshot" => {
                self.snapshot();
                Ok(())
            }
            unknown => bail!("unknown operation {unknown}"),
        }
    }

    fn pending(&mut self, words: &mut Words<'_>) -> Result<()> {
        let (id, trigger, checkpoint_type) = (words.parse()?, words.parse()?, checkpoint_type(words)?);
        let mut tasks = Vec::new();
        while let Some(parallelism) = words.next() {
            let job_vertex_id = vertex(tasks.len());
            tasks.push(CheckpointTask::new(job_vertex_id, parallelism.parse()?));
        }
        self.at(trigger).trigger(id, checkpoint_type, tasks)?;
        Ok(())
    }

    fn subtask(&mut self, words: &mut Words<'_>) -> Result<()> {
        let (id, task, index) = (words.parse()?, words.parse()?, words.parse()?);
        let (ack_timestamp, is_unaligned) = (words.parse()?, words.parse()?);
        let subtask = stats(index, is_unaligned, words.numbers()?);
        let taken = self.at(ack_timestamp).checkpoint(id).ack(&vertex(task), subtask).is_ok();
        self.line(format_args!("taken {taken}"));
        Ok(())
    }

    fn incomplete(&mut self, words: &mut Words<'_>) -> Result<()> {
        let (id, task, index) = (words.parse()?, words.parse()?, words.parse()?);
        let is_unaligned = words.parse()?;
        let subtask = stats(index, is_unaligned, words.numbers()?);
        // Flink does not say if it accepted the report; the next snapshot shows it.
        let _ = self.job.checkpoint(id).incomplete(&vertex(task), subtask);
        Ok(())
    }

    fn completed(&mut self, words: &mut Words<'_>) -> Result<()> {
        let (id, path, metadata_size): (_, _, i64) = (words.parse()?, words.optional()?, words.parse()?);
        let completed = CompletedCheckpoint::default().with_external_path(path).with_metadata_size(metadata_size);
        // A checkpoint that is not in progress is an error here. Flink makes no call.
        let _ = self.job.checkpoint(id).complete(completed);
        Ok(())
    }

    fn failed(&mut self, words: &mut Words<'_>) -> Result<()> {
        let (id, time) = (words.parse()?, words.parse()?);
        let _ = self.at(time).checkpoint(id).fail(words.word()?);
        Ok(())
    }

    fn many(&mut self, words: &mut Words<'_>) -> Result<()> {
        let (first, count): (i64, i64) = (words.parse()?, words.parse()?);
        for id in first..first + count {
            let tasks = [CheckpointTask::new(vertex(0), 1)];
            let checkpoint = self.at(1_000).trigger(id, CheckpointType::Checkpoint, tasks)?;
            let value = (id * 7919) % 10_007;
            let subtask = stats(0, false, [value, value / 3, 0, 0, 0, 0, value * 5, value / 7]);
            checkpoint.at(Timestamp::from_millis(1_000 + value)).ack(&vertex(0), subtask)?;
            checkpoint.complete(CompletedCheckpoint::from("path").with_metadata_size(1))?;
        }
        self.reported()?;
        Ok(())
    }

    fn initialization(&mut self, words: &mut Words<'_>) -> Result<()> {
        self.initialization_start = words.parse()?;
        let mut attempts = Vec::new();
        while !words.is_empty() {
            attempts.push(attempt_id(words)?);
        }
        // Flink forgets the previous initialization, whose span has no counterpart.
        if let Some(previous) = &self.initialization {
            previous.give_up();
            self.reported()?;
        }
        self.initialization = Some(self.at(self.initialization_start).initialization(attempts));
        Ok(())
    }

    fn restored(&mut self, words: &mut Words<'_>) -> Result<()> {
        let (checkpoint_id, checkpoint_type) = (words.parse()?, checkpoint_type(words)?);
        let (external_path, state_size): (_, i64) = (words.optional()?, words.parse()?);
        let restored = match checkpoint_type {
            CheckpointType::Checkpoint | CheckpointType::FullCheckpoint => {
                RestoredCheckpoint::checkpoint(checkpoint_id)
            }
            _ => RestoredCheckpoint::savepoint(checkpoint_id),
        };
        let initialization = self.initialization.as_ref().context("a restore without an initialization")?;
        initialization.restored(restored.with_external_path(external_path).with_state_size(state_size))?;
        Ok(())
    }

    fn attempt(&mut self, words: &mut Words<'_>) -> Result<()> {
        let attempt = attempt_id(words)?;
        let end = Timestamp::from_millis(words.parse()?);
        let mut subtask = match words.word()? {
            "COMPLETED" => InitializedSubtask::completed(),
            "FAILED" => InitializedSubtask::failed(),
            unknown => bail!("unknown status {unknown}"),
        };
        while let Some(name) = words.next() {
            subtask = subtask.metric(name.to_owned(), words.parse()?);
        }
        if let Some(initialization) = &self.initialization {
            initialization.at(end).initialized(&attempt, subtask)?;
        }
        Ok(())
    }

    fn state(&mut self, words: &mut Words<'_>) -> Result<()> {
        let now = words.parse()?;
        let attempt = attempt_id(words)?;
        let state = ExecutionState::from_name(words.word()?).context("no such state")?;
        self.at(now).subtask(&attempt, state);
        Ok(())
    }

    fn failure(&mut self, words: &mut Words<'_>) -> Result<()> {
        let (timestamp, can_restart, is_global_failure) = (words.parse()?, words.parse()?, Some(words.parse()?));
        let mut labels = Vec::new();
        while let Some(key) = words.next() {
            labels.push((key.to_owned(), words.optional()?.unwrap_or_default()));
        }
        self.job.report_failure(
            &FailureHandlingResult::new(timestamp, &std::fmt::Error, can_restart)
                .with_labels(&labels)
                .with_global_failure(is_global_failure),
        );
        Ok(())
    }

    fn snapshot(&mut self) {
        let snapshot = self.job.checkpoints().snapshot();
        let counts = snapshot.counts;
        self.line(format_args!(
            "counts {} {} {} {} {}",
            counts.restored, counts.total, counts.in_progress, counts.completed, counts.failed
        ));
        for (name, summary) in [
            ("state", &snapshot.summary.state_size),
            ("checkpointed", &snapshot.summary.checkpointed_size),
            ("duration", &snapshot.summary.end_to_end_duration),
            ("processed", &snapshot.summary.processed_data),
            ("persisted", &snapshot.summary.persisted_data),
        ] {
            let quantiles = summary.quantiles([0.5, 0.9, 0.95, 0.99, 0.999]);
            let quantiles = quantiles.map(|quantile| format!("{:x}", quantile.to_bits())).join(" ");
            self.line(format_args!("summary {name} {} {quantiles}", numbers(summary)));
        }
        for checkpoint in &snapshot.history {
            self.checkpoint("history", checkpoint);
        }
        for (label, latest) in [
            ("latest-completed", &snapshot.latest_completed),
            ("latest-savepoint", &snapshot.latest_savepoint),
            ("latest-failed", &snapshot.latest_failed),
        ] {
            if let Some(checkpoint) = latest {
                self.checkpoint(label, checkpoint);
            }
        }
        if let Some(restored) = &snapshot.latest_restored {
            self.line(format_args!(
                "latest-restored {} {} {} {} {}",
                restored.checkpoint_id,
                restored.restore_timestamp,
                restored.is_savepoint,
                restored.external_path.as_deref().unwrap_or("-"),
                restored.state_size.unwrap_or(-1)
            ));
        }
        let mut gauges = self.job.checkpoints().gauges().entries();
        gauges.sort_by_key(|(name, _)| *name);
        for (name, value) in gauges {
            self.line(format_args!("gauge {name} {}", plain(ValueRef::from(&value))));
        }
    }

    fn checkpoint(&mut self, label: &str, checkpoint: &TrackedCheckpoint) {
        let mut line = format!(
            "{label} {} {} {} {} {} {} {} {} {} {} {} {} {} {}",
            checkpoint.checkpoint_id(),
            checkpoint.trigger_timestamp(),
            checkpoint.status().name(),
            checkpoint.checkpoint_type().name().replace(' ', "_"),
            checkpoint.number_of_subtasks(),
            checkpoint.number_of_acknowledged_subtasks(),
            checkpoint.state_size(),
            checkpoint.checkpointed_size(),
            checkpoint.metadata_size().unwrap_or(-1),
            checkpoint.processed_data(),
            checkpoint.persisted_data(),
            checkpoint.is_unaligned(),
            checkpoint.latest_ack_timestamp().unwrap_or(-1),
            checkpoint.end_to_end_duration().unwrap_or(-1),
        );
        if let Some(failure) = checkpoint.failure() {
            line += &format!(" {} {}", failure.timestamp, failure.message);
        } else if checkpoint.status().name() == "COMPLETED" {
            line += &format!(" {} {}", checkpoint.external_path().unwrap_or("-"), checkpoint.is_discarded());
        }
        self.line(format_args!("{line}"));
        checkpoint.tasks().for_each(|task| self.task(task));
    }

    fn task(&mut self, task: &TrackedTask) {
        self.line(format_args!(
            " task {} {} {} {}",
            task.info().job_vertex_id,
            task.info().parallelism,
            task.number_of_acknowledged_subtasks(),
            task.latest_ack_timestamp().unwrap_or(-1)
        ));
        for summary in SubtaskMetric::ALL.iter().map(|metric| task.summary(*metric)).chain([task.ack_timestamps()]) {
            self.line(format_args!("  summary {} {}", numbers(&summary), summary.quantile(0.5)));
        }
        for subtask in task.subtasks() {
            let metrics = SubtaskMetric::ALL.map(|metric| subtask.metric(metric).unwrap_or(-1).to_string()).join(" ");
            let (unaligned, completed) = (subtask.is_unaligned, subtask.is_completed);
            let ack = time(subtask.ack_timestamp);
            self.line(format_args!("  subtask {} {ack} {unaligned} {completed} {metrics}", subtask.index));
        }
    }

    fn print_span(&mut self, indentation: &str, span: SpanRef<'_>) {
        let attributes = attributes(span.attributes());
        let (start, end) = (time(span.start_ts_millis()), time(span.end_ts_millis()));
        self.line(format_args!("{indentation} {} {} {start} {end}{attributes}", span.name(), span.scope()));
        let indentation = format!(" {indentation}");
        span.children().for_each(|child| self.print_span(&indentation, child));
    }

    fn event(&mut self, event: &ReportedEvent) {
        self.line(format_args!(
            "event {} {} {} {} '{}'{}",
            event.name(),
            event.scope(),
            time(event.ts_millis()),
            event.severity(),
            event.body(),
            attributes(event.attributes())
        ));
    }

    fn line(&mut self, line: impl Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.lines, "{line}");
    }
}

/// A clock whose times are all printed as `now`.
struct Stopped;

impl Clock for Stopped {
    fn now_millis(&self) -> i64 {
        NOW
    }
}

/// Returns the report of a subtask, without its time. The metrics are in Flink's order.
fn stats(index: i64, is_unaligned: bool, metrics: [i64; 8]) -> SubtaskStats {
    let metrics = SubtaskMetric::ALL.into_iter().zip(metrics);
    SubtaskStats::new(index, 0).with_unaligned(is_unaligned).with_metrics(metrics)
}

fn numbers(summary: &StatsSummary) -> String {
    let (minimum, maximum, average) = (summary.minimum(), summary.maximum(), summary.average());
    format!("{minimum} {maximum} {average} {} {}", summary.sum(), summary.count())
}

fn attributes<'a>(attributes: impl Iterator<Item = (&'a str, ValueRef<'a>)>) -> String {
    let mut attributes: Vec<_> = attributes.collect();
    // Java sorts text by UTF-16. The keys here have no characters beyond the first plane.
    attributes.sort_by_key(|(key, _)| *key);
    let texts = attributes.into_iter().map(|(key, value)| match value {
        ValueRef::String(text) => format!(" {key}='{text}'"),
        other => format!(" {key}={}", plain(other)),
    });
    texts.collect()
}

fn plain(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::String(text) => text.to_owned(),
        ValueRef::Long(number) => number.to_string(),
        ValueRef::Double(number) => number.to_string(),
        ValueRef::Bool(flag) => flag.to_string(),
    }
}

fn time(timestamp: i64) -> String {
    if timestamp >= NOW { "now".to_owned() } else { timestamp.to_string() }
}

/// Returns a task's number as Flink's `JobVertexID`: 32 hexadecimal digits, the lower half first.
fn vertex(task: usize) -> String {
    format!("{task:016x}{:016x}", 0)
}

fn attempt_id(words: &mut Words<'_>) -> Result<ExecutionAttemptId> {
    let (task, subtask_index, attempt_number) = (words.parse()?, words.parse()?, words.parse()?);
    Ok(ExecutionAttemptId::new(vertex(task), subtask_index, attempt_number))
}

fn checkpoint_type(words: &mut Words<'_>) -> Result<CheckpointType> {
    Ok(match words.word()? {
        "CHECKPOINT" => CheckpointType::Checkpoint,
        "FULL_CHECKPOINT" => CheckpointType::FullCheckpoint,
        "SAVEPOINT" => CheckpointType::Savepoint,
        "TERMINATE" => CheckpointType::TerminateSavepoint,
        "SUSPEND" => CheckpointType::SuspendSavepoint,
        unknown => bail!("unknown type {unknown}"),
    })
}

/// The words of a line, in order.
struct Words<'a>(std::iter::Peekable<SplitAsciiWhitespace<'a>>);

impl<'a> Words<'a> {
    fn new(line: &'a str) -> Self {
        Self(line.split_ascii_whitespace().peekable())
    }

    fn is_empty(&mut self) -> bool {
        self.0.peek().is_none()
    }

    fn next(&mut self) -> Option<&'a str> {
        self.0.next()
    }

    fn word(&mut self) -> Result<&'a str> {
        self.next().context("a word is missing")
    }

    /// Returns a word, or `None` for `-`.
    fn optional(&mut self) -> Result<Option<String>> {
        Ok(Some(self.word()?).filter(|word| *word != "-").map(str::to_owned))
    }

    fn parse<T: std::str::FromStr>(&mut self) -> Result<T> {
        let word = self.word()?;
        word.parse().map_err(|_| anyhow!("{word:?} is not of its type"))
    }

    fn numbers(&mut self) -> Result<[i64; 8]> {
        let mut numbers = [0; 8];
        for number in &mut numbers {
            *number = self.parse()?;
        }
        Ok(numbers)
    }
}
