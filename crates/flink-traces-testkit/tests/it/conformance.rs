//! A correct reporter passes the suite, and each faulty one breaks the expected rule.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flink_traces_api::{
    AttributeValue, ConfigError, ConfigOption, Deadline, EventReporter, EventReporterFactory, OptionDoc, ReportError,
    ReportedEvent, ReportedSpan, ReporterConfig, SpanRef, TraceReporter, TraceReporterFactory, ValueRef,
};
use flink_traces_testkit::conformance::{self, Behavior, Breaches, Conformance, Destination, Received};

const PLACE: ConfigOption<String> = ConfigOption::string("place", "The destination in the test.");
const LIMIT: ConfigOption<u64> =
    ConfigOption::number("limit", "The maximum number of records in a request.").or("1000");
const TOKEN: ConfigOption<u64> = ConfigOption::number("token", "A secret number.").or("0");
const STYLE: ConfigOption<String> =
    ConfigOption::parsed("style", "`plain`", |text| (text == "plain").then(|| text.to_owned()), "The only style.")
        .or("plain");

/// The fault of a reporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    // In the factory.
    DeclaresTwice,
    KeepsAnOptionToItself,
    RefusesItsDefault,
    RefusesForeignOptions,
    NamesAnotherAsMissing,
    TakesWrongValues,
    NamesAnotherAsWrong,
    ShowsSecrets,
    PanicsAtOddValues,
    WritesAtOddValues,
    // In a report.
    WritesAHeader,
    LosesTheLast,
    Doubles,
    HoldsBack,
    HoldsBackUntilClosed,
    HoldsBackUntilDropped,
    Reverses,
    LosesChildren,
    LosesGrandchildren,
    MixesParentsUp,
    LosesTypes,
    LosesVariables,
    TakesDoublesForIntegers,
    KeepsFewAttributes,
    CutsLongText,
    PanicsAtNan,
    SplitsLines,
    TrimsNames,
    PanicsAtControls,
    PanicsAtUnsetTimes,
    MovesTimes,
    LosesUnknownSeverities,
    LosesBodies,
    LosesWhatFailed,
    CutsBatches,
    OmitsFailuresUnderFlink,
    TruncatesAtStart,
    FailsToClose,
    // In a failure.
    SaysOkWhenItIsLate,
    CountsTooMany,
    CountsNothing,
    SaysOkWhileAway,
    CountsAllThoughSomeArrived,
    KeepsFailing,
    SendsLostOnesLater,
    SaysLostWhenRefused,
    HangsWhenRefused,
    BlamesOptionsWhileAway,
}

/// A destination in memory.
#[derive(Default)]
struct Place {
    received: Mutex<Vec<Received>>,
    behavior: Mutex<Option<Behavior>>,
}

/// A factory and its destinations. A reporter finds its destination by an option.
#[derive(Clone)]
struct Memory {
    fault: Fault,
    places: Arc<Mutex<HashMap<String, Arc<Place>>>>,
}

struct MemoryDestination {
    name: String,
    place: Arc<Place>,
}

impl Destination for MemoryDestination {
    fn options(&self) -> Vec<(String, String)> {
        vec![("place".to_owned(), self.name.clone())]
    }

    fn received(&self) -> Vec<Received> {
        self.place.received.lock().unwrap().clone()
    }

    fn wrong_options(&self) -> Vec<(String, String)> {
        [("limit", "many"), ("token", "hunter2")].map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    fn behave(&self, behavior: Behavior) -> bool {
        *self.place.behavior.lock().unwrap() = Some(behavior);
        true
    }
}

impl Memory {
    fn new(fault: Fault) -> Self {
        Self { fault, places: Arc::default() }
    }

    fn new_destination(&self) -> MemoryDestination {
        let mut places = self.places.lock().unwrap();
        let (name, place) = (format!("place {}", places.len()), Arc::<Place>::default());
        places.insert(name.clone(), place.clone());
        MemoryDestination { name, place }
    }

    fn check(&self, rule: Option<&'static str>) -> [Result<(), Breaches>; 2] {
        let places = self.clone();
        let suite = Conformance::new(move || places.new_destination());
        let suite = rule.into_iter().fold(suite, Conformance::only);
        [suite.check_traces(Arc::new(self.clone())), suite.check_events(Arc::new(self.clone()))]
    }

