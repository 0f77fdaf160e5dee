//! Metric groups, to which an engine adds spans and events.

use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flink_traces_api::{EventBuilder, SpanBuilder, Text};

use super::dispatcher::{Dispatcher, GroupContexts, GroupScope, Source};
use crate::config::SpanDetailLevel;
use crate::setters::setters;

/// A scope to which spans and events are added. Flink's `MetricGroup`.
///
/// A group adds its variables to each record. The group of a job also adds the attribute `jobId`.
/// As in Flink, the root is a JobManager or a TaskManager.
///
/// The groups, with their logical scopes and the variables that they add to those of their parents:
///
/// - [`job_manager`](Self::job_manager): scope `jobmanager`, variable `host`
///   - [`add_job`](Self::add_job): scope `jobmanager.job`, variables `job_id`, `job_name`
///     - [`add_coordinator`](Self::add_coordinator): scope `jobmanager.job.operator`, variables
///       `task_id`, `task_name`, `operator_id`, `operator_name`
/// - [`task_manager`](Self::task_manager): scope `taskmanager`, variables `host`, `tm_id`
///   - [`add_job`](Self::add_job): scope `taskmanager.job`, variables `job_id`, `job_name`
///     - [`add_task`](Self::add_task): scope `taskmanager.job.task`, variables `task_id`,
///       `task_name`, `task_attempt_id`, `task_attempt_num`, `subtask_index`
///       - [`add_operator`](Self::add_operator): scope `taskmanager.job.task.operator`, variables
///         `operator_id`, `operator_name`
///
/// A group is a cheap handle that any thread can use. Adding a record never waits for a reporter.
///
/// # Examples
///
/// ```
/// use flink_traces_api::{Event, Span};
/// use flink_traces_runtime::MetricGroup;
///
/// struct MyFunction {
///     metric_group: MetricGroup,
/// }
///
/// impl MyFunction {
///     fn do_something(&self, start: i64, end: i64) {
///         let action = Span::builder("com.example.MyFunction", "SomeAction")
///             .start_ts_millis(start) // default: now
///             .end_ts_millis(end) // default: the start
///             .attribute("foo", "bar");
///         self.metric_group.add_span(action);
///
///         // In a user group, `cache` joins the scope, and the variable `<cache>` is `users`.
///         let cache = self.metric_group.add_key_value_group("cache", "users");
///         let full = Event::builder("com.example.MyFunction", "CacheFull")
///             .observed_ts_millis(end) // default: now
///             .severity("WARN")
///             .body("evicting the oldest entries")
///             .attribute("entries", 65_536);
///         cache.add_event(full);
///     }
/// }
/// # let registry = flink_traces_api::Registry::new();
/// # let clock = std::sync::Arc::new(flink_traces_api::SystemClock);
/// # use flink_traces_runtime::Dispatcher;
/// # let (dispatcher, _) = Dispatcher::start(Vec::new(), &registry, clock, ".");
/// # let task_manager = MetricGroup::task_manager(&dispatcher, "host-2", "tm-1");
/// # let metric_group = task_manager.add_job("5c4b", "orders");
/// # MyFunction { metric_group }.do_something(1_795_230_917_019, 1_795_230_917_430);
/// ```
#[derive(Clone)]
pub struct MetricGroup(Arc<Group>);

struct Group {
    dispatcher: Dispatcher,
    parent: Option<MetricGroup>,
    source: Option<Arc<Source>>,
    logical_scope: String,
    /// The variables, with names in angle brackets.
    variables: Vec<(String, String)>,
    job_id: Option<Text>,
    contexts: GroupContexts,
    closed: AtomicBool,
}

impl MetricGroup {
    /// Creates the group of a JobManager. Mirrors `JobManagerMetricGroup`.
    pub fn job_manager(dispatcher: &Dispatcher, host: &str) -> Self {
        Self::new(dispatcher.clone(), None, None, "jobmanager".to_owned(), vec![variable("host", host)], None)
    }

    /// Creates the group of a TaskManager. Mirrors `TaskManagerMetricGroup`.
    pub fn task_manager(dispatcher: &Dispatcher, host: &str, task_manager_id: &str) -> Self {
        let variables = vec![variable("host", host), variable("tm_id", task_manager_id)];
        Self::new(dispatcher.clone(), None, None, "taskmanager".to_owned(), variables, None)
    }

