//! Values of options: durations, sizes, lists and maps.
//!
//! Every text is accepted or rejected. A number with a plain unit has its literal meaning.
#![no_main]

use std::time::Duration;

use flink_traces_api::{ConfigOption, RawValue, parse_bytes, parse_duration};
use libfuzzer_sys::fuzz_target;

const LIST: ConfigOption<Vec<String>> = ConfigOption::list("list", "");
const COMMA_LIST: ConfigOption<Vec<String>> = ConfigOption::comma_list("list", "");
const MAP: ConfigOption<Vec<(String, String)>> = ConfigOption::map("map", "");
const BOOL: ConfigOption<bool> = ConfigOption::bool("bool", "");
const NUMBER: ConfigOption<u64> = ConfigOption::number("number", "");

/// Splits a number and its unit, with nothing but whitespace between them.
fn plain(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    Some((text[..digits].parse().ok()?, text[digits..].trim()))
}

fuzz_target!(|text: &str| {
    let duration = parse_duration(text);
    let bytes = parse_bytes(text);
    if let Some((number, unit)) = plain(text) {
        let seconds = match unit {
            "s" => Some(1),
            "min" => Some(60),
            "h" => Some(3_600),
            "d" => Some(86_400),
            _ => None,
        };
        if let (Some(seconds), Some(duration)) = (seconds, duration) {
            assert_eq!(Some(duration), number.checked_mul(seconds).map(Duration::from_secs), "{text:?}");
        }
        let factor = match unit {
            "b" | "bytes" => Some(1),
            "kb" => Some(1 << 10),
            "mb" => Some(1 << 20),
            "gb" => Some(1 << 30),
            _ => None,
        };
        if let (Some(factor), Some(bytes)) = (factor, bytes) {
            assert_eq!(Some(bytes), number.checked_mul(factor), "{text:?}");
        }
    }
    assert_eq!(parse_duration(text.trim()), duration);
    let raw = RawValue::Text(text.to_owned());
    let _ = (BOOL.parse(&raw), MAP.parse(&raw), LIST.parse(&raw));
    if let Some(number) = NUMBER.parse(&raw) {
        assert_eq!(NUMBER.parse(&RawValue::Text(number.to_string())), Some(number));
    }
    if let Some(list) = COMMA_LIST.parse(&raw) {
        assert!(list.iter().all(|item| item.len() <= text.len()));
    }
});
