//! The search for placeholders that nothing has replaced.

use flink_traces_api::printable;

use super::configuration::Configuration;
use super::problem::Problem;

/// Returns a problem for each value below one of `prefixes` that has a placeholder of a template or
/// a shell, such as `${HOST}`.
///
/// Neither Flink nor this crate replaces placeholders. In a URL, `$HOST` counts as one, too.
///
/// # Examples
///
/// ```
/// use flink_traces_runtime::Configuration;
/// use flink_traces_runtime::config::placeholders;
///
/// let configuration = Configuration::from_pairs([("events.reporter.a.path", "${DIR}/x")]);
/// let problems = placeholders(&configuration, &["events."]);
/// assert_eq!(
///     problems[0].to_string(),
///     "code: events.reporter.a.path: '${DIR}/x' has the placeholder ${DIR}, expected its value"
/// );
/// ```
pub fn placeholders(configuration: &Configuration, prefixes: &[&str]) -> Vec<Problem> {
    let ours = configuration.iter().filter(|(key, _)| prefixes.iter().any(|prefix| key.starts_with(prefix)));
    let problem = |(key, value): (&str, &flink_traces_api::ConfigValue)| {
        let text = value.raw.to_string();
        let placeholder = printable(placeholder(&text)?);
        let shown = printable(&value.redacted());
        let message = format!("'{shown}' has the placeholder {placeholder}, expected its value");
        Some(Problem::error(message).at(&value.origin).about(key))
    };
    ours.filter_map(problem).collect()
}

/// Returns the first placeholder in a text.
fn placeholder(text: &str) -> Option<&str> {
    text.match_indices('$').find_map(|(start, _)| {
        let rest = &text[start + 1..];
        match rest.strip_prefix('{') {
            Some(name) => {
                let end = name.find('}').filter(|end| is_name(&name[..*end]))?;
                Some(&text[start..start + end + 3])
            }
            None => {
                let end = rest.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
                let name = &rest[..end.unwrap_or(rest.len())];
                (text.contains("://") && name.len() > 1 && is_name(name)).then(|| &text[start..start + 1 + name.len()])
            }
        }
    })
}

/// Returns `true` for the name of a variable, with a default or a path such as `env:HOST`.
fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_.:-/".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_of_shells_and_templates_are_found() {
        for (text, expected) in [
            ("http://${HOST_IP}:4317", Some("${HOST_IP}")),
            ("Bearer ${env:TOKEN}", Some("${env:TOKEN}")),
            ("${PORT:-4317}", Some("${PORT:-4317}")),
            ("http://$HOST_IP:4317", Some("$HOST_IP")),
            ("a$$b ${x}", Some("${x}")),
            ("http://h/$", None),
            ("http://h/?a=$b", None),
            ("pa$SWORD", None),
            ("${", None),
            ("${}", None),
            ("${a b}", None),
            ("{a: 1}", None),
        ] {
            assert_eq!(placeholder(text), expected, "{text}");
        }
    }
}