    /// Creates the group of a cluster's JobManager.
    ///
    /// A reporter whose option `clusters` does not name the cluster does not get the records of the
    /// group and of those below it. `resource` are attributes of their resource. They replace those
    /// of the reporter with the same keys. A reporter with `compatibility: flink` ignores them.
    pub fn job_manager_of(
        dispatcher: &Dispatcher,
        cluster: &str,
        host: &str,
        resource: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let source = Source { cluster: cluster.to_owned(), resource: resource.into_iter().collect() };
        let variables = vec![variable("host", host)];
        Self::new(dispatcher.clone(), None, Some(Arc::new(source)), "jobmanager".to_owned(), variables, None)
    }

    /// Creates a group with an empty scope and without variables.
    ///
    /// It adds nothing to a record, except what a reporter adds to all. It serves records that
    /// already have the variables of a group of Flink's.
    pub fn bare(dispatcher: &Dispatcher) -> Self {
        Self::new(dispatcher.clone(), None, None, String::new(), Vec::new(), None)
    }

    /// Creates the group of a job below a JobManager or a TaskManager.
    ///
    /// Records of this group, but not of those below it, also have the attribute `jobId`. Mirrors
    /// `JobManagerJobMetricGroup` and `TaskManagerJobMetricGroup`.
    pub fn add_job(&self, job_id: &str, job_name: &str) -> Self {
        let variables = [("job_id", job_id), ("job_name", job_name)];
        self.below("job", &variables, Some(job_id.to_owned().into()))
    }

    /// Creates the group of a task below a TaskManager's job. Mirrors `TaskMetricGroup`.
    pub fn add_task(&self, task: &TaskVariables<'_>) -> Self {
        let (attempt_number, subtask_index) = (task.attempt_number.to_string(), task.subtask_index.to_string());
        let variables = [
            ("task_id", task.job_vertex_id),
            ("task_name", task.name),
            ("task_attempt_id", task.attempt_id),
            ("task_attempt_num", &attempt_number),
            ("subtask_index", &subtask_index),
        ];
        self.below("task", &variables, None)
    }

    /// Creates the group of an operator below a task. Mirrors `InternalOperatorMetricGroup`.
    pub fn add_operator(&self, operator_id: &str, operator_name: &str) -> Self {
        self.below("operator", &[("operator_id", operator_id), ("operator_name", operator_name)], None)
    }

    /// Creates the group of an operator coordinator below a JobManager's job.
    ///
    /// Mirrors `JobManagerOperatorMetricGroup`.
    pub fn add_coordinator(&self, task_id: &str, task_name: &str, operator_id: &str, operator_name: &str) -> Self {
        let variables = [
            ("task_id", task_id),
            ("task_name", task_name),
            ("operator_id", operator_id),
            ("operator_name", operator_name),
        ];
        self.below("operator", &variables, None)
    }

    /// Creates a user group, whose name joins the scope. Flink's `addGroup(name)`.
    pub fn add_group(&self, name: &str) -> Self {
        self.below(name, &[], None)
    }

    /// Creates a user group, whose key joins the scope and is a variable. Flink's `addGroup(key,
    /// value)`.
    pub fn add_key_value_group(&self, key: &str, value: &str) -> Self {
        self.below(key, &[(key, value)], None)
    }

    /// Adds a span, as Flink's `addSpan`. Unset timestamps become the current time.
    ///
    /// After [`close`](Self::close) the span is dropped.
    pub fn add_span(&self, span: SpanBuilder) {
        self.0.dispatcher.add_span(self.scope(), &self.0.contexts, span);
    }

    /// Adds a span whose children depend on the detail level of each reporter.
    ///
    /// `build` is called once for each level in use, and reporters of that level share its span. A
    /// reporter whose `checkpoint.span-detail-level` is not set has the level `default`. The ids of
    /// a span do not depend on the level.
    ///
    /// If the span is ordinary, reporters with `checkpoint.detail-for: notable` get it
    /// [without children](SpanBuilder::omit_children).
    pub fn add_span_of_levels(
        &self,
        default: SpanDetailLevel,
        is_ordinary: bool,
        build: impl Fn(SpanDetailLevel) -> SpanBuilder,
    ) {
        self.0.dispatcher.add_span_of_levels(self.scope(), &self.0.contexts, default, is_ordinary, build);
    }

