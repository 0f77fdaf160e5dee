//! The reporters of a configuration: their setups, filters, variables and unknown keys.
//!
//! Values described as Flink's were taken from Flink 2.3.0.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

use std::fmt::Write;
use std::fs;

use expect_test::{Expect, expect};
use flink_traces_api::{
    Compatibility, ConfigError, ConfigOption, EventReporter, EventReporterFactory, OptionDoc, Registry, ReporterConfig,
    TraceReporter, TraceReporterFactory,
};
use proptest::prelude::*;

use flink_traces_runtime::config::{Filter, ReporterSetup, Rule, VariableRules, unknown_keys};
use flink_traces_runtime::{Configuration, Problem, discover};

const ENDPOINT: ConfigOption<String> = ConfigOption::string("exporter.endpoint", "");
const TIMEOUT: ConfigOption<String> = ConfigOption::string("exporter.timeout", "");
const HEADERS: ConfigOption<Vec<(String, String)>> = ConfigOption::map("exporter.headers", "");

/// A factory that only has options.
struct Fake(&'static [OptionDoc]);

fn never_made<T>() -> Result<T, ConfigError> {
    Err(ConfigError::Setup("made for its options only".into()))
}

impl TraceReporterFactory for Fake {
    fn create_trace_reporter(&self, _: &ReporterConfig) -> Result<Box<dyn TraceReporter>, ConfigError> {
        never_made()
    }

    fn options(&self) -> &'static [OptionDoc] {
        self.0
    }
}

impl EventReporterFactory for Fake {
    fn create_event_reporter(&self, _: &ReporterConfig) -> Result<Box<dyn EventReporter>, ConfigError> {
        never_made()
    }

    fn options(&self) -> &'static [OptionDoc] {
        self.0
    }
}

fn registry() -> Registry {
    const OTEL: &[OptionDoc] = &[ENDPOINT.doc(), TIMEOUT.doc(), HEADERS.doc()];
    let mut registry = Registry::new();
    registry.register_trace("org.apache.flink.traces.slf4j.Slf4jTraceReporterFactory", Fake(&[])).unwrap();
    registry.register_trace("org.apache.flink.traces.otel.OpenTelemetryTraceReporterFactory", Fake(OTEL)).unwrap();
    registry.register_event("org.apache.flink.events.slf4j.Slf4jEventReporterFactory", Fake(&[])).unwrap();
    registry.register_event("org.apache.flink.events.otel.OpenTelemetryEventReporterFactory", Fake(OTEL)).unwrap();
    registry
}

/// Loads YAML in which `SLF4J`, `OTEL` and others stand for classes.
fn load(yaml: &str) -> Configuration {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.yaml");
    let yaml = yaml
        .replace("SLF4J-EVENTS", "org.apache.flink.events.slf4j.Slf4jEventReporterFactory")
        .replace("OTEL-EVENTS", "org.apache.flink.events.otel.OpenTelemetryEventReporterFactory")
        .replace("SLF4J", "org.apache.flink.traces.slf4j.Slf4jTraceReporterFactory")
        .replace("OTEL", "org.apache.flink.traces.otel.OpenTelemetryTraceReporterFactory");
    fs::write(&file, yaml).unwrap();
    let (configuration, problems) = Configuration::load(Some(&file), &[]);
    assert_eq!(problems, []);
    configuration
}

fn tell(problems: Vec<Problem>, text: &mut String) {
    for mut problem in problems {
        if let Some(origin) = &mut problem.origin {
            origin.source = "".into();
        }
        writeln!(text, "  {:?} {problem}", problem.severity).unwrap();
    }
}

/// Compares the text from `show` for each reporter, and all problems.
fn check_reporters(configurations: &[&str], show: fn(&ReporterSetup) -> String, expected: Expect) {
    let mut text = String::new();
    for yaml in configurations {
        writeln!(text, "{}", yaml.escape_debug()).unwrap();
        let (setups, problems) = discover(&load(yaml), &registry());
        for setup in setups {
            let line = format!("  {} [{}] {}", setup.signal, setup.name, show(&setup));
            writeln!(text, "{}", line.trim_end()).unwrap();
        }
        tell(problems, &mut text);
    }
    expected.assert_eq(&text);
}

