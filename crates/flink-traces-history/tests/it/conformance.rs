//! The conformance suite.

use std::fs;
use std::path::PathBuf;

use flink_traces_api::Registry;
use flink_traces_history::{FACTORY, History, StoredRecord, register};
use flink_traces_testkit::conformance::{Behavior, Conformance, Destination, Received, rules};
use tempfile::TempDir;

use crate::support::KEEP;

/// A history whose parent directory can be moved away for a while.
struct Histories {
    root: TempDir,
    are_spans: bool,
}

impl Histories {
    fn parent(&self) -> PathBuf {
        self.root.path().join("there")
    }
}

impl Destination for Histories {
    fn options(&self) -> Vec<(String, String)> {
        let path = self.parent().join("history").display().to_string();
        let kept = KEEP.map(|(key, value)| (key.to_owned(), value.to_owned()));
        [("path".to_owned(), path)].into_iter().chain(kept).collect()
    }

    fn received(&self) -> Vec<Received> {
        let parents = [self.parent(), self.root.path().join("away")];
        let path = parents.into_iter().find(|parent| parent.exists()).unwrap().join("history");
        let Ok(history) = History::open(&path) else { return Vec::new() };
        let days = history.days();
        let trees = days.iter().flat_map(|day| history.records(*day).unwrap());
        let mut received: Vec<Vec<Received>> = trees.map(|tree| read(tree, self.are_spans)).collect();
        if days.len() > 1 {
            // Records of different days have no order.
            received.sort_by_key(|tree| tree[0].attributes["number"].as_i64());
        }
        received.into_iter().flatten().collect()
    }

    fn wrong_options(&self) -> Vec<(String, String)> {
        let wrong = [
            ("path", ""),
            ("path", "/"),
            ("retention.detail", "long"),
            ("retention.rows", "-1 d"),
            ("retention.rollups", "forever"),
            ("max-size", "1 mb"),
            ("compatibility", "flink"),
        ];
        wrong.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    fn behave(&self, behavior: Behavior) -> bool {
        let (there, away) = (self.parent(), self.root.path().join("away"));
        match behavior {
            Behavior::Take if there.exists() => true,
            Behavior::Take => fs::rename(away, there).is_ok(),
            // Some platforms cannot move directories with open files.
            Behavior::BeAway => fs::rename(there, away).is_ok(),
            _ => false,
        }
    }
}

/// Reads a tree in pre-order.
fn read(tree: Vec<StoredRecord>, are_spans: bool) -> Vec<Received> {
    let mut path: Vec<String> = Vec::new();
    let mut received = Vec::new();
    for record in tree {
        let id = format!("{:016x}", record.span_id);
        path.truncate(record.depth);
        received.push(Received {
            name: record.name,
            attributes: record.attributes.into_iter().collect(),
            span_id: are_spans.then(|| id.clone()),
            parent_span_id: path
                .last()
                .cloned()
                .or_else(|| (record.parent_id != 0).then(|| format!("{:016x}", record.parent_id))),
            start_ts_millis: Some(record.start_ms),
            end_ts_millis: are_spans.then_some(record.end_ms),
            severity: (!are_spans).then_some(record.severity),
            body: (!are_spans).then_some(record.text),
        });
        path.push(id);
    }
    received
}

#[test]
fn reporters_conform() {
    let mut registry = Registry::new();
    register(&mut registry).unwrap();
    let histories = |are_spans| {
        move || {
            let histories = Histories { root: tempfile::tempdir().unwrap(), are_spans };
            fs::create_dir(histories.parent()).unwrap();
            histories
        }
    };
    // The reporters refuse `compatibility: flink`.
    for rule in rules().filter(|rule| !rule.contains("compatibility: flink")) {
        let traces = Conformance::new(histories(true)).only(rule);
        traces.check_traces(registry.trace(FACTORY).unwrap()).unwrap();
        let events = Conformance::new(histories(false)).only(rule);
        events.check_events(registry.event(FACTORY).unwrap()).unwrap();
    }
}
