//! The spans and events of an OTLP request.
//!
//! Texts are borrowed from the message, and nothing is read by recursion but lists and maps, which
//! have a limit. So a hostile message takes memory in proportion to its size.

use flink_traces_api::proto::{Content, Fields};
use flink_traces_api::{Signal, SpanContext, SpanId, TraceId, ValueRef};

use crate::item::{Item, Value};

/// The attribute that names the cluster.
pub(super) const CLUSTER: &str = "flink.cluster.name";
/// The maximum number of attributes of a record. Others are left out.
const MAX_ATTRIBUTES: usize = 1_000;
/// The maximum depth of lists and maps in a value.
const MAX_DEPTH: usize = 8;
/// The maximum length of the text of a list or a map, in bytes.
const MAX_TEXT: usize = 8_000;

/// The message cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// A record of a request.
#[derive(Debug)]
pub(super) struct Received<'a> {
    pub(super) item: Item<'a>,
    /// The ids of a span. `None` for an event, and for a span whose ids are invalid.
    pub(super) context: Option<SpanContext>,
    /// The first link of a span.
    pub(super) link: Option<SpanContext>,
    /// The value of `flink.cluster.name` of the record or else of its resource.
    pub(super) cluster: Option<&'a str>,
    /// Both times of an event in nanoseconds, for its identity.
    pub(super) times: [u64; 2],
}

/// Reads a request, which is an `ExportTraceServiceRequest` or an `ExportLogsServiceRequest`.
pub(super) fn decode(signal: Signal, message: &[u8]) -> Result<Vec<Received<'_>>, Malformed> {
    let mut records = Vec::new();
    for envelope in messages(message, 1)? {
        let mut cluster = None;
        for resource in messages(envelope, 1)? {
            cluster = text_of(&attributes(resource, 1)?, CLUSTER).or(cluster);
        }
        for group in messages(envelope, 2)? {
            let mut scope = "";
            for message in messages(group, 1)? {
                scope = text(message, 1)?;
            }
            for record in messages(group, 2)? {
                records.push(match signal {
                    Signal::Traces => span(record, scope, cluster)?,
                    Signal::Events => event(record, scope, cluster)?,
                });
            }
        }
    }
    Ok(records)
}

/// Returns the messages of a field.
fn messages(message: &[u8], wanted: u64) -> Result<impl Iterator<Item = &[u8]>, Malformed> {
    whole(message).map(|message| Fields::all(message, wanted))
}

fn whole(message: &[u8]) -> Result<&[u8], Malformed> {
    Fields::new(message).is_whole().then_some(message).ok_or(Malformed)
}

/// Returns the text of a field, or an empty one if there is none.
fn text(message: &[u8], wanted: u64) -> Result<&str, Malformed> {
    let bytes = Fields::all(whole(message)?, wanted).last().unwrap_or_default();
    std::str::from_utf8(bytes).map_err(|_| Malformed)
}

/// Returns the eight bytes of a field, or 0 if there are none.
fn fixed64(message: &[u8], wanted: u64) -> u64 {
    let numbers = Fields::new(message).filter_map(|(field, content)| match content {
        Content::Fixed64(number) if field == wanted => Some(number),
        _ => None,
    });
    numbers.last().unwrap_or_default()
}

fn span<'a>(record: &'a [u8], scope: &'a str, cluster: Option<&'a str>) -> Result<Received<'a>, Malformed> {
    let name = text(record, 5)?;
    let attributes = attributes(record, 9)?;
    let status = Fields::all(record, 15).last().unwrap_or_default();
    let is_failed = Fields::number(whole(status)?, 3) == 2;
    let context = context(record, 2);
    let parent = Fields::all(record, 4).last().and_then(|id| <[u8; 8]>::try_from(id).ok());
    let start_ms = millis(fixed64(record, 7));
    let cluster = text_of(&attributes, CLUSTER).or(cluster);
    Ok(Received {
        item: Item {
            name,
            scope,
            span_id: context.map_or(0, |context| u64::from_be_bytes(*context.span_id.as_bytes())),
            parent_id: parent.map_or(0, u64::from_be_bytes),
            start_ms,
            // Flink leaves the end of a failed checkpoint unset, which is 1 ms before the epoch.
            end_ms: millis(fixed64(record, 8)).max(start_ms),
            text: if is_failed { text(status, 2)? } else { "" },
            is_failed,
            attributes,
            ..Item::default()
        },
        context,
        link: Fields::all(record, 13).find_map(|link| self::context(link, 2)),
        cluster,
        times: [0; 2],
    })
}

