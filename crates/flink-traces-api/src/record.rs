//! Spans and events as a reporter sees them.

use std::iter;
use std::sync::Arc;

use crate::attribute::Keys;
use crate::{Event, Failure, Identity, Receipt, Span, SpanContext, SpanId, Text, TraceId, ValueRef};

/// The value of the option `compatibility`, which selects between Flink's behavior and a corrected
/// one.
// Exhaustive: a reporter either corrects Flink's records or copies them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compatibility {
    /// Corrects Flink's records and adds extensions.
    ///
    /// Failed spans end at the time of the failure and carry an error. Events have the appropriate
    /// time and severity.
    #[default]
    Standard,
    /// Reports byte for byte the same as Flink 2.3's own reporters.
    Flink,
}

/// The data that a group and a reporter add to all records of that group.
// The caller counts the references to a context with every record, and a reporter reads the context
// at the same time. The alignment keeps the count out of the cache line with the data.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
#[repr(align(64))]
pub struct ReportContext {
    /// The job, for records of a job's own group. It becomes the attribute `jobId` of roots and
    /// events.
    pub job_id: Option<Text>,
    /// The variables of the group as this reporter shows them, with keys in angle brackets
    /// (`<host>`).
    ///
    /// Exclusions and additions are applied. Variables replace attributes of the same key.
    pub variables: Vec<(String, String)>,
    /// The compatibility that the reporter is configured with.
    pub compatibility: Compatibility,
    /// The resource attributes of the group's source, such as an observed cluster.
    ///
    /// They replace the reporter's own with the same keys, see
    /// [`otel::resource_of`](crate::otel::resource_of). All groups of a source share them.
    pub resource: Arc<[(String, String)]>,
}

impl ReportContext {
    /// Creates a context without a job and without variables.
    pub fn new(compatibility: Compatibility) -> Self {
        Self { job_id: None, variables: Vec::new(), compatibility, resource: Arc::default() }
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

    /// Sets the resource attributes of the source.
    #[must_use]
    pub fn with_resource(mut self, resource: impl Into<Arc<[(String, String)]>>) -> Self {
        self.resource = resource.into();
        self
    }

    fn overrides(&self, key: &str) -> bool {
        self.variables.iter().any(|(variable, _)| variable == key)
    }

    fn shows_extensions(&self) -> bool {
        self.compatibility == Compatibility::Standard
    }

    /// Returns own attributes, then extensions, then `jobId`, then variables. Later keys replace
    /// earlier, except that an extension of a child replaces a variable.
    fn attributes<'a>(
        &'a self,
        own: &'a crate::Attributes,
        extension: Option<&'a crate::Attributes>,
        with_job_id: bool,
    ) -> impl Iterator<Item = (&'a str, ValueRef<'a>)> {
        let extension = extension.filter(|_| self.shows_extensions());
        let job_id = self.job_id.as_ref().filter(|_| with_job_id);
        let hidden = move |key: &str| (job_id.is_some() && key == JOB_ID) || self.overrides(key);
        let of_child = extension.filter(|_| !with_job_id);
        let replaced = move |key: &str| of_child.is_some_and(|own| own.get(strip_angle_brackets(key)).is_some());
        own.iter()
            .filter(move |(key, _)| extension.is_none_or(|extension| extension.get(key).is_none()))
            .chain(extension.into_iter().flat_map(crate::Attributes::iter))
            .filter(move |(key, _)| !hidden(key))
            .chain(self.added(with_job_id).filter(move |(key, _)| !replaced(key)))
    }

    /// Returns the attributes that follow a record's own: `jobId` for roots and events, then
    /// variables.
    fn added(&self, with_job_id: bool) -> impl Iterator<Item = (&str, ValueRef<'_>)> {
        let job_id = self.job_id.as_deref().filter(|_| with_job_id && !self.overrides(JOB_ID));
        let variables = self.variables.iter().map(|(key, value)| (key.as_str(), ValueRef::String(value)));
        job_id.map(|id| (JOB_ID, ValueRef::String(id))).into_iter().chain(variables)
    }
}

