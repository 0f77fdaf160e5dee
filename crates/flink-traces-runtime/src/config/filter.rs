//! Which spans or events one reporter reports.

use flink_traces_api::{Compatibility, printable};
use regex_lite::Regex;

/// Which spans or events a reporter reports, as Flink's `DefaultReporterFilters`: what no exclude matches and some include does.
///
/// One rule is `<scope>[:<name>[:<types>]]`, a part is alternatives separated by commas, `*` stands for any text, and a missing part
/// for everything. Upper and lower case differ. The types are of metrics, and of no effect.
///
/// Flink makes regular expressions of the parts without escaping anything, so `.` stands for any character there and `a+` for `aa`.
/// [`Compatibility::Flink`] does the same, in the syntax of Rust's regular expressions instead of Java's. By default all
/// characters but `*` stand for themselves, blanks around a part do not count, and an empty part is a missing one.
#[derive(Debug, Clone)]
pub struct Filter {
    includes: Vec<Rule>,
    excludes: Vec<Rule>,
}

/// The filter that reports everything.
impl Default for Filter {
    fn default() -> Self {
        Self { includes: vec![Rule { scope: Pattern::Any, name: Pattern::Any }], excludes: Vec::new() }
    }
}

impl Filter {
    /// Reports what one of `includes` and none of `excludes` matches.
    pub fn new(includes: Vec<Rule>, excludes: Vec<Rule>) -> Self {
        Self { includes, excludes }
    }

    /// Whether the reporter reports what has this name and comes from a group of this logical scope, its parts joined by the
    /// delimiter that filters are written with. Called for every span and event, on the thread that reports it.
    pub fn matches(&self, logical_scope: &str, name: &str) -> bool {
        let matches = |rule: &Rule| rule.scope.matches(logical_scope) && rule.name.matches(name);
        !self.excludes.iter().any(matches) && self.includes.iter().any(matches)
    }
}

/// Why a text is no rule. Flink's `FilterSpec.parse` refuses most of these, too.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// There is neither a scope nor a name.
    #[error("has neither scope nor name")]
    Empty,
    /// There are more than three parts.
    #[error("has more than three parts")]
    TooManyParts,
    /// The third part names no types of metrics.
    #[error("has '{0}' as third part, which is not `*` or of `counter`, `meter`, `gauge`, `histogram`")]
    Types(String),
    /// A part is no regular expression.
    #[error("is no regular expression: {0}")]
    Regex(String),
}

/// One element of `filter.includes` or `filter.excludes`, as Flink's `DefaultReporterFilters.FilterSpec`.
#[derive(Debug, Clone)]
pub struct Rule {
    scope: Pattern,
    name: Pattern,
}

impl Rule {
    /// Reads a rule.
    ///
    /// # Errors
    /// When it could match nothing, or is none that Flink accepts.
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

    /// What Flink would take otherwise than [`Compatibility::Standard`] does, as the end of a sentence about the rule.
    pub(crate) fn difference(text: &str) -> Option<&'static str> {
        /// What is special in regular expressions, the dot left out: that it also matches itself is what was meant.
        const SPECIAL: &[char] = &['\\', '^', '$', '|', '?', '+', '(', ')', '[', ']', '{', '}'];
        let parts: Vec<_> = text.split(':').take(2).collect();
        let mut alternatives = parts.iter().flat_map(|part| part.split(','));
        if parts.iter().any(|part| part.contains(SPECIAL)) {
            Some("has characters that Flink would read as a regular expression; here they stand for themselves")
        } else if alternatives.any(|alternative| alternative.trim() != alternative) {
            Some("has blanks that Flink would take literally; here they do not count")
        } else if parts.iter().any(|part| part.is_empty()) && java_split(text, ':').iter().any(|part| part.is_empty()) {
            Some("has an empty part that Flink would take literally; here it stands for everything")
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

/// As Java's `String.split`: without the empty parts at the end, unless there is nothing but one empty part.
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
        match globs.is_empty() || globs.iter().any(|glob| glob == "*") {
            true => Self::Any,
            false => Self::Globs(globs),
        }
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

/// Whether `text` is `glob` with some text in place of each `*`.
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
