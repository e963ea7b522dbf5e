//! Failures on the way: nothing is taken for done that is not, and nothing is done twice.

use std::time::Duration;

use bytes::Bytes;
use skein_local::embedded_bucket::{Conditions, EmbeddedBucket};
use skein_shared::ErrorKind;
use skein_shared::bucket::{Bucket, BucketSettings, Created, Operation};
use skein_shared::error::BucketCause;
use skein_shared::ids::WriteId;
use skein_shared::units::Millis;
use tokio::time::timeout;

use super::conformance::cause;
use super::fault_stub::{Fault, FaultStub};
use super::stores::{embedded, noise, settings};

const SLOW_DOWN: &str = "<Error><Code>SlowDown</Code><Message>please</Message></Error>";
const INTERNAL: &str = "<Error><Code>InternalError</Code><Message>oops</Message></Error>";
const CONFLICT: &str = "<Error><Code>ConditionalRequestConflict</Code></Error>";

struct World {
    _server: EmbeddedBucket,
    stub: FaultStub,
    /// Through the stub.
    bucket: Bucket,
    /// Past the stub.
    direct: Bucket,
}

async fn world() -> World {
    world_with(|_| ()).await
}

async fn world_with(change: impl Fn(&mut BucketSettings)) -> World {
    let server = embedded(Conditions::Honoured);
    let stub = FaultStub::in_front_of(&server.endpoint()).await;
    let mut through = settings(&stub.endpoint());
    change(&mut through);
    World {
        bucket: Bucket::open(&through).await.unwrap(),
        direct: Bucket::open(&settings(&server.endpoint())).await.unwrap(),
        stub,
        _server: server,
    }
}

fn body() -> Bytes {
    Bytes::from_static(b"what was sent")
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_is_known_as_ours() {
    let world = world().await;
    world.stub.next("PUT", Fault::LoseAnswer);
    let created = world.bucket.create("k", body(), WriteId::random()).await;
    assert_eq!(created.unwrap(), Created::Ours);
    let requests = world.bucket.requests();
    assert_eq!(requests.of(Operation::Create), 2);
    assert_eq!(requests.of(Operation::Head), 1);
    assert_eq!(requests.retries[&BucketCause::Unavailable], 1);
}

#[tokio::test]
async fn a_create_that_another_won_meanwhile_is_taken() {
    let world = world().await;
    let theirs = world.direct.create("k", body(), WriteId::random()).await;
    assert_eq!(theirs.unwrap(), Created::Ours);
    world.stub.next("PUT", Fault::Answer(500, INTERNAL));
    // The same bytes: only the write id tells the two apart.
    let ours = world.bucket.create("k", body(), WriteId::random()).await;
    assert_eq!(ours.unwrap(), Created::Taken);
}

#[tokio::test]
async fn a_conflict_between_creates_is_tried_again() {
    let world = world().await;
    world.stub.next("PUT", Fault::Answer(409, CONFLICT));
    let created = world.bucket.create("k", body(), WriteId::random()).await;
    assert_eq!(created.unwrap(), Created::Ours);
}

#[tokio::test]
async fn throttling_is_waited_out_and_counted_by_its_reason() {
    let world = world().await;
    (0..3).for_each(|_| world.stub.next("PUT", Fault::Answer(503, SLOW_DOWN)));
    world.stub.next("PUT", Fault::Answer(503, ""));
    world
        .bucket
        .put("k", body(), WriteId::random())
        .await
        .unwrap();
    assert_eq!(world.bucket.requests().retries[&BucketCause::Throttled], 4);
    assert_eq!(world.direct.get("k").await.unwrap(), body());
}

#[tokio::test]
async fn a_store_that_keeps_failing_gives_a_transient_error_that_says_so() {
    let world = world().await;
    (0..6).for_each(|_| world.stub.next("GET", Fault::Answer(500, INTERNAL)));
    let error = world.bucket.get("k").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Transient);
    let text = error.to_string();
    assert!(text.contains("InternalError: oops"), "{text}");
    assert!(text.contains("tries=6"), "{text}");
    assert_eq!(world.stub.left(), 0);
}

#[tokio::test]
async fn an_outage_spends_the_retry_budget_and_no_more() {
    let world = world_with(|settings| settings.retry.budget = 7).await;
    (0..40).for_each(|_| world.stub.next("GET", Fault::Answer(500, INTERNAL)));
    for _ in 0..10 {
        world.bucket.get("k").await.unwrap_err();
    }
    assert_eq!(world.bucket.requests().of(Operation::Get), 10 + 7);
}

