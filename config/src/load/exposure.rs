//! Secrets that stand where others can read them: in a settings file of a careless mode, or on a command line.

use std::path::Path;

use figment::value::{Dict, Value};

use super::{Flag, Layers};
use crate::error::Fault;
use crate::property::{HIDDEN, is_secret};
use crate::secret::check_private;

/// A fault for each secret that others can read. `file` holds what the settings file says.
pub(super) fn faults(layers: &Layers, file: Option<&Dict>) -> Vec<Fault> {
    let mut faults: Vec<Fault> = layers.flags.iter().filter_map(on_command_line).collect();
    if let (Some(path), Some(dict)) = (&layers.file, file) {
        in_file(path, dict, &mut faults);
    }
    faults
}

fn on_command_line(flag: &Flag) -> Option<Fault> {
    let mut keys = Vec::new();
    secrets(&flag.key, &flag.value, &mut keys);
    let key = keys.into_iter().next()?;
    let variable = key.to_uppercase().replace('.', "__");
    Some(Fault {
        value: HIDDEN.to_owned(),
        allowed: format!(
            "never on a command line, which every user of this machine can read: set SKEIN_{variable}, or name a \
             file of mode 0600"
        ),
        origin: format!("flag {}", flag.name),
        key,
    })
}

fn in_file(path: &Path, dict: &Dict, faults: &mut Vec<Fault>) {
    let mut keys = Vec::new();
    for (name, value) in dict {
        secrets(name, value, &mut keys);
    }
    if keys.is_empty() || check_private("", path).is_ok() {
        return;
    }
    faults.extend(keys.into_iter().map(|key| Fault {
        key,
        value: HIDDEN.to_owned(),
        allowed: "a secret only in a settings file that only its owner can read (chmod 600), or in the \
                  environment"
            .to_owned(),
        origin: path.display().to_string(),
    }));
}

/// Keys of the secrets that `value` holds, and that are set.
fn secrets(key: &str, value: &Value, keys: &mut Vec<String>) {
    if let Some(dict) = value.as_dict() {
        for (name, value) in dict {
            secrets(&format!("{key}.{name}"), value, keys);
        }
    } else if is_secret(key) && value.as_str() != Some("") {
        keys.push(key.to_owned());
    }
}

#[cfg(test)]
mod tests;
