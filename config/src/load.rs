//! Reads the layers, puts them over one another, and refuses what cannot be used.

mod exposure;

use std::path::{Path, PathBuf};

use figment::error::Kind;
use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use crate::bound::Breach;
use crate::error::{Error, Fault, Result};
use crate::property::{HIDDEN, is_secret};
use crate::settings::Settings;
use crate::value_text;

/// Every default with its reason.
pub const DEFAULT_TOML: &str = include_str!("../default.toml");

/// The default routing with its reason.
pub const SHARDS_TOML: &str = include_str!("../shards.toml");

/// The default prices with their sources.
pub const PRICES_TOML: &str = include_str!("../prices.toml");

/// A setting given on the command line.
#[derive(Debug, Clone)]
pub struct Flag {
    /// As it is typed: `--brokers`.
    pub name: &'static str,
    /// The key it sets: `kafka.brokers`.
    pub key: String,
    /// The value.
    pub value: Value,
}

/// What lies over the defaults, lowest first.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// File given with `--config`.
    pub file: Option<PathBuf>,
    /// Variables of the process; those that do not start with `SKEIN_` or hold no `__` are not settings.
    pub environment: Vec<(String, String)>,
    /// Flags.
    pub flags: Vec<Flag>,
}

impl Flag {
    /// A flag whose value is a text.
    pub fn text(name: &'static str, key: &str, text: &str) -> Self {
        Self {
            name,
            key: key.to_owned(),
            value: Value::from(text),
        }
    }

    /// A flag whose value is a list of texts.
    pub fn list(name: &'static str, key: &str, texts: &[String]) -> Self {
        Self {
            name,
            key: key.to_owned(),
            value: Value::from(texts.to_vec()),
        }
    }

    /// A flag that names its key itself: `KEY=VALUE`, where the value is written as in the environment.
    pub fn assignment(name: &'static str, assignment: &str) -> Option<Self> {
        let (key, text) = assignment.split_once('=')?;
        Some(Self {
            name,
            key: key.trim().to_owned(),
            value: parse_value(text),
        })
    }
}

impl Layers {
    /// A file, the environment of this process, and flags.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<Flag>) -> Self {
        let text = |os: std::ffi::OsString| os.into_string().ok();
        let environment = std::env::vars_os().filter_map(|(k, v)| Some((text(k)?, text(v)?)));
        Self {
            file,
            environment: environment.collect(),
            flags,
        }
    }
}

/// Reads all layers and checks every bound.
///
/// # Errors
/// [`Error::Unreadable`] for a file that cannot be read or parsed, [`Error::Faults`] for unknown keys, wrong
/// types and values out of bounds.
pub fn load(layers: &Layers) -> Result<Settings> {
    let (figment, mut faults) = layered(layers)?;
    match figment.extract::<Settings>() {
        Ok(settings) => {
            let breaches = settings.breaches().into_iter();
            faults.extend(breaches.map(|breach| with_origin(&figment, breach)));
            if faults.is_empty() {
                return Ok(settings);
            }
        }
        Err(error) => faults.extend(explain(&figment, error)),
    }
    Err(Error::Faults(faults))
}

/// All layers over one another, as they are, and the secrets that lie where others can read them.
pub(crate) fn layered(layers: &Layers) -> Result<(Figment, Vec<Fault>)> {
    let mut figment = Figment::new()
        .merge(Layer::from_toml("default", DEFAULT_TOML)?)
        .merge(Layer::from_toml("default", SHARDS_TOML)?)
        .merge(Layer::from_toml("default", PRICES_TOML)?);
    let file = layers.file.as_deref().map(read_file).transpose()?;
    let exposed = exposure::faults(layers, file.as_ref().map(|layer| &layer.dict));
    if let Some(layer) = file {
        figment = figment.merge(layer);
    }
    for (variable, text) in &layers.environment {
        if let Some(layer) = Layer::from_variable(variable, text) {
            figment = figment.merge(layer);
        }
    }
    for flag in &layers.flags {
        figment = figment.merge(Layer::from_flag(flag));
    }
    Ok((figment, exposed))
}

/// One layer: its values, and the name by which a fault in it is reported.
struct Layer {
    origin: String,
    dict: Dict,
}

impl Layer {
    fn from_toml(origin: &str, text: &str) -> Result<Self> {
        let unreadable = |error: figment::Error| Error::Unreadable {
            file: origin.to_owned(),
            reason: without_excerpt(&error.to_string()),
        };
        let mut profiles = Toml::string(text).data().map_err(unreadable)?;
        Ok(Self {
            origin: origin.to_owned(),
            dict: profiles.remove(&Profile::Default).unwrap_or_default(),
        })
    }