    fn create(&self, config: &ReporterConfig) -> Result<Reporter, ConfigError> {
        let fault = self.fault;
        match config.get(&PLACE)? {
            None if fault == Fault::NamesAnotherAsMissing => return Err(ConfigError::Missing { key: "place".into() }),
            _ => {}
        }
        let place = self.places.lock().unwrap().get(&config.require(&PLACE)?).cloned();
        let place = place.ok_or_else(|| config.invalid(&PLACE, "one of the test's"))?;
        let limit = match config.get(&LIMIT) {
            Ok(limit) => limit.unwrap_or_default(),
            Err(_) if fault == Fault::TakesWrongValues => 0,
            Err(_) if fault == Fault::NamesAnotherAsWrong => return Err(config.invalid(&TOKEN, "right")),
            Err(error) => return Err(error),
        };
        let style = config.require(&STYLE)?;
        if let (Err(error), Some(value)) = (config.get(&TOKEN), config.value(TOKEN.key())) {
            return Err(match (fault, error) {
                (Fault::ShowsSecrets, ConfigError::Invalid { key, expected, origin, .. }) => {
                    ConfigError::Invalid { key, value: value.raw.to_string(), expected, origin }
                }
                (_, error) => error,
            });
        }
        match fault {
            Fault::RefusesItsDefault if config.value(STYLE.key()).is_some() && style == "plain" => {
                return Err(config.invalid(&STYLE, "another"));
            }
            Fault::RefusesForeignOptions if config.value("queue.size").is_some() => {
                return Err(ConfigError::Setup("queue.size is unknown".into()));
            }
            Fault::PanicsAtOddValues if limit > 1 << 60 => panic!("limit"),
            Fault::PanicsAtOddValues if limit == 0 => panic!("{}", 1 / limit),
            Fault::WritesAtOddValues if limit == 0 => place.push(Received::default()),
            Fault::BlamesOptionsWhileAway if place.behavior() == Behavior::BeAway => {
                return Err(config.invalid(&PLACE, "there"));
            }
            Fault::WritesAHeader => place.push(Received { name: "header".to_owned(), ..Received::default() }),
            Fault::TruncatesAtStart => place.received.lock().unwrap().clear(),
            _ => {}
        }
        Ok(Reporter { fault, place, held: Vec::new(), has_failed: AtomicBool::new(false), is_first: true })
    }

    fn docs(&self) -> &'static [OptionDoc] {
        const DOCS: [OptionDoc; 4] = [PLACE.doc(), LIMIT.doc(), TOKEN.doc(), STYLE.doc()];
        match self.fault {
            Fault::DeclaresTwice => const { &[PLACE.doc(), LIMIT.doc(), TOKEN.doc(), STYLE.doc(), LIMIT.doc()] },
            Fault::KeepsAnOptionToItself => const { &[LIMIT.doc(), TOKEN.doc(), STYLE.doc()] },
            _ => &DOCS,
        }
    }
}

impl TraceReporterFactory for Memory {
    fn create_trace_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn TraceReporter>, ConfigError> {
        Ok(Box::new(self.create(config)?))
    }

    fn options(&self) -> &'static [OptionDoc] {
        self.docs()
    }
}

impl EventReporterFactory for Memory {
    fn create_event_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn EventReporter>, ConfigError> {
        Ok(Box::new(self.create(config)?))
    }

    fn options(&self) -> &'static [OptionDoc] {
        self.docs()
    }
}

impl Place {
    fn push(&self, received: Received) {
        self.received.lock().unwrap().push(received);
    }

    fn behavior(&self) -> Behavior {
        self.behavior.lock().unwrap().unwrap_or(Behavior::Take)
    }
}

struct Reporter {
    fault: Fault,
    place: Arc<Place>,
    held: Vec<Received>,
    has_failed: AtomicBool,
    is_first: bool,
}