fn event<'a>(record: &'a [u8], scope: &'a str, cluster: Option<&'a str>) -> Result<Received<'a>, Malformed> {
    /// The attribute with the name of an event of Flink.
    const NAME: &str = "name";
    let mut attributes = attributes(record, 6)?;
    let name = match text(record, 12)? {
        "" => text_of(&attributes, NAME).unwrap_or_default(),
        name => name,
    };
    attributes
        .retain(|(key, value)| *key != NAME || !matches!(value, Value::Plain(ValueRef::String(own)) if *own == name));
    let body = Fields::all(record, 5).last().unwrap_or_default();
    let times = [fixed64(record, 1), fixed64(record, 11)];
    // Flink's time is that of the report, and its observed time that of the event.
    let at = times.into_iter().rev().find(|time| (1..=i64::MAX.cast_unsigned()).contains(time)).unwrap_or_default();
    let cluster = text_of(&attributes, CLUSTER).or(cluster);
    let text_body = match value(body)? {
        Value::Plain(ValueRef::String(text)) => text,
        _ => "",
    };
    Ok(Received {
        item: Item {
            name,
            scope,
            start_ms: millis(at),
            end_ms: millis(at),
            severity: text(record, 3)?,
            text: text_body,
            attributes,
            ..Item::default()
        },
        context: None,
        link: None,
        cluster,
        times,
    })
}

/// Returns the ids of a span or a link.
fn context(message: &[u8], span_id: u64) -> Option<SpanContext> {
    let trace_id = Fields::all(message, 1).last()?.try_into().ok()?;
    let span_id = Fields::all(message, span_id).last()?.try_into().ok()?;
    Some(SpanContext { trace_id: TraceId::from_bytes(trace_id)?, span_id: SpanId::from_bytes(span_id)? })
}

/// Returns milliseconds. Flink writes a time before the epoch as a large number.
fn millis(nanos: u64) -> i64 {
    nanos.cast_signed().div_euclid(1_000_000)
}

fn attributes(message: &[u8], wanted: u64) -> Result<Vec<(&str, Value<'_>)>, Malformed> {
    let mut attributes = Vec::new();
    for attribute in messages(message, wanted)?.take(MAX_ATTRIBUTES) {
        let content = Fields::all(whole(attribute)?, 2).last().unwrap_or_default();
        attributes.push((text(attribute, 1)?, value(content)?));
    }
    Ok(attributes)
}

fn text_of<'a>(attributes: &[(&'a str, Value<'a>)], wanted: &str) -> Option<&'a str> {
    attributes.iter().rev().find(|(key, _)| *key == wanted).and_then(|(_, value)| match value {
        Value::Plain(ValueRef::String(text)) => Some(*text),
        _ => None,
    })
}

/// Reads an `AnyValue`. One without content is an empty text.
fn value(any: &[u8]) -> Result<Value<'_>, Malformed> {
    let last = Fields::new(whole(any)?).filter(|(field, _)| (1..=7).contains(field)).last();
    Ok(match last {
        None => Value::Plain(ValueRef::String("")),
        Some((1, Content::Bytes(text))) => {
            Value::Plain(ValueRef::String(std::str::from_utf8(text).map_err(|_| Malformed)?))
        }
        Some((2, Content::Number(flag))) => Value::Plain(ValueRef::Bool(flag != 0)),
        Some((3, Content::Number(number))) => Value::Plain(ValueRef::Long(number.cast_signed())),
        Some((4, Content::Fixed64(bits))) => Value::Plain(ValueRef::Double(f64::from_bits(bits))),
        Some((5..=7, Content::Bytes(_))) => {
            let mut out = String::new();
            append(&mut out, any, MAX_DEPTH)?;
            Value::Text(out)
        }
        Some(_) => return Err(Malformed),
    })
}

