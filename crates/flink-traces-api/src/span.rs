//! Spans: what happened from one moment to another, possibly with parts.

use crate::{AttributeValue, Attributes, Clock, Identity, Text};

/// A finished span, as `org.apache.flink.traces.Span`: a stretch of time with attributes and child spans.
///
/// Made by a [`SpanBuilder`]. Reporters see it as a [`SpanRef`](crate::SpanRef), which adds the variables of the group that
/// reported it and decides what of its [`SpanExtension`] is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub(crate) scope: Text,
    pub(crate) name: Text,
    pub(crate) start_ts_millis: i64,
    pub(crate) end_ts_millis: i64,
    pub(crate) attributes: Attributes,
    pub(crate) children: Vec<Span>,
    pub(crate) identity: Option<Identity>,
    pub(crate) extension: Option<Box<SpanExtension>>,
    pub(crate) span_count: usize,
    /// Without those that Flink would not have reported.
    pub(crate) flink_span_count: usize,
}

impl Span {
    /// Starts a span of the class `scope`, in Flink the reporting class's canonical name.
    pub fn builder(scope: impl Into<Text>, name: impl Into<Text>) -> SpanBuilder {
        SpanBuilder {
            span: Span {
                scope: scope.into(),
                name: name.into(),
                start_ts_millis: 0,
                end_ts_millis: 0,
                attributes: Attributes::new(),
                children: Vec::new(),
                identity: None,
                extension: None,
                span_count: 1,
                flink_span_count: 1,
            },
            start_ts_millis: None,
            end_ts_millis: None,
            children: Vec::new(),
            extension_children: Vec::new(),
        }
    }

    /// The class that reported it.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Its name, such as `Checkpoint`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When it began, in milliseconds since the epoch.
    pub fn start_ts_millis(&self) -> i64 {
        self.start_ts_millis
    }

    /// When it ended, in milliseconds since the epoch, as Flink tells it: may lie before the start, −1 where nothing ended.
    pub fn end_ts_millis(&self) -> i64 {
        self.end_ts_millis
    }

    /// Its own attributes, without the variables of the group that reports it.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// Its parts.
    pub fn children(&self) -> &[Span] {
        &self.children
    }

    /// What tells it from all other spans, if it was said.
    pub fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// What Flink would not have reported.
    pub fn extension(&self) -> Option<&SpanExtension> {
        self.extension.as_deref()
    }

    /// How many spans this tree holds, the root and those beyond Flink included: the unit in which reporters count.
    pub fn span_count(&self) -> usize {
        self.span_count
    }
}

/// What a span tells beyond what Flink's own would. Left out of what a reporter sees under `compatibility: flink`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SpanExtension {
    /// Further attributes.
    pub attributes: Attributes,
    /// That what the span stands for failed, when and why.
    pub failure: Option<Failure>,
    /// Root spans that this one follows from, such as the checkpoint that a recovery restored.
    pub links: Vec<Identity>,
    /// Further parts, after those that Flink has.
    pub children: Vec<Span>,
}

/// A failure: it gives a span the status error and, where Flink leaves the end unset, an end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// When, in milliseconds since the epoch.
    pub ts_millis: i64,
    /// Why, for people; may be empty.
    pub message: String,
}

/// Builds a [`Span`], as `org.apache.flink.traces.SpanBuilder`.
///
/// ```
/// use flink_traces_api::{Span, SystemClock};
///
/// let span = Span::builder("com.example.Compactor", "Compaction")
///     .start_ts_millis(1_795_230_917_019)
///     .end_ts_millis(1_795_230_917_430)
///     .attribute("files", 12)
///     .child(Span::builder("com.example.Compactor", "Merge").attribute("level", 1))
///     .build(&SystemClock);
/// assert_eq!(span.span_count(), 2);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SpanBuilder {
    span: Span,
    start_ts_millis: Option<i64>,
    end_ts_millis: Option<i64>,
    children: Vec<SpanBuilder>,
    extension_children: Vec<SpanBuilder>,
}

impl SpanBuilder {
    /// The span's name.
    pub fn name(&self) -> &str {
        &self.span.name
    }

    /// Sets when it began, in milliseconds since the epoch. Unset: the moment of [`build`](Self::build).
    #[must_use]
    pub fn start_ts_millis(mut self, millis: i64) -> Self {
        self.start_ts_millis = Some(millis);
        self
    }

    /// Sets when it ended, in milliseconds since the epoch. Unset: its start.
    #[must_use]
    pub fn end_ts_millis(mut self, millis: i64) -> Self {
        self.end_ts_millis = Some(millis);
        self
    }

