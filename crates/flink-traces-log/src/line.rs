//! One line of text for people.

use flink_traces_api::{ReportedEvent, SpanRef, ValueRef, strip_angle_brackets};

use crate::escape::{escaped, quoted};

type Attribute<'a> = (&'a str, ValueRef<'a>);

/// A span, without its children, as one line for people:
/// `2026-11-21T03:15:21.331Z  Checkpoint  23 ms  orders  checkpointId=4 fullSize=426B checkpointStatus=COMPLETED (+4 child spans)`.
///
/// Columns are padded, nothing is coloured, and whatever is unsafe to print is escaped. Variables and the many `max…`, `sum…`
/// and `perTask…` attributes are left out.
pub fn span_line(span: SpanRef<'_>) -> String {
    let duration = duration_millis(span).map_or_else(|| "-".to_owned(), readable_duration);
    let mut details = match span.failure() {
        Some(failure) => format!(" failure={}", quoted(&failure.message)),
        None => String::new(),
    };
    details += &telling(span.attributes());
    match descendants(span) {
        0 => {}
        1 => details += " (+1 child span)",
        count => details += &format!(" (+{count} child spans)"),
    }
    line(span.start_ts_millis(), span.name(), &duration, job(span.attributes()), &details)
}

/// An event as one line for people, in the columns of [`span_line`], its severity in place of the duration:
/// `2026-11-21T03:15:18.389Z  JobStatusChangeEvent  INFO  orders  newJobStatus=RUNNING`.
pub fn event_line(event: &ReportedEvent) -> String {
    let mut details = match event.body() {
        "" => String::new(),
        body => format!(" body={}", quoted(body)),
    };
    details += &telling(event.attributes());
    line(event.ts_millis(), event.name(), event.severity(), job(event.attributes()), &details)
}

/// All attributes as `key=value key=value`, angle brackets stripped.
pub(crate) fn pairs<'a>(attributes: impl Iterator<Item = Attribute<'a>>) -> String {
    let pairs = attributes.map(|(key, value)| pair(strip_angle_brackets(key), value));
    pairs.collect::<Vec<_>>().join(" ")
}

/// Milliseconds since the epoch as RFC 3339 in UTC; as they are where they are no moment, such as −1.
pub(crate) fn moment(millis: i64) -> String {
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(moment) if millis >= 0 => format!("{moment:.3}"),
        _ => millis.to_string(),
    }
}

/// How long the span took; `None` where Flink leaves the end unset.
pub(crate) fn duration_millis(span: SpanRef<'_>) -> Option<i64> {
    span.end_ts_millis().checked_sub(span.start_ts_millis()).filter(|millis| *millis >= 0)
}

fn line(ts_millis: i64, name: &str, duration_or_severity: &str, job: &str, details: &str) -> String {
    let (time, name, job) = (moment(ts_millis), escaped(name), escaped(job));
    let line = format!("{time:<24}  {name:<28}  {:>9}  {job:<16} {details}", escaped(duration_or_severity));
    line.trim_end().to_owned()
}

/// The job's name, or else its id.
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

/// The attributes that are worth a look at a glance, each after a blank.
fn telling<'a>(attributes: impl Iterator<Item = Attribute<'a>>) -> String {
    let mut text = String::new();
    for (key, value) in attributes.filter(|(key, value)| is_telling(key, *value)) {
        text += " ";
        match value {
            ValueRef::Long(bytes @ 0..) if is_size(key) => text += &format!("{}={}", quoted(key), readable_size(bytes)),
            _ => text += &pair(key, value),
        }
    }
    text
}

/// Whether an attribute is neither a variable nor a statistic nor an unset size.
fn is_telling(key: &str, value: ValueRef<'_>) -> bool {
    let is_unset = is_size(key) && value == ValueRef::Long(-1);
    let is_statistic = ["max", "sum", "perTask"]
        .iter()
        .any(|prefix| key.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase())));
    key != "jobId" && strip_angle_brackets(key) == key && !is_statistic && !is_unset
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

fn readable_duration(millis: i64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0 => format!("{millis} ms"),
        1..60 => format!("{seconds}.{:03} s", millis % 1000),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

fn readable_size(bytes: i64) -> String {
    let mut size = bytes as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = larger;
    }
    match unit {
        "B" => format!("{bytes}B"),
        _ => format!("{size:.1}{unit}"),
    }
}