/// The attributes that a context adds to all roots or to all children, for OpenTelemetry reporters.
///
/// An encoder can prepare them once and append them to many spans. If [`before`](Self::before)
/// returns attributes for a span, its [`SpanRef::otel_attributes`] are those followed by these.
#[derive(Debug, Clone)]
pub struct AddedAttributes {
    list: Vec<(String, String)>,
    /// The set of keys, including those that must be renamed or left out.
    keys: Keys,
    /// `true` if two have the same key or some attributes must be left out.
    needs_merge: bool,
}

impl AddedAttributes {
    /// Creates the attributes that `context` adds to roots, if `to_roots`, or else to children.
    pub fn new(context: &ReportContext, to_roots: bool) -> Self {
        let mut added = Self { list: Vec::new(), keys: Keys::UNUSUAL, needs_merge: !context.shows_extensions() };
        for (key, value) in context.added(to_roots) {
            let key = strip_angle_brackets(key);
            if let (false, ValueRef::String(value)) = (key.is_empty(), value) {
                added.needs_merge |= added.has(key.as_bytes());
                added.keys.insert(Keys::of(key));
                added.list.push((key.to_owned(), value.to_owned()));
            }
        }
        added
    }

    /// Returns an iterator over keys, without angle brackets, and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.list.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Returns the attributes of `span` that go before these.
    ///
    /// Returns `None` if a key must be replaced, renamed or left out, so that all attributes must
    /// be merged one by one.
    pub fn before<'a>(&self, span: &SpanRef<'a>) -> Option<&'a crate::Attributes> {
        let extension = span.span.extension();
        if self.needs_merge || extension.is_some_and(|extension| !extension.attributes.is_empty()) {
            return None;
        }
        let own = span.span.attributes();
        let is_simple = |key: &[u8]| !matches!(key.first(), None | Some(b'<')) && !self.has(key);
        (!own.keys().intersects(self.keys) || own.entries().all(|entry| is_simple(entry.key_bytes()))).then_some(own)
    }

    fn has(&self, key: &[u8]) -> bool {
        self.list.iter().any(|(added, _)| added.as_bytes() == key)
    }
}

/// The attribute that names the job, on the roots and events of a job's own group.
pub const JOB_ID: &str = "jobId";

/// The attributes as OpenTelemetry reporters export them.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct OtelAttributes<'a> {
    /// The attributes, each key once and without angle brackets.
    pub list: Vec<(&'a str, ValueRef<'a>)>,
    /// The number of attributes that were left out because another had the same key.
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

/// Returns the key without a pair of angle brackets.
///
/// The keys of Flink's variables have them, and OpenTelemetry's attributes do not.
pub fn strip_angle_brackets(key: &str) -> &str {
    key.strip_prefix('<').and_then(|key| key.strip_suffix('>')).unwrap_or(key)
}

/// A span tree as one reporter sees it.
#[derive(Debug, Clone)]
pub struct ReportedSpan {
    span: Arc<Span>,
    context: Arc<ReportContext>,
    receipt: Option<Arc<Receipt>>,
}

impl ReportedSpan {
    /// Creates the view of `span` for one reporter.
    ///
    /// Usually the dispatcher does this, and it gives an identity to each span that has none. Spans
    /// without an identity that are created in another way all have the same ids.
    pub fn new(span: Arc<Span>, context: Arc<ReportContext>) -> Self {
        Self { span, context, receipt: None }
    }

    /// Sets the receipt, which all reporters of the span share.
    #[must_use]
    pub fn with_receipt(self, receipt: Option<Arc<Receipt>>) -> Self {
        Self { receipt, ..self }
    }

