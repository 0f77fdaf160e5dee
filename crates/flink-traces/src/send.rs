//! The command `send`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::{Duration, Instant};

use flink_rest::replace_invalid_unicode;
use flink_traces_api::{Deadline, ReportError, ReporterConfig, Signal};
use flink_traces_observer::lines::{Line, Lines, Position};
use flink_traces_otlp::{EVENT_FACTORY, ExportRequest, RequestSender, TRACE_FACTORY};
use flink_traces_runtime::Problem;
use flink_traces_runtime::config::{EVENTS_REPORTERS, ReporterSetup, TRACES_REPORTERS};
use serde::Deserialize;

use crate::cli::{Exit, SendArgs};
use crate::load::{InvalidConfiguration, Settings};
use crate::signals::Signals;
use crate::text::{self, bytes, one_line, say};

/// The maximum length of a line. The JSON Lines reporter ends a line at half a megabyte, unless a
/// single span is longer.
const MAX_LINE_BYTES: usize = 16 << 20;
/// The size of a batch. A batch and one line are held in memory.
const BATCH_BYTES: usize = 4 << 20;
/// The maximum number of reasons that are printed for the unreadable lines of a file.
const MAX_PRINTED_LINES: u64 = 20;
/// The name of standard input.
const STDIN: &str = "-";

/// Sends files of OTLP/JSON lines over OTLP, and prints an account of every line.
pub(crate) async fn send(arguments: &SendArgs) -> anyhow::Result<Exit> {
    let settings = Settings::load(&arguments.configuration, &[])?;
    let reporters = reporters(&settings)?;
    let files = arguments.files.clone();
    let mut signals = Signals::listen()?;
    let deadline = Deadline::unlimited();
    let stop = deadline.clone();
    let timeout = settings.shutdown_timeout;
    tokio::spawn(async move {
        signals.next().await;
        stop.set(Instant::now() + timeout);
        let code = signals.next().await;
        std::process::exit(code);
    });
    // A sender has its own async runtime, so it needs a blocking thread.
    let sent = tokio::task::spawn_blocking(move || Ok(Sending::new(&reporters, deadline)?.send(&files)));
    sent.await?.map_err(|error: InvalidConfiguration| error.into())
}

/// Returns the OTLP reporters that set the destinations, at most one for each signal.
fn reporters(settings: &Settings) -> Result<Vec<ReporterSetup>, InvalidConfiguration> {
    let mut found = Vec::new();
    let mut problems = Vec::new();
    for (class, list) in [(TRACE_FACTORY, TRACES_REPORTERS), (EVENT_FACTORY, EVENTS_REPORTERS)] {
        let of_class: Vec<_> = settings.reporters.iter().filter(|reporter| reporter.class == class).collect();
        if let [first, _, ..] = of_class[..] {
            let names: Vec<_> = of_class.iter().map(|reporter| reporter.full_name()).collect();
            let key = list.key();
            let message = format!(
                "expected one destination, found {}: choose one with -D {key}={}",
                names.join(", "),
                first.name
            );
            problems.push(Problem::error(message));
        }
        found.extend(of_class.into_iter().cloned());
    }
    if found.is_empty() {
        problems.push(Problem::error("no destination: give --otlp URL, or configure an OTLP reporter".to_owned()));
    }
    if problems.is_empty() { Ok(found) } else { Err(InvalidConfiguration(problems)) }
}

/// The destination of the requests of one signal.
struct Destination {
    name: String,
    /// `None` if no reporter of the signal is configured.
    sender: Option<RequestSender>,
    /// The requests that wait for a full batch.
    batch: Vec<ExportRequest>,
    batch_bytes: usize,
    /// The line of the first request of the batch.
    begin: Option<LineNumber>,
    account: Account,
}

/// The position of a line in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LineNumber {
    file: String,
    line: u64,
}

impl fmt::Display for LineNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// The account of the spans or events of one signal.
#[derive(Debug, Default)]
struct Account {
    read: u64,
    delivered: u64,
    rejected: u64,
    dropped: BTreeMap<&'static str, u64>,
    last_error: Option<String>,
}

