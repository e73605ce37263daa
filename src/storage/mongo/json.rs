//! Converts the JSON of a record to BSON and back. MongoDB's extended JSON, such as
//! `{"$oid": …}`, has no special meaning here: texts are kept as they are, and field names too, but
//! for `.`, `$` and `%`, which are written as `%2E`, `%24` and `%25`. Servers refuse or interpret the
//! first two in a field name, and figures by name have the names that people chose.

use std::fmt;

use mongodb::bson::{Bson, Document, RawBsonRef};
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};

/// Converts JSON to BSON. Integers become 64-bit integers, other numbers become doubles, and
/// fields keep their order.
///
/// # Errors
/// When the text is not JSON, or has an integer that does not fit into an `i64`.
pub(super) fn to_bson(json: &str) -> serde_json::Result<Bson> {
    serde_json::from_str(json).map(|Value(value)| value)
}

/// Converts BSON to JSON.
///
/// # Errors
/// When the BSON is damaged.
pub(super) fn from_bson(value: RawBsonRef<'_>) -> serde_json::Result<String> {
    let json = serde_json::to_string(&value)?;
    match ESCAPES.iter().any(|(_, escape)| json.contains(escape)) {
        true => serde_json::to_string(&with_names(serde_json::from_str(&json)?)),
        false => Ok(json),
    }
}

/// The characters that are not written in field names, and what is written. `%` is first, so that
/// the others' escapes are not escaped again.
const ESCAPES: [(&str, &str); 3] = [("%", "%25"), (".", "%2E"), ("$", "%24")];

fn escaped(name: String) -> String {
    let escape = |name: String, (plain, escape): &(&str, &str)| match name.contains(plain) {
        true => name.replace(plain, escape),
        false => name,
    };
    ESCAPES.iter().fold(name, escape)
}

fn unescaped(name: String) -> String {
    let plain = |name: String, (plain, escape): &(&str, &str)| match name.contains(escape) {
        true => name.replace(escape, plain),
        false => name,
    };
    ESCAPES.iter().rev().fold(name, plain)
}

/// Returns JSON with the names of fields as they were before [`escaped`].
fn with_names(json: serde_json::Value) -> serde_json::Value {
    use serde_json::Value::{Array, Object};
    match json {
        Object(fields) => {
            let fields = fields.into_iter();
            Object(
                fields
                    .map(|(name, value)| (unescaped(name), with_names(value)))
                    .collect(),
            )
        }
        Array(items) => Array(items.into_iter().map(with_names).collect()),
        other => other,
    }
}

/// A value read from JSON.
struct Value(Bson);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue).map(Self)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Bson;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Bson, E> {
        Ok(Bson::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Bson, E> {
        Ok(Bson::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Bson, E> {
        Ok(Bson::Int64(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Bson, E> {
        i64::try_from(value).map(Bson::Int64).map_err(E::custom)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Bson, E> {
        Ok(Bson::Double(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Bson, E> {
        Ok(Bson::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Bson, E> {
        Ok(Bson::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Bson, A::Error> {
        let mut array = Vec::new();
        while let Some(Value(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Bson::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Bson, A::Error> {
        let mut document = Document::new();
        while let Some((name, Value(value))) = fields.next_entry::<String, _>()? {
            document.insert(escaped(name), value);
        }
        Ok(Bson::Document(document))
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{RawDocumentBuf, doc};

    use super::*;

    /// Returns the JSON after a round trip through a document.
    fn round_trip(json: &str) -> String {
        let document = doc! { "body": to_bson(json).unwrap() };
        let document = RawDocumentBuf::try_from(&document).unwrap();
        from_bson(document.get("body").unwrap().unwrap()).unwrap()
    }

    #[test]
    fn json_survives_a_round_trip() {
        for json in [
            r#"{"b":1,"a":{"d":[null,true,[],{}],"c":"x\u0001\u0000\"ü👩🏽"},"Z":-9223372036854775808}"#,
            r#"{"$oid":"000000000000000000000000","a.b":{"$date":{"$numberLong":"1"}},"":{"$gt":""}}"#,
            r#""text""#,
            "[1,2.0,-0.0,1e300,9223372036854775807]",
            "null",
        ] {
            let (old, new): (serde_json::Value, serde_json::Value) = (
                serde_json::from_str(json).unwrap(),
                serde_json::from_str(&round_trip(json)).unwrap(),
            );
            assert_eq!(new, old);
        }
    }

    #[test]
    fn no_field_has_a_point_or_a_dollar_sign() {
        let json = r#"{"Dr. visit":1,"$x":{"%2E":2.5},"100%.$":"Dr. $x %24","%":[{"%25.":3}]}"#;
        let Bson::Document(document) = to_bson(json).unwrap() else {
            panic!("a document");
        };
        let names: Vec<_> = document.keys().map(String::as_str).collect();
        assert_eq!(names, ["Dr%2E visit", "%24x", "100%25%2E%24", "%25"]);
        let old: serde_json::Value = serde_json::from_str(json).unwrap();
        let new: serde_json::Value = serde_json::from_str(&round_trip(json)).unwrap();
        assert_eq!(new, old);
    }

    #[test]
    fn fields_keep_their_order_and_numbers_their_type() {
        assert_eq!(
            round_trip(r#"{"b":1,"a":1.0,"c":-0.0}"#),
            r#"{"b":1,"a":1.0,"c":-0.0}"#
        );
    }

    #[test]
    fn single_precision_numbers_survive_exactly() {
        let mut bits = 1_u32;
        for _ in 0..10_000 {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let number = f32::from_bits(bits);
            if number.is_finite() {
                let json = serde_json::to_string(&number).unwrap();
                let back: f32 = serde_json::from_str(&round_trip(&json)).unwrap();
                assert_eq!(back.to_bits(), number.to_bits(), "{json}");
            }
        }
    }

    #[test]
    fn integers_beyond_64_bits_are_refused() {
        assert!(to_bson("9223372036854775808").is_err());
        assert!(to_bson(r#"{"a":[18446744073709551615]}"#).is_err());
    }
}
