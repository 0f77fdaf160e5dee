//! The conformance suite, in both formats.

use std::fs;
use std::path::PathBuf;

use flink_traces_api::{AttributeValue, Registry};
use flink_traces_json::{FACTORY, register};
use flink_traces_testkit::conformance::{Behavior, Conformance, Destination, Received};
use flink_traces_testkit::{ReceivedEvent, ReceivedSpan};
use serde_json::Value;
use tempfile::TempDir;

/// A file in a directory that can be moved away for a while.
struct Files {
    format: &'static str,
    read: fn(&str) -> Vec<Received>,
    root: TempDir,
}

impl Files {
    fn folder(&self) -> PathBuf {
        self.root.path().join("there")
    }
}

impl Destination for Files {
    fn options(&self) -> Vec<(String, String)> {
        let path = self.folder().join("out.jsonl").display().to_string();
        vec![("path".to_owned(), path), ("format".to_owned(), self.format.to_owned())]
    }

    fn received(&self) -> Vec<Received> {
        let folder = [self.folder(), self.root.path().join("away")].into_iter().find(|folder| folder.exists());
        let text = fs::read_to_string(folder.unwrap().join("out.jsonl")).unwrap_or_default();
        assert!(text.is_empty() || text.ends_with('\n'), "a torn line");
        text.split_terminator('\n').flat_map(self.read).collect()
    }

    fn wrong_options(&self) -> Vec<(String, String)> {
        let wrong = [
            ("path", "/"),
            ("path", ""),
            ("format", "csv"),
            ("rotate.size", "large"),
            ("rotate.keep", "0"),
            ("rotate.age", "daily"),
            ("sync", "sometimes"),
        ];
        wrong.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    fn behave(&self, behavior: Behavior) -> bool {
        let (there, away) = (self.folder(), self.root.path().join("away"));
        match behavior {
            Behavior::Take if there.exists() => true,
            Behavior::Take => fs::rename(away, there).is_ok(),
            // Some platforms cannot move directories with open files.
            Behavior::BeAway => fs::rename(there, away).is_ok(),
            _ => false,
        }
    }
}

fn files(format: &'static str, read: fn(&str) -> Vec<Received>) -> impl Fn() -> Files {
    move || {
        let files = Files { format, read, root: tempfile::tempdir().unwrap() };
        fs::create_dir(files.folder()).unwrap();
        files
    }
}

/// Reads one flat object per line.
fn flat(line: &str) -> Vec<Received> {
    let line: Value = serde_json::from_str(line).unwrap();
    let text = |key: &str| line[key].as_str().map(str::to_owned);
    let attributes = line["attributes"].as_object().unwrap().iter().map(|(key, value)| {
        let value = match value {
            Value::String(text) => AttributeValue::from(text.clone()),
            Value::Bool(flag) => (*flag).into(),
            Value::Number(number) if number.is_f64() => number.as_f64().unwrap().into(),
            number => number.as_i64().unwrap().into(),
        };
        (key.clone(), value)
    });
    vec![Received {
        name: text("name").unwrap(),
        attributes: attributes.collect(),
        span_id: text("spanId"),
        parent_span_id: text("parentSpanId"),
        start_ts_millis: line["startMs"].as_i64().or(line["tsMs"].as_i64()),
        end_ts_millis: line["endMs"].as_i64(),
        severity: text("severity"),
        body: text("body"),
    }]
}

fn otlp_spans(line: &str) -> Vec<Received> {
    ReceivedSpan::read_json(line).unwrap().into_iter().map(Received::from).collect()
}

fn otlp_logs(line: &str) -> Vec<Received> {
    ReceivedEvent::read_json(line).unwrap().into_iter().map(Received::from).collect()
}

#[test]
fn reporters_conform() {
    let mut registry = Registry::new();
    register(&mut registry).unwrap();
    type Read = fn(&str) -> Vec<Received>;
    let formats: [(_, Read, Read); 2] = [("flat", flat, flat), ("otlp", otlp_spans, otlp_logs)];
    for (format, spans, events) in formats {
        Conformance::new(files(format, spans)).check_traces(registry.trace(FACTORY).unwrap()).unwrap();
        Conformance::new(files(format, events)).check_events(registry.event(FACTORY).unwrap()).unwrap();
    }
}
