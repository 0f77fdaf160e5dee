//! The text of errors with their causes.

use std::error::Error;

/// Appends the causes of `error` to `text`, each on a line of its own, in the form of a Java stack
/// trace.
pub(crate) fn with_java_causes(mut text: String, error: &dyn Error) -> String {
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str("\nCaused by: ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
