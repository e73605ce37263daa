//! Converts JSON to a type. Errors of serde become [`FieldError`]s: each has a code, and no names of
//! Rust types.

use std::fmt;

use serde::{
    Deserializer,
    de::{
        DeserializeOwned, IntoDeserializer, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::Value;

use super::{
    field_error::{FieldError, JsonType},
    problem::{Code, Problem},
};

/// Reads a value as a type.
///
/// # Errors
/// The first field that does not fit.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(Json(value)).map_err(|error| {
        let path = match error.path().to_string() {
            root if root == "." => None,
            path => Some(path),
        };
        match (path, error.into_inner()) {
            (Some(path), Misfit::Value(error)) => Problem::field(&path, error),
            (Some(path), Misfit::Missing(name)) => {
                Problem::field(&format!("{path}.{name}"), FieldError::Required)
            }
            (None, Misfit::Missing(name)) => Problem::field(name, FieldError::Required),
            (None, Misfit::Value(_)) => Problem::new(
                Code::Invalid,
                "the body must be a JSON object as documented",
            ),
        }
    })
}

/// Why a value does not fit a type.
#[derive(Debug)]
enum Misfit {
    /// A field of the object is missing.
    Missing(&'static str),
    /// The value itself does not fit.
    Value(FieldError),
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => write!(f, "{name} is missing"),
            Self::Value(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Misfit {}

impl serde::de::Error for Misfit {
    /// Keeps the text of a type of the domain, which says what the value must be. A text of serde
    /// would show names of Rust types.
    fn custom<T: fmt::Display>(text: T) -> Self {
        let rule = text.to_string();
        Self::Value(match rule.starts_with("must be ") {
            true => FieldError::MustBe { rule },
            false => FieldError::InvalidValue,
        })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        let known = known.iter().copied().map(str::to_owned).collect();
        Self::Value(FieldError::UnknownField { known })
    }

    fn unknown_variant(_: &str, values: &'static [&'static str]) -> Self {
        Self::Value(FieldError::NotOneOf {
            values: values.to_vec(),
        })
    }
}

fn must_be<T>(expected: JsonType) -> Result<T, Misfit> {
    Err(Misfit::Value(FieldError::WrongType { expected }))
}

/// A value that is checked for the type that is asked of it.
struct Json(Value);

impl IntoDeserializer<'_, Misfit> for Json {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

macro_rules! integers {
    ($($method:ident: $type:ident => $visit:ident;)+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
            let number = self.0.as_number().filter(|number| !number.is_f64());
            let Some(number) = number.and_then(serde_json::Number::as_i128) else {
                return must_be(JsonType::Integer);
            };
            match $type::try_from(number) {
                Ok(number) => visitor.$visit(number),
                Err(_) => Err(Misfit::Value(FieldError::OutOfRange {
                    least: $type::MIN.into(),
                    most: $type::MAX.into(),
                })),
            }
        }
    )+};
}