impl Account {
    fn dropped_total(&self) -> u64 {
        self.dropped.values().sum()
    }

    fn drop(&mut self, reason: &'static str, count: u64) {
        if count > 0 {
            *self.dropped.entry(reason).or_default() += count;
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { read, delivered, rejected, .. } = self;
        write!(f, "{read} read = {delivered} delivered + {rejected} rejected + {} dropped", self.dropped_total())?;
        if !self.dropped.is_empty() {
            let reasons: Vec<_> = self.dropped.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
            write!(f, " ({})", reasons.join(", "))?;
        }
        Ok(())
    }
}

impl Destination {
    fn new(signal: Signal, reporters: &[ReporterSetup]) -> Result<Self, InvalidConfiguration> {
        let class = match signal {
            Signal::Traces => TRACE_FACTORY,
            Signal::Events => EVENT_FACTORY,
        };
        let setup = reporters.iter().find(|reporter| reporter.class == class);
        let sender = setup.map(|setup| {
            let values = setup.config.values().map(|(key, value)| (key.to_owned(), value.clone()));
            // The reporter itself may run at the same time, with dead letters of its own.
            let name = format!("{}-send", setup.name);
            let config = ReporterConfig::new(setup.config.key(""), name, values.collect::<Vec<_>>());
            let sender = RequestSender::new(&config, signal);
            sender.map_err(|error| InvalidConfiguration(vec![setup.problem(&error)]))
        });
        let name = setup.map_or(signal.to_string(), |setup| format!("{signal} {}", one_line(&setup.name, 100)));
        let (sender, account) = (sender.transpose()?, Account::default());
        Ok(Self { name, sender, batch: Vec::new(), batch_bytes: 0, begin: None, account })
    }

    /// Sends the batch. Returns `true` if the command should continue.
    fn send_batch(&mut self, deadline: &Deadline) -> bool {
        let Some(sender) = &mut self.sender else { return true };
        // The shutdown timeout is for requests in flight, not for files that are still unread.
        if deadline.remaining().is_some() {
            return false;
        }
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        let result = sender.send(&batch, deadline);
        let failure = result.as_ref().err();
        let [rejected, lost] = [failure.map(ReportError::rejected), failure.map(ReportError::dropped)]
            .map(|count| count.unwrap_or(0) as u64);
        self.account.delivered += count(&batch) - rejected - lost;
        self.account.rejected += rejected;
        let is_given_up = failure.is_some_and(ReportError::is_retryable);
        let reason = match is_given_up {
            true if deadline.remaining().is_some() => "stopped",
            true => "given up",
            false => "unknown outcome",
        };
        self.account.drop(reason, lost);
        if let Some(error) = failure {
            self.account.last_error = Some(reason_of(error));
        }
        if !is_given_up {
            self.begin = None;
        }
        !is_given_up
    }
}

fn count(requests: &[ExportRequest]) -> u64 {
    requests.iter().map(|request| request.record_count() as u64).sum()
}

fn reason_of(error: &ReportError) -> String {
    let source = error.source().map(ToString::to_string);
    one_line(&source.unwrap_or_default(), 300)
}

/// The account of the lines of one file.
#[derive(Debug, Default)]
struct FileAccount {
    lines: u64,
    empty: u64,
    unreadable: u64,
    /// The number of unreadable lines that were printed.
    printed: u64,
    /// The reason of the last unreadable line.
    reason: String,
    /// The reason if the file was not read to its end.
    error: Option<String>,
}

/// The state of the command.
struct Sending {
    destinations: [Destination; 2],
    deadline: Deadline,
    unreadable: u64,
    /// `true` if a file could not be read to its end.
    failed: bool,
}

impl Sending {
    fn new(reporters: &[ReporterSetup], deadline: Deadline) -> Result<Self, InvalidConfiguration> {
        let destinations = [Destination::new(Signal::Traces, reporters)?, Destination::new(Signal::Events, reporters)?];
        Ok(Self { destinations, deadline, unreadable: 0, failed: false })
    }

