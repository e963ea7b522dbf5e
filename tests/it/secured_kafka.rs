//! The whole path on a secured cluster: with a password, with a proof of it, with a token, with a certificate.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use skein_local::certificates::{Certificates, ServerName};
use skein_local::embedded_bucket::{BucketOptions, EmbeddedBucket, Storage};
use skein_local::secured_kafka::{SecuredKafka, USER};
use skein_local::{Unavailable, skipped};
use tempfile::TempDir;

use crate::skein::Skein;

const PASSWORD: &str = "correct-horse-7f3a";

struct World {
    kafka: SecuredKafka,
    bucket: EmbeddedBucket,
    certificates: Certificates,
    directory: TempDir,
}

async fn start() -> Result<World, Unavailable> {
    let certificates = Certificates::make(ServerName::Loopback)?;
    let kafka = SecuredKafka::start(&certificates, PASSWORD).await?;
    let bucket = EmbeddedBucket::start(BucketOptions::new(Storage::Memory)).unwrap();
    bucket.create_bucket("skein").unwrap();
    Ok(World {
        kafka,
        bucket,
        certificates,
        directory: tempfile::tempdir().unwrap(),
    })
}

impl World {
    fn private(&self, name: &str, text: &str) -> PathBuf {
        let file = self.directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        file
    }

    /// A client of its own topic, source and prefix, all called `name`.
    fn skein(&self, name: &str, brokers: &str, sections: &str) -> Skein {
        let keys = format!(
            "access_key_id = \"{}\"\nsecret_access_key = \"{}\"\n",
            self.bucket.access_key(),
            self.bucket.secret_key()
        );
        let keys = self.private("keys", &keys);
        let authority = self.certificates.authority();
        let text = format!(
            "[kafka]\nbrokers = \"{brokers}\"\ntopics = [\"{name}\"]\ngroup = \"{name}\"\nsource = \"{name}\"\n\
             [bucket]\nurl = \"s3://skein/{name}\"\nendpoint = \"{}\"\npath_style = true\ncredentials = \"{}\"\n\
             [kafka.tls]\nenabled = true\nca = \"{}\"\n{sections}\n",
            self.bucket.endpoint(),
            keys.display(),
            authority.display()
        );
        let file = self.private(&format!("{name}.toml"), &text);
        Skein::with_config(&file)
    }
}

/// Produces into a topic that is made first, unless `--partitions` makes it, and takes all of it out.
async fn comes_through(name: &str, skein: &Skein, more: &[&str]) {
    let produce = ["produce", "--topic", name, "--points", "10000"];
    let produced = skein.report(&[&produce, more].concat()).await;
    assert_eq!(produced["expected"]["points"], 10_000, "{name}: {produced}");
    let connected = skein.report(&["connect", "--until-end"]).await;
    assert_eq!(
        connected["durable_records"], produced["records"],
        "{name}: {connected}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn points_come_through_by_every_login() {
    let world = match start().await {
        Ok(world) => world,
        Err(unavailable) => {
            return skipped::report("points_come_through_by_every_login", &unavailable);
        }
    };
    let login = world.kafka.login_bootstrap();
    let password = format!("username = \"{USER}\"\npassword = \"{PASSWORD}\"");
    let plain = format!("[kafka.sasl]\nmechanism = \"PLAIN\"\n{password}");
    let plain = world.skein("plain", login, &plain);
    comes_through("plain", &plain, &["--partitions", "2"]).await;

    let scram = format!("[kafka.sasl]\nmechanism = \"SCRAM-SHA-512\"\n{password}");
    let scram = world.skein("scram", login, &scram);
    comes_through("scram", &scram, &["--partitions", "2"]).await;

    let mutual = format!(
        "certificate = \"{}\"\nkey = \"{}\"",
        world.certificates.client_certificate().display(),
        world.certificates.client_key().display()
    );
    let mutual = world.skein("mutual", world.kafka.mutual_bootstrap(), &mutual);
    comes_through("mutual", &mutual, &["--partitions", "2"]).await;

    let issuer = world.private("issue", ISSUER);
    let token = format!(
        "[kafka.sasl]\nmechanism = \"OAUTHBEARER\"\ntoken_command = [\"sh\", \"{}\"]",
        issuer.display()
    );
    let token = world.skein("token", login, &token);
    let produce = [
        "produce",
        "--topic",
        "token",
        "--points",
        "10000",
        "--partitions",
        "2",
    ];
    token
        .run(&produce)
        .await
        .refused(2, &["create topic", "login by token", "token"]);
    world.kafka.plain().create_topic("token", 2).await.unwrap();
    comes_through("token", &token, &[]).await;
}

/// Prints an unsigned token that is good for five minutes.
const ISSUER: &str = r#"
now=$(date +%s)
part() { base64 -w0 | tr '+/' '-_' | tr -d '='; }
head=$(printf '{"alg":"none"}' | part)
body=$(printf '{"sub":"skein-worker","iat":%s,"exp":%s}' "$now" "$((now + 300))" | part)
echo "$head.$body."
"#;
