//! Every point of every org is accounted for, whatever the history (SK-11).

use std::collections::BTreeMap;
use std::sync::Arc;

use skein_compactor::garbage::{self, collect_at};
use skein_compactor::manifest_commit::commit;
use skein_compactor::rebuild::Mode;
use skein_config::compactor::CompactorSettings;
use skein_config::cutover::timelines::Timelines;
use skein_shared::account_log;
use skein_shared::format::account::{OrgAccounts, OrgCounts};
use skein_shared::format::compact_plan::Advance;
use skein_shared::format::compact_result::{Delta, DeltaDeletes};
use skein_shared::format::delete_entry::DeleteSelector;
use skein_shared::format::shard_manifest::{ConservationCounts, ManifestVersions, ShardManifest};
use skein_shared::ids::{OrgId, ShardId};
use skein_shared::manifest_log;
use skein_shared::offset::Offset;
use skein_shared::payload::{Limits, PayloadView, org_of};
use skein_shared::segment_fetch::SegmentFile;
use skein_shared::units::Millis;
use skein_shared::window::{TimeSpan, TimestampMs};

use crate::expiry::{compact_to, expire, keeping, points_of};
use crate::fleets::new_writes_within;
use crate::incremental::{Dice, records};
use crate::plans::{plan, split_settings, task};
use crate::read_back::{expected, manifests};
use crate::rebuilds::rebuilt;
use crate::world::{DAY, NOON, Record, World, chain, flush_of, settings};

/// What the accounts of all shards say, once each agrees with its manifest.
async fn accounts(world: &World) -> OrgAccounts {
    let mut all = OrgAccounts::default();
    for manifest in manifests(&world.bucket).await.into_values() {
        let counts = OrgCounts::from(manifest.counts);
        let Some(named) = &manifest.account else {
            assert_eq!(counts, OrgCounts::default(), "{}", manifest.shard);
            continue;
        };
        let account = account_log::load(&world.bucket, manifest.shard, named).await;
        let account = account.unwrap();
        assert_eq!(account.orgs.sum(), counts, "{}", manifest.shard);
        all.add(&account.orgs);
    }
    all
}

/// Points in live segments, by org, as often as they are there.
async fn live(world: &World) -> BTreeMap<OrgId, u64> {
    let mut live = BTreeMap::new();
    for manifest in manifests(&world.bucket).await.into_values() {
        for segment in manifest.raw_segments() {
            let file = SegmentFile::open(&world.bucket, segment).await.unwrap();
            for run in &file.footer().runs {
                *live.entry(run.org).or_default() += run.points;
            }
        }
    }
    live
}

/// What came in, by the records alone.
fn came_in(records: &[Record]) -> OrgAccounts {
    let mut all = OrgAccounts::default();
    for record in records {
        let mut counts = OrgCounts::default();
        match PayloadView::parse(&record.value, &Limits::default(), None) {
            Ok(view) => counts.points_in = view.point_count() as u64,
            Err(_) => counts.quarantined_records = 1,
        }
        all.count(org_of(Some(&record.value), None).unwrap(), counts);
    }
    all
}

/// Every ninth record cut short, behind its org.
fn with_poison(mut records: Vec<Record>) -> Vec<Record> {
    for record in records.iter_mut().step_by(9) {
        record.value.pop();
    }
    records
}

/// What the accounts of all shards say, once each agrees with its manifest, and all of them with the live segments.
pub(crate) async fn balanced(world: &World) -> OrgAccounts {
    let (accounts, live) = (accounts(world).await, live(world).await);
    let orgs = accounts.orgs.keys().chain(live.keys());
    for org in orgs {
        let counts = accounts.orgs.get(org).copied().unwrap_or_default();
        let live = live.get(org).copied().unwrap_or(0);
        assert_eq!(counts.live_points(), Some(live), "{org}: {counts:?}");
    }
    accounts
}

async fn assert_accounted(world: &World, records: &[Record]) {
    let (accounts, came_in) = (balanced(world).await, came_in(records));
    let orgs: Vec<_> = accounts.orgs.keys().collect();
    assert_eq!(orgs, came_in.orgs.keys().collect::<Vec<_>>());
    for (org, counts) in &accounts.orgs {
        let said = (counts.points_in, counts.quarantined_records);
        let came = came_in.orgs[org];
        assert_eq!(said, (came.points_in, came.quarantined_records), "{org}");
    }
}

/// Up to two things that may happen between two flushes.
async fn happen(world: &World, dice: &mut Dice) {
    for _ in 0..dice.roll(3) {
        one_happens(world, dice).await;
    }
}

