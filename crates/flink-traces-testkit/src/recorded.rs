//! A reporting that records in memory, and the records as tests read them.

use std::fmt;
use std::ops::{Deref, Index};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flink_traces_api::{
    AttributeValue, ConfigError, Deadline, EventReporter, EventReporterFactory, OptionDoc, ReportError, ReportedEvent,
    ReportedSpan, ReporterBuilder, ReporterConfig, ReporterDeclaration, SpanContext, SpanId, SpanRef, Timestamp,
    TraceId, TraceReporter, TraceReporterFactory, ValueRef, strip_angle_brackets,
};
use flink_traces_runtime::config::SpanDetailLevel;
use flink_traces_runtime::reporting::ReportingBuilder;
use flink_traces_runtime::{Dispatcher, Reporting};

use crate::ManualClock;

/// The `factory.class` of the recording reporters.
const CLASS: &str = "recorded";
/// The time in which everything that was added must have been recorded.
const WITHIN: Duration = Duration::from_secs(60);

/// Starts a reporting that records in memory, with a clock that the test moves.
///
/// Spans have all children, unless [`in_memory_with`] sets another level.
///
/// # Examples
///
/// The unit test of an engine:
///
/// ```
/// use std::time::Duration;
///
/// use flink_traces_runtime::Reporting;
/// use flink_traces_runtime::checkpoint::{CheckpointType, TrackerError};
/// use flink_traces_runtime::job::JobVertex;
/// use flink_traces_testkit::in_memory;
///
/// fn run_my_engine(reporting: &Reporting) -> Result<(), TrackerError> {
///     let job = reporting.job("0a4480b1aa43ca25b4801a22462f387a", "orders");
///     job.trigger(2, CheckpointType::Checkpoint, [JobVertex::new("a0", "map", 1)])?;
///     job.checkpoint(2).expire()
/// }
///
/// let (reporting, recorded) = in_memory();
/// run_my_engine(&reporting)?;
/// let failed = recorded.spans().named("Checkpoint").with("checkpointId", 2).one();
/// assert_eq!(failed["checkpointStatus"], "FAILED");
/// assert_eq!(failed.children().names(), ["Checkpoint_Task"]);
/// assert_eq!(recorded.events().names(), ["CheckpointEvent"]);
/// # Ok::<(), TrackerError>(())
/// ```
///
/// # Panics
///
/// Panics if no thread can be started.
pub fn in_memory() -> (Reporting, Recorded) {
    in_memory_with(|builder| builder)
}

/// Starts a reporting that records in memory, after `configure` has changed its builder.
///
/// # Panics
///
/// Panics with all problems if the reporting cannot be started.
pub fn in_memory_with(configure: impl FnOnce(ReportingBuilder) -> ReportingBuilder) -> (Reporting, Recorded) {
    let mut recorded = Recorded::default();
    let builder = Reporting::builder()
        .clock(recorded.clock.clone())
        .reporter(recorded.clone())
        .span_detail_level(SpanDetailLevel::ChildrenSpansPerSubtask);
    match configure(builder).start() {
        Ok(reporting) => {
            recorded.dispatcher = Some(reporting.dispatcher().clone());
            (reporting, recorded)
        }
        Err(problems) => panic!("the reporting cannot be started:\n{problems}"),
    }
}

/// The records of a reporting, in the order of their arrival. All clones share them.
///
/// It is also a reporter for a [`ReportingBuilder`] of your own. Flush that reporting before you
/// read, because only [`in_memory`] and [`in_memory_with`] do so by themselves.
#[derive(Clone)]
pub struct Recorded {
    store: Arc<Mutex<Store>>,
    clock: ManualClock,
    dispatcher: Option<Dispatcher>,
    declaration: ReporterDeclaration,
}

#[derive(Default)]
struct Store {
    spans: Vec<ReportedSpan>,
    events: Vec<ReportedEvent>,
}

impl Default for Recorded {
    fn default() -> Self {
        let store = Arc::new(Mutex::new(Store::default()));
        let declaration = ReporterDeclaration::new(CLASS)
            .traces(CLASS, Recorder(store.clone()))
            .events(CLASS, Recorder(store.clone()));
        Self { store, clock: ManualClock::default(), dispatcher: None, declaration }
    }
}

impl Recorded {
    /// Returns the clock of the reporting.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// Returns the spans that were added before the call, as trees.
    ///
    /// # Panics
    ///
    /// Panics if a reporter delays them for a minute.
    #[track_caller]
    pub fn spans(&self) -> Records<RecordedSpan> {
        self.flush();
        Records(self.lock().spans.iter().map(|span| RecordedSpan::new(span.root())).collect())
    }

