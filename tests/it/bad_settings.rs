//! Settings and input that are wrong: what, where, what to do; and nothing is done.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::skein::Skein;

/// Runs `ls` with this settings file.
async fn with_file(text: &str) -> crate::skein::Ended {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("skein.toml");
    fs::write(&file, text).unwrap();
    Skein::with_config(&file).run(&["ls"]).await
}

#[tokio::test]
async fn a_malformed_settings_file_is_named_with_its_line() {
    with_file("[bucket\nurl = 1")
        .await
        .refused(2, &["skein.toml"]);
}

#[tokio::test]
async fn an_unknown_key_is_named_with_its_file() {
    let ended = with_file("[bucket]\nurl = \"s3://b\"\nendpiont = \"http://x\"\n").await;
    ended.refused(2, &["endpiont", "skein.toml"]);
}

#[tokio::test]
async fn a_size_without_a_unit_is_refused_with_the_key() {
    let ended = with_file("[bucket]\nurl = \"s3://b\"\n[connector]\npart_bytes = 8\n").await;
    ended.refused(2, &["connector.part_bytes", "MiB"]);
}

#[tokio::test]
async fn a_value_beyond_its_range_is_refused_with_the_range() {
    let skein = Skein::default().set("bucket.url=s3://b");
    let ended = skein
        .set("connector.part_bytes=\"1 MiB\"")
        .run(&["ls"])
        .await;
    ended.refused(2, &["connector.part_bytes", "5 MiB"]);
}

#[tokio::test]
async fn a_missing_file_and_a_missing_setting_are_named() {
    let absent = std::path::Path::new("/nowhere/skein.toml");
    let ended = Skein::with_config(absent).run(&["ls"]).await;
    ended.refused(2, &["/nowhere/skein.toml"]);
    Skein::default()
        .run(&["ls"])
        .await
        .refused(2, &["bucket.url"]);
    let ended = Skein::default().run(&["connect"]).await;
    ended.refused(2, &["kafka.brokers"]);
}

#[tokio::test]
async fn a_credentials_file_that_others_may_read_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("keys");
    fs::write(&file, "access_key_id = \"a\"\nsecret_access_key = \"b\"\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let credentials = format!("bucket.credentials=\"{}\"", file.display());
    let skein = Skein::default()
        .set("bucket.url=s3://bucket")
        .set(&credentials);
    skein.run(&["ls"]).await.refused(2, &["keys", "600"]);
}

#[tokio::test]
async fn a_check_names_every_fault_at_once_with_its_layer() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("skein.toml");
    fs::write(
        &file,
        "[connector]\npart_bytes = \"1 MiB\"\nflush_interval = \"0 s\"\n",
    )
    .unwrap();
    let skein = Skein::with_config(&file).set("limits.points=0");
    let ended = skein.run(&["config", "check"]).await;
    ended.refused(
        2,
        &[
            "connector.part_bytes",
            "connector.flush_interval",
            "skein.toml",
            "limits.points",
            "--set",
        ],
    );
}

#[tokio::test]
async fn a_memory_budget_below_the_floor_of_the_shards_is_refused() {
    let skein = Skein::default().set("connector.memory_budget=\"64 MiB\"");
    let skein = skein.set("shards.modulus=4096");
    skein
        .run(&["config", "check"])
        .await
        .refused(2, &["connector.memory_budget"]);
}

#[tokio::test]
async fn a_check_of_good_settings_prints_them_as_they_will_be_used() {
    let skein = Skein::default().set("kafka.group=\"night\"");
    let ended = skein.run(&["config", "check"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("settings are valid"),
        "{}",
        ended.stderr
    );
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("skein.toml");
    fs::write(&file, &ended.stdout).unwrap();
    let report = Skein::with_config(&file).report(&["config", "check"]).await;
    assert_eq!(report["settings"]["kafka"]["group"], "night", "{report}");
    assert_eq!(report["shards"], 64, "{report}");
}

#[tokio::test]
async fn an_unknown_command_is_a_usage_error() {
    let ended = Skein::default().run(&["conect"]).await;
    ended.refused(2, &["conect"]);
}
