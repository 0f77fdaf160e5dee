//! Scripted reporters behind a real dispatcher, and the account that every test asserts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use flink_traces_api::{
    ConfigError, Deadline, Event, EventReporter, EventReporterFactory, OptionDoc, Registry, ReportError, ReportedEvent,
    ReportedSpan, ReporterConfig, Signal, Span, SpanBuilder, SystemClock, TraceReporter, TraceReporterFactory,
};
use flink_traces_runtime::dispatch::DropReason;
use flink_traces_runtime::{Configuration, Dispatcher, MetricGroup, Problem, ReporterStats, discover};

/// The `factory.class` of the scripted reporters.
pub(crate) const CLASS: &str = "scripted";
/// Longer than anything that happens in a test.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// One batch of a reporter.
pub(crate) struct Batch {
    pub(crate) names: Vec<String>,
    pub(crate) trace_ids: Vec<String>,
    pub(crate) units: u64,
}

type Report = Box<dyn FnMut(&Batch, &Deadline) -> Result<(), ReportError> + Send>;
type Close = Box<dyn FnOnce(&Deadline) -> Result<(), ReportError> + Send>;
type Create = Box<dyn FnOnce() -> Result<(), ConfigError> + Send>;

/// One reporter: its configuration and its behavior. By default, it delivers everything.
pub(crate) struct Script {
    signal: Signal,
    name: &'static str,
    options: Vec<(&'static str, String)>,
    create: Create,
    report: Report,
    close: Close,
    on_drop: Option<Box<dyn FnOnce() + Send>>,
    destination: Arc<Destination>,
}

impl Script {
    fn new(signal: Signal, name: &'static str) -> Self {
        Self {
            signal,
            name,
            options: vec![("factory.class", CLASS.to_owned())],
            create: Box::new(|| Ok(())),
            report: Box::new(|_, _| Ok(())),
            close: Box::new(|_| Ok(())),
            on_drop: None,
            destination: Arc::default(),
        }
    }

    pub(crate) fn traces(name: &'static str) -> Self {
        Self::new(Signal::Traces, name)
    }

    pub(crate) fn events(name: &'static str) -> Self {
        Self::new(Signal::Events, name)
    }

    pub(crate) fn option(mut self, key: &'static str, value: impl ToString) -> Self {
        self.options.push((key, value.to_string()));
        self
    }

    pub(crate) fn create(mut self, create: impl FnOnce() -> Result<(), ConfigError> + Send + 'static) -> Self {
        self.create = Box::new(create);
        self
    }

    pub(crate) fn report(
        mut self,
        report: impl FnMut(&Batch, &Deadline) -> Result<(), ReportError> + Send + 'static,
    ) -> Self {
        self.report = Box::new(report);
        self
    }

    pub(crate) fn close(mut self, close: impl FnOnce(&Deadline) -> Result<(), ReportError> + Send + 'static) -> Self {
        self.close = Box::new(close);
        self
    }

    pub(crate) fn on_drop(mut self, on_drop: impl FnOnce() + Send + 'static) -> Self {
        self.on_drop = Some(Box::new(on_drop));
        self
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.destination.lock().is_gone = true;
        self.destination.changed.notify_all();
        if let Some(on_drop) = self.on_drop.take() {
            on_drop();
        }
    }
}

/// The counts of one reporter, from its own point of view.
#[derive(Default)]
pub(crate) struct Destination {
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Clone, Default)]
pub(crate) struct Seen {
    /// The names of the roots and events of all batches, in order.
    pub(crate) names: Vec<String>,
    pub(crate) trace_ids: Vec<String>,
    /// The number of records and of units of each batch.
    pub(crate) batches: Vec<(usize, u64)>,
    /// The units of the batches for which `report` returned.
    pub(crate) answered: u64,
    /// The units that arrived.
    pub(crate) arrived: u64,
    pub(crate) closes: usize,
    pub(crate) is_gone: bool,
}

impl Destination {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    pub(crate) fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// Waits until `condition` holds.
    pub(crate) fn wait(&self, condition: impl Fn(&Seen) -> bool) -> Seen {
        let waited = self.changed.wait_timeout_while(self.lock(), LONG, |seen| !condition(seen)).unwrap();
        assert!(!waited.1.timed_out(), "what the test waits for does not happen");
        waited.0.clone()
    }

    fn update(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }
}