    /// Returns the events that were added before the call.
    ///
    /// # Panics
    ///
    /// Panics if a reporter delays them for a minute.
    #[track_caller]
    pub fn events(&self) -> Records<RecordedEvent> {
        self.flush();
        Records(self.lock().events.iter().map(RecordedEvent::new).collect())
    }

    /// Forgets everything that was added before the call.
    pub fn clear(&self) {
        self.flush();
        *self.lock() = Store::default();
    }

    #[track_caller]
    fn flush(&self) {
        if let Some(dispatcher) = &self.dispatcher {
            assert!(dispatcher.flush(WITHIN), "some records are still queued");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReporterBuilder for Recorded {
    fn declaration(&mut self) -> &mut ReporterDeclaration {
        &mut self.declaration
    }
}

/// The factory of both reporters, and the reporters.
#[derive(Clone)]
struct Recorder(Arc<Mutex<Store>>);

impl TraceReporterFactory for Recorder {
    fn create_trace_reporter(&self, _: &ReporterConfig) -> Result<Box<dyn TraceReporter>, ConfigError> {
        Ok(Box::new(self.clone()))
    }

    fn options(&self) -> &'static [OptionDoc] {
        &[]
    }
}

impl EventReporterFactory for Recorder {
    fn create_event_reporter(&self, _: &ReporterConfig) -> Result<Box<dyn EventReporter>, ConfigError> {
        Ok(Box::new(self.clone()))
    }

    fn options(&self) -> &'static [OptionDoc] {
        &[]
    }
}

impl TraceReporter for Recorder {
    fn report(&mut self, spans: &[ReportedSpan], _: &Deadline) -> Result<(), ReportError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).spans.extend_from_slice(spans);
        Ok(())
    }
}

impl EventReporter for Recorder {
    fn report(&mut self, events: &[ReportedEvent], _: &Deadline) -> Result<(), ReportError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).events.extend_from_slice(events);
        Ok(())
    }
}

/// A recorded span or event.
pub trait Record: fmt::Display + Clone {
    /// Returns the name.
    fn name(&self) -> &str;

    /// Returns the value of an attribute.
    fn attribute(&self, key: &str) -> Option<&AttributeValue>;
}

/// Recorded spans or events, in order. It derefs to a slice, and its text lists all of them.
#[derive(Debug, Clone)]
pub struct Records<R>(Vec<R>);

impl<R: Record> Records<R> {
    /// Returns those with that name.
    #[must_use]
    pub fn named(&self, name: &str) -> Self {
        self.filter(|record| record.name() == name)
    }

    /// Returns those whose attribute `key` has that value.
    #[must_use]
    pub fn with(&self, key: &str, value: impl Into<AttributeValue>) -> Self {
        let value = value.into();
        self.filter(|record| record.attribute(key) == Some(&value))
    }

    /// Returns the only one.
    ///
    /// # Panics
    ///
    /// Panics with a list of all of them if there is not exactly one.
    #[track_caller]
    pub fn one(&self) -> R {
        match self.0.as_slice() {
            [one] => one.clone(),
            all => panic!("expected one record, found {}:\n{self}", all.len()),
        }
    }

    /// Returns the names, in order.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(Record::name).collect()
    }

    fn filter(&self, wanted: impl Fn(&R) -> bool) -> Self {
        Self(self.0.iter().filter(|record| wanted(record)).cloned().collect())
    }
}

impl<R> Deref for Records<R> {
    type Target = [R];

    fn deref(&self) -> &[R] {
        &self.0
    }
}

impl<R> IntoIterator for Records<R> {
    type Item = R;
    type IntoIter = std::vec::IntoIter<R>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<R: fmt::Display> fmt::Display for Records<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|record| writeln!(f, "{record}"))
    }
}

/// A recorded span with its children.
///
/// `span["key"]` is the value of an attribute. Variables of the metric group are attributes, too.
#[derive(Debug, Clone)]
pub struct RecordedSpan {
    name: String,
    scope: String,
    start: Timestamp,
    end: Timestamp,
    attributes: Vec<(String, AttributeValue)>,
    trace_id: TraceId,
    span_id: SpanId,
    failure: Option<String>,
    parent_span_id: Option<SpanId>,
    links: Vec<SpanContext>,
    children: Records<RecordedSpan>,
}

impl RecordedSpan {
    fn new(span: SpanRef<'_>) -> Self {
        Self {
            name: span.name().to_owned(),
            scope: span.scope().to_owned(),
            start: Timestamp::from_millis(span.start_ts_millis()),
            end: Timestamp::from_millis(span.end_ts_millis()),
            attributes: attributes(span.attributes()),
            trace_id: span.trace_id(),
            span_id: span.span_id(),
            failure: span.failure().map(|failure| failure.message.clone()),
            parent_span_id: span.parent_span_id(),
            links: span.links().collect(),
            children: Records(span.children().map(RecordedSpan::new).collect()),
        }
    }

