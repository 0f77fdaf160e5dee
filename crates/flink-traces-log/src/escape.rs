//! Text that comes from a job, made safe for one line.

use std::borrow::Cow;

use flink_traces_api::is_unsafe_to_print;

/// The text with what is [unsafe to print](is_unsafe_to_print) escaped as in a Rust literal.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    // Most text is plain ASCII, which is quickly told.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || !text.contains(is_unsafe_to_print) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(2 * text.len());
    for c in text.chars() {
        if is_unsafe_to_print(c) { escaped.extend(c.escape_default()) } else { escaped.push(c) }
    }
    Cow::Owned(escaped)
}

/// A word as it is; anything else in double quotes, with quotes, backslashes and what is unsafe to print escaped.
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
    fn only_what_is_unsafe_is_escaped() {
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
    fn whatever_is_no_word_is_quoted() {
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
