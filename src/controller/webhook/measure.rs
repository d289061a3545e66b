//! How much a JSON value holds, without holding it: what is too large is refused before it is read, since `{"name":""}`
//! is eleven bytes in a body and half a kilobyte in memory. PURE.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

/// How long a value is as JSON, at least: without spaces and escapes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JsonBytes(pub usize);

impl<'de> Deserialize<'de> for JsonBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Measure;
        impl<'de> Visitor<'de> for Measure {
            type Value = JsonBytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_bool<E>(self, _: bool) -> Result<JsonBytes, E> {
                Ok(JsonBytes(4))
            }

            fn visit_i64<E>(self, _: i64) -> Result<JsonBytes, E> {
                Ok(JsonBytes(1))
            }

            fn visit_u64<E>(self, _: u64) -> Result<JsonBytes, E> {
                Ok(JsonBytes(1))
            }

            fn visit_f64<E>(self, _: f64) -> Result<JsonBytes, E> {
                Ok(JsonBytes(1))
            }

            fn visit_unit<E>(self) -> Result<JsonBytes, E> {
                Ok(JsonBytes(4))
            }

            fn visit_str<E>(self, text: &str) -> Result<JsonBytes, E> {
                Ok(JsonBytes(text.len() + 2))
            }

            // Brackets, and what stands between two items: a comma, a colon.
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<JsonBytes, A::Error> {
                let mut bytes = 1;
                while let Some(JsonBytes(item)) = items.next_element()? {
                    bytes += item + 1;
                }
                Ok(JsonBytes(bytes.max(2)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<JsonBytes, A::Error> {
                let mut bytes = 1;
                while let Some((JsonBytes(key), JsonBytes(value))) = entries.next_entry()? {
                    bytes += key + value + 2;
                }
                Ok(JsonBytes(bytes.max(2)))
            }
        }
        deserializer.deserialize_any(Measure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_measured_as_it_is_written() {
        for text in
            ["null", "true", "7", r#""""#, r#""text""#, "[]", "{}", r#"["",""]"#, r#"{"a":[{"b":null},1,"ü"],"c":{}}"#]
        {
            assert_eq!(serde_json::from_str::<JsonBytes>(text).unwrap(), JsonBytes(text.len()), "{text}");
        }
        assert_eq!(
            serde_json::from_str::<JsonBytes>(r#"{ "a" : [ -1.5e3, "A" ] }"#).unwrap(),
            JsonBytes(r#"{"a":[1,"A"]}"#.len())
        );
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert!(serde_json::from_str::<JsonBytes>(&deep).is_err(), "as deep as the reader itself goes");
    }
}
