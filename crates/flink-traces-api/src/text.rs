//! Text for people: durations, sizes, and characters that are unsafe to print.

/// Returns `true` if printing the character could make one record look like several or like
/// another.
///
/// These are control characters (line feeds, terminal escapes), the other line separators, and
/// marks that reorder text. Reporters and programs that print names from a job escape them.
pub fn is_unsafe_to_print(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Formats a duration for people, such as `23 ms`, `1.500 s` or `2 min 05 s`.
pub fn readable_duration(millis: i64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0 => format!("{millis} ms"),
        1..60 => format!("{seconds}.{:03} s", millis % 1000),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// Formats a number of bytes for people, such as `426 B` or `1.5 KiB`.
pub fn readable_size(bytes: i64) -> String {
    let mut size = bytes as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if size < 1024.0 {
            break;
        }
        size /= 1024.0;
        unit = larger;
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ => format!("{size:.1} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_have_units() {
        for (millis, text) in
            [(0, "0 ms"), (999, "999 ms"), (1_500, "1.500 s"), (125_000, "2 min 05 s"), (7_260_000, "2 h 01 min")]
        {
            assert_eq!(readable_duration(millis), text);
        }
        for (bytes, text) in [(0, "0 B"), (1_023, "1023 B"), (1_536, "1.5 KiB"), (i64::MAX, "8.0 EiB")] {
            assert_eq!(readable_size(bytes), text);
        }
    }

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
