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
                Self::error(format!("'{}' is not {expected}", printable(value))).at(origin).about(key)
            }
            other => Self::error(printable(&other.to_string())),
        }
    }
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