impl Reporter {
    fn deliver(&mut self, mut records: Vec<Received>, deadline: &Deadline) -> Result<(), ReportError> {
        let (fault, given) = (self.fault, records.len());
        let behavior = if self.has_failed.load(Ordering::Relaxed) && fault == Fault::KeepsFailing {
            Behavior::BeAway
        } else {
            self.place.behavior()
        };
        if deadline.is_over() && fault != Fault::HoldsBackUntilClosed {
            let count = if fault == Fault::CountsTooMany { given + 1 } else { given };
            return match fault {
                Fault::SaysOkWhenItIsLate => Ok(()),
                Fault::CountsNothing => Err(ReportError::from_dropped(0, true, "late")),
                _ => Err(ReportError::from_dropped(count, true, "late")),
            };
        }
        match behavior {
            Behavior::Refuse if fault == Fault::SaysLostWhenRefused => {
                return Err(ReportError::from_dropped(given, false, "refused"));
            }
            Behavior::Refuse if fault == Fault::HangsWhenRefused => loop {
                std::thread::park();
            },
            Behavior::Refuse => return Err(ReportError::from_rejected(given, "refused")),
            Behavior::BeAway => {
                self.has_failed.store(true, Ordering::Relaxed);
                match fault {
                    Fault::SaysOkWhileAway => return Ok(()),
                    Fault::SendsLostOnesLater => self.held.append(&mut records),
                    Fault::CountsAllThoughSomeArrived => self.place.push(records.swap_remove(0)),
                    _ => {}
                }
                return Err(ReportError::from_dropped(given, true, "away"));
            }
            _ => {}
        }
        match fault {
            Fault::LosesTheLast if given > 1 => records.truncate(given - 1),
            Fault::Doubles => records.extend(records.last().cloned()),
            Fault::Reverses if given > 50 => records.reverse(),
            Fault::CutsBatches => records.truncate(1_024),
            _ => {}
        }
        let is_held = match fault {
            Fault::HoldsBack => self.is_first,
            Fault::HoldsBackUntilClosed | Fault::HoldsBackUntilDropped => true,
            _ => false,
        };
        self.is_first = false;
        self.held.append(&mut records);
        if !is_held {
            self.place.received.lock().unwrap().append(&mut self.held);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), ReportError> {
        if self.fault != Fault::HoldsBackUntilDropped {
            self.place.received.lock().unwrap().append(&mut self.held);
        }
        match self.fault {
            Fault::FailsToClose => Err(ReportError::from_dropped(0, false, "stuck")),
            _ => Ok(()),
        }
    }

    fn received<'a>(
        &self,
        name: &str,
        moments: (i64, Option<i64>),
        is_standard: bool,
        attributes: impl Iterator<Item = (&'a str, ValueRef<'a>)>,
    ) -> Vec<Received> {
        let fault = self.fault;
        let mut name = name.to_owned();
        match fault {
            Fault::TrimsNames => name = name.trim().to_owned(),
            Fault::PanicsAtControls => assert!(!name.contains('\u{1b}')),
            Fault::PanicsAtUnsetTimes => assert!(moments.0 >= 0),
            _ => {}
        }
        let mut kept = BTreeMap::new();
        for (key, value) in attributes {
            let value = match value {
                ValueRef::String(text) if fault == Fault::CutsLongText => {
                    text.chars().take(1_000).collect::<String>().into()
                }
                ValueRef::String(text) => AttributeValue::from(text.to_owned()),
                ValueRef::Long(number) if fault == Fault::LosesTypes && key != "number" => (number as f64).into(),
                ValueRef::Long(number) => number.into(),
                ValueRef::Double(number) if fault == Fault::TakesDoublesForIntegers => (number as i64).into(),
                ValueRef::Double(number) if number.is_nan() && fault == Fault::PanicsAtNan => panic!("NaN"),
                ValueRef::Double(number) => number.into(),
                ValueRef::Bool(flag) => flag.into(),
            };
            let is_left_out = match fault {
                Fault::LosesVariables => key.starts_with('<'),
                Fault::KeepsFewAttributes => kept.len() >= 128,
                _ => false,
            };
            if !is_left_out {
                kept.insert(key.to_owned(), value);
            }
        }
        let shift = i64::from(fault == Fault::MovesTimes);
        let received = Received {
            name,
            attributes: kept,
            start_ts_millis: Some(moments.0.saturating_add(shift)),
            end_ts_millis: moments.1,
            ..Received::default()
        };
        let is_failed = received.attributes.contains_key("failureMessage");
        match fault {
            Fault::LosesWhatFailed if is_failed => Vec::new(),
            Fault::OmitsFailuresUnderFlink if !is_standard && received.name == "Failed" => Vec::new(),
            Fault::SplitsLines if received.name.contains('\n') => vec![received.clone(), received],
            _ => vec![received],
        }
    }