    /// Sets an attribute, replacing an earlier value of that key.
    #[must_use]
    pub fn attribute(mut self, key: impl Into<Text>, value: impl Into<AttributeValue>) -> Self {
        self.span.attributes.set(key, value);
        self
    }

    /// Adds a part of this span.
    #[must_use]
    pub fn child(mut self, child: SpanBuilder) -> Self {
        self.children.push(child);
        self
    }

    /// Adds parts of this span.
    #[must_use]
    pub fn children(mut self, children: impl IntoIterator<Item = SpanBuilder>) -> Self {
        self.children.extend(children);
        self
    }

    /// Says what makes this span this one, from which its ids follow. A root without one gets random ids; a child without one
    /// is told from its siblings by its place.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.span.identity = Some(identity);
        self
    }

    /// Sets an attribute that Flink's span of this name does not have.
    #[must_use]
    pub fn extension_attribute(mut self, key: impl Into<Text>, value: impl Into<AttributeValue>) -> Self {
        self.extension().attributes.set(key, value);
        self
    }

    /// Adds parts that Flink's span of this name does not have.
    #[must_use]
    pub fn extension_children(mut self, children: impl IntoIterator<Item = SpanBuilder>) -> Self {
        self.extension_children.extend(children);
        self
    }

    /// Says that what this span stands for failed.
    #[must_use]
    pub fn failure(mut self, failure: Failure) -> Self {
        self.extension().failure = Some(failure);
        self
    }

    /// Says that this span follows from the root span of that identity.
    #[must_use]
    pub fn link(mut self, root: Identity) -> Self {
        self.extension().links.push(root);
        self
    }

    /// The span; timestamps that were not set are taken from `clock`, once for the whole tree.
    pub fn build(self, clock: &dyn Clock) -> Span {
        let now = match self.all_started() {
            true => 0,
            false => clock.now_millis(),
        };
        self.build_at(now)
    }

    fn all_started(&self) -> bool {
        let mut parts = self.children.iter().chain(&self.extension_children);
        self.start_ts_millis.is_some() && parts.all(Self::all_started)
    }

    fn build_at(self, now: i64) -> Span {
        let mut span = self.span;
        span.start_ts_millis = self.start_ts_millis.unwrap_or(now);
        span.end_ts_millis = self.end_ts_millis.unwrap_or(span.start_ts_millis);
        let build = |children: Vec<Self>| children.into_iter().map(|child| child.build_at(now)).collect::<Vec<_>>();
        span.children = build(self.children);
        span.flink_span_count = 1 + span.children.iter().map(|child| child.flink_span_count).sum::<usize>();
        span.span_count = 1 + span.children.iter().map(Span::span_count).sum::<usize>();
        if !self.extension_children.is_empty() {
            let children = build(self.extension_children);
            span.span_count += children.iter().map(Span::span_count).sum::<usize>();
            span.extension.get_or_insert_default().children = children;
        }
        span
    }

    fn extension(&mut self) -> &mut SpanExtension {
        self.span.extension.get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct At(i64);
    impl Clock for At {
        fn now_millis(&self) -> i64 {
            self.0
        }
    }

    #[test]
    fn unset_timestamps_come_from_the_clock() {
        let cases =
            [(None, None, (77, 77)), (Some(5), None, (5, 5)), (None, Some(90), (77, 90)), (Some(0), Some(-1), (0, -1))];
        for (start, end, expected) in cases {
            let mut builder = Span::builder("s", "n");
            builder.start_ts_millis = start;
            builder.end_ts_millis = end;
            let span = builder.build(&At(77));
            assert_eq!((span.start_ts_millis(), span.end_ts_millis()), expected, "{start:?} {end:?}");
        }
    }

    #[test]
    fn children_share_one_reading_of_the_clock() {
        struct Ticking(std::sync::atomic::AtomicI64);
        impl Clock for Ticking {
            fn now_millis(&self) -> i64 {
                self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
            }
        }
        let span = Span::builder("s", "root")
            .start_ts_millis(1)
            .children([Span::builder("s", "a"), Span::builder("s", "b").child(Span::builder("s", "c"))])
            .build(&Ticking(10.into()));
        let starts = [&span.children[0], &span.children[1], &span.children[1].children[0]].map(Span::start_ts_millis);
        assert_eq!(starts, [10, 10, 10]);
        assert_eq!(span.span_count(), 4);
    }

    #[test]
    fn the_last_value_of_a_key_wins_in_its_first_place() {
        let span = Span::builder("s", "n").attribute("a", 1).attribute("b", true).attribute("a", "x").build(&At(0));
        let found: Vec<_> = span.attributes().iter().map(|(key, value)| (key, value.clone())).collect();
        assert_eq!(found, [("a", "x".into()), ("b", true.into())]);
    }
}
