//! Spans, which last from one moment to another and may have children.

use std::fmt;
use std::mem;
use std::panic::AssertUnwindSafe;
use std::sync::LazyLock;

use crate::value::text_heap_bytes;
use crate::{AttributeValue, Attributes, Clock, Identity, SpanContext, Text, ValueRef};

/// A finished span, as `org.apache.flink.traces.Span`.
///
/// A [`SpanBuilder`] creates it. Reporters see it as a [`SpanRef`](crate::SpanRef), which adds the
/// variables of the reporting group and shows or hides the [`SpanExtension`].
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub(crate) scope: Text,
    pub(crate) name: Text,
    pub(crate) start_ts_millis: i64,
    pub(crate) end_ts_millis: i64,
    pub(crate) attributes: Attributes,
    pub(crate) identity: Option<Identity>,
    /// The descendants, or `None` for a leaf, as most spans are.
    descendants: Option<Box<Descendants>>,
    pub(crate) extension: Option<Box<SpanExtension>>,
}

/// The children of a span and the counts of all its descendants.
#[derive(Debug, Clone, Default)]
struct Descendants {
    children: Children,
    span_count: usize,
    /// The number of descendants without extensions.
    flink_span_count: usize,
    /// The sum of [`Span::heap_bytes`] of all children, including extension children.
    heap_bytes: usize,
    /// The children without a start, including extension children.
    unset: Vec<Unset>,
    /// `true` if a descendant of a child has no start.
    has_unset_below: bool,
}

/// Children, which are built at once or when they are first needed.
#[derive(Default)]
struct Children {
    built: Vec<Span>,
    deferred: Option<Box<Deferred>>,
}

/// Children that are built when they are first needed. They have a start and no children.
struct Deferred {
    len: usize,
    spans: LazyLock<Vec<Span>, BuildSpans>,
}

/// Builds the spans. A panic of it leaves none half built, so a span stays safe to unwind over.
type BuildSpans = AssertUnwindSafe<Box<dyn FnOnce() -> Vec<Span> + Send>>;

impl Children {
    /// Returns the children. The first call builds those that are deferred.
    fn as_slice(&self) -> &[Span] {
        self.deferred.as_ref().map_or(&self.built, |deferred| &deferred.spans)
    }

    /// Returns the children for a change. Those that are deferred are built.
    fn built(&mut self) -> &mut Vec<Span> {
        if let Some(deferred) = self.deferred.take() {
            self.built = deferred.spans.to_vec();
        }
        &mut self.built
    }

    /// Returns the number of children for which there is memory.
    fn capacity(&self) -> usize {
        self.deferred.as_ref().map_or(self.built.capacity(), |deferred| deferred.len)
    }
}

impl Clone for Children {
    fn clone(&self) -> Self {
        Self { built: self.as_slice().to_vec(), deferred: None }
    }
}

impl fmt::Debug for Children {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

impl PartialEq for Descendants {
    /// Compares the children. The counts follow from them, and memory is no part of a span's value.
    fn eq(&self, other: &Self) -> bool {
        let Self { children, unset, has_unset_below, .. } = self;
        (children.as_slice(), unset, has_unset_below)
            == (other.children.as_slice(), &other.unset, &other.has_unset_below)
    }
}

/// Frees a tree level by level. The nested calls of a deep tree would overflow the stack.
impl Drop for Descendants {
    fn drop(&mut self) {
        let mut pending = mem::take(&mut self.children.built);
        if pending.iter().all(|child| child.descendants.is_none()) {
            return;
        }
        while let Some(mut span) = pending.pop() {
            if let Some(mut descendants) = span.descendants.take() {
                pending.append(&mut descendants.children.built);
            }
        }
    }
}

/// A child without a start.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Unset {
    /// The index among its siblings.
    index: usize,
    is_extension: bool,
    /// `true` if it has no end either.
    has_no_end: bool,
}

impl Span {
    /// Creates the builder of a span.
    ///
    /// `scope` is the reporting class, in Flink its canonical name.
    #[inline]
    pub fn builder(scope: impl Into<Text>, name: impl Into<Text>) -> SpanBuilder {
        let span = Span {
            scope: scope.into(),
            name: name.into(),
            start_ts_millis: 0,
            end_ts_millis: 0,
            attributes: Attributes::new(),
            identity: None,
            descendants: None,
            extension: None,
        };
        SpanBuilder { span, has_start: false, has_end: false }
    }

