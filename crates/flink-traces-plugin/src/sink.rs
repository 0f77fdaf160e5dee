//! The running reporters: one dispatcher, one reporter and one decoding thread for each.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use flink_traces_api::{Clock, Registry, Signal, SystemClock};
use flink_traces_runtime::config::{FILTER_EXCLUDES, FILTER_INCLUDES, Problem, QUEUE_MAX_BYTES, unknown_keys};
use flink_traces_runtime::dispatch::{DropReason, ReporterStats};
use flink_traces_runtime::{Configuration, Dispatcher, MetricGroup, discover};

use crate::intake::{Block, Intake, Piece, Progress, Refusal};
use crate::metrics::{self, Listen};
use crate::wire::{self, Record};

/// The option for a name that is not in Flink's configuration.
const NAME: &str = "name";
/// The option for the name of the cluster, on which ids depend.
const CLUSTER_NAME: &str = "cluster.name";
/// The option for the address of the page with the accounts.
const METRICS_LISTEN: &str = "metrics.listen";
/// The text in the path of a JSON Lines file that becomes the id of the process.
const PROCESS: &str = "%p";
/// The options that the Java side reads.
const OF_JAVA: [&str; 2] = ["library.directory", "library.path"];
/// The default of `queue.max-bytes`, which Flink's JVM overhead has to include.
const MAX_BYTES: &str = "128 mb";
/// The origin of all options.
const ORIGIN: &str = "Flink's configuration";
/// The number of records after which the decoding thread counts its progress.
const STEP: u64 = 1_024;

/// The arguments of [`open`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The kind of record.
    pub signal: Signal,
    /// The destination: `otlp`, `log` or `json`.
    pub destination: String,
    /// The class of the Java factory.
    pub java_class: String,
    /// `true` if Flink applies filters and variables.
    pub is_filtered: bool,
    /// The options below the prefix of the reporter.
    pub options: BTreeMap<String, String>,
}

