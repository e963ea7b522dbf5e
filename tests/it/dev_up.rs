//! `skein dev up`, and what the README tells a new user to do with it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use skein_config::load::{Layers, load};
use skein_local::Unavailable;
use skein_local::skipped;
use skein_shared::bucket::Bucket;
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use crate::skein::{Ended, PATIENCE, Running, Skein};

/// The binary's `dev up`, in a directory of its own.
struct DevUp {
    running: Running,
    directory: TempDir,
}

impl DevUp {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let running = dev_up(directory.path()).await;
        Self { running, directory }
    }

    fn config(&self) -> String {
        config_in(self.directory.path())
    }

    /// The bucket as its settings file says.
    async fn bucket(&self) -> Bucket {
        let layers = Layers {
            file: Some(self.config().into()),
            ..Layers::default()
        };
        let settings = load(&layers).unwrap().bucket.settings().unwrap();
        Bucket::open(&settings).await.unwrap()
    }
}

fn config_in(directory: &Path) -> String {
    directory.join("skein.toml").display().to_string()
}

/// Starts it and waits until it has said where everything is.
async fn dev_up(directory: &Path) -> Running {
    let place = directory.display().to_string();
    let mut running = Skein::default().start(&["dev", "up", "--dir", &place], None);
    let printed = running.printed("Ctrl-C ends both").await;
    for words in [
        "kafka    127.0.0.1:",
        "s3       http://127.0.0.1:",
        "skein.toml",
    ] {
        assert!(printed.contains(words), "`{words}` in: {printed}");
    }
    running
}

async fn stop(running: Running) -> Ended {
    running.interrupt().await;
    let ended = running.ended(PATIENCE).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended
}

/// The commands of the README's block, in order, without comments.
fn readme_commands() -> Vec<String> {
    let readme = include_str!("../../README.md");
    let section = readme.split("## Try it with your own points").nth(1);
    let block = section.unwrap().split("```").nth(1).unwrap();
    let lines = block.lines().map(|line| line.split(" #").next().unwrap());
    let commands = lines.map(str::trim).filter(|line| !line.is_empty());
    commands.map(str::to_owned).collect()
}

/// Runs one line of shell where the README's variables are set.
async fn shell(line: &str, dev: &DevUp) -> Ended {
    let binary = Path::new(env!("CARGO_BIN_EXE_skein"));
    let path = std::env::var("PATH").unwrap();
    let run = Command::new("bash")
        .args(["-c", line])
        .current_dir(dev.directory.path())
        .env(
            "PATH",
            format!("{}:{path}", binary.parent().unwrap().display()),
        )
        .env("SKEIN", format!("skein --config {}", dev.config()))
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, run).await.unwrap().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs one line of shell, which must be good; gives what it prints.
async fn good(line: &str, dev: &DevUp) -> String {
    let ended = shell(line, dev).await;
    assert_eq!(ended.code, Some(0), "{line}: {}", ended.stderr);
    ended.stdout
}

