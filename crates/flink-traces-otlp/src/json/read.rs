//! Conversion of OTLP/JSON to protobuf, in one pass without an intermediate tree.

use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flink_traces_api::Signal;
use flink_traces_api::proto::Writer;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Field, Form, request_fields};

/// The expected length of nested messages.
const GUESS: usize = 64;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Converts a JSON text to a request, and returns its signal.
///
/// Fields that are not in OTLP 1.5 are ignored, as OTLP requires.
///
/// # Errors
///
/// Returns the problem and its column.
pub(crate) fn to_request(json: &[u8]) -> Result<(Signal, Vec<u8>), String> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let request = Request.deserialize(&mut deserializer).and_then(|request| {
        deserializer.end()?;
        Ok(request)
    });
    // The text is one line of a file, so the line number says nothing.
    request.map_err(|error| error.to_string().replace(" at line 1 column ", " at column "))
}

/// The outermost object, whose field determines the signal.
struct Request;

impl<'de> DeserializeSeed<'de> for Request {
    type Value = (Signal, Vec<u8>);

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Request {
    type Value = (Signal, Vec<u8>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `resourceSpans` or `resourceLogs`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found: Option<Signal> = None;
        let mut out = Writer::default();
        while let Some(key) = map.next_key::<String>()? {
            let field = [Signal::Traces, Signal::Events]
                .into_iter()
                .find_map(|signal| Some((signal, named(request_fields(signal), &key)?)));
            match field {
                Some((signal, _)) if found.is_some_and(|found| found != signal) => {
                    return Err(A::Error::custom("both spans and logs in one object"));
                }
                Some((signal, (number, _, form))) => {
                    found = Some(signal);
                    map.next_value_seed(Value { out: &mut out, number: *number, form: *form })?;
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let signal = found.ok_or_else(|| A::Error::custom("neither `resourceSpans` nor `resourceLogs`"))?;
        Ok((signal, out.into_vec()))
    }
}

/// The field that a value is written to.
struct Value<'a> {
    out: &'a mut Writer,
    number: u8,
    form: Form,
}

fn named(fields: &'static [Field], name: &str) -> Option<&'static Field> {
    fields.iter().find(|(_, known, _)| *known == name)
}

impl Value<'_> {
    /// Writes an integer. Returns `None` if the number does not fit the field.
    fn write_integer(self, number: i128) -> Option<()> {
        match self.form {
            Form::Number => {
                let number = i32::try_from(number).map(i64::from).or_else(|_| u32::try_from(number).map(i64::from));
                self.out.varint(self.number, number.ok()?.cast_unsigned());
            }
            Form::Fixed32 => self.out.fixed32(self.number, number.try_into().ok()?),
            Form::Long => self.out.varint(self.number, i64::try_from(number).ok()?.cast_unsigned()),
            Form::Fixed => self.out.fixed64(self.number, number.try_into().ok()?),
            Form::Double => self.out.fixed64(self.number, (number as f64).to_bits()),
            _ => return None,
        }
        Some(())
    }

    fn write_text(self, text: &str) -> Option<()> {
        match self.form {
            Form::Text => self.out.bytes(self.number, text.as_bytes()),
            Form::Hex => self.out.bytes(self.number, &unhex(text)?),
            Form::Base64 => self.out.bytes(self.number, &BASE64.decode(text).ok()?),
            Form::Double => {
                let number = match text {
                    "NaN" => f64::NAN,
                    "Infinity" => f64::INFINITY,
                    "-Infinity" => f64::NEG_INFINITY,
                    _ => text.parse().ok().filter(|number: &f64| number.is_finite())?,
                };
                self.out.fixed64(self.number, number.to_bits());
            }
            _ => return self.write_integer(text.parse().ok()?),
        }
        Some(())
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| Some(char::from(*byte).to_digit(16)? as u8);
    let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => Some(digit(high)? << 4 | digit(low)?),
        _ => None,
    });
    pairs.collect()
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.form {
            Form::Text => "a text",
            Form::Hex => "an id in hexadecimal",
            Form::Base64 => "bytes in base64",
            Form::Number | Form::Fixed32 => "a number of 32 bits",
            Form::Long | Form::Fixed => "a number of 64 bits",
            Form::Double => "a number",
            Form::Bool => "true or false",
            Form::Message(_) => "an object",
            Form::Repeated(_) => "a list",
        })
    }

    /// Accepts `null`, which means no value.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<(), E> {
        let Form::Bool = self.form else {
            return Err(E::invalid_type(serde::de::Unexpected::Bool(flag), &self));
        };
        self.out.varint(self.number, flag.into());
        Ok(())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        let expected = self.form;
        self.write_integer(number.into()).ok_or_else(|| misfit(number, expected))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        let expected = self.form;
        self.write_integer(number.into()).ok_or_else(|| misfit(number, expected))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        let Form::Double = self.form else {
            return Err(E::invalid_type(serde::de::Unexpected::Float(number), &self));
        };
        self.out.fixed64(self.number, number.to_bits());
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let expected = self.form;
        self.write_text(text).ok_or_else(|| misfit(format_args!("{:?}", truncate(text)), expected))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Form::Repeated(fields) = self.form else {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Seq, &self));
        };
        let (out, number) = (self.out, self.number);
        while list.next_element_seed(Value { out: &mut *out, number, form: Form::Message(fields) })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Form::Message(fields) = self.form else {
            return Err(A::Error::invalid_type(serde::de::Unexpected::Map, &self));
        };
        let open = self.out.open(self.number, GUESS);
        while let Some(field) = map.next_key_seed(Name(fields))? {
            match field {
                Some((number, _, form)) => {
                    map.next_value_seed(Value { out: &mut *self.out, number: *number, form: *form })?;
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        self.out.close(open);
        Ok(())
    }
}

/// The lookup of a field by name. `None` if the field is unknown.
struct Name(&'static [Field]);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static Field>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(named(self.0, name))
    }
}

fn misfit<E: Error>(found: impl fmt::Display, form: Form) -> E {
    let expected = Value { out: &mut Writer::default(), number: 0, form };
    E::custom(format_args!("{found} is not {}", &expected as &dyn serde::de::Expected))
}

/// Truncates a text for an error message.
fn truncate(text: &str) -> String {
    text.chars().take(40).collect()
}