    /// Returns the class that reported the span.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Returns the name, such as `Checkpoint`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the start time in milliseconds since the epoch.
    pub fn start_ts_millis(&self) -> i64 {
        self.start_ts_millis
    }

    /// Returns the end time in milliseconds since the epoch.
    ///
    /// As in Flink, it may be before the start, and it is −1 if nothing ended.
    pub fn end_ts_millis(&self) -> i64 {
        self.end_ts_millis
    }

    /// Returns the span's own attributes, without the variables of the group that reports it.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// Returns the children, without extension children.
    pub fn children(&self) -> &[Span] {
        self.descendants.as_ref().map_or(&[], |descendants| descendants.children.as_slice())
    }

    /// Returns the identity, if one is set.
    pub fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Returns `true` if Flink has no span of this name.
    ///
    /// Reporters with `compatibility: flink` do not get it.
    pub fn is_extension(&self) -> bool {
        self.extension.as_ref().is_some_and(|extension| extension.is_whole_span)
    }

    /// Returns the data that Flink's own span does not have.
    pub fn extension(&self) -> Option<&SpanExtension> {
        self.extension.as_deref()
    }

    /// Returns the number of spans in this tree, including the root and extension children.
    ///
    /// Reporters count in this unit.
    pub fn span_count(&self) -> usize {
        1 + self.descendants.as_ref().map_or(0, |descendants| descendants.span_count)
    }

    /// Returns the number of spans in this tree without extension children.
    pub(crate) fn flink_span_count(&self) -> usize {
        1 + self.descendants.as_ref().map_or(0, |descendants| descendants.flink_span_count)
    }

    /// Returns the number of bytes that this tree takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.heap_bytes()
    }

    /// Returns the number of bytes that this tree has allocated.
    fn heap_bytes(&self) -> usize {
        let Self { scope, name, attributes, descendants, extension, .. } = self;
        let descendants = descendants.as_ref().map_or(0, |descendants| {
            let Descendants { children, heap_bytes, .. } = &**descendants;
            size_of::<Descendants>() + children.capacity() * size_of::<Self>() + heap_bytes
        });
        let extension = extension.as_ref().map_or(0, |extension| {
            let SpanExtension { attributes, failure, parent: _, links, children, is_whole_span: _ } = &**extension;
            size_of::<SpanExtension>()
                + attributes.heap_bytes()
                + failure.as_ref().map_or(0, |failure| failure.message.capacity())
                + links.capacity() * size_of::<SpanContext>()
                + children.capacity() * size_of::<Self>()
        });
        text_heap_bytes(scope) + text_heap_bytes(name) + attributes.heap_bytes() + descendants + extension
    }

    fn has_unset_below(&self) -> bool {
        self.descendants
            .as_ref()
            .is_some_and(|descendants| descendants.has_unset_below || !descendants.unset.is_empty())
    }

    /// Sets the missing timestamps of all descendants.
    fn fill_below(&mut self, now: i64) {
        let Some(descendants) = self.descendants.as_mut() else { return };
        let extension = self.extension.as_mut().map_or(&mut [][..], |extension| &mut extension.children);
        for Unset { index, is_extension, has_no_end } in mem::take(&mut descendants.unset) {
            let siblings = if is_extension { &mut *extension } else { descendants.children.built() };
            let Some(child) = siblings.get_mut(index) else { continue };
            child.start_ts_millis = now;
            if has_no_end {
                child.end_ts_millis = now;
            }
        }
        if mem::take(&mut descendants.has_unset_below) {
            descendants.children.built().iter_mut().chain(extension).for_each(|child| child.fill_below(now));
        }
    }
}

/// The data of a span that Flink's own span does not have. `compatibility: flink` hides it.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct SpanExtension {
    /// The additional attributes.
    pub attributes: Attributes,
    /// The failure, if the operation that the span represents failed.
    pub failure: Option<Failure>,
    /// The span of another trace that caused this one. Only a root has such a parent.
    pub parent: Option<SpanContext>,
    /// The spans that this one follows from, such as the restored checkpoint of an initialization.
    pub links: Vec<SpanContext>,
    /// The additional children, which follow those of Flink.
    pub children: Vec<Span>,
    /// `true` if Flink has no span of this name.
    is_whole_span: bool,
}

