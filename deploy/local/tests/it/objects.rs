//! What was put comes back: whole, in ranges, described, listed, after a restart.

use std::collections::BTreeSet;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumMode, Delete, ObjectIdentifier};
use proptest::prelude::*;
use skein_local::embedded_bucket::{BucketOptions, EmbeddedBucket, Storage};

use crate::client::{BUCKET, both, client, client_of, code, start};
use crate::wait::until;

async fn put(client: &Client, key: &str, body: &[u8]) {
    let put = client.put_object().bucket(BUCKET).key(key);
    put.body(ByteStream::from(body.to_vec()))
        .send()
        .await
        .unwrap();
}

async fn get(client: &Client, key: &str, range: Option<&str>) -> Result<Vec<u8>, String> {
    let get = client.get_object().bucket(BUCKET).key(key);
    let answer = get.set_range(range.map(str::to_owned)).send().await;
    match answer {
        Ok(object) => Ok(object.body.collect().await.unwrap().to_vec()),
        Err(error) => Err(code::<(), _, _>(Err(error))),
    }
}

#[tokio::test]
async fn ranges_are_served_as_http_defines_them() {
    let body: Vec<u8> = (0..700_000_u32).flat_map(u32::to_le_bytes).collect();
    let (_directory, buckets) = both();
    for bucket in &buckets {
        let client = client(bucket);
        put(&client, "k", &body).await;
        for (range, expected) in [
            (None, &body[..]),
            (Some("bytes=0-0"), &body[..1]),
            (Some("bytes=5-1000004"), &body[5..1_000_005]),
            (Some("bytes=2799990-"), &body[2_799_990..]),
            (Some("bytes=2799990-99999999"), &body[2_799_990..]),
            (Some("bytes=-7"), &body[body.len() - 7..]),
            (Some("bytes=-99999999"), &body[..]),
        ] {
            assert_eq!(
                get(&client, "k", range).await.as_deref(),
                Ok(expected),
                "{range:?}"
            );
        }
        let beyond = get(&client, "k", Some("bytes=2800000-")).await;
        assert_eq!(beyond, Err("InvalidRange".to_owned()));
    }
}

#[tokio::test]
async fn an_empty_object_is_an_object() {
    let (_directory, buckets) = both();
    for bucket in &buckets {
        let client = client(bucket);
        put(&client, "empty", b"").await;
        assert_eq!(get(&client, "empty", None).await, Ok(Vec::new()));
        assert_eq!(
            get(&client, "absent", None).await,
            Err("NoSuchKey".to_owned())
        );
    }
}

#[tokio::test]
async fn a_head_tells_size_metadata_checksum_and_date() {
    let (_directory, buckets) = both();
    for bucket in &buckets {
        let client = client(bucket);
        let put = client.put_object().bucket(BUCKET).key("k");
        let put = put.metadata("write-id", "w1").content_type("text/plain");
        let put = put.checksum_algorithm(ChecksumAlgorithm::Crc32C);
        put.body(ByteStream::from_static(b"123456789"))
            .send()
            .await
            .unwrap();
        let head = client.head_object().bucket(BUCKET).key("k");
        let head = head
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .unwrap();
        assert_eq!(head.content_length, Some(9));
        assert_eq!(head.content_type.as_deref(), Some("text/plain"));
        assert_eq!(head.metadata.unwrap()["write-id"], "w1");
        // The check value of CRC32C, 0xe3069283.
        assert_eq!(head.checksum_crc32_c.as_deref(), Some("4waSgw=="));
        assert!(head.last_modified.unwrap().secs() > 1_700_000_000);
    }
}

