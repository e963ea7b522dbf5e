//! Cutovers from the command line: every step and every way back, with its exit code, on a bucket that is a directory.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use skein_shared::bucket::{Bucket, DirectorySettings};
use skein_shared::cutover::ComparisonName;
use skein_shared::cutover_log;
use skein_shared::format::account::{Account, OrgAccounts, OrgCounts};
use skein_shared::format::diff_verdict::{DiffCounts, DiffSides, DiffVerdict, Verdict};
use skein_shared::format::object_key::{CutoverKey, ObjectKey};
use skein_shared::format::shard_manifest::ShardManifest;
use skein_shared::ids::{Generation, OrgId, WriteId};
use skein_shared::retry::RetryPolicy;
use skein_shared::shard_map::Routing;
use skein_shared::window::{TimeSpan, TimestampMs};
use skein_shared::{account_log, manifest_log, shard_map_log};

use crate::skein::{Ended, Skein};

/// A bucket in a directory, edges every second, and a lead of a fifth of one.
struct World {
    directory: tempfile::TempDir,
    bucket: Bucket,
    skein: Skein,
}

const WHY: [&str; 4] = ["--reason", "try it", "--ticket", "OPS-1"];

impl World {
    /// With an old system that nobody can ask.
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("bucket");
        let mut skein = Skein::default().keeping_in(&root);
        for (key, value) in [
            ("unenrolled", "old"),
            ("poll", "50 ms"),
            ("liveness", "1 s"),
            ("clock_skew", "0 s"),
            ("flush_interval", "0 s"),
            ("grid", "1 s"),
            ("hold", "0 s"),
            ("token_lifetime", "1 s"),
            ("late_horizon", "0 s"),
            ("old_place", "file:///nowhere"),
        ] {
            skein = skein.set(&format!("cutover.{key}=\"{value}\""));
        }
        let bucket = open(&root).await;
        let world = Self {
            directory,
            bucket,
            skein,
        };
        world.commit().await;
        world
    }

    /// What a compactor would have committed: twenty orgs, complete up to a time in the future.
    async fn commit(&self) {
        let now = self.bucket.now().await.unwrap();
        let routing = Routing {
            modulus: 1,
            dedicated: [].into(),
        };
        let map = shard_map_log::load_or_publish(&self.bucket, &routing, now)
            .await
            .unwrap();
        let shard = map.shards_of(OrgId(7)).into_iter().next().unwrap();
        let counts = |org: u64| OrgCounts {
            points_in: org * 10,
            not_owned: org * 10,
            ..OrgCounts::default()
        };
        let account = Account {
            shard,
            expected_generation: Generation(1),
            orgs: OrgAccounts {
                orgs: (1..=20).map(|org| (OrgId(org), counts(org))).collect(),
                ..OrgAccounts::default()
            },
        };
        let named = account_log::write(&self.bucket, &account).await.unwrap();
        let mut manifest = ShardManifest::empty(shard);
        manifest.generation = Generation(1);
        manifest.complete_to = Some(TimestampMs(now.0 + 3_600_000));
        manifest.account = Some(named);
        manifest.counts.points_in = 2100;
        manifest.counts.not_owned = 2100;
        manifest_log::commit(&self.bucket, &manifest, WriteId::random())
            .await
            .unwrap();
    }

    /// A comparison of the org as it stands.
    async fn compare(&self, name: &str, verdict: Verdict) {
        let org = OrgId(7);
        let newest = cutover_log::newest(&self.bucket, org).await.unwrap();
        let comparison = ComparisonName::new(name).unwrap();
        let compared = DiffVerdict {
            org,
            comparison: comparison.clone(),
            sides: DiffSides::OldNew,
            span: TimeSpan::ALL,
            verdict,
            reasons: vec!["planted".to_owned()],
            cutover_version: newest.map_or(0, |(version, _)| version.version),
            fleet: 1,
            build: env!("CARGO_PKG_VERSION").to_owned(),
            windows: (10, 10),
            counts: DiffCounts {
                equal: 100,
                ..DiffCounts::default()
            },
            new_classes: 0,
            report_digest: 1,
            at: self.bucket.now().await.unwrap(),
        };
        let key = ObjectKey::from(CutoverKey::DiffVerdict { org, comparison }).to_string();
        let id = WriteId::random();
        self.bucket
            .put(&key, compared.encode(id), id)
            .await
            .unwrap();
    }

    /// Asks for a verb of org 7.
    async fn ask(&self, verb: &[&str]) -> Ended {
        let arguments = [&["migrate"], verb, &["--org", "7"], &WHY].concat();
        self.skein.run(&arguments).await
    }

    /// Asks for a verb of org 7, which must be granted, and waits until it has taken effect.
    async fn reach(&self, verb: &[&str], state: &str) -> Value {
        let wait = ["--org", "7", "--wait", "--timeout", "20 s"];
        let arguments = [&["migrate"], verb, &wait, &WHY].concat();
        let report = self.skein.report(&arguments).await;
        assert_eq!(report[0]["version"]["state"], state, "{report}");
        report[0].clone()
    }

    async fn show(&self, what: &[&str]) -> Value {
        self.skein.report(&[&["migrate"], what].concat()).await
    }
}

