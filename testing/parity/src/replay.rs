//! Follows a sequence with our classes, and prints their reports like the Java program.
//!
//! Times of the machine's clock are printed as `now`, because Flink reads that clock when a subtask
//! reports an aborted snapshot. Quantiles are printed as bits.

use std::fmt::{Display, Write};
use std::str::SplitAsciiWhitespace;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail, ensure};
use flink_traces_api::{
    Clock, Compatibility, EventBuilder, ReportContext, ReportedEvent, ReportedSpan, SpanBuilder, SpanRef, ValueRef,
};
use flink_traces_runtime::checkpoint::{
    CheckpointFailure, CheckpointTask, CheckpointType, InitializationStatus, RestoredCheckpoint, StateObjectLocation,
    StatsSummary, SubTaskInitializationMetrics, SubtaskMetric, SubtaskStats, TrackedCheckpoint, TrackedTask,
    job_initialization_span,
};
use flink_traces_runtime::config::SpanDetailLevel;
use flink_traces_runtime::job::{
    AllSubtasksTracker, ExecutionAttemptId, ExecutionState, FailureHandlingResult, JobFailureTracker, JobStatus,
    JobStatusTracker,
};
use flink_traces_runtime::{CheckpointStatsTracker, JobIdentity, checkpoint_event, checkpoint_span};

/// A fixed time, long after those of the sequences.
const NOW: i64 = 1_600_000_000_000;
const JOB_ID: &str = "0a4480b1aa43ca25b4801a22462f387a";
const JOB_NAME: &str = "orders";
const JOB: JobIdentity<'_> = JobIdentity { cluster: "parity", job_id: JOB_ID };

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
    tracker: CheckpointStatsTracker,
    detail: SpanDetailLevel,
    context: Arc<ReportContext>,
    initialization_start: i64,
    status: JobStatusTracker,
    subtasks: AllSubtasksTracker,
    failures: JobFailureTracker,
    lines: String,
}

impl Replay {
    fn begin(words: &mut Words<'_>) -> Result<Self> {
        ensure!(words.word()? == "job", "not a job");
        let tracker = CheckpointStatsTracker::builder(words.parse()?);
        let detail = match words.word()? {
            "SPAN_PER_CHECKPOINT" => SpanDetailLevel::SpanPerCheckpoint,
            "SPAN_PER_CHECKPOINT_WITH_TASKS" => SpanDetailLevel::SpanPerCheckpointWithTasks,
            "CHILDREN_SPANS_PER_TASK" => SpanDetailLevel::ChildrenSpansPerTask,
            "CHILDREN_SPANS_PER_SUBTASK" => SpanDetailLevel::ChildrenSpansPerSubtask,
            unknown => bail!("unknown detail level {unknown}"),
        };
        let variables = [("<host>", "localhost"), ("<job_id>", JOB_ID), ("<job_name>", JOB_NAME)];
        let tracker = tracker.span_detail_level(detail).build();
        let context = ReportContext::new(Compatibility::Flink).with_job_id(JOB_ID).with_variables(variables);
        Ok(Self {
            tracker,
            detail,
            context: Arc::new(context),
            initialization_start: 0,
            status: JobStatusTracker::new(JobStatus::Created),
            subtasks: AllSubtasksTracker::default(),
            failures: JobFailureTracker::default(),
            lines: String::new(),
        })
    }

