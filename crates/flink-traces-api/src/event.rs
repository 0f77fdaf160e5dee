//! Events, which happen at one moment.

use crate::value::text_heap_bytes;
use crate::{AttributeValue, Attributes, Clock, Identity, Text};

/// The extension attribute with the unique id of an event, by OpenTelemetry's name.
pub const RECORD_UID: &str = "log.record.uid";

/// The severity of an event, which is free text as in Flink.
///
/// The constants are OpenTelemetry's names, which have a severity number. Any other text, such as
/// `warn` or `WARNING`, has none.
///
/// # Examples
///
/// ```
/// use flink_traces_api::{Event, EventSeverity};
///
/// let event = Event::builder("com.example.Compactor", "CompactionSkipped");
/// let event = event.severity(EventSeverity::WARN);
/// assert_eq!(EventSeverity::from("WARN"), EventSeverity::WARN);
/// # let _ = event;
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSeverity(Text);

impl EventSeverity {
    /// The severity of fine-grained information for debugging.
    pub const TRACE: Self = Self(Text::Borrowed("TRACE"));
    /// The severity of information for debugging.
    pub const DEBUG: Self = Self(Text::Borrowed("DEBUG"));
    /// The severity of normal events, which all of Flink's own events have.
    pub const INFO: Self = Self(Text::Borrowed("INFO"));
    /// The severity of an event that may need attention.
    pub const WARN: Self = Self(Text::Borrowed("WARN"));
    /// The severity of a failure.
    pub const ERROR: Self = Self(Text::Borrowed("ERROR"));
    /// The severity of a failure that ends the program.
    pub const FATAL: Self = Self(Text::Borrowed("FATAL"));

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&'static str> for EventSeverity {
    fn from(text: &'static str) -> Self {
        Self(Text::Borrowed(text))
    }
}

impl From<String> for EventSeverity {
    fn from(text: String) -> Self {
        Self(Text::Owned(text))
    }
}

impl From<Text> for EventSeverity {
    fn from(text: Text) -> Self {
        Self(text)
    }
}

/// An event, as `org.apache.flink.events.Event`.
///
/// An [`EventBuilder`] creates it. Reporters see it as a [`ReportedEvent`](crate::ReportedEvent).
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub(crate) scope: Text,
    pub(crate) name: Text,
    pub(crate) observed_ts_millis: i64,
    pub(crate) body: Text,
    pub(crate) severity: Text,
    pub(crate) attributes: Attributes,
    pub(crate) extension: Option<Box<EventExtension>>,
    is_extension: bool,
}

impl Event {
    /// Creates the builder of an event.
    ///
    /// `scope` is the reporting class, in Flink its canonical name.
    pub fn builder(scope: impl Into<Text>, name: impl Into<Text>) -> EventBuilder {
        EventBuilder {
            event: Event {
                scope: scope.into(),
                name: name.into(),
                observed_ts_millis: 0,
                body: Text::Borrowed(""),
                severity: Text::Borrowed(""),
                attributes: Attributes::new(),
                extension: None,
                is_extension: false,
            },
            observed_ts_millis: None,
        }
    }

    /// Returns the class that reported the event.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Returns the name, such as `JobStatusChangeEvent`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the time of the event in milliseconds since the epoch.
    ///
    /// It is −1 if Flink does not know it.
    pub fn observed_ts_millis(&self) -> i64 {
        self.observed_ts_millis
    }

    /// Returns the text, which is empty for all of Flink's own events.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Returns the severity, which is free text and `INFO` for all of Flink's own events.
    pub fn severity(&self) -> &str {
        &self.severity
    }

    /// Returns the event's own attributes, without the variables of the group that reports it.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// Returns `true` if Flink has no such event. Reporters with `compatibility: flink` do not get
    /// it.
    pub fn is_extension(&self) -> bool {
        self.is_extension
    }

    /// Returns the data that Flink's own event does not have.
    pub fn extension(&self) -> Option<&EventExtension> {
        self.extension.as_deref()
    }

    /// Returns the number of bytes that the event takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let Self { scope, name, body, severity, attributes, extension, .. } = self;
        let texts: usize = [scope, name, body, severity].map(text_heap_bytes).iter().sum();
        let extension = extension.as_ref().map_or(0, |extension| {
            let EventExtension { attributes, body, severity, .. } = &**extension;
            let texts: usize = [body, severity].into_iter().flatten().map(text_heap_bytes).sum();
            size_of::<EventExtension>() + attributes.heap_bytes() + texts
        });
        size_of::<Self>() + texts + attributes.heap_bytes() + extension
    }
}