async fn open(root: &Path) -> Bucket {
    let settings = DirectorySettings {
        root: root.to_owned(),
        retry: RetryPolicy::default(),
    };
    Bucket::open(&settings).await.unwrap()
}

#[track_caller]
fn said(ended: &Ended, code: i32, word: &str) {
    let text = format!("{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.code, Some(code), "{text}");
    assert!(text.contains(word), "`{word}` is missing: {text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_org_goes_to_the_new_pipeline_and_back_and_the_log_tells_it_all() {
    let world = World::new().await;
    let dry = world.ask(&["create", "--dry-run"]).await;
    said(&dry, 0, "would be starting");
    world.reach(&["create"], "shadow").await;
    said(
        &world.ask(&["mirror-traffic", "50"]).await,
        4,
        "no comparison",
    );
    world.compare("a", Verdict::Fail).await;
    said(&world.ask(&["mirror-traffic", "50"]).await, 3, "planted");
    world.compare("b", Verdict::PassDeclared).await;
    said(&world.ask(&["mirror-traffic", "50"]).await, 0, "canary");
    let switched = world.reach(&["switch-traffic"], "switched").await;
    assert!(
        switched["version"]["undo"]
            .as_str()
            .unwrap()
            .starts_with("R0")
    );
    let b = switched["version"]["switch_at"]
        .as_str()
        .unwrap()
        .to_owned();

    said(&world.ask(&["cancel"]).await, 5, "reverse-traffic");
    let back = world
        .reach(&["reverse-traffic", "--void"], "reversed")
        .await;
    assert_eq!(back["restated"]["from"], b.as_str());
    let explained = world.show(&["explain", "--org", "7", "--at", &b]).await;
    assert_eq!(explained["phase"]["visible"], "old");
    assert_eq!(explained["since"]["verb"], "reverse-traffic");
    assert_eq!(explained["since"]["ticket"], "OPS-1");
    assert_eq!(explained["before"][0]["phase"]["visible"], "new");
    assert_eq!(explained["shards"][0]["generation"], 1);

    world.compare("c", Verdict::PassDeclared).await;
    world.reach(&["switch-traffic"], "switched").await;
    world.compare("d", Verdict::PassDeclared).await;
    world.reach(&["complete"], "sealed").await;
    said(&world.ask(&["complete"]).await, 7, "name the org (7)");
    said(
        &world.ask(&["complete", "--confirm", "8"]).await,
        7,
        "name the org (7)",
    );
    said(&world.ask(&["complete", "--confirm", "7"]).await, 0, "done");
    let history = world.show(&["history", "--org", "7"]).await;
    let history = history.as_array().unwrap();
    let verbs: Vec<&str> = history
        .iter()
        .map(|it| it["verb"].as_str().unwrap())
        .collect();
    assert_eq!((verbs[0], verbs[verbs.len() - 1]), ("create", "complete"));
    let whole = world.show(&["verify-log"]).await;
    assert_eq!(whole[0]["versions"], history.len());
    let status = world.show(&["status"]).await;
    assert_eq!(status["orgs"][0]["state"], "done");
    drop(world.directory);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_operators_who_race_one_wins_and_the_others_are_told() {
    let world = World::new().await;
    let create = ["create"];
    let (first, second, third) =
        tokio::join!(world.ask(&create), world.ask(&create), world.ask(&create));
    let mut codes = [first.code, second.code, third.code];
    codes.sort_unstable();
    assert_eq!(
        codes,
        [Some(0), Some(5), Some(5)],
        "{first:?} {second:?} {third:?}"
    );
    said(
        &world.ask(&["cancel", "--expect", "9"]).await,
        5,
        "look again",
    );
    said(&world.ask(&["cancel", "--expect", "1"]).await, 0, "off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_say_why_and_a_wait_ends() {
    let world = World::new().await;
    let no_reason = ["migrate", "create", "--org", "7", "--reason", " "];
    said(&world.skein.run(&no_reason).await, 2, "--reason is empty");
    said(
        &world.ask(&["create", "--at", "1500"]).await,
        2,
        "too early",
    );
    said(&world.ask(&["complete"]).await, 5, "`create` begins one");
    let late = world.skein.set("cutover.flush_interval=\"1 min\"");
    let wait = [
        "migrate",
        "create",
        "--org",
        "7",
        "--wait",
        "--timeout",
        "100 ms",
    ];
    let ended = late.run(&[&wait[..], &WHY].concat()).await;
    said(&ended, 6, "the new pipeline writes from");
    said(&world.ask(&["pause"]).await, 0, "starting");
    said(&world.ask(&["resume"]).await, 0, "starting");
    let once = world
        .skein
        .report(&["migrate", "controller", "--once"])
        .await;
    assert_eq!(once, Value::Array(vec![]));
    let repaired = [&["migrate", "repair"], &WHY[..]].concat();
    let repaired = world.skein.report(&repaired).await;
    assert_eq!(repaired[0]["found"], "sound");
    let new = world.skein.set("cutover.unenrolled=\"new\"");
    let other = ["migrate", "create", "--org", "8", "--reason", "r"];
    // The first fleet has made fast who has the orgs without a cutover.
    said(&new.run(&other).await, 0, "starting");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_wanted_orgs_is_led_to_as_far_as_gates_allow() {
    let world = World::new().await;
    let file = world.directory.path().join("orgs.toml");
    let text = "[[org]]\nid = 7\nphase = \"switched\"\n[[org]]\nid = 9\nphase = \"shadow\"\n";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let apply = [&["migrate", "apply", file], &WHY[..]].concat();
    let dry = world
        .skein
        .report(&[&apply[..], &["--dry-run"]].concat())
        .await;
    let verbs = dry["plan"][0]["verbs"].as_array().unwrap();
    assert_eq!(verbs.len(), 3, "{dry}");
    assert_eq!(dry["done"], Value::Array(vec![]));
    let real = world.skein.report(&apply).await;
    let states: BTreeMap<u64, &str> = real["done"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["org"].as_u64().unwrap(),
                row["version"]["state"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(states, [(7, "starting"), (9, "starting")].into());
    // It waits for its edge, and asking again asks for nothing.
    assert_eq!(
        world.skein.report(&apply).await["done"],
        Value::Array(vec![])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cohort_begins_a_share_of_orgs_and_takes_the_last_added_out() {
    let world = World::new().await;
    let cohort = |verb: &'static str, percent: &'static str, salt: &'static str| {
        let arguments = ["cohort", verb, "--percent", percent, "--salt", salt];
        let why = if verb == "plan" { &[][..] } else { &WHY[..] };
        let arguments = [&arguments[..], why].concat();
        let skein = world.skein.clone();
        async move { skein.report(&arguments).await }
    };
    let ids = |report: &Value, name: &str| -> Vec<u64> {
        let ids = report[name].as_array().unwrap();
        ids.iter().map(|id| id.as_u64().unwrap()).collect()
    };
    let few = ids(&cohort("plan", "20", "w").await, "create");
    let many = cohort("advance", "50", "w").await;
    let many = ids(&many, "create");
    assert_eq!(many[..few.len()], few[..]);
    assert!(many.len() > few.len() && many.len() < 20);
    let shrunk = cohort("shrink", "20", "w").await;
    let mut out = ids(&shrunk, "cancel");
    out.reverse();
    assert_eq!(out, many[few.len()..]);
    // Another salt takes nobody out.
    let others = ids(&cohort("shrink", "0", "v").await, "cancel");
    assert_eq!(others, Vec::<u64>::new());
    let plan = cohort("plan", "20", "w").await;
    let burn = plan["burn_down"].as_array().unwrap();
    let orgs: u64 = burn.iter().map(|row| row["orgs"].as_u64().unwrap()).sum();
    assert_eq!(orgs, 20);
    let paused = ["migrate", "pause", "--cohort", "w"];
    let paused = world.skein.report(&[&paused[..], &WHY].concat()).await;
    assert_eq!(paused.as_array().unwrap().len(), many.len());
}