impl Request {
    /// Reads a request of the Java side: the texts before the options, then keys and values.
    ///
    /// # Errors
    ///
    /// Returns a message if the bytes are something else.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let texts = wire::texts(bytes).map_err(|malformed| malformed.to_string())?;
        let [signal, destination, java_class, is_filtered, options @ ..] = &texts[..] else {
            return Err("incomplete request".to_owned());
        };
        let signal = Signal::ALL.into_iter().find(|known| known.name() == signal).ok_or("unknown signal")?;
        let pairs = options.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
        Ok(Self {
            signal,
            destination: destination.clone(),
            java_class: java_class.clone(),
            is_filtered: is_filtered == "true",
            options: pairs.collect(),
        })
    }

    /// Returns the class of the Rust factory.
    fn class(&self) -> &'static str {
        match (self.destination.as_str(), self.signal) {
            ("log", Signal::Traces) => flink_traces_log::TRACE_FACTORY,
            ("log", Signal::Events) => flink_traces_log::EVENT_FACTORY,
            ("json", _) => flink_traces_json::FACTORY,
            (_, Signal::Traces) => flink_traces_otlp::TRACE_FACTORY,
            (_, Signal::Events) => flink_traces_otlp::EVENT_FACTORY,
        }
    }

    /// Returns the possible names of the reporter, the best first.
    ///
    /// Flink does not pass the name. It is that of a reporter in Flink's own configuration with
    /// this class and these options, or else the option `name`, or else that of the only reporter
    /// with this class.
    fn names(&self, flink: &Configuration) -> Vec<String> {
        let prefix = format!("{}.reporter.", self.signal.name());
        let names = flink.below(&prefix).filter(|(_, value)| value.raw.to_string() == self.java_class);
        let names: Vec<&str> = names.filter_map(|(key, _)| key.strip_suffix(".factory.class")).collect();
        let without_class = |key: &str| key != "factory.class" && key != "class";
        let options: BTreeMap<&str, &str> =
            self.options.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let has_options = |name: &&&str| {
            let prefix = format!("{prefix}{name}.");
            let configured = flink.below(&prefix).filter(|(key, _)| without_class(key));
            let configured: BTreeMap<_, _> =
                configured.map(|(key, value)| (key.to_owned(), value.raw.to_string())).collect();
            let given = options.iter().filter(|(key, _)| without_class(key));
            given.map(|(key, value)| (*key, *value)).eq(configured.iter().map(|(key, value)| (&**key, &**value)))
        };
        let exact: Vec<String> = names.iter().filter(has_options).map(|name| (*name).to_owned()).collect();
        if !exact.is_empty() {
            return exact;
        }
        let only = (names.len() == 1).then(|| names[0]);
        vec![self.options.get(NAME).map(String::as_str).or(only).unwrap_or(&self.destination).to_owned()]
    }

    /// Returns the configuration of the reporter `name` alone, and the problems with its filters.
    fn configuration(&self, name: &str) -> (Configuration, Vec<Problem>) {
        let prefix = format!("{}.reporter.{name}.", self.signal.name());
        let mut configuration = Configuration::default();
        let is_flinks = |key: &str| self.is_filtered && (key.starts_with("filter.") || key.starts_with("scope."));
        configuration.set_default(format!("{prefix}factory.class"), self.class().to_owned(), ORIGIN);
        for (key, value) in &self.options {
            let is_ours = [NAME, CLUSTER_NAME, METRICS_LISTEN, "factory.class", "class"].contains(&&**key)
                || OF_JAVA.contains(&&**key);
            if !is_flinks(key) && !is_ours {
                let is_path = self.destination == "json" && key == "path";
                let value = if is_path { value.replace(PROCESS, &process::id().to_string()) } else { value.clone() };
                configuration.set_default(format!("{prefix}{key}"), value, ORIGIN);
            }
        }
        configuration.set_default(format!("{prefix}{}", QUEUE_MAX_BYTES.key()), MAX_BYTES.to_owned(), ORIGIN);
        let filters = [&FILTER_INCLUDES, &FILTER_EXCLUDES].into_iter().filter_map(|option| {
            let key = format!("{prefix}{}", option.key());
            let rules = option.parse(&configuration.value(&key)?.raw)?;
            let rule =
                rules.into_iter().find(|rule| !matches!(rule.split(':').next().map(str::trim), Some("*" | "")))?;
            let message = format!(
                "'{rule}' names a scope, which this version of Flink does not pass to reporters; use `*:<name>`"
            );
            Some(Problem::error(message).with_key(key))
        });
        let problems = filters.collect();
        (configuration, problems)
    }

    /// Returns the address of the page with the accounts, if the options have one.
    fn listen(&self, name: &str) -> Result<Option<Listen>, Problem> {
        let Some(text) = self.options.get(METRICS_LISTEN) else { return Ok(None) };
        let wrong = |expected| Problem::error(format!("'{text}' is not {expected}"));
        text.parse().map(Some).map_err(|expected| wrong(expected).with_key(self.key(name, METRICS_LISTEN)))
    }

    /// Returns the full key of an option.
    fn key(&self, name: &str, option: &str) -> String {
        format!("{}.reporter.{name}.{option}", self.signal.name())
    }

    /// Returns the name of the cluster: an option, or that of Flink on Kubernetes.
    fn cluster(&self, name: &str, flink: &Configuration) -> String {
        static ONCE: Once = Once::new();
        if let Some(cluster) = self.options.get(CLUSTER_NAME) {
            return cluster.trim().to_owned();
        }
        let text = |key: &str| flink.value(key).map(|value| value.raw.to_string());
        if let Some(id) = text("kubernetes.cluster-id") {
            return format!("{}/{id}", text("kubernetes.namespace").as_deref().unwrap_or("default"));
        }
        let key = self.key(name, CLUSTER_NAME);
        ONCE.call_once(|| {
            tracing::warn!("{key}: is not set, so ids differ from those of a flink-traces process beside the cluster");
        });
        String::new()
    }
}

/// A running reporter.
#[derive(Debug)]
pub struct Sink {
    signal: Signal,
    name: String,
    cluster: String,
    dispatcher: Dispatcher,
    group: MetricGroup,
    intake: Intake,
    /// Held while records move from the intake to the dispatcher. Flink's threads never wait for
    /// it.
    moving: Mutex<()>,
}

/// A reporter in the table, whose index is its handle.
struct Entry {
    request: Request,
    /// The number of Flink's reporters that share it.
    opens: u32,
    /// The reporter, or `None` once it is closed.
    sink: Option<Arc<Sink>>,
}

/// All reporters that were opened. A handle is an index from 1, so that no handle can do harm.
static ENTRIES: RwLock<Vec<Entry>> = RwLock::new(Vec::new());