impl Script {
    fn run(&mut self, batch: &Batch, deadline: &Deadline) -> Result<(), ReportError> {
        self.destination.update(|seen| {
            seen.batches.push((batch.names.len(), batch.units));
            seen.names.extend_from_slice(&batch.names);
            seen.trace_ids.extend_from_slice(&batch.trace_ids);
        });
        let result = (self.report)(batch, deadline);
        let missing = result.as_ref().err().map_or(0, |error| error.rejected().saturating_add(error.dropped()));
        self.destination.update(|seen| {
            seen.answered += batch.units;
            seen.arrived += batch.units.saturating_sub(missing as u64);
        });
        result
    }

    fn end(mut self, deadline: &Deadline) -> Result<(), ReportError> {
        self.destination.update(|seen| seen.closes += 1);
        std::mem::replace(&mut self.close, Box::new(|_| Ok(())))(deadline)
    }
}

impl TraceReporter for Script {
    fn report(&mut self, spans: &[ReportedSpan], deadline: &Deadline) -> Result<(), ReportError> {
        let batch = Batch {
            names: spans.iter().map(|span| span.root().name().to_owned()).collect(),
            trace_ids: spans.iter().map(|span| span.root().trace_id().to_string()).collect(),
            units: spans.iter().map(|span| span.span_count() as u64).sum(),
        };
        self.run(&batch, deadline)
    }

    fn close(self: Box<Self>, deadline: &Deadline) -> Result<(), ReportError> {
        self.end(deadline)
    }
}

impl EventReporter for Script {
    fn report(&mut self, events: &[ReportedEvent], deadline: &Deadline) -> Result<(), ReportError> {
        let names: Vec<_> = events.iter().map(|event| event.name().to_owned()).collect();
        self.run(&Batch { units: names.len() as u64, names, trace_ids: Vec::new() }, deadline)
    }

    fn close(self: Box<Self>, deadline: &Deadline) -> Result<(), ReportError> {
        self.end(deadline)
    }
}

/// A factory that gives each script to the reporter of its name.
#[derive(Clone)]
struct Factory(Arc<Mutex<BTreeMap<&'static str, Script>>>);

impl Factory {
    fn make(&self, config: &ReporterConfig) -> Result<Box<Script>, ConfigError> {
        let script = self.0.lock().unwrap().remove(config.name());
        let mut script = Box::new(script.unwrap());
        std::mem::replace(&mut script.create, Box::new(|| Ok(())))().map(|()| script)
    }
}

impl TraceReporterFactory for Factory {
    fn create_trace_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn TraceReporter>, ConfigError> {
        Ok(self.make(config)?)
    }

    fn options(&self) -> &'static [OptionDoc] {
        &[]
    }
}

impl EventReporterFactory for Factory {
    fn create_event_reporter(&self, config: &ReporterConfig) -> Result<Box<dyn EventReporter>, ConfigError> {
        Ok(self.make(config)?)
    }

    fn options(&self) -> &'static [OptionDoc] {
        &[]
    }
}

/// Creates a registry in which [`CLASS`] creates the reporters of `scripts`.
pub(crate) fn registry(scripts: impl IntoIterator<Item = Script>) -> Registry {
    let scripts = scripts.into_iter().map(|script| (script.name, script)).collect();
    let factory = Factory(Arc::new(Mutex::new(scripts)));
    let mut registry = Registry::new();
    registry.register_trace(CLASS, factory.clone()).unwrap();
    registry.register_event(CLASS, factory).unwrap();
    registry
}

/// A dispatcher with scripted reporters.
pub(crate) struct Harness {
    pub(crate) dispatcher: Dispatcher,
    pub(crate) group: MetricGroup,
    pub(crate) problems: Vec<Problem>,
    pub(crate) destinations: BTreeMap<&'static str, Arc<Destination>>,
    offered_spans: AtomicU64,
    offered_events: AtomicU64,
}