    fn send(mut self, files: &[String]) -> Exit {
        let mut progress = Progress::new(files);
        let mut unread = files.iter();
        let mut is_stopped = false;
        while !is_stopped && let Some(name) = unread.next() {
            is_stopped = self.send_file(name, &mut progress);
        }
        for destination in &mut self.destinations {
            is_stopped |= !destination.batch.is_empty() && !is_stopped && !destination.send_batch(&self.deadline);
        }
        progress.clear();
        self.print_account(unread.as_slice())
    }

    /// Reads a file and sends its full batches. Returns `true` if the command should stop.
    fn send_file(&mut self, name: &str, progress: &mut Progress) -> bool {
        let shown = one_line(name, 200);
        let mut account = FileAccount::default();
        let mut is_stopped = false;
        match open(name) {
            Ok(mut lines) => {
                progress.begin(&shown, lines.position());
                let result = self.send_lines(&shown, &mut lines, &mut account, progress);
                is_stopped = result.unwrap_or_else(|error| {
                    account.error = Some(format!("line {} cannot be read: {error}", account.lines + 1));
                    false
                });
                progress.finish_file();
            }
            Err(error) => account.error = Some(error.to_string()),
        }
        progress.clear();
        self.unreadable += account.unreadable;
        let FileAccount { lines, empty, unreadable, printed, error, .. } = account;
        if let Some(error) = error {
            self.failed = true;
            say(&format!("{shown}: {error}\n"));
        }
        if unreadable > printed {
            let more = text::count(unreadable - printed, "more unreadable line");
            say(&format!("{shown}: {more}\n"));
        }
        let requests = lines - empty - unreadable;
        let (lines, requests) = (text::count(lines, "line"), text::count(requests, "request"));
        say(&format!("{shown}: {lines} = {requests} + {empty} empty + {unreadable} unreadable\n"));
        is_stopped
    }

    fn send_lines(
        &mut self,
        file: &str,
        lines: &mut Lines,
        account: &mut FileAccount,
        progress: &mut Progress,
    ) -> io::Result<bool> {
        let mut line = Vec::new();
        loop {
            let read = lines.read(MAX_LINE_BYTES, &mut line)?;
            if read == Line::End {
                return Ok(false);
            }
            account.lines += 1;
            let at = LineNumber { file: file.to_owned(), line: account.lines };
            let request = match read {
                Line::TooLong => Err(format!("longer than {} MiB", MAX_LINE_BYTES >> 20)),
                _ if line.trim_ascii().is_empty() => {
                    account.empty += 1;
                    continue;
                }
                _ => request(if account.lines == 1 { without_mark(&line) } else { &line }),
            };
            match request {
                Ok(request) => {
                    if !self.take(request, at, progress) {
                        return Ok(true);
                    }
                }
                Err(error) => {
                    account.unreadable += 1;
                    // A file of another format has the same fault in each line.
                    if account.printed < MAX_PRINTED_LINES && account.reason != error {
                        progress.clear();
                        say(&format!("{at}: unreadable: {}\n", one_line(&error, 200)));
                        account.printed += 1;
                        account.reason = error;
                    }
                }
            }
        }
    }

    /// Adds a request to its batch, and sends a full batch. Returns `true` if the command should
    /// continue.
    fn take(&mut self, request: ExportRequest, at: LineNumber, progress: &mut Progress) -> bool {
        let records = request.record_count() as u64;
        let destination = &mut self.destinations[usize::from(request.signal() == Signal::Events)];
        destination.account.read += records;
        if destination.sender.is_none() {
            destination.account.drop("no destination", records);
            return true;
        }
        destination.batch_bytes += request.size();
        destination.begin.get_or_insert(at);
        destination.batch.push(request);
        let continues = destination.batch_bytes < BATCH_BYTES || destination.send_batch(&self.deadline);
        progress.show(&self.destinations, self.unreadable);
        continues
    }

