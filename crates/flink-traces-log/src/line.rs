//! Single lines of text for people.

use flink_traces_api::{
    JOB_ID, RECORD_UID, ReportedEvent, SpanRef, ValueRef, readable_duration, readable_size, strip_angle_brackets,
};

use crate::escape::{escaped, quoted};

type Attribute<'a> = (&'a str, ValueRef<'a>);

/// Returns a span without its children as one line for people.
///
/// An example is `2026-11-21T03:15:21.331Z  Checkpoint  23 ms  orders  checkpointId=4
/// fullSize=426B`.
///
/// Columns are padded, nothing is colored, and characters that are unsafe to print are escaped.
/// Variables and the many `max…`, `sum…` and `perTask…` attributes are left out.
pub fn span_line(span: SpanRef<'_>) -> String {
    let duration = duration_millis(span).map_or_else(|| "-".to_owned(), readable_duration);
    let mut details = match span.failure() {
        Some(failure) => format!(" failure={}", quoted(&failure.message)),
        None => String::new(),
    };
    details += &summary(span.attributes());
    match descendants(span) {
        0 => {}
        1 => details += " (+1 child span)",
        count => details += &format!(" (+{count} child spans)"),
    }
    line(span.start_ts_millis(), span.name(), &duration, job(span.attributes()), &details)
}

/// Returns an event as one line for people.
///
/// The columns are those of [`span_line`], with the severity instead of the duration. An example is
/// `2026-11-21T03:15:18.389Z  JobStatusChangeEvent  INFO  orders  newJobStatus=RUNNING`.
pub fn event_line(event: &ReportedEvent) -> String {
    let mut details = match event.body() {
        "" => String::new(),
        body => format!(" body={}", quoted(body)),
    };
    details += &summary(event.attributes());
    line(event.ts_millis(), event.name(), event.severity(), job(event.attributes()), &details)
}

/// Returns all attributes as `key=value key=value`, without angle brackets.
pub(crate) fn pairs<'a>(attributes: impl Iterator<Item = Attribute<'a>>) -> String {
    let pairs = attributes.map(|(key, value)| pair(strip_angle_brackets(key), value));
    pairs.collect::<Vec<_>>().join(" ")
}

/// Formats milliseconds since the epoch as RFC 3339 in UTC. Other numbers, such as −1, stay
/// numbers.
pub(crate) fn moment(millis: i64) -> String {
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(moment) if millis >= 0 => format!("{moment:.3}"),
        _ => millis.to_string(),
    }
}

/// Returns the duration of the span, or `None` if Flink leaves the end unset.
pub(crate) fn duration_millis(span: SpanRef<'_>) -> Option<i64> {
    span.end_ts_millis().checked_sub(span.start_ts_millis()).filter(|millis| *millis >= 0)
}

fn line(ts_millis: i64, name: &str, duration_or_severity: &str, job: &str, details: &str) -> String {
    let (time, name, job) = (moment(ts_millis), escaped(name), escaped(job));
    let line = format!("{time:<24}  {name:<28}  {:>9}  {job:<16} {details}", escaped(duration_or_severity));
    line.trim_end().to_owned()
}

/// Returns the name of the job, or else its id.
fn job<'a>(attributes: impl Iterator<Item = Attribute<'a>>) -> &'a str {
    let mut job = "-";
    for attribute in attributes {
        match attribute {
            ("<job_name>", ValueRef::String(name)) => return name,
            ("<job_id>" | "jobId", ValueRef::String(id)) => job = id,
            _ => {}
        }
    }
    job
}

/// Returns the attributes that are worth showing in a summary, each after a blank.
fn summary<'a>(attributes: impl Iterator<Item = Attribute<'a>>) -> String {
    let mut text = String::new();
    for (key, value) in attributes.filter(|(key, value)| is_notable(key, *value)) {
        text += " ";
        match value {
            ValueRef::Long(bytes @ 0..) if is_size(key) => {
                text += &format!("{}={}", quoted(key), readable_size(bytes).replace(' ', ""))
            }
            _ => text += &pair(key, value),
        }
    }
    text
}

/// Returns `true` for an attribute that is not a variable, an id of the record or its job, a
/// statistic or an unset size.
fn is_notable(key: &str, value: ValueRef<'_>) -> bool {
    let is_unset = is_size(key) && value == ValueRef::Long(-1);
    let is_statistic = ["max", "sum", "perTask"]
        .iter()
        .any(|prefix| key.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase())));
    ![JOB_ID, RECORD_UID].contains(&key) && strip_angle_brackets(key) == key && !is_statistic && !is_unset
}

fn is_size(key: &str) -> bool {
    key.ends_with("Size") || key.ends_with("Bytes")
}

fn pair(key: &str, value: ValueRef<'_>) -> String {
    let key = quoted(key);
    match value {
        ValueRef::String(text) => format!("{key}={}", quoted(text)),
        ValueRef::Long(number) => format!("{key}={number}"),
        ValueRef::Double(number) => format!("{key}={number:?}"),
        ValueRef::Bool(flag) => format!("{key}={flag}"),
    }
}

fn descendants(span: SpanRef<'_>) -> usize {
    span.children().map(|child| 1 + descendants(child)).sum()
}