/// Calls `call` with the reporter of that handle, unless it is closed.
pub fn with<T>(handle: i64, call: impl FnOnce(&Sink) -> T) -> Option<T> {
    let entries = ENTRIES.read().unwrap_or_else(PoisonError::into_inner);
    let entry = entries.get(usize::try_from(handle).ok()?.checked_sub(1)?)?;
    entry.sink.as_deref().map(call)
}

/// Returns the accounts of all open reporters.
#[must_use]
pub fn accounts() -> Vec<ReporterStats> {
    let entries = ENTRIES.read().unwrap_or_else(PoisonError::into_inner);
    entries.iter().filter_map(|entry| entry.sink.as_ref()).map(|sink| sink.stats()).collect()
}

/// Opens a reporter, and returns its handle.
///
/// A second request for the same reporter returns the handle of the first, because Flink never
/// closes reporters. `directory` is that of Flink's configuration.
///
/// # Errors
///
/// Returns all problems if one of them is an error. Warnings are logged.
pub fn open(request: Request, directory: Option<PathBuf>) -> Result<i64, Vec<Problem>> {
    // One at a time, so that two equal requests share a reporter.
    static OPENING: Mutex<()> = Mutex::new(());
    let _opening = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    let (flink, _) = match &directory {
        Some(directory) => Configuration::load(Some(directory), &[]),
        None => (Configuration::default(), Vec::new()),
    };
    let names = request.names(&flink);
    let name = match free_name(&request, names) {
        Ok(name) => name,
        Err(handle) => return Ok(handle),
    };
    let sink = Arc::new(Sink::start(&request, name, &flink)?);
    let decoding = sink.clone();
    let spawned = thread::Builder::new().name(format!("decode-{}", sink.signal.name())).spawn(move || decoding.run());
    spawned.map_err(|error| vec![Problem::error(format!("cannot start a thread: {error}"))])?;
    tracing::info!(signal = %sink.signal, reporter = sink.name, cluster = sink.cluster, "reporter opened");
    let mut entries = ENTRIES.write().unwrap_or_else(PoisonError::into_inner);
    entries.push(Entry { request, opens: 1, sink: Some(sink) });
    Ok(i64::try_from(entries.len()).unwrap_or(i64::MAX))
}

/// Returns the first of `names` that no open reporter of the same request has. If all are in use,
/// fails with the handle of the one that the fewest of Flink's reporters share.
fn free_name(request: &Request, names: Vec<String>) -> Result<String, i64> {
    let mut entries = ENTRIES.write().unwrap_or_else(PoisonError::into_inner);
    let mut shared: Option<(usize, u32)> = None;
    for name in names {
        let is_same =
            |entry: &Entry| entry.request == *request && entry.sink.as_ref().is_some_and(|sink| sink.name == name);
        let Some(index) = entries.iter().position(is_same) else { return Ok(name) };
        let opens = entries[index].opens;
        if shared.is_none_or(|(_, fewest)| opens < fewest) {
            shared = Some((index, opens));
        }
    }
    let (index, _) = shared.unwrap_or_default();
    entries[index].opens += 1;
    Err(i64::try_from(index + 1).unwrap_or(i64::MAX))
}

/// Closes a reporter within a time limit, and returns its account.
pub fn close(handle: i64, within: Duration) -> Option<ReporterStats> {
    let index = usize::try_from(handle).ok()?.checked_sub(1)?;
    let sink = {
        let mut entries = ENTRIES.write().unwrap_or_else(PoisonError::into_inner);
        entries.get_mut(index)?.sink.take()?
    };
    Some(sink.close(Instant::now() + within.min(Duration::from_secs(3_600))))
}

impl Sink {
    fn start(request: &Request, name: String, flink: &Configuration) -> Result<Self, Vec<Problem>> {
        let (configuration, mut problems) = request.configuration(&name);
        let registry = registry();
        problems.extend(unknown_keys(&configuration, &registry, &[]));
        let (setups, found) = discover(&configuration, &registry);
        problems.extend(found);
        let listen = request.listen(&name).unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        if problems.iter().any(Problem::is_error) {
            return Err(problems);
        }
        let max_bytes = setups.first().map_or(0, |setup| setup.queue_max_bytes);
        let (dispatcher, found) = Dispatcher::start(setups, &registry, Arc::new(SystemClock), ".");
        problems.extend(found);
        if problems.iter().any(Problem::is_error) || dispatcher.stats().is_empty() {
            dispatcher.shutdown(Duration::ZERO);
            return Err(problems);
        }
        problems.iter().for_each(|problem| tracing::warn!("{problem}"));
        if let Some(listen) = listen {
            match metrics::serve(&listen, accounts) {
                Ok(address) => tracing::info!("serving metrics at http://{address}/metrics"),
                Err(error) => {
                    tracing::warn!("{}: cannot listen at {listen}: {error}", request.key(&name, METRICS_LISTEN))
                }
            }
        }
        Ok(Self {
            signal: request.signal,
            cluster: request.cluster(&name, flink),
            name,
            group: MetricGroup::bare(&dispatcher),
            dispatcher,
            intake: Intake::new(usize::try_from(max_bytes).unwrap_or(usize::MAX)),
            moving: Mutex::default(),
        })
    }