impl Harness {
    pub(crate) fn start(scripts: impl IntoIterator<Item = Script>) -> Self {
        let scripts: Vec<_> = scripts.into_iter().collect();
        let destinations = scripts.iter().map(|script| (script.name, script.destination.clone())).collect();
        let pairs = scripts.iter().flat_map(|script| {
            let prefix = format!("{}.reporter.{}", script.signal, script.name);
            script.options.iter().map(move |(key, value)| (format!("{prefix}.{key}"), value.clone()))
        });
        let pairs: Vec<_> = pairs.collect();
        let configuration = Configuration::from_pairs(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())));

        let registry = registry(scripts);
        let (setups, problems) = discover(&configuration, &registry);
        assert_eq!(problems, []);
        let (dispatcher, problems) = Dispatcher::start(setups, &registry, Arc::new(SystemClock), ".");
        let group = MetricGroup::job_manager(&dispatcher, "localhost");
        Self { dispatcher, group, problems, destinations, offered_spans: 0.into(), offered_events: 0.into() }
    }

    /// Adds a tree of `units` spans.
    pub(crate) fn add_span(&self, name: &str, units: u64) {
        self.add(tree(name, units), units);
    }

    /// Adds a tree, which has `units` spans.
    pub(crate) fn add(&self, span: SpanBuilder, units: u64) {
        self.offered_spans.fetch_add(units, Ordering::Relaxed);
        self.group.add_span(span);
    }

    pub(crate) fn add_spans(&self, count: usize) {
        (0..count).for_each(|_| self.add_span("span", 1));
    }

    pub(crate) fn add_event(&self, name: &str) {
        self.offered_events.fetch_add(1, Ordering::Relaxed);
        self.group.add_event(Event::builder("scope", name.to_owned()));
    }

    pub(crate) fn destination(&self, name: &str) -> &Destination {
        &self.destinations[name]
    }

    /// Returns the account of the reporter `name`. See [`accounts`](Self::accounts).
    pub(crate) fn account(&self, name: &str) -> ReporterStats {
        self.accounts().into_iter().find(|stats| stats.name == name).unwrap()
    }

    /// Returns the accounts when every reporter is idle or within a call.
    ///
    /// Each account balances, contains every added record once, and agrees with the reporter's own
    /// counts.
    pub(crate) fn accounts(&self) -> Vec<ReporterStats> {
        let accounts = self.dispatcher.stats();
        for stats in &accounts {
            let offered = match stats.signal {
                Signal::Traces => &self.offered_spans,
                Signal::Events => &self.offered_events,
            };
            let seen = self.destination(&stats.name).seen();
            let dropped: u64 = stats.dropped.values().sum();
            let held: u64 = seen.batches.iter().map(|(_, units)| units).sum::<u64>() - seen.answered;
            assert_eq!(stats.emitted, stats.delivered + stats.rejected + dropped + stats.queued, "{stats}");
            assert_eq!(stats.emitted + stats.filtered, offered.load(Ordering::Relaxed), "{stats}");
            assert_eq!(stats.delivered, seen.arrived, "{stats}");
            let given_up = stats.dropped_by(DropReason::GivenUp);
            assert_eq!(stats.delivered + stats.rejected + given_up, seen.answered, "{stats}");
            assert!(stats.queued + stats.dropped_by(DropReason::Panicked) >= held, "{stats}");
        }
        accounts
    }

    /// Shuts down and returns the accounts.
    pub(crate) fn finish(&self, within: Duration) -> Vec<ReporterStats> {
        let told = self.dispatcher.shutdown(within);
        assert_eq!(told, self.accounts());
        told
    }
}

/// Returns a tree of `units` spans.
pub(crate) fn tree(name: &str, units: u64) -> SpanBuilder {
    Span::builder("scope", name.to_owned()).children((1..units).map(|_| Span::builder("scope", "child")))
}

/// Returns the memory that the queue counts for a tree.
pub(crate) fn memory_of(tree: SpanBuilder) -> u64 {
    ReportedSpan::new(Arc::new(tree.build(&SystemClock)), Arc::default()).memory_bytes() as u64
}

/// A gate that stops a reporter until the test opens it.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<Passages>, Condvar)>);

#[derive(Default)]
struct Passages {
    arrived: usize,
    allowed: usize,
}

impl Gate {
    /// Stops the calling reporter at the gate.
    pub(crate) fn pass(&self) {
        let (passages, changed) = &*self.0;
        let mut passages = passages.lock().unwrap();
        passages.arrived += 1;
        let number = passages.arrived;
        changed.notify_all();
        let waited = changed.wait_timeout_while(passages, LONG, |passages| passages.allowed < number).unwrap();
        assert!(!waited.1.timed_out(), "nobody opens the gate");
    }

    /// Waits until the reporter is at the gate for the `number`th time, from 1.
    pub(crate) fn wait_for(&self, number: usize) {
        let (passages, changed) = &*self.0;
        let waited = changed.wait_timeout_while(passages.lock().unwrap(), LONG, |passages| passages.arrived < number);
        assert!(!waited.unwrap().1.timed_out(), "nobody comes to the gate");
    }

    /// Lets the reporter pass until it has passed `number` times.
    pub(crate) fn let_pass(&self, number: usize) {
        self.0.0.lock().unwrap().allowed = number;
        self.0.1.notify_all();
    }

    pub(crate) fn open(&self) {
        self.let_pass(usize::MAX);
    }
}