    /// Returns the class that reported the span.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Returns the start.
    pub fn start(&self) -> Timestamp {
        self.start
    }

    /// Returns the end.
    pub fn end(&self) -> Timestamp {
        self.end
    }

    /// Returns the time from the start to the end; zero if the end is before the start.
    pub fn duration(&self) -> Duration {
        let millis = self.end.as_millis().saturating_sub(self.start.as_millis());
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }

    /// Returns the attributes, in order. Variables have no angle brackets.
    pub fn attributes(&self) -> &[(String, AttributeValue)] {
        &self.attributes
    }

    /// Returns the id of the trace.
    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// Returns the id of the span.
    pub fn span_id(&self) -> SpanId {
        self.span_id
    }

    /// Returns the message of the failure, if the span failed.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Returns the id of the parent. That of a root is in another trace.
    pub fn parent_span_id(&self) -> Option<SpanId> {
        self.parent_span_id
    }

    /// Returns the ids of the linked spans.
    pub fn links(&self) -> &[SpanContext] {
        &self.links
    }

    /// Returns the children, in order.
    pub fn children(&self) -> &Records<RecordedSpan> {
        &self.children
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        let millis = self.duration().as_millis();
        write!(f, "{:indent$}{} {millis} ms{}", "", self.name, Pairs(&self.attributes), indent = 2 * depth)?;
        if let Some(failure) = &self.failure {
            write!(f, " failure={failure:?}")?;
        }
        for child in self.children.iter() {
            writeln!(f)?;
            child.write(f, depth + 1)?;
        }
        Ok(())
    }
}

impl Record for RecordedSpan {
    fn name(&self) -> &str {
        &self.name
    }

    fn attribute(&self, key: &str) -> Option<&AttributeValue> {
        find(&self.attributes, key)
    }
}

impl Index<&str> for RecordedSpan {
    type Output = AttributeValue;

    #[track_caller]
    fn index(&self, key: &str) -> &AttributeValue {
        self.attribute(key).unwrap_or_else(|| panic!("no attribute {key:?} in:\n{self}"))
    }
}

/// Formats the span with its attributes, and each descendant in a line of its own.
impl fmt::Display for RecordedSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

/// A recorded event. `event["key"]` is the value of an attribute.
#[derive(Debug, Clone)]
pub struct RecordedEvent {
    name: String,
    scope: String,
    time: Timestamp,
    severity: String,
    body: String,
    attributes: Vec<(String, AttributeValue)>,
}

impl RecordedEvent {
    fn new(event: &ReportedEvent) -> Self {
        Self {
            name: event.name().to_owned(),
            scope: event.scope().to_owned(),
            time: Timestamp::from_millis(event.ts_millis()),
            severity: event.severity().to_owned(),
            body: event.body().to_owned(),
            attributes: attributes(event.attributes()),
        }
    }

    /// Returns the class that reported the event.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Returns the time at which it happened.
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// Returns the severity.
    pub fn severity(&self) -> &str {
        &self.severity
    }

    /// Returns the text.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Returns the attributes, in order. Variables have no angle brackets.
    pub fn attributes(&self) -> &[(String, AttributeValue)] {
        &self.attributes
    }
}

impl Record for RecordedEvent {
    fn name(&self) -> &str {
        &self.name
    }

    fn attribute(&self, key: &str) -> Option<&AttributeValue> {
        find(&self.attributes, key)
    }
}

impl Index<&str> for RecordedEvent {
    type Output = AttributeValue;

    #[track_caller]
    fn index(&self, key: &str) -> &AttributeValue {
        self.attribute(key).unwrap_or_else(|| panic!("no attribute {key:?} in:\n{self}"))
    }
}

impl fmt::Display for RecordedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:?}{}", self.name, self.severity, self.body, Pairs(&self.attributes))
    }
}

struct Pairs<'a>(&'a [(String, AttributeValue)]);

impl fmt::Display for Pairs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(key, value)| write!(f, " {key}={}", ValueRef::from(value)))
    }
}

fn attributes<'a>(attributes: impl Iterator<Item = (&'a str, ValueRef<'a>)>) -> Vec<(String, AttributeValue)> {
    attributes.map(|(key, value)| (strip_angle_brackets(key).to_owned(), value.into())).collect()
}

fn find<'a>(attributes: &'a [(String, AttributeValue)], key: &str) -> Option<&'a AttributeValue> {
    attributes.iter().find(|(known, _)| known == key).map(|(_, value)| value)
}
