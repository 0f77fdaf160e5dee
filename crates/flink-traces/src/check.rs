//! The command `check`.

use std::path::Path;
use std::time::Duration;

use flink_rest::Config;
use flink_traces_api::{OptionDoc, is_sensitive};
use flink_traces_otlp::{CheckResult, EVENT_FACTORY, TRACE_FACTORY};
use flink_traces_runtime::config::ReporterSetup;

use crate::cli::{CheckArgs, Exit};
use crate::connection::Connection;
use crate::load::Settings;
use crate::options::{CLUSTERS, global_options};
use crate::probe::failing_endpoints;
use crate::reporters::json_reporters;
use crate::text::{count, one_line, print};

/// The option of a reporter with the file that it writes.
const PATH: &str = "path";

/// The time in which a source of clusters must have a result.
const LONGEST_LOOK: Duration = Duration::from_secs(30);

/// Prints the options, and tests the configured clusters and destinations. Reports nothing and
/// leaves no file.
pub(crate) async fn check(arguments: &CheckArgs) -> anyhow::Result<Exit> {
    let CheckArgs { clusters, json, json_format, all } = arguments;
    let shorthands = json.as_ref().map(|json| json_reporters(json, json_format.format)).unwrap_or_default();
    let (settings, mut clusters) = Settings::load_with_clusters(&clusters.configuration, &clusters.flink, &shorthands)?;
    print(&options(&settings, *all))?;

    print("Clusters and destinations\n")?;
    let mut exit = Exit::Done;
    let mut print_result = |name: &str, result: Result<String, String>| {
        let (word, text) = match result {
            Ok(text) => ("ok    ", text),
            Err(error) => {
                exit = Exit::Unavailable;
                ("FAILED", error)
            }
        };
        print(&format!("  {word}  {name}: {text}\n"))
    };
    if clusters.is_empty() && settings.sources.is_empty() {
        print_result(
            "clusters",
            Err(format!("none to watch: give --flink URL, or configure {}.<name>", CLUSTERS.key())),
        )?;
    }
    for source in &settings.sources {
        let found = source.first(LONGEST_LOOK).await;
        let counted =
            found.as_ref().map(|found| count(found.len() as u64, "cluster")).map_err(|error| one_line(error, 300));
        print_result(&format!("discovery {}", source.name()), counted)?;
        clusters.extend(found.unwrap_or_default());
    }
    for cluster in clusters {
        let name = format!("cluster {}", one_line(&cluster.name, 100));
        let connection = match Connection::open(cluster) {
            Ok(connection) => connection,
            Err(error) => {
                print_result(&name, Err(error.to_string()))?;
                continue;
            }
        };
        let found = connection.call(&Config).await.map_err(|error| error.to_string());
        let found =
            found.map(|config| format!("Flink {} at {}", one_line(&config.flink_version, 30), connection.base_url()));
        let is_found = found.is_ok();
        print_result(&name, found)?;
        let failing = if is_found { failing_endpoints(&connection).await } else { Vec::new() };
        for problem in failing {
            print_result(&name, Err(problem))?;
        }
    }
    for reporter in &settings.reporters {
        for result in destination(reporter, json.as_deref()).await? {
            print_result(&reporter.full_name(), result)?;
        }
    }
    Ok(exit)
}

/// Tests the destination of a reporter.
async fn destination(reporter: &ReporterSetup, json: Option<&Path>) -> anyhow::Result<Vec<Result<String, String>>> {
    let value = |key: &str| reporter.config.value(key).map(|value| value.raw.to_string());
    if [TRACE_FACTORY, EVENT_FACTORY].contains(&reporter.class.as_str()) {
        let (config, signal) = (reporter.config.clone(), reporter.signal);
        let checked = tokio::task::spawn_blocking(move || flink_traces_otlp::check(&config, signal)).await?;
        let result = |CheckResult { passed, text, .. }| if passed { Ok(text) } else { Err(text) };
        return Ok(match checked {
            Ok(results) => results.into_iter().map(result).collect(),
            Err(error) => vec![Err(one_line(&error.to_string(), 300))],
        });
    }
    let of_path = |path: String| match json {
        Some(json) if Path::new(&path).parent() == Some(json) && !json.exists() => {
            Ok(format!("directory {} does not exist yet, run creates it", one_line(&path_text(json), 200)))
        }
        _ => directory(Path::new(&path)),
    };
    Ok(value(PATH).map(of_path).into_iter().collect())
}

/// Returns the lines of the configured options, with the value and its origin; with `all`, also
/// those of defaults.
fn options(settings: &Settings, all: bool) -> String {
    let mut text = "Options\n".to_owned();
    for option in global_options() {
        text += &option_lines(settings, "", option, all);
    }
    for reporter in &settings.reporters {
        let name = reporter.full_name();
        text += &format!("Reporter {name}\n");
        for option in reporter.options(&settings.registry) {
            text += &option_lines(settings, &format!("{name}."), option, all);
        }
    }
    if !all {
        text += "Defaults are not shown, see --all\n";
    }
    text
}

/// Returns the lines of one option, which are several for a map.
fn option_lines(settings: &Settings, prefix: &str, option: &OptionDoc, all: bool) -> String {
    let key = format!("{prefix}{}", option.key);
    let below = format!("{key}.");
    let configured = settings
        .configuration
        .iter()
        .filter(|(known, _)| *known == key || (option.is_map && known.starts_with(&below)));
    let configured: String = configured
        .map(|(key, value)| {
            format!("  {} = {}  [{}]\n", one_line(key, 200), one_line(&value.redacted(), 200), value.origin)
        })
        .collect();
    match option.default {
        Some(default) if all && configured.is_empty() && !is_sensitive(&key) => {
            format!("  {key} = {default}  [default]\n")
        }
        _ => configured,
    }
}

/// Tests whether the directory of a file exists. Reporters do not create it.
fn directory(file: &Path) -> Result<String, String> {
    let parent = file.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let shown = one_line(&path_text(parent), 200);
    if parent.is_dir() {
        Ok(format!("directory {shown} exists"))
    } else {
        Err(format!("directory {shown} does not exist"))
    }
}

fn path_text(path: &Path) -> String {
    path.display().to_string()
}