    /// Adds an event, as Flink's `addEvent`. An unset timestamp becomes the current time.
    ///
    /// After [`close`](Self::close) the event is dropped.
    pub fn add_event(&self, event: EventBuilder) {
        self.0.dispatcher.add_event(self.scope(), &self.0.contexts, event);
    }

    /// Closes this group and all groups below it, for example when the job ends.
    ///
    /// Records that are added later, also through clones, count as dropped by
    /// [`Closed`](super::DropReason::Closed). Flink ignores them.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
    }

    /// Returns `true` if this group or a parent was closed.
    pub fn is_closed(&self) -> bool {
        let mut upwards = iter::successors(Some(self), |group| group.0.parent.as_ref());
        upwards.any(|group| group.0.closed.load(Ordering::Acquire))
    }

    /// Returns the joined names of the groups from the root to this one. Mirrors `getLogicalScope`.
    ///
    /// Filters match this scope.
    pub fn logical_scope(&self) -> &str {
        &self.0.logical_scope
    }

    /// Returns the variables of this group and its parents. Mirrors `getAllVariables`.
    ///
    /// The names are in angle brackets.
    pub fn variables(&self) -> &[(String, String)] {
        &self.0.variables
    }

    fn scope(&self) -> GroupScope<'_> {
        GroupScope { logical_scope: &self.0.logical_scope, is_closed: self.is_closed() }
    }

    fn below(&self, name: &str, variables: &[(&str, &str)], job_id: Option<Text>) -> Self {
        let group = &*self.0;
        let logical_scope = format!("{}{}{name}", group.logical_scope, group.dispatcher.scope_delimiter());
        let mut all = group.variables.clone();
        for (key, value) in variables {
            let added = variable(key, value);
            match all.iter_mut().find(|(known, _)| *known == added.0) {
                Some(known) => *known = added,
                None => all.push(added),
            }
        }
        let source = group.source.clone();
        Self::new(group.dispatcher.clone(), Some(self.clone()), source, logical_scope, all, job_id)
    }

    fn new(
        dispatcher: Dispatcher,
        parent: Option<MetricGroup>,
        source: Option<Arc<Source>>,
        logical_scope: String,
        variables: Vec<(String, String)>,
        job_id: Option<Text>,
    ) -> Self {
        let contexts = dispatcher.contexts(job_id.as_ref(), &variables, source.as_deref());
        let closed = AtomicBool::new(false);
        Self(Arc::new(Group { dispatcher, parent, source, logical_scope, variables, job_id, contexts, closed }))
    }
}

/// The variables of a task's group. Flink's arguments of `TaskManagerJobMetricGroup.addTask`.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct TaskVariables<'a> {
    /// The id of the job vertex, 32 hexadecimal digits. It is the variable `task_id`.
    pub job_vertex_id: &'a str,
    /// The name of the task. It is the variable `task_name`.
    pub name: &'a str,
    /// The id of the execution attempt. It is the variable `task_attempt_id`.
    pub attempt_id: &'a str,
    /// The number of the attempt, from 0. It is the variable `task_attempt_num`.
    pub attempt_number: u32,
    /// The index of the subtask, from 0. It is the variable `subtask_index`.
    pub subtask_index: u32,
}

impl<'a> TaskVariables<'a> {
    /// Creates the variables of the first attempt of subtask 0, without a name and an attempt id.
    pub fn new(job_vertex_id: &'a str) -> Self {
        Self { job_vertex_id, name: "", attempt_id: "", attempt_number: 0, subtask_index: 0 }
    }

    setters! {
        with_name: name, &'a str;
        with_attempt_id: attempt_id, &'a str;
        with_attempt_number: attempt_number, u32;
        with_subtask_index: subtask_index, u32;
    }
}

fn variable(key: &str, value: &str) -> (String, String) {
    (format!("<{key}>"), value.to_owned())
}

impl std::fmt::Debug for MetricGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricGroup")
            .field("logical_scope", &self.0.logical_scope)
            .field("variables", &self.0.variables)
            .field("job_id", &self.0.job_id)
            .finish()
    }
}