    /// Returns the receipt, if the dispatcher wants one.
    pub fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_deref()
    }

    /// Returns the name of the root.
    pub fn name(&self) -> &str {
        self.span.name()
    }

    /// Returns the root of the tree.
    pub fn root(&self) -> SpanRef<'_> {
        let own = SpanContext::from(self.span.identity.unwrap_or(Identity::numbered(0)));
        let extension = self.span.extension().filter(|_| self.context.shows_extensions());
        let parent = extension.and_then(|extension| extension.parent);
        SpanRef {
            span: &self.span,
            context: &self.context,
            trace_id: parent.map_or(own.trace_id, |parent| parent.trace_id),
            span_id: own.span_id,
            parent_span_id: parent.map(|parent| parent.span_id),
            is_root: true,
            root_failure: self.span.extension().and_then(|extension| extension.failure.as_ref()),
        }
    }

    /// Returns an iterator over all spans of the tree, in which parents precede their children.
    pub fn spans(&self) -> impl Iterator<Item = SpanRef<'_>> {
        let mut pending = vec![self.root()];
        iter::from_fn(move || {
            let span = pending.pop()?;
            let index = pending.len();
            pending.extend(span.children());
            pending[index..].reverse();
            Some(span)
        })
    }

    /// Returns the number of spans in the tree. [`Compatibility::Flink`] leaves out extensions.
    pub fn span_count(&self) -> usize {
        if self.context.shows_extensions() { self.span.span_count() } else { self.span.flink_span_count() }
    }

    /// Returns the approximate number of bytes that the tree takes in memory.
    ///
    /// The tree is not traversed, so the time does not depend on its size. The overhead of the
    /// allocator is not included, nor is the context, which all records of a group share.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + ARC_COUNTS + self.span.memory_bytes()
    }

    /// Returns the data that the group and the reporter add.
    pub fn context(&self) -> &ReportContext {
        &self.context
    }
}

/// The size of the reference counts of an [`Arc`].
const ARC_COUNTS: usize = 2 * size_of::<usize>();

/// A span of a tree as one reporter sees it.
///
/// Variables are merged, extensions are shown or hidden, and ids are assigned.
#[derive(Debug, Clone, Copy)]
pub struct SpanRef<'a> {
    span: &'a Span,
    context: &'a ReportContext,
    trace_id: TraceId,
    span_id: SpanId,
    parent_span_id: Option<SpanId>,
    is_root: bool,
    root_failure: Option<&'a Failure>,
}