    fn tree(&self, span: SpanRef<'_>, depth: usize, all: &mut Vec<Received>) {
        let moments = (span.start_ts_millis(), Some(span.end_ts_millis()));
        let is_standard = span.failure().is_some();
        for received in self.received(span.name(), moments, is_standard, span.attributes()) {
            let parent = span.parent_span_id().map(|id| id.to_string());
            let parent = if self.fault == Fault::MixesParentsUp && depth == 2 { None } else { parent };
            all.push(Received { span_id: Some(span.span_id().to_string()), parent_span_id: parent, ..received });
        }
        let has_children = match self.fault {
            Fault::LosesChildren => false,
            Fault::LosesGrandchildren => depth == 0,
            _ => true,
        };
        if has_children {
            span.children().for_each(|child| self.tree(child, depth + 1, all));
        }
    }
}

impl TraceReporter for Reporter {
    fn report(&mut self, spans: &[ReportedSpan], deadline: &Deadline) -> Result<(), ReportError> {
        let mut records = Vec::new();
        spans.iter().for_each(|span| self.tree(span.root(), 0, &mut records));
        self.deliver(records, deadline)
    }

    fn close(self: Box<Self>, _: &Deadline) -> Result<(), ReportError> {
        self.finish()
    }
}

impl EventReporter for Reporter {
    fn report(&mut self, events: &[ReportedEvent], deadline: &Deadline) -> Result<(), ReportError> {
        let mut records = Vec::new();
        for event in events {
            let severity = event.severity();
            if self.fault == Fault::LosesUnknownSeverities && severity == "severe" {
                continue;
            }
            for received in self.received(event.name(), (event.ts_millis(), None), false, event.attributes()) {
                let body = if self.fault == Fault::LosesBodies { "" } else { event.body() };
                let (severity, body) = (Some(severity.to_owned()), Some(body.to_owned()));
                records.push(Received { severity, body, ..received });
            }
        }
        self.deliver(records, deadline)
    }

    fn close(self: Box<Self>, _: &Deadline) -> Result<(), ReportError> {
        self.finish()
    }
}

#[test]
fn correct_reporter_passes() {
    for result in Memory::new(Fault::None).check(None) {
        result.unwrap();
    }
    let unknown = Memory::new(Fault::None).check(Some("nobody's"))[0].clone().unwrap_err();
    assert_eq!(unknown.to_string(), "the reporter breaks 1 of 22 rules\n  nobody's: there is no such rule");
}