const CSV: &str = "org,metric,timestamp,value,host\n\
    1,cpu_seconds,1700000000000,1.5,a\n\
    1,cpu_seconds,1700000060000,2.5,a\n\
    1,cpu_seconds,1700000120000,-0.0,a\n\
    2,42,1700000000000,7.0,\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_of_the_readme_work_as_written() {
    let dev = DevUp::start().await;
    std::fs::write(dev.directory.path().join("points.csv"), CSV).unwrap();
    let commands = readme_commands();
    let (setup, commands): (Vec<_>, Vec<_>) = commands
        .iter()
        .partition(|line| line.starts_with("export ") || line.contains("dev up"));
    assert_eq!(setup.len(), 3, "{setup:?}");
    assert_eq!(commands.len(), 11, "{commands:?}");
    for line in commands {
        let printed = good(line, &dev).await;
        if line.contains("--format csv") {
            let mut read: Vec<&str> = printed.lines().collect();
            read.sort_unstable();
            let mut made: Vec<&str> = CSV.lines().collect();
            made.sort_unstable();
            assert_eq!(read, made);
        }
        if line.contains("--format plot") {
            assert!(printed.contains("cpu_seconds"), "{printed}");
        }
    }
    let span = "--from 2023-11-14T22:14:00Z --to 1700000120000";
    let read = good(&format!("$SKEIN read --all {span} --format csv"), &dev).await;
    assert_eq!(read.lines().count(), 2, "{read}");
    let table = good(&format!("$SKEIN read --org 1 {span}"), &dev).await;
    assert!(table.contains("2.5") && !table.contains("1.5"), "{table}");
    stop(dev.running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_start_on_the_same_directory_goes_on_where_the_first_ended() {
    let dev = DevUp::start().await;
    std::fs::write(dev.directory.path().join("points.csv"), CSV).unwrap();
    for line in readme_commands()
        .iter()
        .filter(|line| line.starts_with("$SKEIN "))
    {
        good(line, &dev).await;
    }
    let first = good("$SKEIN read --all --format csv", &dev).await;
    let DevUp { running, directory } = dev;
    stop(running).await;

    let running = dev_up(directory.path()).await;
    let dev = DevUp { running, directory };
    assert_eq!(good("$SKEIN read --all --format csv", &dev).await, first);
    std::fs::write(
        dev.directory.path().join("points.csv"),
        CSV.replace(",1.5,a", ",9.5,a"),
    )
    .unwrap();
    // An export overwrites nothing.
    std::fs::remove_file(dev.directory.path().join("org-1.parquet")).unwrap();
    for line in readme_commands()
        .iter()
        .filter(|line| line.starts_with("$SKEIN "))
    {
        good(line, &dev).await;
    }
    let second = good("$SKEIN read --all --format csv", &dev).await;
    assert_eq!(second, first.replace(",1.5,a", ",9.5,a"));
    stop(dev.running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_of_each_kind_can_be_shown_and_other_clients_fetch_it() {
    let dev = DevUp::start().await;
    let produce = "$SKEIN produce --topic points --orgs 3 --series 30 --points 3000 --poison 6";
    good(produce, &dev).await;
    good("$SKEIN connect --until-end", &dev).await;
    good("$SKEIN compact run", &dev).await;
    good("$SKEIN verify", &dev).await;

    let bucket = dev.bucket().await;
    let mut kinds = BTreeSet::new();
    let mut one_of_each = Vec::new();
    let listed = bucket.list("", None).await.unwrap();
    for object in &listed {
        let kind = kind_of(&object.key);
        if kinds.insert(kind) {
            one_of_each.push(object.key.clone());
        }
    }
    assert_eq!(kinds.len(), 13, "{kinds:?}");
    for key in &one_of_each {
        let shown = good(&format!("$SKEIN cat '{key}'"), &dev).await;
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["key"], key.as_str(), "{shown}");
        assert!(shown["kind"].is_string(), "{shown}");
    }
    let keys: Vec<&str> = listed.iter().map(|object| object.key.as_str()).collect();
    aws_lists_and_fetches(&dev, &bucket, (&keys, &one_of_each)).await;
    kcat_reads_the_records(&dev).await;
    stop(dev.running).await;
}

/// The folder that tells a kind: keys of data begin with a hash.
fn kind_of(key: &str) -> String {
    let mut parts = key.split('/');
    let first = parts.next().unwrap();
    let is_hash = first.len() == 4 && first.bytes().all(|byte| byte.is_ascii_hexdigit());
    let kind = if is_hash {
        parts.next().unwrap()
    } else {
        first
    };
    match (kind, key.ends_with("/genesis")) {
        (_, true) => "genesis".to_owned(),
        (kind, false) => kind.to_owned(),
    }
}

/// Runs a client that nobody here wrote; reports a skip where it is not installed.
async fn client(test: &str, command: &mut Command) -> Option<Vec<u8>> {
    let run = command.kill_on_drop(true).output();
    match timeout(Duration::from_mins(1), run).await.unwrap() {
        Ok(output) => {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{test}: {stderr}");
            Some(output.stdout)
        }
        Err(error) => {
            let reason = format!("the client cannot be run: {error}");
            skipped::report(test, &Unavailable::because(reason));
            None
        }
    }
}

fn line_of<'t>(text: &'t str, key: &str) -> &'t str {
    let line = text.lines().find(|line| line.starts_with(key)).unwrap();
    line.split('"').nth(1).unwrap()
}

async fn aws_lists_and_fetches(
    dev: &DevUp,
    bucket: &Bucket,
    (keys, fetched): (&[&str], &[String]),
) {
    let config = std::fs::read_to_string(dev.config()).unwrap();
    let credentials = dev.directory.path().join("credentials");
    let credentials = std::fs::read_to_string(credentials).unwrap();
    let aws = |arguments: &[&str]| {
        let mut command = Command::new("aws");
        command
            .args(["--endpoint-url", line_of(&config, "endpoint"), "s3"])
            .args(arguments)
            .env("AWS_ACCESS_KEY_ID", line_of(&credentials, "access_key_id"))
            .env(
                "AWS_SECRET_ACCESS_KEY",
                line_of(&credentials, "secret_access_key"),
            )
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        command
    };
    let listing = client(
        "dev_up::aws",
        &mut aws(&["ls", "--recursive", "s3://skein"]),
    )
    .await;
    let Some(listing) = listing else { return };
    let listing = String::from_utf8(listing).unwrap();
    let seen: Vec<&str> = listing
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    assert_eq!(seen, keys);
    for key in fetched {
        let source = format!("s3://skein/{key}");
        let bytes = client("dev_up::aws", &mut aws(&["cp", &source, "-"]))
            .await
            .unwrap();
        assert!(bytes == bucket.get(key).await.unwrap(), "{key} differs");
    }
}

async fn kcat_reads_the_records(dev: &DevUp) {
    let config = std::fs::read_to_string(dev.config()).unwrap();
    let mut kcat = Command::new("kcat");
    kcat.args([
        "-b",
        line_of(&config, "brokers"),
        "-t",
        "points",
        "-C",
        "-e",
        "-q",
    ])
    .args(["-f", "%p %o %S\\n"]);
    let Some(records) = client("dev_up::kcat", &mut kcat).await else {
        return;
    };
    let lines = records
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    assert!(lines.count() >= 30, "{}", String::from_utf8_lossy(&records));
}
