//! Spans and events as one reporter shall report them.

use std::fmt;
use std::iter;
use std::sync::Arc;

use crate::attribute::Keys;
use crate::{AttributeValue, Event, Failure, Identity, Span, SpanId, Text, TraceId};

/// The value of the option `compatibility`, which selects between Flink's behavior and a corrected one.
// Exhaustive: a reporter either corrects Flink's records or copies them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compatibility {
    /// Failed spans end when they failed and carry an error, events have the time and the severity they deserve, and what
    /// this workspace knows beyond Flink is added.
    #[default]
    Standard,
    /// Byte for byte what Flink 2.3's own reporters say.
    Flink,
}

/// What a group and a reporter add to whatever they report: the part that all records of one group at one reporter share.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ReportContext {
    /// The job, for what a job's own group reports: attribute `jobId` on roots and events.
    pub job_id: Option<Text>,
    /// The group's variables as this reporter sees them, keys in angle brackets (`<host>`), excludes and additions applied.
    /// They replace attributes of the same key.
    pub variables: Vec<(String, String)>,
    /// What the reporter's option says.
    pub compatibility: Compatibility,
}

impl ReportContext {
    /// Creates a context without a job and without variables.
    pub fn new(compatibility: Compatibility) -> Self {
        Self { job_id: None, variables: Vec::new(), compatibility }
    }

    /// Sets the job.
    #[must_use]
    pub fn with_job_id(mut self, job_id: impl Into<Text>) -> Self {
        self.job_id = Some(job_id.into());
        self
    }

    /// Sets the variables, whose keys have angle brackets.
    #[must_use]
    pub fn with_variables(
        mut self,
        variables: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    ) -> Self {
        self.variables = variables.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        self
    }

    fn overrides(&self, key: &str) -> bool {
        self.variables.iter().any(|(variable, _)| variable == key)
    }

    fn shows_extensions(&self) -> bool {
        self.compatibility == Compatibility::Standard
    }

    /// Own attributes, then those beyond Flink, then `jobId`, then variables; what comes later replaces what came earlier.
    fn attributes<'a>(
        &'a self,
        own: &'a crate::Attributes,
        extension: Option<&'a crate::Attributes>,
        with_job_id: bool,
    ) -> impl Iterator<Item = (&'a str, ValueRef<'a>)> {
        let extension = extension.filter(|_| self.shows_extensions());
        let job_id = self.job_id.as_ref().filter(|_| with_job_id);
        let hidden = move |key: &str| (job_id.is_some() && key == JOB_ID) || self.overrides(key);
        own.iter()
            .filter(move |(key, _)| extension.is_none_or(|extension| extension.get(key).is_none()))
            .chain(extension.into_iter().flat_map(crate::Attributes::iter))
            .filter(move |(key, _)| !hidden(key))
            .chain(self.added(with_job_id))
    }

    /// What it adds to a record, after the record's own: `jobId` to roots and events, and the variables, keys in angle brackets.
    fn added(&self, with_job_id: bool) -> impl Iterator<Item = (&str, ValueRef<'_>)> {
        let job_id = self.job_id.as_deref().filter(|_| with_job_id && !self.overrides(JOB_ID));
        let variables = self.variables.iter().map(|(key, value)| (key.as_str(), ValueRef::String(value)));
        job_id.map(|id| (JOB_ID, ValueRef::String(id))).into_iter().chain(variables)
    }
}

/// The attributes that a context adds to all roots, or to all parts, as the OpenTelemetry reporters export them: what an encoder can prepare
/// once and append to many spans.
///
/// Of a span for which [`before`](Self::before) answers, [`SpanRef::otel_attributes`] are those, and then these.
#[derive(Debug, Clone)]
pub struct AddedAttributes {
    list: Vec<(String, String)>,
    /// Their keys, as bits, and what is to be found out with them: keys that have to be renamed or left out.
    keys: Keys,
    /// Whether two have the same key, or some attributes have to be left out.
    is_intricate: bool,
}

impl AddedAttributes {
    /// Those of root spans, if `to_roots`, or of parts.
    pub fn new(context: &ReportContext, to_roots: bool) -> Self {
        let mut added = Self { list: Vec::new(), keys: Keys::UNUSUAL, is_intricate: !context.shows_extensions() };
        for (key, value) in context.added(to_roots) {
            let key = strip_angle_brackets(key);
            if let (false, ValueRef::String(value)) = (key.is_empty(), value) {
                added.is_intricate |= added.has(key.as_bytes());
                added.keys.join(Keys::of(key));
                added.list.push((key.to_owned(), value.to_owned()));
            }
        }
        added
    }

