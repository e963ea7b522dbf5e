//! Properties that are handed on to librdkafka as they are.

use std::collections::BTreeMap;
use std::fmt;

use figment::value::{Dict, Value};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::value_text;

/// Names and values of librdkafka properties. `Debug` and `Serialize` hide secrets.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Properties(pub BTreeMap<String, String>);

/// What stands in for a secret wherever settings are shown.
pub const HIDDEN: &str = "(hidden)";

/// Whether the value of `property`, or of a setting, must not be shown.
pub fn is_secret(property: &str) -> bool {
    const WORDS: [&str; 6] = [
        "pass",
        "secret",
        "token",
        ".pem",
        "oauthbearer.config",
        "jaas",
    ];
    // Where a secret lies, and how long it lasts, are none.
    const ABOUT: [&str; 4] = ["_file", "_command", "_lifetime", ".url"];
    if ABOUT.iter().any(|end| property.ends_with(end)) {
        return false;
    }
    WORDS.iter().any(|word| property.contains(word))
}

impl Properties {
    fn shown(&self) -> BTreeMap<&str, &str> {
        let mut shown = BTreeMap::new();
        for (name, value) in &self.0 {
            let value = if is_secret(name) { HIDDEN } else { value };
            shown.insert(name.as_str(), value);
        }
        shown
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shown()).finish()
    }
}

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.shown().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Properties {
    /// Takes quoted names (`"sasl.mechanism" = …`) and bare ones, which TOML reads as nested tables.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dict = Dict::deserialize(deserializer)?;
        let mut flat = BTreeMap::new();
        flatten("", &dict, &mut flat).map_err(de::Error::custom)?;
        Ok(Self(flat))
    }
}

fn flatten(prefix: &str, dict: &Dict, flat: &mut BTreeMap<String, String>) -> Result<(), String> {
    for (name, value) in dict {
        // No property of librdkafka has an underscore, and no environment variable a dot.
        let name = format!("{prefix}{}", name.replace('_', "."));
        match value {
            Value::Dict(_, inner) => flatten(&format!("{name}."), inner, flat)?,
            Value::String(..) | Value::Char(..) | Value::Bool(..) | Value::Num(..) => {
                flat.insert(name, value_text::bare(value));
            }
            Value::Empty(..) | Value::Array(..) => {
                return Err(format!(
                    "property `{name}` must be a text, a number or a boolean"
                ));
            }
        }
    }
    Ok(())
}
