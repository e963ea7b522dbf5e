//! The embedded pair with its settings file.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use aws_sdk_s3::primitives::ByteStream;
use skein_local::dev_stack::{BUCKET, DevStack, DevStackOptions};

use crate::client::client;
use crate::wait::until;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_second_start_keeps_the_objects_and_takes_a_new_source() {
    let directory = tempfile::tempdir().unwrap();
    let options = DevStackOptions::new(directory.path().join("stack"));
    let first = DevStack::start(&options).unwrap();
    let put = client(first.bucket())
        .put_object()
        .bucket(BUCKET)
        .key("kept");
    put.body(ByteStream::from_static(b"x"))
        .send()
        .await
        .unwrap();
    let (source, text) = (
        first.source().clone(),
        std::fs::read_to_string(first.config_file()),
    );
    assert!(DevStack::start(&options).is_err(), "the first still runs");
    drop(first);
    let second = until("the first lets go", || DevStack::start(&options).ok()).await;
    assert_ne!(*second.source(), source);
    assert_ne!(
        std::fs::read_to_string(second.config_file()).unwrap(),
        text.unwrap()
    );
    let head = client(second.bucket())
        .head_object()
        .bucket(BUCKET)
        .key("kept");
    head.send().await.unwrap();
}

#[tokio::test]
async fn files_that_hold_or_lead_to_a_secret_are_private() {
    let directory = tempfile::tempdir().unwrap();
    let stack = DevStack::start(&DevStackOptions::new(directory.path().to_owned())).unwrap();
    assert_eq!(mode(stack.config_file()), 0o600);
    assert_eq!(mode(&directory.path().join("credentials")), 0o600);
    let text = std::fs::read_to_string(stack.config_file()).unwrap();
    assert!(
        text.contains(&format!("endpoint = \"{}\"", stack.bucket().endpoint())),
        "{text}"
    );
    assert!(
        text.contains(&format!("brokers = \"{}\"", stack.broker().bootstrap())),
        "{text}"
    );
    assert!(!text.contains(stack.bucket().secret_key()), "{text}");
}

#[test]
fn too_few_partitions_for_the_embedded_broker_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = DevStackOptions::new(directory.path().to_owned());
    options.partitions = 4;
    let refusal = DevStack::start(&options).unwrap_err().to_string();
    assert!(refusal.contains("64 or more"), "{refusal}");
}
