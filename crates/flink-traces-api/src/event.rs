//! Events: what happened at one moment.

use crate::{AttributeValue, Attributes, Clock, Text};

/// Something that happened, as `org.apache.flink.events.Event`.
///
/// Made by an [`EventBuilder`]. Reporters see it as a [`ReportedEvent`](crate::ReportedEvent).
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub(crate) scope: Text,
    pub(crate) name: Text,
    pub(crate) observed_ts_millis: i64,
    pub(crate) body: Text,
    pub(crate) severity: Text,
    pub(crate) attributes: Attributes,
    pub(crate) extension: Option<Box<EventExtension>>,
}

impl Event {
    /// Starts an event of the class `scope`, in Flink the reporting class's canonical name.
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
            },
            observed_ts_millis: None,
        }
    }

    /// The class that reported it.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Its name, such as `JobStatusChangeEvent`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When it happened, in milliseconds since the epoch, as Flink tells it: −1 where Flink does not know.
    pub fn observed_ts_millis(&self) -> i64 {
        self.observed_ts_millis
    }

    /// Its text; empty for all events of Flink's own.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Its severity as Flink has it, free text; `INFO` for all events of Flink's own.
    pub fn severity(&self) -> &str {
        &self.severity
    }

    /// Its own attributes, without the variables of the group that reports it.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// What Flink would not have reported.
    pub fn extension(&self) -> Option<&EventExtension> {
        self.extension.as_deref()
    }
}

/// What an event tells beyond, or more rightly than, Flink's own would. Left out under `compatibility: flink`.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct EventExtension {
    /// Further attributes.
    pub attributes: Attributes,
    /// The severity that the event deserves where Flink says `INFO` to everything.
    pub severity: Option<Text>,
    /// When it happened where Flink tells another moment or none, in milliseconds since the epoch.
    pub ts_millis: Option<i64>,
}

/// Builds an [`Event`], as `org.apache.flink.events.EventBuilder`.
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
    /// The event's name.
    pub fn name(&self) -> &str {
        &self.event.name
    }

    /// Sets when it happened, in milliseconds since the epoch. Unset: the moment of [`build`](Self::build).
    #[must_use]
    pub fn observed_ts_millis(mut self, millis: i64) -> Self {
        self.observed_ts_millis = Some(millis);
        self
    }

    /// Sets its text.
    #[must_use]
    pub fn body(mut self, body: impl Into<Text>) -> Self {
        self.event.body = body.into();
        self
    }

    /// Sets its severity. Any text is accepted; the OpenTelemetry names (`TRACE`, `DEBUG`, `INFO`, `WARN`, `ERROR`, `FATAL`, each
    /// also with 2, 3 or 4 behind it) also give a severity number.
    #[must_use]
    pub fn severity(mut self, severity: impl Into<Text>) -> Self {
        self.event.severity = severity.into();
        self
    }

    /// Sets an attribute, replacing an earlier value of that key.
    #[must_use]
    pub fn attribute(mut self, key: impl Into<Text>, value: impl Into<AttributeValue>) -> Self {
        self.event.attributes.set(key, value);
        self
    }

    /// Sets an attribute that Flink's event of this name does not have.
    #[must_use]
    pub fn extension_attribute(mut self, key: impl Into<Text>, value: impl Into<AttributeValue>) -> Self {
        self.extension().attributes.set(key, value);
        self
    }

    /// Sets the severity that the event deserves where Flink's own has another.
    #[must_use]
    pub fn extension_severity(mut self, severity: impl Into<Text>) -> Self {
        self.extension().severity = Some(severity.into());
        self
    }

    /// Sets when it happened where Flink's own tells another moment or none, in milliseconds since the epoch.
    #[must_use]
    pub fn extension_ts_millis(mut self, millis: i64) -> Self {
        self.extension().ts_millis = Some(millis);
        self
    }

    /// The event; a timestamp that was not set is taken from `clock`.
    pub fn build(self, clock: &dyn Clock) -> Event {
        let mut event = self.event;
        event.observed_ts_millis = self.observed_ts_millis.unwrap_or_else(|| clock.now_millis());
        event
    }

    fn extension(&mut self) -> &mut EventExtension {
        self.event.extension.get_or_insert_default()
    }
}
