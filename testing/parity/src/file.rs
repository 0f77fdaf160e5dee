//! Configuration files of both formats, as cases.
//!
//! A case is `configuration standard` or `configuration legacy`, then the lines of the file, each
//! after a `|`.
//!
//! Generated files omit the deliberate differences from Flink (`docs/flink-parity.md`):
//!
//! - Lists of reporters in YAML's form or with surrounding blanks. Flink reads other names.
//! - List items without a value, and unquoted `null` keys. Flink reads text there, we report a
//!   mistake.
//! - Names of variables with surrounding blanks or angle brackets.
//! - Filters whose regular expressions differ between Java and Rust.

use super::load::{EVENTS_CLASS, TRACES_CLASS};
use super::random::Random;

/// Plain and quoted scalars, and lists and maps in one line.
const VALUES: &[&str] = &[
    "1",
    "-0",
    "007",
    "+5",
    "1.50",
    ".5",
    "5.",
    "1e3",
    "1E-5",
    "1.0e+10",
    "123456789.125",
    "-1e-3",
    "0x1F",
    "0o17",
    "0b1",
    "1_000",
    ".inf",
    "-.INF",
    ".NaN",
    "yes",
    "No",
    "on",
    "true",
    "True",
    "FALSE",
    "2024-01-01",
    "12:30",
    "99999999999",
    "99999999999999999999",
    "10 s",
    "a b",
    "a#b",
    "a #b",
    "a:b",
    "http://host:4317/x?y=z",
    "s3://bucket/x,y;z",
    "ä€😀",
    "'5'",
    "'it''s'",
    "'a: b'",
    "\"tab\\tquote\\\"end\"",
    "\"line\\nbreak\"",
    "\"\\u00e9\\x41\"",
    "!!str 5",
    "[a, b]",
    "[1, 'x, y', true, 1.0]",
    "[a, [b, c], {d: e}]",
    "[]",
    "{k: v, l: {m: 2}}",
    "{}",
    "k1:v1,k2:v2",
    "'[not, a list]'",
    "&anchor x",
];
/// The items of lists. None looks like another type, because Flink quotes such items in the text
/// form of a list.
const ITEMS: &[&str] =
    &["a", "a b", "5", "1.50", "true", "yes", "'x, y'", "0x1F", "http://host:4317", "[c, d]", "{e: f}"];
/// Lines that Flink and we reject.
const MISTAKES: &[&str] = &[
    "broken:",
    "broken: ~",
    "broken: null",
    "1: integer key",
    "\ttab: x",
    "broken: [a, b",
    "broken: {a",
    "broken: 'open",
    "broken: *unknown",
    "broken: a: b",
    "broken: @at",
    "broken: %percent",
    "same: 1\nsame: 2",
    "- a list",
    "just text",
    "---\na: 1\n---\nb: 2",
    "true: key",
    "1.5: key",
    "[a]: key",
];
/// Lines that the legacy format skips, cuts or reads in its own way.
const ODD_LINES: &[&str] = &[
    "# a comment",
    "",
    "   ",
    "no colon",
    "key:no blank",
    "key:\ttab",
    "empty: ",
    ": no key",
    "key : blank before",
    "  indented: value",
    "hash: a#b # c",
    "quotes: \"a # b\"",
    "two: a: b",
    "two:  blanks  inside  ",
    "list: [a, b]",
    "again: 1",
    "again: 2",
    "nested:",
    "  child: value",
    "---",
    "\u{a0}nbsp: value",
    "\tafter.tab: value",
];
const FILTERS: &[&str] = &[
    "*",
    "*:*",
    "*:*:*",
    "jobmanager.job",
    "jobmanager.job:*",
    "jobmanager*:Check*",
    "*:Checkpoint,JobInitialization",
    "jobmanager.job,taskmanager.*:*point",
    "jobmanager:*",
    "*:check*",
    "*:a b",
    "*:Check:*",
    "*:Check:counter",
    "*:Check:counter,gauge,METER,histogram",
    "*:Check:span",
    "*:",
    "*::",
    ":Checkpoint",
    ":",
    "",
    "*:Check(point)?",
    "*:[CJ].+",
    "*:[x",
    "*: Check*",
    "jobmanager.job : Checkpoint",
    "*:,Check",
    "*:Check,",
    "a:b:c:d",
    "*:Check:counter:x",
    "job|*:C|J*",
];
const DETAILS: &[&str] =
    &["SPAN_PER_CHECKPOINT", "children_spans_per_task", "Span_Per_Checkpoint_With_Tasks", "all", "''"];
const NAMES: &[&str] = &["a", "b", "a-b_1", "Z", "ä", "10"];

/// Generates the file of a number.
pub(super) fn generate(seed: u64, number: u64) -> Vec<String> {
    let mut random = Random::new(seed, number);
    let legacy = random.once_in(3);
    let mut file = File { random, legacy, lines: Vec::new(), known: 0 };
    file.fill();
    let format = if legacy { "legacy" } else { "standard" };
    let lines = file.lines.iter().flat_map(|line| line.split('\n')).map(|line| format!("|{line}"));
    [format!("configuration {format}")].into_iter().chain(lines).collect()
}

struct File {
    random: Random,
    legacy: bool,
    lines: Vec<String>,
    /// The number of keys with a number in their names. It keeps keys unique.
    known: usize,
}

