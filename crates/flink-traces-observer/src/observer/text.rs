//! Bounds of text from a cluster.

/// The maximum length of a name, in characters.
pub(super) const MAX_NAME_CHARS: usize = 1_024;
/// The maximum length of any other text, such as a stack trace, in characters.
pub(super) const MAX_TEXT_CHARS: usize = 16 * 1_024;

/// Returns at most `limit` characters of `text`, with a note if it was truncated.
pub(super) fn bounded(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}… ({} characters)", &text[..end], text.chars().count()),
    }
}
