//! The dispatcher, which copies records from metric groups to the queues of all reporters.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flink_traces_api::{
    Clock, Compatibility, ConfigError, Event, EventBuilder, Identity, RECORD_UID, Receipt, Registry, ReportContext,
    ReportedEvent, ReportedSpan, Signal, Span, SpanBuilder, Text,
};

use super::queue::{AnyQueue, Capacity, QueueItem, Reporter, ReporterQueue};
use super::stats::ReporterStats;
use crate::config::{DetailFor, Problem, ReporterSetup, SpanDetailLevel};
use crate::extension::OBSERVATION_EVENT;

/// The time in which a factory must create a reporter. A factory that hangs must not hang the
/// program.
const START_WITHIN: Duration = Duration::from_secs(30);
/// The time that a reporter has to return after its deadline.
const GRACE: Duration = Duration::from_secs(1);

/// Copies each record to the queues of all reporters whose filters pass it.
///
/// Each reporter has a bounded queue and a worker thread, so adding a record never waits, and no
/// reporter delays another. An idle reporter gets a record within 20 ms, together with the others
/// of that time. [`MetricGroup`](crate::MetricGroup)s add records. [`stats`](Self::stats) returns
/// the accounts, and [`shutdown`](Self::shutdown) ends all reporters.
///
/// A dispatcher is a cheap handle that any thread can use. Clones share the queues, and every
/// metric group holds a clone. If the last clone is dropped without a shutdown, the drop gives the
/// reporters one second and waits for it.
///
/// It is the trace and event half of Flink's `MetricRegistryImpl`. Flink calls the reporters on the
/// thread that reports, and never closes them.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use flink_traces_api::{Registry, Span, SystemClock};
/// use flink_traces_runtime::{Configuration, Dispatcher, MetricGroup, discover};
///
/// let mut registry = Registry::new();
/// flink_traces_log::register(&mut registry);
/// let configuration = Configuration::from_pairs([(
///     "traces.reporter.log.factory.class",
///     "org.apache.flink.traces.slf4j.Slf4jTraceReporterFactory",
/// )]);
/// let (setups, problems) = discover(&configuration, &registry);
/// assert!(problems.is_empty());
/// let (dispatcher, problems) = Dispatcher::start(setups, &registry, Arc::new(SystemClock), ".");
/// assert!(problems.is_empty());
///
/// MetricGroup::job_manager(&dispatcher, "host-1")
///     .add_span(Span::builder("com.example.Engine", "Startup"));
///
/// for reporter in dispatcher.shutdown(Duration::from_secs(10)) {
///     assert_eq!((reporter.emitted, reporter.delivered), (1, 1));
/// }
/// ```
#[derive(Clone)]
pub struct Dispatcher(Arc<Inner>);

struct Inner {
    traces: Vec<ReporterHandle<ReportedSpan>>,
    events: Vec<ReporterHandle<ReportedEvent>>,
    clock: Arc<dyn Clock>,
    scope_delimiter: String,
    /// The prefix of identities of records that have none. It is random for each process.
    anonymous: Identity,
    anonymous_records: AtomicU64,
    journal: Option<Arc<dyn Journal>>,
}

/// A list of the records that all reporters are done with, which outlives the process.
///
/// A dispatcher [with a journal](Dispatcher::start_with_journal) adds each record that every
/// reporter delivered, stored or rejected, and does not report it again. A key has eight bytes of
/// the job and eight bytes of the record.
pub trait Journal: Send + Sync {
    /// Returns `true` if the record was reported by an earlier process.
    fn is_known(&self, key: [u8; 16]) -> bool;

    /// Adds a record. Called on the threads of reporters, so it must not block.
    fn add(&self, key: [u8; 16]);
}

/// A reporter's queue and its setup, which says what enters the queue.
struct ReporterHandle<R: QueueItem> {
    setup: ReporterSetup,
    queue: ReporterQueue<R>,
}

/// The cluster that the records of a metric group are about.
pub(crate) struct Source {
    /// Its name, which the reporters' option `clusters` matches.
    pub(crate) cluster: String,
    /// Its resource attributes.
    pub(crate) resource: Arc<[(String, String)]>,
}

