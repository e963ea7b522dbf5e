//! No secret is ever seen: not in what commands say at any level of the log, not in errors, not in the bucket.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use skein_local::certificates::{Certificates, ServerName};
use skein_local::embedded_bucket::{BucketOptions, EmbeddedBucket, Storage};
use skein_local::secured_kafka::{SecuredKafka, USER};
use skein_local::{Unavailable, skipped};
use tempfile::TempDir;

use crate::skein::{Ended, Skein};

/// Every secret of this test holds this, and nothing else does.
const MARK: &str = "canary";
const PASSWORD: &str = "canary-password-7f3a";
const WRONG: &str = "canary-wrong-1c9e";
const BUCKET_SECRET: &str = "canary-bucket-52d0";
const SESSION: &str = "canary-session-88ab";
const KEY_PASSWORD: &str = "canary-key-40e6";

struct World {
    kafka: SecuredKafka,
    bucket: EmbeddedBucket,
    certificates: Certificates,
    directory: TempDir,
    seen: Vec<String>,
}

async fn start() -> Result<World, Unavailable> {
    let certificates = Certificates::make(ServerName::Loopback)?;
    let kafka = SecuredKafka::start(&certificates, PASSWORD).await?;
    kafka.plain().create_topic("points", 2).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let options = BucketOptions {
        secret_key: BUCKET_SECRET.to_owned(),
        ..BucketOptions::new(Storage::Directory(directory.path().join("bucket")))
    };
    let bucket = EmbeddedBucket::start(options).unwrap();
    bucket.create_bucket("skein").unwrap();
    Ok(World {
        kafka,
        bucket,
        certificates,
        directory,
        seen: Vec::new(),
    })
}

impl World {
    fn private(&self, name: &str, text: &str) -> PathBuf {
        let file = self.directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        file
    }

    /// A settings file with `login` in `[kafka.sasl]` and `more` at its end.
    fn config(&self, name: &str, login: &str, more: &str) -> Skein {
        let keys = format!(
            "access_key_id = \"{}\"\nsecret_access_key = \"{BUCKET_SECRET}\"\n",
            self.bucket.access_key()
        );
        let text = format!(
            "[kafka]\nbrokers = \"{}\"\ntopics = [\"points\"]\nmetadata_timeout = \"5 s\"\n\
             [kafka.tls]\nenabled = true\nca = \"{}\"\n[kafka.sasl]\n{login}\n\
             [bucket]\nurl = \"s3://skein/free\"\nendpoint = \"{}\"\npath_style = true\n\
             credentials = \"{}\"\nretry_attempts = 2\n{more}",
            self.kafka.login_bootstrap(),
            self.certificates.authority().display(),
            self.bucket.endpoint(),
            self.private("keys", &keys).display(),
        );
        let file = self.private(&format!("{name}.toml"), &text);
        Skein::with_config(&file).env("AWS_EC2_METADATA_DISABLED", "true")
    }

    /// Runs a command, keeps all that it said, and demands how it ends.
    async fn run(&mut self, skein: &Skein, arguments: &[&str], code: i32) -> Ended {
        let ended = skein.run(arguments).await;
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
        self.seen
            .push(format!("{arguments:?}\n{}\n{}", ended.stdout, ended.stderr));
        ended
    }

    #[track_caller]
    fn assert_unseen(&self) {
        for text in &self.seen {
            let lines: Vec<&str> = text.lines().filter(|line| line.contains(MARK)).collect();
            assert!(
                lines.is_empty(),
                "{}\n{}",
                text.lines().next().unwrap(),
                lines.join("\n")
            );
        }
        let mut files = Vec::new();
        files_below(&self.directory.path().join("bucket"), &mut files);
        assert!(files.len() > 5, "{files:?}");
        for file in files {
            let bytes = std::fs::read(&file).unwrap();
            let mark = MARK.as_bytes();
            let holds = bytes.windows(mark.len()).any(|window| window == mark);
            assert!(!holds, "{}", file.display());
        }
    }
}

fn files_below(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, files);
        } else {
            files.push(path);
        }
    }
}

const PLAIN: &str = "mechanism = \"PLAIN\"\nusername = \"skein-worker\"";

/// Everything that shows settings, also where a secret is one of them.
async fn look_at_settings(world: &mut World, skein: &Skein) {
    for command in ["check", "show"] {
        for format in ["text", "json"] {
            let arguments = ["config", command, "--format", format];
            world.run(skein, &arguments, 0).await;
        }
    }
}

