//! The commands `demo` and `play`.

use std::io::{self, BufWriter, ErrorKind, IsTerminal};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use flink_traces_history::History;
use flink_traces_observer::lines::Position;
use flink_traces_observer::recording::RecordingReader;
use flink_traces_observer::replay::ReplayClock;
use tokio::runtime::Runtime;

use crate::cli::{ConfigurationArgs, DemoArgs, Exit, JsonFormat, LogFormat, PlayArgs, ReplayArgs};
use crate::load::Settings;
use crate::printer::Printer;
use crate::recorded::play_into;
use crate::report;
use crate::reporters::{JSON_FILES, json_reporters, without_retention};
use crate::serve;
use crate::summary::Summary;
use crate::text::{print, print_stats, say};

/// A session of a real Flink 2.3.0 cluster: eight jobs, 74 checkpoints, failures, restores,
/// savepoints.
const DEMO: &[u8] = include_bytes!("../recordings/flink-2.3.0-full.jsonl.gz");

/// Plays the embedded recording, writes its report, and serves its page if that is asked for.
pub(crate) fn demo(arguments: &DemoArgs, runtime: &Runtime) -> anyhow::Result<Exit> {
    let mut configuration = arguments.configuration.clone();
    let history = configuration.history.get_or_insert_with(|| arguments.json.join("history")).clone();
    let settings = settings(&configuration, Some(&arguments.json), arguments.json_format.format)?;
    // The files contain one session. A second demo replaces them.
    for file in JSON_FILES.map(|file| arguments.json.join(file)) {
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).context(file.display().to_string()),
            _ => {}
        }
    }
    History::remove(&history)?;
    let reader = RecordingReader::from_reader(DEMO)?;
    let recording = Recording { name: "the recording".to_owned(), reader, size: DEMO.len() as u64 };
    let exit = play(recording, &settings, Some(&arguments.json), arguments.replay)?;
    // Options may have turned the reporters of the history off.
    if settings.reporters.iter().any(|setup| setup.class == flink_traces_history::FACTORY) {
        let report = arguments.json.join("demo.html");
        report::write(&history, None, &report)?;
        say(&format!("Report in {}\n", report.display()));
    }
    if arguments.serve {
        runtime.block_on(serve::serve_recording(&settings, history))?;
    }
    Ok(exit)
}

/// Plays a recording from a file.
pub(crate) fn play_file(arguments: &PlayArgs) -> anyhow::Result<Exit> {
    let settings = settings(&arguments.configuration, arguments.json.as_deref(), arguments.json_format.format)?;
    let recording = Recording {
        name: arguments.file.display().to_string(),
        reader: RecordingReader::open(&arguments.file)?,
        size: std::fs::metadata(&arguments.file)?.len(),
    };
    play(recording, &settings, arguments.json.as_deref(), arguments.replay)
}

fn settings(configuration: &ConfigurationArgs, json: Option<&Path>, format: JsonFormat) -> anyhow::Result<Settings> {
    let mut shorthands = json.map(|json| json_reporters(json, format)).unwrap_or_default();
    if configuration.history.is_some() {
        shorthands.extend(without_retention());
    }
    let settings = Settings::load(configuration, &shorthands)?;
    if let Some(directory) = json {
        std::fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    Ok(settings)
}

struct Recording {
    name: String,
    reader: RecordingReader,
    /// The compressed size, in bytes.
    size: u64,
}

fn play(recording: Recording, settings: &Settings, json: Option<&Path>, arguments: ReplayArgs) -> anyhow::Result<Exit> {
    let Recording { name, reader, size } = recording;
    let clock = ReplayClock::default();
    let dispatcher = settings.start(Arc::new(clock.clone()))?;
    let mut summary = Summary::default();
    let mut printer = Printer::new(BufWriter::new(io::stdout()));
    let mut printed = Ok(());
    // Lines and a progress bar would disturb each other.
    let shows_progress = io::stderr().is_terminal() && (arguments.quiet || !io::stdout().is_terminal());
    let mut progress = shows_progress.then(|| Progress { position: reader.position(), size, shown_at: Instant::now() });
    let mut pace = arguments.speed.map(Pace::new);
    let paced = reader.inspect(|exchange| {
        if let (Some(pace), Ok(exchange)) = (&mut pace, exchange) {
            pace.wait_for(exchange.arrived_at());
        }
    });
    let played = play_into(&dispatcher, &clock, settings, paced, |now, observations| {
        for observation in observations {
            summary.add(observation);
            if !arguments.quiet && printed.is_ok() {
                printed = printer.print(now, observation);
            }
        }
        if !observations.is_empty() && printed.is_ok() {
            printed = printer.flush();
        }
        progress.iter_mut().for_each(Progress::show);
    });
    let stats = dispatcher.shutdown(settings.shutdown_timeout);
    if progress.is_some() {
        say("\r\u{1b}[K");
    }
    let printed = printed.and_then(|()| print(&format!("\n{summary}")));
    if let Some(directory) = json {
        let [spans, events] = JSON_FILES.map(|file| directory.join(file).display().to_string());
        say(&format!("\nJSON Lines in {spans} and {events}\n"));
    }
    let everything_delivered = print_stats(&stats, LogFormat::Text);
    played.context(name)?;
    printed.context("standard output")?;
    Ok(if everything_delivered { Exit::Done } else { Exit::Lost })
}

/// The progress of a replay, on standard error.
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

/// The pace of a replay at a given speed.
struct Pace {
    /// The seconds of the recording that pass in one second.
    speed: f64,
    /// The start of the replay, and the recorded time then.
    start: Option<(Instant, i64)>,
}

impl Pace {
    fn new(speed: f64) -> Self {
        Self { speed, start: None }
    }

    /// Sleeps until the recorded time `millis` is due.
    fn wait_for(&mut self, millis: i64) {
        let (start, first) = *self.start.get_or_insert((Instant::now(), millis));
        let due = millis.saturating_sub(first).max(0) as f64 / 1_000.0 / self.speed;
        // A time beyond the range of `Duration` is never due.
        let due = Duration::try_from_secs_f64(due).unwrap_or(Duration::MAX);
        std::thread::sleep(due.saturating_sub(start.elapsed()));
    }
}