async fn one_happens(world: &World, dice: &mut Dice) {
    match dice.roll(11) {
        0 => world.tell_at_end(NOON + 3 * DAY).await,
        1 | 2 => drop(world.compact().await),
        3 => {
            // Some of them lose their numbers, and some their input.
            let few = CompactorSettings {
                max_overlays: 1,
                ..settings()
            };
            let runs = tokio::join!(world.compact(), world.compact_with(&few), world.compact());
            runs.1.unwrap();
        }
        4 => {
            let Some((id, plan)) = plan(world, &split_settings()).await.plan else {
                return;
            };
            for index in 0..plan.tasks.len() {
                task(world, &split_settings(), id, index).await.unwrap();
            }
        }
        5 => {
            let from = NOON - DAY + i64::from(dice.roll(20)) * DAY / 10;
            let span = TimeSpan {
                from: TimestampMs(from),
                to: TimestampMs(from + DAY / 3),
            };
            world
                .delete(DeleteSelector {
                    org: OrgId(dice.pick(&[7, 8, 1000])),
                    metric: None,
                    span: dice.pick(&[TimeSpan::ALL, span]),
                })
                .await;
        }
        6 => drop(rebuilt(world, TimeSpan::ALL, Mode::ReplaceOtherPoints).await),
        7 => {
            let keep = dice.pick(&[&["raw=1 d"][..], &["orgs.7.raw=1 d", "orgs.8.raw=2 d"]]);
            expire(world, &keeping(keep)).await;
        }
        8 => collect(world).await,
        _ => world.go_by(any_timelines(world, dice).await),
    }
}

/// The next fleet: every org may have an edge or two, and amendments; now and then it cannot be read freshly.
async fn any_timelines(world: &World, dice: &mut Dice) -> Timelines {
    let number = world.timelines().version() + 1;
    let mut orgs = Vec::new();
    for org in [7, 8, 1000] {
        let from = NOON - DAY + i64::from(dice.roll(20)) * DAY / 10;
        let to = from + i64::from(dice.roll(8)) * DAY / 10;
        let sealed = dice.pick(&[None, None, Some(40)]);
        orgs.push((org, [from, to], sealed));
    }
    let timelines = new_writes_within(world, number, &orgs).await;
    match dice.roll(4) {
        0 => timelines.unfiltered(),
        _ => timelines,
    }
}

