//! What a new version of the settings changes in a running process, and what it cannot change there.

use std::collections::{BTreeMap, BTreeSet};

use figment::value::{Dict, Value};

use crate::settings::Settings;
use crate::value_text;

/// The keys that take effect without a restart.
pub const LIVE_KEYS: [&str; 1] = ["kafka.topics"];

/// What differs from the settings in force.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Keys of [`LIVE_KEYS`].
    pub live: Vec<String>,
    /// All other keys: they need a restart, and their old values stay in force until then.
    pub fixed: Vec<String>,
}

impl Changes {
    /// Compares new settings with those in force.
    ///
    /// # Panics
    /// Never: every section serializes.
    pub fn between(in_force: &Settings, new: &Settings) -> Self {
        let (old, next) = (values(in_force), values(new));
        let keys: BTreeSet<&String> = old.keys().chain(next.keys()).collect();
        let changed = keys
            .into_iter()
            .filter(|key| old.get(*key) != next.get(*key));
        let (live, mut fixed): (Vec<String>, Vec<String>) = changed
            .cloned()
            .partition(|key| LIVE_KEYS.contains(&key.as_str()));
        if live.is_empty() && fixed.is_empty() && in_force != new {
            // Secrets are hidden wherever settings are shown, and so here.
            fixed.push("a secret".to_owned());
        }
        Self { live, fixed }
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.fixed.is_empty()
    }
}

/// Every key with its value as text.
fn values(settings: &Settings) -> BTreeMap<String, String> {
    let tree = Value::serialize(settings).expect("every section serializes");
    let mut flat = BTreeMap::new();
    flatten(
        "",
        tree.as_dict().expect("settings are sections"),
        &mut flat,
    );
    flat
}

/// Puts every key below `prefix` into `flat`.
pub(crate) fn flatten(prefix: &str, section: &Dict, flat: &mut BTreeMap<String, String>) {
    for (name, value) in section {
        let key = format!("{prefix}{name}");
        match value.as_dict() {
            Some(inner) => flatten(&format!("{key}."), inner, flat),
            None => drop(flat.insert(key, value_text::toml(value))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Layers, load};

    fn default() -> Settings {
        load(&Layers::default()).unwrap()
    }

    #[test]
    fn topics_change_live_and_every_other_key_is_named() {
        let old = default();
        assert!(Changes::between(&old, &old).is_empty());
        let mut new = old.clone();
        new.kafka.topics.push("more".to_owned());
        new.connector.flush_records += 1;
        let properties = &mut new.kafka.properties.0;
        properties.insert("fetch.min.bytes".to_owned(), "7".to_owned());
        let changes = Changes::between(&old, &new);
        assert_eq!(changes.live, ["kafka.topics"]);
        let fixed = [
            "connector.flush_records",
            "kafka.properties.fetch.min.bytes",
        ];
        assert_eq!(changes.fixed, fixed);
    }

    #[test]
    fn a_secret_that_changed_is_noticed_and_not_shown() {
        let mut old = default();
        let set = |settings: &mut Settings, text: &str| {
            let properties = &mut settings.kafka.properties.0;
            properties.insert("sasl.password".to_owned(), text.to_owned());
        };
        set(&mut old, "before");
        let mut new = old.clone();
        set(&mut new, "behind");
        assert_eq!(Changes::between(&old, &new).fixed, ["a secret"]);
    }
}
