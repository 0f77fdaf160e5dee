//! Metric groups: their scopes, variables and job ids. Values described as Flink's were taken from
//! Flink 2.3.0.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use expect_test::{Expect, expect};
use flink_traces_api::{
    ConfigError, Deadline, Event, EventBuilder, EventReporter, EventReporterFactory, OptionDoc, RECORD_UID, Registry,
    ReportError, ReportedEvent, ReportedSpan, ReporterConfig, Signal, Span, SpanBuilder, SpanRef, Timestamp,
    TraceReporter, TraceReporterFactory, ValueRef,
};
use flink_traces_runtime::config::SpanDetailLevel;
use flink_traces_runtime::dispatch::{DropReason, TaskVariables};
use flink_traces_runtime::extension::{ObserverIdentity, observation_event};
use flink_traces_runtime::{Configuration, Dispatcher, MetricGroup, ReporterStats, discover};
use flink_traces_testkit::ManualClock;

const JOB_ID: &str = "0a4480b1aa43ca25b4801a22462f387a";

/// A reporter that keeps a line for each record, with the reporter's name.
#[derive(Clone)]
struct Recorder {
    name: String,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Recorder {
    fn record<'a>(&self, name: &str, attributes: impl Iterator<Item = (&'a str, ValueRef<'a>)>) {
        let mut line = format!("{} {name}", self.name);
        for (key, value) in attributes {
            match value {
                // It differs in each process.
                ValueRef::String(text) if key == RECORD_UID => assert_eq!(text.len(), 32),
                ValueRef::String(text) => line += &format!(" {key}={text}"),
                other => line += &format!(" {key}={other:?}"),
            }
        }
        self.lines.lock().unwrap().push(line);
    }

    fn record_span(&self, span: SpanRef<'_>) {
        self.record(span.name(), span.attributes());
        span.children().for_each(|child| self.record_span(child));
    }
}

impl TraceReporter for Recorder {
    fn report(&mut self, spans: &[ReportedSpan], _: &Deadline) -> Result<(), ReportError> {
        spans.iter().for_each(|span| self.record_span(span.root()));
        Ok(())
    }
}

impl EventReporter for Recorder {
    fn report(&mut self, events: &[ReportedEvent], _: &Deadline) -> Result<(), ReportError> {
        for event in events {
            self.record(&format!("{} {} at {}", event.name(), event.severity(), event.ts_millis()), event.attributes());
        }
        Ok(())
    }
}

/// A factory of recorders that share one list.
#[derive(Clone, Default)]
struct Recorders(Arc<Mutex<Vec<String>>>);

impl Recorders {
    fn make(&self, config: &ReporterConfig) -> Box<Recorder> {
        Box::new(Recorder { name: config.name().to_owned(), lines: self.0.clone() })
    }
}

impl TraceReporterFactory for Recorders {
    fn create_trace_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn TraceReporter>, ConfigError> {
        Ok(self.make(config))
    }

    fn options(&self) -> &'static [OptionDoc] {
        &[]
    }
}

impl EventReporterFactory for Recorders {
    fn create_event_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn EventReporter>, ConfigError> {
        Ok(self.make(config))
    }

    fn options(&self) -> &'static [OptionDoc] {
        &[]
    }
}

/// Keys and values.
type Options<'a> = &'a [(&'a str, &'a str)];

struct Setup {
    dispatcher: Dispatcher,
    recorders: Recorders,
}

