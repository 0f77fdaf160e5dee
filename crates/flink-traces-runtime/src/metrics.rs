//! The text of a page for Prometheus, and the metrics of reporters.
//!
//! `flink-traces` and its plugin for Flink show the same metrics of reporters, which
//! `docs/operations.md` lists.

mod page;

use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use flink_traces_api::BufferStats;

pub use page::{Format, Kind, Labels, Page};

use crate::dispatch::{DropReason, ReporterStats};

/// A metric with one value for each `T`: its name, kind, help text and value.
type Metric<T> = (&'static str, Kind, &'static str, fn(&T) -> u64);

const REPORTER_METRICS: &[Metric<ReporterStats>] = &[
    ("flink_traces_reporter_emitted_total", Kind::Counter, "Spans or events passed to the reporter.", |stats| {
        stats.emitted
    }),
    (
        "flink_traces_reporter_delivered_total",
        Kind::Counter,
        "Spans or events that the destination has, or that are stored on disk.",
        |stats| stats.delivered,
    ),
    (
        "flink_traces_reporter_rejected_total",
        Kind::Counter,
        "Spans or events that the destination refused for good.",
        |stats| stats.rejected,
    ),
    ("flink_traces_reporter_queued", Kind::Gauge, "Queued spans or events, including the batch in flight.", |stats| {
        stats.queued
    }),
    (
        "flink_traces_reporter_queued_bytes",
        Kind::Gauge,
        "The approximate memory of the queued spans or events, in bytes.",
        |stats| stats.queued_bytes,
    ),
    (
        "flink_traces_reporter_filtered_total",
        Kind::Counter,
        "Spans or events kept out by the reporter's filter.",
        |stats| stats.filtered,
    ),
    ("flink_traces_reporter_failures_total", Kind::Counter, "Reports that failed.", |stats| stats.failures),
    ("flink_traces_reporter_sent_bytes_total", Kind::Counter, "Bytes sent to the destination.", |stats| {
        stats.transfer.bytes_sent
    }),
    (
        "flink_traces_reporter_odd_responses_total",
        Kind::Counter,
        "Responses that count as a success, but are not what the protocol specifies.",
        |stats| stats.transfer.odd_responses,
    ),
    (
        "flink_traces_reporter_last_success_timestamp_seconds",
        Kind::Gauge,
        "The time of the last successful report, in seconds since the epoch; 0: never.",
        |stats| seconds(stats.last_success),
    ),
    (
        "flink_traces_reporter_last_taken_timestamp_seconds",
        Kind::Gauge,
        "The time at which the destination last accepted data, in seconds since the epoch; 0: never.",
        |stats| seconds(stats.transfer.last_taken),
    ),
];

const SPOOL_METRICS: &[Metric<BufferStats>] = &[
    (
        "flink_traces_spool_stored_total",
        Kind::Counter,
        "Spans or events stored on disk, or found there at the start.",
        |spool| spool.stored(),
    ),
    ("flink_traces_spool_delivered_total", Kind::Counter, "Stored spans or events that were delivered.", |spool| {
        spool.finalized.delivered
    }),
    (
        "flink_traces_spool_rejected_total",
        Kind::Counter,
        "Stored spans or events that the destination refused for good.",
        |spool| spool.finalized.rejected,
    ),
    ("flink_traces_spool_dropped_total", Kind::Counter, "Stored spans or events that were dropped.", |spool| {
        spool.finalized.dropped
    }),
    ("flink_traces_spool_queued", Kind::Gauge, "Spans or events on disk.", |spool| spool.queued),
    ("flink_traces_spool_bytes", Kind::Gauge, "The size of the spool on disk, in bytes.", |spool| spool.bytes),
    ("flink_traces_spool_limit_bytes", Kind::Gauge, "The maximum size of the spool on disk, in bytes.", |spool| {
        spool.limit
    }),
];

impl Page {
    /// Adds the accounts of reporters.
    pub fn reporters(&mut self, reporters: &[ReporterStats]) {
        add_reporters(self, reporters);
        add_spools(self, reporters);
        add_drops(self, reporters);
    }
}

/// Returns the seconds since the epoch, or 0 for `None`.
fn seconds(moment: Option<SystemTime>) -> u64 {
    moment.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default().as_secs()
}

fn reporter_labels(stats: &ReporterStats) -> Labels {
    Labels::new(&[("signal", stats.signal.name()), ("reporter", &stats.name)])
}

fn add_reporters(page: &mut Page, reporters: &[ReporterStats]) {
    for (name, kind, help, value) in REPORTER_METRICS {
        page.head(name, *kind, help);
        for stats in reporters {
            page.sample(name, &reporter_labels(stats), value(stats));
        }
    }
}

fn add_spools(page: &mut Page, reporters: &[ReporterStats]) {
    for (name, kind, help, value) in SPOOL_METRICS {
        page.head(name, *kind, help);
        for (stats, spool) in reporters.iter().filter_map(|stats| Some((stats, stats.transfer.buffer.as_ref()?))) {
            page.sample(name, &reporter_labels(stats), value(spool));
        }
    }
}

fn add_drops(page: &mut Page, reporters: &[ReporterStats]) {
    let name = "flink_traces_reporter_dropped_total";
    page.head(name, Kind::Counter, "Dropped spans or events, by reason.");
    for stats in reporters {
        for reason in DropReason::ALL {
            page.sample(name, &reporter_labels(stats).with("reason", reason.name()), stats.dropped_by(reason));
        }
    }
}

/// The reason for which a listener on a loopback address refuses a request for another name.
pub const NOT_LOOPBACK: &str = "expected a loopback name in the header Host, which a proxy on this machine has to set";

/// Returns `true` if `host`, a `Host` header, is a loopback name or address.
///
/// A server on a loopback address that accepts no other names keeps web pages in a browser out.
#[must_use]
pub fn is_loopback_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_names_are_recognized() {
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST:9250", true),
            ("127.0.0.1:9250", true),
            ("127.8.9.1", true),
            ("[::1]:9250", true),
            ("[::1]", true),
            ("", false),
            ("localhost.example.com", false),
            ("example.com:9250", false),
            ("10.0.0.1", false),
            ("[fe80::1]:80", false),
        ] {
            assert_eq!(is_loopback_name(host), expected, "{host}");
        }
    }
}
