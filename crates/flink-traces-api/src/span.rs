//! Spans: what happened from one moment to another, possibly with parts.

use crate::{AttributeValue, Attributes, Clock, Identity, Text, ValueRef};

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
    pub(crate) identity: Option<Identity>,
    /// `None` if it has none: most spans are parts that have none themselves.
    parts: Option<Box<Parts>>,
    pub(crate) extension: Option<Box<SpanExtension>>,
}

/// The parts that Flink's span has, too, and how many spans they and those beyond Flink are, all in all.
#[derive(Debug, Clone, Default, PartialEq)]
struct Parts {
    children: Vec<Span>,
    span_count: usize,
    /// Without those that Flink would not have reported.
    flink_span_count: usize,
    /// The children, also those beyond Flink, that have no start yet.
    unset: Vec<Unset>,
    /// Whether a span further down has no start yet.
    has_unset_below: bool,
}

/// A child that has no start yet.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Unset {
    /// Which of its siblings it is.
    place: usize,
    is_beyond_flink: bool,
    /// Whether its end is not set either.
    has_no_end: bool,
}

impl Span {
    /// Starts a span of the class `scope`, in Flink the reporting class's canonical name.
    #[inline]
    pub fn builder(scope: impl Into<Text>, name: impl Into<Text>) -> SpanBuilder {
        let span = Span {
            scope: scope.into(),
            name: name.into(),
            start_ts_millis: 0,
            end_ts_millis: 0,
            attributes: Attributes::new(),
            identity: None,
            parts: None,
            extension: None,
        };
        SpanBuilder { span, has_start: false, has_end: false }
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
        self.parts.as_ref().map_or(&[], |parts| &parts.children)
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
        1 + self.parts.as_ref().map_or(0, |parts| parts.span_count)
    }

    /// The same without those beyond Flink.
    pub(crate) fn flink_span_count(&self) -> usize {
        1 + self.parts.as_ref().map_or(0, |parts| parts.flink_span_count)
    }

    fn has_unset_below(&self) -> bool {
        self.parts.as_ref().is_some_and(|parts| parts.has_unset_below || !parts.unset.is_empty())
    }

    /// Fills in the timestamps that were not set, of all spans below this one.
    fn settle_below(&mut self, now: i64) {
        let Some(parts) = self.parts.as_mut() else { return };
        let extension = self.extension.as_mut().map_or(&mut [][..], |extension| &mut extension.children);
        for Unset { place, is_beyond_flink, has_no_end } in std::mem::take(&mut parts.unset) {
            let siblings = if is_beyond_flink { &mut *extension } else { &mut parts.children };
            let Some(child) = siblings.get_mut(place) else { continue };
            child.start_ts_millis = now;
            if has_no_end {
                child.end_ts_millis = now;
            }
        }
        if std::mem::take(&mut parts.has_unset_below) {
            parts.children.iter_mut().chain(extension).for_each(|child| child.settle_below(now));
        }
    }
}

/// What a span tells beyond what Flink's own would. Left out of what a reporter sees under `compatibility: flink`.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
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
#[non_exhaustive]
pub struct Failure {
    /// The time of the failure, in milliseconds since the epoch.
    pub ts_millis: i64,
    /// The cause, for people. May be empty.
    pub message: String,
}

impl Failure {
    /// Creates a failure at `ts_millis`, in milliseconds since the epoch.
    pub fn new(ts_millis: i64, message: impl Into<String>) -> Self {
        Self { ts_millis, message: message.into() }
    }
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
    /// Whether the span's start is set.
    has_start: bool,
    /// Whether its end is.
    has_end: bool,
}

impl SpanBuilder {
    /// The span's name.
    pub fn name(&self) -> &str {
        &self.span.name
    }

    /// What was said of what makes it this span; see [`identity`](Self::identity).
    pub fn has_identity(&self) -> bool {
        self.span.identity.is_some()
    }

    /// Sets when it began, in milliseconds since the epoch. Unset: the moment of [`build`](Self::build).
    #[must_use]
    #[inline]
    pub fn start_ts_millis(mut self, millis: i64) -> Self {
        self.span.start_ts_millis = millis;
        self.has_start = true;
        self
    }

    /// Sets when it ended, in milliseconds since the epoch. Unset: its start.
    #[must_use]
    #[inline]
    pub fn end_ts_millis(mut self, millis: i64) -> Self {
        self.span.end_ts_millis = millis;
        self.has_end = true;
        self
    }

    /// Sets an attribute, replacing an earlier value of that key.
    #[must_use]
    #[inline]
    pub fn attribute(mut self, key: impl Into<Text>, value: impl Into<AttributeValue>) -> Self {
        self.span.attributes.set(key, value);
        self
    }