/// The data of an event that Flink's own event does not have or has wrong.
///
/// `compatibility: flink` hides it.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct EventExtension {
    /// The additional attributes.
    pub attributes: Attributes,
    /// The text. Flink's own events have none.
    pub body: Option<Text>,
    /// The appropriate severity. Flink uses `INFO` for all events.
    pub severity: Option<Text>,
    /// The time of the event, in milliseconds since the epoch, if Flink's own is another or unset.
    pub ts_millis: Option<i64>,
}

/// A builder of an [`Event`], as `org.apache.flink.events.EventBuilder`.
///
/// # Examples
///
/// ```
/// use flink_traces_api::{Event, SystemClock};
///
/// let event = Event::builder("com.example.Compactor", "CompactionSkipped")
///     .severity("WARN")
///     .body("nothing to compact")
///     .attribute("level", 1)
///     .build(&SystemClock);
/// assert_eq!(event.name(), "CompactionSkipped");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct EventBuilder {
    event: Event,
    observed_ts_millis: Option<i64>,
}

impl EventBuilder {
    /// Returns the name of the event.
    pub fn name(&self) -> &str {
        &self.event.name
    }

    /// Returns `true` if an [identity](Self::identity) has been set.
    pub fn has_identity(&self) -> bool {
        self.event.extension().is_some_and(|extension| extension.attributes.get(RECORD_UID).is_some())
    }

    /// Sets the identity, whose hash is the extension attribute [`RECORD_UID`].
    ///
    /// A store that removes duplicates keeps one of all events with the same identity. An event
    /// without an identity gets a random one.
    #[must_use]
    pub fn identity(self, identity: Identity) -> Self {
        self.extension_attribute(RECORD_UID, identity.trace_id().to_string())
    }

    /// Marks the event as one that Flink does not have.
    ///
    /// Reporters with `compatibility: flink` do not get it.
    #[must_use]
    pub fn extension_event(mut self) -> Self {
        self.event.is_extension = true;
        self
    }

    /// Sets the time of the event in milliseconds since the epoch.
    ///
    /// The default is the time of [`build`](Self::build).
    #[must_use]
    pub fn observed_ts_millis(mut self, millis: i64) -> Self {
        self.observed_ts_millis = Some(millis);
        self
    }

    /// Sets the text.
    #[must_use]
    pub fn body(mut self, body: impl Into<Text>) -> Self {
        self.event.body = body.into();
        self
    }

    /// Sets the severity: a constant of [`EventSeverity`], or any text.
    ///
    /// OpenTelemetry's names also have a severity number. They are `TRACE`, `DEBUG`, `INFO`,
    /// `WARN`, `ERROR` and `FATAL`, each optionally followed by 2, 3 or 4.
    #[must_use]
    pub fn severity(mut self, severity: impl Into<EventSeverity>) -> Self {
        self.event.severity = severity.into().0;
        self
    }

    /// Sets an attribute. An earlier value of the key is replaced.
    #[must_use]
    pub fn attribute(mut self, key: impl Into<Text>, value: impl Into<AttributeValue>) -> Self {
        self.event.attributes.set(key, value);
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

    /// Sets an attribute that Flink's event of this name does not have.
    #[must_use]
    pub fn extension_attribute(mut self, key: impl Into<Text>, value: impl Into<AttributeValue>) -> Self {
        self.extension().attributes.set(key, value);
        self
    }

    /// Sets the text, if Flink's own event has none.
    #[must_use]
    pub fn extension_body(mut self, body: impl Into<Text>) -> Self {
        self.extension().body = Some(body.into());
        self
    }

    /// Sets the appropriate severity, if Flink's own event has another.
    #[must_use]
    pub fn extension_severity(mut self, severity: impl Into<EventSeverity>) -> Self {
        self.extension().severity = Some(severity.into().0);
        self
    }

    /// Sets the time of the event in milliseconds since the epoch, if Flink's own is another or
    /// unset.
    #[must_use]
    pub fn extension_ts_millis(mut self, millis: i64) -> Self {
        self.extension().ts_millis = Some(millis);
        self
    }

    /// Returns the event. A missing timestamp is taken from `clock`.
    pub fn build(self, clock: &dyn Clock) -> Event {
        let mut event = self.event;
        event.observed_ts_millis = self.observed_ts_millis.unwrap_or_else(|| clock.now_millis());
        event
    }

    fn extension(&mut self) -> &mut EventExtension {
        self.event.extension.get_or_insert_default()
    }
}
