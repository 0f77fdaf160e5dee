//! Text for people: times, sizes, names with arbitrary characters.

use std::error::Error;
use std::io::{self, Write};

use flink_traces_api::{BufferStats, RecordCounts, is_unsafe_to_print};
use flink_traces_runtime::ReporterStats;
use jiff::Timestamp;

use crate::cli::LogFormat;

/// Formats a time in milliseconds since the epoch as a time of day in UTC.
pub(crate) fn clock_time(millis: i64) -> String {
    match Timestamp::from_millisecond(millis) {
        Ok(time) => time.strftime("%H:%M:%S%.3f").to_string(),
        Err(_) => format!("{millis} ms"),
    }
}

/// Formats a time in milliseconds since the epoch with date and zone, as RFC 3339 in UTC.
pub(crate) fn timestamp(millis: i64) -> String {
    match Timestamp::from_millisecond(millis) {
        Ok(time) => time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        Err(_) => format!("{millis} ms"),
    }
}

/// Returns the text of an error with those of its causes. A cause that a text before it already has
/// is left out.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = text + ": " + &next;
        }
        cause = error.source();
    }
    text
}

/// Formats a number of things, such as `1 job` or `2 jobs`. `noun` is the singular.
pub(crate) fn count(number: impl Into<i128>, noun: &str) -> String {
    let number = number.into();
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// Formats a duration in milliseconds: `41 ms`, `3.2 s`, `2 min 5 s`, `3 h 12 min`.
pub(crate) fn duration(millis: i64) -> String {
    match millis {
        ..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{}.{} s", millis / 1_000, millis % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1_000),
        _ => format!("{} h {} min", millis / 3_600_000, millis % 3_600_000 / 60_000),
    }
}

/// Formats a size in bytes, in binary units.
pub(crate) fn bytes(size: i64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if size < 1_024 {
        return format!("{size} B");
    }
    let mut scaled = size as f64 / 1_024.0;
    let mut unit = 0;
    while scaled >= 1_024.0 && unit + 1 < UNITS.len() {
        scaled /= 1_024.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", UNITS[unit])
}

/// Returns at most `limit` characters of `text`, with control characters escaped.
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    let mut line: String = text.chars().take(limit).flat_map(escaped).collect();
    if text.chars().nth(limit).is_some() {
        line.push('…');
    }
    line
}

/// Returns a character, or its escape if it would disturb a line or a terminal.
fn escaped(c: char) -> impl Iterator<Item = char> {
    let escaped = is_unsafe_to_print(c).then(|| c.escape_unicode()).into_iter().flatten();
    escaped.chain((!is_unsafe_to_print(c)).then_some(c))
}

/// Prints to standard output.
///
/// A closed pipe is not an error. Any other failure is, such as a full disk.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    unless_closed(output.write_all(text.as_bytes()).and_then(|()| output.flush()))
}

/// Returns the result of a write, with a closed pipe turned into success: its reader has seen
/// enough.
pub(crate) fn unless_closed(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Prints to standard error.
pub(crate) fn say(text: &str) {
    // If standard error is closed, there is no other place for the text.
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Prints the account of each reporter, or logs it if the log is JSON. Returns `true` if every
/// record was delivered or is in a spool.
pub(crate) fn print_stats(stats: &[ReporterStats], format: LogFormat) -> bool {
    match format {
        LogFormat::Text => print_accounts(stats),
        LogFormat::Json => log_accounts(stats),
    }
    let is_lossless = |spool: BufferStats| spool.finalized.rejected + spool.finalized.dropped == 0;
    let arrived = |reporter: &ReporterStats| {
        reporter.delivered == reporter.emitted && reporter.transfer.buffer.is_none_or(is_lossless)
    };
    stats.iter().all(arrived)
}

fn log_accounts(stats: &[ReporterStats]) {
    for reporter in stats {
        let (signal, name) = (reporter.signal, &reporter.name);
        let ReporterStats { emitted, delivered, rejected, queued, .. } = reporter;
        let dropped: u64 = reporter.dropped.values().sum();
        let error = reporter.last_error.as_ref().map(|error| one_line(error, 300));
        tracing::info!(%signal, reporter = name, emitted, delivered, rejected, dropped, queued, error, "account");
        if let Some(spool) = reporter.transfer.buffer {
            let (stored, BufferStats { finalized, queued, bytes, .. }) = (spool.stored(), spool);
            let RecordCounts { delivered, rejected, dropped } = finalized;
            tracing::info!(
                %signal, reporter = name, stored, delivered, rejected, dropped, queued, bytes, "account of the spool"
            );
        }
    }
}

fn print_accounts(stats: &[ReporterStats]) {
    let size = |size: u64| bytes(i64::try_from(size).unwrap_or(i64::MAX));
    for reporter in stats {
        say(&format!("{reporter}\n"));
        if reporter.transfer.bytes_sent > 0 {
            say(&format!("  sent: {}\n", size(reporter.transfer.bytes_sent)));
        }
        if let Some(spool) = reporter.transfer.buffer {
            let (stored, BufferStats { finalized, queued, bytes, .. }) = (spool.stored(), spool);
            let RecordCounts { delivered, rejected, dropped } = finalized;
            let finalized = format!("{delivered} delivered + {rejected} rejected + {dropped} dropped");
            say(&format!("  spool: {stored} stored = {finalized} + {queued} on disk, {}\n", size(bytes)));
        }
        if let Some(error) = &reporter.last_error {
            say(&format!("  last error: {}\n", one_line(error, 300)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let cases =
            [(0, "0 ms"), (999, "999 ms"), (3_249, "3.2 s"), (125_000, "2 min 5 s"), (11_520_000, "3 h 12 min")];
        for (millis, expected) in cases {
            assert_eq!(duration(millis), expected);
        }
    }

    #[test]
    fn sizes() {
        let cases = [(0, "0 B"), (1_023, "1023 B"), (1_536, "1.5 KiB"), (5 << 30, "5.0 GiB"), (i64::MAX, "8192.0 PiB")];
        for (size, expected) in cases {
            assert_eq!(bytes(size), expected);
        }
    }

    #[test]
    fn hostile_names_stay_on_one_line() {
        assert_eq!(one_line("a\nb\u{1b}[31mc\u{202e}d", 100), "a\\u{a}b\\u{1b}[31mc\\u{202e}d");
        assert_eq!(one_line("abcdef", 3), "abc…");
        assert_eq!(one_line(&"x".repeat(1 << 20), 5), "xxxxx…");
    }

    #[test]
    fn one_thing_is_singular() {
        for (number, expected) in [(0, "0 jobs"), (1, "1 job"), (2, "2 jobs"), (-1, "-1 jobs")] {
            assert_eq!(count(number, "job"), expected);
        }
    }

    #[test]
    fn timestamps_have_date_and_zone() {
        assert_eq!(timestamp(1_795_230_917_019), "2026-11-21T03:15:17.019Z");
        assert_eq!(timestamp(i64::MAX), "9223372036854775807 ms");
    }

    #[test]
    fn times_of_day() {
        assert_eq!(clock_time(1_795_230_917_019), "03:15:17.019");
        assert_eq!(clock_time(i64::MAX), "9223372036854775807 ms");
    }
}
