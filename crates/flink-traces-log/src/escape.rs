//! The escaping of text from jobs, so that it fits into one line.

use std::borrow::Cow;

use flink_traces_api::is_unsafe_to_print;

/// Returns the text with [unsafe](is_unsafe_to_print) characters escaped as in a Rust literal.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    // Most text is plain ASCII, which is fast to check.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || !text.contains(is_unsafe_to_print) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(2 * text.len());
    for c in text.chars() {
        if is_unsafe_to_print(c) { escaped.extend(c.escape_default()) } else { escaped.push(c) }
    }
    Cow::Owned(escaped)
}

/// Returns a word as it is, and other text in double quotes.
///
/// In quotes, quotes, backslashes and unsafe characters are escaped.
pub(crate) fn quoted(text: &str) -> Cow<'_, str> {
    let needs_quotes = |c: char| c.is_whitespace() || matches!(c, '"' | '=' | '\\') || is_unsafe_to_print(c);
    if !text.is_empty() && !text.contains(needs_quotes) {
        return Cow::Borrowed(text);
    }
    let text = text.replace('\\', r"\\").replace('"', r#"\""#);
    Cow::Owned(format!("\"{}\"", escaped(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unsafe_characters_are_escaped() {
        for (text, expected) in [
            ("Source: gen -> ä{}\\", "Source: gen -> ä{}\\"),
            ("a\nb\r\t\0", r"a\nb\r\t\u{0}"),
            ("\u{1b}[31mred\u{9b}", r"\u{1b}[31mred\u{9b}"),
            ("user\u{202e}nimda\u{2028}", r"user\u{202e}nimda\u{2028}"),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }

    #[test]
    fn text_that_is_not_a_word_is_quoted() {
        for (text, expected) in [
            ("org.apache.flink.Job$1", "org.apache.flink.Job$1"),
            ("", r#""""#),
            ("[0, 12]", r#""[0, 12]""#),
            ("a=b", r#""a=b""#),
            (r#"say "hi" \o/"#, r#""say \"hi\" \\o/""#),
            ("a\nb", r#""a\nb""#),
            ("a\u{a0}b", "\"a\u{a0}b\""),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }
}
