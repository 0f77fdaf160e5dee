//! Foreign text in messages.

/// The maximum number of characters of a foreign text in a message.
pub(crate) const MAX_TEXT_CHARS: usize = 300;

/// Returns at most `limit` characters of `text`, with invisible characters escaped.
///
/// Text from a server must not move the cursor of a terminal or start a second log line.
pub(crate) fn escaped(text: &str, limit: usize) -> String {
    let mut line = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == limit {
            line.push('…');
            break;
        }
        match character {
            '"' | '\'' | '\\' => line.push(character),
            _ => line.extend(character.escape_debug()),
        }
    }
    line
}

/// Returns a URL without possible secrets: user information, query and fragment.
#[cfg(feature = "client")]
pub(crate) fn redacted(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let separator = if scheme.is_empty() { "" } else { "://" };
    let (secret, rest) = rest.rsplit_once('@').map_or(("", rest), |(_, rest)| ("******@", rest));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    escaped(&format!("{scheme}{separator}{secret}{rest}"), 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_text_is_one_printable_line() {
        for (text, limit, expected) in [
            ("a \"b\" 'c' \\d é", 100, "a \"b\" 'c' \\d é"),
            ("a\nb\r\t\0", 100, "a\\nb\\r\\t\\0"),
            ("\u{1b}[2J\u{202e}evil\u{feff}", 100, "\\u{1b}[2J\\u{202e}evil\\u{feff}"),
            ("1234567890", 10, "1234567890"),
            ("12345678901", 10, "1234567890…"),
        ] {
            assert_eq!(escaped(text, limit), expected);
        }
    }

    #[cfg(feature = "client")]
    #[test]
    fn redacted_url_has_no_secrets() {
        for (url, expected) in [
            ("http://host:8081/base", "http://host:8081/base"),
            ("http://me:se@cret@host/x?token=1#y", "http://******@host/x"),
            ("me:secret@host", "******@host"),
            ("https://host?token=a@b", "https://******@b"),
        ] {
            assert_eq!(redacted(url), expected);
        }
    }
}