impl<'de> Deserializer<'de> for Json {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), _, _) => visitor.visit_u64(number),
                (None, Some(number), _) => visitor.visit_i64(number),
                (None, None, Some(number)) => visitor.visit_f64(number),
                (None, None, None) => must_be(JsonType::Number),
            },
            Value::String(text) => visitor.visit_string(text),
            Value::Array(items) => {
                visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Self)))
            }
            Value::Object(members) => {
                let members = members.into_iter().map(|(name, value)| (name, Self(value)));
                visitor.visit_map(MapDeserializer::new(members))
            }
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Bool(_) => self.deserialize_any(visitor),
            _ => must_be(JsonType::Boolean),
        }
    }

    integers! {
        deserialize_u8: u8 => visit_u8;
        deserialize_u16: u16 => visit_u16;
        deserialize_u32: u32 => visit_u32;
        deserialize_u64: u64 => visit_u64;
        deserialize_i8: i8 => visit_i8;
        deserialize_i16: i16 => visit_i16;
        deserialize_i32: i32 => visit_i32;
        deserialize_i64: i64 => visit_i64;
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Number(_) => self.deserialize_any(visitor),
            _ => must_be(JsonType::Number),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::String(_) => self.deserialize_any(visitor),
            _ => must_be(JsonType::String),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Array(_) => self.deserialize_any(visitor),
            _ => must_be(JsonType::Array),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Object(_) => self.deserialize_any(visitor),
            _ => must_be(JsonType::Object),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.deserialize_map(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    /// Reads an enum without data, as a text.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match self.0 {
            Value::String(text) => visitor.visit_enum(text.into_deserializer()),
            _ => Err(serde::de::Error::unknown_variant("", variants)),
        }
    }

    forward_to_deserialize_any! {
        i128 u128 f32 char str bytes byte_buf unit unit_struct tuple tuple_struct identifier
        ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Side {
        Left,
        Right,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        days: Vec<u8>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Record {
        name: String,
        side: Option<Side>,
        inner: Option<Inner>,
        #[serde(default)]
        active: bool,
        ratio: Option<f64>,
    }

    /// The field and its error.
    fn refused(value: Value) -> (String, FieldError) {
        let error = serde_path_to_error::deserialize::<_, Record>(Json(value)).unwrap_err();
        let path = error.path().to_string();
        match error.into_inner() {
            Misfit::Value(error) => (path, error),
            Misfit::Missing(name) => (format!("{path} {name}"), FieldError::Required),
        }
    }

    #[test]
    fn a_value_that_fits_is_read() {
        let value = json!({
            "name": "A", "side": "left", "inner": { "days": [1, 255] }, "ratio": 1,
        });
        let expected = Record {
            name: "A".to_owned(),
            side: Some(Side::Left),
            inner: Some(Inner { days: vec![1, 255] }),
            active: false,
            ratio: Some(1.0),
        };
        assert_eq!(from_value::<Record>(value).unwrap(), expected);
    }

    #[test]
    fn a_value_that_does_not_fit_is_refused_with_its_path_and_a_code() {
        let wrong = |expected| FieldError::WrongType { expected };
        let with = |name: &str, value: Value| {
            let mut record = json!({ "name": "A" });
            record[name] = value;
            record
        };
        let known = |known: &[&str]| FieldError::UnknownField {
            known: known.iter().copied().map(str::to_owned).collect(),
        };
        let day = |value: Value| with("inner", json!({ "days": [value] }));
        for (value, path, error) in [
            (json!([]), ".", wrong(JsonType::Object)),
            (json!({}), ". name", FieldError::Required),
            (with("name", json!(null)), "name", wrong(JsonType::String)),
            (
                with("active", json!("x")),
                "active",
                wrong(JsonType::Boolean),
            ),
            (with("ratio", json!("x")), "ratio", wrong(JsonType::Number)),
            (with("inner", json!(5)), "inner", wrong(JsonType::Object)),
            (with("inner", json!({})), "inner days", FieldError::Required),
            (
                with("inner", json!({ "days": {} })),
                "inner.days",
                wrong(JsonType::Array),
            ),
            (day(json!("x")), "inner.days[0]", wrong(JsonType::Integer)),
            (day(json!(1.5)), "inner.days[0]", wrong(JsonType::Integer)),
            (
                day(json!(256)),
                "inner.days[0]",
                FieldError::OutOfRange {
                    least: 0,
                    most: 255,
                },
            ),
            (
                with("inner", json!({ "nights": [] })),
                "inner.nights",
                known(&["days"]),
            ),
            (
                with("nickname", json!("x")),
                "nickname",
                known(&["name", "side", "inner", "active", "ratio"]),
            ),
            (
                with("side", json!("up")),
                "side",
                FieldError::NotOneOf {
                    values: vec!["left", "right"],
                },
            ),
            (
                with("side", json!({ "left": 1 })),
                "side",
                FieldError::NotOneOf {
                    values: vec!["left", "right"],
                },
            ),
        ] {
            assert_eq!(refused(value), (path.to_owned(), error), "{path}");
        }
    }
}