    /// Their keys, without angle brackets, and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.list.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// What goes before these; `None` if something has to be replaced, renamed or left out, so that they are to be merged one by one.
    pub fn before<'a>(&self, span: &SpanRef<'a>) -> Option<&'a crate::Attributes> {
        let extension = span.span.extension();
        if self.is_intricate || extension.is_some_and(|extension| !extension.attributes.is_empty()) {
            return None;
        }
        let own = span.span.attributes();
        let is_simple = |key: &[u8]| !matches!(key.first(), None | Some(b'<')) && !self.has(key);
        (!own.keys().meet(self.keys) || own.entries().all(|entry| is_simple(entry.key_bytes()))).then_some(own)
    }

    fn has(&self, key: &[u8]) -> bool {
        self.list.iter().any(|(added, _)| added.as_bytes() == key)
    }
}

/// The attribute that names the job on roots and events that a job's own group reports.
pub const JOB_ID: &str = "jobId";

/// A borrowed [`AttributeValue`].
// Exhaustive: it has the variants of `AttributeValue`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValueRef<'a> {
    /// Text.
    String(&'a str),
    /// An integer.
    Long(i64),
    /// A floating point number, possibly not finite.
    Double(f64),
    /// A truth value.
    Bool(bool),
}

impl<'a> From<&'a AttributeValue> for ValueRef<'a> {
    fn from(value: &'a AttributeValue) -> Self {
        match value {
            AttributeValue::String(text) => Self::String(text),
            AttributeValue::Long(number) => Self::Long(*number),
            AttributeValue::Double(number) => Self::Double(*number),
            AttributeValue::Bool(flag) => Self::Bool(*flag),
        }
    }
}

/// The value as text: of a number the shortest that reads back as the same.
impl fmt::Display for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text) => f.write_str(text),
            Self::Long(number) => number.fmt(f),
            Self::Double(number) => fmt::Debug::fmt(number, f),
            Self::Bool(flag) => flag.fmt(f),
        }
    }
}

/// Attributes as the OpenTelemetry reporters export them.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct OtelAttributes<'a> {
    /// Each key once, angle brackets stripped.
    pub list: Vec<(&'a str, ValueRef<'a>)>,
    /// How many were left out because another had the same key.
    pub dropped: u32,
}

impl<'a> OtelAttributes<'a> {
    fn collect(attributes: impl Iterator<Item = (&'a str, ValueRef<'a>)>) -> Self {
        let mut collected = Self::default();
        for (key, value) in attributes {
            let key = strip_angle_brackets(key);
            if key.is_empty() {
                continue;
            }
            match collected.list.iter_mut().find(|(known, _)| *known == key) {
                Some((_, slot)) => {
                    *slot = value;
                    collected.dropped += 1;
                }
                None => collected.list.push((key, value)),
            }
        }
        collected
    }
}

/// The key without one pair of angle brackets around it: Flink's variables have them, OpenTelemetry's attributes do not.
pub fn strip_angle_brackets(key: &str) -> &str {
    key.strip_prefix('<').and_then(|key| key.strip_suffix('>')).unwrap_or(key)
}

/// One span tree on its way to one reporter.
#[derive(Debug, Clone)]
pub struct ReportedSpan {
    span: Arc<Span>,
    context: Arc<ReportContext>,
}

impl ReportedSpan {
    /// Made by the dispatcher for each reporter that wants `span`. The dispatcher gives a span that has no identity one of its own;
    /// made otherwise, all those without have the same ids.
    pub fn new(span: Arc<Span>, context: Arc<ReportContext>) -> Self {
        Self { span, context }
    }

    /// The name of the root.
    pub fn name(&self) -> &str {
        self.span.name()
    }

    /// The root of the tree.
    pub fn root(&self) -> SpanRef<'_> {
        let trace_id = self.span.identity.unwrap_or(Identity::numbered(0)).trace_id();
        SpanRef {
            span: &self.span,
            context: &self.context,
            trace_id,
            span_id: trace_id.root_span_id(),
            parent_span_id: None,
            root_failure: self.span.extension().and_then(|extension| extension.failure.as_ref()),
        }
    }

    /// All spans of the tree, the root first, each before its parts.
    pub fn spans(&self) -> impl Iterator<Item = SpanRef<'_>> {
        let mut waiting = vec![self.root()];
        iter::from_fn(move || {
            let span = waiting.pop()?;
            let place = waiting.len();
            waiting.extend(span.children());
            waiting[place..].reverse();
            Some(span)
        })
    }

    /// How many spans the tree holds; under [`Compatibility::Flink`] without those beyond Flink.
    pub fn span_count(&self) -> usize {
        match self.context.shows_extensions() {
            true => self.span.span_count(),
            false => self.span.flink_span_count(),
        }
    }

    /// What the group and the reporter add.
    pub fn context(&self) -> &ReportContext {
        &self.context
    }
}