/// Appends the text of a value of any kind, as in JSON.
fn append(out: &mut String, any: &[u8], depth: usize) -> Result<(), Malformed> {
    if depth == 0 || out.len() > MAX_TEXT {
        out.push('…');
        return Ok(());
    }
    match Fields::new(whole(any)?).filter(|(field, _)| (5..=7).contains(field)).last() {
        Some((5, Content::Bytes(list))) => {
            out.push('[');
            for (index, item) in messages(list, 1)?.enumerate().take_while(|(index, _)| *index < MAX_TEXT) {
                out.push_str(if index > 0 { "," } else { "" });
                append(out, item, depth - 1)?;
            }
            out.push(']');
        }
        Some((6, Content::Bytes(map))) => {
            out.push('{');
            for (index, pair) in messages(map, 1)?.enumerate().take_while(|(index, _)| *index < MAX_TEXT) {
                out.push_str(if index > 0 { "," } else { "" });
                out.push_str(&format!("{:?}:", text(pair, 1)?));
                append(out, Fields::all(pair, 2).last().unwrap_or_default(), depth - 1)?;
            }
            out.push('}');
        }
        Some((7, Content::Bytes(bytes))) => {
            for byte in bytes.iter().take(MAX_TEXT) {
                out.push_str(&format!("{byte:02x}"));
            }
        }
        _ => match value(any)?.get() {
            ValueRef::String(text) => out.push_str(&format!("{text:?}")),
            other => out.push_str(&other.to_string()),
        },
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use flink_traces_api::proto::Writer;
    use proptest::prelude::*;

    use super::*;

    fn message(field: u8, content: &[u8]) -> Vec<u8> {
        let mut out = Writer::new();
        out.bytes(field, content);
        out.into_vec()
    }

    fn request(record: &[u8]) -> Vec<u8> {
        message(1, &message(2, &message(2, record)))
    }

    #[test]
    fn hostile_nesting_is_cut() {
        let any = (0..5_000).fold(message(1, b"core"), |any, _| message(5, &message(1, &any)));
        let attribute = [message(1, b"k"), message(2, &any)].concat();
        let log = request(&message(6, &attribute));
        let records = decode(Signal::Events, &log).unwrap();
        let Value::Text(text) = &records[0].item.attributes[0].1 else { panic!("a text") };
        assert_eq!(text, "[[[[[[[[…]]]]]]]]");
    }

    #[test]
    fn values_of_all_kinds_are_read() {
        let pair = |key: &[u8], value: &[u8]| [message(1, key), message(2, value)].concat();
        let number = |field: u8, number: u64| {
            let mut out = Writer::new();
            out.varint(field, number);
            out.into_vec()
        };
        let map = message(6, &message(1, &pair(b"a\"", &number(3, 7))));
        let list = message(5, &[message(1, &message(1, b"x")), message(1, &number(2, 1)), message(1, &map)].concat());
        for (value, expected) in [
            (message(1, "ä".as_bytes()), "ä"),
            (number(3, u64::MAX), "-1"),
            (number(2, 1), "true"),
            (message(7, &[0, 255]), "00ff"),
            (list, "[\"x\",true,{\"a\\\"\":7}]"),
            (Vec::new(), ""),
        ] {
            let log = request(&message(6, &pair(b"k", &value)));
            let records = decode(Signal::Events, &log).unwrap();
            assert_eq!(records[0].item.attributes[0].1.get().to_string(), expected);
        }
        assert_eq!(decode(Signal::Events, &request(&message(3, &[0xff]))).err(), Some(Malformed));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            for signal in [Signal::Traces, Signal::Events] {
                let _ = decode(signal, &bytes);
                let _ = decode(signal, &request(&bytes));
                let _ = decode(signal, &request(&message(9, &bytes)));
                let _ = decode(signal, &request(&message(6, &message(2, &message(5, &bytes)))));
            }
        }
    }
}
