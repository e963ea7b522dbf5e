//! `verify` compares the account of a shard's orgs with its manifest and with its points; `ls` shows it.

use skein_reader::inspect::cat::cat;
use skein_reader::inspect::finding::Finding;
use skein_reader::inspect::ls::ls;
use skein_reader::inspect::verify::journal::Journal;
use skein_reader::inspect::verify::{VerifyReport, verify, verify_resuming};
use skein_shared::account_log;
use skein_shared::format::account::{Account, OrgAccounts, OrgCounts};
use skein_shared::format::shard_manifest::{AccountRef, ShardManifest};
use skein_shared::ids::{Generation, OrgId, ShardId, WriteId};
use skein_shared::manifest_log::{self, Committed};
use skein_shared::window::TimestampMs;

use crate::inspect::world::World;

const ORG: OrgId = OrgId(9);
const SHARD: ShardId = ShardId::Dedicated(ORG);

async fn check(world: &World) -> VerifyReport {
    let now = TimestampMs(i64::MAX);
    verify(&world.bucket, now, &mut |_| {}).await.unwrap()
}

/// Commits that the shard's orgs came to `orgs`.
async fn account(world: &mut World, orgs: OrgAccounts) -> AccountRef {
    let manifest = world.manifests.get_mut(&SHARD).unwrap();
    manifest.generation = Generation(manifest.generation.0 + 1);
    let account = Account {
        shard: SHARD,
        expected_generation: manifest.generation,
        orgs,
    };
    let named = account_log::write(&world.bucket, &account).await.unwrap();
    manifest.account = Some(named.clone());
    let committed = manifest_log::commit(&world.bucket, manifest, WriteId::random()).await;
    assert_eq!(committed.unwrap(), Committed::Ours);
    named
}

/// What the shard says, all of it of its one org.
fn sound(manifest: &ShardManifest) -> OrgCounts {
    OrgCounts::from(manifest.counts)
}

fn of(rows: &[(OrgId, OrgCounts)]) -> OrgAccounts {
    let mut orgs = OrgAccounts::default();
    for (org, counts) in rows {
        orgs.count(*org, *counts);
    }
    orgs
}

#[track_caller]
fn assert_says(findings: &[Finding], words: &[&str]) {
    let texts: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), words.len(), "{texts:?}");
    for (text, word) in texts.iter().zip(words) {
        assert!(text.contains(word) && text.contains("SK-11"), "{text}");
    }
}

#[tokio::test]
async fn an_account_that_says_what_segments_hold_is_sound_and_shown() {
    let mut world = World::build().await;
    let counts = sound(&world.manifests[&SHARD]);
    let named = account(&mut world, of(&[(ORG, counts)])).await;
    let report = check(&world).await;
    assert_eq!(report.findings, []);
    assert_eq!(report.checked.accounted_orgs, 1);
    let orgs = ls(&world.bucket).await.unwrap().orgs;
    let [row] = &orgs[..] else {
        panic!("{orgs:?}");
    };
    assert_eq!((row.org, row.shard.as_str()), (9, "org-9"));
    assert_eq!(row.points_in, counts.points_in);
    assert_eq!(row.live_points, counts.live_points());
    let shown = cat(&world.bucket, &named.key, 1).await.unwrap();
    assert_eq!(shown["kind"], "account");
    assert_eq!(shown["orgs"][0]["points_in"], counts.points_in);
}

#[tokio::test]
async fn points_of_one_org_that_are_counted_as_anothers_are_found_in_both() {
    let mut world = World::build().await;
    let mut counts = sound(&world.manifests[&SHARD]);
    counts.points_in -= 3;
    let others = OrgCounts {
        points_in: 3,
        ..OrgCounts::default()
    };
    let rows = [(ORG, counts), (OrgId(77), others)];
    account(&mut world, of(&rows)).await;
    let live = counts.points_in + 3;
    let said = format!("org 9 of org-9: {live} points are live, of {}", live - 3);
    let other = "org 77 of org-9: 0 points are live, of 3 points that came in";
    assert_says(&check(&world).await.findings, &[&said, other]);
}

#[tokio::test]
async fn the_points_of_segments_that_are_not_read_again_are_compared_too() {
    let mut world = World::build().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("journal");
    let again = async |world: &World| {
        let mut journal = Journal::open(&file, world.bucket.url()).unwrap();
        let now = TimestampMs(i64::MAX);
        let report = verify_resuming(&world.bucket, now, &mut |_| {}, &mut journal).await;
        report.unwrap()
    };
    let mut counts = sound(&world.manifests[&SHARD]);
    account(&mut world, of(&[(ORG, counts)])).await;
    assert_eq!(again(&world).await.findings, []);
    let report = again(&world).await;
    assert_eq!(report.findings, []);
    assert_eq!(report.checked.accounted_orgs, 1);
    assert!(report.checked_before.objects > 0);
    counts.points_in -= 3;
    let others = OrgCounts {
        points_in: 3,
        ..OrgCounts::default()
    };
    account(&mut world, of(&[(ORG, counts), (OrgId(77), others)])).await;
    let findings = again(&world).await.findings;
    assert_says(&findings, &["org 9 of org-9", "org 77 of org-9"]);
}

#[tokio::test]
async fn orgs_that_do_not_add_up_to_their_shard_are_found() {
    let mut world = World::build().await;
    let mut counts = sound(&world.manifests[&SHARD]);
    counts.quarantined_records += 1;
    account(&mut world, of(&[(ORG, counts)])).await;
    assert_says(&check(&world).await.findings, &["the orgs of org-9 have"]);
}

#[tokio::test]
async fn an_account_that_is_damaged_missing_or_another_is_found() {
    let mut world = World::build().await;
    let counts = sound(&world.manifests[&SHARD]);
    let named = account(&mut world, of(&[(ORG, counts)])).await;
    let key = named.key.as_str();
    let there = world.bucket.get(key).await.unwrap();
    let mut flipped = there.to_vec();
    flipped[there.len() / 2] ^= 4;
    let id = WriteId::random();
    world.bucket.put(key, flipped.into(), id).await.unwrap();
    assert_says(&check(&world).await.findings, &[key]);
    let other = Account::decode(&there).unwrap().1;
    let other = other.encode(WriteId::random());
    world.bucket.put(key, other, id).await.unwrap();
    assert_says(&check(&world).await.findings, &["the manifest says"]);
    world.bucket.delete(key).await.unwrap();
    assert_says(&check(&world).await.findings, &["the object is missing"]);
}

#[tokio::test]
async fn a_segment_that_does_not_read_back_is_not_taken_for_missing_points() {
    let mut world = World::build().await;
    let counts = sound(&world.manifests[&SHARD]);
    account(&mut world, of(&[(ORG, counts)])).await;
    let segment = &world.manifests[&SHARD].segments[0].key;
    world.bucket.delete(segment).await.unwrap();
    let findings = check(&world).await.findings;
    let keys: Vec<&str> = findings.iter().map(|it| it.object.as_str()).collect();
    assert_eq!(keys, [segment]);
}
