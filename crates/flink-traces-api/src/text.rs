//! Characters that are unsafe to print.

/// Returns `true` if printing the character could make one record look like several or like
/// another.
///
/// These are control characters (line feeds, terminal escapes), the other line separators, and
/// marks that reorder text. Reporters and programs that print names from a job escape them.
pub fn is_unsafe_to_print(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_and_line_controls_are_unsafe() {
        for c in ['\n', '\r', '\t', '\0', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}', '\u{2028}', '\u{202e}', '\u{2066}'] {
            assert!(is_unsafe_to_print(c), "{c:?}");
        }
        for c in [' ', '"', '\\', '\u{a0}', 'ä', '漢', '🦀', '\u{200d}'] {
            assert!(!is_unsafe_to_print(c), "{c:?}");
        }
    }
}
