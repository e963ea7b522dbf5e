//! A JSON Schema of the settings file, for editors and checks before a deployment.
//!
//! It has no list of keys of its own, so that it cannot rot: keys, defaults and descriptions are those of the
//! embedded default files, and what a key takes is found out by asking [`load`], which decides that, with values
//! that it has to refuse.

use std::collections::BTreeMap;

use figment::value::{Dict, Num, Value};
use serde_json::{Map, Value as Json, json};

use crate::error::{Error, Result};
use crate::load::{DEFAULT_TOML, Flag, Layers, PRICES_TOML, SHARDS_TOML, load};
use crate::reload::LIVE_KEYS;

/// Sizes and times as the schema's language can say them.
const SIZE_PATTERN: &str = r"^\s*[0-9]+\s*(B|KiB|MiB|GiB|TiB)\s*$";
const TIME_PATTERN: &str = r"^\s*[0-9]+\s*(ms|s|min|h|d)\s*$";

const KEEP_PATTERN: &str = r"^\s*([0-9]+\s*(ms|s|min|h|d)|forever)\s*$";

/// A text that no key with a form of its own takes.
const NO_VALUE: &str = "\u{1}?";

/// The schema.
///
/// # Errors
/// Never in a build whose defaults load.
///
/// # Panics
/// Never: every section serializes.
pub fn schema() -> Result<Json> {
    let settings = load(&Layers::default())?;
    let tree = Value::serialize(&settings).expect("every section serializes");
    let comments = comments();
    let sections = tree.as_dict().expect("settings are sections");
    let mut root = object(&comments, "", sections);
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("Settings of Skein");
    Ok(root)
}

fn object(comments: &BTreeMap<String, String>, prefix: &str, section: &Dict) -> Json {
    let mut properties = Map::new();
    for (name, default) in section {
        let key = format!("{prefix}{name}");
        let mut about = match default.as_dict() {
            // The keys of librdkafka: any, and each as a text, a number or a boolean.
            Some(inner) if inner.is_empty() => {
                json!({"type": "object", "additionalProperties": {
                    "type": ["string", "number", "boolean", "object"]}})
            }
            Some(inner) => object(comments, &format!("{key}."), inner),
            None => leaf(&key, default),
        };
        describe(&mut about, comments.get(&key), &key);
        properties.insert(name.clone(), about);
    }
    json!({"type": "object", "additionalProperties": false, "properties": properties})
}

/// Puts the reason from the default file before what is allowed.
fn describe(about: &mut Json, reason: Option<&String>, key: &str) {
    let allowed = about["description"].as_str().map(str::to_owned);
    let live = LIVE_KEYS
        .contains(&key)
        .then(|| "Takes effect without a restart.".to_owned());
    let parts = [reason.cloned(), allowed, live];
    let text: Vec<String> = parts.into_iter().flatten().collect();
    if !text.is_empty() {
        about["description"] = json!(text.join(" "));
    }
}

fn leaf(key: &str, default: &Value) -> Json {
    let mut about = match default {
        Value::Bool(..) => json!({"type": "boolean"}),
        Value::Num(..) => number(key),
        Value::Array(..) => list(key),
        Value::String(..) | Value::Char(..) => text(key),
        Value::Empty(..) | Value::Dict(..) => json!({}),
    };
    about["default"] = json!(default);
    about
}

fn number(key: &str) -> Json {
    let mut about = json!({"type": "integer", "minimum": 0});
    // The largest of the type would be refused for its type alone.
    for largest in [u64::MAX, u64::from(u32::MAX)] {
        let allowed = refusal(key, Value::from(Num::U64(largest)));
        let bounds = allowed.as_deref().and_then(|allowed| {
            let (least, most) = allowed.split_once(" to ")?;
            Some((least.parse::<u64>().ok()?, most.parse::<u64>().ok()?))
        });
        if let Some((least, most)) = bounds {
            about["minimum"] = json!(least);
            about["maximum"] = json!(most);
            break;
        }
    }
    about
}

fn list(key: &str) -> Json {
    let takes_number = refusal(key, Value::from(vec![1])).is_none();
    let item = if takes_number { "integer" } else { "string" };
    json!({"type": "array", "items": {"type": item}})
}

fn text(key: &str) -> Json {
    let mut about = json!({"type": "string"});
    let Some(allowed) = refusal(key, Value::from(NO_VALUE)) else {
        return about;
    };
    let unit = |pattern: &str, largest: &str| {
        let bounds = refusal(key, Value::from(largest)).map(|bounds| format!("{bounds}."));
        json!({"type": "string", "pattern": pattern, "description": bounds})
    };
    if allowed.contains("a size like") {
        return unit(SIZE_PATTERN, "15000000 TiB");
    }
    if allowed.contains("forever") {
        return unit(KEEP_PATTERN, "200000000 d");
    }
    if allowed.contains("a time like") {
        return unit(TIME_PATTERN, "200000000 d");
    }
    let words: Vec<&str> = allowed.split(", ").collect();
    let is_word = |word: &&str| refusal(key, Value::from(*word)).is_none();
    if words.iter().all(is_word) {
        about["enum"] = json!(words);
    } else {
        about["description"] = json!(format!("Allowed: {allowed}."));
    }
    about
}

/// What is allowed instead, if `value` is refused for `key` itself.
fn refusal(key: &str, value: Value) -> Option<String> {
    let layers = Layers {
        flags: vec![Flag {
            name: "--set",
            key: key.to_owned(),
            value,
        }],
        ..Layers::default()
    };
    let faults = match load(&layers) {
        Ok(_) => return None,
        Err(Error::Faults(faults)) => faults,
        Err(other) => return Some(other.to_string()),
    };
    // A fault in an item of a list is named with the item's place.
    let about_it = |fault: &crate::error::Fault| {
        let rest = fault.key.strip_prefix(key);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    faults.into_iter().find(about_it).map(|fault| fault.allowed)
}

/// What the default files say above each key and section. Keys that follow one another without a line of their
/// own share the one above.
fn comments() -> BTreeMap<String, String> {
    let mut comments = Comments::default();
    for line in [DEFAULT_TOML, SHARDS_TOML, PRICES_TOML]
        .map(str::lines)
        .into_iter()
        .flatten()
    {
        comments.take(line);
    }
    comments.found
}

/// Reads a default file line by line.
#[derive(Default)]
struct Comments {
    found: BTreeMap<String, String>,
    section: String,
    /// Lines of the comment above.
    lines: Vec<String>,
    /// Whether the line before was one of them.
    is_open: bool,
}

impl Comments {
    fn take(&mut self, line: &str) {
        let was_open = std::mem::take(&mut self.is_open);
        if let Some(text) = line.strip_prefix('#') {
            if !was_open {
                self.lines.clear();
            }
            self.is_open = true;
            self.lines.push(text.trim().to_owned());
            return;
        }
        let section = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        if let Some(name) = section {
            self.section = format!("{name}.");
            self.insert(name.to_owned());
            self.lines.clear();
        } else if let Some((name, _)) = line.split_once(" = ") {
            self.insert(format!("{}{name}", self.section));
        } else {
            self.lines.clear();
        }
    }

    fn insert(&mut self, key: String) {
        if !self.lines.is_empty() {
            self.found.insert(key, self.lines.join(" "));
        }
    }
}

#[cfg(test)]
mod tests;
