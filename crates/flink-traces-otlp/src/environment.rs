//! The environment variables of OpenTelemetry and of proxies.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::IpAddr;

use flink_traces_api::otel::{RESOURCE_ATTRIBUTES, SERVICE_NAME};
use flink_traces_api::{COMPATIBILITY, Compatibility, ReporterConfig, Signal};
use percent_encoding::percent_decode_str;
use reqwest::Url;

use crate::config::Protocol;
use crate::options::{
    APPEND_PATH, BASIC_AUTH, BEARER_TOKEN, BEARER_TOKEN_FILE, CA_CERTIFICATES, CLIENT_CERTIFICATE, CLIENT_KEY,
    COMPRESSION, ENDPOINT, HEADERS, NO_PROXY, PROTOCOL, PROXY, TIMEOUT, header,
};

/// An option that an environment variable sets.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnvironmentOption {
    /// The key, without the prefix of the reporter.
    pub key: String,
    /// The value, in the form of a configuration file. It may be a secret, so `Debug` hides it.
    pub value: String,
    /// The name of the variable.
    pub variable: &'static str,
}

impl std::fmt::Debug for EnvironmentOption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnvironmentOption")
            .field("key", &self.key)
            .field("variable", &self.variable)
            .finish_non_exhaustive()
    }
}

/// A warning about the value of an environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnvironmentWarning {
    /// The name of the variable.
    pub variable: &'static str,
    /// The problem, in the form of a predicate. It never shows the value.
    pub message: &'static str,
}

/// Returns the options of an OTLP reporter that environment variables set.
///
/// The variables are:
///
/// - `OTEL_EXPORTER_OTLP_*`; a variable of one signal overrides that of all signals
/// - `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`
/// - `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`
///
/// The result omits options that `config` sets.
/// An empty variable counts as unset.
/// An invalid value is ignored and returned as a warning.
///
/// `variable` returns the value of a variable.
/// The function does not read the environment of the process.
/// The caller adds the returned options to the configuration, with the lowest precedence, and then
/// creates the reporter.
///
/// # Examples
///
/// ```
/// use flink_traces_api::{ReporterConfig, Signal};
///
/// let config = ReporterConfig::from_pairs("otel", [("exporter.protocol", "http")]);
/// let variable = |name: &str| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| "http://collector:4318".to_owned());
/// let (options, _) = flink_traces_otlp::environment_options(Signal::Traces, &config, &variable);
/// assert_eq!((options[0].key.as_str(), options[0].value.as_str()), ("exporter.endpoint", "http://collector:4318/v1/traces"));
/// ```
pub fn environment_options(
    signal: Signal,
    config: &ReporterConfig,
    variable: &dyn Fn(&str) -> Option<String>,
) -> (Vec<EnvironmentOption>, Vec<EnvironmentWarning>) {
    let quoted = RefCell::default();
    let mut environment = Environment { signal, config, variable, quoted, options: Vec::new(), warnings: Vec::new() };
    environment.exporter();
    environment.resource();
    environment.proxy();
    for variable in environment.quoted.take() {
        environment.warn(variable, "is in quotes, which are left out");
    }
    (environment.options, environment.warnings)
}

struct Environment<'a> {
    signal: Signal,
    config: &'a ReporterConfig,
    variable: &'a dyn Fn(&str) -> Option<String>,
    /// The variables whose values were in quotes.
    quoted: RefCell<BTreeSet<&'static str>>,
    options: Vec<EnvironmentOption>,
    warnings: Vec<EnvironmentWarning>,
}

