//! The filter of a reporter.

use flink_traces_api::{Compatibility, printable};
use regex_lite::Regex;

/// A filter that decides which records a reporter gets. Flink's `DefaultReporterFilters`.
///
/// A record passes if no exclude rule matches it and at least one include rule does.
///
/// A rule has the form `<scope>[:<name>[:<types>]]`. Each field is a list of alternatives,
/// separated by commas, in which `*` matches any text. A missing field matches everything. Matching
/// is case-sensitive. The types are those of metrics and have no effect.
///
/// Flink turns the fields into regular expressions without escaping anything. There, `.` matches
/// any character, and `a+` matches `aa`. [`Compatibility::Flink`] does the same, with the syntax of
/// Rust's regular expressions instead of Java's. By default, every character except `*` matches
/// itself, surrounding blanks are ignored, and an empty field is a missing one.
///
/// # Examples
///
/// ```
/// use flink_traces_api::Compatibility;
/// use flink_traces_runtime::config::{Filter, Rule};
///
/// let include = Rule::parse("jobmanager.job:Checkpoint*", Compatibility::Standard)?;
/// let exclude = Rule::parse("*:CheckpointEvent", Compatibility::Standard)?;
/// let filter = Filter::new(vec![include], vec![exclude]);
/// assert!(filter.matches("jobmanager.job", "Checkpoint"));
/// assert!(!filter.matches("jobmanager.job", "CheckpointEvent"));
/// assert!(!filter.matches("taskmanager.job", "Checkpoint"));
/// # Ok::<_, flink_traces_runtime::config::RuleError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Filter {
    includes: Vec<Rule>,
    excludes: Vec<Rule>,
}

/// A filter that passes every record.
impl Default for Filter {
    fn default() -> Self {
        Self { includes: vec![Rule { scope: Pattern::Any, name: Pattern::Any }], excludes: Vec::new() }
    }
}

impl Filter {
    /// Creates a filter that passes a record if one of `includes` and none of `excludes` matches
    /// it.
    pub fn new(includes: Vec<Rule>, excludes: Vec<Rule>) -> Self {
        Self { includes, excludes }
    }

    /// Returns `true` if a record of this name and scope passes.
    ///
    /// `logical_scope` is the logical scope of the record's metric group, joined by the configured
    /// delimiter. The dispatcher calls this method for every record, on the thread that adds it.
    pub fn matches(&self, logical_scope: &str, name: &str) -> bool {
        let matches = |rule: &Rule| rule.scope.matches(logical_scope) && rule.name.matches(name);
        !self.excludes.iter().any(matches) && self.includes.iter().any(matches)
    }
}

/// Patterns of names, in which `*` stands for any text. All other characters match themselves.
///
/// # Examples
///
/// ```
/// use flink_traces_runtime::config::NamePatterns;
///
/// let clusters = NamePatterns::new(vec!["prod".to_owned(), "test-*".to_owned()]);
/// assert!(clusters.matches("prod") && clusters.matches("test-eu"));
/// assert!(!clusters.matches("prod-eu"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePatterns(Vec<String>);

impl NamePatterns {
    /// Creates the patterns. Without one, no name matches.
    pub fn new(patterns: Vec<String>) -> Self {
        Self(patterns)
    }

    /// Returns `true` if one of the patterns matches the name.
    pub fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| glob_matches(pattern, name))
    }
}

/// The error of a text that is not a filter rule. Flink's `FilterSpec.parse` refuses most of these,
/// too.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// The rule has neither a scope nor a name.
    #[error("has neither scope nor name")]
    Empty,
    /// The rule has more than three fields.
    #[error("has more than three fields")]
    TooManyParts,
    /// The third field contains an unknown type of metric.
    #[error("has '{0}' as third field, expected `*` or some of `counter`, `meter`, `gauge`, `histogram`")]
    Types(String),
    /// A field is not a regular expression.
    #[error("is not a regular expression: {0}")]
    Regex(String),
}

/// One element of `filter.includes` or `filter.excludes`. Flink's
/// `DefaultReporterFilters.FilterSpec`.
#[derive(Debug, Clone)]
pub struct Rule {
    scope: Pattern,
    name: Pattern,
}

impl Rule {
    /// Parses a rule.
    ///
    /// # Errors
    ///
    /// Returns an error if the rule could not match anything, or if Flink would not accept it.
    pub fn parse(text: &str, compatibility: Compatibility) -> Result<Self, RuleError> {
        match compatibility {
            Compatibility::Standard => Self::parse_standard(text),
            Compatibility::Flink => Self::parse_flink(text),
        }
    }