impl<'a> SpanRef<'a> {
    /// Returns the class that reported the span, which is OpenTelemetry's instrumentation scope.
    pub fn scope(&self) -> &'a str {
        self.span.scope()
    }

    /// Returns the name.
    pub fn name(&self) -> &'a str {
        self.span.name()
    }

    /// Returns the start time in milliseconds since the epoch.
    pub fn start_ts_millis(&self) -> i64 {
        self.span.start_ts_millis()
    }

    /// Returns the end time in milliseconds since the epoch.
    ///
    /// If Flink's end is before the start, it is the time of the failure, or the start if there is
    /// none. [`Compatibility::Flink`] keeps Flink's end.
    pub fn end_ts_millis(&self) -> i64 {
        let (start, end) = (self.span.start_ts_millis(), self.span.end_ts_millis());
        if end >= start || !self.context.shows_extensions() {
            return end;
        }
        self.root_failure.map_or(start, |failure| failure.ts_millis.max(start))
    }

    /// Returns the failure, which [`Compatibility::Flink`] hides.
    pub fn failure(&self) -> Option<&'a Failure> {
        let extension = self.span.extension().filter(|_| self.context.shows_extensions())?;
        extension.failure.as_ref()
    }

    /// Returns the ids of the linked spans, which [`Compatibility::Flink`] hides.
    pub fn links(&self) -> impl Iterator<Item = SpanContext> + use<'a> {
        let extension = self.span.extension().filter(|_| self.context.shows_extensions());
        extension.into_iter().flat_map(|extension| &extension.links).copied()
    }

    /// Returns all attributes. The keys of variables have angle brackets, as in Flink's log
    /// reporter.
    pub fn attributes(&self) -> impl Iterator<Item = (&'a str, ValueRef<'a>)> + use<'a> {
        let extension = self.span.extension().map(|extension| &extension.attributes);
        self.context.attributes(self.span.attributes(), extension, self.is_root)
    }

    /// Returns the data that the group and the reporter add.
    pub fn context(&self) -> &'a ReportContext {
        self.context
    }

    /// Returns all attributes as Flink's OpenTelemetry reporter exports them.
    ///
    /// The keys have no angle brackets, and each occurs once. [`Compatibility::Flink`] leaves out
    /// booleans.
    pub fn otel_attributes(&self) -> OtelAttributes<'a> {
        let booleans = self.context.shows_extensions();
        OtelAttributes::collect(self.attributes().filter(|(_, value)| booleans || !matches!(value, ValueRef::Bool(_))))
    }

    /// Returns the children in order: those of Flink, then those that [`Compatibility::Flink`]
    /// hides.
    ///
    /// The first call builds those that are
    /// [deferred](crate::SpanBuilder::deferred_children).
    pub fn children(&self) -> impl ExactSizeIterator<Item = SpanRef<'a>> + use<'a> {
        let parent = *self;
        let own = parent.span.children();
        let extension = parent.span.extension().filter(|_| parent.context.shows_extensions());
        let others = extension.map_or(&[][..], |extension| &extension.children);
        (0..own.len() + others.len()).map(move |index| {
            let span = if index < own.len() { &own[index] } else { &others[index - own.len()] };
            SpanRef {
                span,
                span_id: parent.span_id.child(span.identity.unwrap_or(Identity::numbered(index as u64))),
                parent_span_id: Some(parent.span_id),
                is_root: false,
                ..parent
            }
        })
    }

    /// Returns the id that all spans of the tree share.
    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// Returns the id of this span.
    pub fn span_id(&self) -> SpanId {
        self.span_id
    }

    /// Returns the id of the parent in the tree. For the root, it is the
    /// [parent](crate::SpanBuilder::parent) in another trace, if there is one.
    pub fn parent_span_id(&self) -> Option<SpanId> {
        self.parent_span_id
    }

    /// Returns `true` for the root of the tree, which may have a parent in another trace.
    pub fn is_root(&self) -> bool {
        self.is_root
    }
}

/// An event as one reporter sees it.
#[derive(Debug, Clone)]
pub struct ReportedEvent {
    event: Arc<Event>,
    reported_ts_millis: i64,
    context: Arc<ReportContext>,
    receipt: Option<Arc<Receipt>>,
}

impl ReportedEvent {
    /// Creates the view of `event` for one reporter, to which it is passed at `reported_ts_millis`.
    pub fn new(event: Arc<Event>, reported_ts_millis: i64, context: Arc<ReportContext>) -> Self {
        Self { event, reported_ts_millis, context, receipt: None }
    }

    /// Sets the receipt, which all reporters of the event share.
    #[must_use]
    pub fn with_receipt(self, receipt: Option<Arc<Receipt>>) -> Self {
        Self { receipt, ..self }
    }

    /// Returns the receipt, if the dispatcher wants one.
    pub fn receipt(&self) -> Option<&Receipt> {
        self.receipt.as_deref()
    }

    /// Returns the class that reported the event, which is OpenTelemetry's instrumentation scope.
    pub fn scope(&self) -> &str {
        self.event.scope()
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.event.name()
    }

    /// Returns the time of the event in milliseconds since the epoch.
    ///
    /// Under [`Compatibility::Flink`] it is −1 if Flink leaves it unset.
    pub fn ts_millis(&self) -> i64 {
        self.extension().and_then(|extension| extension.ts_millis).unwrap_or_else(|| self.event.observed_ts_millis())
    }