impl File {
    fn fill(&mut self) {
        for signal in ["traces", "events"] {
            if !self.random.once_in(4) {
                self.reporters(signal);
            }
        }
        if self.random.once_in(3) {
            let detail = self.random.of(DETAILS);
            self.lines.push(format!("traces.checkpoint.span-detail-level: {detail}"));
        }
        for _ in 0..self.random.between(0, 6) {
            self.any();
        }
        if !self.legacy && self.random.once_in(12) {
            let mistake = self.random.of(MISTAKES);
            self.lines.push(mistake.to_owned());
        }
    }

    /// Adds a key without a meaning.
    fn any(&mut self) {
        self.known += 1;
        let known = self.known;
        if self.legacy && self.random.once_in(2) {
            let line = self.random.of(ODD_LINES);
            return self.lines.push(line.to_owned());
        }
        let value = self.random.of(VALUES);
        let nested = format!("nest{known}:\n  inner: {value}\n  in.ner: {value}\n  deep:\n    er: {value}");
        match self.random.below(8) {
            _ if self.legacy => self.lines.push(format!("key.{known}: {value}")),
            0 => self.lines.push(nested),
            1 => self.lines.push(format!("{nested}\nnest{known}.deep.er: flat")),
            2 => self.lines.push(format!("nest{known}.deep.er: flat\n{nested}")),
            3 => self.lines.push(format!("list{known}:\n  - {}\n  - b", self.random.of(ITEMS))),
            4 => self.lines.push(format!("text{known}: |\n  one\n   two\n\n  three\nfold{known}: >-\n  one\n  two")),
            5 => self.lines.push(format!("x{known}: &x{known} {{y: [1, z]}}\nw{known}: *x{known}")),
            _ => self.lines.push(format!("key.{known}: {value}{}", self.random.of(&["", "", " # comment", "  "]))),
        }
    }

    fn reporters(&mut self, signal: &str) {
        let mut names: Vec<&str> = NAMES.to_vec();
        names.rotate_left(self.random.below(NAMES.len()));
        names.truncate(self.random.below(4));
        if self.random.once_in(2) {
            let mut listed: Vec<&str> = names.iter().copied().filter(|_| !self.random.once_in(4)).collect();
            listed.push(self.random.of(&["unknown", "A", "b"]));
            let separator = self.random.of(&[",", ", ", " ,", ",,", "  ,  "]);
            self.lines.push(format!("{signal}.reporters: {}", listed.join(separator)));
        }
        for name in names {
            self.reporter(signal, name);
        }
        match self.random.below(12) {
            // Neither a name with a dot nor a name without a class is a reporter.
            0 => self.lines.push(format!("{signal}.reporter.d.e.factory.class: {TRACES_CLASS}")),
            1 => self.lines.push(format!("{signal}.reporter.f.exporter.endpoint: http://host")),
            // An empty name is a reporter.
            2 => self.lines.push(format!("{signal}.reporter..factory.class: {TRACES_CLASS}")),
            _ => {}
        }
    }

    fn reporter(&mut self, signal: &str, name: &str) {
        let own = if signal == "traces" { TRACES_CLASS } else { EVENTS_CLASS };
        let class = if self.random.once_in(10) { "org.example.Unknown" } else { own };
        let mut options = vec![("factory.class".to_owned(), class.to_owned())];
        options.push(("compatibility".to_owned(), "flink".to_owned()));
        for key in ["filter.includes", "filter.excludes"] {
            if self.random.once_in(2) {
                options.push((key.to_owned(), self.filters()));
            }
        }
        match self.random.below(6) {
            0 => options
                .push(("scope.variables.additional".to_owned(), self.random.of(&["k:v", "k1:v1,k2:v2"]).to_owned())),
            1 => {
                options.push(("scope.variables.additional.region".to_owned(), "eu".to_owned()));
                options.push(("scope.variables.additional.zone.a".to_owned(), "7".to_owned()));
            }
            2 if !self.legacy => {
                options.push(("scope.variables.additional".to_owned(), "{region: eu, zone: 7}".to_owned()))
            }
            3 => options
                .push(("scope.variables.additional".to_owned(), self.random.of(&["k", "k:", "k:v,k:w"]).to_owned())),
            _ => {}
        }
        if self.random.once_in(3) {
            let excludes = self.random.of(&["host", "host;job_id", "job_name", "host;;job_id"]);
            options.push(("scope.variables.excludes".to_owned(), excludes.to_owned()));
        }
        if self.random.once_in(3) {
            let value = self.random.of(&VALUES[..44]);
            options.push(("exporter.option".to_owned(), value.to_owned()));
        }
        let prefix = format!("{signal}.reporter.{name}");
        match self.random.below(3) {
            0 if !self.legacy && self.random.once_in(2) => {
                let entries: Vec<String> = options.iter().map(|(key, value)| format!("'{key}': {value}")).collect();
                self.lines.push(format!("{prefix}: {{ {} }}", entries.join(", ")));
            }
            0 if !self.legacy => {
                let lines: Vec<String> = options.iter().map(|(key, value)| format!("\n  {key}: {value}")).collect();
                self.lines.push(format!("{prefix}:{}", lines.concat()));
            }
            _ => {
                for (key, value) in options {
                    self.lines.push(format!("{prefix}.{key}: {value}"));
                }
            }
        }
    }

    fn filters(&mut self) -> String {
        let filters: Vec<&str> = (0..self.random.between(1, 3)).map(|_| self.random.of(FILTERS)).collect();
        if self.legacy {
            filters.join(";")
        } else if self.random.once_in(2) {
            format!("'{}'", filters.join(";"))
        } else {
            format!("['{}']", filters.join("', '"))
        }
    }
}
