//! The SQL queries of the documentation.

use std::fs;
use std::path::Path;

use flink_traces_runtime::checkpoint::{InitializationStats, InitializationStatus, job_initialization_span};
use flink_traces_runtime::job::{JobFailure, job_failure_event, job_status_change_event};
use rusqlite::Connection;

use crate::support::*;

/// Returns the SQL blocks of a document.
fn blocks(document: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(document);
    let text = fs::read_to_string(path).unwrap();
    let starts = text.split("```sql\n").skip(1);
    starts.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn documented_queries_run_and_find_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("h");
    let now = flink_traces_api::Clock::now_millis(&flink_traces_api::SystemClock);
    let recent = |id: i64| {
        let stats = stats(id, now - 60_000 + id * 1_000, 100);
        reported(flink_traces_runtime::checkpoint_span(
            JOB,
            &stats,
            flink_traces_runtime::config::SpanDetailLevel::ChildrenSpansPerSubtask,
        ))
    };
    let mut restore = InitializationStats::new(now - 40_000, now - 39_000, InitializationStatus::Completed);
    restore.restored_checkpoint_id = Some(3);
    restore.restored_trigger_timestamp = Some(now - 57_000);
    let restored = reported(job_initialization_span(JOB, &restore, now));
    report(&mut traces(&path, &[]), &[recent(1), recent(2), recent(3), restored]).unwrap();
    let job = JOB.named("orders");
    let state = |status, at: i64| reported_event(job_status_change_event(job, status, now - at));
    let failed = reported_event(job_failure_event(job, &JobFailure::new(now - 45_000, true)));
    let all = [state("RUNNING", 60_000), state("RESTARTING", 45_000), state("RUNNING", 40_000), failed];
    events(&path).report(&all, &Default::default()).unwrap();

    let queries = blocks("queries.md");
    assert_eq!(queries.len(), 8);
    let connection = Connection::open(path.join("history.db")).unwrap();
    for query in queries {
        let mut statement = connection.prepare(&query).unwrap_or_else(|error| panic!("{query}: {error}"));
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        let row = rows.next().unwrap().unwrap_or_else(|| panic!("no rows: {query}"));
        let values: Vec<rusqlite::types::Value> = (0..columns).map(|index| row.get(index).unwrap()).collect();
        assert_eq!(values[1], rusqlite::types::Value::Text("orders".to_owned()), "{query}");
    }
}
