//! The failures in a job's exception history.

use flink_rest::types::{ExceptionInfo, JobExceptionsInfoWithHistory};
use flink_traces_runtime::job::JobFailure;

use super::text::{MAX_NAME_CHARS, MAX_TEXT_CHARS, bounded};

/// The maximum number of labels of a failure.
const MAX_LABELS: usize = 64;

/// The texts of failures that end a job.
const FINAL: &[&str] = &["Recovery is suppressed by", "The failure is not recoverable"];

/// One failure.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) failure: JobFailure,
    /// `true` if the failure ends the job.
    pub(super) is_final: bool,
    /// `true` if the failure is not in the history. The history lacks the present failure until the
    /// job restarts, and before 1.19 global ones.
    pub(super) is_root: bool,
    /// The attempt that failed, if it is known.
    pub(super) attempt: Option<Attempt>,
}

/// An attempt of a subtask, as a failure names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt {
    /// The name of the vertex, truncated like all names.
    pub(super) vertex_name: String,
    /// The subtask's index, from 0.
    pub(super) subtask: i64,
    /// The attempt's number, from 0.
    pub(super) attempt: i64,
}

impl Attempt {
    /// Parses `NAME (2/4) - execution #0`, the second of four subtasks in its first attempt.
    fn parse(task_name: &str) -> Option<Self> {
        let (task, attempt) = task_name.rsplit_once(" - execution #")?;
        let (vertex_name, position) = task.rsplit_once(" (")?;
        let (number, _) = position.strip_suffix(')')?.split_once('/')?;
        let subtask = number.parse::<i64>().ok()?.checked_sub(1)?;
        let attempt = attempt.parse().ok()?;
        Some(Self { vertex_name: bounded(vertex_name, MAX_NAME_CHARS), subtask, attempt })
    }
}

impl Entry {
    /// Returns the key that distinguishes failures.
    ///
    /// A job ends once, and the history and the present failure have different times for that.
    pub(super) fn key(&self) -> (i64, String) {
        match (self.is_final, self.is_root) {
            (true, _) => (i64::MAX, String::new()),
            (false, true) => Self::root_key(self.failure.ts_millis),
            (false, false) => {
                let name = self.failure.task_name.as_deref().or(self.failure.exception_type.as_deref());
                (self.failure.ts_millis, format!("in {}", name.unwrap_or_default()))
            }
        }
    }

    /// Returns the key of the present failure, which may later appear in the history.
    pub(super) fn root_key(ts_millis: i64) -> (i64, String) {
        (ts_millis, "root".to_owned())
    }
}

/// Returns all failures in a response: the history since 1.13, and the present failure before 2.0.
pub(super) fn entries(exceptions: &JobExceptionsInfoWithHistory) -> Vec<Entry> {
    let history = exceptions.exception_history.as_ref().map(|history| &history.entries);
    let mut entries: Vec<Entry> = history.into_iter().flatten().map(in_history).collect();
    entries.extend(root(exceptions).filter(|root| {
        entries
            .iter()
            .all(|entry| entry.failure.ts_millis != root.failure.ts_millis && !(entry.is_final && root.is_final))
    }));
    entries
}

fn in_history(entry: &ExceptionInfo) -> Entry {
    let is_final = is_final(&entry.stacktrace);
    let labels = entry.failure_labels.iter().flatten().take(MAX_LABELS);
    let labels = labels.map(|(key, value)| (bounded(key, MAX_NAME_CHARS), bounded(value, MAX_TEXT_CHARS)));
    let failure = failure(entry.timestamp, &entry.stacktrace)
        .with_exception_type(bounded(&entry.exception_name, MAX_TEXT_CHARS))
        // An entry without a task is global, or it is the end of the job, which has no task.
        .with_global(entry.task_name.is_none() && !is_final)
        .with_labels(labels.collect())
        .with_task_name(entry.task_name.as_deref().map(name))
        .with_endpoint(entry.endpoint.as_deref().or(entry.location.as_deref()).map(name))
        .with_task_manager_id(entry.task_manager_id.as_deref().map(name));
    let attempt = entry.task_name.as_deref().and_then(Attempt::parse);
    Entry { failure, is_final, is_root: false, attempt }
}

fn root(exceptions: &JobExceptionsInfoWithHistory) -> Option<Entry> {
    let ts_millis = exceptions.timestamp.filter(|millis| *millis > 0)?;
    let stacktrace = exceptions.root_exception.as_ref()?;
    // Subtasks that have failed just now.
    let task = exceptions.all_exceptions.iter().flatten().next();
    let is_final = is_final(stacktrace);
    let failure = failure(ts_millis, stacktrace)
        .with_global(match (task, &exceptions.exception_history) {
            (Some(_), _) => Some(false),
            (None, Some(_)) => Some(!is_final),
            (None, None) => None,
        })
        .with_task_name(task.map(|failed| name(&failed.task)))
        .with_endpoint(task.map(|failed| name(&failed.location)));
    Some(Entry { failure, is_final, is_root: true, attempt: None })
}

fn name(text: &str) -> String {
    bounded(text, MAX_NAME_CHARS)
}

fn is_final(stacktrace: &str) -> bool {
    FINAL.iter().any(|text| stacktrace.contains(text))
}

fn failure(ts_millis: i64, stacktrace: &str) -> JobFailure {
    let head = stacktrace.lines().next().unwrap_or_default();
    let (class, message) = match head.split_once(": ") {
        Some((class, message)) => (class, Some(bounded(message, MAX_TEXT_CHARS))),
        None => (head, None),
    };
    JobFailure::new(ts_millis, false)
        .with_exception_type(bounded(class, MAX_TEXT_CHARS))
        .with_exception_message(message)
        .with_stacktrace(bounded(stacktrace, MAX_TEXT_CHARS))
}
