//! Metric groups: where in an engine a span or an event is reported, and what identity that gives it.

use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flink_traces_api::{EventBuilder, SpanBuilder, Text};

use super::dispatcher::{Dispatcher, GroupContexts};
use crate::setters::setters;

/// A place from which spans and events are reported, as Flink's `MetricGroup`: it adds its variables, and a job's own group the
/// attribute `jobId`. Flink's groups begin at a JobManager or a TaskManager; so do these.
///
/// | group | logical scope | variables besides those above it |
/// |---|---|---|
/// | [`job_manager`](Self::job_manager) | `jobmanager` | `host` |
/// | its [`add_job`](Self::add_job) | `jobmanager.job` | `job_id`, `job_name` |
/// | its [`add_coordinator`](Self::add_coordinator) | `jobmanager.job.operator` | `task_id`, `task_name`, `operator_id`, `operator_name` |
/// | [`task_manager`](Self::task_manager) | `taskmanager` | `host`, `tm_id` |
/// | its [`add_job`](Self::add_job) | `taskmanager.job` | `job_id`, `job_name` |
/// | its [`add_task`](Self::add_task) | `taskmanager.job.task` | `task_id`, `task_name`, `task_attempt_id`, `task_attempt_num`, `subtask_index` |
/// | its [`add_operator`](Self::add_operator) | `taskmanager.job.task.operator` | `operator_id`, `operator_name` |
///
/// A cheap handle, usable from any thread; adding never waits for a reporter. Made by the engine, and called by it and by the
/// functions of users that it hands one to:
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
///             .start_ts_millis(start) // not set: now
///             .end_ts_millis(end) // not set: the start
///             .attribute("foo", "bar");
///         self.metric_group.add_span(action);
///
///         // Of a group of the user's own: the scope has `cache`, and the variable `<cache>` is `users`.
///         let cache = self.metric_group.add_key_value_group("cache", "users");
///         let full = Event::builder("com.example.MyFunction", "CacheFull")
///             .observed_ts_millis(end) // not set: now
///             .severity("WARN")
///             .body("the oldest entries go")
///             .attribute("entries", 65_536);
///         cache.add_event(full);
///     }
/// }
/// # let registry = flink_traces_api::Registry::new();
/// # let clock = std::sync::Arc::new(flink_traces_api::SystemClock);
/// # let (dispatcher, _) = flink_traces_runtime::Dispatcher::start(Vec::new(), &registry, clock, ".");
/// # let task_manager = MetricGroup::task_manager(&dispatcher, "host-2", "tm-1");
/// # let metric_group = task_manager.add_job("5c4b", "orders");
/// # MyFunction { metric_group }.do_something(1_795_230_917_019, 1_795_230_917_430);
/// ```
#[derive(Clone)]
pub struct MetricGroup(Arc<Group>);

struct Group {
    dispatcher: Dispatcher,
    parent: Option<MetricGroup>,
    logical_scope: String,
    /// Keys in angle brackets.
    variables: Vec<(String, String)>,
    job_id: Option<Text>,
    contexts: GroupContexts,
    closed: AtomicBool,
}

impl MetricGroup {
    /// The group of a JobManager, scope `jobmanager`, variable `host`. Mirrors `JobManagerMetricGroup`.
    pub fn job_manager(dispatcher: &Dispatcher, host: &str) -> Self {
        Self::new(dispatcher.clone(), None, "jobmanager".to_owned(), vec![variable("host", host)], None)
    }

    /// The group of a TaskManager, scope `taskmanager`, variables `host` and `tm_id`. Mirrors `TaskManagerMetricGroup`.
    pub fn task_manager(dispatcher: &Dispatcher, host: &str, task_manager_id: &str) -> Self {
        let variables = vec![variable("host", host), variable("tm_id", task_manager_id)];
        Self::new(dispatcher.clone(), None, "taskmanager".to_owned(), variables, None)
    }

