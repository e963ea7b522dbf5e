//! What every store has to do for us: one suite, run on each.

use bytes::Bytes;
use futures::future::{join_all, try_join_all};
use skein_local::seaweedfs::SeaweedFs;
use skein_local::skipped;
use skein_shared::bucket::{Bucket, Created, Operation};
use skein_shared::error::BucketCause;
use skein_shared::format::checksum::crc32c;
use skein_shared::ids::WriteId;
use skein_shared::units::MIB;
use skein_shared::{Error, ErrorKind, Result};

use super::stores::{BUCKET, noise, open_directory, open_embedded, settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_bucket_conforms() {
    let (_server, bucket) = open_embedded().await;
    conforms(&bucket).await;
    keeps_a_key_that_others_begin_with(&bucket).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seaweedfs_conforms() {
    let server = match SeaweedFs::start(BUCKET).await {
        Ok(server) => server,
        Err(unavailable) => return skipped::report("seaweedfs_conforms", &unavailable),
    };
    let bucket = Bucket::open(&settings(&server.endpoint())).await.unwrap();
    conforms(&bucket).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_conforms() {
    let (_directory, bucket) = open_directory().await;
    conforms(&bucket).await;
    keeps_a_key_that_others_begin_with(&bucket).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_kinds_of_store_count_the_same_requests() {
    let (_server, embedded) = open_embedded().await;
    let (_directory, directory) = open_directory().await;
    for bucket in [&embedded, &directory] {
        conforms(bucket).await;
    }
    let (of_server, of_directory) = (embedded.requests(), directory.requests());
    for operation in [
        Operation::HeadBucket,
        Operation::Head,
        Operation::Get,
        Operation::List,
        Operation::Put,
        Operation::Create,
        Operation::StartMultipart,
        Operation::UploadPart,
        Operation::CompleteMultipart,
        Operation::AbortMultipart,
        Operation::Delete,
    ] {
        assert_eq!(
            of_directory.of(operation),
            of_server.of(operation),
            "{operation:?}"
        );
    }
    assert_eq!(of_directory.sent_bytes, of_server.sent_bytes);
    assert_eq!(of_directory.received_bytes, of_server.received_bytes);
}

async fn conforms(bucket: &Bucket) {
    bucket.probe().await.unwrap();
    assert_eq!(
        bucket.list("", None).await.unwrap(),
        [],
        "the probe cleans up"
    );
    creates_once(bucket).await;
    reads_what_was_written(bucket).await;
    reads_ranges(bucket).await;
    lists_in_order(bucket).await;
    uploads_in_parts(bucket).await;
    forgets_an_aborted_upload(bucket).await;
    lists_and_drops_open_uploads(bucket).await;
    tells_the_time(bucket).await;
    assert_eq!(
        bucket.requests().retried(),
        0,
        "a healthy store needs no retry"
    );
}

async fn creates_once(bucket: &Bucket) {
    let (ours, theirs) = (WriteId::random(), WriteId::random());
    let body = Bytes::from_static(b"first");
    let created = bucket.create("c/once", body.clone(), ours).await.unwrap();
    assert_eq!(created, Created::Ours);
    let other = Bytes::from_static(b"other");
    let created = bucket.create("c/once", other, theirs).await.unwrap();
    assert_eq!(created, Created::Taken);
    let again = bucket.create("c/once", body.clone(), ours).await.unwrap();
    assert_eq!(
        again,
        Created::Ours,
        "a repeated write knows its own object"
    );
    assert_eq!(bucket.get("c/once").await.unwrap(), body);

    let racing = (0..16).map(|n: u8| {
        let body = Bytes::from(vec![n]);
        async move { bucket.create("c/race", body, WriteId::random()).await }
    });
    let outcomes: Vec<Created> = join_all(racing)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let winners = outcomes.iter().filter(|created| **created == Created::Ours);
    assert_eq!(winners.count(), 1);
}

async fn reads_what_was_written(bucket: &Bucket) {
    let (id, body) = (WriteId::random(), noise(100_000));
    bucket.put("p/object", body.clone(), id).await.unwrap();
    assert_eq!(bucket.get("p/object").await.unwrap(), body);
    let meta = bucket.head("p/object").await.unwrap().unwrap();
    assert_eq!(meta.object_bytes, 100_000);
    assert_eq!(meta.write_id, Some(id));
    assert_eq!(meta.crc32c, Some(crc32c(&body)));
    assert!(meta.last_modified.unwrap().0 > 1_700_000_000_000);

    bucket.put("p/empty", Bytes::new(), id).await.unwrap();
    assert_eq!(bucket.get("p/empty").await.unwrap(), Bytes::new());

    bucket.delete("p/object").await.unwrap();
    bucket.delete("p/object").await.unwrap();
    assert_eq!(bucket.find("p/object").await.unwrap(), None);
    assert_eq!(bucket.head("p/object").await.unwrap(), None);
    let error = bucket.get("p/object").await.unwrap_err();
    assert_eq!(cause(&error), BucketCause::NotFound);
    // Of S3 the key of an error is the full one, as its own tools want it.
    let full_key = match bucket.url().strip_prefix("s3://skein-test/") {
        Some(prefix) => format!("{prefix}/p/object"),
        None => "p/object".to_owned(),
    };
    assert!(
        error.to_string().contains(&format!("`{full_key}`")),
        "{error}"
    );
}

async fn reads_ranges(bucket: &Bucket) {
    let body = noise(10_000);
    bucket
        .put("r/object", body.clone(), WriteId::random())
        .await
        .unwrap();
    for range in [0..1, 0..10_000, 9_999..10_000, 17..4_711, 5..5] {
        let read = bucket.get_range("r/object", range.start as u64..range.end as u64);
        assert_eq!(read.await.unwrap(), body.slice(range));
    }
    for range in [0..10_001, 9_999..10_002, 10_000..10_001, 99_999..100_000] {
        let error = bucket
            .get_range("r/object", range.clone())
            .await
            .unwrap_err();
        assert_eq!(cause(&error), BucketCause::Damaged, "{range:?} {error}");
    }
    for max_bytes in [1, 32, 10_000, 10_001, MIB] {
        let tail = bucket.get_tail("r/object", max_bytes).await.unwrap();
        let kept = usize::try_from(max_bytes.min(10_000)).unwrap();
        assert_eq!(tail.bytes, body.slice(10_000 - kept..));
        assert_eq!(tail.object_bytes, 10_000);
    }
    bucket
        .put("r/empty", Bytes::new(), WriteId::random())
        .await
        .unwrap();
    let tail = bucket.get_tail("r/empty", 32).await.unwrap();
    assert_eq!((tail.bytes.len(), tail.object_bytes), (0, 0));
    for missing in [
        bucket.get_range("r/missing", 0..1).await.unwrap_err(),
        bucket.get_tail("r/missing", 1).await.unwrap_err(),
    ] {
        assert_eq!(cause(&missing), BucketCause::NotFound);
    }
}

async fn lists_in_order(bucket: &Bucket) {
    // One page holds 1,000 keys.
    let keys: Vec<String> = (0..1_003)
        .map(|n| format!("l/{:03}/{n:04}", n / 10))
        .collect();
    for some in keys.chunks(32) {
        let puts = some
            .iter()
            .map(|key| bucket.put(key, Bytes::from_static(b"four"), WriteId::random()));
        try_join_all(puts).await.unwrap();
    }
    let listed = bucket.list("l/", None).await.unwrap();
    assert!(listed.iter().map(|object| &object.key).eq(&keys));
    assert!(listed.iter().all(|object| object.object_bytes == 4));
    let after = bucket.list("l/", Some(&keys[999])).await.unwrap();
    assert!(after.iter().map(|object| &object.key).eq(&keys[1_000..]));
    let between = bucket.list("l/", Some("l/000/0003x")).await.unwrap();
    assert_eq!(between[0].key, keys[4]);
    let page = bucket.list_page("l/", Some(&keys[0]), 2).await.unwrap();
    assert!(page.objects.iter().map(|o| &o.key).eq(&keys[1..3]));
    assert!(!page.is_last);
    let page = bucket.list_page("l/", Some(&keys[1_000]), 2).await.unwrap();
    assert!(page.objects.iter().map(|o| &o.key).eq(&keys[1_001..]));
    assert!(page.is_last);
    let folders = bucket.list_folders("l/").await.unwrap();
    assert!(
        folders
            .iter()
            .cloned()
            .eq((0..101).map(|n| format!("{n:03}")))
    );
    assert_eq!(bucket.list("no/such/", None).await.unwrap(), []);
    assert_eq!(
        bucket.list_folders("no/such/").await.unwrap(),
        Vec::<String>::new()
    );
}

/// As a delete's is, and its receipt's. Not asked of `SeaweedFS`, whose folders are not free to be objects later.
async fn keeps_a_key_that_others_begin_with(bucket: &Bucket) {
    let body = Bytes::from_static(b"body");
    let keys = [
        "k/5",
        "k/5-a",
        "k/5/receipt",
        "k/5/x/y",
        "k/50",
        "k/A",
        "k/a",
    ];
    for key in keys.iter().rev() {
        let id = WriteId::random();
        let created = bucket.create(key, body.clone(), id).await.unwrap();
        assert_eq!(created, Created::Ours, "{key}");
    }
    let listed = |objects: Vec<skein_shared::bucket::Listed>| -> Vec<String> {
        objects.into_iter().map(|object| object.key).collect()
    };
    assert_eq!(listed(bucket.list("k/", None).await.unwrap()), keys);
    assert_eq!(listed(bucket.list("k/5", None).await.unwrap()), keys[..5]);
    for (at, key) in keys.iter().enumerate() {
        let after = bucket.list("k/", Some(key)).await.unwrap();
        assert_eq!(listed(after), keys[at + 1..], "after {key}");
    }
    let after = bucket.list("k/5/", Some("k/5/receipt/")).await.unwrap();
    assert_eq!(listed(after), ["k/5/x/y"]);
    assert_eq!(bucket.list_folders("k/").await.unwrap(), ["5"]);
    bucket.delete("k/5/x/y").await.unwrap();
    assert_eq!(bucket.list_folders("k/5/").await.unwrap(), [""; 0]);
    bucket.delete("k/5").await.unwrap();
    assert_eq!(bucket.get("k/5/receipt").await.unwrap(), body);
    bucket.delete("k/5/receipt").await.unwrap();
    assert_eq!(bucket.list_folders("k/").await.unwrap(), [""; 0]);
}

async fn uploads_in_parts(bucket: &Bucket) {
    let part_bytes = usize::try_from(5 * MIB).unwrap();
    let body = noise(2 * part_bytes + 1_000);
    let id = WriteId::random();
    let upload = bucket.start_multipart("m/object", id).await.unwrap();
    assert_eq!(upload.key(), "m/object");
    let part = |n: usize| body.slice(n * part_bytes..body.len().min((n + 1) * part_bytes));
    let parts = try_join_all([
        upload.upload_part(3, part(2)),
        upload.upload_part(1, part(0)),
        upload.upload_part(2, part(1)),
    ]);
    let parts = parts.await.unwrap();
    assert_eq!(
        bucket.head("m/object").await.unwrap(),
        None,
        "invisible until complete"
    );
    let object = upload.complete(&parts).await.unwrap();
    assert_eq!(object.object_bytes, body.len() as u64);
    assert_eq!(object.crc32c, crc32c(&body));
    let meta = bucket.head("m/object").await.unwrap().unwrap();
    assert_eq!(meta.write_id, Some(id));
    assert_eq!(meta.object_bytes, object.object_bytes);
    assert_eq!(meta.crc32c, Some(object.crc32c));
    assert_eq!(bucket.get("m/object").await.unwrap(), body);
    assert_eq!(
        upload.complete(&parts).await.unwrap(),
        object,
        "completing again is safe"
    );
}

async fn forgets_an_aborted_upload(bucket: &Bucket) {
    let upload = bucket
        .start_multipart("m/aborted", WriteId::random())
        .await
        .unwrap();
    let part = upload.upload_part(1, noise(1_000)).await.unwrap();
    upload.abort().await.unwrap();
    upload.abort().await.unwrap();
    for error in [
        upload.complete(&[part]).await.unwrap_err(),
        upload.upload_part(2, noise(1_000)).await.unwrap_err(),
    ] {
        assert_eq!(cause(&error), BucketCause::UploadGone, "{error}");
        assert_eq!(error.kind(), ErrorKind::Fenced);
    }
    assert_eq!(bucket.head("m/aborted").await.unwrap(), None);
}

async fn lists_and_drops_open_uploads(bucket: &Bucket) {
    assert_eq!(bucket.open_uploads("").await.unwrap(), []);
    let part_bytes = 5 * MIB + 1;
    let part = noise(usize::try_from(part_bytes).unwrap());
    for key in ["u/b", "u/a", "v/c"] {
        let upload = bucket.start_multipart(key, WriteId::random()).await;
        let upload = upload.unwrap();
        for number in [1, 2] {
            upload.upload_part(number, part.clone()).await.unwrap();
        }
    }
    let open = bucket.open_uploads("u/").await.unwrap();
    let keys: Vec<&str> = open.iter().map(|upload| upload.key.as_str()).collect();
    assert_eq!(keys, ["u/a", "u/b"]);
    assert!(open[0].started.unwrap().0 > 1_700_000_000_000);
    assert_eq!(
        bucket.uploaded_bytes(&open[0]).await.unwrap(),
        2 * part_bytes
    );
    for upload in bucket.open_uploads("").await.unwrap() {
        bucket.abort_upload(&upload).await.unwrap();
        bucket.abort_upload(&upload).await.unwrap();
        assert_eq!(bucket.uploaded_bytes(&upload).await.unwrap(), 0);
    }
    assert_eq!(bucket.open_uploads("").await.unwrap(), []);
    let missing = bucket.head("u/a").await.unwrap();
    assert_eq!(missing, None, "what was dropped is no object");
}

/// The clock of the answers and the one of the objects are one.
async fn tells_the_time(bucket: &Bucket) {
    let before = bucket.now().await.unwrap();
    let id = WriteId::random();
    bucket.put("t/now", Bytes::new(), id).await.unwrap();
    let meta = bucket.head("t/now").await.unwrap().unwrap();
    let after = bucket.now().await.unwrap();
    let written = meta.last_modified.unwrap();
    assert!(before.0 - 1_000 <= written.0, "{before:?} {written:?}");
    assert!(written.0 <= after.0 + 1_000, "{written:?} {after:?}");
    assert!(before <= after);
    let listed = bucket.list("t/", None).await.unwrap();
    assert_eq!(listed[0].last_modified.unwrap().0 / 1000, written.0 / 1000);
}

pub(super) fn cause(error: &Error) -> BucketCause {
    let Error::Bucket { cause, .. } = error else {
        panic!("not an answer of a bucket: {error}")
    };
    *cause
}
