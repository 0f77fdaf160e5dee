//! The log of the Rust side, which a thread of the Java side fetches.
//!
//! So no thread of the Rust side is ever attached to the JVM.

use std::collections::VecDeque;
use std::fmt::{self, Debug, Write};
use std::sync::{Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

use flink_traces_log::{EVENT_TARGET, TRACE_TARGET};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// The size of all lines, in bytes, above which no further line is kept.
const MAX_BYTES: usize = 4 << 20;
/// The time for which a log reporter waits for room.
const PATIENCE: Duration = Duration::from_secs(1);

static LINES: Lines =
    Lines { state: Mutex::new(State { queue: VecDeque::new(), bytes: 0, missed: 0 }), changed: Condvar::new() };

/// A line of the log: a letter for the level, the name of the logger, a tab, and the text.
type Line = String;

struct Lines {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    queue: VecDeque<Line>,
    bytes: usize,
    /// The lines that were dropped since the last one was fetched.
    missed: u64,
}

/// Makes this process log here, and makes panics lines of this log.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        subscribe();
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let payload = panic.payload();
            let text = payload.downcast_ref::<&str>().copied();
            let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
            LINES.push(format!("E{}\tpanic at {place}: {text}", module_path!()), Duration::ZERO);
        }));
    });
}

fn subscribe() {
    // The library is alone with its copy of the crate, so there is no other subscriber.
    let _ = tracing::subscriber::set_global_default(ToJava);
}

/// Returns the next line, or `None` if there is none within the time limit.
#[must_use]
pub fn next(within: Duration) -> Option<Line> {
    LINES.next(within)
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line. If there is no room within `patience`, it is dropped and counted.
    fn push(&self, line: Line, patience: Duration) {
        let mut state = self.lock();
        if state.bytes + line.len() > MAX_BYTES && !patience.is_zero() {
            let is_full = |state: &mut State| state.bytes + line.len() > MAX_BYTES;
            let waited = self.changed.wait_timeout_while(state, patience, is_full);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.bytes + line.len() > MAX_BYTES {
            state.missed += 1;
            return;
        }
        state.bytes += line.len();
        state.queue.push_back(line);
        drop(state);
        self.changed.notify_all();
    }

    fn next(&self, within: Duration) -> Option<Line> {
        let until = Instant::now() + within.min(Duration::from_secs(3_600));
        let mut state = self.lock();
        loop {
            if let Some(line) = state.queue.pop_front() {
                state.bytes -= line.len();
                self.changed.notify_all();
                return Some(line);
            }
            let missed = std::mem::take(&mut state.missed);
            if missed > 0 {
                return Some(format!("W{}\tlog full, dropped lines: {missed}", module_path!()));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A subscriber that keeps lines for the Java side.
struct ToJava;

impl ToJava {
    /// Returns `true` for the targets of the log reporters, whose lines are records.
    fn is_reporter(metadata: &Metadata<'_>) -> bool {
        [TRACE_TARGET, EVENT_TARGET].contains(&metadata.target())
    }
}

impl Subscriber for ToJava {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && (*metadata.level() <= Level::INFO || Self::is_reporter(metadata))
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let level = match *metadata.level() {
            Level::ERROR => 'E',
            Level::WARN => 'W',
            Level::INFO => 'I',
            Level::DEBUG => 'D',
            Level::TRACE => 'T',
        };
        let mut line = Text { message: format!("{level}{}\t", metadata.target()), fields: String::new() };
        event.record(&mut line);
        let patience = if Self::is_reporter(metadata) { PATIENCE } else { Duration::ZERO };
        LINES.push(line.message + &line.fields, patience);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The message of an event and its fields, which follow it.
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &Plain(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

/// A text that is not quoted.
struct Plain<'a>(&'a str);

impl Debug for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Lines {
        let state = State { queue: VecDeque::new(), bytes: 0, missed: 0 };
        Lines { state: Mutex::new(state), changed: Condvar::new() }
    }

    #[test]
    fn full_log_drops_lines_and_counts_them() {
        let lines = lines();
        lines.push("x".repeat(MAX_BYTES), Duration::ZERO);
        lines.push("Itarget\tlost".to_owned(), Duration::ZERO);
        lines.push("Itarget\tlost".to_owned(), Duration::from_millis(1));
        assert_eq!(lines.next(Duration::ZERO).map(|line| line.len()), Some(MAX_BYTES));
        let missed = lines.next(Duration::ZERO).unwrap_or_default();
        assert!(missed.ends_with("log full, dropped lines: 2"), "{missed}");
        assert_eq!(lines.next(Duration::ZERO), None);
    }

    #[test]
    fn reporter_waits_for_room() {
        let lines = lines();
        lines.push("x".repeat(MAX_BYTES), Duration::ZERO);
        std::thread::scope(|scope| {
            scope.spawn(|| lines.push("Ia\tsecond".to_owned(), Duration::from_secs(60)));
            assert_eq!(lines.next(Duration::from_secs(60)).map(|line| line.len()), Some(MAX_BYTES));
            assert_eq!(lines.next(Duration::from_secs(60)).as_deref(), Some("Ia\tsecond"));
        });
    }

    #[test]
    fn event_becomes_level_target_and_text() {
        subscribe();
        tracing::warn!(target: "plugin_test", count = 3, reporter = "r", "queue full");
        let end = Instant::now() + Duration::from_secs(60);
        while Instant::now() < end {
            // Other tests log, too.
            if let Some(line) = next(Duration::from_secs(1)).filter(|line| line.contains("plugin_test")) {
                assert_eq!(line, "Wplugin_test\tqueue full count=3 reporter=r");
                return;
            }
        }
        panic!("the line did not arrive");
    }
}