    /// Sets attributes from borrowed keys and values, which are copied once.
    ///
    /// This is [`attribute`](Self::attribute) for callers that set many.
    #[must_use]
    #[inline]
    pub fn attributes<'a>(mut self, attributes: impl IntoIterator<Item = (&'a str, ValueRef<'a>)>) -> Self {
        for (key, value) in attributes {
            self.span.attributes.set_ref(key, value);
        }
        self
    }

    /// Makes room for attributes of about so many bytes, keys and values and eight more for each: for whoever makes many spans that are
    /// alike.
    #[must_use]
    #[inline]
    pub fn attribute_capacity(mut self, bytes: usize) -> Self {
        self.span.attributes.reserve(bytes);
        self
    }

    /// Adds a part of this span.
    #[must_use]
    pub fn child(self, child: SpanBuilder) -> Self {
        self.children([child])
    }

    /// Adds parts of this span.
    #[must_use]
    pub fn children(mut self, children: impl IntoIterator<Item = SpanBuilder>) -> Self {
        let children = children.into_iter();
        let expected = children.size_hint().0;
        for child in children {
            self.note_part(&child, self.span.children().len(), false);
            let parts = self.span.parts.get_or_insert_default();
            if parts.children.capacity() == 0 {
                parts.children.reserve_exact(expected);
            }
            parts.flink_span_count += child.span.flink_span_count();
            parts.children.push(child.into_part());
        }
        self
    }

    /// Counts a part, and notes what of it is not set.
    fn note_part(&mut self, part: &SpanBuilder, place: usize, is_beyond_flink: bool) {
        let parts = self.span.parts.get_or_insert_default();
        if !part.has_start {
            parts.unset.push(Unset { place, is_beyond_flink, has_no_end: !part.has_end });
        }
        parts.has_unset_below |= part.span.has_unset_below();
        parts.span_count += part.span.span_count();
    }

    /// Itself as a part; a start that is not set stays so.
    fn into_part(mut self) -> Span {
        if !self.has_end {
            self.span.end_ts_millis = self.span.start_ts_millis;
        }
        self.span
    }

    /// Says what makes this span this one, from which its ids follow. A root without one gets random ids; a child without one
    /// is told from its siblings by its place.
    #[must_use]
    #[inline]
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
        for child in children {
            let place = self.extension().children.len();
            self.note_part(&child, place, true);
            self.extension().children.push(child.into_part());
        }
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

    /// The span; timestamps that were not set are taken from `clock`, once for the whole tree. A tree whose timestamps are all set is
    /// not walked: it takes the same time whatever its size.
    pub fn build(self, clock: &dyn Clock) -> Span {
        let Self { mut span, has_start, has_end } = self;
        let has_unset_below = span.has_unset_below();
        let now = if has_start && !has_unset_below { 0 } else { clock.now_millis() };
        if !has_start {
            span.start_ts_millis = now;
        }
        if !has_end {
            span.end_ts_millis = span.start_ts_millis;
        }
        if has_unset_below {
            span.settle_below(now);
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
            builder = start.into_iter().fold(builder, SpanBuilder::start_ts_millis);
            builder = end.into_iter().fold(builder, SpanBuilder::end_ts_millis);
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
        let [a, b] = span.children() else { panic!("{span:?}") };
        let times = [a, b, &b.children()[0]].map(|span| (span.start_ts_millis(), span.end_ts_millis()));
        assert_eq!(times, [(10, 10); 3]);
        assert_eq!(span.span_count(), 4);
    }

    #[test]
    fn the_last_value_of_a_key_wins_in_its_first_place() {
        let span = Span::builder("s", "n").attribute("a", 1).attribute("b", true).attribute("a", "x").build(&At(0));
        let found: Vec<_> = span.attributes().iter().collect();
        assert_eq!(found, [("a", ValueRef::String("x")), ("b", ValueRef::Bool(true))]);
    }

    #[test]
    fn parts_beyond_flink_are_counted_apart_and_share_the_reading_of_the_clock() {
        let part = |name| Span::builder("s", name).start_ts_millis(1);
        let span = part("root")
            .child(part("a").extension_children([part("b"), part("c")]))
            .extension_children([part("d").child(Span::builder("s", "e")), Span::builder("s", "f")])
            .child(Span::builder("s", "g").end_ts_millis(5))
            .build(&At(9));
        assert_eq!((span.span_count(), span.flink_span_count()), (8, 3));
        let beyond = &span.extension().unwrap().children;
        let times = [&beyond[0], &beyond[0].children()[0], &beyond[1], &span.children()[0], &span.children()[1]];
        let times = times.map(|span| (span.start_ts_millis(), span.end_ts_millis()));
        assert_eq!(times, [(1, 1), (9, 9), (9, 9), (1, 1), (9, 5)]);
    }
}