#[tokio::test]
async fn every_answer_carries_the_servers_clock() {
    let bucket = start(BucketOptions::new(Storage::Memory));
    let host = bucket.endpoint().replace("http://", "");
    let answer = tokio::task::spawn_blocking(move || {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(&host).unwrap();
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(
        answer.to_ascii_lowercase().contains("\r\ndate: "),
        "{answer}"
    );
}

#[tokio::test]
async fn bytes_that_do_not_match_their_checksum_are_refused_and_leave_nothing() {
    let (_directory, buckets) = both();
    for bucket in &buckets {
        let client = client(bucket);
        let put = || {
            let put = client.put_object().bucket(BUCKET).key("k");
            put.body(ByteStream::from_static(b"bytes"))
        };
        assert_eq!(
            code(put().checksum_crc32_c("AAAAAA==").send().await),
            "BadDigest"
        );
        assert_eq!(
            code(put().checksum_crc32("AAAAAA==").send().await),
            "BadDigest"
        );
        let md5 = put().content_md5("AAAAAAAAAAAAAAAAAAAAAA==").send().await;
        assert_eq!(code(md5), "BadDigest");
        assert_eq!(get(&client, "k", None).await, Err("NoSuchKey".to_owned()));
        for algorithm in [
            ChecksumAlgorithm::Crc32,
            ChecksumAlgorithm::Crc32C,
            ChecksumAlgorithm::Crc64Nvme,
            ChecksumAlgorithm::Sha256,
        ] {
            put().checksum_algorithm(algorithm).send().await.unwrap();
        }
    }
}

#[tokio::test]
async fn wrong_credentials_are_refused() {
    let bucket = start(BucketOptions::new(Storage::Memory));
    for (access_key, secret_key, expected) in [
        ("stranger", bucket.secret_key(), "InvalidAccessKeyId"),
        (bucket.access_key(), "guess", "SignatureDoesNotMatch"),
    ] {
        let client = client_of(&bucket.endpoint(), access_key, secret_key);
        let list = client.list_objects_v2().bucket(BUCKET).send().await;
        let status = list.as_ref().unwrap_err().raw_response().unwrap().status();
        assert_eq!(status.as_u16(), 403);
        assert_eq!(code(list), expected);
    }
    assert_eq!(bucket.request_counts().total(), 0);
}

#[tokio::test]
async fn a_missing_bucket_is_named_as_such() {
    let bucket = start(BucketOptions::new(Storage::Memory));
    let client = client(&bucket);
    let list = client.list_objects_v2().bucket("other").send().await;
    assert_eq!(code(list), "NoSuchBucket");
    let put = client.put_object().bucket("other").key("k").send().await;
    assert_eq!(code(put), "NoSuchBucket");
    client.create_bucket().bucket("other").send().await.unwrap();
    client.head_bucket().bucket("other").send().await.unwrap();
    let again = client.create_bucket().bucket("other").send().await;
    assert_eq!(code(again), "BucketAlreadyOwnedByYou");
    let names = client.list_buckets().send().await.unwrap().buckets.unwrap();
    assert_eq!(names.len(), 2);
}

#[tokio::test]
async fn requests_are_counted_by_operation() {
    let bucket = start(BucketOptions::new(Storage::Memory));
    let client = client(&bucket);
    put(&client, "k", b"1").await;
    put(&client, "k", b"2").await;
    get(&client, "k", None).await.unwrap();
    let counts = bucket.request_counts();
    assert_eq!((counts.of("PutObject"), counts.of("GetObject")), (2, 1));
    assert_eq!((counts.writes(), counts.total()), (2, 3));
}

#[tokio::test]
async fn deleted_objects_are_gone_and_their_files_too() {
    let (directory, [_, bucket]) = both();
    let client = client(&bucket);
    for key in ["a", "a/b", "c"] {
        put(&client, key, b"body").await;
    }
    put(&client, "a", b"replaced").await;
    client
        .delete_object()
        .bucket(BUCKET)
        .key("a")
        .send()
        .await
        .unwrap();
    let objects =
        ["a/b", "absent"].map(|key| ObjectIdentifier::builder().key(key).build().unwrap());
    let delete = Delete::builder()
        .set_objects(Some(objects.to_vec()))
        .build()
        .unwrap();
    let deleted = client
        .delete_objects()
        .bucket(BUCKET)
        .delete(delete)
        .send()
        .await
        .unwrap();
    assert_eq!(deleted.deleted().len(), 2);
    assert_eq!(list_all(&client, "", None, 10).await, ["c"]);
    assert_eq!(files_under(&directory.path().join("blobs")), 1);
    assert_eq!(files_under(&directory.path().join("buckets")), 1);
}

#[tokio::test]
async fn a_second_start_on_the_same_directory_finds_everything_and_sweeps_the_rest() {
    let (directory, [_, bucket]) = both();
    let options = BucketOptions::new(Storage::Directory(directory.path().to_owned()));
    assert!(
        EmbeddedBucket::start(options.clone()).is_err(),
        "the directory is taken"
    );
    put(&client(&bucket), "dir/k", b"kept").await;
    put(&client(&bucket), &"long".repeat(200), b"kept as well").await;
    drop(bucket);
    std::fs::write(directory.path().join("blobs/00/left-over"), b"torn").unwrap();
    // A stopped server lets go of its directory when its last connection has ended.
    let start = || EmbeddedBucket::start(options.clone()).ok();
    let bucket = until("the first server lets go", start).await;
    let client = client(&bucket);
    assert_eq!(
        get(&client, "dir/k", None).await.as_deref(),
        Ok(&b"kept"[..])
    );
    assert_eq!(
        get(&client, &"long".repeat(200), None).await.as_deref(),
        Ok(&b"kept as well"[..])
    );
    assert_eq!(list_all(&client, "dir/", None, 10).await, ["dir/k"]);
    assert_eq!(files_under(&directory.path().join("blobs")), 2);
}

fn files_under(path: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { files_under(&path) } else { 1 })
        .sum()
}

async fn list_all(
    client: &Client,
    prefix: &str,
    delimiter: Option<&str>,
    page: i32,
) -> Vec<String> {
    let mut listed = Vec::new();
    let mut token = None;
    loop {
        let list = client
            .list_objects_v2()
            .bucket(BUCKET)
            .prefix(prefix)
            .max_keys(page);
        let list = list.set_delimiter(delimiter.map(str::to_owned));
        let answer = list
            .set_continuation_token(token.take())
            .send()
            .await
            .unwrap();
        listed.extend(
            answer
                .contents()
                .iter()
                .map(|object| object.key().unwrap().to_owned()),
        );
        let prefixes = answer.common_prefixes().iter();
        listed.extend(prefixes.map(|common| common.prefix().unwrap().to_owned()));
        token = answer.next_continuation_token().map(str::to_owned);
        assert_eq!(answer.is_truncated(), Some(token.is_some()));
        if token.is_none() {
            return listed;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_listing_over_the_wire_is_the_ordered_map(
        keys in proptest::collection::btree_set("[abé][ab+ é&/]{0,4}", 1..30),
        prefix in "[ab]{0,1}",
        page in 1..9_i32,
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let bucket = start(BucketOptions::new(Storage::Memory));
        let client = client(&bucket);
        let (listed, grouped) = runtime.block_on(async {
            for key in &keys {
                put(&client, key, key.as_bytes()).await;
            }
            let mut grouped = list_all(&client, &prefix, Some("/"), page).await;
            grouped.sort();
            (list_all(&client, &prefix, None, page).await, grouped)
        });
        let inside = keys.iter().filter(|key| key.starts_with(&prefix));
        prop_assert_eq!(listed, inside.clone().cloned().collect::<Vec<_>>());
        let cut = |key: &String| match key[prefix.len()..].find('/') {
            Some(at) => key[..=prefix.len() + at].to_owned(),
            None => key.clone(),
        };
        let model: BTreeSet<String> = inside.map(cut).collect();
        prop_assert_eq!(grouped, model.into_iter().collect::<Vec<_>>());
    }
}
