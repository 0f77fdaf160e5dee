//! Plain YAML scalars by the core schema of YAML 1.2, as text in Flink's form.

/// A plain scalar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scalar {
    Null,
    Text(String),
    /// A number or a Boolean.
    Typed(String),
    /// A number that is too large to be converted.
    TooLarge,
}

pub(super) fn resolve(text: &str) -> Scalar {
    let typed = |text: &str| Scalar::Typed(text.to_owned());
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "true" | "True" | "TRUE" => return typed("true"),
        "false" | "False" | "FALSE" => return typed("false"),
        ".nan" | ".NaN" | ".NAN" => return typed(".nan"),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return typed(".inf"),
        "-.inf" | "-.Inf" | "-.INF" => return typed("-.inf"),
        _ => {}
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix)
            && !digits.is_empty()
            && digits.chars().all(|digit| digit.is_digit(radix))
        {
            return u128::from_str_radix(digits, radix)
                .map_or(Scalar::TooLarge, |number| Scalar::Typed(number.to_string()));
        }
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Scalar::Typed(match digits.trim_start_matches('0') {
            "" => "0".to_owned(),
            number if text.starts_with('-') => format!("-{number}"),
            number => number.to_owned(),
        });
    }
    let is_float = text.bytes().all(|c| c.is_ascii_digit() || b"+-.eE".contains(&c));
    match text.parse() {
        Ok(number) if is_float => Scalar::Typed(java_text(number)),
        _ => Scalar::Text(text.to_owned()),
    }
}

/// Formats a number like Java's `Double.toString`.
fn java_text(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    if number == 0.0 || (1e-3..1e7).contains(&number.abs()) {
        return format!("{number:?}");
    }
    let text = format!("{number:E}");
    match text.split_once('E') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0E{exponent}"),
        _ => text,
    }
}
