use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::error::Error;
use crate::load::load;

const CANARY: &str = "canary-7f3a";

struct File {
    _dir: tempfile::TempDir,
    layers: Layers,
}

fn file(text: &str, mode: u32) -> File {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("skein.toml");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    let layers = Layers {
        file: Some(path),
        ..Layers::default()
    };
    File { _dir: dir, layers }
}

fn login(line: &str) -> String {
    format!(
        "[kafka.tls]\nenabled = true\n[kafka.sasl]\nmechanism = 'PLAIN'\nusername = 'u'\n{line}\n"
    )
}

/// The error's text, which must not hold the secret.
#[track_caller]
fn refusal(layers: &Layers, words: &[&str]) {
    let error: Error = load(layers).unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(CANARY), "{shown}");
    for word in words {
        assert!(shown.contains(word), "`{word}` is missing: {shown}");
    }
}

#[test]
fn a_secret_in_a_settings_file_that_others_can_read_is_refused() {
    let text = login(&format!("password = '{CANARY}'"));
    assert!(load(&file(&text, 0o600).layers).is_ok());
    let careless = file(&text, 0o644);
    refusal(
        &careless.layers,
        &["kafka.sasl.password", "chmod 600", "skein.toml"],
    );
    let text = format!("[kafka.properties]\nssl.key.password = '{CANARY}'\n");
    let careless = file(&text, 0o640);
    refusal(
        &careless.layers,
        &["kafka.properties.ssl.key.password", "chmod 600"],
    );
    // Without a secret the mode is nobody's business.
    assert!(load(&file("[kafka.sasl]\npassword = ''", 0o644).layers).is_ok());
}

#[test]
fn a_secret_on_the_command_line_is_refused() {
    for key in ["kafka.sasl.password", "kafka.properties.sasl.password"] {
        let assignment = format!("{key}={CANARY}");
        let layers = Layers {
            flags: vec![Flag::assignment("--set", &assignment).unwrap()],
            ..Layers::default()
        };
        let variable = format!("SKEIN_{}", key.to_uppercase().replace('.', "__"));
        refusal(&layers, &[key, &variable, "flag --set", "command line"]);
    }
}

#[test]
fn a_password_in_the_environment_is_taken_letter_by_letter() {
    for password in ["007", "[1, 2]", "{a = 1}", "true", "\"quoted\"", " spaced "] {
        let mut with_file = file(&login(""), 0o644);
        with_file.layers.environment = vec![(
            "SKEIN_KAFKA__SASL__PASSWORD".to_owned(),
            password.to_owned(),
        )];
        let settings = load(&with_file.layers).unwrap();
        assert_eq!(settings.kafka.sasl.password.reveal(), password);
    }
}

#[test]
fn a_misspelt_key_of_a_secret_does_not_show_it() {
    for text in [
        format!("[kafka.sasl]\npasswrod = '{CANARY}'"),
        format!("[kafka.sals]\npassword = '{CANARY}'"),
        format!("[kafka]\nsasl = '{CANARY}'"),
        format!("[kafka]\npropertys = {{ 'sasl.password' = '{CANARY}' }}"),
        format!("[kafka.properties]\n'sasl.password' = ['{CANARY}']"),
    ] {
        refusal(&file(&text, 0o600).layers, &["kafka.", "skein.toml"]);
    }
}

#[test]
fn a_broken_line_with_a_secret_is_not_quoted() {
    for line in [
        format!("password = '{CANARY}"),
        format!("password {CANARY}"),
    ] {
        refusal(
            &file(&login(&line), 0o600).layers,
            &["skein.toml", "line 6"],
        );
    }
}
