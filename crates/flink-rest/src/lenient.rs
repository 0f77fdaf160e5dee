//! Lenient reading of values that versions of Flink, or proxies, write differently.
//!
//! An integer may be written as a float. A missing value, `null`, `NaN` or Flink's [`UNSET`] is
//! `None`. A double may be written as an integer or as the text `"NaN"`, as Flink does.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Unexpected, Visitor};

/// Flink's value for a time, a duration or a size that is not set.
const UNSET: i64 = -1;

/// Returns the default of a missing double.
pub(crate) fn not_a_number() -> f64 {
    f64::NAN
}

#[derive(Clone, Copy)]
enum Number {
    Integer(i64),
    Double(f64),
}

impl Number {
    /// Truncates to a whole number; returns `None` if the number is not finite.
    fn integer(self) -> Option<i64> {
        match self {
            Self::Integer(integer) => Some(integer),
            // A cast from a float saturates.
            Self::Double(double) => double.is_finite().then_some(double as i64),
        }
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Number, E> {
        Ok(Number::Integer(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Number, E> {
        Ok(Number::Integer(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Number, E> {
        Ok(Number::Double(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Number, E> {
        match text {
            "NaN" => Ok(Number::Double(f64::NAN)),
            "Infinity" => Ok(Number::Double(f64::INFINITY)),
            "-Infinity" => Ok(Number::Double(f64::NEG_INFINITY)),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

/// Reads a required integer.
pub(crate) fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = Number::deserialize(deserializer)?;
    number.integer().ok_or_else(|| D::Error::custom("a number that is not finite where an integer is expected"))
}

/// Reads and writes an integer that Flink writes as [`UNSET`] if there is none.
pub(crate) mod minus_one {
    use super::{Deserializer, UNSET, optional_integer};
    use serde::Serializer;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
        Ok(optional_integer(deserializer)?.filter(|integer| *integer != UNSET))
    }

    pub(crate) fn serialize<S: Serializer>(integer: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(integer.unwrap_or(UNSET))
    }
}

/// Reads an integer that some versions omit.
pub(crate) fn optional_integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(Option::<Number>::deserialize(deserializer)?.and_then(Number::integer))
}

/// Reads a count; `null` is 0.
pub(crate) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    Ok(optional_integer(deserializer)?.unwrap_or(0))
}

/// Reads a map of integers; `null` is an empty map, or [`UNSET`] as a value.
pub(crate) fn integers<'de, K, D>(deserializer: D) -> Result<BTreeMap<K, i64>, D::Error>
where
    K: Deserialize<'de> + Ord,
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(IntegersVisitor(PhantomData))
}

/// A visitor that builds one map. An overview has a map for each job.
struct IntegersVisitor<K>(PhantomData<K>);

impl<'de, K: Deserialize<'de> + Ord> Visitor<'de> for IntegersVisitor<K> {
    type Value = BTreeMap<K, i64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut integers = BTreeMap::new();
        while let Some((key, number)) = map.next_entry::<K, Option<Number>>()? {
            integers.insert(key, number.and_then(Number::integer).unwrap_or(UNSET));
        }
        Ok(integers)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(BTreeMap::new())
    }
}

/// Reads a value; `null` is the default.
pub(crate) fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a text; `null` is empty.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    or_default(deserializer)
}

/// Reads a value that some versions omit.
pub(crate) fn optional_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer)
}

/// Reads and writes doubles, with `"NaN"` and the infinities as text.
pub(crate) mod double {
    use super::{Deserialize, Deserializer, Number};
    use serde::Serializer;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(match Option::deserialize(deserializer)? {
            Some(Number::Double(double)) => double,
            Some(Number::Integer(integer)) => integer as f64,
            None => f64::NAN,
        })
    }

    pub(crate) fn serialize<S: Serializer>(double: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        match *double {
            double if double.is_finite() => serializer.serialize_f64(double),
            double if double.is_nan() => serializer.serialize_str("NaN"),
            f64::INFINITY => serializer.serialize_str("Infinity"),
            _ => serializer.serialize_str("-Infinity"),
        }
    }
}

/// Reads a value that some versions omit.
pub(crate) mod optional_double {
    use super::{Deserialize, Deserializer, Number, double};
    use serde::Serializer;

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
        Ok(Option::deserialize(deserializer)?.map(|number| match number {
            Number::Double(double) => double,
            Number::Integer(integer) => integer as f64,
        }))
    }

    pub(crate) fn serialize<S: Serializer>(double: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        match double {
            Some(number) => double::serialize(number, serializer),
            None => serializer.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, Deserialize, Serialize)]
    struct Example {
        #[serde(deserialize_with = "integer")]
        needed: i64,
        #[serde(default, with = "minus_one")]
        unset: Option<i64>,
        #[serde(default, deserialize_with = "optional_integer")]
        optional: Option<i64>,
        #[serde(default = "not_a_number", with = "double")]
        double: f64,
        #[serde(default, deserialize_with = "integers")]
        map: BTreeMap<String, i64>,
        #[serde(default, deserialize_with = "text")]
        text: String,
        #[serde(default, deserialize_with = "optional_text")]
        optional_text: Option<String>,
    }

    #[test]
    fn variants_of_a_value_are_read() {
        for (given, expected) in [
            (
                r#"{"needed": 1}"#,
                r#"{"needed":1,"unset":-1,"optional":null,"double":"NaN","map":{},"text":"","optional_text":null}"#,
            ),
            (
                r#"{"needed":1.9,"unset":null,"optional":null,"double":null,"map":null,"text":null,"optional_text":null}"#,
                r#"{"needed":1,"unset":-1,"optional":null,"double":"NaN","map":{},"text":"","optional_text":null}"#,
            ),
            (
                r#"{"needed":9223372036854775807,"unset":"NaN","optional":18446744073709551615,"double":3,
                    "map":{"a":-1,"b":null,"c":2.0},"text":"ab","optional_text":"\u0000\u001b[2J"}"#,
                r#"{"needed":9223372036854775807,"unset":-1,"optional":9223372036854775807,"double":3.0,
                    "map":{"a":-1,"b":-1,"c":2},"text":"ab","optional_text":"\u0000\u001b[2J"}"#,
            ),
            (
                r#"{"needed":-1e300,"unset":123456789012345678901234,"double":"-Infinity"}"#,
                r#"{"needed":-9223372036854775808,"unset":9223372036854775807,"optional":null,"double":"-Infinity",
                    "map":{},"text":"","optional_text":null}"#,
            ),
            (
                r#"{"needed":0,"double":"Infinity"}"#,
                r#"{"needed":0,"unset":-1,"optional":null,"double":"Infinity","map":{},"text":"","optional_text":null}"#,
            ),
        ] {
            let read: Example = serde_json::from_str(given).unwrap();
            let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
            assert_eq!(read.unset.unwrap_or(-1), expected["unset"], "{given}");
            assert_eq!(serde_json::to_value(read).unwrap(), expected, "{given}");
        }
    }

    #[test]
    fn value_of_another_type_is_an_error() {
        for (given, expected) in [
            (r#"{}"#, "missing field `needed`"),
            (r#"{"needed":null}"#, "invalid type: null, expected a number"),
            (r#"{"needed":"NaN"}"#, "a number that is not finite where an integer is expected"),
            (r#"{"needed":"12"}"#, "invalid value: string \"12\", expected a number"),
            (r#"{"needed":1,"unset":true}"#, "invalid type: boolean `true`, expected a number"),
            (r#"{"needed":1,"text":7}"#, "invalid type: integer `7`, expected a string"),
            (r#"{"needed":1,"map":[]}"#, "invalid type: sequence, expected a map"),
        ] {
            let error = serde_json::from_str::<Example>(given).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{given}: {error}");
        }
    }
}
