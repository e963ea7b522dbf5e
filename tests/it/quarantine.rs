//! Damaged state as a person meets it: told of, looked at, restored and taken in, or given up.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::damaged_bucket::World;

const COMPACT: [&str; 2] = ["compact", "run"];
const READ: [&str; 4] = ["read", "--all", "--format", "csv"];
const COMPLETE: [&str; 1] = ["--require-complete"];

/// The key of a state object of a shard with points.
async fn state_object(world: &World) -> String {
    let listed = world.bucket.list("", None).await.unwrap();
    let mut keys = listed.into_iter().map(|object| object.key);
    keys.find(|key| key.contains("/state/org-mod-")).unwrap()
}

/// Flips a bit in the first block, compacts past it, and answers the object as it was.
async fn damage(world: &World, key: &str) -> Bytes {
    let sound = world.bucket.get(key).await.unwrap();
    let mut damaged = sound.to_vec();
    damaged[200] ^= 0x20;
    world.put(key, damaged.into()).await;
    let compacted = world.skein.report(&COMPACT).await;
    assert_eq!(compacted["undecided_damages"], 1, "{compacted}");
    assert!(
        compacted["damaged_frames"].as_u64() > Some(0),
        "{compacted}"
    );
    sound
}

async fn only_damage(world: &World) -> Value {
    let listed = world.skein.report(&["quarantine", "ls"]).await;
    assert_eq!(listed["damages"].as_array().unwrap().len(), 1, "{listed}");
    listed["damages"][0].clone()
}

