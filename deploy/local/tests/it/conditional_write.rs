//! Exactly one of many conditional writers wins.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use skein_local::embedded_bucket::{BucketOptions, Conditions, EmbeddedBucket, Storage};
use tokio::task::JoinSet;

use crate::client::{BUCKET, both, client, code, start};

const WRITERS: usize = 32;
const ROUNDS: usize = 40;

/// Runs `write` for each writer at once; gives the codes of all answers.
async fn race<F>(writers: usize, write: impl Fn(usize) -> F) -> Vec<String>
where
    F: Future<Output = String> + Send + 'static,
{
    let mut racing = JoinSet::new();
    for writer in 0..writers {
        racing.spawn(write(writer));
    }
    racing.join_all().await
}

async fn create(client: Client, key: String, body: String) -> String {
    let put = client
        .put_object()
        .bucket(BUCKET)
        .key(key)
        .if_none_match("*");
    code(put.body(ByteStream::from(body.into_bytes())).send().await)
}

async fn winners_of_create_races(bucket: &EmbeddedBucket) -> Vec<usize> {
    let client = client(bucket);
    let mut winners = Vec::new();
    for round in 0..ROUNDS {
        let key = format!("race/{round}");
        let codes = race(WRITERS, |writer| {
            create(client.clone(), key.clone(), format!("{round} {writer}"))
        })
        .await;
        let won: Vec<usize> = (0..WRITERS).filter(|at| codes[*at] == "ok").collect();
        let lost = codes.iter().filter(|code| *code == "PreconditionFailed");
        assert_eq!(won.len() + lost.count(), WRITERS, "{codes:?}");
        winners.push(won.len());
        let stored = client
            .get_object()
            .bucket(BUCKET)
            .key(&key)
            .send()
            .await
            .unwrap();
        let stored = stored.body.collect().await.unwrap().to_vec();
        assert!(stored.starts_with(format!("{round} ").as_bytes()));
    }
    winners
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_creators_wins() {
    let (_directory, buckets) = both();
    for bucket in &buckets {
        assert_eq!(winners_of_create_races(bucket).await, vec![1; ROUNDS]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_ignores_conditions_lets_every_creator_win() {
    let mut options = BucketOptions::new(Storage::Memory);
    options.conditions = Conditions::Ignored;
    let bucket = start(options);
    assert_eq!(
        winners_of_create_races(&bucket).await,
        vec![WRITERS; ROUNDS]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_replacers_of_a_version_wins() {
    let (_directory, buckets) = both();
    for bucket in &buckets {
        let client = client(bucket);
        let put = client
            .put_object()
            .bucket(BUCKET)
            .key("k")
            .send()
            .await
            .unwrap();
        let mut tag = put.e_tag.unwrap();
        for round in 0..ROUNDS {
            let replace =
                |writer| replace(client.clone(), tag.clone(), format!("{round} {writer}"));
            let codes = race(WRITERS, replace).await;
            assert_eq!(
                codes.iter().filter(|code| *code == "ok").count(),
                1,
                "{codes:?}"
            );
            let head = client
                .head_object()
                .bucket(BUCKET)
                .key("k")
                .send()
                .await
                .unwrap();
            tag = head.e_tag.unwrap();
        }
    }
}

async fn replace(client: Client, tag: String, body: String) -> String {
    let put = client.put_object().bucket(BUCKET).key("k").if_match(tag);
    code(put.body(ByteStream::from(body.into_bytes())).send().await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_many_completed_uploads_wins() {
    let (_directory, buckets) = both();
    for bucket in &buckets {
        let client = client(bucket);
        let codes = race(8, |writer| complete_once(client.clone(), writer)).await;
        assert_eq!(
            codes.iter().filter(|code| *code == "ok").count(),
            1,
            "{codes:?}"
        );
    }
}

async fn complete_once(client: Client, writer: usize) -> String {
    let create = client.create_multipart_upload().bucket(BUCKET).key("m");
    let id = create.send().await.unwrap().upload_id.unwrap();
    let part = client.upload_part().bucket(BUCKET).key("m").upload_id(&id);
    let body = ByteStream::from(writer.to_string().into_bytes());
    let tag = part
        .part_number(1)
        .body(body)
        .send()
        .await
        .unwrap()
        .e_tag
        .unwrap();
    let part = CompletedPart::builder().part_number(1).e_tag(tag).build();
    let parts = CompletedMultipartUpload::builder().parts(part).build();
    let complete = client.complete_multipart_upload().bucket(BUCKET).key("m");
    let complete = complete
        .upload_id(id)
        .multipart_upload(parts)
        .if_none_match("*");
    code(complete.send().await)
}

#[tokio::test]
async fn a_condition_on_an_absent_or_other_version_fails_and_leaves_the_object() {
    let bucket = start(BucketOptions::new(Storage::Memory));
    let client = client(&bucket);
    let put = || client.put_object().bucket(BUCKET).key("k");
    assert_eq!(code(put().if_match("\"absent\"").send().await), "NoSuchKey");
    put()
        .body(ByteStream::from_static(b"first"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        code(put().if_match("\"other\"").send().await),
        "PreconditionFailed"
    );
    assert_eq!(
        code(put().if_none_match("*").send().await),
        "PreconditionFailed"
    );
    assert_eq!(
        code(put().if_none_match("\"tag\"").send().await),
        "NotImplemented"
    );
    let stored = client
        .get_object()
        .bucket(BUCKET)
        .key("k")
        .send()
        .await
        .unwrap();
    assert_eq!(stored.body.collect().await.unwrap().to_vec(), b"first");
}
