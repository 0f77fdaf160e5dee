//! Lines of text, as one would write them without this workspace.

use std::fs::File;
use std::sync::Mutex;

use anyhow::Result;
use serde::Serialize;

use super::{Numbers, each, numbers, repeat, take};
use crate::sample;

/// The line of a span, as a struct that serde derives.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    r#type: &'a str,
    ts: String,
    name: &'a str,
    scope: &'a str,
    trace_id: String,
    span_id: String,
    start: String,
    end: String,
    start_ms: i64,
    end_ms: i64,
    duration_ms: i64,
    attributes: Attributes<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Attributes<'a> {
    checkpoint_id: i64,
    full_size: i64,
    checkpointed_size: i64,
    metadata_size: i64,
    checkpoint_status: &'a str,
    checkpoint_type: &'a str,
    #[serde(rename = "jobId")]
    flinks_job_id: &'a str,
    host: &'a str,
    #[serde(rename = "job_id")]
    job_id: &'a str,
    #[serde(rename = "job_name")]
    job_name: &'a str,
}

/// What it costs to make a line of JSON of a span whose ids and times are text already.
pub(super) fn serde_json(size: usize) -> Result<Numbers> {
    let line = |number: usize| {
        let [checkpoint_id, full_size, checkpointed_size, metadata_size] = sample::numbers(number);
        Line {
            r#type: "span",
            ts: "2026-11-21T03:15:17.019Z".to_owned(),
            name: "Checkpoint",
            scope: sample::SCOPE,
            trace_id: format!("{number:032x}"),
            span_id: format!("{number:016x}"),
            start: "2026-11-21T03:15:17.019Z".to_owned(),
            end: "2026-11-21T03:15:17.430Z".to_owned(),
            start_ms: sample::START,
            end_ms: sample::START + 411,
            duration_ms: 411,
            attributes: Attributes {
                checkpoint_id,
                full_size,
                checkpointed_size,
                metadata_size,
                checkpoint_status: sample::COMPLETED,
                checkpoint_type: sample::TYPE,
                flinks_job_id: sample::JOB_ID,
                host: sample::HOST,
                job_id: sample::JOB_ID,
                job_name: sample::JOB_NAME,
            },
        }
    };
    let lines: Vec<_> = (0..size).map(line).collect();
    let mut text = Vec::new();
    Ok(repeat(size, || {
        text.clear();
        let written = lines.iter().filter(|line| ::serde_json::to_writer(&mut text, line).is_ok()).count();
        (written, text.len())
    }))
}

/// What an event of `tracing` costs that its usual subscriber writes into a file.
pub(super) fn tracing(size: usize) -> Result<Numbers> {
    let folder = tempfile::tempdir()?;
    let file = File::create(folder.path().join("spans.log"))?;
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(Mutex::new(file)).finish();
    let taken = tracing::subscriber::with_default(subscriber, || {
        let go = |size: usize| {
            for number in 0..size {
                let [id, full_size, checkpointed_size, metadata_size] = sample::numbers(number);
                tracing::info!(
                    start = sample::START,
                    end = sample::START + 411,
                    checkpoint_id = id,
                    full_size,
                    checkpointed_size,
                    metadata_size,
                    checkpoint_status = sample::COMPLETED,
                    checkpoint_type = sample::TYPE,
                    host = sample::HOST,
                    job_id = sample::JOB_ID,
                    job_name = sample::JOB_NAME,
                    "Checkpoint"
                );
            }
        };
        go(size / 10);
        take(|| go(size)).0
    });
    Ok(numbers([("cpu", each(taken.process, size)), ("per second", size as f64 / taken.wall.as_secs_f64())]))
}