/// Takes away what nobody can need a day later.
async fn collect(world: &World) {
    let later = TimestampMs(world.bucket.now().await.unwrap().0 + DAY);
    let hour = Millis::seconds(3600);
    let collected = collect_at(&world.bucket, later, hour, garbage::Mode::Act).await;
    collected.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_history_every_point_of_every_org_is_accounted_for() {
    for seed in 0..6 {
        let (world, mut dice) = (World::new().await, Dice(seed));
        let records = with_poison(records(seed, 180));
        for part in records.chunks(20) {
            world.flush(&flush_of(part.to_vec())).await;
            happen(&world, &mut dice).await;
        }
        world.compact().await;
        assert_accounted(&world, &records).await;
        world.tell_at_end(NOON + 3 * DAY).await;
        world.compact().await;
        collect(&world).await;
        assert_accounted(&world, &records).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_is_counted_for_the_org_that_it_was_of() {
    let world = World::new().await;
    // These share a shard.
    let [seven, ten] = [points_of(7, 0, -3, 40), points_of(10, 1, -3, 25)];
    world.flush(&flush_of(vec![seven, ten])).await;
    compact_to(&world, NOON).await;
    let expired = async || {
        let orgs = balanced(&world).await.orgs;
        [7, 10].map(|org| orgs[&OrgId(org)].expired)
    };
    expire(&world, &keeping(&["orgs.7.raw=1 d"])).await;
    assert_eq!(expired().await, [0, 0], "masked, and there");
    expire(&world, &keeping(&["raw=1 d"])).await;
    assert_eq!(expired().await, [40, 25]);
    let late = points_of(10, 2, -3, 9);
    world.flush(&flush_of(vec![late])).await;
    compact_to(&world, NOON).await;
    assert_eq!(expired().await, [40, 34], "late for what has expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_as_duplicate_is_what_was_written_twice() {
    let world = World::new().await;
    let records = with_poison(records(11, 200));
    for part in records.chunks(30) {
        world.flush(&flush_of(part.to_vec())).await;
        world.compact().await;
    }
    world.tell_at_end(NOON + 3 * DAY).await;
    world.compact().await;
    let mut distinct: BTreeMap<OrgId, u64> = BTreeMap::new();
    for (series, _) in expected(&records).into_keys() {
        *distinct.entry(series.org).or_default() += 1;
    }
    for (org, counts) in accounts(&world).await.orgs {
        let duplicates = counts.points_in - distinct[&org];
        assert!(duplicates > 0);
        assert_eq!((counts.duplicates, counts.deleted), (duplicates, 0));
    }
}

fn shard() -> ShardId {
    ShardId::Dedicated(OrgId(7))
}

/// A step over one partition, of which `points` of an org came in that others own.
fn step(partition: u32, org: u64, points: u64) -> Delta {
    let mut orgs = OrgAccounts::default();
    let counts = OrgCounts {
        points_in: points,
        not_owned: points,
        ..OrgCounts::default()
    };
    orgs.count(OrgId(org), counts);
    let advance = Advance {
        from: None,
        to: Offset(1),
    };
    Delta {
        advances: BTreeMap::from([(chain(partition), advance)]),
        fill_advances: BTreeMap::new(),
        replaced: BTreeMap::new(),
        added: Vec::new(),
        quarantine: Vec::new(),
        seal: None,
        counts: ConservationCounts {
            points_in: points,
            not_owned: points,
            ..ConservationCounts::default()
        },
        orgs: Some(orgs),
        versions: ManifestVersions::default(),
        complete_to: None,
        damages: Vec::new(),
        deletes: DeltaDeletes::default(),
    }
}

fn points_in(accounts: &OrgAccounts) -> Vec<(u64, u64)> {
    let orgs = accounts.orgs.iter();
    orgs.map(|(org, counts)| (org.0, counts.points_in))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_lost_its_number_adds_to_what_the_winner_says() {
    let world = World::new().await;
    let base = ShardManifest::empty(shard());
    let commit_on = |base: &ShardManifest, delta: Delta| {
        let (bucket, base) = (world.bucket.clone(), base.clone());
        async move { commit(&bucket, base, &delta).await.unwrap() }
    };
    let first = commit_on(&base, step(0, 7, 10)).await;
    // Both were made on nothing; the one after is made on a manifest that two have passed.
    let second = commit_on(&base, step(1, 7, 5)).await;
    commit_on(&base, step(2, 9, 3)).await;
    assert_eq!(points_in(&accounts(&world).await), [(7, 15), (9, 3)]);
    assert_eq!(second.generation.0, 2);
    // What it was made on is no longer there.
    let gone = &first.account.as_ref().unwrap().key;
    world.bucket.delete(gone).await.unwrap();
    commit_on(&first, step(3, 8, 1)).await;
    assert_eq!(
        points_in(&accounts(&world).await),
        [(7, 15), (8, 1), (9, 3)]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_counts_nothing_writes_no_account() {
    let world = World::new().await;
    let (counted, nothing) = (step(0, 7, 10), step(1, 7, 0));
    let first = commit(&world.bucket, ShardManifest::empty(shard()), &counted).await;
    let first = first.unwrap();
    let second = commit(&world.bucket, first.clone(), &nothing).await;
    assert_eq!(second.unwrap().account, first.account);
}

#[tokio::test(flavor = "multi_thread")]
async fn orgs_that_do_not_add_up_to_their_shard_are_never_committed() {
    let world = World::new().await;
    let mut delta = step(0, 7, 10);
    delta.orgs = step(0, 7, 9).orgs;
    let refused = commit(&world.bucket, ShardManifest::empty(shard()), &delta).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("do not add up"), "{refused}");
    let newest = manifest_log::newest(&world.bucket, shard()).await.unwrap();
    assert_eq!(newest.generation.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_whose_account_is_lost_goes_on_without_one() {
    let world = World::new().await;
    let all = records(5, 60);
    world.flush(&flush_of(all[..30].to_vec())).await;
    world.compact().await;
    for manifest in manifests(&world.bucket).await.into_values() {
        if let Some(account) = &manifest.account {
            world.bucket.delete(&account.key).await.unwrap();
        }
    }
    world.flush(&flush_of(all[30..].to_vec())).await;
    for _ in 0..2 {
        world.compact().await;
        world.tell_at_end(NOON + 3 * DAY).await;
    }
    let manifests = Arc::new(manifests(&world.bucket).await);
    let counted: u64 = manifests.values().map(|m| m.counts.points_in).sum();
    let came = came_in(&all).sum().points_in;
    assert_eq!(counted, came, "points are compacted as ever");
    assert!(manifests.values().all(|m| m.account.is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_no_manifest_names_are_garbage_and_others_stay() {
    let world = World::new().await;
    let records = records(6, 100);
    for part in records.chunks(20) {
        world.flush(&flush_of(part.to_vec())).await;
        world.compact().await;
    }
    let there = async || {
        let listed = world.bucket.list("", None).await.unwrap();
        let keys = listed.into_iter().map(|object| object.key);
        keys.filter(|key| key.contains("/account/")).count()
    };
    let before = there().await;
    collect(&world).await;
    collect(&world).await;
    let manifests = manifests(&world.bucket).await;
    let named = manifests.values().filter(|m| m.account.is_some()).count();
    assert!(before > named, "{before} were written, {named} are named");
    assert_eq!(there().await, named);
    assert_accounted(&world, &records).await;
}