/// A failure, which gives a span the error status.
///
/// If Flink leaves the end of the span unset, the time of the failure becomes its end.
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

/// A builder of a [`Span`], as `org.apache.flink.traces.SpanBuilder`.
///
/// # Examples
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
    /// `true` if the start is set.
    has_start: bool,
    /// `true` if the end is set.
    has_end: bool,
}

impl SpanBuilder {
    /// Returns the name of the span.
    pub fn name(&self) -> &str {
        &self.span.name
    }

    /// Returns `true` if an [identity](Self::identity) has been set.
    pub fn has_identity(&self) -> bool {
        self.span.identity.is_some()
    }

    /// Sets the start time in milliseconds since the epoch.
    ///
    /// The default is the time of [`build`](Self::build).
    #[must_use]
    #[inline]
    pub fn start_ts_millis(mut self, millis: i64) -> Self {
        self.span.start_ts_millis = millis;
        self.has_start = true;
        self
    }

    /// Sets the end time in milliseconds since the epoch. The default is the start.
    #[must_use]
    #[inline]
    pub fn end_ts_millis(mut self, millis: i64) -> Self {
        self.span.end_ts_millis = millis;
        self.has_end = true;
        self
    }

    /// Sets an attribute. An earlier value of the key is replaced.
    #[must_use]
    #[inline]
    pub fn attribute(mut self, key: impl Into<Text>, value: impl Into<AttributeValue>) -> Self {
        self.span.attributes.set(key, value);
        self
    }

    /// Sets an attribute if there is a value.
    #[must_use]
    pub fn optional_attribute(self, key: impl Into<Text>, value: Option<impl Into<AttributeValue>>) -> Self {
        match value {
            Some(value) => self.attribute(key, value),
            None => self,
        }
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

    /// Reserves memory for attributes, for callers that create many similar spans.
    ///
    /// `bytes` is about the size of all keys and values, plus eight for each attribute.
    #[must_use]
    #[inline]
    pub fn attribute_capacity(mut self, bytes: usize) -> Self {
        self.span.attributes.reserve(bytes);
        self
    }

    /// Adds a child.
    #[must_use]
    pub fn child(self, child: SpanBuilder) -> Self {
        self.children([child])
    }

    /// Adds children.
    #[must_use]
    pub fn children(mut self, children: impl IntoIterator<Item = SpanBuilder>) -> Self {
        let children = children.into_iter();
        let expected = children.size_hint().0;
        for child in children {
            self.count_child(&child, self.span.children().len(), false);
            let descendants = self.span.descendants.get_or_insert_default();
            let built = descendants.children.built();
            if built.capacity() == 0 {
                built.reserve_exact(expected);
            }
            descendants.flink_span_count += child.span.flink_span_count();
            built.push(child.into_child());
        }
        self
    }

    /// Adds children that are built when a reporter first looks at them, on its thread.
    ///
    /// This is [`children`](Self::children) for callers that add thousands of spans and must not
    /// wait for them. Each child needs a start, because no clock is read later. Children of theirs
    /// are left out. The first child is built at once, and the memory of the tree is computed from
    /// its size, so the children should be alike.
    ///
    /// The iterator has to return as many children as it says, because they are counted before
    /// they are built. If it panics, the reporter does. Whatever else looks at the children, such
    /// as a clone of the span or a further child, builds them at once.
    #[must_use]
    pub fn deferred_children<I>(mut self, children: I) -> Self
    where
        I: IntoIterator<Item = SpanBuilder>,
        I::IntoIter: ExactSizeIterator + Send + 'static,
    {
        let mut children = children.into_iter().map(SpanBuilder::without_children);
        if !self.span.children().is_empty() {
            return self.children(children);
        }
        let len = children.len();
        let Some(first) = children.next().filter(|_| len > 0).map(SpanBuilder::into_child) else { return self };
        let descendants = self.span.descendants.get_or_insert_default();
        descendants.span_count += len;
        descendants.flink_span_count += len;
        descendants.heap_bytes += len * first.heap_bytes();
        let build = move || {
            let mut spans = Vec::with_capacity(len);
            spans.push(first);
            spans.extend(children.take(len - 1).map(SpanBuilder::into_child));
            spans
        };
        let spans = LazyLock::new(AssertUnwindSafe(Box::new(build) as Box<_>));
        descendants.children.deferred = Some(Box::new(Deferred { len, spans }));
        self
    }

    /// Counts a child and its memory, and records its missing timestamps.
    fn count_child(&mut self, child: &SpanBuilder, index: usize, is_extension: bool) {
        let descendants = self.span.descendants.get_or_insert_default();
        if !child.has_start {
            descendants.unset.push(Unset { index, is_extension, has_no_end: !child.has_end });
        }
        descendants.has_unset_below |= child.span.has_unset_below();
        descendants.span_count += child.span.span_count();
        descendants.heap_bytes += child.span.heap_bytes();
    }

    /// Returns the span as a child. A missing start stays missing.
    fn into_child(mut self) -> Span {
        if !self.has_end {
            self.span.end_ts_millis = self.span.start_ts_millis;
        }
        self.span
    }

    /// Removes all children.
    fn without_children(mut self) -> Self {
        self.span.descendants = None;
        if let Some(extension) = &mut self.span.extension {
            extension.children = Vec::new();
        }
        self
    }

    /// Sets the identity, from which the ids follow.
    ///
    /// A root without an identity gets random ids. A child without one is identified by its index
    /// among its siblings.
    #[must_use]
    #[inline]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.span.identity = Some(identity);
        self
    }

