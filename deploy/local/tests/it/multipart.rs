//! Large objects in parts.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
};
use skein_local::embedded_bucket::{BucketOptions, MIN_PART_BYTES, Storage};

use crate::client::{BUCKET, both, client, code, start};

fn part_bytes(seed: u8, length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| u8::try_from(at % 251).unwrap() ^ seed)
        .collect()
}

async fn begin(client: &Client) -> String {
    let create = client.create_multipart_upload().bucket(BUCKET).key("m");
    let create = create.checksum_algorithm(ChecksumAlgorithm::Crc32C);
    let create = create
        .checksum_type(ChecksumType::FullObject)
        .metadata("write-id", "w");
    create.send().await.unwrap().upload_id.unwrap()
}

async fn upload(client: &Client, id: &str, number: i32, body: Vec<u8>) -> CompletedPart {
    let part = client
        .upload_part()
        .bucket(BUCKET)
        .key("m")
        .upload_id(id)
        .part_number(number);
    let part = part.checksum_algorithm(ChecksumAlgorithm::Crc32C);
    let sent = part.body(ByteStream::from(body)).send().await.unwrap();
    CompletedPart::builder()
        .part_number(number)
        .set_e_tag(sent.e_tag)
        .set_checksum_crc32_c(sent.checksum_crc32_c)
        .build()
}

async fn complete(client: &Client, id: &str, parts: Vec<CompletedPart>) -> String {
    let parts = CompletedMultipartUpload::builder()
        .set_parts(Some(parts))
        .build();
    let complete = client.complete_multipart_upload().bucket(BUCKET).key("m");
    code(complete.upload_id(id).multipart_upload(parts).send().await)
}

#[tokio::test]
async fn parts_in_any_order_become_one_object_with_a_checksum_of_the_whole() {
    let length = usize::try_from(MIN_PART_BYTES).unwrap() + 3;
    let (directory, buckets) = both();
    for bucket in &buckets {
        let client = client(bucket);
        let id = begin(&client).await;
        let bodies = [
            part_bytes(1, length),
            part_bytes(2, length),
            part_bytes(3, 10),
        ];
        let third = upload(&client, &id, 9, bodies[2].clone()).await;
        upload(&client, &id, 5, b"replaced before completing".to_vec()).await;
        let second = upload(&client, &id, 5, bodies[1].clone()).await;
        let first = upload(&client, &id, 1, bodies[0].clone()).await;
        let list = client.list_parts().bucket(BUCKET).key("m").upload_id(&id);
        assert_eq!(list.send().await.unwrap().parts().len(), 3);
        assert_eq!(
            complete(&client, &id, vec![first, second, third]).await,
            "ok"
        );
        let whole = bodies.concat();
        let get = client.get_object().bucket(BUCKET).key("m");
        let got = get
            .checksum_mode(ChecksumMode::Enabled)
            .send()
            .await
            .unwrap();
        assert_eq!(got.checksum_type, Some(ChecksumType::FullObject));
        assert_eq!(got.metadata.as_ref().unwrap()["write-id"], "w");
        let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &whole);
        let crc = u32::try_from(crc).unwrap().to_be_bytes();
        assert_eq!(got.checksum_crc32_c.as_deref(), Some(base64(crc).as_str()));
        assert!(got.body.collect().await.unwrap().to_vec() == whole);
        let across = format!("bytes={}-{}", length - 4, length + 3);
        let get = client
            .get_object()
            .bucket(BUCKET)
            .key("m")
            .range(across)
            .send()
            .await
            .unwrap();
        assert!(get.body.collect().await.unwrap().to_vec() == whole[length - 4..length + 4]);
        assert_eq!(complete(&client, &id, Vec::new()).await, "NoSuchUpload");
    }
    drop(directory);
}

fn base64(bytes: [u8; 4]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let word = u64::from(u32::from_be_bytes(bytes)) << 4;
    let digit = |shift: u32| {
        let index = usize::try_from(word >> shift & 63).unwrap();
        char::from(ALPHABET[index])
    };
    let digits: String = [30, 24, 18, 12, 6, 0].into_iter().map(digit).collect();
    format!("{digits}==")
}

#[tokio::test]
async fn a_small_part_is_legal_only_as_the_last() {
    let bucket = start(BucketOptions::new(Storage::Memory));
    let client = client(&bucket);
    let id = begin(&client).await;
    let small = upload(&client, &id, 1, vec![1; 100]).await;
    let last = upload(&client, &id, 2, vec![2; 100]).await;
    assert_eq!(
        complete(&client, &id, vec![small.clone(), last]).await,
        "EntityTooSmall"
    );
    assert_eq!(complete(&client, &id, vec![small]).await, "ok");
}

#[tokio::test]
async fn a_list_of_parts_that_differs_from_what_arrived_is_refused() {
    let bucket = start(BucketOptions::new(Storage::Memory));
    let client = client(&bucket);
    let id = begin(&client).await;
    let part = upload(&client, &id, 1, vec![1; 100]).await;
    let of = |number, tag: &str| {
        CompletedPart::builder()
            .part_number(number)
            .e_tag(tag)
            .build()
    };
    let tag = part.e_tag().unwrap();
    for (parts, expected) in [
        (vec![of(1, "\"other\"")], "InvalidPart"),
        (vec![of(2, tag)], "InvalidPart"),
        (vec![of(1, tag), of(1, tag)], "InvalidPartOrder"),
    ] {
        assert_eq!(complete(&client, &id, parts).await, expected);
    }
    let upload = client
        .upload_part()
        .bucket(BUCKET)
        .key("m")
        .upload_id(&id)
        .part_number(3);
    let bad = upload
        .checksum_crc32_c("AAAAAA==")
        .body(ByteStream::from_static(b"x"));
    assert_eq!(code(bad.send().await), "BadDigest");
}

#[tokio::test]
async fn open_uploads_are_listed_until_they_are_aborted() {
    let (directory, [_, bucket]) = both();
    let client = client(&bucket);
    let ids = [begin(&client).await, begin(&client).await];
    upload(&client, &ids[0], 1, vec![7; 1000]).await;
    let list = || client.list_multipart_uploads().bucket(BUCKET);
    assert_eq!(list().send().await.unwrap().uploads().len(), 2);
    let page = list().max_uploads(1).send().await.unwrap();
    assert_eq!((page.uploads().len(), page.is_truncated()), (1, Some(true)));
    let rest = list()
        .set_key_marker(page.next_key_marker)
        .set_upload_id_marker(page.next_upload_id_marker);
    assert_eq!(rest.send().await.unwrap().uploads().len(), 1);
    for id in &ids {
        let abort = client
            .abort_multipart_upload()
            .bucket(BUCKET)
            .key("m")
            .upload_id(id);
        abort.send().await.unwrap();
    }
    assert_eq!(list().send().await.unwrap().uploads().len(), 0);
    let abort = client
        .abort_multipart_upload()
        .bucket(BUCKET)
        .key("m")
        .upload_id(&ids[0]);
    assert_eq!(code(abort.send().await), "NoSuchUpload");
    let blobs = std::fs::read_dir(directory.path().join("blobs")).unwrap();
    let left: usize = blobs
        .map(|fan| std::fs::read_dir(fan.unwrap().path()).unwrap().count())
        .sum();
    assert_eq!(left, 0, "an aborted upload leaves no file");
}
