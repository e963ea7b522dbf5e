//! A check that was interrupted goes on where it stopped, and a later one reads what is new.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use skein_reader::inspect::verify::journal::Journal;
use skein_reader::inspect::verify::{CheckedBefore, VerifyReport, verify, verify_resuming};
use skein_shared::bucket::Operation;
use skein_shared::format::flush_manifest::FlushBody;
use skein_shared::ids::WriteId;
use skein_shared::window::TimestampMs;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::inspect::world::World;

/// So late that nothing can still be under way.
const NOW: TimestampMs = TimestampMs(i64::MAX);
/// State objects and segments of the world.
const OBJECTS: u64 = 14;

/// A world, and the file of a check.
struct Resumed {
    world: World,
    file: PathBuf,
    _directory: TempDir,
}

impl Resumed {
    async fn build() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            world: World::build().await,
            file: directory.path().join("journal"),
            _directory: directory,
        }
    }

    /// Checks with the file, and says how many GETs that took.
    async fn check(&self) -> (VerifyReport, u64) {
        let bucket = self.world.bucket_at(self.world.endpoint()).await;
        let mut journal = Journal::open(&self.file, bucket.url()).unwrap();
        let report = verify_resuming(&bucket, NOW, &mut |_| {}, &mut journal).await;
        (report.unwrap(), bucket.requests().of(Operation::Get))
    }

    /// As a check of everything, and nothing remembered, says.
    async fn fresh(&self) -> VerifyReport {
        verify(&self.world.bucket, NOW, &mut |_| {}).await.unwrap()
    }

    async fn gets_with(&self, lines: &[&str]) -> u64 {
        fs::write(&self.file, lines.concat()).unwrap();
        self.check().await.1
    }
}

fn lines(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    text.split_inclusive('\n').map(str::to_owned).collect()
}

/// The same report, whoever looked when.
fn apart_from_when(report: VerifyReport) -> VerifyReport {
    VerifyReport {
        checked_before: CheckedBefore::default(),
        ..report
    }
}

#[tokio::test]
async fn a_check_that_was_killed_after_any_object_reads_only_the_rest() {
    let resumed = Resumed::build().await;
    let (report, all_gets) = resumed.check().await;
    assert_eq!(report, resumed.fresh().await);
    let lines = lines(&resumed.file);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    assert_eq!(lines.len() as u64, 1 + OBJECTS);
    let gets_of_none = resumed.gets_with(&lines).await;
    let mut rest = gets_of_none;
    for done in (0..lines.len() - 1).rev() {
        // What the one object takes that is checked by itself.
        let but_one = [&lines[..=done], &lines[done + 2..]].concat();
        let own = resumed.gets_with(&but_one).await - gets_of_none;
        assert!(own > 0, "object {done} was read");
        rest += own;
        fs::write(&resumed.file, lines[..=done].concat()).unwrap();
        let (again, gets) = resumed.check().await;
        assert_eq!(gets, rest, "GETs after {done} objects");
        assert_eq!(again.checked_before.objects, done as u64);
        assert_eq!(apart_from_when(again), report);
    }
    assert_eq!(rest, all_gets);
}

#[tokio::test]
async fn a_check_that_is_dropped_on_the_way_has_remembered_what_was_done() {
    let resumed = Resumed::build().await;
    let bucket = resumed.world.bucket_at(resumed.world.endpoint()).await;
    let mut journal = Journal::open(&resumed.file, bucket.url()).unwrap();
    let (stop, stopped) = oneshot::channel();
    let mut stop = Some(stop);
    let mut tell = |_| {
        if let Some(stop) = stop.take() {
            stop.send(()).unwrap();
        }
    };
    tokio::select! {
        biased;
        _ = stopped => {}
        _ = verify_resuming(&bucket, NOW, &mut tell, &mut journal) => {}
    }
    drop(journal);
    let done = lines(&resumed.file).len() as u64 - 1;
    assert!(done > 0);
    let (report, _) = resumed.check().await;
    assert_eq!(report.checked_before.objects, done);
    assert_eq!(apart_from_when(report), resumed.fresh().await);
}