/// One span of a tree as a reporter shall report it: variables merged, extensions shown or not, ids made.
#[derive(Debug, Clone, Copy)]
pub struct SpanRef<'a> {
    span: &'a Span,
    context: &'a ReportContext,
    trace_id: TraceId,
    span_id: SpanId,
    parent_span_id: Option<SpanId>,
    root_failure: Option<&'a Failure>,
}

impl<'a> SpanRef<'a> {
    /// The class that reported it, for OpenTelemetry the instrumentation scope.
    pub fn scope(&self) -> &'a str {
        self.span.scope()
    }

    /// Its name.
    pub fn name(&self) -> &'a str {
        self.span.name()
    }

    /// When it began, in milliseconds since the epoch.
    pub fn start_ts_millis(&self) -> i64 {
        self.span.start_ts_millis()
    }

    /// When it ended, in milliseconds since the epoch. An end that Flink leaves before the start is the moment of failure, or
    /// else the start; under [`Compatibility::Flink`] it stays as it is.
    pub fn end_ts_millis(&self) -> i64 {
        let (start, end) = (self.span.start_ts_millis(), self.span.end_ts_millis());
        if end >= start || !self.context.shows_extensions() {
            return end;
        }
        self.root_failure.map_or(start, |failure| failure.ts_millis.max(start))
    }

    /// That it failed and why; always `None` under [`Compatibility::Flink`].
    pub fn failure(&self) -> Option<&'a Failure> {
        let extension = self.span.extension().filter(|_| self.context.shows_extensions())?;
        extension.failure.as_ref()
    }

    /// The root spans that it follows from; none under [`Compatibility::Flink`].
    pub fn links(&self) -> impl Iterator<Item = (TraceId, SpanId)> + use<'a> {
        let extension = self.span.extension().filter(|_| self.context.shows_extensions());
        extension.into_iter().flat_map(|extension| &extension.links).map(|identity| {
            let trace_id = identity.trace_id();
            (trace_id, trace_id.root_span_id())
        })
    }

    /// All attributes, keys as Flink's log reporter prints them: variables in angle brackets.
    pub fn attributes(&self) -> impl Iterator<Item = (&'a str, ValueRef<'a>)> + use<'a> {
        let extension = self.span.extension().map(|extension| &extension.attributes);
        self.context.attributes(self.span.attributes(), extension, self.parent_span_id.is_none())
    }

    /// What its group and its reporter add.
    pub fn context(&self) -> &'a ReportContext {
        self.context
    }

    /// All attributes as Flink's OpenTelemetry reporter exports them: no angle brackets, each key once, and under
    /// [`Compatibility::Flink`] no booleans.
    pub fn otel_attributes(&self) -> OtelAttributes<'a> {
        let booleans = self.context.shows_extensions();
        OtelAttributes::collect(self.attributes().filter(|(_, value)| booleans || !matches!(value, ValueRef::Bool(_))))
    }

    /// Its parts, in order: those that Flink has, then the others, of which there are none under [`Compatibility::Flink`].
    pub fn children(&self) -> impl ExactSizeIterator<Item = SpanRef<'a>> + use<'a> {
        let parent = *self;
        let own = parent.span.children();
        let extension = parent.span.extension().filter(|_| parent.context.shows_extensions());
        let others = extension.map_or(&[][..], |extension| &extension.children);
        (0..own.len() + others.len()).map(move |place| {
            let span = if place < own.len() { &own[place] } else { &others[place - own.len()] };
            SpanRef {
                span,
                span_id: parent.span_id.child(span.identity.unwrap_or(Identity::numbered(place as u64))),
                parent_span_id: Some(parent.span_id),
                ..parent
            }
        })
    }

    /// The id that all spans of the tree share.
    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// Its own id.
    pub fn span_id(&self) -> SpanId {
        self.span_id
    }

    /// The id of the span that it is a part of; `None` for the root.
    pub fn parent_span_id(&self) -> Option<SpanId> {
        self.parent_span_id
    }
}

/// One event on its way to one reporter.
#[derive(Debug, Clone)]
pub struct ReportedEvent {
    event: Arc<Event>,
    reported_ts_millis: i64,
    context: Arc<ReportContext>,
}