    /// The group of a job below a JobManager's or a TaskManager's, variables `job_id` and `job_name`. What it reports itself also
    /// has the attribute `jobId`. Mirrors `JobManagerJobMetricGroup` and `TaskManagerJobMetricGroup`.
    pub fn add_job(&self, job_id: &str, job_name: &str) -> Self {
        let variables = [("job_id", job_id), ("job_name", job_name)];
        self.below("job", &variables, Some(job_id.to_owned().into()))
    }

    /// The group of a task below a TaskManager's job. Mirrors `TaskMetricGroup`.
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

    /// The group of an operator below a task. Mirrors `InternalOperatorMetricGroup`.
    pub fn add_operator(&self, operator_id: &str, operator_name: &str) -> Self {
        self.below("operator", &[("operator_id", operator_id), ("operator_name", operator_name)], None)
    }

    /// The group of an operator coordinator below a JobManager's job. Mirrors `JobManagerOperatorMetricGroup`.
    pub fn add_coordinator(&self, task_id: &str, task_name: &str, operator_id: &str, operator_name: &str) -> Self {
        let variables = [
            ("task_id", task_id),
            ("task_name", task_name),
            ("operator_id", operator_id),
            ("operator_name", operator_name),
        ];
        self.below("operator", &variables, None)
    }

    /// A group of the user's own, as Flink's `addGroup(name)`: its name joins the scope.
    pub fn add_group(&self, name: &str) -> Self {
        self.below(name, &[], None)
    }

    /// A group of the user's own that is one of many, as Flink's `addGroup(key, value)`: the key joins the scope, and is a variable.
    pub fn add_key_value_group(&self, key: &str, value: &str) -> Self {
        self.below(key, &[(key, value)], None)
    }

    /// Reports a span, as `addSpan`. Timestamps that it leaves unset are now. After [`close`](Self::close) it is ignored, as in Flink.
    pub fn add_span(&self, span: SpanBuilder) {
        let group = &*self.0;
        if !self.is_closed() {
            group.dispatcher.add_span(&group.logical_scope, &group.contexts, span);
        }
    }

    /// Reports an event, as `addEvent`. A timestamp that it leaves unset is now. After [`close`](Self::close) it is ignored, as in Flink.
    pub fn add_event(&self, event: EventBuilder) {
        let group = &*self.0;
        if !self.is_closed() {
            group.dispatcher.add_event(&group.logical_scope, &group.contexts, event);
        }
    }

    /// Ends this group and all below it, as when its job ends: what is added from now on, here, there or through clones, is ignored
    /// and not counted.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
    }

    /// Whether this group or one above it was closed.
    pub fn is_closed(&self) -> bool {
        let mut upwards = iter::successors(Some(self), |group| group.0.parent.as_ref());
        upwards.any(|group| group.0.closed.load(Ordering::Acquire))
    }

    /// The names of the groups from the root to this one, joined: what filters match. Mirrors `getLogicalScope`.
    pub fn logical_scope(&self) -> &str {
        &self.0.logical_scope
    }

    /// The variables of this group and those above it, keys in angle brackets. Mirrors `getAllVariables`.
    pub fn variables(&self) -> &[(String, String)] {
        &self.0.variables
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
        Self::new(group.dispatcher.clone(), Some(self.clone()), logical_scope, all, job_id)
    }

    fn new(
        dispatcher: Dispatcher,
        parent: Option<MetricGroup>,
        logical_scope: String,
        variables: Vec<(String, String)>,
        job_id: Option<Text>,
    ) -> Self {
        let contexts = dispatcher.contexts(job_id.as_ref(), &variables);
        let closed = AtomicBool::new(false);
        Self(Arc::new(Group { dispatcher, parent, logical_scope, variables, job_id, contexts, closed }))
    }
}

/// What identifies a task to its group, as the arguments of Flink's `TaskManagerJobMetricGroup.addTask`.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct TaskVariables<'a> {
    /// The job vertex, 32 hexadecimal digits: variable `task_id`.
    pub job_vertex_id: &'a str,
    /// Its name: variable `task_name`.
    pub name: &'a str,
    /// The execution attempt: variable `task_attempt_id`.
    pub attempt_id: &'a str,
    /// The attempt's number, from 0: variable `task_attempt_num`.
    pub attempt_number: u32,
    /// The subtask, from 0: variable `subtask_index`.
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
