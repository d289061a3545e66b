//! Scalars of the wire format: sizes, quantities, and enums with the names that users write.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use regex::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::model::size::{UnitError, parse_size};

/// Pattern of a size.
pub const SIZE_PATTERN: &str = "^[0-9]+(Ki|Mi|Gi|Ti|k|M|G|T)?$";
/// Pattern of a duration.
pub const DURATION_PATTERN: &str = "^([0-9]+(s|m|h))+$";
/// Pattern of a Kubernetes quantity, as Kubernetes' own CRDs write it.
const QUANTITY_PATTERN: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// An integer or a text, as the user wrote it: what Kubernetes calls int-or-string.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrText {
    /// Bare digits.
    Int(i64),
    /// With a unit, or quoted.
    Text(String),
}

impl fmt::Display for IntOrText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IntOrText::Int(number) => write!(f, "{number}"),
            IntOrText::Text(text) => f.write_str(text),
        }
    }
}

/// Bytes: an integer, or a number with a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Size(pub IntOrText);

impl Size {
    /// A size from its text.
    pub fn new(text: &str) -> Size {
        Size(IntOrText::Text(text.to_owned()))
    }

    /// How many bytes it is.
    pub fn bytes(&self) -> Result<u64, UnitError> {
        parse_size(&self.0.to_string())
    }
}

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // The longest text is 19 digits and a unit; leading zeros are allowed for, but not without end.
        json_schema!({ "x-kubernetes-int-or-string": true, "pattern": SIZE_PATTERN, "minimum": 0, "maxLength": 24 })
    }
}

/// A Kubernetes quantity such as `500m` or `1Gi`, passed on to the pod as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PodQuantity(pub IntOrText);

impl PodQuantity {
    /// Whether a text is a quantity.
    pub fn is_text(text: &str) -> bool {
        static PATTERN: LazyLock<Regex> = LazyLock::new(|| Regex::new(QUANTITY_PATTERN).expect("a pattern of ours"));
        PATTERN.is_match(text)
    }

    /// How much it is, rounded up (<https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>);
    /// `None` for what is no quantity, or negative.
    pub fn amount(&self) -> Option<u64> {
        let text = self.0.to_string();
        if !Self::is_text(&text) {
            return None;
        }
        let digits = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor = match unit {
            "" => 1.0,
            "n" => 1e-9,
            "u" => 1e-6,
            "m" => 1e-3,
            "k" => 1e3,
            "M" => 1e6,
            "G" => 1e9,
            "T" => 1e12,
            "P" => 1e15,
            "E" => 1e18,
            "Ki" => f64::from(1 << 10),
            "Mi" => f64::from(1 << 20),
            "Gi" => f64::from(1 << 30),
            "Ti" => 2f64.powi(40),
            "Pi" => 2f64.powi(50),
            "Ei" => 2f64.powi(60),
            exponent => 10f64.powf(exponent.get(1..)?.parse().ok()?),
        };
        let amount = (number.parse::<f64>().ok()? * factor).ceil();
        // A float becomes the nearest integer that there is.
        (amount >= 0.0).then_some(amount as u64)
    }
}

impl JsonSchema for PodQuantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PodQuantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-int-or-string": true, "pattern": QUANTITY_PATTERN, "maxLength": 64 })
    }
}

/// Declares an enum of the wire format whose values are texts, and its way into the model where there is one.
macro_rules! wire_enum {
    ($(#[$meta:meta])* $name:ident -> $model:ty { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $crate::api::scalar::wire_enum! { $(#[$meta])* $name { $($(#[$doc])* $variant = $text,)+ } }

        impl From<$name> for $model {
            fn from(value: $name) -> $model {
                match value {
                    $($name::$variant => <$model>::$variant,)+
                }
            }
        }
    };
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// The text in manifests.
            pub fn name(self) -> &'static str {
                match self {
                    $($name::$variant => $text,)+
                }
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": [$($text),+] })
            }
        }
    };
}
pub(crate) use wire_enum;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts() {
        for (text, amount) in [
            ("64Mi", Some(64 << 20)),
            ("0.5Gi", Some(512 << 20)),
            ("1.", Some(1)),
            ("128974848", Some(128_974_848)),
            ("129e6", Some(129_000_000)),
            ("129E+6", Some(129_000_000)),
            ("129M", Some(129_000_000)),
            ("1E", Some(1_000_000_000_000_000_000)),
            ("2Ei", Some(2 << 60)),
            ("128974848000m", Some(128_974_848)),
            ("500m", Some(1)),
            ("-1Gi", None),
            ("much", None),
            ("", None),
        ] {
            assert_eq!(PodQuantity(IntOrText::Text(text.into())).amount(), amount, "{text}");
        }
        assert_eq!(PodQuantity(IntOrText::Int(7)).amount(), Some(7));
    }
}