/// The properties of a metric group that decide whether a reporter gets its records.
#[derive(Clone, Copy)]
pub(crate) struct GroupScope<'a> {
    pub(crate) logical_scope: &'a str,
    pub(crate) is_closed: bool,
}

/// The contexts of one metric group, in the order of the reporters; `None` for a reporter that does
/// not get its records.
pub(crate) struct GroupContexts {
    traces: Vec<Option<Arc<ReportContext>>>,
    events: Vec<Option<Arc<ReportContext>>>,
    /// The part of journal keys that all records of the group have.
    journal_key: [u8; 8],
}

impl Dispatcher {
    /// Starts the reporters of `setups` with the factories of `registry`.
    ///
    /// All factories run at the same time, each on the worker thread of its reporter. A reporter
    /// that cannot be created within 30 seconds is left out and returned as a problem. The others
    /// start.
    ///
    /// `clock` fills in unset timestamps. `scope_delimiter` joins the logical scope that filters
    /// match, see [`SCOPE_DELIMITER`](crate::config::SCOPE_DELIMITER).
    pub fn start(
        setups: Vec<ReporterSetup>,
        registry: &Registry,
        clock: Arc<dyn Clock>,
        scope_delimiter: &str,
    ) -> (Self, Vec<Problem>) {
        Self::start_with_journal(setups, registry, clock, scope_delimiter, None)
    }

    /// Starts the reporters, as [`start`](Self::start) does, and leaves out the records that
    /// `journal` knows.
    pub fn start_with_journal(
        setups: Vec<ReporterSetup>,
        registry: &Registry,
        clock: Arc<dyn Clock>,
        scope_delimiter: &str,
        journal: Option<Arc<dyn Journal>>,
    ) -> (Self, Vec<Problem>) {
        let until = Instant::now() + START_WITHIN;
        let (traces, events): (Vec<_>, Vec<_>) = setups.into_iter().partition(|setup| setup.signal == Signal::Traces);
        let traces = begin(traces, registry, |setup| {
            let (factory, config) = (registry.trace(&setup.class)?, setup.config.clone());
            Some(move || factory.create_trace_reporter(&config))
        });
        let events = begin(events, registry, |setup| {
            let (factory, config) = (registry.event(&setup.class)?, setup.config.clone());
            Some(move || factory.create_event_reporter(&config))
        });
        let mut problems = Vec::new();
        let inner = Inner {
            traces: started(traces, until, &mut problems),
            events: started(events, until, &mut problems),
            clock,
            scope_delimiter: scope_delimiter.to_owned(),
            anonymous: Identity::of(&[&RandomState::new().hash_one(std::process::id()).to_string()]),
            anonymous_records: AtomicU64::new(0),
            journal,
        };
        (Self(Arc::new(inner)), problems)
    }

    /// Waits until every record added before the call is finalized. Returns `true` if that happened
    /// within the time limit.
    ///
    /// The call blocks its thread. A record is finalized when it is delivered, rejected or dropped.
    pub fn flush(&self, within: Duration) -> bool {
        let until = from_now(within);
        // All reporters work at the same time.
        let targets: Vec<_> = self.0.queues().map(AnyQueue::hurry).collect();
        self.0.queues().zip(targets).all(|(queue, target)| queue.flush(target, until))
    }

    /// Returns the accounts of all reporters, traces first.
    pub fn stats(&self) -> Vec<ReporterStats> {
        self.0.queues().map(AnyQueue::stats).collect()
    }

    /// Closes all reporters and returns their accounts.
    ///
    /// From now on, every added record counts as dropped by [`Closed`](super::DropReason::Closed).
    /// The reporters have the time `within` to deliver the queued records. The call blocks its
    /// thread until all reporters are closed, or until one second after `within`, in which a
    /// reporter can react to its deadline.
    ///
    /// Records that a reporter did not get count as dropped by
    /// [`Shutdown`](super::DropReason::Shutdown). A reporter that does not return is left behind
    /// with its thread, and its batch stays `queued` in its account.
    ///
    /// A second call waits for reporters that the first left behind. It can shorten their time, but
    /// not extend it.
    pub fn shutdown(&self, within: Duration) -> Vec<ReporterStats> {
        let (until, at_the_latest) = (from_now(within), from_now(within.saturating_add(GRACE)));
        for queue in self.0.queues() {
            queue.close(until);
        }
        self.0.queues().for_each(|queue| queue.join(at_the_latest));
        self.stats()
    }