    fn apply(&mut self, words: &mut Words<'_>) -> Result<()> {
        match words.word()? {
            "pending" => self.pending(words),
            "subtask" => self.subtask(words),
            "incomplete" => self.incomplete(words),
            "completed" => self.completed(words),
            "failed" => self.failed(words),
            "failed-before-trigger" => {
                let failure = CheckpointFailure::new(NOW, String::new());
                self.tracker.report_failed_before_trigger(failure);
                Ok(())
            }
            "discarded" => {
                // Flink reports the checkpoint even if it is no longer known.
                let _ = self.tracker.report_discarded(words.parse()?);
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
                let status = JobStatus::ALL.iter().find(|status| status.name() == name).context("no such status")?;
                // A job that has ended changes its status no more, in Flink either.
                if let Ok(Some(event)) = self.status.report(JOB.named(JOB_NAME), *status, words.parse()?) {
                    self.event(event);
                }
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
        Ok(self.tracker.report_pending(id, trigger, checkpoint_type, &tasks)?)
    }

    fn subtask(&mut self, words: &mut Words<'_>) -> Result<()> {
        let (id, task, index) = (words.parse()?, words.parse()?, words.parse()?);
        let (ack_timestamp, is_unaligned) = (words.parse()?, words.parse()?);
        let metrics = words.numbers()?.map(Some);
        let stats = SubtaskStats::new(index, ack_timestamp)
            .with_unaligned(is_unaligned)
            .with_metrics(SubtaskMetric::ALL.into_iter().zip(metrics));
        let taken = self.tracker.report_subtask(id, &vertex(task), stats).is_ok();
        self.line(format_args!("taken {taken}"));
        Ok(())
    }

    fn incomplete(&mut self, words: &mut Words<'_>) -> Result<()> {
        let (id, task, index) = (words.parse()?, words.parse()?, words.parse()?);
        let is_unaligned = words.parse()?;
        let metrics = words.numbers()?.map(Some);
        let stats = SubtaskStats::new(index, NOW)
            .with_unaligned(is_unaligned)
            .with_completed(false)
            .with_metrics(SubtaskMetric::ALL.into_iter().zip(metrics));
        // Flink does not say if it accepted the report; the next snapshot shows it.
        let _ = self.tracker.report_subtask(id, &vertex(task), stats);
        Ok(())
    }

    fn completed(&mut self, words: &mut Words<'_>) -> Result<()> {
        let (id, path, metadata_size) = (words.parse()?, words.optional()?, words.parse()?);
        // A checkpoint that is not in progress is an error here. Flink makes no call.
        if let Ok(stats) = self.tracker.report_completed(id, path, Some(metadata_size)) {
            self.event(checkpoint_event(JOB.named(JOB_NAME), &stats));
            self.span(checkpoint_span(JOB, &stats, self.detail));
        }
        Ok(())
    }

    fn failed(&mut self, words: &mut Words<'_>) -> Result<()> {
        let id = words.parse()?;
        let failure = CheckpointFailure::new(words.parse()?, words.word()?.to_owned());
        if let Ok(stats) = self.tracker.report_failed(id, failure) {
            self.event(checkpoint_event(JOB.named(JOB_NAME), &stats));
            self.span(checkpoint_span(JOB, &stats, self.detail));
        }
        Ok(())
    }

    fn many(&mut self, words: &mut Words<'_>) -> Result<()> {
        let (first, count): (i64, i64) = (words.parse()?, words.parse()?);
        let tasks = [CheckpointTask::new(vertex(0), 1)];
        for id in first..first + count {
            self.tracker.report_pending(id, 1_000, CheckpointType::Checkpoint, &tasks)?;
            let value = (id * 7919) % 10_007;
            let metrics = [value, value / 3, 0, 0, 0, 0, value * 5, value / 7].map(Some);
            let (ack_timestamp, is_completed) = (1_000 + value, true);
            let stats = SubtaskStats::new(0, ack_timestamp)
                .with_completed(is_completed)
                .with_metrics(SubtaskMetric::ALL.into_iter().zip(metrics));
            self.tracker.report_subtask(id, &vertex(0), stats)?;
            self.tracker.report_completed(id, Some("path".to_owned()), Some(1))?;
        }
        Ok(())
    }

    fn initialization(&mut self, words: &mut Words<'_>) -> Result<()> {
        self.initialization_start = words.parse()?;
        let mut attempts = Vec::new();
        while !words.is_empty() {
            attempts.push(attempt_id(words)?);
        }
        // Flink forgets the previous initialization, which is returned here.
        self.tracker.report_initialization_started(self.initialization_start, attempts);
        Ok(())
    }

    fn restored(&mut self, words: &mut Words<'_>) -> Result<()> {
        let (checkpoint_id, checkpoint_type) = (words.parse()?, checkpoint_type(words)?);
        let (external_path, state_size) = (words.optional()?, Some(words.parse()?));
        let is_savepoint = !matches!(checkpoint_type, CheckpointType::Checkpoint | CheckpointType::FullCheckpoint);
        let restore_timestamp = self.initialization_start;
        let trigger_timestamp = None;
        self.tracker.report_restored(
            RestoredCheckpoint::new(checkpoint_id, restore_timestamp, is_savepoint)
                .with_external_path(external_path)
                .with_state_size(state_size)
                .with_trigger_timestamp(trigger_timestamp),
        )?;
        Ok(())
    }

    fn attempt(&mut self, words: &mut Words<'_>) -> Result<()> {
        let attempt = attempt_id(words)?;
        let end = words.parse()?;
        let status = match words.word()? {
            "COMPLETED" => InitializationStatus::Completed,
            "FAILED" => InitializationStatus::Failed,
            unknown => bail!("unknown status {unknown}"),
        };
        let mut metrics = SubTaskInitializationMetrics::new(status, end);
        while let Some(name) = words.next() {
            metrics.add(name.to_owned(), words.parse()?);
        }
        if let Ok(Some(stats)) = self.tracker.report_initialization_metrics(&attempt, &metrics) {
            self.span(job_initialization_span(JOB, &stats, stats.start_timestamp));
        }
        Ok(())
    }

    fn state(&mut self, words: &mut Words<'_>) -> Result<()> {
        let now = words.parse()?;
        let attempt = attempt_id(words)?;
        let name = words.word()?;
        let state = ExecutionState::ALL.iter().find(|state| state.name() == name).context("no such state")?;
        let initialization = JOB.initialization(None, self.initialization_start);
        if let Some(event) = self.subtasks.report(JOB.named(JOB_NAME), initialization, &attempt, *state, now) {
            self.event(event);
        }
        Ok(())
    }

    fn failure(&mut self, words: &mut Words<'_>) -> Result<()> {
        let (timestamp, can_restart, is_global_failure) = (words.parse()?, words.parse()?, Some(words.parse()?));
        let mut labels = Vec::new();
        while let Some(key) = words.next() {
            labels.push((key.to_owned(), words.optional()?.unwrap_or_default()));
        }
        let event = self.failures.report_failure(
            JOB.named(JOB_NAME),
            &FailureHandlingResult::new(timestamp, &std::fmt::Error, can_restart)
                .with_labels(&labels)
                .with_global_failure(is_global_failure),
        );
        self.event(event);
        Ok(())
    }

    fn snapshot(&mut self) {
        let snapshot = self.tracker.snapshot();
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
        let mut gauges = self.tracker.gauges().entries();
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

    fn span(&mut self, span: SpanBuilder) {
        let span = Arc::new(span.build(&Stopped));
        let reported = ReportedSpan::new(span, Arc::clone(&self.context));
        self.print_span("span", reported.root());
    }

    fn print_span(&mut self, indentation: &str, span: SpanRef<'_>) {
        let attributes = attributes(span.attributes());
        let (start, end) = (time(span.start_ts_millis()), time(span.end_ts_millis()));
        self.line(format_args!("{indentation} {} {} {start} {end}{attributes}", span.name(), span.scope()));
        let indentation = format!(" {indentation}");
        span.children().for_each(|child| self.print_span(&indentation, child));
    }

    fn event(&mut self, event: EventBuilder) {
        let event = ReportedEvent::new(Arc::new(event.build(&Stopped)), NOW, Arc::clone(&self.context));
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
    Ok(ExecutionAttemptId { job_vertex_id: vertex(task), subtask_index, attempt_number })
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
