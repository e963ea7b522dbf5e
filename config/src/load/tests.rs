use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::kafka::FetchShare;

fn layers(file: Option<&str>, environment: &[(&str, &str)]) -> (Option<tempfile::TempDir>, Layers) {
    let dir = file.map(|text| {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("skein.toml");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
        dir
    });
    let layers = Layers {
        file: dir.as_ref().map(|dir| dir.path().join("skein.toml")),
        environment: environment
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        flags: Vec::new(),
    };
    (dir, layers)
}

#[track_caller]
fn faults(file: &str) -> Vec<Fault> {
    let (_dir, layers) = layers(Some(file), &[]);
    match load(&layers) {
        Err(Error::Faults(faults)) => faults,
        other => panic!("expected faults, got {other:?}"),
    }
}

#[track_caller]
fn check_fault(file: &str, key: &str, value: &str, allowed: &str) {
    let faults = faults(file);
    let [fault] = &faults[..] else {
        panic!("expected one fault, got {faults:?}");
    };
    assert_eq!((fault.key.as_str(), fault.value.as_str()), (key, value));
    assert!(fault.allowed.contains(allowed), "{fault}");
    assert!(fault.origin.ends_with("skein.toml"), "{fault}");
}

/// Full keys of a tree of sections.
fn keys(dict: &Dict, prefix: &str, into: &mut BTreeSet<String>) {
    for (name, value) in dict {
        let key = format!("{prefix}{name}");
        match value.as_dict() {
            Some(inner) if key != "kafka.properties" => keys(inner, &format!("{key}."), into),
            Some(_) | None => drop(into.insert(key)),
        }
    }
}

#[test]
fn every_key_has_its_default_in_the_embedded_files() {
    let settings = load(&Layers::default()).unwrap();
    let mut from_structs = BTreeSet::new();
    keys(
        Value::serialize(&settings).unwrap().as_dict().unwrap(),
        "",
        &mut from_structs,
    );
    let mut from_files = BTreeSet::new();
    for file in [DEFAULT_TOML, SHARDS_TOML, PRICES_TOML] {
        let layer = Layer::from_toml("default", file).unwrap();
        keys(&layer.dict, "", &mut from_files);
    }
    assert_eq!(from_structs, from_files);
}

#[test]
fn each_layer_overrides_the_one_before() {
    let file = "[kafka]\ngroup = 'file'\nbrokers = 'file:1'\nsource = 'file'";
    let environment = [
        ("SKEIN_KAFKA__GROUP", "environment"),
        ("SKEIN_KAFKA__BROKERS", "environment:1"),
    ];
    let (_dir, mut layers) = layers(Some(file), &environment);
    layers
        .flags
        .push(Flag::text("--brokers", "kafka.brokers", "flag:1"));
    let kafka = load(&layers).unwrap().kafka;
    assert_eq!(kafka.member, "");
    assert_eq!(kafka.source, "file");
    assert_eq!(kafka.group, "environment");
    assert_eq!(kafka.brokers, "flag:1");
}

#[test]
fn variables_that_are_not_settings_are_left_alone() {
    let environment = [
        ("SKEIN_LOG", "debug"),
        ("PATH", "/bin"),
        ("OTHER__KEY", "1"),
    ];
    let (_dir, layers) = layers(None, &environment);
    assert_eq!(load(&layers).unwrap(), load(&Layers::default()).unwrap());
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    check_fault(
        "[connector]\nflush_every = '1 s'",
        "connector.flush_every",
        HIDDEN,
        "flush_interval",
    );
    check_fault("[connectors]\nx = 1", "connectors", HIDDEN, "connector");
}

#[test]
fn a_bare_number_for_a_size_or_a_time_is_refused_by_key() {
    check_fault(
        "[connector]\nroll_bytes = 1024",
        "connector.roll_bytes",
        "1024",
        "8 MiB",
    );
    check_fault(
        "[connector]\nroll_bytes = '1024'",
        "connector.roll_bytes",
        "1024",
        "8 MiB",
    );
    check_fault(
        "[connector]\nflush_interval = '5'",
        "connector.flush_interval",
        "5",
        "30 s",
    );
}

