//! Servers that are absent, refuse, or are not fit: a clear end, in bounded time.

use std::net::TcpListener;
use std::path::Path;

use skein_local::dev_stack::{DevStack, DevStackOptions};
use skein_local::embedded_bucket::{BucketOptions, Conditions, EmbeddedBucket, Storage};
use tempfile::TempDir;

use crate::skein::Skein;

struct Up {
    stack: DevStack,
    directory: TempDir,
}

fn up() -> Up {
    let directory = tempfile::tempdir().unwrap();
    let options = DevStackOptions::new(directory.path().join("stack"));
    Up {
        stack: DevStack::start(&options).unwrap(),
        directory,
    }
}

impl Up {
    fn skein(&self) -> Skein {
        Skein::with_config(self.stack.config_file())
            .set("kafka.metadata_timeout=\"2 s\"")
            .set("bucket.retry_attempts=2")
    }

    /// Writes a credentials file; gives the assignment that names it.
    fn credentials(&self, secret: &str) -> String {
        use std::os::unix::fs::PermissionsExt as _;
        let file = self.directory.path().join("other-credentials");
        let text = format!("access_key_id = \"skein\"\nsecret_access_key = \"{secret}\"\n");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        format!("bucket.credentials=\"{}\"", file.display())
    }
}

/// An address at which nobody listens any more.
fn dead_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_broker_is_named() {
    let up = up();
    let address = dead_address();
    let skein = up.skein().set(&format!("kafka.brokers=\"{address}\""));
    for arguments in [
        &["connect", "--until-end"][..],
        &["produce", "--topic", "points", "--points", "10000"],
    ] {
        let ended = skein.run(arguments).await;
        assert!(matches!(ended.code, Some(1 | 2)), "{ended:?}");
        ended.refused(ended.code.unwrap(), &[&address]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_bucket_is_named() {
    let up = up();
    let address = dead_address();
    let skein = up
        .skein()
        .set(&format!("bucket.endpoint=\"http://{address}\""));
    for command in [&["ls"][..], &["verify"], &["compact", "run"], &["connect"]] {
        let ended = skein.run(command).await;
        assert!(matches!(ended.code, Some(1 | 2)), "{ended:?}");
        ended.refused(ended.code.unwrap(), &[&address]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_are_told_from_everything_else() {
    let up = up();
    let skein = up.skein().set(&up.credentials("guess"));
    let ended = skein.run(&["connect"]).await;
    ended.refused(2, &["s3://skein", "Denied"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_bucket_and_a_missing_topic_are_named() {
    let up = up();
    let ended = up
        .skein()
        .set("bucket.url=s3://absent")
        .run(&["connect"])
        .await;
    ended.refused(2, &["absent"]);
    let ended = up
        .skein()
        .set("kafka.topics=[\"absent\"]")
        .run(&["connect"])
        .await;
    ended.refused(2, &["absent"]);
    let produce = ["produce", "--topic", "absent", "--points", "10000"];
    let ended = up.skein().run(&produce).await;
    ended.refused(2, &["absent", "--partitions"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_ignores_conditions_is_refused() {
    let up = up();
    let mut options = BucketOptions::new(Storage::Memory);
    options.conditions = Conditions::Ignored;
    let ignoring = EmbeddedBucket::start(options).unwrap();
    ignoring.create_bucket("skein").unwrap();
    let skein = up.skein();
    let skein = skein.set(&format!("bucket.endpoint=\"{}\"", ignoring.endpoint()));
    let skein = skein.set(&up.credentials(ignoring.secret_key()));
    let ended = skein.run(&["connect", "--until-end"]).await;
    ended.refused(2, &["not fit"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_rows_are_told_by_line_and_the_good_ones_go_on() {
    const CSV: &str = "org,metric,timestamp,value\n\
        7,cpu,1700000000000,1\n\
        seven,cpu,1700000000000,1\n\
        7,cpu,yesterday,1\n\
        7,cpu,1700000000000,much\n\
        7,cpu,1700000001000,2\n";
    let up = up();
    let skein = up.skein().input(CSV.as_bytes());
    let produce = [
        "produce", "--topic", "points", "--csv", "-", "--format", "json",
    ];
    let ended = skein.run(&produce).await;
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(
        (&report["bad_rows"], &report["points"]),
        (&3.into(), &2.into()),
        "{report}"
    );
    for line in ["line 3", "line 4", "line 5"] {
        assert!(ended.stderr.contains(line), "{}", ended.stderr);
    }
}

/// A directory opens like a file, and then cannot be read: that is no row's fault.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn input_that_breaks_off_is_an_error_and_not_a_bad_row() {
    let up = up();
    let place = up.directory.path().display().to_string();
    let produce = ["produce", "--topic", "points", "--csv", &place];
    let ended = up.skein().run(&produce).await;
    ended.refused(1, &["reading the input failed", "directory"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_without_the_four_columns_and_a_missing_file_are_refused() {
    let up = up();
    let skein = up.skein().input(b"org,value\n7,1\n");
    let ended = skein
        .run(&["produce", "--topic", "points", "--csv", "-"])
        .await;
    ended.refused(2, &["org,metric,timestamp,value"]);
    let absent = Path::new("/nowhere/points.csv").display().to_string();
    let ended = up
        .skein()
        .run(&["produce", "--topic", "points", "--csv", &absent])
        .await;
    ended.refused(2, &[&absent]);
}
