//! From metric groups to reporters.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flink_traces_api::{
    Clock, ConfigError, EventBuilder, Identity, Registry, ReportContext, ReportedEvent, ReportedSpan, Signal,
    SpanBuilder, Text,
};

use super::queue::{AnyQueue, QueueItem, Reporter, ReporterQueue};
use super::stats::ReporterStats;
use crate::config::{Problem, ReporterSetup};

/// How long a factory may take to make a reporter; one that hangs must not hang the program.
const START_WITHIN: Duration = Duration::from_secs(30);
/// How long a reporter that was told that its time is over may take to notice.
const GRACE: Duration = Duration::from_secs(1);

/// Hands spans and events to every reporter that wants them. Each reporter has a lane, a bounded queue and a thread of its own, so
/// whoever reports never waits and no reporter delays another. Lanes are read by [`stats`](Self::stats) and ended by
/// [`shutdown`](Self::shutdown); spans and events come in by [`MetricGroup`](crate::MetricGroup)s.
///
/// A cheap handle, usable from any thread; clones share the lanes, and every metric group holds one. When the last is dropped
/// without a shutdown, the drop gives the reporters a second, and waits for it.
///
/// It is the trace and event half of Flink's `MetricRegistryImpl`, which calls the reporters on the thread that reports, and never
/// closes them.
#[derive(Clone)]
pub struct Dispatcher(Arc<Inner>);

struct Inner {
    traces: Vec<ReporterHandle<ReportedSpan>>,
    events: Vec<ReporterHandle<ReportedEvent>>,
    clock: Arc<dyn Clock>,
    scope_delimiter: String,
    /// Identities of spans without one: a random start and a count.
    anonymous: Identity,
    anonymous_spans: AtomicU64,
}

/// A lane and the rules that stand before it.
struct ReporterHandle<R: QueueItem> {
    setup: ReporterSetup,
    queue: ReporterQueue<R>,
}

/// What each reporter adds to the records of one group, in the order of the handles.
pub(crate) struct GroupContexts {
    traces: Vec<Arc<ReportContext>>,
    events: Vec<Arc<ReportContext>>,
}

impl Dispatcher {
    /// Starts the reporters that `setups` describe, by the factories of `registry`. All factories run at the same time, each on the
    /// thread that its reporter will have. A reporter that cannot be made, or not within 30 seconds, is left out and told as a
    /// problem; the others start.
    ///
    /// `clock` fills in timestamps that a span or an event leaves unset. `scope_delimiter` joins the logical scope that filters see,
    /// [`SCOPE_DELIMITER`](crate::config::SCOPE_DELIMITER).
    pub fn start(
        setups: Vec<ReporterSetup>,
        registry: &Registry,
        clock: Arc<dyn Clock>,
        scope_delimiter: &str,
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
            anonymous_spans: AtomicU64::new(0),
        };
        (Self(Arc::new(inner)), problems)
    }

    /// Waits until everything that was reported before the call is delivered, refused or given up; answers whether it was, in time.
    /// Blocks the calling thread.
    pub fn flush(&self, within: Duration) -> bool {
        let until = from_now(within);
        self.0.queues().all(|queue| queue.flush(until))
    }

    /// Every reporter's account, traces first.
    pub fn stats(&self) -> Vec<ReporterStats> {
        self.0.queues().map(AnyQueue::stats).collect()
    }

    /// Takes no more, gives the reporters `within` to deliver what is queued, closes them, and tells what happened. Blocks the
    /// calling thread, until all are closed or a second after `within`, which is for reporters to notice that their time is over.
    ///
    /// What a reporter did not get to counts as dropped by [`Shutdown`](super::DropReason::Shutdown). One that does not even return is
    /// left behind with its thread, and the batch that it holds is still `queued` in its account. What is reported from now on counts as
    /// dropped by [`Closed`](super::DropReason::Closed).
    ///
    /// Another call waits for what an earlier one left behind; it can shorten the time that the reporters have, not lengthen it.
    pub fn shutdown(&self, within: Duration) -> Vec<ReporterStats> {
        let (until, at_the_latest) = (from_now(within), from_now(within.saturating_add(GRACE)));
        for queue in self.0.queues() {
            queue.close(until);
        }
        self.0.queues().for_each(|queue| queue.join(at_the_latest));
        self.stats()
    }

    pub(crate) fn contexts(&self, job_id: Option<&Text>, variables: &[(String, String)]) -> GroupContexts {
        let context = |setup: &ReporterSetup| {
            let mut context = ReportContext::new(setup.compatibility);
            context.job_id = job_id.cloned();
            context.variables = setup.variables.apply(variables);
            Arc::new(context)
        };
        GroupContexts {
            traces: self.0.traces.iter().map(|handle| context(&handle.setup)).collect(),
            events: self.0.events.iter().map(|handle| context(&handle.setup)).collect(),
        }
    }

    pub(crate) fn scope_delimiter(&self) -> &str {
        &self.0.scope_delimiter
    }

    pub(crate) fn add_span(&self, logical_scope: &str, contexts: &GroupContexts, span: SpanBuilder) {
        let inner = &*self.0;
        let span = match span.has_identity() {
            true => span,
            false => span.identity(inner.anonymous_identity()),
        };
        let span = Arc::new(span.build(&*inner.clock));
        // The last reporter gets it without a count that another thread shares.
        let spans = iter::repeat_n(span, inner.traces.len());
        for ((handle, context), span) in inner.traces.iter().zip(&contexts.traces).zip(spans) {
            handle.offer(logical_scope, ReportedSpan::new(span, context.clone()));
        }
    }

    pub(crate) fn add_event(&self, logical_scope: &str, contexts: &GroupContexts, event: EventBuilder) {
        let inner = &*self.0;
        let event = Arc::new(event.build(&*inner.clock));
        let now = inner.clock.now_millis();
        for (handle, context) in inner.events.iter().zip(&contexts.events) {
            handle.offer(logical_scope, ReportedEvent::new(event.clone(), now, context.clone()));
        }
    }
}

/// Starts the lanes of `setups`, with the factories that `create` finds, and waits for none.
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
        let queue = ReporterQueue::start(setup.signal, &setup.name, setup.queue_size, create);
        let queue = queue.map_err(|error| setup.problem(&error))?;
        Ok(ReporterHandle { setup, queue })
    };
    setups.into_iter().map(begin).collect()
}

/// Those whose reporter was made before `until`.
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

/// The moment that lies `within` ahead, or one that nobody lives to see.
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

    fn anonymous_identity(&self) -> Identity {
        self.anonymous.and_number(self.anonymous_spans.fetch_add(1, Ordering::Relaxed))
    }
}

/// The shutdown of whoever forgot it.
impl Drop for Inner {
    fn drop(&mut self) {
        let until = Instant::now() + GRACE;
        let open: Vec<_> = self.queues().filter(|queue| queue.close(until)).collect();
        open.into_iter().for_each(|queue| queue.join(until));
    }
}

impl<R: QueueItem> ReporterHandle<R> {
    fn offer(&self, logical_scope: &str, record: R) {
        match self.setup.filter.matches(logical_scope, record.name()) {
            true => self.queue.push(record),
            false => self.queue.filtered(record.units()),
        }
    }
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Dispatcher").field(&self.stats()).finish()
    }
}
