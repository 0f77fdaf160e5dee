//! The findings about a configuration.

use std::fmt;

use flink_traces_api::{ConfigError, Origin, printable};

use crate::setters::setters;

/// The severity of a [`Problem`].
// Exhaustive: a configured value either takes effect or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The value takes effect, but not as in Flink, or not as its author may expect.
    Warning,
    /// A configured value has no effect.
    Error,
}

impl Severity {
    /// Returns the name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One finding about a configuration. Its text is one line and shows no secret.
///
/// # Examples
///
/// ```
/// use flink_traces_runtime::config::{Problem, Severity};
///
/// let problem = Problem::warning("ignored").with_key("traces.reporters".to_owned());
/// assert_eq!(problem.to_string(), "traces.reporters: ignored");
/// assert_eq!(problem.severity, Severity::Warning);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The severity.
    pub severity: Severity,
    /// The place of the value; `None` for a missing value.
    pub origin: Option<Origin>,
    /// The full key, if the problem concerns one.
    pub key: Option<String>,
    /// The description.
    pub message: String,
    /// The nearest known text, if there is a similar one.
    pub suggestion: Option<String>,
}

impl Problem {
    /// Creates the problem of a configured value that has no effect.
    pub fn error(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, origin: None, key: None, message: message.into(), suggestion: None }
    }

    /// Creates the problem of a value that takes effect, but not as expected.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// Returns `true` if a configured value has no effect.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    setters! {
        with_origin: origin, into Option<Origin>;
        with_key: key, into Option<String>;
        with_suggestion: suggestion, into Option<String>;
    }

    #[must_use]
    pub(super) fn at(mut self, origin: &Origin) -> Self {
        self.origin = Some(origin.clone());
        self
    }

    #[must_use]
    pub(super) fn about(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    #[must_use]
    pub(super) fn suggest(mut self, suggestion: Option<&str>) -> Self {
        self.suggestion = suggestion.map(str::to_owned);
        self
    }
}

impl From<&ConfigError> for Problem {
    fn from(error: &ConfigError) -> Self {
        match error {
            ConfigError::Missing { key } => Self::error("is not set").about(key),
            ConfigError::Invalid { key, value, expected, origin } => {
                let hint = url_hint(value).filter(|_| expected.starts_with("a URL"));
                let (message, suggestion) = hint.unwrap_or_default();
                let message = format!("'{}' is not {expected}{message}", printable(value));
                Self { suggestion, ..Self::error(message) }.at(origin).about(key)
            }
            other => Self::error(printable(&other.to_string())),
        }
    }
}

/// Returns what is wrong with a text that is not a URL, and a suggestion.
fn url_hint(text: &str) -> Option<(&'static str, Option<String>)> {
    let Some((scheme, rest)) = text.split_once("://") else {
        let is_host = text.contains(['.', ':']) && !text.starts_with("http") || text == "localhost";
        let suggestion = (is_host && !text.contains(char::is_whitespace)).then(|| format!("http://{text}"));
        return (!text.is_empty()).then_some((": no scheme", suggestion));
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let port = authority.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.contains(']'));
    let problem = match scheme {
        "http" | "https" if authority.contains('@') => ": it has a user",
        "http" | "https" if text.contains(char::is_whitespace) => ": it has a blank",
        "http" | "https" if authority.contains('[') != authority.contains(']') => ": a bracket is missing",
        "http" | "https" if rest.contains('#') => ": it has a `#`",
        "http" | "https" if port.is_some_and(|port| port.parse::<u16>().is_err()) => ": invalid port",
        "http" | "https" if authority.is_empty() => ": no host",
        "http" | "https" => return None,
        _ => ": unsupported scheme",
    };
    Some((problem, None))
}

/// Formats as `file:line:column: key: message; did you mean …?`, without the parts that are
/// unknown.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{}: ", printable(key))?;
        }
        f.write_str(&self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, "; did you mean {}?", printable(suggestion)),
            None => Ok(()),
        }
    }
}

/// Returns the candidate that is most similar to `text`, if one is similar enough.
///
/// Only the components after the common ones are compared.
pub(super) fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const ALIKE: f64 = 0.6;
    /// The maximum length, because the comparison takes time in proportion to both lengths.
    const LONGEST: usize = 300;
    if text.len() > LONGEST {
        return None;
    }
    let distance = |candidate: &'a str| {
        let shared = text.bytes().zip(candidate.bytes()).take_while(|(a, b)| a == b).count();
        let shared = text.as_bytes()[..shared].iter().rposition(|byte| *byte == b'.').map_or(0, |dot| dot + 1);
        let (text, rest) = (&text[shared..], &candidate[shared..]);
        let is_alike = strsim::normalized_damerau_levenshtein(text, rest) >= ALIKE;
        is_alike.then(|| (strsim::damerau_levenshtein(text, rest), candidate))
    };
    candidates.into_iter().filter_map(distance).min().map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_problem_names_the_part() {
        for (text, expected) in [
            ("collector:4317", ": no scheme; did you mean http://collector:4317?"),
            ("localhost", ": no scheme; did you mean http://localhost?"),
            ("http:collector", ": no scheme"),
            ("collector", ": no scheme"),
            ("ftp://collector", ": unsupported scheme"),
            ("http://h:99999", ": invalid port"),
            ("http://h:", ": invalid port"),
            ("http://[::1:4317", ": a bracket is missing"),
            ("http://[::1]", ""),
            ("http://host name:4317", ": it has a blank"),
            ("http://******@h", ": it has a user"),
            ("http://h/x#y", ": it has a `#`"),
            ("http://", ": no host"),
            ("", ""),
        ] {
            let error = ConfigError::Invalid {
                key: "k".to_owned(),
                value: text.to_owned(),
                expected: "a URL",
                origin: flink_traces_api::Origin::new("o"),
            };
            assert_eq!(Problem::from(&error).to_string(), format!("o: k: '{text}' is not a URL{expected}"), "{text}");
        }
    }
}
