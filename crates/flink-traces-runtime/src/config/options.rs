//! The options that are common to all reporters, and those outside of reporters.

use flink_traces_api::{COMPATIBILITY, ConfigOption, OptionDoc, parse_bytes};

/// `traces.reporters`: the names of the trace reporters to run.
pub const TRACES_REPORTERS: ConfigOption<Vec<String>> = ConfigOption::comma_list(
    "traces.reporters",
    "The names of the trace reporters to run. By default, all that have a `factory.class`.",
);

/// `events.reporters`: the names of the event reporters to run.
pub const EVENTS_REPORTERS: ConfigOption<Vec<String>> = ConfigOption::comma_list(
    "events.reporters",
    "The names of the event reporters to run. By default, all that have a `factory.class`.",
);

/// The names of the levels, for messages.
const SPAN_DETAIL_LEVELS: &str = "`SPAN_PER_CHECKPOINT`, `SPAN_PER_CHECKPOINT_WITH_TASKS`, `CHILDREN_SPANS_PER_TASK` or `CHILDREN_SPANS_PER_SUBTASK`";

/// `traces.checkpoint.span-detail-level`: the levels of children that checkpoint and initialization
/// spans have.
pub const SPAN_DETAIL_LEVEL: ConfigOption<SpanDetailLevel> = ConfigOption::parsed(
    "traces.checkpoint.span-detail-level",
    SPAN_DETAIL_LEVELS,
    SpanDetailLevel::parse,
    "The levels of children of a checkpoint span. At the last level, an engine's `JobInitialization` span has a child for each subtask.",
)
.or("SPAN_PER_CHECKPOINT");

/// `traces.report-events-as-spans`: a known option without effect.
pub const REPORT_EVENTS_AS_SPANS: ConfigOption<bool> = ConfigOption::bool(
    "traces.report-events-as-spans",
    "No effect. Flink removed it in 2.2, and job failures are events.",
);

/// `metrics.scope.delimiter`: the character that joins the components of a logical scope.
pub const SCOPE_DELIMITER: ConfigOption<String> = ConfigOption::parsed(
    "metrics.scope.delimiter",
    "one character",
    one_character,
    "The delimiter of the logical scope that filters match, as in `jobmanager.job`.",
)
.or(".");

/// `security.redaction.additional-keys`: fragments of keys whose values are secrets.
pub const REDACTED_KEYS: ConfigOption<Vec<String>> = ConfigOption::list(
    "security.redaction.additional-keys",
    "Fragments of keys whose values are masked, in addition to common ones such as `password` and `token`.",
);

/// The options outside of reporters, for documentation and for finding misspelled keys.
pub const CORE_OPTIONS: &[OptionDoc] = &[
    TRACES_REPORTERS.doc(),
    EVENTS_REPORTERS.doc(),
    SPAN_DETAIL_LEVEL.doc(),
    REPORT_EVENTS_AS_SPANS.doc(),
    SCOPE_DELIMITER.doc(),
    REDACTED_KEYS.doc(),
];

/// `factory.class`: the class of the factory that creates the reporter.
pub const FACTORY_CLASS: ConfigOption<String> = ConfigOption::string(
    "factory.class",
    "The class of the factory that creates the reporter: Flink's name or the project's own. Required.",
);

/// `scope.variables.additional`: the variables that a reporter adds to every record.
pub const ADDITIONAL_VARIABLES: ConfigOption<Vec<(String, String)>> = ConfigOption::map(
    "scope.variables.additional",
    "Variables that the reporter adds to every span or event. An added variable replaces one with the same name, such as \
     `host`. Flink would drop the span or event.",
);

/// `scope.variables.excludes`: the variables that a reporter removes from every record.
pub const EXCLUDED_VARIABLES: ConfigOption<Vec<String>> =
    ConfigOption::list("scope.variables.excludes", "Variables, such as `host;job_name`, that the reporter removes.");

/// `scope.delimiter`: a known option without effect.
pub const REPORTER_SCOPE_DELIMITER: ConfigOption<String> = ConfigOption::parsed(
    "scope.delimiter",
    "one character",
    one_character,
    "No effect on spans and events, as in Flink.",
);

/// `filter.includes`: the rules of which at least one must match a record.
pub const FILTER_INCLUDES: ConfigOption<Vec<String>> = ConfigOption::list(
    "filter.includes",
    "Rules for the spans or events that the reporter gets. A rule is `<scope>:<name>`, with alternatives separated by commas and \
     `*` for any text. The scope is the logical scope of the metric group, which is `jobmanager.job` for all of Flink's own records.",
)
.or("*:*:*");

/// `filter.excludes`: the rules of which none may match a record.
pub const FILTER_EXCLUDES: ConfigOption<Vec<String>> = ConfigOption::list(
    "filter.excludes",
    "Rules for records that the reporter does not get, even if `filter.includes` admits them.",
)
.or("");