/// The report of a command that ends with `code`.
async fn ended(world: &World, code: i32, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--format", "json"]].concat();
    let ended = world.skein.run(&arguments).await;
    assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_block_is_told_of_until_it_was_restored_and_released() {
    let world = World::new().await;
    let waiting = world.skein.report(&["status"]).await;
    let backlog = &waiting["backlog"];
    assert!(backlog["unread_bytes"].as_u64() > Some(0), "{waiting}");
    assert!(backlog["oldest_unread_seconds"].is_u64(), "{waiting}");
    let key = state_object(&world).await;
    let sound = damage(&world, &key).await;
    let row = only_damage(&world).await;
    let id = row["id"].as_str().unwrap();
    let told = (&row["object"], &row["state"]);
    assert_eq!(told, (&json!(key), &json!("undecided")));
    status_needs_a_person(&world, id).await;
    let verified = ended(&world, 3, &["verify"]).await;
    assert!(verified["findings"].to_string().contains(id), "{verified}");

    let release = ["quarantine", "release", id, "--retry", "--reason", "OPS-7"];
    let still = ended(&world, 3, &release).await;
    assert_eq!(still[0]["became"], "still damaged", "{still}");
    world.put(&key, sound).await;
    let dry = ended(&world, 0, &[&release[..], &["--dry-run"]].concat()).await;
    let tried = (&dry[0]["became"], &dry[0]["dry_run"]);
    assert_eq!(tried, (&json!("restored"), &json!(true)));
    let restored = ended(&world, 0, &release).await;
    assert_eq!(restored[0]["became"], "restored", "{restored}");
    let again = ended(&world, 0, &release).await;
    assert_eq!(again[0]["became"], "decided before", "{again}");
    let other = [
        "quarantine",
        "release",
        id,
        "--accept-loss",
        "--reason",
        "no",
    ];
    ended(&world, 5, &other).await;

    world.skein.report(&["status"]).await;
    let verified = world.skein.report(&["verify"]).await;
    assert_eq!(verified["findings"], json!([]), "{verified}");
    let read = world.skein.run(&[&READ[..], &COMPLETE].concat()).await;
    assert_eq!((read.code, read.stdout.lines().count()), (Some(0), 1001));
}

/// That `skein status` shows what is compacted, what is not merged, and the damage.
async fn status_needs_a_person(world: &World, id: &str) {
    let status = ended(world, 3, &["status"]).await;
    let backlog = &status["backlog"];
    assert_eq!(backlog["unread_bytes"], 0, "{backlog}");
    assert_eq!(backlog["dirty_windows"], 0, "all are long past: {backlog}");
    assert_eq!(backlog["undecided_damages"], 1, "{backlog}");
    let what = status["needs"][0]["what"].as_str().unwrap();
    assert!(what.contains(id), "{status}");
    let text = world.skein.run(&["status"]).await.stdout;
    assert!(text.contains(&format!("release {id} --retry")), "{text}");
    assert!(text.contains("backlog: 0 bytes"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_be_incomplete_is_read_with_a_warning_or_not_at_all() {
    let world = World::new().await;
    let key = state_object(&world).await;
    damage(&world, &key).await;
    let row = only_damage(&world).await;
    let id = row["id"].as_str().unwrap();
    let read = world.skein.run(&READ).await;
    assert_eq!(read.code, Some(0), "{}", read.stderr);
    let warning = read.stderr.lines().find(|line| line.contains(id)).unwrap();
    assert!(warning.starts_with("warning: points may be missing from window"));
    let refused = world.skein.run(&[&READ[..], &COMPLETE].concat()).await;
    refused.refused(4, &[id, "--require-complete"]);

    let shard = row["shard"].as_str().unwrap();
    let org = shard.rsplit('-').next().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("points.csv");
    let export = ["export", "--org", org, "--format", "csv", "--out"];
    let export = [&export[..], &[out.to_str().unwrap()], &COMPLETE].concat();
    world.skein.run(&export).await.refused(4, &[id]);
    assert!(!out.exists());
    // Before what any of its records may hold nothing is missing.
    let before = ["--to", "1980-01-01T00:00:00Z"];
    let complete = world
        .skein
        .run(&[&READ[..], &COMPLETE, &before].concat())
        .await;
    assert_eq!(complete.code, Some(0), "{}", complete.stderr);
    assert!(!complete.stderr.contains("warning"), "{}", complete.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_loss_is_quiet_and_stays_visible() {
    let world = World::new().await;
    let key = state_object(&world).await;
    damage(&world, &key).await;
    let row = only_damage(&world).await;
    let list = row["list"].as_str().unwrap();
    let list = world.skein.run(&["cat", list]).await.stdout;
    assert!(list.contains("crc32c") && list.contains("lost"), "{list}");
    let shard = row["shard"].as_str().unwrap();
    let release = ["quarantine", "release", "--all-of-shard", shard];
    let release = [&release[..], &["--accept-loss", "--reason", "no copy left"]].concat();
    let accepted = ended(&world, 0, &release).await;
    assert_eq!(accepted[0]["became"], "accepted", "{accepted}");
    assert_eq!(ended(&world, 0, &release).await, json!([]));

    let row = only_damage(&world).await;
    assert_eq!(row["state"], "accepted");
    assert!(
        row["decided"].as_str().unwrap().contains("no copy left"),
        "{row}"
    );
    world.skein.report(&["status"]).await;
    let verified = world.skein.report(&["verify"]).await;
    assert_eq!(verified["findings"], json!([]), "{verified}");
    assert!(
        verified["accepted"].to_string().contains(&key),
        "{verified}"
    );
    let read = [&READ[..], &COMPLETE].concat();
    assert_eq!(world.skein.run(&read).await.code, Some(0));

    let unknown = [
        "quarantine",
        "release",
        "0123456789abcdef",
        "--retry",
        "--reason",
        "x",
    ];
    let unknown = world.skein.run(&unknown).await;
    unknown.refused(2, &["0123456789abcdef", "quarantine ls"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_records_are_listed_with_their_place_and_reason() {
    let world = World::new().await;
    let produce = ["produce", "--topic", "points", "--poison", "4"];
    let load = ["--orgs", "2", "--series", "10", "--points", "1000"];
    world.skein.report(&[&produce[..], &load].concat()).await;
    world.skein.report(&["connect", "--until-end"]).await;
    world.skein.report(&COMPACT).await;
    let listed = world
        .skein
        .report(&["quarantine", "ls", "--limit", "1"])
        .await;
    let record = &listed["records"][0];
    assert_eq!(listed["records"].as_array().unwrap().len(), 1, "{listed}");
    assert!(listed["more_records"].as_u64() > Some(0), "{listed}");
    assert!(
        record["offset"].is_u64() && record["reason"].is_string(),
        "{record}"
    );
    assert!(
        record["partition"].as_str().unwrap().contains("/points/"),
        "{record}"
    );
    let text = world.skein.run(&["quarantine", "ls", "--limit", "1"]).await;
    assert!(text.stdout.contains("more records"), "{}", text.stdout);
}