#[tokio::test]
async fn a_store_that_never_answers_is_given_up_on() {
    let world = world_with(|settings| {
        settings.retry.attempts = 2;
        settings.retry.attempt_timeout = Millis(200);
    })
    .await;
    for method in ["GET", "GET", "PUT", "PUT", "HEAD", "HEAD"] {
        world.stub.next(method, Fault::Hang);
    }
    let asked = async {
        [
            world.bucket.get("k").await.unwrap_err(),
            world
                .bucket
                .put("k", body(), WriteId::random())
                .await
                .unwrap_err(),
            world.bucket.head("k").await.unwrap_err(),
        ]
    };
    for error in timeout(Duration::from_secs(20), asked).await.unwrap() {
        assert_eq!(cause(&error), BucketCause::Unavailable);
        assert!(error.to_string().contains("not finished within"), "{error}");
    }
}

#[tokio::test]
async fn bytes_damaged_on_their_way_in_are_sent_again() {
    let world = world().await;
    world.stub.next("PUT", Fault::FlipSent);
    world
        .bucket
        .put("k", body(), WriteId::random())
        .await
        .unwrap();
    assert_eq!(world.bucket.requests().retried(), 1);
    assert_eq!(world.direct.get("k").await.unwrap(), body());
}

#[tokio::test]
async fn bytes_that_differ_from_the_stores_checksum_are_refused() {
    let world = world().await;
    world
        .direct
        .put("k", body(), WriteId::random())
        .await
        .unwrap();
    world.stub.next("GET", Fault::FlipReceived);
    let error = world.bucket.get("k").await.unwrap_err();
    assert_eq!(cause(&error), BucketCause::Damaged);
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_read_again() {
    let world = world().await;
    world
        .direct
        .put("k", body(), WriteId::random())
        .await
        .unwrap();
    for _ in 0..3 {
        world.stub.next("GET", Fault::CutReceived);
    }
    assert_eq!(world.bucket.get("k").await.unwrap(), body());
    assert_eq!(world.bucket.requests().retried(), 3);
    world.stub.next("GET", Fault::CutReceived);
    assert_eq!(
        world.bucket.get_range("k", 2..5).await.unwrap(),
        body().slice(2..5)
    );
}

#[tokio::test]
async fn a_completion_whose_answer_is_lost_is_known_as_ours() {
    let world = world().await;
    let upload = world
        .bucket
        .start_multipart("m", WriteId::random())
        .await
        .unwrap();
    let part = upload.upload_part(1, noise(5_000)).await.unwrap();
    world.stub.next("POST", Fault::LoseAnswer);
    upload.complete(&[part]).await.unwrap();
    let requests = world.bucket.requests();
    assert_eq!(requests.of(Operation::CompleteMultipart), 2);
    assert_eq!(requests.of(Operation::Head), 1);
    assert_eq!(world.direct.get("m").await.unwrap(), noise(5_000));
}

#[tokio::test]
async fn a_completion_that_answers_200_with_an_error_is_tried_again() {
    let world = world().await;
    let upload = world
        .bucket
        .start_multipart("m", WriteId::random())
        .await
        .unwrap();
    let part = upload.upload_part(1, noise(5_000)).await.unwrap();
    world.stub.next("POST", Fault::Answer(200, INTERNAL));
    world.stub.next("POST", Fault::Answer(200, SLOW_DOWN));
    world.stub.next("POST", Fault::Answer(200, ""));
    upload.complete(&[part]).await.unwrap();
    assert_eq!(world.direct.get("m").await.unwrap(), noise(5_000));
}

#[tokio::test]
async fn a_part_that_was_stored_again_is_named_as_the_store_has_it_now_and_only_if_it_is_the_same()
{
    let world = world().await;
    let start = || world.bucket.start_multipart("m", WriteId::random());
    let upload = start().await.unwrap();
    let mut part = upload.upload_part(1, noise(5_000)).await.unwrap();
    "stale".clone_into(&mut part.etag);
    upload.complete(&[part]).await.unwrap();
    assert_eq!(world.direct.get("m").await.unwrap(), noise(5_000));

    let upload = start().await.unwrap();
    let mut part = upload.upload_part(1, noise(5_000)).await.unwrap();
    "stale".clone_into(&mut part.etag);
    part.crc32c ^= 1;
    let error = upload.complete(&[part]).await.unwrap_err();
    assert_eq!(cause(&error), BucketCause::Refused, "{error}");
}

#[tokio::test]
async fn a_handle_for_single_attempts_tries_once_and_counts_with_the_others() {
    let world = world().await;
    world.stub.next("PUT", Fault::Answer(503, SLOW_DOWN));
    let single = world.bucket.single_attempts();
    let error = single.put("k", body(), WriteId::random()).await;
    assert_eq!(cause(&error.unwrap_err()), BucketCause::Throttled);
    single.put("k", body(), WriteId::random()).await.unwrap();
    let requests = world.bucket.requests();
    assert_eq!(requests.of(Operation::Put), 2);
    assert_eq!(requests.retried(), 0);
}

#[tokio::test]
async fn an_upload_that_is_gone_is_no_success_even_if_another_wrote_the_key() {
    let world = world().await;
    let upload = world
        .bucket
        .start_multipart("m", WriteId::random())
        .await
        .unwrap();
    let part = upload.upload_part(1, noise(5_000)).await.unwrap();
    upload.abort().await.unwrap();
    world
        .direct
        .put("m", noise(5_000), WriteId::random())
        .await
        .unwrap();
    let error = upload.complete(&[part]).await.unwrap_err();
    assert_eq!(cause(&error), BucketCause::UploadGone, "{error}");
}

#[tokio::test]
async fn an_object_with_our_write_id_but_other_bytes_is_damage() {
    let world = world().await;
    let id = WriteId::random();
    world.direct.put("k", noise(13), id).await.unwrap();
    let error = world.bucket.create("k", body(), id).await.unwrap_err();
    assert_eq!(cause(&error), BucketCause::Damaged, "{error}");
}

#[tokio::test]
async fn refused_credentials_are_never_tried_again() {
    let world = world().await;
    world.stub.next(
        "PUT",
        Fault::Answer(403, "<Error><Code>AccessDenied</Code></Error>"),
    );
    world.stub.next(
        "PUT",
        Fault::Answer(400, "<Error><Code>ExpiredToken</Code></Error>"),
    );
    for _ in 0..2 {
        let error = world
            .bucket
            .put("k", body(), WriteId::random())
            .await
            .unwrap_err();
        assert_eq!(cause(&error), BucketCause::Denied);
        assert!(error.to_string().contains("bucket.credentials"), "{error}");
    }
    assert_eq!(world.bucket.requests().retried(), 0);
}

#[tokio::test]
async fn what_is_sent_again_by_the_caller_is_known_as_ours_too() {
    let world = world_with(|settings| settings.retry.attempts = 1).await;
    let id = WriteId::random();
    world.stub.next("PUT", Fault::LoseAnswer);
    let lost = world.bucket.create("k", body(), id).await.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Transient);
    let again = world.bucket.create("k", body(), id).await;
    assert_eq!(again.unwrap(), Created::Ours);

    let upload = world.bucket.start_multipart("m", id).await.unwrap();
    world.stub.next("PUT", Fault::LoseAnswer);
    let lost = upload.upload_part(1, noise(5_000)).await.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::Transient);
    let part = upload.upload_part(1, noise(5_000)).await.unwrap();
    world.stub.next("POST", Fault::LoseAnswer);
    let lost = upload.complete(std::slice::from_ref(&part)).await;
    assert_eq!(lost.unwrap_err().kind(), ErrorKind::Transient);
    upload.complete(&[part]).await.unwrap();
    assert_eq!(world.direct.get("m").await.unwrap(), noise(5_000));
}

