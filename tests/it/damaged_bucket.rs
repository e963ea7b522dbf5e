//! Objects that are damaged: whoever meets one names it, ends in time, and takes nothing for good.

use bytes::Bytes;
use serde_json::{Value, json};
use skein_config::load::{Layers, load};
use skein_local::dev_stack::{DevStack, DevStackOptions};
use skein_shared::bucket::Bucket;
use skein_shared::ids::WriteId;
use tempfile::TempDir;

use crate::skein::{Ended, Skein, check_idle_writes};

const CONNECT: [&str; 2] = ["connect", "--until-end"];
const COMPACT: [&str; 2] = ["compact", "run"];

/// A stack into which one flush was written, and nothing compacted.
pub(crate) struct World {
    _stack: DevStack,
    _directory: TempDir,
    pub(crate) bucket: Bucket,
    pub(crate) skein: Skein,
}

impl World {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let stack = DevStack::start(&DevStackOptions::new(directory.path().to_owned())).unwrap();
        let layers = Layers {
            file: Some(stack.config_file().to_owned()),
            ..Layers::default()
        };
        let settings = load(&layers).unwrap().bucket.settings().unwrap();
        let world = Self {
            bucket: Bucket::open(&settings).await.unwrap(),
            skein: Skein::with_config(stack.config_file()),
            _stack: stack,
            _directory: directory,
        };
        world.produce().await;
        world.skein.report(&CONNECT).await;
        world
    }

    async fn produce(&self) {
        let produce = ["produce", "--topic", "points", "--orgs", "2"];
        let load = ["--series", "10", "--points", "1000"];
        self.skein.report(&[&produce[..], &load].concat()).await;
    }

    /// The first key under `prefix` that ends in `end`.
    async fn key(&self, prefix: &str, end: &str) -> String {
        let listed = self.bucket.list(prefix, None).await.unwrap();
        let mut keys = listed.into_iter().map(|object| object.key);
        keys.find(|key| key.ends_with(end) && !(end.is_empty() && key.ends_with("genesis")))
            .unwrap()
    }

    /// Runs a command against each kind of damage of the object at `key`, which must be refused with the
    /// object's name; then puts it right again.
    async fn check_refused(&self, key: &str, arguments: &[&str]) {
        let sound = self.bucket.get(key).await.unwrap();
        let mut flipped = sound.to_vec();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0x20;
        let cut = sound.slice(..sound.len() - 1);
        for (how, bytes) in [
            ("flipped", flipped.into()),
            ("cut", cut),
            ("empty", Bytes::new()),
        ] {
            self.put(key, bytes).await;
            let ended = self.skein.run(arguments).await;
            check_damage_is_told(&ended, key, how);
        }
        self.put(key, sound).await;
    }

    pub(crate) async fn put(&self, key: &str, bytes: Bytes) {
        let put = self.bucket.put(key, bytes, WriteId::random());
        put.await.unwrap();
    }
}

#[track_caller]
fn check_damage_is_told(ended: &Ended, key: &str, how: &str) {
    let Ended { code, stderr, .. } = ended;
    assert_eq!(*code, Some(3), "{key} {how}: {stderr}");
    assert!(stderr.contains(key), "{key} {how}: {stderr}");
    assert!(!stderr.contains("panicked"), "{key} {how}: {stderr}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_names_a_damaged_source_binding_and_shard_map() {
    let world = World::new().await;
    for prefix in ["sources/", "shard-map/"] {
        let key = world.key(prefix, "").await;
        world.check_refused(&key, &CONNECT).await;
    }
    world.skein.report(&CONNECT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_stops_a_partition_whose_ledger_is_damaged_and_reads_the_others() {
    let world = World::new().await;
    let entry = world.key("ledger/", "").await;
    let chain = entry.rsplit_once('/').unwrap().0;
    let genesis = world.key(&format!("{chain}/"), "genesis").await;
    for key in [entry, genesis] {
        world.check_refused(&key, &CONNECT).await;
        world.produce().await;
        let sound = world.bucket.get(&key).await.unwrap();
        world.put(&key, sound.slice(1..)).await;
        let ended = world
            .skein
            .run(&[&CONNECT[..], &["--format", "json"]].concat())
            .await;
        check_damage_is_told(&ended, &key, "cut at the front");
        let report: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(report["stopped_partitions"].as_array().unwrap().len(), 1);
        assert!(report["durable_records"].as_u64().unwrap() > 0, "{report}");
        world.put(&key, sound).await;
    }
    world.skein.report(&CONNECT).await;
    world.skein.report(&COMPACT).await;
    let verified = world.skein.report(&["verify"]).await;
    assert_eq!(verified["findings"], json!([]), "{verified}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compactor_names_a_damaged_object_of_each_kind_that_it_plans_with() {
    let world = World::new().await;
    for prefix in ["shard-map/", "flushes/", "ledger/"] {
        let key = world.key(prefix, "").await;
        world.check_refused(&key, &COMPACT).await;
    }
    let genesis = world.key("ledger/", "/genesis").await;
    world.check_refused(&genesis, &COMPACT).await;

    world.skein.report(&COMPACT).await;
    let manifest = world.key("manifest/", "").await;
    world.check_refused(&manifest, &COMPACT).await;
    let again = world.skein.report(&COMPACT).await;
    assert_eq!(again["generations"], 0, "{again}");
    check_idle_writes(&again);
    let verified = world.skein.report(&["verify"]).await;
    assert_eq!(verified["findings"], json!([]), "{verified}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_whose_plan_is_damaged_ends_with_a_code_that_no_engine_retries() {
    let world = World::new().await;
    let plan = world.skein.report(&["compact", "plan"]).await;
    let id = plan["plan"].as_str().unwrap();
    let task = ["compact", "task", "--plan", id, "--index", "0"];
    let missing = world.skein.set("compactor.spill_folder=\"/nowhere\"");
    let refused = missing.run(&task).await;
    refused.refused(2, &["/nowhere", "compactor.spill_folder"]);
    let key = format!("plans/{id}");
    let mut bytes = world.bucket.get(&key).await.unwrap().to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x20;
    world.put(&key, bytes.into()).await;
    world.skein.run(&task).await.refused(42, &[&key]);
}
