//! Foreign text made fit for one line of a message.

/// At most `limit` characters of `text`, with control, format and other invisible characters escaped: what a server sends
/// must not move a terminal's cursor or start a second log line.
pub(crate) fn escaped(text: &str, limit: usize) -> String {
    let mut line = String::new();
    for (place, character) in text.chars().enumerate() {
        if place == limit {
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

/// A URL without what may be secret in it: user information, query and fragment.
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
    fn a_message_stays_one_printable_line() {
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
    fn a_url_is_shown_without_secrets() {
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
