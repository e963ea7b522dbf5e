//! A bucket that cannot be used is refused at the start, and the message says what to do.

use skein_local::embedded_bucket::{Conditions, EmbeddedBucket};
use skein_local::s3rver::S3rver;
use skein_local::skipped;
use skein_shared::bucket::{Bucket, BucketSettings, Credentials};
use skein_shared::{Error, ErrorKind};
use tokio::net::TcpListener;

use super::fault_stub::{Fault, FaultStub};
use super::stores::{BUCKET, embedded, settings};

async fn refusal(change: impl Fn(&EmbeddedBucket, &mut BucketSettings)) -> Error {
    let server = embedded(Conditions::Honoured);
    let mut settings = settings(&server.endpoint());
    change(&server, &mut settings);
    Bucket::open(&settings).await.unwrap_err()
}

#[track_caller]
fn check(error: &Error, kind: ErrorKind, words: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "`{word}` in: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_ignores_conditions_is_refused() {
    let server = embedded(Conditions::Ignored);
    let bucket = Bucket::open(&settings(&server.endpoint())).await.unwrap();
    let error = bucket.probe().await.unwrap_err();
    assert!(matches!(error, Error::Unfit { .. }), "{error}");
    check(
        &error,
        ErrorKind::Invalid,
        &[BUCKET, "8 of them won", "If-None-Match"],
    );
    assert_eq!(
        bucket.list("", None).await.unwrap(),
        [],
        "the probe cleans up"
    );
}

/// One round fails early, by an answer that no retry mends; every other round still goes to its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_that_fails_leaves_no_object_of_the_others_behind() {
    let server = embedded(Conditions::Honoured);
    let stub = FaultStub::in_front_of(&server.endpoint()).await;
    let through = Bucket::open(&settings(&stub.endpoint())).await.unwrap();
    stub.next(
        "PUT",
        Fault::Answer(403, "<Error><Code>AccessDenied</Code></Error>"),
    );
    let error = through.probe().await.unwrap_err();
    check(&error, ErrorKind::Invalid, &["Denied"]);
    let direct = Bucket::open(&settings(&server.endpoint())).await.unwrap();
    assert_eq!(direct.list("", None).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unfit_store_is_called_unfit_though_cleaning_up_fails() {
    let server = embedded(Conditions::Ignored);
    let stub = FaultStub::in_front_of(&server.endpoint()).await;
    let bucket = Bucket::open(&settings(&stub.endpoint())).await.unwrap();
    for _ in 0..8 * 6 {
        stub.next(
            "DELETE",
            Fault::Answer(500, "<Error><Code>InternalError</Code></Error>"),
        );
    }
    let error = bucket.probe().await.unwrap_err();
    assert!(matches!(error, Error::Unfit { .. }), "{error}");
}

/// A server that somebody else wrote, and that a user might take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3rver_is_refused() {
    let server = match S3rver::start(BUCKET).await {
        Ok(server) => server,
        Err(unavailable) => return skipped::report("s3rver_is_refused", &unavailable),
    };
    let mut settings = settings(&server.endpoint());
    settings.credentials = Credentials::Static {
        access_key: server.access_key().into(),
        secret_key: server.secret_key().into(),
    };
    let bucket = Bucket::open(&settings).await.unwrap();
    let error = bucket.probe().await.unwrap_err();
    assert!(matches!(error, Error::Unfit { .. }), "{error}");
    check(&error, ErrorKind::Invalid, &[BUCKET, "If-None-Match"]);
}

#[tokio::test]
async fn wrong_credentials_are_named() {
    for (access_key, secret_key) in [("skein", "wrong"), ("nobody", "skein-secret")] {
        let error = refusal(|_, settings| {
            settings.credentials = Credentials::Static {
                access_key: access_key.into(),
                secret_key: secret_key.into(),
            };
        })
        .await;
        check(
            &error,
            ErrorKind::Invalid,
            &["Denied", "bucket.credentials", BUCKET],
        );
    }
}

#[tokio::test]
async fn a_missing_bucket_is_named() {
    let error = refusal(|_, settings| settings.bucket = "no-such-bucket".into()).await;
    check(
        &error,
        ErrorKind::Invalid,
        &["s3://no-such-bucket", "create it"],
    );
}

#[tokio::test]
async fn an_endpoint_that_nobody_serves_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Bucket::open(&settings(&endpoint)).await.unwrap_err();
    check(
        &error,
        ErrorKind::Transient,
        &[&endpoint, "refused", "bucket.endpoint", "tries=3"],
    );
}

#[tokio::test]
async fn an_endpoint_without_a_scheme_is_refused() {
    let error = refusal(|_, settings| settings.endpoint = Some("localhost:9000".into())).await;
    check(&error, ErrorKind::Invalid, &["localhost:9000", "http://"]);
}

#[test]
fn a_secret_is_never_printed() {
    let text = format!("{:?}", settings("http://127.0.0.1:1"));
    assert!(
        text.contains("access_key") && !text.contains("skein-secret"),
        "{text}"
    );
}
