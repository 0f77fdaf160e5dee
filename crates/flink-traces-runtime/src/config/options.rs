//! The options that are not a reporter's own.

use flink_traces_api::{COMPATIBILITY, ConfigOption, OptionDoc};

/// `traces.reporters`: which trace reporters run.
pub const TRACES_REPORTERS: ConfigOption<Vec<String>> = ConfigOption::comma_list(
    "traces.reporters",
    "The names of the trace reporters to run. Not set: all that have a `factory.class`.",
);

/// `events.reporters`: which event reporters run.
pub const EVENTS_REPORTERS: ConfigOption<Vec<String>> = ConfigOption::comma_list(
    "events.reporters",
    "The names of the event reporters to run. Not set: all that have a `factory.class`.",
);

/// `traces.checkpoint.span-detail-level`: what a checkpoint is reported as, and an engine's initialization.
pub const SPAN_DETAIL_LEVEL: ConfigOption<SpanDetailLevel> = ConfigOption::parsed(
    "traces.checkpoint.span-detail-level",
    "`SPAN_PER_CHECKPOINT`, `SPAN_PER_CHECKPOINT_WITH_TASKS`, `CHILDREN_SPANS_PER_TASK` or `CHILDREN_SPANS_PER_SUBTASK`",
    SpanDetailLevel::parse,
    "How much a checkpoint's spans tell of its tasks and subtasks, and whether an engine's `JobInitialization` has its subtasks.",
)
.or("SPAN_PER_CHECKPOINT");

/// `traces.report-events-as-spans`: known, but without effect.
pub const REPORT_EVENTS_AS_SPANS: ConfigOption<bool> = ConfigOption::bool(
    "traces.report-events-as-spans",
    "Without effect: Flink removed it in 2.2. Job failures are events.",
);

/// `metrics.scope.delimiter`: what joins the parts of a logical scope.
pub const SCOPE_DELIMITER: ConfigOption<String> = ConfigOption::parsed(
    "metrics.scope.delimiter",
    "one character",
    one_character,
    "What joins the parts of the logical scope that filters match, as in `jobmanager.job`.",
)
.or(".");

/// `security.redaction.additional-keys`: which further values are secrets.
pub const REDACTED_KEYS: ConfigOption<Vec<String>> = ConfigOption::list(
    "security.redaction.additional-keys",
    "Fragments of keys whose values are never shown, besides the usual ones such as `password` and `token`.",
);

/// The options that are not a reporter's, for documentation and for finding misspelt keys.
pub const CORE_OPTIONS: &[OptionDoc] = &[
    TRACES_REPORTERS.doc(),
    EVENTS_REPORTERS.doc(),
    SPAN_DETAIL_LEVEL.doc(),
    REPORT_EVENTS_AS_SPANS.doc(),
    SCOPE_DELIMITER.doc(),
    REDACTED_KEYS.doc(),
];

/// `factory.class`: what makes the reporter.
pub const FACTORY_CLASS: ConfigOption<String> = ConfigOption::string(
    "factory.class",
    "The class that makes the reporter, by Flink's name or by that of ours. Without it there is no reporter.",
);

/// `scope.variables.additional`: what a reporter adds to every span or event.
pub const ADDITIONAL_VARIABLES: ConfigOption<Vec<(String, String)>> = ConfigOption::map(
    "scope.variables.additional",
    "Variables that the reporter adds to every span or event. One of the name of a variable that it already has, such as `host`, \
     replaces it; Flink would drop the span or event.",
);

/// `scope.variables.excludes`: what a reporter leaves out of every span or event.
pub const EXCLUDED_VARIABLES: ConfigOption<Vec<String>> =
    ConfigOption::list("scope.variables.excludes", "Variables, such as `host;job_name`, that the reporter leaves out.");

/// `scope.delimiter`: of no effect.
pub const REPORTER_SCOPE_DELIMITER: ConfigOption<String> = ConfigOption::parsed(
    "scope.delimiter",
    "one character",
    one_character,
    "Without effect on spans and events, as in Flink.",
);

/// `filter.includes`: which spans or events a reporter reports.
pub const FILTER_INCLUDES: ConfigOption<Vec<String>> = ConfigOption::list(
    "filter.includes",
    "Which spans or events the reporter reports: `<scope>:<name>` each, alternatives separated by commas, `*` for any text. The \
     scope is the logical scope of the group, `jobmanager.job` for all of Flink's own.",
)
.or("*:*:*");

/// `filter.excludes`: which spans or events a reporter does not report.
pub const FILTER_EXCLUDES: ConfigOption<Vec<String>> = ConfigOption::list(
    "filter.excludes",
    "Which of the spans or events that `filter.includes` admits the reporter still does not report.",
)
.or("");

/// `queue.size`: how much may wait for a reporter. Ours, Flink has no such option.
pub const QUEUE_SIZE: ConfigOption<usize> = ConfigOption::parsed(
    "queue.size",
    "a whole number from 1",
    |text| text.trim().parse().ok().filter(|size| *size > 0),
    "How many spans, children counted, or events may wait for the reporter. What comes when the queue is full is dropped and \
     counted; a tree that begins while there is room is taken whole.",
)
.or("1048576");

/// The options of every reporter, whatever its class, for documentation and for finding misspelt keys.
pub const REPORTER_OPTIONS: &[OptionDoc] = &[
    FACTORY_CLASS.doc(),
    ADDITIONAL_VARIABLES.doc(),
    EXCLUDED_VARIABLES.doc(),
    REPORTER_SCOPE_DELIMITER.doc(),
    FILTER_INCLUDES.doc(),
    FILTER_EXCLUDES.doc(),
    COMPATIBILITY.doc(),
    QUEUE_SIZE.doc(),
];

fn one_character(text: &str) -> Option<String> {
    (text.chars().count() == 1).then(|| text.to_owned())
}

/// How much a checkpoint's spans tell, as Flink's `TraceOptions.CheckpointSpanDetailLevel`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanDetailLevel {
    /// One span with maxima and sums over all tasks.
    #[default]
    SpanPerCheckpoint,
    /// The same with maxima and sums for each task, as lists.
    SpanPerCheckpointWithTasks,
    /// One span and a child for each task.
    ChildrenSpansPerTask,
    /// One span, a child for each task, and for each of its subtasks a child of that.
    ChildrenSpansPerSubtask,
}

impl SpanDetailLevel {
    /// All, from the shortest to the longest.
    pub const ALL: [Self; 4] = [
        Self::SpanPerCheckpoint,
        Self::SpanPerCheckpointWithTasks,
        Self::ChildrenSpansPerTask,
        Self::ChildrenSpansPerSubtask,
    ];

    /// Flink's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SpanPerCheckpoint => "SPAN_PER_CHECKPOINT",
            Self::SpanPerCheckpointWithTasks => "SPAN_PER_CHECKPOINT_WITH_TASKS",
            Self::ChildrenSpansPerTask => "CHILDREN_SPANS_PER_TASK",
            Self::ChildrenSpansPerSubtask => "CHILDREN_SPANS_PER_SUBTASK",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name().eq_ignore_ascii_case(text.trim()))
    }
}