    fn from_variable(variable: &str, text: &str) -> Option<Self> {
        let key = variable.strip_prefix("SKEIN_")?;
        let key = key
            .contains("__")
            .then(|| key.to_ascii_lowercase().replace("__", "."))?;
        // A password may look like a number or a list; it is neither.
        let value = if is_secret(&key) {
            Value::from(text)
        } else {
            parse_value(text)
        };
        Some(Self::nested(format!("environment {variable}"), &key, value))
    }

    fn from_flag(flag: &Flag) -> Self {
        Self::nested(format!("flag {}", flag.name), &flag.key, flag.value.clone())
    }

    fn nested(origin: String, key: &str, value: Value) -> Self {
        let dict = figment::util::nest(key, value)
            .into_dict()
            .unwrap_or_default();
        Self { origin, dict }
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> std::result::Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.dict.clone()))
    }
}

/// Reads a value as it stands in the environment: a number, a boolean, `[a, b]`, `{k = v}`, else a text.
fn parse_value(text: &str) -> Value {
    text.parse()
        .unwrap_or_else(|never: std::convert::Infallible| match never {})
}

/// The parser's words without the lines that it quotes, which may hold a secret.
fn without_excerpt(error: &str) -> String {
    let is_quote = |line: &str| {
        line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ')
            .starts_with('|')
    };
    let lines: Vec<&str> = error.lines().filter(|line| !is_quote(line)).collect();
    lines.join(": ")
}

fn read_file(file: &Path) -> Result<Layer> {
    let text = std::fs::read_to_string(file).map_err(|error| Error::Unreadable {
        file: file.display().to_string(),
        reason: error.to_string(),
    })?;
    Layer::from_toml(&file.display().to_string(), &text)
}

fn with_origin(figment: &Figment, breach: Breach) -> Fault {
    Fault {
        origin: origin_of(figment, &breach.key),
        key: breach.key,
        value: breach.value,
        allowed: breach.allowed,
    }
}

/// The layer that set `key`, or the nearest section around it.
pub(crate) fn origin_of(figment: &Figment, key: &str) -> String {
    let mut key = key;
    loop {
        if let Some(metadata) = figment.find_metadata(key) {
            return metadata.name.to_string();
        }
        match key.rsplit_once('.') {
            Some((section, _)) => key = section,
            None => return "default".to_owned(),
        }
    }
}

/// Says in our words what figment found while it read types.
fn explain(figment: &Figment, error: figment::Error) -> Vec<Fault> {
    let faults = error.into_iter().map(|error| {
        let mut path = error.path.clone();
        // A key that is not known may be a misspelt one of a secret, and a section's value may hold one.
        let is_unknown = matches!(error.kind, Kind::UnknownField(..))
            || matches!(&error.kind, Kind::InvalidType(_, wanted) if wanted.starts_with("struct "));
        let allowed = match &error.kind {
            Kind::UnknownField(name, known) => {
                if path.last() != Some(name) {
                    path.push(name.clone());
                }
                format!("a known key: {}", known.join(", "))
            }
            Kind::MissingField(name) => {
                path.push(name.to_string());
                "a value".to_owned()
            }
            Kind::InvalidType(_, wanted) if wanted.contains("string") => {
                "a text; sizes and times carry their unit, \"8 MiB\", \"30 s\"".to_owned()
            }
            Kind::InvalidType(_, wanted) | Kind::InvalidValue(_, wanted) => wanted.clone(),
            Kind::UnknownVariant(_, known) => known.join(", "),
            Kind::Message(_)
            | Kind::InvalidLength(..)
            | Kind::DuplicateField(_)
            | Kind::ISizeOutOfRange(_)
            | Kind::USizeOutOfRange(_)
            | Kind::Unsupported(_)
            | Kind::UnsupportedKey(..) => error.kind.to_string(),
        };
        let key = path.join(".");
        let value = if is_unknown || is_secret(&key) {
            HIDDEN.to_owned()
        } else {
            shown_value(figment, &key)
        };
        Fault {
            value,
            origin: origin_of(figment, &key),
            key,
            allowed,
        }
    });
    faults.collect()
}

fn shown_value(figment: &Figment, key: &str) -> String {
    match figment.find_value(key) {
        // It may hold a secret.
        Ok(Value::Dict(..)) => HIDDEN.to_owned(),
        Ok(value) => value_text::bare(&value),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests;