    /// Returns the time at which the event was passed to the reporters, in milliseconds since the
    /// epoch.
    pub fn reported_ts_millis(&self) -> i64 {
        self.reported_ts_millis
    }

    /// Returns the severity, which is free text.
    ///
    /// Under [`Compatibility::Flink`] it is `INFO` for all of Flink's own events.
    pub fn severity(&self) -> &str {
        self.extension().and_then(|extension| extension.severity.as_deref()).unwrap_or_else(|| self.event.severity())
    }

    /// Returns the text.
    ///
    /// Under [`Compatibility::Flink`] it is empty for all of Flink's own events.
    pub fn body(&self) -> &str {
        self.extension().and_then(|extension| extension.body.as_deref()).unwrap_or_else(|| self.event.body())
    }

    /// Returns all attributes. The keys of variables have angle brackets, as in Flink.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, ValueRef<'_>)> {
        let extension = self.event.extension().map(|extension| &extension.attributes);
        self.context.attributes(self.event.attributes(), extension, true)
    }

    /// Returns all attributes as Flink's OpenTelemetry reporter exports them.
    ///
    /// `name` comes first. The keys have no angle brackets, and each occurs once.
    pub fn otel_attributes(&self) -> OtelAttributes<'_> {
        let name = iter::once(("name", ValueRef::String(self.name())));
        let rest = self
            .attributes()
            .filter(|(key, value)| strip_angle_brackets(key) != "name" || matches!(value, ValueRef::String(_)));
        OtelAttributes::collect(name.chain(rest))
    }

    /// Returns the approximate number of bytes that the event takes in memory. See
    /// [`ReportedSpan::memory_bytes`].
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + ARC_COUNTS + self.event.memory_bytes()
    }

    /// Returns the data that the group and the reporter add.
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
    use crate::{RECORD_UID, SystemClock};

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
    fn variables_override_job_id_and_attributes() {
        let span = reported(Compatibility::Standard);
        assert_eq!(
            text(span.root().attributes()),
            ["flag=Bool(true)", "why=disk full", "jobId=4711", "<host>=jm", "plain=variable"]
        );
        let span = reported(Compatibility::Flink);
        assert_eq!(text(span.root().attributes()), ["flag=Bool(true)", "jobId=4711", "<host>=jm", "plain=variable"]);
    }

    #[test]
    fn otel_keys_are_stripped_and_unique() {
        let span = reported(Compatibility::Flink);
        let root = span.root().otel_attributes();
        assert_eq!(text(root.list.into_iter()), ["jobId=4711", "host=jm", "plain=variable"]);
        let child = span.root().children().next().map(|child| child.otel_attributes()).unwrap();
        assert_eq!((text(child.list.into_iter()), child.dropped), (vec!["host=jm".into(), "plain=variable".into()], 1));
    }

    #[test]
    fn extension_of_a_child_replaces_a_variable() {
        let child = Span::builder("scope", "child").extension_attribute("host", "tm-1");
        let root = Span::builder("scope", "root").extension_attribute("host", "own").child(child).build(&SystemClock);
        let root = Arc::new(root);
        for (compatibility, expected) in [(Compatibility::Standard, "tm-1"), (Compatibility::Flink, "jm")] {
            let span = ReportedSpan::new(root.clone(), context(compatibility));
            let hosts = span.spans().map(|span| {
                let attributes = span.otel_attributes();
                assert_eq!(attributes.list.iter().filter(|(key, _)| *key == "host").count(), 1);
                attributes.list.iter().find(|(key, _)| *key == "host").map(|(_, value)| value.to_string())
            });
            assert_eq!(hosts.collect::<Vec<_>>(), [Some("jm".to_owned()), Some(expected.to_owned())]);
        }
    }

    #[test]
    fn appending_group_attributes_equals_merging() {
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
    fn spans_are_visited_parents_first() {
        let named = |name: &'static str| Span::builder("scope", name);
        let tree = named("root").child(named("a").children([named("a1"), named("a2")])).child(named("b"));
        let span = ReportedSpan::new(Arc::new(tree.build(&SystemClock)), Arc::default());
        let names: Vec<_> = span.spans().map(|span| span.name()).collect();
        assert_eq!(names, ["root", "a", "a1", "a2", "b"]);
        assert_eq!(names.len(), span.span_count());
    }

    #[test]
    fn unset_end_becomes_failure_time_unless_flink() {
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
    fn parent_and_links_are_hidden_under_flink() {
        let caller = SpanContext::from_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").unwrap();
        let tree = |caller: Option<SpanContext>| {
            let root = Span::builder("scope", "root").identity(Identity::of(&["prod"])).parent(caller);
            root.child(Span::builder("scope", "child").parent(caller)).start_ts_millis(1)
        };
        let other = Identity::of(&["other"]);
        let span = Arc::new(tree(Some(caller)).link(caller).link(other).build(&SystemClock));
        let plain = Arc::new(tree(None).build(&SystemClock));
        let ids = |span: &ReportedSpan| {
            let ids = |span: SpanRef<'_>| (span.trace_id(), span.span_id(), span.parent_span_id(), span.is_root());
            span.spans().map(ids).collect::<Vec<_>>()
        };
        let alone = ids(&ReportedSpan::new(plain, context(Compatibility::Standard)));
        let own = SpanContext::from(Identity::of(&["prod"]));
        assert_eq!(alone[0], (own.trace_id, own.span_id, None, true));

        let hidden = ReportedSpan::new(span.clone(), context(Compatibility::Flink));
        assert_eq!((ids(&hidden), hidden.root().links().count()), (alone.clone(), 0));
        let shown = ReportedSpan::new(span, context(Compatibility::Standard));
        let joined = [
            (caller.trace_id, alone[0].1, Some(caller.span_id), true),
            (caller.trace_id, alone[1].1, Some(alone[0].1), false),
        ];
        assert_eq!(ids(&shown), joined);
        assert_eq!(shown.root().links().collect::<Vec<_>>(), [caller, other.into()]);
        // The root has the variables of its group, and its child has not.
        let has_job = |span: SpanRef<'_>| span.attributes().any(|(key, _)| key == "jobId");
        assert_eq!(shown.spans().map(has_job).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn extension_children_are_hidden_under_flink() {
        let child = |name: &'static str| Span::builder("scope", name).start_ts_millis(1);
        let span = child("root")
            .extension_children([child("c").child(child("d")), child("e")])
            .children([child("a"), child("b").extension_children([child("f")])])
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
    fn event_fields_follow_compatibility() {
        let event = Event::builder("scope", "JobFailureEvent")
            .observed_ts_millis(-1)
            .severity("INFO")
            .attribute("name", 4)
            .extension_severity("ERROR")
            .extension_body("Job 4711 failed")
            .identity(Identity::of(&["prod", "4711"]))
            .extension_ts_millis(99)
            .build(&SystemClock);
        let event = Arc::new(event);
        let uid = format!("{RECORD_UID}={}", Identity::of(&["prod", "4711"]).trace_id());
        for (compatibility, expected, uid) in [
            (Compatibility::Standard, (99, "ERROR", "Job 4711 failed"), Some(uid)),
            (Compatibility::Flink, (-1, "INFO", ""), None),
        ] {
            let reported = ReportedEvent::new(event.clone(), 7, context(compatibility));
            assert_eq!((reported.ts_millis(), reported.severity(), reported.body()), expected);
            let mut attributes = vec!["name=JobFailureEvent".to_owned()];
            attributes.extend(uid);
            attributes.extend(["jobId=4711", "host=jm", "plain=variable"].map(str::to_owned));
            assert_eq!(text(reported.otel_attributes().list.into_iter()), attributes);
        }
    }
}
