//! The commands `demo` and `play`.

use std::io::{BufWriter, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cli::{ConfigurationArgs, DemoArgs, PlayArgs, ReplayArgs};
use crate::pipeline::{Pipeline, Printer, ReplayClock};
use crate::play::{Speed, play};
use crate::recording::{Position, RecordingReader};
use crate::settings::{Settings, json_reporters};
use crate::text::{say, tell_stats};

/// A session of a real Flink 2.3.0 cluster: eight jobs, 74 checkpoints, failures, recoveries, savepoints.
const DEMO: &[u8] = include_bytes!("../recordings/flink-2.3.0-full.jsonl.gz");

/// Stands for the cluster in the ids of spans of a recording.
const CLUSTER: &str = "recording";

/// How many spans or events may wait before a replay waits for them.
const IN_FLIGHT: usize = 10_000;

/// Plays the embedded recording; answers whether everything was delivered.
///
/// # Errors
/// When the configuration is wrong, or a file cannot be written.
pub fn demo(arguments: &DemoArgs) -> anyhow::Result<bool> {
    // A demo shows one session, not this one after the last.
    for file in ["spans.jsonl", "events.jsonl"] {
        match std::fs::remove_file(arguments.json.join(file)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    let recording = RecordingReader::gzipped(DEMO);
    replay(recording, DEMO.len() as u64, &arguments.configuration, Some(&arguments.json), arguments.replay)
}

/// Plays a recording from a file; answers whether everything was delivered.
///
/// # Errors
/// When the configuration is wrong, or a file cannot be read to its end or written.
pub fn play_file(arguments: &PlayArgs) -> anyhow::Result<bool> {
    let recording = RecordingReader::open(&arguments.file)?;
    let size = std::fs::metadata(&arguments.file)?.len();
    replay(recording, size, &arguments.configuration, arguments.json.as_deref(), arguments.replay)
}

fn replay(
    recording: RecordingReader,
    size: u64,
    configuration: &ConfigurationArgs,
    json: Option<&Path>,
    arguments: ReplayArgs,
) -> anyhow::Result<bool> {
    if let Some(directory) = json {
        std::fs::create_dir_all(directory)?;
    }
    let settings = Settings::load(configuration, &json.map(json_reporters).unwrap_or_default())?;
    let clock = ReplayClock::default();
    let dispatcher = settings.start(Arc::new(clock.clone()))?;
    let mut pipeline = Pipeline::new(&dispatcher, CLUSTER, "localhost", settings.detail);
    let mut printer = Printer::new(BufWriter::new(std::io::stdout()));
    // Lines and a progress bar would disturb each other.
    let shows_progress = std::io::stderr().is_terminal() && (arguments.quiet || !std::io::stdout().is_terminal());
    let mut progress =
        shows_progress.then(|| Progress { position: recording.position(), size, shown_at: Instant::now() });
    let speed = arguments.speed.map_or(Speed::AsFastAsPossible, Speed::Times);
    // Whoever closes the other end of a pipe has seen enough.
    let mut listened_to = true;
    let mut waiting = 0;

    let played = play(recording, speed, |now, outputs| {
        clock.set(now);
        for output in outputs {
            pipeline.report(output);
            listened_to = listened_to && (arguments.quiet || printer.print(now, output).is_ok());
        }
        if !outputs.is_empty() {
            listened_to = listened_to && printer.flush().is_ok();
        }
        // A replay can wait, unlike a cluster: nothing need be dropped for a slow destination.
        waiting += outputs.len();
        if waiting >= IN_FLIGHT {
            dispatcher.flush(Duration::from_secs(3_600));
            waiting = 0;
        }
        progress.iter_mut().for_each(Progress::show);
    });
    // Nobody waits for a cluster here: what the reporters still try may take its time.
    dispatcher.flush(Duration::from_secs(3_600));
    let stats = dispatcher.shutdown(settings.shutdown_timeout);
    if progress.is_some() {
        say("\r\u{1b}[K");
    }
    if listened_to {
        let _ = write!(std::io::stdout(), "\n{}", pipeline.summary());
    }
    if let Some(directory) = json {
        say(&format!("\nJSON Lines in {0}/spans.jsonl and {0}/events.jsonl\n", directory.display()));
    }
    let everything_delivered = tell_stats(&stats);
    played?;
    Ok(everything_delivered)
}

/// How much of a recording is played, on standard error.
struct Progress {
    position: Position,
    size: u64,
    shown_at: Instant,
}

impl Progress {
    fn show(&mut self) {
        if self.shown_at.elapsed() >= Duration::from_millis(100) {
            self.shown_at = Instant::now();
            say(&format!("\r{} %", 100 * self.position.bytes() / self.size.max(1)));
        }
    }
}