#[tokio::test]
async fn a_completion_that_was_overtaken_by_another_writer_is_no_success() {
    let world = world().await;
    let upload = world.bucket.start_multipart("m", WriteId::random()).await;
    let upload = upload.unwrap();
    let part = upload.upload_part(1, noise(5_000)).await.unwrap();
    world.stub.next("POST", Fault::LoseAnswer);
    upload.complete(std::slice::from_ref(&part)).await.unwrap();
    // The same bytes under another write id: only the id tells.
    let theirs = WriteId::random();
    world.direct.put("m", noise(5_000), theirs).await.unwrap();
    let error = upload.complete(&[part]).await.unwrap_err();
    assert_eq!(cause(&error), BucketCause::UploadGone);
}

#[tokio::test]
async fn an_upload_whose_start_was_not_answered_can_be_found_and_dropped() {
    let world = world().await;
    world.stub.next("POST", Fault::LoseAnswer);
    let upload = world.bucket.start_multipart("m", WriteId::random()).await;
    let part = upload.unwrap().upload_part(1, noise(5_000)).await.unwrap();
    assert_eq!(part.part_bytes, 5_000);
    let open = world.direct.open_uploads("m").await.unwrap();
    assert_eq!(
        open.len(),
        2,
        "the one that is used, and the one that was lost"
    );
    for upload in open {
        world.direct.abort_upload(&upload).await.unwrap();
    }
    assert_eq!(world.direct.open_uploads("").await.unwrap(), []);
}