impl ReportedEvent {
    /// Made by the dispatcher for each reporter that wants `event`, at `reported_ts_millis`.
    pub fn new(event: Arc<Event>, reported_ts_millis: i64, context: Arc<ReportContext>) -> Self {
        Self { event, reported_ts_millis, context }
    }

    /// The class that reported it, for OpenTelemetry the instrumentation scope.
    pub fn scope(&self) -> &str {
        self.event.scope()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.event.name()
    }

    /// When it happened, in milliseconds since the epoch. Under [`Compatibility::Flink`] −1 where Flink leaves it unset.
    pub fn ts_millis(&self) -> i64 {
        self.extension().and_then(|extension| extension.ts_millis).unwrap_or_else(|| self.event.observed_ts_millis())
    }

    /// When it was handed to the reporters, in milliseconds since the epoch.
    pub fn reported_ts_millis(&self) -> i64 {
        self.reported_ts_millis
    }

    /// Its severity, free text; `INFO` for all of Flink's own under [`Compatibility::Flink`].
    pub fn severity(&self) -> &str {
        self.extension().and_then(|extension| extension.severity.as_deref()).unwrap_or_else(|| self.event.severity())
    }

    /// Its text.
    pub fn body(&self) -> &str {
        self.event.body()
    }

    /// All attributes, keys as Flink has them: variables in angle brackets.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, ValueRef<'_>)> {
        let extension = self.event.extension().map(|extension| &extension.attributes);
        self.context.attributes(self.event.attributes(), extension, true)
    }

    /// All attributes as Flink's OpenTelemetry reporter exports them: `name` first, no angle brackets, each key once.
    pub fn otel_attributes(&self) -> OtelAttributes<'_> {
        let name = iter::once(("name", ValueRef::String(self.name())));
        let rest = self
            .attributes()
            .filter(|(key, value)| strip_angle_brackets(key) != "name" || matches!(value, ValueRef::String(_)));
        OtelAttributes::collect(name.chain(rest))
    }

    /// What the group and the reporter add.
    pub fn context(&self) -> &ReportContext {
        &self.context
    }

    fn extension(&self) -> Option<&crate::EventExtension> {
        self.event.extension().filter(|_| self.context.shows_extensions())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;

    fn context(compatibility: Compatibility) -> Arc<ReportContext> {
        let variables = [("<host>", "jm"), ("plain", "variable")];
        Arc::new(ReportContext::new(compatibility).with_job_id("4711").with_variables(variables))
    }

    fn reported(compatibility: Compatibility) -> ReportedSpan {
        let span = Span::builder("scope", "root")
            .start_ts_millis(100)
            .end_ts_millis(-1)
            .attribute("jobId", "user's")
            .attribute("plain", "user's")
            .attribute("flag", true)
            .extension_attribute("why", "disk full")
            .failure(Failure::new(170, "disk full".to_owned()))
            .link(Identity::of(&["before"]))
            .child(Span::builder("scope", "child").start_ts_millis(110).end_ts_millis(-1).attribute("host", "own"))
            .build(&SystemClock);
        ReportedSpan::new(Arc::new(span), context(compatibility))
    }

    fn text<'a>(attributes: impl Iterator<Item = (&'a str, ValueRef<'a>)>) -> Vec<String> {
        attributes
            .map(|(key, value)| match value {
                ValueRef::String(text) => format!("{key}={text}"),
                other => format!("{key}={other:?}"),
            })
            .collect()
    }

    #[test]
    fn variables_win_over_the_job_id_which_wins_over_attributes() {
        let span = reported(Compatibility::Standard);
        assert_eq!(
            text(span.root().attributes()),
            ["flag=Bool(true)", "why=disk full", "jobId=4711", "<host>=jm", "plain=variable"]
        );
        let span = reported(Compatibility::Flink);
        assert_eq!(text(span.root().attributes()), ["flag=Bool(true)", "jobId=4711", "<host>=jm", "plain=variable"]);
    }

    #[test]
    fn open_telemetry_sees_stripped_keys_once() {
        let span = reported(Compatibility::Flink);
        let root = span.root().otel_attributes();
        assert_eq!(text(root.list.into_iter()), ["jobId=4711", "host=jm", "plain=variable"]);
        let child = span.root().children().next().map(|child| child.otel_attributes()).unwrap();
        assert_eq!((text(child.list.into_iter()), child.dropped), (vec!["host=jm".into(), "plain=variable".into()], 1));
    }

    #[test]
    fn what_is_added_is_appended_only_if_that_is_the_same_as_merging() {
        let context = context(Compatibility::Standard);
        let roots = AddedAttributes::new(&context, true);
        for (key, is_appended) in [
            ("checkpointId", true),
            ("hos", true),
            ("plai", true),
            ("host", false),
            ("plain", false),
            ("jobId", false),
            ("<host>", false),
            ("<other>", false),
            ("", false),
        ] {
            let span = Span::builder("scope", "root").attribute("first", 1).attribute(key, "own").build(&SystemClock);
            let reported = ReportedSpan::new(Arc::new(span), context.clone());
            let (root, merged) = (reported.root(), reported.root().otel_attributes());
            let before = roots.before(&root);
            assert_eq!(before.is_some(), is_appended, "{key}");
            if let Some(own) = before {
                let added = roots.iter().map(|(key, value)| (key, ValueRef::String(value)));
                let appended: Vec<_> = own.iter().chain(added).collect();
                assert_eq!((appended, 0), (merged.list, merged.dropped), "{key}");
            }
        }
    }

    #[test]
    fn a_tree_is_walked_parents_first() {
        let named = |name: &'static str| Span::builder("scope", name);
        let tree = named("root").child(named("a").children([named("a1"), named("a2")])).child(named("b"));
        let span = ReportedSpan::new(Arc::new(tree.build(&SystemClock)), Arc::default());
        let names: Vec<_> = span.spans().map(|span| span.name()).collect();
        assert_eq!(names, ["root", "a", "a1", "a2", "b"]);
        assert_eq!(names.len(), span.span_count());
    }

    #[test]
    fn values_have_a_text_that_reads_back() {
        for (value, expected) in [
            (ValueRef::String("a b"), "a b"),
            (ValueRef::Long(i64::MIN), "-9223372036854775808"),
            (ValueRef::Double(1e300), "1e300"),
            (ValueRef::Double(1.0), "1.0"),
            (ValueRef::Double(f64::NAN), "NaN"),
            (ValueRef::Bool(true), "true"),
        ] {
            assert_eq!(value.to_string(), expected);
        }
    }

    #[test]
    fn an_unset_end_is_the_failure_unless_flink_is_asked_for() {
        for (compatibility, ends, failed, links) in
            [(Compatibility::Standard, (170, 170), true, 1), (Compatibility::Flink, (-1, -1), false, 0)]
        {
            let span = reported(compatibility);
            let root = span.root();
            let child = root.children().next().unwrap();
            assert_eq!((root.end_ts_millis(), child.end_ts_millis()), ends);
            assert_eq!((root.failure().is_some(), root.links().count()), (failed, links));
            assert_eq!(child.failure(), None);
            assert_eq!(child.parent_span_id(), Some(root.span_id()));
        }
    }

    #[test]
    fn parts_beyond_flink_are_there_unless_flink_is_asked_for() {
        let part = |name: &'static str| Span::builder("scope", name).start_ts_millis(1);
        let span = part("root")
            .extension_children([part("c").child(part("d")), part("e")])
            .children([part("a"), part("b").extension_children([part("f")])])
            .build(&SystemClock);
        let span = Arc::new(span);
        fn names(span: SpanRef<'_>) -> String {
            let children: Vec<_> = span.children().map(names).collect();
            assert_eq!(span.children().len(), children.len());
            format!("{}({})", span.name(), children.join(" "))
        }
        for (compatibility, expected, count) in
            [(Compatibility::Standard, "root(a() b(f()) c(d()) e())", 7), (Compatibility::Flink, "root(a() b())", 3)]
        {
            let reported = ReportedSpan::new(span.clone(), context(compatibility));
            assert_eq!((names(reported.root()).as_str(), reported.span_count()), (expected, count));
            let mut ids: Vec<_> = reported.root().children().map(|child| child.span_id().to_string()).collect();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), reported.root().children().len());
        }
    }

    #[test]
    fn an_event_shows_what_it_deserves_or_what_flink_says() {
        let event = Event::builder("scope", "JobFailureEvent")
            .observed_ts_millis(-1)
            .severity("INFO")
            .attribute("name", 4)
            .extension_severity("ERROR")
            .extension_ts_millis(99)
            .build(&SystemClock);
        let event = Arc::new(event);
        for (compatibility, expected) in
            [(Compatibility::Standard, (99, "ERROR")), (Compatibility::Flink, (-1, "INFO"))]
        {
            let reported = ReportedEvent::new(event.clone(), 7, context(compatibility));
            assert_eq!((reported.ts_millis(), reported.severity()), expected);
            assert_eq!(
                text(reported.otel_attributes().list.into_iter()),
                ["name=JobFailureEvent", "jobId=4711", "host=jm", "plain=variable"]
            );
        }
    }
}
