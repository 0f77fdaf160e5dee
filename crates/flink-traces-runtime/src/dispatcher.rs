//! From metric groups to reporters.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flink_traces_api::{
    Clock, EventBuilder, Identity, Registry, ReportContext, ReportedEvent, ReportedSpan, SpanBuilder, Text, TraceId,
};

use crate::lane::{Lane, Record};
use crate::reporters::ReporterSetup;
use crate::stats::ReporterStats;
use crate::{Filter, Problem, Signal};

/// Hands spans and events to every reporter that wants them. Each reporter has a lane, a bounded queue and a thread of its own, so
/// whoever reports never waits and no reporter delays another.
///
/// A cheap handle; clones share the lanes. It is the trace and event half of Flink's `MetricRegistryImpl`.
#[derive(Clone)]
pub struct Dispatcher(Arc<Inner>);

struct Inner {
    traces: Vec<Outlet<ReportedSpan>>,
    events: Vec<Outlet<ReportedEvent>>,
    clock: Arc<dyn Clock>,
    scope_delimiter: String,
    /// Trace ids of spans without an identity: a random start and a count.
    seed: u64,
    anonymous_spans: AtomicU64,
}

/// A lane and the rules that stand before it.
struct Outlet<R> {
    setup: ReporterSetup,
    lane: Lane<R>,
}

/// What each reporter adds to the records of one group, in the order of the outlets.
pub(crate) struct GroupContexts {
    traces: Vec<Arc<ReportContext>>,
    events: Vec<Arc<ReportContext>>,
}

impl Dispatcher {
    /// Starts the reporters that `setups` describe, by the factories of `registry`. One that cannot be made is left out and told
    /// as a problem; the others start. `scope_delimiter` joins the logical scope that filters see (`metrics.scope.delimiter`).
    pub fn start(
        setups: Vec<ReporterSetup>,
        registry: &Registry,
        clock: Arc<dyn Clock>,
        scope_delimiter: &str,
    ) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let (mut traces, mut events) = (Vec::new(), Vec::new());
        for setup in setups {
            let capacity = setup.queue_size;
            let stats = ReporterStats::new(setup.signal, &setup.name);
            let config = setup.config.clone();
            let started = match setup.signal {
                Signal::Traces => registry.trace(&setup.class).map(|factory| {
                    let lane = Lane::start(stats, capacity, move || factory.create_trace_reporter(&config))?;
                    traces.push(Outlet { setup: setup.clone(), lane });
                    Ok(())
                }),
                Signal::Events => registry.event(&setup.class).map(|factory| {
                    let lane = Lane::start(stats, capacity, move || factory.create_event_reporter(&config))?;
                    events.push(Outlet { setup: setup.clone(), lane });
                    Ok(())
                }),
            };
            match started {
                Some(Ok(())) => {}
                Some(Err(error)) => problems.push(Problem::reporter(&setup, &error)),
                None => problems.push(Problem::unknown_class(&setup, registry)),
            }
        }
        let inner = Inner {
            traces,
            events,
            clock,
            scope_delimiter: scope_delimiter.to_owned(),
            seed: RandomState::new().hash_one(std::process::id()),
            anonymous_spans: AtomicU64::new(0),
        };
        (Self(Arc::new(inner)), problems)
    }

    /// Waits until everything that was reported before the call is delivered, refused or given up; answers whether it was, in time.
    pub fn flush(&self, within: Duration) -> bool {
        let until = Instant::now() + within;
        // Not `all`: every lane gets its chance even if an earlier one is late.
        let traces = self.0.traces.iter().filter(|outlet| !outlet.lane.flush(until)).count();
        let events = self.0.events.iter().filter(|outlet| !outlet.lane.flush(until)).count();
        traces + events == 0
    }

    /// Every reporter's account, traces first, each by name.
    pub fn stats(&self) -> Vec<ReporterStats> {
        let traces = self.0.traces.iter().map(|outlet| outlet.lane.stats());
        traces.chain(self.0.events.iter().map(|outlet| outlet.lane.stats())).collect()
    }

    /// Takes no more, gives the reporters `within` to deliver what is queued, closes them, and tells what happened. What a
    /// reporter did not get to counts as dropped by `shutdown`; a reporter that does not even return is left behind, and what it
    /// holds is still `queued` in its account.
    pub fn shutdown(&self, within: Duration) -> Vec<ReporterStats> {
        /// For a reporter to notice that its time is over.
        const GRACE: Duration = Duration::from_secs(1);
        let until = Instant::now() + within;
        self.0.traces.iter().for_each(|outlet| outlet.lane.close(until));
        self.0.events.iter().for_each(|outlet| outlet.lane.close(until));
        self.0.traces.iter().for_each(|outlet| outlet.lane.join(until + GRACE));
        self.0.events.iter().for_each(|outlet| outlet.lane.join(until + GRACE));
        self.stats()
    }

    pub(crate) fn contexts(&self, job_id: Option<&Text>, variables: &[(String, String)]) -> GroupContexts {
        let context = |setup: &ReporterSetup| {
            Arc::new(ReportContext {
                job_id: job_id.cloned(),
                variables: setup.variables.apply(variables),
                compatibility: setup.compatibility,
            })
        };
        GroupContexts {
            traces: self.0.traces.iter().map(|outlet| context(&outlet.setup)).collect(),
            events: self.0.events.iter().map(|outlet| context(&outlet.setup)).collect(),
        }
    }

    pub(crate) fn scope_delimiter(&self) -> &str {
        &self.0.scope_delimiter
    }

    pub(crate) fn add_span(&self, logical_scope: &str, contexts: &GroupContexts, span: SpanBuilder) {
        let inner = &*self.0;
        let span = Arc::new(span.build(&*inner.clock));
        let trace_id = inner.anonymous_trace_id();
        let units = span.span_count();
        for (outlet, context) in inner.traces.iter().zip(&contexts.traces) {
            outlet.offer(logical_scope, span.name(), units, || {
                ReportedSpan::new(span.clone(), trace_id, context.clone())
            });
        }
    }

    pub(crate) fn add_event(&self, logical_scope: &str, contexts: &GroupContexts, event: EventBuilder) {
        let inner = &*self.0;
        let event = Arc::new(event.build(&*inner.clock));
        let now = inner.clock.now_millis();
        for (outlet, context) in inner.events.iter().zip(&contexts.events) {
            outlet.offer(logical_scope, event.name(), 1, || ReportedEvent::new(event.clone(), now, context.clone()));
        }
    }
}

impl Inner {
    fn anonymous_trace_id(&self) -> TraceId {
        let number = self.anonymous_spans.fetch_add(1, Ordering::Relaxed);
        Identity::of(&[&self.seed.to_string(), &number.to_string()]).trace_id()
    }
}

impl<R: Record> Outlet<R> {
    fn offer(&self, logical_scope: &str, name: &str, units: usize, record: impl FnOnce() -> R) {
        let filter: &Filter = &self.setup.filter;
        match filter.matches(logical_scope, name) {
            true => self.lane.push(record()),
            false => self.lane.filtered(units),
        }
    }
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Dispatcher").field(&self.stats()).finish()
    }
}
