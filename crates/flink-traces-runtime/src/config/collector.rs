//! The values and problems that the parsers find.

use std::collections::BTreeMap;
use std::sync::Arc;

use flink_traces_api::{ConfigValue, Origin, RawValue, is_sensitive};

use super::options::REDACTED_KEYS;
use super::problem::Problem;

/// Collects values and problems from one source after the other.
#[derive(Default)]
pub(super) struct Collector {
    pub(super) source: Arc<str>,
    pub(super) values: BTreeMap<String, ConfigValue>,
    pub(super) problems: Vec<Problem>,
}

impl Collector {
    pub(super) fn set(&mut self, key: &str, raw: RawValue, line: usize, column: usize) {
        let origin = Origin::new(self.source.clone()).with_position(line, column);
        self.values.insert(key.to_owned(), ConfigValue::new(raw, origin).with_secret(is_sensitive(key)));
    }

    pub(super) fn report(&mut self, line: usize, column: usize, problem: Problem) {
        self.problems.push(problem.at(&Origin::new(self.source.clone()).with_position(line, column)));
    }

    pub(super) fn finish(self) -> (BTreeMap<String, ConfigValue>, Vec<Problem>) {
        let Self { mut values, mut problems, .. } = self;
        match REDACTED_KEYS.read(&values, "") {
            Ok(fragments) => {
                let fragments = fragments.unwrap_or_default();
                for (key, value) in &mut values {
                    value.secret |= is_added(key, &fragments);
                }
            }
            Err(error) => problems.push((&error).into()),
        }
        (values, problems)
    }
}

/// Returns `true` if [`REDACTED_KEYS`] makes the value at `key` a secret.
pub(super) fn is_added(key: &str, fragments: &[String]) -> bool {
    let (key, fragments) = (key.to_lowercase(), fragments.join(",").to_lowercase());
    fragments.split(',').map(str::trim).any(|fragment| !fragment.is_empty() && key.contains(fragment))
}