    pub(crate) fn contexts(
        &self,
        job_id: Option<&Text>,
        variables: &[(String, String)],
        source: Option<&Source>,
    ) -> GroupContexts {
        let context = |setup: &ReporterSetup| {
            if source.is_some_and(|source| !setup.clusters.matches(&source.cluster)) {
                return None;
            }
            let mut context = ReportContext::new(setup.compatibility);
            context.job_id = job_id.cloned();
            context.variables = setup.variables.apply(variables);
            // Flink's own reporters have one resource.
            if let Some(source) = source.filter(|_| setup.compatibility == Compatibility::Standard) {
                context.resource = source.resource.clone();
            }
            Some(Arc::new(context))
        };
        GroupContexts {
            traces: self.0.traces.iter().map(|handle| context(&handle.setup)).collect(),
            events: self.0.events.iter().map(|handle| context(&handle.setup)).collect(),
            journal_key: journal_key(source.map_or("", |source| &source.cluster), job_id, variables),
        }
    }

    pub(crate) fn scope_delimiter(&self) -> &str {
        &self.0.scope_delimiter
    }

    /// Adds a span that `build` builds once for each detail in use. Reporters of one detail share
    /// it.
    pub(crate) fn add_span_of_levels(
        &self,
        scope: GroupScope<'_>,
        contexts: &GroupContexts,
        default: SpanDetailLevel,
        is_ordinary: bool,
        build: impl Fn(SpanDetailLevel) -> SpanBuilder,
    ) {
        let inner = &*self.0;
        let mut anonymous = None;
        let mut receipt = None;
        let mut built: Vec<((SpanDetailLevel, bool), Arc<Span>)> = Vec::new();
        for (handle, context) in inner.traces.iter().zip(&contexts.traces) {
            // The span is built in any case, because the account counts its children.
            let level = handle.setup.detail.unwrap_or(default);
            let omits_children = is_ordinary && handle.setup.detail_for == DetailFor::Notable;
            let detail = (level, omits_children);
            let known = built.iter().find(|(known, _)| *known == detail).map(|(_, span)| span.clone());
            let mut has_identity = true;
            let span = known.unwrap_or_else(|| {
                let span = build(level);
                let span = if omits_children { span.omit_children() } else { span };
                has_identity = span.has_identity();
                let span = if has_identity {
                    span
                } else {
                    span.identity(*anonymous.get_or_insert_with(|| inner.anonymous_identity()))
                };
                let span = Arc::new(span.build(&*inner.clock));
                built.push((detail, span.clone()));
                span
            });
            if receipt.is_none() {
                let record = || record_of_span(&span).filter(|_| has_identity);
                let takers = || wanting(&inner.traces, &contexts.traces, scope, &span);
                let Some(admitted) = inner.admit(contexts, record, takers) else { return };
                receipt = Some(admitted);
            }
            handle.offer_span(scope, span, context.as_ref(), receipt.clone().flatten());
        }
    }

    pub(crate) fn add_span(&self, scope: GroupScope<'_>, contexts: &GroupContexts, span: SpanBuilder) {
        let inner = &*self.0;
        let has_identity = span.has_identity();
        let span = if has_identity { span } else { span.identity(inner.anonymous_identity()) };
        let span = Arc::new(span.build(&*inner.clock));
        let record = || record_of_span(&span).filter(|_| has_identity);
        let takers = || wanting(&inner.traces, &contexts.traces, scope, &span);
        let Some(receipt) = inner.admit(contexts, record, takers) else { return };
        // The last reporter takes the span itself, which saves an atomic increment.
        let spans = iter::repeat_n(span, inner.traces.len());
        for ((handle, context), span) in inner.traces.iter().zip(&contexts.traces).zip(spans) {
            handle.offer_span(scope, span, context.as_ref(), receipt.clone());
        }
    }

