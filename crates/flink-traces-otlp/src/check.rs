//! A test of a reporter's destination and directories, before anything is reported.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use flink_traces_api::{ConfigError, ReporterConfig, Signal, printable};
use tokio::time::timeout;

use crate::config::Target;
use crate::options::Options;
use crate::response::{Response, Verdict};
use crate::transport::Transport;

/// The longest wait for a response.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The result of one test of [`check`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckResult {
    /// `true` if the destination or the directory can be used.
    pub passed: bool,
    /// The subject and the result, in one line without secrets.
    pub text: String,
}

/// Tests whether a reporter with these options could deliver.
///
/// It sends one empty request to the endpoint, which reports nothing.
/// With `exporter.protocol: auto`, it sends one over each protocol until one is accepted.
/// It creates and removes a file in each directory that the reporter would write to: the spool and
/// the dead letters.
/// A missing directory is created for that, and removed.
/// The results begin with that of the endpoint.
///
/// A failed result names the likely cause, such as a port that speaks another protocol.
/// The function blocks its thread for at most 5 seconds per protocol, and 3 more for that cause.
///
/// # Errors
///
/// Returns an error if an option is missing or invalid, or if the connection cannot be set up.
///
/// # Examples
///
/// ```
/// use flink_traces_api::{ReporterConfig, Signal};
/// use flink_traces_testkit::OtlpCollector;
///
/// let collector = OtlpCollector::start()?;
/// let endpoint = collector.http_endpoint();
/// let options = [("exporter.endpoint", endpoint.as_str()), ("exporter.protocol", "http")];
/// let config = ReporterConfig::from_pairs("otel", options);
/// let results = flink_traces_otlp::check(&config, Signal::Traces)?;
/// assert!(results[0].passed);
/// assert_eq!(results[0].text, format!("{endpoint}/v1/traces accepts traces over http"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn check(config: &ReporterConfig, signal: Signal) -> Result<Vec<CheckResult>, ConfigError> {
    let options = Options::read(config, signal)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.map_err(|error| ConfigError::Setup(error.into()))?;
    let mut results = vec![runtime.block_on(check_endpoint(options.targets()))?];
    // Dropping a runtime would wait for a DNS lookup that hangs.
    runtime.shutdown_background();
    results.extend(directories(&options).iter().map(|directory| check_directory(directory)));
    Ok(results)
}

async fn check_endpoint(targets: Vec<Target>) -> Result<CheckResult, ConfigError> {
    let mut failures = Vec::new();
    for target in targets {
        let transport = Transport::new(target).map_err(ConfigError::Setup)?;
        let target = transport.target();
        let (url, signal, protocol) = (target.shown_url(), target.signal, target.protocol.name());
        let limit = target.timeout.min(TIMEOUT);
        let body = transport.pack(&Bytes::new()).map_err(|error| ConfigError::Setup(error.into()))?;
        let response = timeout(limit, transport.send(body)).await.unwrap_or_else(|_| Response::unanswered(limit));
        if let Verdict::Accepted { .. } = response.verdict {
            return Ok(CheckResult { passed: true, text: format!("{url} accepts {signal} over {protocol}") });
        }
        let hint = transport.likely_cause(&response).await.map(|hint| format!("; {hint}")).unwrap_or_default();
        failures.push(format!("{url}: {}{hint}", response.reason));
    }
    Ok(CheckResult { passed: false, text: failures.join("; ") })
}

/// Returns the directories that a reporter writes to.
fn directories(options: &Options) -> Vec<PathBuf> {
    let spool = options.spool.as_ref().map(|spool| spool.directory.clone());
    let letters = options.dead_letters.as_ref().and_then(|letters| letters.path.parent()).map(Path::to_owned);
    let letters = letters.filter(|letters| !spool.as_ref().is_some_and(|spool| letters.starts_with(spool)));
    spool.into_iter().chain(letters).collect()
}

fn check_directory(directory: &Path) -> CheckResult {
    let shown = printable(&directory.display().to_string());
    match try_directory(directory) {
        Ok(()) => CheckResult { passed: true, text: format!("directory {shown} is writable") },
        Err(error) => CheckResult { passed: false, text: format!("directory {shown}: {error}") },
    }
}

/// Creates and removes a file, and the directories that are missing.
fn try_directory(directory: &Path) -> io::Result<()> {
    let missing: Vec<_> = directory.ancestors().take_while(|path| !path.exists()).collect();
    let file = directory.join(format!(".check-{}", std::process::id()));
    let tried = fs::create_dir_all(directory)
        .and_then(|()| OpenOptions::new().write(true).create_new(true).open(&file))
        .and_then(|_| fs::remove_file(&file));
    for created in missing {
        // A directory that was not created, or that another process uses by now, stays.
        let _ = fs::remove_dir(created);
    }
    tried
}