    /// Prints the account. `unread` are the files that were not read at all.
    fn print_account(mut self, unread: &[String]) -> Exit {
        let mut is_done = self.unreadable == 0 && !self.failed;
        for Destination { name, batch, begin, account, .. } in &mut self.destinations {
            account.drop("stopped", count(batch));
            if account.read == 0 {
                continue;
            }
            say(&format!("{name}: {account}\n"));
            if let Some(error) = &account.last_error {
                say(&format!("  last error: {error}\n"));
            }
            if let Some(begin) = begin {
                say(&format!("  not everything was sent from {begin} on\n"));
            }
            is_done &= account.delivered == account.read;
        }
        for file in unread {
            say(&format!("{}: not read\n", one_line(file, 200)));
            is_done = false;
        }
        if is_done { Exit::Done } else { Exit::Lost }
    }
}

/// Returns a text without a byte order mark.
fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// Reads a line. Anything that is not Unicode costs one character.
fn request(line: &[u8]) -> Result<ExportRequest, String> {
    let request = ExportRequest::from_json(line).or_else(|error| match replace_invalid_unicode(line) {
        Some(line) => ExportRequest::from_json(&line),
        None => Err(error),
    });
    match request {
        Ok(request) if request.record_count() == 0 => match request.signal() {
            Signal::Traces => Err("no spans".to_owned()),
            Signal::Events => Err("no log records".to_owned()),
        },
        Err(_) if is_flat(line) => Err("written in the format `flat`; only the format `otlp` can be sent".to_owned()),
        request => request.map_err(|error| error.to_string()),
    }
}

/// Returns `true` for a line of the JSON Lines reporter in the format `flat`.
fn is_flat(line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Flat {
        #[serde(rename = "type")]
        kind: String,
    }
    serde_json::from_slice(line).is_ok_and(|Flat { kind }| kind == "span" || kind == "event")
}

fn open(name: &str) -> io::Result<Lines> {
    match name {
        STDIN => Lines::from_reader(io::stdin()),
        name => Lines::from_file(File::open(Path::new(name))?),
    }
}

/// The progress on standard error.
///
/// On a terminal it is one line that is rewritten. Otherwise a line is printed every ten seconds.
struct Progress {
    total: Option<u64>,
    before: u64,
    file: String,
    position: Position,
    is_terminal: bool,
    shown_at: Instant,
}

impl Progress {
    fn new(files: &[String]) -> Self {
        let size =
            |name: &String| std::fs::metadata(name).ok().filter(|found| found.is_file()).map(|found| found.len());
        Self {
            total: files.iter().map(size).sum(),
            before: 0,
            file: String::new(),
            position: Position::default(),
            is_terminal: io::stderr().is_terminal(),
            shown_at: Instant::now(),
        }
    }

    fn begin(&mut self, file: &str, position: Position) {
        file.clone_into(&mut self.file);
        self.position = position;
    }

    fn finish_file(&mut self) {
        self.before += std::mem::take(&mut self.position).bytes();
    }

    fn show(&mut self, destinations: &[Destination], unreadable: u64) {
        let pause = if self.is_terminal { Duration::from_millis(200) } else { Duration::from_secs(10) };
        if self.shown_at.elapsed() < pause {
            return;
        }
        self.shown_at = Instant::now();
        let size = |size: u64| bytes(i64::try_from(size).unwrap_or(i64::MAX));
        let read = self.before + self.position.bytes();
        let read = match self.total {
            Some(total) => format!("{} % of {}", 100 * read / total.max(1), size(total)),
            None => size(read),
        };
        let sum = |count: fn(&Account) -> u64| destinations.iter().map(|known| count(&known.account)).sum::<u64>();
        let [delivered, rejected] = [sum(|account| account.delivered), sum(|account| account.rejected)];
        let dropped = sum(Account::dropped_total);
        let text = format!(
            "{}: {read}, {delivered} delivered, {rejected} rejected, {dropped} dropped, {unreadable} lines unreadable",
            self.file
        );
        if self.is_terminal {
            say(&format!("\r\u{1b}[K{text}"));
        } else {
            say(&format!("{text}\n"));
        }
    }

    /// Clears the line on a terminal, for other text.
    fn clear(&self) {
        if self.is_terminal {
            say("\r\u{1b}[K");
        }
    }
}
