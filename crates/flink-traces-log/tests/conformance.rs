//! The conformance suite, on the lines that a plain subscriber prints.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, Write};

use flink_traces_api::{AttributeValue, Registry};
use flink_traces_log::{EVENT_FACTORY, TRACE_FACTORY, register};
use flink_traces_testkit::conformance::{Conformance, Destination, Received};

thread_local! {
    static CAPTURED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A writer that captures the log of its thread. Each rule of the suite runs on a thread of its
/// own.
struct Capture;

impl Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        CAPTURED.with_borrow_mut(|captured| captured.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Lines;

impl Destination for Lines {
    fn options(&self) -> Vec<(String, String)> {
        Vec::new()
    }

    fn received(&self) -> Vec<Received> {
        let text = CAPTURED.with_borrow(|captured| String::from_utf8(captured.clone()).unwrap());
        text.split_terminator('\n').map(line).collect()
    }

    fn wrong_options(&self) -> Vec<(String, String)> {
        vec![("format".to_owned(), "xml".to_owned())]
    }
}

/// Reads `LEVEL target: Reported span key=value … attributes=key=value …`.
fn line(line: &str) -> Received {
    let (_, rest) = line.split_once(": Reported ").unwrap();
    let (_, rest) = rest.split_once(' ').unwrap();
    let (fields, attributes) = rest.split_once(" attributes=").unwrap();
    let (fields, attributes) = (pairs(fields), pairs(attributes));
    let text = |key: &str| fields.get(key).cloned();
    let millis = |key: &str| {
        let text = fields.get(key)?;
        Some(text.parse().unwrap_or_else(|_| text.parse::<jiff::Timestamp>().unwrap().as_millisecond()))
    };
    Received {
        name: text("name").unwrap(),
        attributes: attributes.into_iter().map(|(key, value)| (key, AttributeValue::from(value))).collect(),
        span_id: text("span_id"),
        parent_span_id: text("parent_span_id"),
        start_ts_millis: millis("start").or(millis("ts")),
        end_ts_millis: millis("end"),
        body: text("severity").is_some().then(|| text("body").unwrap_or_default()),
        severity: text("severity"),
    }
}

/// Reads `key=value key="quoted value"`. If a key is repeated, such as `host` and `<host>`, the
/// last wins.
fn pairs(mut text: &str) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    while !text.is_empty() {
        let key = word(&mut text);
        text = text.strip_prefix('=').unwrap();
        let value = word(&mut text);
        pairs.insert(key, value);
        text = text.strip_prefix(' ').unwrap_or(text);
    }
    pairs
}

/// Takes a word or a quoted text from the beginning.
fn word(text: &mut &str) -> String {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '=']).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        *text = rest;
        return word.to_owned();
    };
    let mut word = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next().unwrap() {
            '"' => break,
            '\\' => word.push(match chars.next().unwrap() {
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    let (number, rest) = chars.as_str().strip_prefix('{').unwrap().split_once('}').unwrap();
                    chars = rest.chars();
                    char::from_u32(u32::from_str_radix(number, 16).unwrap()).unwrap()
                }
                other => other,
            }),
            other => word.push(other),
        }
    }
    *text = chars.as_str();
    word
}

#[test]
fn reporters_conform() {
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(|| Capture);
    subscriber.with_ansi(false).without_time().init();
    let mut registry = Registry::new();
    register(&mut registry).unwrap();
    let suite = Conformance::new(|| Lines);
    suite.check_traces(registry.trace(TRACE_FACTORY).unwrap()).unwrap();
    suite.check_events(registry.event(EVENT_FACTORY).unwrap()).unwrap();
}