    fn parse_standard(text: &str) -> Result<Self, RuleError> {
        let parts: Vec<_> = text.split(':').map(str::trim).collect();
        let (scope, name, types) = match parts[..] {
            [scope] => (scope, "", ""),
            [scope, name] => (scope, name, ""),
            [scope, name, types] => (scope, name, types),
            _ => return Err(RuleError::TooManyParts),
        };
        if scope.is_empty() && name.is_empty() {
            return Err(RuleError::Empty);
        }
        check_types(types.split(',').map(str::trim).filter(|name| !name.is_empty()).collect())?;
        Ok(Self { scope: Pattern::globs(scope), name: Pattern::globs(name) })
    }

    fn parse_flink(text: &str) -> Result<Self, RuleError> {
        let parts = java_split(text, ':');
        check_types(parts.get(2).map(|types| java_split(types, ',')).unwrap_or_default())?;
        Ok(Self {
            scope: Pattern::regex(parts.first().ok_or(RuleError::Empty)?)?,
            name: parts.get(1).map_or(Ok(Pattern::Any), |name| Pattern::regex(name))?,
        })
    }

    /// Describes how Flink reads the rule differently from [`Compatibility::Standard`].
    ///
    /// The text is the end of a sentence about the rule.
    pub(crate) fn difference(text: &str) -> Option<&'static str> {
        /// The special characters of regular expressions, except the dot. A dot also matches
        /// itself.
        const SPECIAL: &[char] = &['\\', '^', '$', '|', '?', '+', '(', ')', '[', ']', '{', '}'];
        let parts: Vec<_> = text.split(':').take(2).collect();
        let mut alternatives = parts.iter().flat_map(|part| part.split(','));
        if parts.iter().any(|part| part.contains(SPECIAL)) {
            Some("has special characters of regular expressions, which match themselves here but not in Flink")
        } else if alternatives.any(|alternative| alternative.trim() != alternative) {
            Some("has surrounding blanks, which are ignored here but not in Flink")
        } else if parts.iter().any(|part| part.is_empty()) && java_split(text, ':').iter().any(|part| part.is_empty()) {
            Some("has an empty field, which matches everything here and only the empty text in Flink")
        } else {
            None
        }
    }
}

fn check_types(types: Vec<&str>) -> Result<(), RuleError> {
    const TYPES: &[&str] = &["counter", "meter", "gauge", "histogram"];
    let is_type = |name: &str| TYPES.iter().any(|known| known.eq_ignore_ascii_case(name));
    match types[..] {
        ["*"] => Ok(()),
        _ => match types.iter().find(|name| !is_type(name)) {
            Some(unknown) => Err(RuleError::Types(printable(unknown))),
            None => Ok(()),
        },
    }
}

/// Splits like Java's `String.split`, which drops empty strings at the end.
fn java_split(text: &str, separator: char) -> Vec<&str> {
    let mut parts: Vec<_> = text.split(separator).collect();
    while parts.len() > 1 && parts.last() == Some(&"") {
        parts.pop();
    }
    if parts == [""] && !text.is_empty() { Vec::new() } else { parts }
}

#[derive(Debug, Clone)]
enum Pattern {
    Any,
    Globs(Vec<String>),
    Regex(Regex),
}

impl Pattern {
    fn globs(part: &str) -> Self {
        let globs = part.split(',').map(str::trim).filter(|glob| !glob.is_empty());
        let globs: Vec<_> = globs.map(str::to_owned).collect();
        if globs.is_empty() || globs.iter().any(|glob| glob == "*") { Self::Any } else { Self::Globs(globs) }
    }

    fn regex(part: &str) -> Result<Self, RuleError> {
        if part == "*" {
            return Ok(Self::Any);
        }
        let alternatives = java_split(part, ',').join("|").replace('*', ".*");
        let regex = Regex::new(&format!("^(?:({alternatives}))$"));
        regex.map(Self::Regex).map_err(|error| RuleError::Regex(printable(&error.to_string())))
    }

    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Globs(globs) => globs.iter().any(|glob| glob_matches(glob, text)),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

/// Returns `true` if `text` equals `glob` with some text in place of each `*`.
fn glob_matches(glob: &str, text: &str) -> bool {
    let Some((start, glob)) = glob.split_once('*') else { return glob == text };
    let (middle, end) = glob.rsplit_once('*').unwrap_or(("", glob));
    let Some(mut rest) = text.strip_prefix(start).and_then(|text| text.strip_suffix(end)) else { return false };
    middle.split('*').all(|part| match rest.split_once(part) {
        Some((_, behind)) => {
            rest = behind;
            true
        }
        None => false,
    })
}