    pub(crate) fn add_event(&self, scope: GroupScope<'_>, contexts: &GroupContexts, event: EventBuilder) {
        let inner = &*self.0;
        let has_identity = event.has_identity();
        let event = if has_identity { event } else { event.identity(inner.anonymous_identity()) };
        let event = Arc::new(event.build(&*inner.clock));
        let now = inner.clock.now_millis();
        let is_observation = event.name() == OBSERVATION_EVENT;
        // A sign of life is never repeated.
        let is_kept = has_identity && !is_observation;
        let record = || record_of_event(&event).filter(|_| is_kept);
        let takers = || {
            let is_shown = |context: &Option<Arc<ReportContext>>| {
                let shows_extensions = |context: &Arc<ReportContext>| context.compatibility == Compatibility::Standard;
                context.as_ref().is_some_and(|context| !event.is_extension() || shows_extensions(context))
            };
            let shown = inner.events.iter().zip(&contexts.events).filter(|(_, context)| is_shown(context));
            shown.filter(|(handle, _)| handle.wants(scope, event.name())).count()
        };
        let Some(receipt) = inner.admit(contexts, record, takers) else { return };
        for (handle, context) in inner.events.iter().zip(&contexts.events) {
            if is_observation && !handle.setup.observations {
                continue;
            }
            let Some(context) = context
                .as_ref()
                .filter(|context| !event.is_extension() || context.compatibility == Compatibility::Standard)
            else {
                handle.queue.filtered(1);
                continue;
            };
            let reported = ReportedEvent::new(event.clone(), now, context.clone()).with_receipt(receipt.clone());
            handle.offer(scope, reported);
        }
    }
}

/// Starts the queues of `setups` with the factories from `create`, without waiting for them.
fn begin<R: QueueItem, P: Reporter<R> + 'static, F>(
    setups: Vec<ReporterSetup>,
    registry: &Registry,
    create: impl Fn(&ReporterSetup) -> Option<F>,
) -> Vec<Result<ReporterHandle<R>, Problem>>
where
    F: FnOnce() -> Result<P, ConfigError> + Send + 'static,
{
    let begin = |setup: ReporterSetup| {
        let create = create(&setup).ok_or_else(|| setup.unknown_class(registry))?;
        let capacity = Capacity { units: setup.queue_size as u64, bytes: setup.queue_max_bytes };
        let queue = ReporterQueue::start(setup.signal, &setup.name, capacity, create);
        let queue = queue.map_err(|error| setup.problem(&error))?;
        Ok(ReporterHandle { setup, queue })
    };
    setups.into_iter().map(begin).collect()
}

/// Returns the reporters that were created before `until`.
fn started<R: QueueItem>(
    handles: Vec<Result<ReporterHandle<R>, Problem>>,
    until: Instant,
    problems: &mut Vec<Problem>,
) -> Vec<ReporterHandle<R>> {
    let started = |handle: ReporterHandle<R>| match handle.queue.started(until) {
        Ok(()) => Ok(handle),
        Err(error) => Err(handle.setup.problem(&error)),
    };
    handles
        .into_iter()
        .filter_map(|handle| handle.and_then(started).map_err(|problem| problems.push(problem)).ok())
        .collect()
}

/// Returns the number of reporters that get the span.
fn wanting(
    handles: &[ReporterHandle<ReportedSpan>],
    contexts: &[Option<Arc<ReportContext>>],
    scope: GroupScope<'_>,
    span: &Span,
) -> usize {
    let is_shown = |context: &Option<Arc<ReportContext>>| context.as_ref().is_some_and(|context| shows(context, span));
    let takers = handles.iter().zip(contexts).filter(|(_, context)| is_shown(context));
    takers.filter(|(handle, _)| handle.wants(scope, span.name())).count()
}

/// Returns `true` if a reporter of that compatibility gets the span.
fn shows(context: &ReportContext, span: &Span) -> bool {
    !span.is_extension() || context.compatibility == Compatibility::Standard
}

