//! Every setting in force, with the layer that gave it.

use figment::Figment;
use figment::value::{Dict, Value};
use serde::Serialize;

use crate::error::Result;
use crate::load::{Layers, layered, load, origin_of};
use crate::value_text;

/// The section whose keys are librdkafka's and may hold dots.
const PROPERTIES: &str = "kafka.properties";

/// One setting.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShownKey {
    /// Full key: `connector.roll_bytes`.
    pub key: String,
    /// The value; a secret is hidden.
    pub value: Value,
    /// A file, a variable, a flag, or `default`.
    pub origin: String,
}

impl ShownKey {
    /// The value as TOML writes it.
    pub fn value_text(&self) -> String {
        value_text::toml(&self.value)
    }
}

/// Loads settings and shows every key, in the order of their names.
///
/// # Errors
/// As [`load`].
///
/// # Panics
/// Never: every section serializes.
pub fn show(layers: &Layers) -> Result<Vec<ShownKey>> {
    let settings = load(layers)?;
    let (figment, _) = layered(layers)?;
    // What is shown is what the sections write of themselves, and that hides secrets.
    let tree = Value::serialize(&settings).expect("every section serializes");
    let mut shown = Vec::new();
    let sections = tree.as_dict().expect("settings are sections");
    collect(&figment, "", sections, &mut shown);
    Ok(shown)
}

fn collect(figment: &Figment, prefix: &str, section: &Dict, shown: &mut Vec<ShownKey>) {
    for (name, value) in section {
        let key = format!("{prefix}{name}");
        if let Some(inner) = value.as_dict() {
            collect(figment, &format!("{key}."), inner, shown);
            continue;
        }
        let origin = match key.strip_prefix("kafka.properties.") {
            Some(property) => origin_of_property(figment, property),
            None => None,
        };
        shown.push(ShownKey {
            origin: origin.unwrap_or_else(|| origin_of(figment, &key)),
            key,
            value: value.clone(),
        });
    }
}

/// A property may be one quoted key, nested tables, or a variable with underscores for its dots.
fn origin_of_property(figment: &Figment, property: &str) -> Option<String> {
    let properties = figment.find_value(PROPERTIES).ok()?;
    let value = find(properties.as_dict()?, "", property)?;
    let metadata = figment.get_metadata(value.tag())?;
    Some(metadata.name.to_string())
}

fn find<'a>(dict: &'a Dict, prefix: &str, property: &str) -> Option<&'a Value> {
    dict.iter().find_map(|(name, value)| {
        let name = format!("{prefix}{}", name.replace('_', "."));
        match value.as_dict() {
            Some(inner) => find(inner, &format!("{name}."), property),
            None => (name == property).then_some(value),
        }
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::load::Flag;
    use crate::property::HIDDEN;

    #[track_caller]
    fn check(shown: &[ShownKey], key: &str, value: &str, origin: &str) {
        let found = shown.iter().find(|one| one.key == key).unwrap();
        assert_eq!(found.value_text(), value);
        assert!(found.origin.contains(origin), "{found:?}");
    }

    #[test]
    fn every_key_is_shown_with_its_value_and_the_layer_that_gave_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("skein.toml");
        let text = "[kafka]\ngroup = 'file'\n[kafka.properties]\n\"sasl.password\" = 'quoted'\n\
                    fetch.min.bytes = 7\n[connector]\nroll_records = 9";
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let layers = Layers {
            file: Some(file),
            environment: vec![
                variable("SKEIN_CONNECTOR__ROLL_RECORDS", "10"),
                variable("SKEIN_KAFKA__PROPERTIES__SSL_KEY_PASSWORD", "hidden-too"),
            ],
            flags: vec![Flag::text("--brokers", "kafka.brokers", "h:1")],
        };
        let shown = show(&layers).unwrap();
        check(&shown, "kafka.source", "\"main\"", "default");
        check(&shown, "kafka.group", "\"file\"", "skein.toml");
        let variable = "environment SKEIN_CONNECTOR__ROLL_RECORDS";
        check(&shown, "connector.roll_records", "10", variable);
        check(&shown, "kafka.brokers", "\"h:1\"", "flag --brokers");
        check(
            &shown,
            "kafka.properties.fetch.min.bytes",
            "\"7\"",
            "skein.toml",
        );
        let hidden = format!("{HIDDEN:?}");
        check(
            &shown,
            "kafka.properties.sasl.password",
            &hidden,
            "skein.toml",
        );
        let key = "kafka.properties.ssl.key.password";
        check(&shown, key, &hidden, "SSL_KEY_PASSWORD");
        let text = format!("{shown:?}");
        assert!(
            !text.contains("quoted") && !text.contains("hidden-too"),
            "{text}"
        );
    }
}