/// `clusters`: the names of the clusters whose records a reporter gets. Flink has no such option.
pub const REPORTER_CLUSTERS: ConfigOption<Vec<String>> = ConfigOption::comma_list(
    "clusters",
    "The names of the clusters whose spans or events the reporter gets, such as `prod, test-*`, with `*` for any text. By default, \
     those of all clusters. It has no effect on records of an engine.",
)
.or("*");

/// `checkpoint.span-detail-level`: the levels of children for one reporter. Flink has no such
/// option.
pub const REPORTER_DETAIL_LEVEL: ConfigOption<SpanDetailLevel> = ConfigOption::parsed(
    "checkpoint.span-detail-level",
    SPAN_DETAIL_LEVELS,
    SpanDetailLevel::parse,
    "The levels of children of a checkpoint span that this reporter gets. The default is `traces.checkpoint.span-detail-level`, \
     unless the reporter has another. It has no effect on events.",
);

/// `checkpoint.detail-for`: the checkpoints whose spans have children. Flink has no such option.
pub const DETAIL_FOR: ConfigOption<DetailFor> = ConfigOption::parsed(
    "checkpoint.detail-for",
    "`all` or `notable`",
    DetailFor::parse,
    "The checkpoints whose spans have children for this reporter. `notable` are those that failed, or took more than twice the \
     median of the last 20. The span of another checkpoint has the number of its children as `omittedChildren`. It has no effect on \
     events.",
)
.or("all");

/// `observations`: `true` for a reporter that gets signs of life. Flink has no such option.
pub const OBSERVATIONS: ConfigOption<bool> = ConfigOption::bool(
    "observations",
    "Reports `ObservationEvent`, a sign of life of the program every 10 s for each cluster that responds. The default is `false`, \
     unless the reporter has another. It has no effect on spans.",
);

/// `queue.size`: the capacity of the reporter queue. Flink has no such option.
pub const QUEUE_SIZE: ConfigOption<usize> = ConfigOption::parsed(
    "queue.size",
    "a whole number from 1",
    |text| text.trim().parse().ok().filter(|size| *size > 0),
    "The number of spans (including children) or events that can be queued. If the queue is full, further records are dropped and \
     counted. A tree that begins while there is room is queued whole.",
)
.or("1048576");

/// `queue.max-bytes`: the memory that the reporter queue may take. Flink has no such option.
pub const QUEUE_MAX_BYTES: ConfigOption<u64> = ConfigOption::parsed(
    "queue.max-bytes",
    "a size from `1 b`",
    |text| parse_bytes(text).filter(|size| *size > 0),
    "The approximate memory that the queued spans or events can take. A tree or event that does not fit is dropped and counted, \
     even if the queue is empty.",
)
.or("1 gb");

/// The options of every reporter, for documentation and for finding misspelled keys.
pub const REPORTER_OPTIONS: &[OptionDoc] = &[
    FACTORY_CLASS.doc(),
    ADDITIONAL_VARIABLES.doc(),
    EXCLUDED_VARIABLES.doc(),
    REPORTER_SCOPE_DELIMITER.doc(),
    FILTER_INCLUDES.doc(),
    FILTER_EXCLUDES.doc(),
    REPORTER_CLUSTERS.doc(),
    COMPATIBILITY.doc(),
    REPORTER_DETAIL_LEVEL.doc(),
    DETAIL_FOR.doc(),
    OBSERVATIONS.doc(),
    QUEUE_SIZE.doc(),
    QUEUE_MAX_BYTES.doc(),
];

fn one_character(text: &str) -> Option<String> {
    (text.chars().count() == 1).then(|| text.to_owned())
}

/// The span detail level. Flink's `TraceOptions.CheckpointSpanDetailLevel`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpanDetailLevel {
    /// One span with maxima and sums over all tasks.
    #[default]
    SpanPerCheckpoint,
    /// One span with maxima and sums over all tasks, and lists of those of each task.
    SpanPerCheckpointWithTasks,
    /// One span with a child for each task.
    ChildrenSpansPerTask,
    /// One span with a child for each task, each of which has a child for each subtask.
    ChildrenSpansPerSubtask,
}

impl SpanDetailLevel {
    /// All levels, from the shortest to the longest.
    pub const ALL: [Self; 4] = [
        Self::SpanPerCheckpoint,
        Self::SpanPerCheckpointWithTasks,
        Self::ChildrenSpansPerTask,
        Self::ChildrenSpansPerSubtask,
    ];

    /// Returns Flink's name of the level.
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

/// The checkpoints whose spans have children.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DetailFor {
    /// All checkpoints.
    #[default]
    All,
    /// Checkpoints that failed or took unusually long.
    Notable,
}

impl DetailFor {
    fn parse(text: &str) -> Option<Self> {
        let named = [("all", Self::All), ("notable", Self::Notable)];
        named.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text.trim())).map(|(_, detail)| detail)
    }
}
