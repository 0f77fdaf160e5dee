//! The records that the suite reports.

use flink_traces_api::{AttributeValue, Text};

/// A template of a span or an event, from which each signal takes the fields that it has.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) attributes: Vec<(Text, AttributeValue)>,
    /// The start. The default is now.
    pub(super) start: Option<i64>,
    /// The end, for spans. The default is the start.
    pub(super) end: Option<i64>,
    /// The severity, for events.
    pub(super) severity: String,
    /// The body, for events.
    pub(super) body: String,
    /// `true` for a failed span with a link, or for an event with extensions.
    pub(super) is_extended: bool,
    /// The children, for spans.
    pub(super) children: Vec<Sample>,
}

/// A time on November 21, 2026.
const START: i64 = 1_795_230_917_019;

impl Sample {
    /// Creates an ordinary record.
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            start: Some(START),
            end: Some(START + 411),
            severity: "INFO".to_owned(),
            ..Self::default()
        }
    }

    pub(super) fn attribute(mut self, key: impl Into<Text>, value: impl Into<AttributeValue>) -> Self {
        self.attributes.push((key.into(), value.into()));
        self
    }

    pub(super) fn times(mut self, start: Option<i64>, end: Option<i64>) -> Self {
        (self.start, self.end) = (start, end);
        self
    }

    pub(super) fn severity(mut self, severity: &str) -> Self {
        self.severity = severity.to_owned();
        self
    }

    pub(super) fn body(mut self, body: &str) -> Self {
        self.body = body.to_owned();
        self
    }

    pub(super) fn extended(mut self) -> Self {
        self.is_extended = true;
        self
    }

    pub(super) fn children(mut self, children: impl IntoIterator<Item = Sample>) -> Self {
        self.children.extend(children);
        self
    }
}

/// Returns `count` ordinary records.
pub(super) fn plain(count: usize) -> Vec<Sample> {
    (0..count).map(|index| Sample::new(format!("Plain{index}"))).collect()
}

/// Returns a checkpoint with tasks and subtasks.
pub(super) fn tree(tasks: usize, subtasks: usize) -> Sample {
    let task = |task: usize| {
        let subtasks = (0..subtasks).map(|subtask| Sample::new(format!("Subtask{task}.{subtask}")));
        Sample::new(format!("Task{task}")).children(subtasks)
    };
    Sample::new("Checkpoint").children((0..tasks).map(task))
}

/// Returns a chain in which each span is the child of the one before.
pub(super) fn chain(depth: usize) -> Sample {
    let link = |child: Sample, depth: usize| Sample::new(format!("Depth{depth}")).children([child]);
    (0..depth).rev().fold(Sample::new("Deepest"), link)
}

/// Returns a record with attributes of every type, including the extremes.
pub(super) fn all_types() -> Sample {
    Sample::new("AllTypes")
        .attribute("text", "Source: gen -> map")
        .attribute("empty", "")
        .attribute("numeric text", "4711")
        .attribute("long", "x".repeat(70_000))
        .attribute("zero", 0)
        .attribute("smallest", i64::MIN)
        .attribute("largest", i64::MAX)
        .attribute("beyond 2^53", (1_i64 << 53) + 1)
        .attribute("half", 0.5)
        .attribute("tenth", 0.1)
        .attribute("huge", 1e300)
        .attribute("tiny", 5e-324)
        .attribute("not a number", f64::NAN)
        .attribute("infinite", f64::INFINITY)
        .attribute("negative infinite", f64::NEG_INFINITY)
        .attribute("yes", true)
        .attribute("no", false)
}

/// Returns a record with more attributes than Flink's exporter accepts.
pub(super) fn many_attributes() -> Sample {
    (0..200_i64).fold(Sample::new("ManyAttributes"), |sample, index| sample.attribute(format!("key{index}"), index))
}

/// Texts that could be mistaken for something other than text.
const HOSTILE: &[&str] = &[
    "",
    " ",
    "\t\u{0}",
    "ä 漢 🦀 e\u{301} \u{200d}",
    "two\nlines",
    "return\rfeed\u{85}\u{2028}\u{2029}",
    "\u{0}nul",
    "\u{1b}[31mred\u{7f}\u{9b}2J",
    "\u{202e}gpj.exe\u{2066}",
    "\"quoted\" 'and' `so`",
    "back\\slash\\",
    "name=other number=999",
    "\",\"number\":999}\n{\"name\":\"forged\"",
    "}]}]}]}\n",
    "<job_id>",
    "<>",
    "${jndi:ldap://x} %s %n {} {0} $(id) ; DROP TABLE spans;--",
    "a,b;c:d|e\tf",
    "http://user:password@host/?token=secret#x",
    "\u{feff}\u{ffff}\u{10ffff}",
];

/// Returns a record for each hostile text, which occurs in every field with text.
pub(super) fn hostile() -> Vec<Sample> {
    let of = |text: &&str| {
        Sample::new(*text)
            .attribute("value", (*text).to_owned())
            .attribute(format!("key {text}"), 1)
            .severity(text)
            .body(text)
            .children([Sample::new(*text).attribute("value", (*text).to_owned())])
    };
    HOSTILE.iter().map(of).collect()
}

/// Returns a record with unusual keys.
pub(super) fn hostile_keys() -> Sample {
    let keys = ["", "<>", "<host>", "host", "name", "scope", "attributes", "=", "\n"];
    keys.into_iter().fold(Sample::new("HostileKeys"), |sample, key| sample.attribute(key, "value"))
}

/// Returns records with times that Flink or a user may leave unset or set to any value.
pub(super) fn odd_times() -> Vec<Sample> {
    let moments = [None, Some(-1), Some(0), Some(START), Some(i64::MIN), Some(i64::MAX), Some(253_402_300_800_000)];
    let pairs = moments.into_iter().flat_map(|start| moments.map(|end| (start, end)));
    pairs.map(|(start, end)| Sample::new("OddTimes").times(start, end)).collect()
}

/// Returns a record for each severity that has a number, and for some that have none.
pub(super) fn severities() -> Vec<Sample> {
    let names = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
    let numbered = names.into_iter().flat_map(|name| ["", "2", "3", "4"].map(|step| format!("{name}{step}")));
    let others = ["", "info", "WARNING", "INFO5", "severe"].map(str::to_owned);
    numbered.chain(others).map(|severity| Sample::new("Severity").severity(&severity).body("as told")).collect()
}