/// The variables of one option: for traces, for logs, for all signals.
type Names = [&'static str; 3];

impl Environment<'_> {
    fn exporter(&mut self) {
        self.text(
            PROTOCOL.key(),
            ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"],
            |text| PROTOCOL.parse(&raw(text)).is_some(),
        );
        self.endpoint();
        self.text(
            COMPRESSION.key(),
            [
                "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
                "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION",
                "OTEL_EXPORTER_OTLP_COMPRESSION",
            ],
            |text| COMPRESSION.parse(&raw(text)).is_some(),
        );
        self.timeout();
        for (key, names) in [
            (
                CA_CERTIFICATES.key(),
                [
                    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
                    "OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE",
                    "OTEL_EXPORTER_OTLP_CERTIFICATE",
                ],
            ),
            (
                CLIENT_CERTIFICATE.key(),
                [
                    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
                    "OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE",
                    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
                ],
            ),
            (
                CLIENT_KEY.key(),
                [
                    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
                    "OTEL_EXPORTER_OTLP_LOGS_CLIENT_KEY",
                    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
                ],
            ),
        ] {
            self.text(key, names, |_| true);
        }
        self.headers();
    }

    fn endpoint(&mut self) {
        let names =
            ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
        let Some((variable, mut url)) = self.find(ENDPOINT.key(), names) else { return };
        let is_grpc = self.protocol() == Some(Protocol::Grpc);
        if is_grpc && !url.contains("://") {
            let scheme = if self.is_insecure() { "http" } else { "https" };
            url = format!("{scheme}://{url}");
        }
        let Some(parsed) = ENDPOINT.parse(&raw(&url)) else {
            return self.warn(
                variable,
                "is not a URL that begins with http:// or https://, without user, password and fragment; ignored",
            );
        };
        if !is_grpc && variable == names[2] {
            // The endpoint of all signals. Each signal has a path below it.
            let (base, query) = url.find('?').map_or((url.as_str(), ""), |query| url.split_at(query));
            let path = match self.signal {
                Signal::Traces => "v1/traces",
                Signal::Events => "v1/logs",
            };
            url = format!("{}/{path}{query}", base.trim_end_matches('/'));
        } else if !is_grpc {
            // The endpoint of this signal, which is used unchanged.
            if parsed.path() == "/" {
                self.warn(
                    variable,
                    "has no path and is used unchanged; a collector listens at /v1/traces and /v1/logs",
                );
            }
            self.option(APPEND_PATH.key().to_owned(), "false".to_owned(), variable);
        }
        self.option(ENDPOINT.key().to_owned(), url, variable);
    }

    fn is_insecure(&mut self) -> bool {
        let names =
            ["OTEL_EXPORTER_OTLP_TRACES_INSECURE", "OTEL_EXPORTER_OTLP_LOGS_INSECURE", "OTEL_EXPORTER_OTLP_INSECURE"];
        match self.look_up(names) {
            None => false,
            Some((_, text)) if text.eq_ignore_ascii_case("true") => true,
            Some((_, text)) if text.eq_ignore_ascii_case("false") => false,
            Some((variable, _)) => {
                self.warn(variable, "is neither `true` nor `false`; ignored");
                false
            }
        }
    }

    fn timeout(&mut self) {
        let names =
            ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
        let Some((variable, text)) = self.find(TIMEOUT.key(), names) else { return };
        let value = format!("{text} ms");
        if text.parse::<u64>().is_ok() && TIMEOUT.parse(&raw(&value)).is_some() {
            self.option(TIMEOUT.key().to_owned(), value, variable);
        } else {
            self.warn(variable, "is not a number of milliseconds; ignored");
        }
    }

    fn headers(&mut self) {
        let names =
            ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_LOGS_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
        let Some((variable, text)) = self.find(HEADERS.key(), names) else { return };
        let has_own = [BASIC_AUTH.key(), BEARER_TOKEN.key(), BEARER_TOKEN_FILE.key()];
        let has_own = has_own.iter().any(|key| self.config.value(key).is_some());
        let wanted = |name: &str| !(has_own && name.eq_ignore_ascii_case("authorization"));
        self.pairs(HEADERS.key(), variable, &text, wanted, |name, value| header(name, value).is_some());
    }

    fn resource(&mut self) {
        // Flink's reporters ignore the environment.
        if self.config.get(&COMPATIBILITY).ok().flatten() == Some(Compatibility::Flink) {
            return;
        }
        self.text(SERVICE_NAME.key(), ["OTEL_SERVICE_NAME"; 3], |_| true);
        let names = ["OTEL_RESOURCE_ATTRIBUTES"; 3];
        if let Some((variable, text)) = self.find(RESOURCE_ATTRIBUTES.key(), names) {
            self.pairs(RESOURCE_ATTRIBUTES.key(), variable, &text, |_| true, |_, _| true);
        }
    }

    fn proxy(&mut self) {
        let endpoint = match self.options.iter().find(|option| option.key == ENDPOINT.key()) {
            Some(option) => option.value.clone(),
            None => self.config.value(ENDPOINT.key()).map(|value| value.raw.to_string()).unwrap_or_default(),
        };
        let is_https = endpoint.trim().get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"));
        let [lower, upper] = if is_https { ["https_proxy", "HTTPS_PROXY"] } else { ["http_proxy", "HTTP_PROXY"] };
        let names = [lower, upper, "all_proxy", "ALL_PROXY"];
        // A proxy cannot reach the loopback interface of this machine.
        if self.is_set(PROXY.key()) || ENDPOINT.parse(&raw(&endpoint)).is_some_and(|url| is_loopback(&url)) {
            return;
        }
        let Some((variable, text)) = names.iter().find_map(|name| self.value(name)) else { return };
        let text = if text.contains("://") { text } else { format!("http://{text}") };
        if PROXY.parse(&raw(&text)).is_none() {
            return self.warn(variable, "is not the URL of an HTTP proxy; ignored");
        }
        self.option(PROXY.key().to_owned(), text, variable);
        if let Some((variable, text)) = ["no_proxy", "NO_PROXY"].iter().find_map(|name| self.value(name))
            && !self.is_set(NO_PROXY.key())
        {
            self.option(NO_PROXY.key().to_owned(), text, variable);
        }
    }

    /// Adds an option below `key` for each entry of a list such as `a=b,c=d`, percent-encoded.
    fn pairs(
        &mut self,
        key: &str,
        variable: &'static str,
        text: &str,
        wanted: impl Fn(&str) -> bool,
        is_valid: impl Fn(&str, &str) -> bool,
    ) {
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let pair = entry.split_once('=').map(|(name, value)| (decoded(name), decoded(value)));
            match pair {
                Some((Some(name), Some(value))) if !name.is_empty() && !is_valid(&name, &value) => {
                    self.warn(variable, "has an entry that is not a valid header; ignored");
                }
                Some((Some(name), Some(value))) if !name.is_empty() => {
                    if wanted(&name) {
                        self.option(format!("{key}.{name}"), value, variable);
                    }
                }
                _ => self.warn(variable, "has an entry that is not key=value in percent-encoded UTF-8; ignored"),
            }
        }
    }

    fn text(&mut self, key: &str, names: Names, is_valid: impl Fn(&str) -> bool) {
        if let Some((variable, text)) = self.find(key, names) {
            if is_valid(&text) {
                self.option(key.to_owned(), text, variable);
            } else {
                self.warn(variable, "has an unknown value; ignored");
            }
        }
    }

    /// Returns the variable that sets an option, and its value, unless the option is configured.
    fn find(&self, key: &str, names: Names) -> Option<(&'static str, String)> {
        if self.is_set(key) { None } else { self.look_up(names) }
    }

    fn look_up(&self, [traces, logs, all]: Names) -> Option<(&'static str, String)> {
        let own = match self.signal {
            Signal::Traces => traces,
            Signal::Events => logs,
        };
        [own, all].iter().find_map(|name| self.value(name))
    }

    /// Returns the name and the value of a variable, unless it is empty.
    fn value(&self, name: &&'static str) -> Option<(&'static str, String)> {
        let value = (self.variable)(name)?;
        let value = value.trim();
        let bare = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        if bare.is_some() {
            self.quoted.borrow_mut().insert(name);
        }
        let value = bare.unwrap_or(value).trim();
        (!value.is_empty()).then(|| (*name, value.to_owned()))
    }

    fn is_set(&self, key: &str) -> bool {
        let below = format!("{key}.");
        self.config.values().any(|(known, _)| known == key || known.starts_with(&below))
    }

    /// Returns the protocol, or `None` for one that has to be found.
    fn protocol(&self) -> Option<Protocol> {
        let found = self.options.iter().find(|option| option.key == PROTOCOL.key());
        let parsed = found.and_then(|option| PROTOCOL.parse(&raw(&option.value)));
        parsed.or_else(|| self.config.get(&PROTOCOL).ok().flatten()).unwrap_or(Some(Protocol::Grpc))
    }

    fn option(&mut self, key: String, value: String, variable: &'static str) {
        self.options.push(EnvironmentOption { key, value, variable });
    }

    fn warn(&mut self, variable: &'static str, message: &'static str) {
        self.warnings.push(EnvironmentWarning { variable, message });
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn raw(text: &str) -> flink_traces_api::RawValue {
    flink_traces_api::RawValue::Text(text.to_owned())
}

fn decoded(text: &str) -> Option<String> {
    percent_decode_str(text.trim()).decode_utf8().ok().map(|text| text.into_owned())
}

#[cfg(test)]
mod tests;