#[test]
fn a_value_out_of_bounds_names_what_is_allowed_and_who_set_it() {
    check_fault(
        "[connector]\npart_bytes = '1 MiB'",
        "connector.part_bytes",
        "1 MiB",
        "5 MiB to 1 GiB",
    );
    check_fault(
        "[kafka]\nfirst_position = 'middle'",
        "kafka.first_position",
        "middle",
        "earliest, latest",
    );
    check_fault(
        "[bucket]\nurl = 'http://b'",
        "bucket.url",
        "http://b",
        "s3://BUCKET",
    );
    check_fault(
        "[kafka]\ntopics = ['a b']",
        "kafka.topics",
        "a b",
        "topic name",
    );
    check_fault(
        "[kafka]\ntopics = ['^(']",
        "kafka.topics",
        "^(",
        "unclosed group",
    );
    check_fault("[kafka]\ntopics = ['a', 'a']", "kafka.topics", "a", "once");
    check_fault("[shards]\nmodulus = 0", "shards.modulus", "0", "1 to");
}

#[test]
fn all_faults_are_named_at_once() {
    assert_eq!(
        faults("[shards]\nmodulus = 0\n[connector]\nroll_records = 0").len(),
        2
    );
}

#[test]
fn a_fault_in_a_variable_names_the_variable() {
    let (_dir, layers) = layers(None, &[("SKEIN_CONNECTOR__ROLL_RECORDS", "0")]);
    let error = load(&layers).unwrap_err().to_string();
    assert!(
        error.contains("origin=`environment SKEIN_CONNECTOR__ROLL_RECORDS`"),
        "{error}"
    );
}

#[test]
fn a_budget_below_the_floor_of_its_shards_is_refused() {
    let file = "[connector]\nmemory_budget = '200 MiB'\n[shards]\nmodulus = 4096";
    check_fault(
        file,
        "connector.memory_budget",
        "200 MiB",
        "for 4096 shards",
    );
}

#[test]
fn a_broken_file_is_refused_with_its_place() {
    let (_dir, layers) = layers(Some("[kafka\n"), &[]);
    let error = load(&layers).unwrap_err().to_string();
    assert!(
        error.contains("skein.toml") && error.contains("line 1"),
        "{error}"
    );
    let missing = Layers {
        file: Some("/nowhere/skein.toml".into()),
        ..Layers::default()
    };
    assert!(
        load(&missing)
            .unwrap_err()
            .to_string()
            .contains("/nowhere/skein.toml")
    );
}

#[test]
fn librdkafka_properties_pass_through_but_not_those_that_promises_rest_on() {
    let file =
        "[kafka.properties]\n'fetch.min.bytes' = 7\nsasl.mechanism = 'PLAIN'\nsasl.password = 'p'";
    let (_dir, layers) = layers(
        Some(file),
        &[("SKEIN_KAFKA__PROPERTIES__SSL_CA_LOCATION", "/ca")],
    );
    let settings = load(&layers).unwrap();
    let config = settings
        .kafka
        .consumer_config(FetchShare::of_one_broker(
            settings.connector.memory_shares().kafka_queue,
        ))
        .unwrap();
    assert_eq!(config.get("fetch.min.bytes"), Some("7"));
    assert_eq!(config.get("sasl.mechanism"), Some("PLAIN"));
    assert_eq!(config.get("sasl.password"), Some("p"));
    assert_eq!(config.get("ssl.ca.location"), Some("/ca"));
    assert_eq!(config.get("enable.auto.commit"), Some("false"));
    assert!(
        !format!("{settings:?}").contains("\"p\""),
        "a secret is shown"
    );

    let file = "[kafka.properties]\nenable.auto.commit = true";
    check_fault(
        file,
        "kafka.properties.enable.auto.commit",
        "true",
        "after the ledger",
    );
}

#[test]
fn the_settings_print_as_a_file_that_gives_them_again() {
    let file = "[kafka]\ntopics = ['a', '^b\\.']\n[kafka.properties]\nfetch.min.bytes = 7";
    let (_dir, with_file) = layers(Some(file), &[]);
    let settings = load(&with_file).unwrap();
    let (_dir, printed) = layers(Some(&settings.to_toml()), &[]);
    assert_eq!(load(&printed).unwrap(), settings);
}