impl Setup {
    /// Starts a recorder for each signal, name and options.
    fn start(delimiter: &str, reporters: &[(&str, &str, Options<'_>)]) -> Self {
        let mut pairs = Vec::new();
        for (signal, name, options) in reporters {
            for (key, value) in [("factory.class", "recorder")].iter().chain(*options) {
                pairs.push((format!("{signal}.reporter.{name}.{key}"), *value));
            }
        }
        let configuration = Configuration::from_pairs(pairs.iter().map(|(key, value)| (key.as_str(), *value)));
        let recorders = Recorders::default();
        let mut registry = Registry::new();
        registry.register_trace("recorder", recorders.clone()).unwrap();
        registry.register_event("recorder", recorders.clone()).unwrap();
        let (setups, _) = discover(&configuration, &registry);
        let clock = ManualClock::new(Timestamp::from_millis(1_000));
        let (dispatcher, problems) = Dispatcher::start(setups, &registry, Arc::new(clock), delimiter);
        assert_eq!(problems, []);
        Self { dispatcher, recorders }
    }

    /// Returns all recorded lines by the name of the reporter, each in order.
    fn lines(&self) -> Vec<String> {
        assert!(self.dispatcher.flush(Duration::from_secs(60)));
        let mut lines = self.recorders.0.lock().unwrap().clone();
        lines.sort_by_key(|line| line.split(' ').next().map(str::to_owned));
        lines
    }

    fn check(&self, expected: Expect) {
        expected.assert_eq(&self.lines().iter().map(|line| format!("{line}\n")).collect::<String>());
        self.finish();
    }

    fn finish(&self) {
        let accounts = self.dispatcher.shutdown(Duration::from_secs(60));
        let is_finalized = |stats: &ReporterStats| {
            stats.is_balanced() && stats.delivered + stats.dropped_by(DropReason::Closed) == stats.emitted
        };
        assert!(accounts.iter().all(is_finalized), "{accounts:?}");
    }

    fn job(&self) -> MetricGroup {
        MetricGroup::job_manager(&self.dispatcher, "jm").add_job(JOB_ID, "agg")
    }
}

fn span(name: &'static str) -> SpanBuilder {
    Span::builder("scope", name)
}

fn event(name: &'static str) -> EventBuilder {
    Event::builder("scope", name).severity("INFO")
}

fn task() -> TaskVariables<'static> {
    TaskVariables::new("bc764cd8ddf7a0cff126f51c16239658")
        .with_name("Source")
        .with_attempt_id("attempt")
        .with_attempt_number(2)
        .with_subtask_index(7)
}

/// A group and its expected scope and variables.
struct Level {
    group: MetricGroup,
    logical_scope: &'static str,
    variables: Vec<(&'static str, &'static str)>,
    adds_job_id: bool,
}

/// Creates one group of each level.
fn levels(dispatcher: &Dispatcher) -> Vec<Level> {
    let job_manager = MetricGroup::job_manager(dispatcher, "jm");
    let job = job_manager.add_job(JOB_ID, "agg");
    let coordinator = job.add_coordinator("task", "Source", "operator", "Kafka");
    let task_manager = MetricGroup::task_manager(dispatcher, "tm", "tm-1");
    let job_on_task_manager = task_manager.add_job(JOB_ID, "agg");
    let task = job_on_task_manager.add_task(&task());
    let operator = task.add_operator("operator", "Kafka");
    let named = operator.add_group("own");
    let keyed = operator.add_key_value_group("partition", "3");
    let below_keyed = keyed.add_group("own");

    let jm = vec![("<host>", "jm")];
    let of_job = vec![("<job_id>", JOB_ID), ("<job_name>", "agg")];
    let jm_job = [jm.clone(), of_job.clone()].concat();
    let of_operator = vec![("<operator_id>", "operator"), ("<operator_name>", "Kafka")];
    let of_coordinator = [vec![("<task_id>", "task"), ("<task_name>", "Source")], of_operator.clone()].concat();
    let tm = vec![("<host>", "tm"), ("<tm_id>", "tm-1")];
    let tm_job = [tm.clone(), of_job].concat();
    let of_task = vec![
        ("<task_id>", "bc764cd8ddf7a0cff126f51c16239658"),
        ("<task_name>", "Source"),
        ("<task_attempt_id>", "attempt"),
        ("<task_attempt_num>", "2"),
        ("<subtask_index>", "7"),
    ];
    let tm_task = [tm_job.clone(), of_task].concat();
    let tm_operator = [tm_task.clone(), of_operator].concat();
    let with_partition = [tm_operator.clone(), vec![("<partition>", "3")]].concat();
    let level = |group, logical_scope, variables| Level { group, logical_scope, variables, adds_job_id: false };
    let job_level = |group, logical_scope, variables| Level { group, logical_scope, variables, adds_job_id: true };
    vec![
        level(job_manager, "jobmanager", jm),
        job_level(job, "jobmanager.job", jm_job.clone()),
        level(coordinator, "jobmanager.job.operator", [jm_job, of_coordinator].concat()),
        level(task_manager, "taskmanager", tm),
        job_level(job_on_task_manager, "taskmanager.job", tm_job),
        level(task, "taskmanager.job.task", tm_task),
        level(operator, "taskmanager.job.task.operator", tm_operator.clone()),
        level(named, "taskmanager.job.task.operator.own", tm_operator),
        level(keyed, "taskmanager.job.task.operator.partition", with_partition.clone()),
        level(below_keyed, "taskmanager.job.task.operator.partition.own", with_partition),
    ]
}

/// Guarantees: the account of a reporter has no extensions that are hidden from it.
#[test]
fn extension_children_count_where_shown() {
    let flink = ("compatibility", "flink");
    let setup = Setup::start(
        ".",
        &[
            ("traces", "flink", &[flink]),
            ("traces", "flink-none", &[flink, ("filter.excludes", "*:root")]),
            ("traces", "none", &[("filter.excludes", "*:root")]),
            ("traces", "standard", &[]),
        ],
    );
    let part = |name: &'static str| Span::builder("scope", name).start_ts_millis(1);
    let root = part("root").child(part("own")).extension_children([part("more"), part("more")]);
    MetricGroup::job_manager(&setup.dispatcher, "jm").add_span(root);
    assert_eq!(
        setup.lines(),
        ["flink root", "flink own", "standard root", "standard own", "standard more", "standard more"]
            .map(|line| format!("{line} <host>=jm"))
    );
    let counts = setup.dispatcher.stats().into_iter().map(|stats| (stats.name, stats.delivered, stats.filtered));
    let expected = [("flink", 2, 0), ("flink-none", 0, 2), ("none", 0, 4), ("standard", 4, 0)];
    assert_eq!(
        counts.collect::<Vec<_>>(),
        expected.map(|(name, formatted, filtered)| (name.to_owned(), formatted, filtered))
    );
}

#[test]
fn groups_have_flinks_scopes_and_variables() {
    let setup = Setup::start(".", &[("traces", "r", &[]), ("events", "s", &[])]);
    for Level { group, logical_scope: scope, variables, adds_job_id } in levels(&setup.dispatcher) {
        let owned: Vec<_> = variables.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!((group.logical_scope(), group.variables()), (scope, owned.as_slice()));

        group.add_span(span("root").child(span("child").child(span("grandchild"))));
        group.add_event(event("event"));
        let variables: String = variables.iter().map(|(key, value)| format!(" {key}={value}")).collect();
        let job_id = if adds_job_id { format!(" jobId={JOB_ID}") } else { String::new() };
        assert_eq!(
            setup.lines(),
            [
                format!("r root{job_id}{variables}"),
                format!("r child{variables}"),
                format!("r grandchild{variables}"),
                format!("s event INFO at 1000{job_id}{variables}"),
            ],
            "{scope}"
        );
        setup.recorders.0.lock().unwrap().clear();
    }
    setup.finish();
}

/// Guarantees: filters match the logical scope with the configured delimiter.
#[test]
fn filters_match_logical_scope() {
    for delimiter in [".", "_"] {
        let reporters = Setup::start(".", &[]);
        let scopes: Vec<_> =
            levels(&reporters.dispatcher).iter().map(|level| level.logical_scope.replace('.', delimiter)).collect();
        for scope in &scopes {
            let setup = Setup::start(delimiter, &[("traces", "r", &[("filter.includes", scope)])]);
            for Level { group, .. } in levels(&setup.dispatcher) {
                let name = group.logical_scope().to_owned();
                group.add_span(Span::builder("another.scope", name));
            }
            let names: Vec<_> = setup.lines().iter().map(|line| line.split(' ').nth(1).map(str::to_owned)).collect();
            assert_eq!(names, [Some(scope.clone())]);
            setup.finish();
        }
    }
}

#[test]
fn variables_override_job_id_and_attributes() {
    let setup = Setup::start(".", &[("traces", "r", &[])]);
    let job = setup.job();
    let own = || span("span").attribute("jobId", "own").attribute("<host>", "own").attribute("host", "own");
    job.add_span(own());
    job.add_key_value_group("host", "other").add_span(own());
    let above = job.add_key_value_group("host", "above").add_key_value_group("host", "below");
    above.add_span(span("nearest"));
    setup.check(expect![[r#"
        r span host=own jobId=0a4480b1aa43ca25b4801a22462f387a <host>=jm <job_id>=0a4480b1aa43ca25b4801a22462f387a <job_name>=agg
        r span jobId=own host=own <host>=other <job_id>=0a4480b1aa43ca25b4801a22462f387a <job_name>=agg
        r nearest <host>=below <job_id>=0a4480b1aa43ca25b4801a22462f387a <job_name>=agg
    "#]]);
}

#[test]
fn variable_rules_affect_one_reporter() {
    let setup = Setup::start(
        ".",
        &[
            ("traces", "a-adds", &[("scope.variables.additional", "env:prod,host:mine")]),
            ("traces", "b-excludes", &[("scope.variables.excludes", "host;job_name")]),
            ("traces", "c-plain", &[]),
            (
                "traces",
                "d-both",
                &[("scope.variables.additional.host", "x"), ("scope.variables.excludes", "<host>;jobId")],
            ),
            ("events", "e-excludes", &[("scope.variables.excludes", "job_id;nothing"), ("compatibility", "flink")]),
            ("events", "f-plain", &[]),
        ],
    );
    let job = setup.job();
    job.add_span(span("span").child(span("child")).attribute("own", 1));
    job.add_event(event("event").extension_severity("WARN"));
    setup.check(expect![[r#"
        a-adds span own=Long(1) jobId=0a4480b1aa43ca25b4801a22462f387a <job_id>=0a4480b1aa43ca25b4801a22462f387a <job_name>=agg <env>=prod <host>=mine
        a-adds child <job_id>=0a4480b1aa43ca25b4801a22462f387a <job_name>=agg <env>=prod <host>=mine
        b-excludes span own=Long(1) jobId=0a4480b1aa43ca25b4801a22462f387a <job_id>=0a4480b1aa43ca25b4801a22462f387a
        b-excludes child <job_id>=0a4480b1aa43ca25b4801a22462f387a
        c-plain span own=Long(1) jobId=0a4480b1aa43ca25b4801a22462f387a <host>=jm <job_id>=0a4480b1aa43ca25b4801a22462f387a <job_name>=agg
        c-plain child <host>=jm <job_id>=0a4480b1aa43ca25b4801a22462f387a <job_name>=agg
        d-both span own=Long(1) jobId=0a4480b1aa43ca25b4801a22462f387a <job_id>=0a4480b1aa43ca25b4801a22462f387a <job_name>=agg <host>=x
        d-both child <job_id>=0a4480b1aa43ca25b4801a22462f387a <job_name>=agg <host>=x
        e-excludes event INFO at 1000 jobId=0a4480b1aa43ca25b4801a22462f387a <host>=jm <job_name>=agg
        f-plain event WARN at 1000 jobId=0a4480b1aa43ca25b4801a22462f387a <host>=jm <job_id>=0a4480b1aa43ca25b4801a22462f387a <job_name>=agg
    "#]]);
}

/// Guarantees: a closed group and all groups below it ignore records, through every handle. Other
/// groups do not.
#[test]
fn closed_group_drops_and_counts_records() {
    let setup = Setup::start(".", &[("traces", "r", &[]), ("events", "s", &[])]);
    let job_manager = MetricGroup::job_manager(&setup.dispatcher, "jm");
    let job = job_manager.add_job(JOB_ID, "agg");
    let (clone, below) = (job.clone(), job.add_group("own"));
    let beside = job_manager.add_job("other", "other");
    job.add_span(span("before"));
    job.close();
    job.close();
    for closed in [&job, &clone, &below, &below.add_group("deeper"), &job.add_group("later")] {
        assert!(closed.is_closed());
        closed.add_span(span("after"));
        closed.add_event(event("after"));
    }
    for open in [&job_manager, &beside, &job_manager.add_job(JOB_ID, "again")] {
        assert!(!open.is_closed());
        open.add_event(event("still open"));
    }
    let child = Span::builder("scope", "child");
    job.add_span(span("tree").child(child));
    assert!(setup.dispatcher.flush(Duration::from_secs(10)));
    for stats in setup.dispatcher.stats() {
        let expected = if stats.signal == Signal::Traces { (1 + 5 + 2, 5 + 2) } else { (3 + 5, 5) };
        assert_eq!((stats.emitted, stats.dropped_by(DropReason::Closed)), expected);
        assert!(stats.is_balanced());
    }
    setup.check(expect![[r#"
        r before jobId=0a4480b1aa43ca25b4801a22462f387a <host>=jm <job_id>=0a4480b1aa43ca25b4801a22462f387a <job_name>=agg
        s still open INFO at 1000 <host>=jm
        s still open INFO at 1000 jobId=other <host>=jm <job_id>=other <job_name>=other
        s still open INFO at 1000 jobId=0a4480b1aa43ca25b4801a22462f387a <host>=jm <job_id>=0a4480b1aa43ca25b4801a22462f387a <job_name>=again
    "#]]);
}

#[test]
fn events_that_flink_lacks_are_filtered_under_flink() {
    let flink = &[("compatibility", "flink")];
    let setup = Setup::start(".", &[("events", "own", &[]), ("events", "parity", flink)]);
    setup.job().add_event(event("own").extension_event());
    setup.job().add_event(event("flinks"));
    assert!(setup.dispatcher.flush(Duration::from_secs(10)));
    let accounts: Vec<_> = setup.dispatcher.stats().into_iter().map(|stats| (stats.emitted, stats.filtered)).collect();
    assert_eq!(accounts, [(2, 0), (1, 1)]);
}

#[test]
fn spans_that_flink_lacks_are_filtered_under_flink() {
    let flink = &[("compatibility", "flink")];
    let setup = Setup::start(".", &[("traces", "own", &[]), ("traces", "parity", flink)]);
    setup.job().add_span(span("own").extension_span().child(span("part")));
    setup.job().add_span(span("flinks"));
    assert!(setup.dispatcher.flush(Duration::from_secs(10)));
    let accounts: Vec<_> = setup.dispatcher.stats().into_iter().map(|stats| (stats.emitted, stats.filtered)).collect();
    assert_eq!(accounts, [(3, 0), (1, 2)]);
}

#[test]
fn unset_timestamps_use_dispatcher_clock() {
    let setup = Setup::start(".", &[("events", "r", &[])]);
    setup.job().add_event(event("unset"));
    setup.job().add_event(event("set").observed_ts_millis(-1));
    setup.check(expect![[r#"
        r unset INFO at 1000 jobId=0a4480b1aa43ca25b4801a22462f387a <host>=jm <job_id>=0a4480b1aa43ca25b4801a22462f387a <job_name>=agg
        r set INFO at -1 jobId=0a4480b1aa43ca25b4801a22462f387a <host>=jm <job_id>=0a4480b1aa43ca25b4801a22462f387a <job_name>=agg
    "#]]);
}

/// Any text is a valid name.
#[test]
fn groups_take_any_name() {
    let setup = Setup::start("::", &[("traces", "r", &[])]);
    let root = MetricGroup::job_manager(&setup.dispatcher, "");
    for name in ["", "a b", "漢", "<x>", "."] {
        let group = root.add_group(name).add_key_value_group(name, name);
        assert_eq!(group.logical_scope(), format!("jobmanager::{name}::{name}"));
        group.add_span(span("span"));
    }
    setup.check(expect![[r#"
        r span <host>= <>=
        r span <host>= <a b>=a b
        r span <host>= <漢>=漢
        r span <host>= <<x>>=<x>
        r span <host>= <.>=.
    "#]]);
}

/// Returns the reporter and the name of each recorded line.
fn names(setup: &Setup) -> Vec<String> {
    setup.lines().iter().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
}

/// Scenario: reporters with different detail levels. Guarantees: a span is built once for each
/// level, and the reporters of one level share it.
#[test]
fn reporters_share_the_span_of_their_level() {
    let setup = Setup::start(
        ".",
        &[
            ("traces", "a", &[]),
            ("traces", "b", &[("checkpoint.span-detail-level", "CHILDREN_SPANS_PER_TASK")]),
            ("traces", "c", &[("checkpoint.span-detail-level", "children_spans_per_task")]),
        ],
    );
    let built = Mutex::new(Vec::new());
    setup.job().add_span_of_levels(SpanDetailLevel::SpanPerCheckpoint, false, |level| {
        built.lock().unwrap().push(level);
        let root = span("root").start_ts_millis(1);
        if level == SpanDetailLevel::SpanPerCheckpoint { root } else { root.child(span("child").start_ts_millis(1)) }
    });
    assert_eq!(names(&setup), ["a root", "b root", "b child", "c root", "c child"]);
    let levels = [SpanDetailLevel::SpanPerCheckpoint, SpanDetailLevel::ChildrenSpansPerTask];
    assert_eq!(*built.lock().unwrap(), levels);
    setup.finish();
}

/// Scenario: reporters with and without `checkpoint.detail-for: notable`. Guarantees: only an
/// ordinary span loses its children, only for those who ask, and its number of children stays.
#[test]
fn ordinary_spans_lose_their_children_on_request() {
    let notable = ("checkpoint.detail-for", "Notable");
    let setup = Setup::start(".", &[("traces", "a", &[]), ("traces", "b", &[notable])]);
    for (name, is_ordinary) in [("usual", true), ("slow", false)] {
        setup.job().add_span_of_levels(SpanDetailLevel::ChildrenSpansPerTask, is_ordinary, |_| {
            let child = |name| span(name).start_ts_millis(1);
            let task = child("task").child(child("subtask")).extension_children([child("extension")]);
            span(name).start_ts_millis(1).child(task).extension_children([child("other")])
        });
    }
    let tree = ["task", "subtask", "extension", "other"];
    let with_tree = |reporter: &str, root: &str| {
        [root].iter().chain(&tree).map(|name| format!("{reporter} {name}")).collect::<Vec<_>>()
    };
    let expected = [with_tree("a", "usual"), with_tree("a", "slow"), vec!["b usual".into()], with_tree("b", "slow")];
    assert_eq!(names(&setup), expected.concat());
    let omitted: Vec<_> = setup.lines().into_iter().filter(|line| line.contains("omittedChildren")).collect();
    assert!(omitted.len() == 1 && omitted[0].contains("omittedChildren=Long(4)"), "{omitted:?}");
    setup.finish();
}

#[test]
fn signs_of_life_need_the_option() {
    let setup = Setup::start(".", &[("events", "a", &[]), ("events", "b", &[("observations", "true")])]);
    let observer = ObserverIdentity { cluster: "prod", process: "p" };
    MetricGroup::job_manager(&setup.dispatcher, "jm").add_event(observation_event(observer, 5, 3));
    assert_eq!(names(&setup), ["b ObservationEvent"]);
    setup.finish();
}

/// Guarantees: a reporter with the option `clusters` gets the records of these only, and all others
/// count as filtered. A group without a cluster is not limited.
#[test]
fn reporter_gets_records_of_its_clusters() {
    let clusters: Options<'_> = &[("clusters", "prod, test-*")];
    let setup = Setup::start(
        ".",
        &[
            ("traces", "all", &[]),
            ("traces", "some", clusters),
            ("events", "some", clusters),
            ("traces", "none", &[("clusters", "x")]),
        ],
    );
    for cluster in ["prod", "test-eu", "staging"] {
        let group = MetricGroup::job_manager_of(&setup.dispatcher, cluster, "jm", []).add_job(JOB_ID, "agg");
        group.add_span(span("Checkpoint").attribute("of", cluster).children([span("child")]));
        group.add_event(event("Failure").attribute("of", cluster));
    }
    setup.job().add_span(span("Checkpoint").attribute("of", "no cluster"));
    let lines = setup.lines();
    let of = |name: &str, cluster: &str| {
        lines.iter().filter(|line| line.starts_with(name) && line.contains(cluster)).count()
    };
    assert_eq!(
        ["prod", "test-eu", "staging", "no cluster"].map(|cluster| of("all ", cluster)),
        [1, 1, 1, 1],
        "{lines:?}"
    );
    assert_eq!(
        ["prod", "test-eu", "staging", "no cluster"].map(|cluster| of("some ", cluster)),
        [2, 2, 0, 1],
        "{lines:?}"
    );
    assert_eq!(["prod", "no cluster"].map(|cluster| of("none ", cluster)), [0, 1], "{lines:?}");
    let filtered = |name: &str, signal: Signal| {
        let stats = setup.dispatcher.stats();
        stats.iter().find(|stats| stats.name == name && stats.signal == signal).unwrap().filtered
    };
    // Each span of a tree counts.
    assert_eq!((filtered("some", Signal::Traces), filtered("some", Signal::Events)), (2, 1));
    assert_eq!((filtered("all", Signal::Traces), filtered("none", Signal::Traces)), (0, 6));
    setup.finish();
}
