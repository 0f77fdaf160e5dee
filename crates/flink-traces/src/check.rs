//! The command `check`.

use std::io::Write as _;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use flink_rest::Config;
use flink_traces_api::{OptionDoc, REDACTED, is_sensitive};

use crate::cli::RunArgs;
use crate::run::clusters;
use crate::settings::{Settings, global_options};
use crate::text::one_line;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Prints every option in force and asks everyone who is configured; answers whether all answered.
///
/// # Errors
/// When the configuration is wrong.
pub async fn check(arguments: &RunArgs) -> anyhow::Result<bool> {
    let settings = Settings::load(&arguments.configuration, &[])?;
    let mut output = std::io::stdout().lock();
    writeln!(output, "Options")?;
    for option in global_options() {
        print_option(&mut output, &settings, "", option)?;
    }
    for reporter in &settings.reporters {
        let prefix = format!("{}.", reporter.full_name());
        writeln!(output, "Reporter {}", reporter.full_name())?;
        for option in reporter.options(&settings.registry) {
            print_option(&mut output, &settings, &prefix, option)?;
        }
    }

    writeln!(output, "Clusters and endpoints")?;
    let mut all_answer = true;
    let mut tell = |what: &str, answer: Result<String, String>| {
        all_answer &= answer.is_ok();
        match answer {
            Ok(answer) => writeln!(output, "  ok      {what}: {answer}"),
            Err(error) => writeln!(output, "  FAILED  {what}: {error}"),
        }
    };
    if !settings.clusters.is_empty() || !arguments.flink.is_empty() {
        for cluster in clusters(&settings, &arguments.flink)? {
            let answer = cluster.client.call(&Config).await;
            let answer = answer.map(|config| format!("Flink {}", one_line(&config.flink_version, 30)));
            tell(&format!("cluster {}", cluster.name), answer.map_err(|error| error.to_string()))?;
        }
    }
    for reporter in &settings.reporters {
        if let Some(endpoint) = reporter.config.value("exporter.endpoint") {
            let endpoint = endpoint.raw.to_string();
            let answer = tokio::task::spawn_blocking(move || connect(&endpoint)).await?;
            tell(&reporter.full_name(), answer)?;
        }
    }
    Ok(all_answer)
}

fn print_option(
    output: &mut impl std::io::Write,
    settings: &Settings,
    prefix: &str,
    option: &OptionDoc,
) -> std::io::Result<()> {
    let key = format!("{prefix}{}", option.key);
    let below = format!("{key}.");
    let configured = settings
        .configuration
        .iter()
        .filter(|(known, _)| *known == key || (option.is_map && known.starts_with(&below)));
    let mut found = false;
    for (key, value) in configured {
        found = true;
        writeln!(output, "  {key} = {}  [{}]", one_line(&without_userinfo(&value.redacted()), 200), value.origin)?;
    }
    match option.default {
        Some(default) if !found && !is_sensitive(&key) => writeln!(output, "  {key} = {default}  [default]"),
        _ => Ok(()),
    }
}

/// An address without user and password.
fn without_userinfo(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, rest)) => match rest.split('/').next().and_then(|authority| authority.rfind('@')) {
            Some(at) => format!("{scheme}://{REDACTED}{}", &rest[at..]),
            None => text.to_owned(),
        },
        None => text.to_owned(),
    }
}

/// Whether somebody listens at an address.
fn connect(url: &str) -> Result<String, String> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| "no address".to_owned())?;
    let authority = rest.split('/').next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let authority = match (has_port, scheme) {
        (true, _) => authority.to_owned(),
        (false, "https") => format!("{authority}:443"),
        (false, _) => format!("{authority}:80"),
    };
    let addresses = authority.to_socket_addrs().map_err(|error| format!("{authority}: {error}"))?;
    let mut last_error = format!("{authority}: no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(_) => return Ok(format!("{authority} accepts connections")),
            Err(error) => last_error = format!("{authority}: {error}"),
        }
    }
    Err(last_error)
}
