//! What only a bucket that is a directory has: files, and what a file system does to them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures::future::join_all;
use skein_shared::bucket::{Bucket, Created};
use skein_shared::error::BucketCause;
use skein_shared::ids::WriteId;
use skein_shared::{Error, ErrorKind};

use super::conformance::cause;
use super::stores::{directory_settings, noise, open_directory};

/// Every file below a directory, by its path in there.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

async fn put(bucket: &Bucket, key: &str) -> Bytes {
    let body = noise(1_000);
    let id = WriteId::random();
    bucket.put(key, body.clone(), id).await.unwrap();
    body
}

#[tokio::test]
async fn an_open_makes_nothing_and_refuses_a_directory_that_is_not_there() {
    let (directory, _bucket) = open_directory().await;
    assert_eq!(files(directory.path()), Vec::<PathBuf>::new());
    let missing = directory.path().join("no/such");
    let error = Bucket::open(&directory_settings(&missing))
        .await
        .unwrap_err();
    assert_eq!(cause(&error), BucketCause::NoBucket);
    let text = error.to_string();
    assert!(
        text.contains("no/such") && text.contains("bucket.url"),
        "{text}"
    );
    assert!(!missing.exists());
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Bucket::open(&directory_settings(file)).await.unwrap_err();
    assert_eq!(cause(&error), BucketCause::Refused);
}

#[tokio::test]
async fn a_directory_that_goes_away_is_not_made_again() {
    let (directory, bucket) = open_directory().await;
    put(&bucket, "a/b").await;
    fs::remove_dir_all(directory.path()).unwrap();
    let error = bucket.put("a/b", Bytes::new(), WriteId::random()).await;
    assert_eq!(cause(&error.unwrap_err()), BucketCause::NoBucket);
    assert!(!directory.path().exists());
}

#[tokio::test]
async fn a_bucket_that_a_newer_build_has_laid_out_is_refused() {
    let (directory, bucket) = open_directory().await;
    put(&bucket, "a/b").await;
    fs::write(directory.path().join(".skein/layout"), "2\n").unwrap();
    let error = Bucket::open(&directory_settings(directory.path())).await;
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Unfit { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_bucket_whose_layout_cannot_be_read_is_refused() {
    let (directory, bucket) = open_directory().await;
    put(&bucket, "a/b").await;
    let layout = directory.path().join(".skein/layout");
    fs::remove_file(&layout).unwrap();
    Bucket::open(&directory_settings(directory.path()))
        .await
        .unwrap();
    fs::create_dir(&layout).unwrap();
    let error = Bucket::open(&directory_settings(directory.path())).await;
    let error = error.unwrap_err();
    assert_eq!(cause(&error), BucketCause::Refused);
    assert!(error.to_string().contains(".skein/layout"), "{error}");
}

#[tokio::test]
async fn a_part_that_is_not_what_was_sent_becomes_no_object() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(Damage, &str); 3] = [
        (|part| part[400_000] ^= 1, "crc32c"),
        (|part| part.truncate(399_999), "399999 bytes"),
        (|part| part.fill(0), "crc32c"),
    ];
    let (directory, bucket) = open_directory().await;
    for (damage, words) in damages {
        let upload = bucket.start_multipart("m/n", WriteId::random()).await;
        let upload = upload.unwrap();
        let mut parts = Vec::new();
        for number in [1, 2] {
            parts.push(upload.upload_part(number, noise(600_000)).await.unwrap());
        }
        let uploads = files(&directory.path().join(".skein/uploads"));
        let second = uploads.iter().find(|file| file.ends_with("2")).unwrap();
        let second = directory.path().join(".skein/uploads").join(second);
        let mut bytes = fs::read(&second).unwrap();
        damage(&mut bytes);
        fs::write(&second, bytes).unwrap();
        let error = upload.complete(&parts).await.unwrap_err();
        assert_eq!(cause(&error), BucketCause::Refused);
        let text = error.to_string();
        assert!(
            text.contains("part 2 has") && text.contains(words),
            "{text}"
        );
        assert_eq!(bucket.head("m/n").await.unwrap(), None);
        upload.upload_part(2, noise(600_000)).await.unwrap();
        upload.complete(&parts).await.unwrap();
        bucket.get("m/n").await.unwrap();
        bucket.delete("m/n").await.unwrap();
    }
}

#[tokio::test]
async fn nothing_but_objects_stays_when_all_is_written_and_deleted() {
    let (directory, bucket) = open_directory().await;
    for key in ["a/b/c", "a/b", "d"] {
        put(&bucket, key).await;
    }
    let upload = bucket.start_multipart("m/n", WriteId::random()).await;
    let upload = upload.unwrap();
    let part = upload.upload_part(1, noise(1_000)).await.unwrap();
    upload.complete(&[part]).await.unwrap();
    let dropped = bucket.start_multipart("m/o", WriteId::random()).await;
    let dropped = dropped.unwrap();
    dropped.upload_part(7, noise(10)).await.unwrap();
    dropped.abort().await.unwrap();
    let layout = PathBuf::from(".skein/layout");
    let named = ["a/b/c@object", "a/b@object", "d@object", "m/n@object"];
    let mut expected = vec![layout.clone()];
    expected.extend(named.iter().map(PathBuf::from));
    assert_eq!(files(directory.path()), expected);
    for key in ["a/b/c", "a/b", "d", "m/n"] {
        bucket.delete(key).await.unwrap();
    }
    assert_eq!(files(directory.path()), [layout]);
    let folders = fs::read_dir(directory.path()).unwrap();
    assert_eq!(
        folders.count(),
        1,
        "empty folders go with their last object"
    );
}