    /// Marks the span as one that Flink does not have.
    ///
    /// Reporters with `compatibility: flink` do not get it, nor the tree below it.
    #[must_use]
    pub fn extension_span(mut self) -> Self {
        self.extension().is_whole_span = true;
        self
    }

    /// Sets an attribute that Flink's span of this name does not have.
    #[must_use]
    pub fn extension_attribute(mut self, key: impl Into<Text>, value: impl Into<AttributeValue>) -> Self {
        let attributes = &mut self.extension().attributes;
        // Many subtasks have a single extension.
        attributes.reserve_few();
        attributes.set(key, value);
        self
    }

    /// Adds children that Flink's span of this name does not have.
    #[must_use]
    pub fn extension_children(mut self, children: impl IntoIterator<Item = SpanBuilder>) -> Self {
        for child in children {
            let index = self.extension().children.len();
            self.count_child(&child, index, true);
            self.extension().children.push(child.into_child());
        }
        self
    }

    /// Removes all children, and sets their number, with all that is below them, as the extension
    /// attribute `omittedChildren`.
    ///
    /// A span without children stays as it is.
    #[must_use]
    pub fn omit_children(mut self) -> Self {
        let omitted = self.span.span_count() - 1;
        if omitted == 0 {
            return self;
        }
        self.span.descendants = None;
        self.extension().children.clear();
        self.extension_attribute("omittedChildren", i64::try_from(omitted).unwrap_or(i64::MAX))
    }

    /// Marks the operation that the span represents as failed.
    #[must_use]
    pub fn failure(mut self, failure: Failure) -> Self {
        self.extension().failure = Some(failure);
        self
    }

    /// Sets the span that caused this one, if there is one. This tree becomes a part of its trace.
    ///
    /// The ids of the spans do not change, but the id of the trace does. So a link to this span by
    /// its [identity](Self::identity) alone misses it. A child has its parent in the tree instead.
    #[must_use]
    pub fn parent(mut self, parent: impl Into<Option<SpanContext>>) -> Self {
        if let Some(parent) = parent.into() {
            self.extension().parent = Some(parent);
        }
        self
    }

    /// Adds a link to a span that this one follows from: its ids, or the identity of a root.
    #[must_use]
    pub fn link(mut self, span: impl Into<SpanContext>) -> Self {
        self.extension().links.push(span.into());
        self
    }

