//! Measurements of text lines that are written without this workspace.

use std::fmt::LowerHex;
use std::fs::File;
use std::sync::Mutex;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::{Numbers, each, numbers, repeat, take};
use crate::sample;

/// The line of a span, with a derived serializer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    r#type: &'a str,
    ts: Timestamp,
    name: &'a str,
    scope: &'a str,
    #[serde(serialize_with = "hexadecimal")]
    trace_id: u128,
    #[serde(serialize_with = "hexadecimal")]
    span_id: u64,
    start: Timestamp,
    end: Timestamp,
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
    flink_job_id: &'a str,
    host: &'a str,
    #[serde(rename = "job_id")]
    job_id: &'a str,
    #[serde(rename = "job_name")]
    job_name: &'a str,
}

fn hexadecimal<T: LowerHex, S: Serializer>(id: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{id:0width$x}", width = 2 * size_of::<T>()))
}

/// Measures the encoding of the same JSON line from a struct.
pub(super) fn serde_json(size: usize) -> Result<Numbers> {
    let at = |millis| Timestamp::from_millisecond(millis).context("timestamp out of bounds");
    let (start, end) = (at(sample::START)?, at(sample::START + 411)?);
    let line = |number: usize| {
        let [checkpoint_id, full_size, checkpointed_size, metadata_size] = sample::numbers(number);
        Line {
            r#type: "span",
            ts: start,
            name: "Checkpoint",
            scope: sample::SCOPE,
            // As random as the ids of this workspace.
            trace_id: (number as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
            span_id: (number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15),
            start,
            end,
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
                flink_job_id: sample::JOB_ID,
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

/// Measures an event of `tracing` that the default subscriber writes to a file.
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