/// The whole path, as talkative as it gets.
async fn whole_path(world: &mut World) {
    let more = "[kafka.properties]\ndebug = \"all\"\n";
    let login = format!("{PLAIN}\npassword = \"{PASSWORD}\"");
    let in_file = world.config("file", &login, more).env("SKEIN_LOG", "trace");
    let in_environment = world
        .config("environment", PLAIN, "[telemetry]\nlog_format = \"json\"\n")
        .env("SKEIN_KAFKA__SASL__PASSWORD", PASSWORD)
        .env("SKEIN_LOG", "debug");
    let file = world.private("password", &format!("{PASSWORD}\n"));
    let login = format!(
        "mechanism = \"SCRAM-SHA-512\"\nusername = \"{USER}\"\npassword_file = \"{}\"",
        file.display()
    );
    let own_file = world.config("own-file", &login, "");
    let produce = ["produce", "--topic", "points", "--points", "10000"];
    for skein in [&in_file, &in_environment, &own_file] {
        look_at_settings(world, skein).await;
        world.run(skein, &produce, 0).await;
        world.run(skein, &["connect", "--until-end"], 0).await;
        world.run(skein, &["compact", "run"], 0).await;
        world.run(skein, &["verify"], 0).await;
        world.run(skein, &["ls"], 0).await;
    }
}

/// What fails, and says why.
async fn failures(world: &mut World) {
    let login = format!("{PLAIN}\npassword = \"{WRONG}\"");
    let wrong = world.config("wrong", &login, "[kafka.properties]\ndebug = \"all\"\n");
    let wrong = wrong.env("SKEIN_LOG", "trace");
    let refused = world.run(&wrong, &["connect", "--until-end"], 2).await;
    refused.refused(2, &["log in to kafka failed", "kafka.sasl"]);
    world
        .run(
            &wrong,
            &["produce", "--topic", "points", "--points", "10000"],
            2,
        )
        .await;
    for (name, login, more) in [
        ("misspelt", format!("{PLAIN}\npasswrod = \"{WRONG}\""), ""),
        ("broken", format!("{PLAIN}\npassword = \"{WRONG}"), ""),
        (
            "twice",
            format!("{PLAIN}\npassword = \"{WRONG}\"\npassword = \"{WRONG}\""),
            "",
        ),
        ("list", format!("{PLAIN}\npassword = [\"{WRONG}\"]"), ""),
        (
            "property",
            format!("{PLAIN}\npassword = \"{WRONG}\""),
            "[kafka.properties]\n\"ssl.key.pass\" = \"canary-key-40e6\"\n",
        ),
    ] {
        let skein = world.config(name, &login, more);
        world.run(&skein, &["connect", "--until-end"], 2).await;
    }
    let flag = world.config("flag", PLAIN, "");
    let flag = flag.set(&format!("kafka.sasl.password={WRONG}"));
    world.run(&flag, &["config", "check"], 2).await;
    let keys = world.private(
        "other-keys",
        &format!("access_key_id = \"skein\"\nsecret_access_key = \"{WRONG}\"\n"),
    );
    let login = format!("{PLAIN}\npassword = \"{PASSWORD}\"");
    let denied = world.config("denied", &login, "");
    let denied = denied.set(&format!("bucket.credentials=\"{}\"", keys.display()));
    world
        .run(&denied.env("SKEIN_LOG", "trace"), &["ls"], 2)
        .await;
    let more = format!("[kafka.properties]\n\"ssl.key.password\" = \"{KEY_PASSWORD}\"\n");
    let shown = world.config("shown", &login, &more);
    look_at_settings(world, &shown).await;
}

/// Tokens, and credentials of AWS' own chain.
async fn tokens(world: &mut World) {
    let token = world.private("token", "canary-token-of-nobody");
    let login = format!(
        "mechanism = \"OAUTHBEARER\"\ntoken_file = \"{}\"",
        token.display()
    );
    let refused = world.config("token", &login, "[kafka.properties]\ndebug = \"all\"\n");
    let refused = refused.env("SKEIN_LOG", "trace");
    world.run(&refused, &["connect", "--until-end"], 2).await;
    let login = "mechanism = \"AWS_MSK_IAM\"\nregion = \"eu-central-1\"";
    let msk = world.config("msk", login, "[kafka.properties]\ndebug = \"all\"\n");
    let nobody = msk
        .env("AWS_CONFIG_FILE", "/nowhere")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/nowhere");
    let refused = world.run(&nobody, &["connect", "--until-end"], 2).await;
    refused.refused(
        2,
        &["log in to kafka failed", "AWS' own chain", "AWS_MSK_IAM"],
    );
    let msk = msk
        .set("bucket.credentials=chain")
        .env("AWS_ACCESS_KEY_ID", "skein")
        .env("AWS_SECRET_ACCESS_KEY", BUCKET_SECRET)
        .env("AWS_SESSION_TOKEN", SESSION)
        .env("SKEIN_LOG", "trace");
    world.run(&msk, &["ls"], 0).await;
    // This broker knows no IAM: that it refuses the token shows that one was signed and sent.
    let refused = world.run(&msk, &["connect", "--until-end"], 2).await;
    refused.refused(2, &["log in to kafka failed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_ever_seen() {
    let mut world = match start().await {
        Ok(world) => world,
        Err(unavailable) => return skipped::report("secrets", &unavailable),
    };
    whole_path(&mut world).await;
    failures(&mut world).await;
    tokens(&mut world).await;
    let talkative = world.seen.iter().any(|text| text.contains("librdkafka: "));
    assert!(talkative, "the log's level had no effect");
    world.assert_unseen();
}