    /// Returns the span. Missing timestamps are taken from `clock`, once for the whole tree.
    ///
    /// If no timestamp is missing, the tree is not traversed, so the time does not depend on its
    /// size.
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
            span.fill_below(now);
        }
        span
    }

    fn extension(&mut self) -> &mut SpanExtension {
        self.span.extension.get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct At(i64);
    impl Clock for At {
        fn now_millis(&self) -> i64 {
            self.0
        }
    }

    #[test]
    fn missing_timestamps_come_from_the_clock() {
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
    fn descendants_share_one_clock_reading() {
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
    fn repeated_attribute_keeps_its_first_position() {
        let span = Span::builder("s", "n").attribute("a", 1).attribute("b", true).attribute("a", "x").build(&At(0));
        let found: Vec<_> = span.attributes().iter().collect();
        assert_eq!(found, [("a", ValueRef::String("x")), ("b", ValueRef::Bool(true))]);
    }

    /// Returns the memory that the tree takes, by a traversal.
    fn traversed_bytes(span: &Span) -> usize {
        let owned = |text: &Text| if let Text::Owned(text) = text { text.capacity() } else { 0 };
        let mut bytes = size_of::<Span>() + owned(&span.scope) + owned(&span.name) + span.attributes.heap_bytes();
        let spare = |children: &Vec<Span>| (children.capacity() - children.len()) * size_of::<Span>();
        if let Some(descendants) = &span.descendants {
            let Children { built, deferred } = &descendants.children;
            assert!(deferred.is_none());
            bytes += size_of::<Descendants>() + spare(built);
            bytes += built.iter().map(traversed_bytes).sum::<usize>();
        }
        if let Some(extension) = &span.extension {
            bytes += size_of::<SpanExtension>() + extension.attributes.heap_bytes() + spare(&extension.children);
            bytes += extension.failure.as_ref().map_or(0, |failure| failure.message.capacity());
            bytes += extension.links.capacity() * size_of::<SpanContext>();
            bytes += extension.children.iter().map(traversed_bytes).sum::<usize>();
        }
        bytes
    }

    #[test]
    fn memory_of_a_tree_is_summed_while_it_is_built() {
        let leaf = |name: &'static str| Span::builder("s", name).start_ts_millis(1);
        let text = || "x".repeat(1_000);
        let trees = [
            leaf("leaf"),
            Span::builder(text(), text()).attribute("a", text()),
            leaf("one by one").child(leaf("a").attribute("a", 1)).child(leaf("b")).child(leaf("c")),
            leaf("at once").children((0..100).map(|_| leaf("child").attribute("key", text()).child(leaf("below")))),
            leaf("extended")
                .extension_attribute("a", text())
                .failure(Failure::new(1, text()))
                .link(Identity::of(&["other"]))
                .extension_children([leaf("a").child(leaf("b").attribute("key", text())), leaf("c")])
                .child(leaf("d").extension_children([leaf("e").attribute("key", text())])),
        ];
        for tree in trees {
            let span = tree.build(&At(1));
            assert_eq!(span.memory_bytes(), traversed_bytes(&span), "{}", span.name());
        }
    }

    #[test]
    fn equal_spans_may_differ_in_memory() {
        let tree = |capacity| {
            let child = Span::builder("s", "child").attribute_capacity(capacity);
            Span::builder("s", "root").child(child.attribute("a", 1)).build(&At(1))
        };
        assert!(tree(10).memory_bytes() < tree(10_000).memory_bytes());
        assert_eq!(tree(10), tree(10_000));
    }

    /// Guarantees: deferred children are built once, when they are first needed. The tree is the
    /// same as with children that are built at once, and so are its counts and its memory.
    #[test]
    fn deferred_children_are_built_when_needed() {
        let built = std::sync::Arc::new(AtomicUsize::new(0));
        let child = {
            let built = built.clone();
            move |index: i64| {
                built.fetch_add(1, Ordering::Relaxed);
                let leaf = Span::builder("s", "leaf").start_ts_millis(index).attribute("index", index % 10);
                leaf.extension_attribute("host", "tm-1").failure(Failure::new(1, "disk full"))
            }
        };
        let children = |len: usize| (0..len).map(|index| index as i64).map(child.clone());
        let root = || Span::builder("s", "root").start_ts_millis(1);
        for len in [0, 1, 2, 1_000] {
            built.store(0, Ordering::Relaxed);
            let deferred = root().deferred_children(children(len)).build(&At(9));
            assert_eq!(built.load(Ordering::Relaxed), len.min(1));
            let at_once = root().children(children(len)).build(&At(9));
            let sizes =
                [&deferred, &at_once].map(|span| (span.span_count(), span.flink_span_count(), span.memory_bytes()));
            assert_eq!(sizes[0], sizes[1]);
            let before = len.min(1) + len;
            assert_eq!(built.load(Ordering::Relaxed), before);
            assert_eq!(deferred.children().len(), len);
            assert_eq!(std::thread::scope(|scope| scope.spawn(|| deferred.clone()).join()).unwrap(), at_once);
            assert_eq!((&deferred, deferred.clone()), (&at_once, at_once.clone()));
            assert_eq!(built.load(Ordering::Relaxed), before + len - len.min(1));
        }
    }

    /// Guarantees: children may be added before and after those that are deferred, in order. What
    /// is below these is left out, and counted nowhere.
    #[test]
    fn deferred_children_are_leaves_among_others() {
        let leaf = |name: &'static str| Span::builder("s", name).start_ts_millis(1);
        let deep = move |name| leaf(name).child(leaf("below")).extension_children([leaf("beyond")]);
        let names = |span: &Span| span.children().iter().map(|child| child.name().to_owned()).collect::<Vec<_>>();
        let deferred = || leaf("root").deferred_children(["a", "b"].into_iter().map(deep));
        for (tree, expected, count) in [
            (deferred(), vec!["a", "b"], 3),
            (deferred().child(leaf("c")), vec!["a", "b", "c"], 4),
            (leaf("root").child(leaf("c")).deferred_children(["a"].into_iter().map(leaf)), vec!["c", "a"], 3),
            (deferred().deferred_children(["c"].into_iter().map(leaf)), vec!["a", "b", "c"], 4),
            (deferred().omit_children(), vec![], 1),
        ] {
            let span = tree.build(&At(9));
            assert_eq!((names(&span), span.span_count()), (expected.iter().map(ToString::to_string).collect(), count));
            let is_leaf = |child: &Span| {
                child.span_count() == 1 && child.extension().is_none_or(|extension| extension.children.is_empty())
            };
            assert!(span.children().iter().all(|child| is_leaf(child) && child.start_ts_millis() == 1));
        }
        let span = deferred().build(&At(9));
        assert_eq!(span.memory_bytes(), traversed_bytes(&span.clone()));
        let unset = deferred().child(Span::builder("s", "c")).build(&At(9));
        assert_eq!(unset.children().iter().map(Span::start_ts_millis).collect::<Vec<_>>(), [1, 1, 9]);
    }

    /// Guarantees: no more children are reported than were counted, whatever the iterator says.
    #[test]
    fn deferred_children_are_no_more_than_counted() {
        struct Claims(usize, usize);
        impl Iterator for Claims {
            type Item = SpanBuilder;
            fn next(&mut self) -> Option<SpanBuilder> {
                self.1 = self.1.checked_sub(1)?;
                Some(Span::builder("s", "n").start_ts_millis(1))
            }
            fn size_hint(&self) -> (usize, Option<usize>) {
                (self.0, Some(self.0))
            }
        }
        impl ExactSizeIterator for Claims {}
        for (claimed, found) in [(0, 3), (1, 3), (2, 3), (3, 3), (3, 0)] {
            let span =
                Span::builder("s", "n").start_ts_millis(1).deferred_children(Claims(claimed, found)).build(&At(9));
            assert_eq!((span.span_count(), span.children().len()), (claimed.min(found) + 1, claimed.min(found)));
        }
    }

    #[test]
    fn spans_survive_a_panic() {
        fn check<T: std::panic::UnwindSafe + std::panic::RefUnwindSafe + Send + Sync>() {}
        check::<Span>();
        check::<SpanBuilder>();
    }

    #[test]
    fn extension_children_are_counted_separately() {
        let child = |name| Span::builder("s", name).start_ts_millis(1);
        let span = child("root")
            .child(child("a").extension_children([child("b"), child("c")]))
            .extension_children([child("d").child(Span::builder("s", "e")), Span::builder("s", "f")])
            .child(Span::builder("s", "g").end_ts_millis(5))
            .build(&At(9));
        assert_eq!((span.span_count(), span.flink_span_count()), (8, 3));
        let beyond = &span.extension().unwrap().children;
        let times = [&beyond[0], &beyond[0].children()[0], &beyond[1], &span.children()[0], &span.children()[1]];
        let times = times.map(|span| (span.start_ts_millis(), span.end_ts_millis()));
        assert_eq!(times, [(1, 1), (9, 9), (9, 9), (1, 1), (9, 5)]);
    }
}
