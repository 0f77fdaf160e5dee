//! The command `check`.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use flink_rest::Config;
use flink_traces_api::{OptionDoc, is_sensitive};

use crate::cli::{ClusterArgs, Exit};
use crate::settings::{CLUSTERS, Settings, global_options};
use crate::text::{one_line, print};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The options of reporters that say where they report to.
const ENDPOINT: &str = "exporter.endpoint";
const PATH: &str = "path";

/// Prints every option in force, and asks everyone who is configured. Sends nothing and creates no file.
///
/// # Errors
/// When the configuration is wrong, or standard output cannot be written.
pub(crate) async fn check(arguments: &ClusterArgs) -> anyhow::Result<Exit> {
    let (settings, clusters) = Settings::load_with_clusters(&arguments.configuration, &arguments.flink)?;
    print(&options(&settings))?;

    print("Clusters and destinations\n")?;
    let mut exit = Exit::Done;
    let mut tell = |what: &str, answer: Result<String, String>| {
        let (word, answer) = match answer {
            Ok(answer) => ("ok    ", answer),
            Err(error) => {
                exit = Exit::Unavailable;
                ("FAILED", error)
            }
        };
        print(&format!("  {word}  {what}: {answer}\n"))
    };
    if clusters.is_empty() {
        tell("clusters", Err(format!("none to watch: give --flink URL, or configure {}.<name>", CLUSTERS.key())))?;
    }
    for cluster in clusters {
        let answer = cluster.client.call(&Config).await.map_err(|error| error.to_string());
        let answer = answer
            .map(|config| format!("Flink {} at {}", one_line(&config.flink_version, 30), cluster.client.base_url()));
        tell(&format!("cluster {}", one_line(&cluster.name, 100)), answer)?;
    }
    for reporter in &settings.reporters {
        let value = |key: &str| reporter.config.value(key).map(|value| value.raw.to_string());
        if let Some(endpoint) = value(ENDPOINT) {
            let answer = tokio::task::spawn_blocking(move || connect(&endpoint)).await?;
            tell(&reporter.full_name(), answer)?;
        } else if let Some(path) = value(PATH) {
            tell(&reporter.full_name(), directory(Path::new(&path)))?;
        }
    }
    Ok(exit)
}

/// Every option that has a value, with that and where it comes from.
fn options(settings: &Settings) -> String {
    let mut text = "Options\n".to_owned();
    for option in global_options() {
        text += &told(settings, "", option);
    }
    for reporter in &settings.reporters {
        let name = reporter.full_name();
        text += &format!("Reporter {name}\n");
        for option in reporter.options(&settings.registry) {
            text += &told(settings, &format!("{name}."), option);
        }
    }
    text
}

fn told(settings: &Settings, prefix: &str, option: &OptionDoc) -> String {
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
        Some(default) if configured.is_empty() && !is_sensitive(&key) => format!("  {key} = {default}  [default]\n"),
        _ => configured,
    }
}

/// Whether somebody listens at an address.
fn connect(url: &str) -> Result<String, String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| "no address".to_owned())?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let authority = match (has_port, scheme) {
        (true, _) => authority.to_owned(),
        (false, "https") => format!("{authority}:443"),
        (false, _) => format!("{authority}:80"),
    };
    let shown = one_line(&authority, 200);
    let failed = |error: std::io::Error| format!("{shown}: {error}");
    let mut answer = Err(format!("{shown}: no such host"));
    for address in authority.to_socket_addrs().map_err(failed)? {
        answer = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).map_err(failed);
        if answer.is_ok() {
            break;
        }
    }
    answer.map(|_| format!("{shown} accepts connections"))
}

/// Whether there is a directory for a file, which a reporter does not create.
fn directory(file: &Path) -> Result<String, String> {
    let parent = file.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let shown = one_line(&parent.display().to_string(), 200);
    match parent.is_dir() {
        true => Ok(format!("there is the directory {shown}")),
        false => Err(format!("there is no directory {shown}")),
    }
}