#[tokio::test]
async fn damage_that_was_found_before_is_reported_at_the_end() {
    let resumed = Resumed::build().await;
    let FlushBody::Written(contents) = &resumed.world.flushes[0].body else {
        panic!("the first flush was written");
    };
    let bucket = &resumed.world.bucket;
    let keys = contents.objects[..2].iter().map(|object| &object.key);
    for key in keys {
        let mut damaged = bucket.get(key).await.unwrap().to_vec();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        let put = bucket.put(key, Bytes::from(damaged), WriteId::random());
        put.await.unwrap();
    }
    let (first, _) = resumed.check().await;
    assert_eq!(first, resumed.fresh().await);
    assert!(!first.is_sound());
    // It was interrupted between the two.
    let lines = lines(&resumed.file);
    fs::write(&resumed.file, lines[..2].concat()).unwrap();
    let (resumed, _) = resumed.check().await;
    assert_eq!(resumed.checked_before.objects, 1);
    assert_eq!(resumed.findings, first.findings);
}

#[tokio::test]
async fn an_object_that_is_gone_since_is_missed_until_it_is_back() {
    let resumed = Resumed::build().await;
    resumed.check().await;
    let bucket = &resumed.world.bucket;
    let FlushBody::Written(contents) = &resumed.world.flushes[0].body else {
        panic!("the first flush was written");
    };
    let (_, manifest) = resumed.world.manifests.first_key_value().unwrap();
    for key in [&contents.objects[0].key, &manifest.segments[0].key] {
        let body = bucket.get(key).await.unwrap();
        bucket.delete(key).await.unwrap();
        for _ in 0..2 {
            let (report, _) = resumed.check().await;
            assert_eq!(report.checked_before.objects, OBJECTS - 1);
            assert!(report.findings.iter().any(|finding| finding.object == *key));
            assert_eq!(report.findings, resumed.fresh().await.findings);
        }
        let cut = body.slice(..body.len() - 1);
        let put = |body| bucket.put(key, body, WriteId::random());
        put(cut).await.unwrap();
        let (report, _) = resumed.check().await;
        assert_eq!(report.findings, resumed.fresh().await.findings);
        assert!(!report.is_sound());
        fs::remove_file(&resumed.file).unwrap();
        bucket.delete(key).await.unwrap();
        assert!(!resumed.check().await.0.is_sound());
        put(body).await.unwrap();
        let (report, _) = resumed.check().await;
        assert_eq!(
            (report.findings, report.checked_before.objects),
            (vec![], OBJECTS - 1)
        );
    }
}

#[tokio::test]
async fn a_manifest_that_has_changed_makes_only_what_is_new_be_read() {
    let mut resumed = Resumed::build().await;
    resumed.check().await;
    let before = resumed.world.bucket.list("", None).await.unwrap();
    resumed.world.write_round(2).await;
    let (report, _) = resumed.check().await;
    assert_eq!(report.findings, []);
    assert_eq!(report.checked_before.objects, OBJECTS);
    let (new_objects, new_segments) = (
        report.checked.state_objects - 8,
        report.checked.segments - 6,
    );
    assert_eq!((new_objects, new_segments), (4, 3));
    assert_eq!(apart_from_when(report), resumed.fresh().await);
    let (again, _) = resumed.check().await;
    assert_eq!(again.checked_before.objects, OBJECTS + 7);
    assert!(resumed.world.bucket.list("", None).await.unwrap().len() > before.len());
}

#[tokio::test]
async fn an_object_of_which_less_was_compacted_is_counted_again() {
    let resumed = Resumed::build().await;
    resumed.check().await;
    // The shard's newest manifest goes: it stands where it stood one generation earlier.
    let (shard, manifest) = resumed.world.manifests.iter().next().unwrap();
    let key = skein_shared::format::object_key::ObjectKey::Manifest {
        shard: *shard,
        generation: manifest.generation,
    };
    let bucket = &resumed.world.bucket;
    bucket.delete(&key.to_string()).await.unwrap();
    let (report, _) = resumed.check().await;
    assert_eq!(apart_from_when(report.clone()), resumed.fresh().await);
    assert!(report.checked_before.objects < OBJECTS);
}
