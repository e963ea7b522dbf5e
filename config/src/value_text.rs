//! Values of settings as TOML writes them.

use figment::value::{Num, Value};

/// Writes a value so that TOML reads the same one.
pub(crate) fn toml(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Char(_, one) => format!("{:?}", one.to_string()),
        Value::Bool(_, bool) => bool.to_string(),
        Value::Num(_, number) => number_text(*number),
        Value::Empty(..) => String::new(),
        Value::Array(_, values) => {
            let values: Vec<String> = values.iter().map(toml).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Dict(_, dict) => {
            let entries = dict
                .iter()
                .map(|(key, value)| format!("{key} = {}", toml(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Writes a text without quotes, anything else as [`toml`] does: for messages.
pub(crate) fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| toml(value), str::to_owned)
}

fn number_text(number: Num) -> String {
    let whole = number.to_i128().map(|n| n.to_string());
    let whole = whole.or_else(|| number.to_u128().map(|n| n.to_string()));
    whole
        .or_else(|| number.to_f64().map(|n| n.to_string()))
        .unwrap_or_default()
}