/// Returns the part of journal keys that the records of a job have.
///
/// Job ids are not unique, because all jobs of application clusters have the same one. The host may
/// be that of another JobManager after a failover.
fn journal_key(cluster: &str, job_id: Option<&Text>, variables: &[(String, String)]) -> [u8; 8] {
    let kept = variables.iter().filter(|(key, _)| key != "<host>");
    let texts = kept.flat_map(|(key, value)| [key.as_str(), value.as_str()]);
    let parts: Vec<&str> = [cluster].into_iter().chain(job_id.map(|id| &**id)).chain(texts).collect();
    half(Identity::of(&parts))
}

fn record_of_span(span: &Span) -> Option<[u8; 8]> {
    span.identity().map(|identity| half(identity.and_number(0)))
}

fn record_of_event(event: &Event) -> Option<[u8; 8]> {
    let uid = event.extension()?.attributes.get(RECORD_UID)?;
    Some(half(Identity::of(&[&uid.to_string()])))
}

/// Returns the first half of the hash.
fn half(identity: Identity) -> [u8; 8] {
    let [first @ .., _, _, _, _, _, _, _, _] = *identity.trace_id().as_bytes();
    first
}

/// Returns the time that lies `within` ahead, or a very distant one if the addition overflows.
fn from_now(within: Duration) -> Instant {
    const FOREVER: Duration = Duration::from_secs(30 * 365 * 86_400);
    let now = Instant::now();
    now.checked_add(within).unwrap_or(now + FOREVER)
}

impl Inner {
    fn queues(&self) -> impl Iterator<Item = &dyn AnyQueue> {
        let traces = self.traces.iter().map(|handle| &handle.queue as &dyn AnyQueue);
        traces.chain(self.events.iter().map(|handle| &handle.queue as &dyn AnyQueue))
    }

    /// Returns the receipt of a record, which is absent if the journal does not keep it. Returns
    /// `None` if the record was reported by an earlier process.
    ///
    /// `record` returns the record's part of its key, if it has one, and `takers` counts the
    /// reporters that get the record. Neither is called without a journal.
    fn admit(
        &self,
        contexts: &GroupContexts,
        record: impl FnOnce() -> Option<[u8; 8]>,
        takers: impl FnOnce() -> usize,
    ) -> Option<Option<Arc<Receipt>>> {
        let Some(journal) = &self.journal else { return Some(None) };
        let Some(record) = record() else { return Some(None) };
        let mut key = [0; 16];
        key[..8].copy_from_slice(&contexts.journal_key);
        key[8..].copy_from_slice(&record);
        if journal.is_known(key) {
            return None;
        }
        let journal = journal.clone();
        Some(Some(Arc::new(Receipt::new(takers(), move || journal.add(key)))))
    }

    fn anonymous_identity(&self) -> Identity {
        self.anonymous.and_number(self.anonymous_records.fetch_add(1, Ordering::Relaxed))
    }
}

/// Shuts down a dispatcher that was not shut down.
impl Drop for Inner {
    fn drop(&mut self) {
        let until = Instant::now() + GRACE;
        let open: Vec<_> = self.queues().filter(|queue| queue.close(until)).collect();
        open.into_iter().for_each(|queue| queue.join(until));
    }
}

impl ReporterHandle<ReportedSpan> {
    fn offer_span(
        &self,
        scope: GroupScope<'_>,
        span: Arc<Span>,
        context: Option<&Arc<ReportContext>>,
        receipt: Option<Arc<Receipt>>,
    ) {
        match context.filter(|context| shows(context, &span)) {
            Some(context) => self.offer(scope, ReportedSpan::new(span, context.clone()).with_receipt(receipt)),
            None => self.queue.filtered(ReportedSpan::new(span, Arc::default()).span_count() as u64),
        }
    }
}

impl<R: QueueItem> ReporterHandle<R> {
    /// Returns `true` if [`offer`](Self::offer) queues a record of that name.
    fn wants(&self, scope: GroupScope<'_>, name: &str) -> bool {
        !scope.is_closed && self.setup.filter.matches(scope.logical_scope, name)
    }

    fn offer(&self, scope: GroupScope<'_>, record: R) {
        if !self.setup.filter.matches(scope.logical_scope, record.name()) {
            self.queue.filtered(record.units())
        } else if scope.is_closed {
            self.queue.refuse(record.units())
        } else {
            self.queue.push(record)
        }
    }
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Dispatcher").field(&self.stats()).finish()
    }
}
