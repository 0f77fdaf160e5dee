//! What is wrong with a configuration.

use std::fmt;

use flink_traces_api::{ConfigError, Origin, printable};

use crate::setters::setters;

/// How bad a [`Problem`] is.
// Exhaustive: a configured value either takes effect or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It works, but not as Flink would, or not as whoever wrote it may think.
    Warning,
    /// Something that is configured has no effect.
    Error,
}

/// One thing that is wrong with a configuration. Its text is one line, and shows no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// Where it was written; `None` for what is missing.
    pub origin: Option<Origin>,
    /// The full key, if it is about one.
    pub key: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What may have been meant.
    pub suggestion: Option<String>,
}

impl Problem {
    /// That something configured has no effect.
    pub fn error(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, origin: None, key: None, message: message.into(), suggestion: None }
    }

    /// That something works otherwise than expected.
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

/// `file:line:column: key: message; did you mean …?`, as far as there is each.
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

/// The candidate that is most like `text`, if one is much like it where they differ.
pub(super) fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const ALIKE: f64 = 0.6;
    /// The comparison takes time in proportion to both lengths.
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