fn options(setup: &ReporterSetup) -> String {
    let options = setup.config.values().filter(|(key, _)| *key != "factory.class");
    let options: Vec<_> = options.map(|(key, value)| format!("{key}={}", value.redacted())).collect();
    options.join(", ")
}

#[test]
fn reporters_follow_lists_and_names() {
    const THREE: &str = "\ntraces.reporter: {c: &c {factory.class: SLF4J}, b: *c, a: *c}";
    let lists = [
        "",
        " b , a",
        "' b , a '",
        "b,,",
        "','",
        "''",
        "[a, b]",
        "[a]",
        "[]",
        "'[a, b]'",
        "b;a",
        "b, d",
        "B, bb, a",
        "{x: y}",
    ];
    let lists: Vec<_> = lists
        .iter()
        .map(|list| format!("traces.reporters: {list}{THREE}").replace("traces.reporters: \n", ""))
        .collect();
    check_reporters(
        &lists.iter().map(String::as_str).collect::<Vec<_>>(),
        |_| String::new(),
        expect![[r#"
            traces.reporter: {c: &c {factory.class: SLF4J}, b: *c, a: *c}
              traces [a]
              traces [b]
              traces [c]
            traces.reporters:  b , a\ntraces.reporter: {c: &c {factory.class: SLF4J}, b: *c, a: *c}
              traces [a]
              traces [b]
            traces.reporters: \' b , a \'\ntraces.reporter: {c: &c {factory.class: SLF4J}, b: *c, a: *c}
              traces [a]
              traces [b]
              Warning :1:1: traces.reporters: surrounding blanks are ignored; in Flink, they are part of the names
            traces.reporters: b,,\ntraces.reporter: {c: &c {factory.class: SLF4J}, b: *c, a: *c}
              traces [b]
            traces.reporters: \',\'\ntraces.reporter: {c: &c {factory.class: SLF4J}, b: *c, a: *c}
              traces [a]
              traces [b]
              traces [c]
            traces.reporters: \'\'\ntraces.reporter: {c: &c {factory.class: SLF4J}, b: *c, a: *c}
              traces [a]
              traces [b]
              traces [c]
            traces.reporters: [a, b]\ntraces.reporter: {c: &c {factory.class: SLF4J}, b: *c, a: *c}
              traces [a]
              traces [b]
              Warning :1:1: traces.reporters: Flink reads a YAML list as one name and runs no reporter; write `a, b` for Flink
            traces.reporters: [a]\ntraces.reporter: {c: &c {factory.class: SLF4J}, b: *c, a: *c}
              traces [a]
              Warning :1:1: traces.reporters: Flink reads a YAML list as one name and runs no reporter; write `a, b` for Flink
            traces.reporters: []\ntraces.reporter: {c: &c {factory.class: SLF4J}, b: *c, a: *c}
              Warning :1:1: traces.reporters: Flink reads a YAML list as one name and runs no reporter; write `a, b` for Flink
            traces.reporters: \'[a, b]\'\ntraces.reporter: {c: &c {factory.class: SLF4J}, b: *c, a: *c}
              traces [a]
              traces [b]
              Warning :1:1: traces.reporters: Flink reads a YAML list as one name and runs no reporter; write `a, b` for Flink
            traces.reporters: b;a\ntraces.reporter: {c: &c {factory.class: SLF4J}, b: *c, a: *c}
              Warning :1:1: traces.reporters: unknown reporter 'b;a'
            traces.reporters: b, d\ntraces.reporter: {c: &c {factory.class: SLF4J}, b: *c, a: *c}
              traces [b]
              Warning :1:1: traces.reporters: unknown reporter 'd'
            traces.reporters: B, bb, a\ntraces.reporter: {c: &c {factory.class: SLF4J}, b: *c, a: *c}
              traces [a]
              Warning :1:1: traces.reporters: unknown reporter 'B'
              Warning :1:1: traces.reporters: unknown reporter 'bb'
            traces.reporters: {x: y}\ntraces.reporter: {c: &c {factory.class: SLF4J}, b: *c, a: *c}
              traces [a]
              traces [b]
              traces [c]
        "#]],
    );
}

#[test]
fn reporters_need_name_and_class() {
    check_reporters(
        &[
            "a: 1",
            "traces.reporter..factory.class: SLF4J\ntraces.reporter.a-b_1.factory.class: SLF4J\ntraces.reporter.Z.factory.class: SLF4J",
            "traces.reporter.a b.factory.class: SLF4J\ntraces.reporter.c.d.factory.class: SLF4J\ntraces.reporter.e.exporter.endpoint: f\n\
            traces.reporter.g: h",
            "events.reporter.a: {factory.class: OTEL-EVENTS, exporter: {endpoint: 'http://h', timeout: 10, headers: {a: s3cret}}, x: 1e3}\n\
            traces.reporter.a: {factory.class: OTEL}",
            "traces.reporter.a.factory.class: org.example.Nope\ntraces.reporter.b.factory.class: OTEL-EVENTS\n\
            traces.reporter.c.factory.class: ''\ntraces.reporter.d.factory.class: [SLF4J]\ntraces.reporter.e.factory.class: SLF4J",
        ],
        options,
        expect![[r#"
        a: 1
        traces.reporter..factory.class: SLF4J\ntraces.reporter.a-b_1.factory.class: SLF4J\ntraces.reporter.Z.factory.class: SLF4J
          traces []
          traces [Z]
          traces [a-b_1]
        traces.reporter.a b.factory.class: SLF4J\ntraces.reporter.c.d.factory.class: SLF4J\ntraces.reporter.e.exporter.endpoint: f\ntraces.reporter.g: h
          Error :1:1: traces.reporter.a b: expected a name without whitespace
          Error :2:1: traces.reporter.c: expected a factory.class, which selects the kind of reporter
          Error :3:1: traces.reporter.e: expected a factory.class, which selects the kind of reporter
        events.reporter.a: {factory.class: OTEL-EVENTS, exporter: {endpoint: \'http://h\', timeout: 10, headers: {a: s3cret}}, x: 1e3}\ntraces.reporter.a: {factory.class: OTEL}
          traces [a]
          events [a] exporter.endpoint=http://h, exporter.headers.a=******, exporter.timeout=10, x=1000.0
        traces.reporter.a.factory.class: org.example.Nope\ntraces.reporter.b.factory.class: OTEL-EVENTS\ntraces.reporter.c.factory.class: \'\'\ntraces.reporter.d.factory.class: [SLF4J]\ntraces.reporter.e.factory.class: SLF4J
          traces [e]
          Error :1:1: traces.reporter.a.factory.class: unknown factory class 'org.example.Nope'; available: org.apache.flink.traces.otel.OpenTelemetryTraceReporterFactory, org.apache.flink.traces.slf4j.Slf4jTraceReporterFactory; to leave the reporter out, set traces.reporters=e
          Error :2:1: traces.reporter.b.factory.class: unknown factory class 'org.apache.flink.events.otel.OpenTelemetryEventReporterFactory'; available: org.apache.flink.traces.otel.OpenTelemetryTraceReporterFactory, org.apache.flink.traces.slf4j.Slf4jTraceReporterFactory; to leave the reporter out, set traces.reporters=e; did you mean org.apache.flink.traces.otel.OpenTelemetryTraceReporterFactory?
          Error :3:1: traces.reporter.c.factory.class: unknown factory class ''; available: org.apache.flink.traces.otel.OpenTelemetryTraceReporterFactory, org.apache.flink.traces.slf4j.Slf4jTraceReporterFactory; to leave the reporter out, set traces.reporters=e
          Error :4:1: traces.reporter.d.factory.class: unknown factory class '[org.apache.flink.traces.slf4j.Slf4jTraceReporterFactory]'; available: org.apache.flink.traces.otel.OpenTelemetryTraceReporterFactory, org.apache.flink.traces.slf4j.Slf4jTraceReporterFactory; to leave the reporter out, set traces.reporters=e; did you mean org.apache.flink.traces.slf4j.Slf4jTraceReporterFactory?
    "#]],
    );
}

#[test]
fn mistake_disables_only_its_reporter() {
    check_reporters(
        &[
            "traces.reporter.a: {factory.class: SLF4J, queue.size: 0, queue.max-bytes: 0, compatibility: both, filter.includes: '*:*:span;:', \
            scope.variables.additional: 'a:', scope.variables.excludes: \"'a\", scope.delimiter: '--'}\n\
            traces.reporter.b: {factory.class: SLF4J, queue.size: 7, queue.max-bytes: 5 mb, compatibility: Flink}",
        ],
        |setup| format!("{} {} {:?}", setup.queue_size, setup.queue_max_bytes, setup.compatibility),
        expect![[r#"
            traces.reporter.a: {factory.class: SLF4J, queue.size: 0, queue.max-bytes: 0, compatibility: both, filter.includes: \'*:*:span;:\', scope.variables.additional: \'a:\', scope.variables.excludes: \"\'a\", scope.delimiter: \'--\'}\ntraces.reporter.b: {factory.class: SLF4J, queue.size: 7, queue.max-bytes: 5 mb, compatibility: Flink}
              traces [b] 7 5242880 Flink
              Error :1:128: traces.reporter.a.compatibility: 'both' is not `standard` or `flink`
              Error :1:149: traces.reporter.a.filter.includes: '*:*:span' has 'span' as third field, expected `*` or some of `counter`, `meter`, `gauge`, `histogram`
              Error :1:149: traces.reporter.a.filter.includes: ':' has neither scope nor name
              Error :1:180: traces.reporter.a.scope.variables.additional: 'a:' is not a map such as `a:1,b:2`
              Error :1:214: traces.reporter.a.scope.variables.excludes: ''a' is not a list such as `a;b`
              Error :1:93: traces.reporter.a.queue.size: '0' is not a whole number from 1
              Error :1:108: traces.reporter.a.queue.max-bytes: '0' is not a size from `1 b`
              Warning :1:246: traces.reporter.a.scope.delimiter: '--' is not one character
        "#]],
    );
}

#[test]
fn factory_errors_name_the_reporter() {
    let (setups, _) = discover(&load("traces.reporter.a.factory.class: SLF4J"), &registry());
    let problem = setups[0].problem(&ConfigError::Setup("no such\ndirectory".into())).to_string();
    assert!(problem.ends_with(r"config.yaml:1:1: traces.reporter.a: no such\ndirectory"), "{problem}");
    let problem = setups[0].problem(&setups[0].config.require(&ENDPOINT).unwrap_err()).to_string();
    assert!(problem.ends_with("config.yaml:1:1: traces.reporter.a.exporter.endpoint: is not set"), "{problem}");
}

#[test]
fn queue_defaults_to_a_million_and_a_gigabyte() {
    let (setups, _) = discover(&load("traces.reporter.a.factory.class: SLF4J"), &registry());
    assert_eq!((setups[0].queue_size, setups[0].queue_max_bytes), (1 << 20, 1 << 30));
    assert_eq!(setups[0].compatibility, Compatibility::Standard);
}

#[test]
fn variables_by_reporter() {
    let host = [("<host>", "jm"), ("<job_id>", "4711")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let apply = |additional: &str, excludes: &str| {
        let yaml = format!(
            "traces.reporter.a:\n  factory.class: SLF4J\n  scope.variables.additional: {additional}\n  scope.variables.excludes: {excludes}"
        );
        let (setups, problems) = discover(&load(&yaml), &registry());
        let mut text = format!("{additional} | {excludes}\n");
        for setup in setups {
            writeln!(text, "  {:?}", setup.variables.apply(&host)).unwrap();
        }
        tell(problems, &mut text);
        text
    };
    let text: String = [
        ("{}", "[]"),
        ("a:1,b:2", "host"),
        ("{region: eu, a: {b: 3}}", "host;job_id"),
        ("'{region: eu}'", "other"),
        ("{host: mine}", "''"),
        ("{host: mine}", "host"),
        ("{<host>: mine}", "' host ; <job_id>'"),
        ("{}", "[host, job_id]"),
    ]
    .map(|(additional, excludes)| apply(additional, excludes))
    .concat();
    expect![[r#"
        {} | []
          [("<host>", "jm"), ("<job_id>", "4711")]
        a:1,b:2 | host
          [("<job_id>", "4711"), ("<a>", "1"), ("<b>", "2")]
        {region: eu, a: {b: 3}} | host;job_id
          [("<a.b>", "3"), ("<region>", "eu")]
        '{region: eu}' | other
          [("<host>", "jm"), ("<job_id>", "4711"), ("<region>", "eu")]
        {host: mine} | ''
          [("<job_id>", "4711"), ("<host>", "mine")]
          Warning :3:32: traces.reporter.a.scope.variables.additional: 'host' replaces the variable of the same name; Flink drops records that have both, unless it is excluded
        {host: mine} | host
          [("<job_id>", "4711"), ("<host>", "mine")]
        {<host>: mine} | ' host ; <job_id>'
          [("<host>", "mine")]
          Warning :4:3: traces.reporter.a.scope.variables.excludes: Flink splits the names only at `;`, and blanks become part of them
        {} | [host, job_id]
          []
          Warning :4:3: traces.reporter.a.scope.variables.excludes: Flink splits the names only at `;`, and blanks become part of them
    "#]].assert_eq(&text);
    assert_eq!(VariableRules::default().apply(&host), host);
}

#[test]
fn filters_match_scope_and_name() {
    const SCOPE: &str = "jobmanager.job";
    // Includes, excludes, scope and name, then whether the record passes by default and in Flink.
    // `None` means that the rule is refused.
    for (includes, excludes, scope, name, standard, flink) in [
        ("*:*:*", "", SCOPE, "Checkpoint", Some(true), Some(true)),
        ("*", "", SCOPE, "X", Some(true), Some(true)),
        ("jobmanager.job", "", SCOPE, "X", Some(true), Some(true)),
        ("jobmanager.job:Checkpoint", "", SCOPE, "Checkpoint", Some(true), Some(true)),
        ("jobmanager.job:Checkpoint", "", SCOPE, "X", Some(false), Some(false)),
        ("jobmanager", "", SCOPE, "X", Some(false), Some(false)),
        ("jobmanager*", "", SCOPE, "X", Some(true), Some(true)),
        ("jobmanager.*", "", "jobmanager", "X", Some(false), Some(false)),
        ("*job", "", SCOPE, "X", Some(true), Some(true)),
        ("*m*n*job", "", SCOPE, "X", Some(true), Some(true)),
        ("jobmanager*manager.job", "", SCOPE, "X", Some(false), Some(false)),
        ("**", "", SCOPE, "X", Some(true), Some(true)),
        ("JobManager.job", "", SCOPE, "X", Some(false), Some(false)),
        ("*:S2,S1", "", SCOPE, "S1", Some(true), Some(true)),
        ("a;jobmanager.job", "", SCOPE, "X", Some(true), Some(true)),
        ("'*:X;Y'", "", SCOPE, "X;Y", Some(true), Some(true)),
        ("[a, jobmanager.job]", "", SCOPE, "X", Some(true), Some(true)),
        ("*", "*:X", SCOPE, "X", Some(false), Some(false)),
        ("*", "*:X", SCOPE, "Y", Some(true), Some(true)),
        ("*:X", "jobmanager.job", SCOPE, "X", Some(false), Some(false)),
        ("*:*:counter", "", SCOPE, "X", Some(true), Some(true)),
        ("*:*:COUNTER,meter", "", SCOPE, "X", Some(true), Some(true)),
        ("*:*:", "", SCOPE, "X", Some(true), Some(true)),
        ("*:*:span", "", SCOPE, "X", None, None),
        ("*:*:counter,*", "", SCOPE, "X", None, None),
        (":", "", SCOPE, "X", None, None),
        ("::", "", SCOPE, "X", None, None),
        ("a:", "", "a", "X", Some(true), Some(true)),
        // The dot and other special characters of regular expressions.
        ("jobmanag.r.job", "", SCOPE, "X", Some(false), Some(true)),
        ("(a|jobmanager.job)", "", SCOPE, "X", Some(false), Some(true)),
        (r"jobmanager\.job", "", SCOPE, "X", Some(false), Some(true)),
        ("*:X+", "", SCOPE, "XXX", Some(false), Some(true)),
        ("*:X+", "", SCOPE, "X+", Some(true), Some(false)),
        ("*:a)(b", "", SCOPE, "ab", Some(false), Some(true)),
        ("*:X|Y", "", SCOPE, "Y", Some(false), Some(true)),
        ("[x", "", "[x", "X", Some(true), None),
        ("{a}", "", "{a}", "X", Some(true), None),
        ("*:((a{999}){999}){999}", "", SCOPE, "a", Some(false), None),
        // Blanks.
        ("*:X, S1", "", SCOPE, "S1", Some(true), Some(false)),
        ("jobmanager.job : X", "", SCOPE, "X", Some(true), Some(false)),
        ("*:*: counter", "", SCOPE, "X", Some(true), None),
        // Empty fields.
        (":X", "", SCOPE, "X", Some(true), Some(false)),
        (":X", "", "", "X", Some(true), Some(true)),
        ("a::*", "", "a", "X", Some(true), Some(false)),
        ("*:a,,b", "", SCOPE, "", Some(false), Some(true)),
        ("*:,", "", SCOPE, "x", Some(true), Some(false)),
        ("''", "", SCOPE, "X", None, Some(false)),
        ("*:*:*:more", "", SCOPE, "X", None, Some(true)),
        // No filter and no rule.
        ("", "", SCOPE, "X", Some(false), Some(false)),
    ] {
        const RULES: ConfigOption<Vec<String>> = ConfigOption::list("rules", "");
        for (compatibility, expected) in [(Compatibility::Standard, standard), (Compatibility::Flink, flink)] {
            let rules = |text: &str| {
                let texts = ReporterConfig::from_pairs("r", [("rules", text)]).require(&RULES).unwrap();
                texts.iter().map(|text| Rule::parse(text, compatibility)).collect::<Result<Vec<_>, _>>()
            };
            let filter = rules(includes).and_then(|includes| Ok(Filter::new(includes, rules(excludes)?)));
            let found = filter.map(|filter| filter.matches(scope, name)).ok();
            assert_eq!(found, expected, "{includes:?} without {excludes:?} of {scope:?} {name:?}, {compatibility:?}");
        }
    }
    assert!(Filter::default().matches(SCOPE, "any\nname"));
}

#[test]
fn filter_problems() {
    let filters = [
        "jobmanager.job:Checkpoint",
        "'*:X, Y'",
        "'(a|b)'",
        "':X'",
        "'*:*:span'",
        "'*:*:meter'",
        "'a:b:*:d'",
        "':'",
        "[]",
        "['*:a;b', ' *:c']",
        "\"'x\"",
        "\"[x\\e\"",
    ];
    let configurations: Vec<_> = filters
        .iter()
        .flat_map(|filter| {
            ["standard", "flink"].map(|compatibility| {
                format!("traces.reporter.a: {{factory.class: SLF4J, compatibility: {compatibility}, filter.includes: {filter}}}")
            })
        })
        .collect();
    check_reporters(
        &configurations.iter().map(String::as_str).collect::<Vec<_>>(),
        |_| String::new(),
        expect![[r#"
            traces.reporter.a: {factory.class: SLF4J, compatibility: standard, filter.includes: jobmanager.job:Checkpoint}
              traces [a]
            traces.reporter.a: {factory.class: SLF4J, compatibility: flink, filter.includes: jobmanager.job:Checkpoint}
              traces [a]
            traces.reporter.a: {factory.class: SLF4J, compatibility: standard, filter.includes: \'*:X, Y\'}
              traces [a]
              Warning :1:118: traces.reporter.a.filter.includes: '*:X, Y' has surrounding blanks, which are ignored here but not in Flink
            traces.reporter.a: {factory.class: SLF4J, compatibility: flink, filter.includes: \'*:X, Y\'}
              traces [a]
            traces.reporter.a: {factory.class: SLF4J, compatibility: standard, filter.includes: \'(a|b)\'}
              traces [a]
              Warning :1:118: traces.reporter.a.filter.includes: '(a|b)' has special characters of regular expressions, which match themselves here but not in Flink
            traces.reporter.a: {factory.class: SLF4J, compatibility: flink, filter.includes: \'(a|b)\'}
              traces [a]
            traces.reporter.a: {factory.class: SLF4J, compatibility: standard, filter.includes: \':X\'}
              traces [a]
              Warning :1:118: traces.reporter.a.filter.includes: ':X' has an empty field, which matches everything here and only the empty text in Flink
            traces.reporter.a: {factory.class: SLF4J, compatibility: flink, filter.includes: \':X\'}
              traces [a]
            traces.reporter.a: {factory.class: SLF4J, compatibility: standard, filter.includes: \'*:*:span\'}
              Error :1:118: traces.reporter.a.filter.includes: '*:*:span' has 'span' as third field, expected `*` or some of `counter`, `meter`, `gauge`, `histogram`
            traces.reporter.a: {factory.class: SLF4J, compatibility: flink, filter.includes: \'*:*:span\'}
              Error :1:115: traces.reporter.a.filter.includes: '*:*:span' has 'span' as third field, expected `*` or some of `counter`, `meter`, `gauge`, `histogram`
            traces.reporter.a: {factory.class: SLF4J, compatibility: standard, filter.includes: \'*:*:meter\'}
              traces [a]
            traces.reporter.a: {factory.class: SLF4J, compatibility: flink, filter.includes: \'*:*:meter\'}
              traces [a]
            traces.reporter.a: {factory.class: SLF4J, compatibility: standard, filter.includes: \'a:b:*:d\'}
              Error :1:118: traces.reporter.a.filter.includes: 'a:b:*:d' has more than three fields
            traces.reporter.a: {factory.class: SLF4J, compatibility: flink, filter.includes: \'a:b:*:d\'}
              traces [a]
            traces.reporter.a: {factory.class: SLF4J, compatibility: standard, filter.includes: \':\'}
              Error :1:118: traces.reporter.a.filter.includes: ':' has neither scope nor name
            traces.reporter.a: {factory.class: SLF4J, compatibility: flink, filter.includes: \':\'}
              Error :1:115: traces.reporter.a.filter.includes: ':' has neither scope nor name
            traces.reporter.a: {factory.class: SLF4J, compatibility: standard, filter.includes: []}
              traces [a]
              Warning :1:118: traces.reporter.a.filter.includes: empty, so the reporter gets no records
            traces.reporter.a: {factory.class: SLF4J, compatibility: flink, filter.includes: []}
              traces [a]
              Warning :1:115: traces.reporter.a.filter.includes: empty, so the reporter gets no records
            traces.reporter.a: {factory.class: SLF4J, compatibility: standard, filter.includes: [\'*:a;b\', \' *:c\']}
              traces [a]
              Warning :1:118: traces.reporter.a.filter.includes: ' *:c' has surrounding blanks, which are ignored here but not in Flink
            traces.reporter.a: {factory.class: SLF4J, compatibility: flink, filter.includes: [\'*:a;b\', \' *:c\']}
              traces [a]
            traces.reporter.a: {factory.class: SLF4J, compatibility: standard, filter.includes: \"\'x\"}
              Error :1:118: traces.reporter.a.filter.includes: ''x' is not a list such as `a;b`
            traces.reporter.a: {factory.class: SLF4J, compatibility: flink, filter.includes: \"\'x\"}
              Error :1:115: traces.reporter.a.filter.includes: ''x' is not a list such as `a;b`
            traces.reporter.a: {factory.class: SLF4J, compatibility: standard, filter.includes: \"[x\\e\"}
              traces [a]
              Warning :1:118: traces.reporter.a.filter.includes: '[x\u{1b}' has special characters of regular expressions, which match themselves here but not in Flink
            traces.reporter.a: {factory.class: SLF4J, compatibility: flink, filter.includes: \"[x\\e\"}
              Error :1:115: traces.reporter.a.filter.includes: '[x\u{1b}' is not a regular expression: non-empty character class has no closing bracket
        "#]],
    );
}

#[test]
fn unknown_keys_are_reported() {
    const OWN: &[OptionDoc] = &[
        ConfigOption::string("flink-traces.state.directory", "").doc(),
        ConfigOption::string("flink-traces.cluster.<name>.url", "").doc(),
        ConfigOption::map("flink-traces.cluster.<name>.labels", "").doc(),
    ];
    let configuration = load(
        "traces.reporters: a\nevents.reporter: a\njobmanager.memory: 1g\nmetrics.reporters: x\nweb.port: 1\n\
        traces.report-events-as-spans: true\ntraces.checkpoint.span-detail-levle: x\ntrace.reporters: a\nevnts.reporters: a\n\
        traces:\n  reporter:\n    a: {factory.class: OTEL, exporter.endpiont: x, exporter: {timeout: 1, headers: {any: x}, header.x: y}, \
        filter.include: x, queue.size: 1, scope.variables.additional: 'a:1', scope.variables.additional.b: 2, service.nme: x}\n    \
        b: {factory.class: org.example.Unknown, anything: 1}\n    c: {anything: 1}\n\
        traces.reporters.a.exporter.endpoint: x\n\
        events.reporter.otel: {factory.class: OTEL-EVENTS, exporter.endpoint: x, factory.clas: x}\n\
        flink-traces.state.dir: x\nflink-traces.state.directory: x\nflink-traces.cluster.prod: {url: x, ulr: x, labels: {a: b}}\n\
        flink-trace.cluster.prod.url: x\nflink.x: y\n\"traces.\\n\": x",
    );
    let mut text = "unknown\n".to_owned();
    tell(unknown_keys(&configuration, &registry(), OWN), &mut text);
    expect![[r#"
        unknown
          Error :2:1: events.reporter: unknown key; did you mean events.reporters?
          Warning :6:1: traces.report-events-as-spans: has no effect; Flink removed it in 2.2, and job failures are events
          Error :7:1: traces.checkpoint.span-detail-levle: unknown key; did you mean traces.checkpoint.span-detail-level?
          Error :8:1: trace.reporters: unknown key; did you mean traces.reporters?
          Error :9:1: evnts.reporters: unknown key; did you mean events.reporters?
          Error :12:88: traces.reporter.a.exporter.endpiont: unknown key; did you mean traces.reporter.a.exporter.endpoint?
          Error :12:152: traces.reporter.a.exporter.header.x: unknown key; did you mean traces.reporter.a.exporter.headers?
          Error :12:166: traces.reporter.a.filter.include: unknown key; did you mean traces.reporter.a.filter.includes?
          Warning :12:235: traces.reporter.a.scope.variables.additional.b: has no effect, because traces.reporter.a.scope.variables.additional is set
          Error :12:268: traces.reporter.a.service.nme: unknown key
          Error :15:1: traces.reporters.a.exporter.endpoint: unknown key; did you mean traces.reporter.a.exporter.endpoint?
          Error :16:125: events.reporter.otel.factory.clas: unknown key; did you mean events.reporter.otel.factory.class?
          Error :17:1: flink-traces.state.dir: unknown key
          Error :19:37: flink-traces.cluster.prod.ulr: unknown key; did you mean flink-traces.cluster.prod.url?
          Error :20:1: flink-trace.cluster.prod.url: unknown key; did you mean flink-traces.cluster.prod.url?
          Error :22:1: traces.\n: unknown key
    "#]].assert_eq(&text);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Guarantees: globs match the same texts as the equivalent regular expressions.
    #[test]
    fn globs_match_as_regular_expressions_do(rule in "[ab*]{1,5}(,[ab*]{1,5})?:[ab*]{1,5}", scope in "[ab]{0,6}", name in "[ab]{0,6}") {
        let [standard, flink] = [Compatibility::Standard, Compatibility::Flink]
            .map(|compatibility| Filter::new(vec![Rule::parse(&rule, compatibility).unwrap()], vec![]).matches(&scope, &name));
        prop_assert_eq!(standard, flink);
    }

    #[test]
    fn any_text_is_a_rule_or_refused(text in "\\PC{0,20}|[*:,.(){}\\[\\]?+|^$\\\\a-c]{0,20}", name in "\\PC{0,10}") {
        for compatibility in [Compatibility::Standard, Compatibility::Flink] {
            if let Ok(rule) = Rule::parse(&text, compatibility) {
                Filter::new(vec![rule], vec![]).matches("jobmanager.job", &name);
            }
        }
    }
}
