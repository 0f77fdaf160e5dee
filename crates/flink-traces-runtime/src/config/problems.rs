//! The error of a configuration that cannot be used.

use std::error::Error;
use std::fmt;
use std::ops::Deref;

use super::problem::Problem;

/// All findings about a configuration, in the order of their places.
///
/// It is the error of [`ReportingBuilder::start`](crate::reporting::ReportingBuilder::start), and
/// it works with `?`. Its text has one finding a line, as the program `flink-traces` prints them.
/// Its debug form, which `main` prints behind `Error: `, has a heading above them.
///
/// # Examples
///
/// ```
/// use flink_traces_runtime::Problem;
/// use flink_traces_runtime::config::Problems;
///
/// let problems = Problems::from(vec![
///     Problem::error("unknown key").with_key("traces.reporter.a.pth".to_owned()),
///     Problem::warning("ignored"),
/// ]);
/// assert!(problems.has_errors());
/// assert_eq!(
///     problems.to_string(),
///     "error: traces.reporter.a.pth: unknown key\nwarning: ignored"
/// );
/// assert_eq!(
///     format!("{problems:?}"),
///     format!("the configuration is not valid\n{problems}")
/// );
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Returns `true` if a configured value has no effect.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(Problem::is_error)
    }
}

impl From<Vec<Problem>> for Problems {
    /// Sorts the findings by place. Those without a place come first.
    fn from(mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| {
            problem.origin.as_ref().map(|origin| (origin.source.clone(), origin.line, origin.column))
        });
        Self(problems)
    }
}

impl Deref for Problems {
    type Target = [Problem];

    fn deref(&self) -> &[Problem] {
        &self.0
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}: {problem}", problem.severity.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Problems {
    /// Writes a heading and the findings, as a `main` that returns them prints them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is not valid\n{self}")
    }
}

impl Error for Problems {}