    /// Appends a piece of a record, which `fill` writes, as [`Intake::append`] does. Never waits
    /// for the destination.
    ///
    /// # Errors
    ///
    /// Returns the error of `fill`.
    pub fn report<E>(
        &self,
        length: usize,
        repeated: usize,
        piece: Piece,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let Self { signal, name: reporter, .. } = self;
        match self.intake.append(length, repeated, piece, fill)? {
            Some(Refusal::TooLarge { name, spans }) => {
                tracing::warn!(%signal, reporter, record = name, spans, "record exceeds queue.max-bytes, dropping it");
            }
            Some(Refusal::Full { is_first: true }) => {
                tracing::warn!(%signal, reporter, "queue full, dropping records");
            }
            Some(Refusal::Full { is_first: false }) | None => {}
        }
        Ok(())
    }

    /// Returns the account of the reporter, which includes the records that are not decoded.
    #[must_use]
    pub fn stats(&self) -> ReporterStats {
        let moving = self.moving();
        let mut all = self.dispatcher.stats();
        let (queued, counts) = self.intake.counts();
        drop(moving);
        let mut stats = all.swap_remove(0);
        let dropped = [
            (DropReason::QueueFull, counts.full),
            (DropReason::Unreadable, counts.unreadable),
            (DropReason::Shutdown, counts.late),
        ];
        for (reason, count) in dropped.into_iter().filter(|(_, count)| *count > 0) {
            *stats.dropped.entry(reason).or_default() += count;
            stats.emitted += count;
        }
        stats.queued += queued;
        stats.emitted += queued;
        stats
    }

    /// Decodes and dispatches until the end.
    fn run(&self) {
        let queued_bytes = || self.dispatcher.stats().iter().map(|stats| stats.queued_bytes).sum();
        while let Some(blocks) = self.intake.take(queued_bytes()) {
            for block in blocks {
                self.decode(&block);
                self.intake.recycle(block);
            }
            if self.intake.is_stopped() {
                break;
            }
        }
        self.intake.end();
    }

    fn decode(&self, block: &Block) {
        let mut progress = Progress::default();
        let mut moving = self.moving();
        for (bytes, size) in block.records() {
            if self.intake.is_stopped() {
                break;
            }
            let spans = size.spans;
            progress.bytes += size.bytes;
            progress.spans += u64::from(spans);
            if let Err(problem) = self.dispatch(bytes) {
                progress.unreadable += u64::from(spans);
                tracing::warn!(signal = %self.signal, reporter = self.name, problem, spans, "record cannot be decoded");
            }
            if progress.spans >= STEP {
                self.intake.finish(std::mem::take(&mut progress));
                drop(moving);
                moving = self.moving();
            }
        }
        self.intake.finish(progress);
    }

    fn moving(&self) -> MutexGuard<'_, ()> {
        self.moving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dispatch(&self, bytes: &[u8]) -> Result<(), String> {
        let decode = || match wire::decode(bytes, &self.cluster, SystemClock.now_millis()) {
            Ok(Record::Span(span)) => {
                self.group.add_span(span);
                Ok(())
            }
            Ok(Record::Event(event)) => {
                self.group.add_event(event);
                Ok(())
            }
            Err(malformed) => Err(malformed.to_string()),
        };
        catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err("panicked".to_owned()))
    }

    fn close(&self, until: Instant) -> ReporterStats {
        self.intake.close(until);
        self.dispatcher.shutdown(until.saturating_duration_since(Instant::now()));
        self.stats()
    }
}

fn registry() -> Registry {
    let mut registry = Registry::new();
    for register in [flink_traces_log::register, flink_traces_json::register, flink_traces_otlp::register] {
        let registered = register(&mut registry);
        debug_assert!(registered.is_ok(), "two crates have the same class: {registered:?}");
    }
    registry
}

#[cfg(test)]
mod tests;