// Scenario: the suite checks each fault with spans and with events.
// Guarantees: the expected rule catches it, and each rule catches a fault.
#[test]
fn faulty_reporter_breaks_the_expected_rule() {
    const BOTH: [bool; 2] = [true, true];
    const SPANS: [bool; 2] = [true, false];
    const EVENTS: [bool; 2] = [false, true];
    let cases = [
        (Fault::DeclaresTwice, "each option is declared", BOTH),
        (Fault::KeepsAnOptionToItself, "each option is declared", BOTH),
        (Fault::RefusesItsDefault, "each option is declared", BOTH),
        (Fault::RefusesForeignOptions, "options of others", BOTH),
        (Fault::NamesAnotherAsMissing, "an option that is missing", BOTH),
        (Fault::TakesWrongValues, "a value that is wrong", BOTH),
        (Fault::NamesAnotherAsWrong, "a value that is wrong", BOTH),
        (Fault::ShowsSecrets, "a value that is wrong", BOTH),
        (Fault::PanicsAtOddValues, "no value of an option", BOTH),
        (Fault::WritesAtOddValues, "no value of an option", BOTH),
        (Fault::WritesAHeader, "nothing reported", BOTH),
        (Fault::LosesTheLast, "what is reported has arrived", BOTH),
        (Fault::Doubles, "what is reported has arrived", BOTH),
        (Fault::HoldsBack, "what is reported has arrived", BOTH),
        (Fault::HoldsBackUntilClosed, "what is reported has arrived", BOTH),
        (Fault::Reverses, "what is reported has arrived", BOTH),
        (Fault::LosesChildren, "children arrive", SPANS),
        (Fault::LosesGrandchildren, "children arrive", SPANS),
        (Fault::MixesParentsUp, "children arrive", SPANS),
        (Fault::LosesTypes, "attributes of every type", BOTH),
        (Fault::LosesVariables, "attributes of every type", BOTH),
        (Fault::TakesDoublesForIntegers, "attributes of every type", BOTH),
        (Fault::KeepsFewAttributes, "attributes of every type", BOTH),
        (Fault::CutsLongText, "attributes of every type", BOTH),
        (Fault::PanicsAtNan, "attributes of every type", BOTH),
        (Fault::SplitsLines, "text is text", BOTH),
        (Fault::TrimsNames, "text is text", BOTH),
        (Fault::PanicsAtControls, "text is text", BOTH),
        (Fault::PanicsAtUnsetTimes, "no timestamp is too odd", BOTH),
        (Fault::MovesTimes, "what is reported has arrived", BOTH),
        (Fault::LosesUnknownSeverities, "events of every severity", EVENTS),
        (Fault::LosesBodies, "events of every severity", EVENTS),
        (Fault::LosesWhatFailed, "failures, links", BOTH),
        (Fault::CutsBatches, "a batch of thousands", BOTH),
        (Fault::OmitsFailuresUnderFlink, "nothing is lost under compatibility", BOTH),
        (Fault::TruncatesAtStart, "the next reporter adds", BOTH),
        (Fault::HoldsBackUntilDropped, "a reporter that is dropped", BOTH),
        (Fault::FailsToClose, "what is reported has arrived", BOTH),
        (Fault::SaysOkWhenItIsLate, "when the deadline is over", BOTH),
        (Fault::CountsTooMany, "when the deadline is over", BOTH),
        (Fault::CountsNothing, "when the deadline is over", BOTH),
        (Fault::SaysOkWhileAway, "a destination that is away costs", BOTH),
        (Fault::CountsAllThoughSomeArrived, "a destination that is away costs", BOTH),
        (Fault::KeepsFailing, "a destination that is away costs", BOTH),
        (Fault::SendsLostOnesLater, "close after a failure", BOTH),
        (Fault::SaysLostWhenRefused, "what a destination refuses", BOTH),
        (Fault::BlamesOptionsWhileAway, "a destination that is away is no reason", BOTH),
    ];
    let mut caught_by = BTreeSet::new();
    for (fault, begin, is_broken) in cases {
        let rule = conformance::rules().find(|rule| rule.starts_with(begin)).unwrap();
        caught_by.insert(rule);
        for (result, is_broken) in Memory::new(fault).check(Some(rule)).into_iter().zip(is_broken) {
            assert_eq!(result.is_err(), is_broken, "{fault:?}: {result:?}");
        }
    }
    let all: BTreeSet<_> = conformance::rules().collect();
    assert_eq!(caught_by, all, "each rule has caught something");
}

#[test]
fn hanging_reporter_is_abandoned() {
    let memory = Memory::new(Fault::HangsWhenRefused);
    let places = memory.clone();
    let suite = Conformance::new(move || places.new_destination()).patience(Duration::from_millis(500));
    let breaches = suite.check_events(Arc::new(memory)).unwrap_err();
    // On a busy machine, other rules may time out, too.
    let shown = "\n  what a destination refuses is counted as rejected: did not return within 500ms";
    assert!(breaches.to_string().contains(shown), "{breaches}");
}

#[test]
fn documentation_lists_every_rule() {
    let documentation = include_str!("../../src/conformance/mod.rs");
    let listed =
        documentation.lines().filter_map(|line| line.strip_prefix("//! - ")).take(conformance::rules().count());
    assert!(listed.eq(conformance::rules()));
}
