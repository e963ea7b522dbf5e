use figment::providers::{Format as _, Toml};
use figment::{Figment, Provider as _};

use super::*;

/// What a reader of the schema has to know of its language, and no more.
fn breaks(schema: &Json, value: &Json, place: &str) -> Vec<String> {
    let mut found = Vec::new();
    let kind = match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(number) if number.is_f64() => "number",
        Json::Number(_) => "integer",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    };
    let is_kind = |wanted: &Json| wanted == kind || (wanted == "number" && kind == "integer");
    let wanted = &schema["type"];
    let fits = wanted.as_array().map_or_else(
        || wanted.is_null() || is_kind(wanted),
        |kinds| kinds.iter().any(is_kind),
    );
    if !fits {
        found.push(format!("{place}: {kind} is not {}", schema["type"]));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        found.push(format!("{place}: {value} is none of {words:?}"));
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
        && !regex::Regex::new(pattern).unwrap().is_match(text)
    {
        found.push(format!("{place}: {text} does not match"));
    }
    if let Some(number) = value.as_u64() {
        let below = schema["minimum"]
            .as_u64()
            .is_some_and(|least| number < least);
        let above = schema["maximum"].as_u64().is_some_and(|most| most < number);
        if below || above {
            found.push(format!("{place}: {number} is out of bounds"));
        }
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        let place = format!("{place}.{name}");
        let known = &schema["properties"][name];
        if !known.is_null() {
            found.extend(breaks(known, inner, &place));
        } else if schema["additionalProperties"] == false {
            found.push(place);
        } else {
            found.extend(breaks(&schema["additionalProperties"], inner, &place));
        }
    }
    for item in value.as_array().into_iter().flatten() {
        found.extend(breaks(&schema["items"], item, place));
    }
    found
}

fn json_of(toml: &str) -> Json {
    let profiles = Figment::from(Toml::string(toml)).data().unwrap();
    json!(profiles.values().next().unwrap())
}

/// A file that schema and loader have to judge alike.
#[track_caller]
fn check(toml: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("skein.toml");
    std::fs::write(&file, toml).unwrap();
    let loaded = load(&Layers {
        file: Some(file),
        ..Layers::default()
    });
    let found = breaks(&schema().unwrap(), &json_of(toml), "");
    assert_eq!(
        loaded.is_ok(),
        found.is_empty(),
        "{toml}: {loaded:?} {found:?}"
    );
}

#[test]
fn the_default_files_obey_the_schema_and_every_key_has_its_reason() {
    let schema = schema().unwrap();
    for file in [DEFAULT_TOML, SHARDS_TOML, PRICES_TOML] {
        assert_eq!(breaks(&schema, &json_of(file), ""), Vec::<String>::new());
    }
    for (name, section) in schema["properties"].as_object().unwrap() {
        for (key, about) in section["properties"].as_object().unwrap() {
            let is_described =
                about["description"].is_string() || section["description"].is_string();
            assert!(
                is_described,
                "{name}.{key} has no reason in the default file"
            );
        }
    }
}

#[test]
fn the_schema_refuses_what_loading_refuses_and_nothing_else() {
    check("[kafka]\ntopics = ['a', 'b']\nfirst_position = 'latest'");
    check("[kafka]\nfirst_position = 'middle'");
    check("[kafka]\ntopics = 'a'");
    check("[kafka]\ntopic = ['a']");
    check("[kafak]\nbrokers = 'x'");
    check("[kafka.properties]\n\"fetch.min.bytes\" = 7\nsasl.mechanism = 'PLAIN'\nx = true");
    check("[connector]\nflush_interval = '5 min'\nroll_bytes = '64 MiB'\nroll_records = 7");
    check("[connector]\nflush_interval = '5'");
    check("[connector]\nroll_bytes = '64 MB'");
    check("[connector]\nroll_bytes = 64");
    check("[connector]\nroll_records = 0");
    check("[connector]\nroll_records = 2000000000");
    check("[connector]\nupload_concurrency = '16'");
    check("[bucket]\npath_style = 'yes'");
    check("[bucket]\npath_style = true");
    check("[shards]\ndedicated = [7, 8]");
    check("[shards]\ndedicated = ['7']");
    check("[shards]\nmodulus = 65537");
    check("[telemetry]\nlog_format = 'json'");
    check("[telemetry]\nlog_format = 'yaml'");
}

#[test]
fn a_key_says_what_is_allowed_and_whether_it_changes_live() {
    let schema = schema().unwrap();
    let about = |section: &str, key: &str| schema["properties"][section]["properties"][key].clone();
    assert_eq!(
        about("kafka", "first_position")["enum"],
        json!(["earliest", "latest"])
    );
    let part = about("connector", "part_bytes");
    let text = part["description"].as_str().unwrap();
    assert!(
        text.contains("5 MiB to 1 GiB") && text.contains("billed as requests"),
        "{text}"
    );
    assert_eq!(part["default"], "8 MiB");
    let topics = about("kafka", "topics")["description"].to_string();
    assert!(topics.contains("without a restart"), "{topics}");
    let attempts = about("bucket", "retry_attempts");
    assert_eq!(
        (&attempts["minimum"], &attempts["maximum"]),
        (&json!(1), &json!(100))
    );
}