#[tokio::test]
async fn what_a_killed_writer_left_is_no_object_and_goes_after_a_day() {
    let (directory, bucket) = open_directory().await;
    put(&bucket, "a/b").await;
    let staging = directory.path().join(".skein/staging");
    for (name, hours) in [("old", 25), ("new", 1)] {
        let left = staging.join(name);
        fs::write(&left, noise(10)).unwrap();
        let written = std::time::SystemTime::now() - std::time::Duration::from_hours(hours);
        let file = fs::File::options().write(true).open(&left).unwrap();
        file.set_modified(written).unwrap();
    }
    // What somebody else keeps there is none of ours.
    fs::write(directory.path().join("a/README"), "x").unwrap();
    assert_eq!(bucket.list("", None).await.unwrap().len(), 1);
    let again = Bucket::open(&directory_settings(directory.path())).await;
    let again = again.unwrap();
    put(&again, "a/c").await;
    assert!(staging.join("new").exists() && !staging.join("old").exists());
    assert_eq!(again.list("", None).await.unwrap().len(), 2);
    for key in ["a/b", "a/c"] {
        again.delete(key).await.unwrap();
    }
    assert!(directory.path().join("a/README").exists());
}

#[tokio::test]
async fn any_flipped_bit_and_any_cut_of_a_file_is_found() {
    let (directory, bucket) = open_directory().await;
    let body = put(&bucket, "a/b").await;
    let file = directory.path().join("a/b@object");
    let sound = fs::read(&file).unwrap();
    assert_eq!(
        &sound[..1_000],
        &body,
        "the object's bytes stand as they are"
    );
    for at in (0..1_000).step_by(97).chain(1_000..sound.len()) {
        let mut damaged = sound.clone();
        damaged[at] ^= 1;
        fs::write(&file, damaged).unwrap();
        let error = bucket.get("a/b").await.unwrap_err();
        assert_eq!(cause(&error), BucketCause::Damaged, "byte {at}: {error}");
        let unchecked = bucket.get_unchecked("a/b").await.unwrap();
        assert_eq!(unchecked.len(), 1_000, "byte {at}");
    }
    for length in [0, 43, 44, 999, sound.len() - 1] {
        fs::write(&file, &sound[..length]).unwrap();
        let error = bucket.get("a/b").await.unwrap_err();
        assert_eq!(
            cause(&error),
            BucketCause::Damaged,
            "{length} bytes: {error}"
        );
        bucket.head("a/b").await.unwrap().unwrap();
    }
    let created = bucket.create("a/b", body, WriteId::random()).await.unwrap();
    assert_eq!(created, Created::Taken, "a damaged object keeps its key");
}

#[tokio::test]
async fn two_processes_on_one_directory_agree_on_who_was_first() {
    let (directory, bucket) = open_directory().await;
    let other = Bucket::open(&directory_settings(directory.path())).await;
    let other = other.unwrap();
    for round in 0..20 {
        let key = format!("r/{round}/x");
        let racers = [&bucket, &other].into_iter().cycle().take(8);
        let racing = racers.map(|racer| racer.create(&key, noise(100), WriteId::random()));
        let outcomes = join_all(racing).await;
        let ours = outcomes.into_iter().map(Result::unwrap);
        assert_eq!(ours.filter(|created| *created == Created::Ours).count(), 1);
    }
}

/// A deleter takes empty folders away while writers make objects in them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_goes_while_an_object_comes_loses_nothing() {
    let (_directory, bucket) = open_directory().await;
    for round in 0..200 {
        let (old, new) = (format!("f/{round}/g/old"), format!("f/{round}/g/new"));
        put(&bucket, &old).await;
        let (deleted, created) = futures::join!(
            bucket.delete(&old),
            bucket.create(&new, noise(10), WriteId::random())
        );
        deleted.unwrap();
        assert_eq!(created.unwrap(), Created::Ours);
        let listed = bucket.list(&format!("f/{round}/"), None).await.unwrap();
        assert_eq!(listed.len(), 1);
    }
}

#[tokio::test]
async fn a_refusal_names_the_key_the_path_and_what_to_do() {
    let (directory, bucket) = open_directory().await;
    put(&bucket, "a/b").await;
    let folder = directory.path().join("a");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
    let refused = bucket.put("a/c", Bytes::new(), WriteId::random()).await;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    // Root may write everywhere.
    let Err(error) = refused else { return };
    assert_eq!(cause(&error), BucketCause::Denied);
    let text = error.to_string();
    assert!(
        text.contains("`a/c`") && text.contains("a/c@object"),
        "{text}"
    );
    assert!(text.contains("bucket.url"), "{text}");
}

#[tokio::test]
async fn a_complete_and_an_abort_at_the_same_time_have_one_outcome() {
    let (_directory, bucket) = open_directory().await;
    for round in 0..50 {
        let key = format!("m/{round}");
        let upload = bucket.start_multipart(&key, WriteId::random()).await;
        let upload = upload.unwrap();
        let part = upload.upload_part(1, noise(10)).await.unwrap();
        let parts = [part];
        let (completed, aborted) = futures::join!(upload.complete(&parts), upload.abort());
        aborted.unwrap();
        let is_there = bucket.head(&key).await.unwrap().is_some();
        assert_eq!(completed.is_ok(), is_there, "{completed:?}");
        assert_eq!(bucket.open_uploads("").await.unwrap(), []);
    }
}
