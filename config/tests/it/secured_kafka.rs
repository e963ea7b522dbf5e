//! A secured cluster lets the right client in, and every refusal says what is wrong, in bounded time.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use skein_config::kafka::KafkaSettings;
use skein_config::load::{Layers, load};
use skein_config::{Error, Settings};
use skein_local::certificates::{Certificates, ServerName};
use skein_local::secured_kafka::{SecuredKafka, USER};
use skein_local::{Unavailable, skipped};

const PASSWORD: &str = "correct-horse-7f3a";
const PATIENCE: Duration = Duration::from_secs(8);

struct Secured {
    certificates: Certificates,
    strangers: Certificates,
    kafka: SecuredKafka,
    directory: tempfile::TempDir,
}

async fn start(name: ServerName) -> Result<Secured, Unavailable> {
    let certificates = Certificates::make(name)?;
    Ok(Secured {
        kafka: SecuredKafka::start(&certificates, PASSWORD).await?,
        strangers: Certificates::make(ServerName::Loopback)?,
        certificates,
        directory: tempfile::tempdir().unwrap(),
    })
}

impl Secured {
    /// Settings of `sections`, in which `@` is the directory of private files.
    fn settings(&self, brokers: &str, sections: &str) -> Settings {
        let text = format!(
            "[kafka]\nbrokers = '{brokers}'\nmetadata_timeout = '{} s'\n{}",
            PATIENCE.as_secs(),
            sections.replace('@', self.directory.path().to_str().unwrap())
        );
        load(&Layers {
            file: Some(self.private("skein.toml", &text)),
            ..Layers::default()
        })
        .unwrap()
    }

    fn tls(&self, more: &str) -> String {
        let authority = self.certificates.authority();
        format!(
            "[kafka.tls]\nenabled = true\nca = '{}'\n{more}\n",
            authority.display()
        )
    }

    fn login(&self, lines: &str) -> KafkaSettings {
        let sections = format!("{}[kafka.sasl]\n{lines}", self.tls(""));
        self.settings(self.kafka.login_bootstrap(), &sections).kafka
    }

    fn password(&self, mechanism: &str, password: &str) -> KafkaSettings {
        self.login(&format!(
            "mechanism = '{mechanism}'\nusername = '{USER}'\npassword = '{password}'"
        ))
    }

    fn private(&self, name: &str, text: &str) -> PathBuf {
        let file = self.directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        file
    }
}

/// An unsigned JWT that is good for so many seconds.
fn jwt(lifetime_s: i64) -> String {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let now = i64::try_from(now.as_secs()).unwrap();
    let claims = format!(
        r#"{{"sub":"{USER}","iat":{},"exp":{}}}"#,
        now - 600,
        now + lifetime_s
    );
    let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
    format!("{}.{}.", part(r#"{"alg":"none"}"#), part(&claims))
}

/// Asks the cluster, on a thread that may block.
async fn look(kafka: &KafkaSettings) -> Result<(), Error> {
    let kafka = kafka.clone();
    let asked = tokio::task::spawn_blocking(move || kafka.look().map(drop));
    asked.await.unwrap()
}

#[track_caller]
fn check(case: &str, error: &Error, words: &[&str]) {
    let text = error.to_string();
    for word in words.iter().chain(&["127.0.0.1", ": check ", "kafka."]) {
        assert!(text.contains(word), "{case}: `{word}` is missing: {text}");
    }
    assert!(
        !text.contains(PASSWORD) && !text.contains("guess"),
        "{case}: {text}"
    );
}

/// Demands that the cluster refuses, in time and with these words; gives the error.
async fn refused(case: &str, kafka: &KafkaSettings, words: &[&str]) -> Error {
    let asked = Instant::now();
    let error = look(kafka).await.expect_err(case);
    let took = asked.elapsed();
    assert!(took < PATIENCE + Duration::from_secs(2), "{case}: {took:?}");
    check(case, &error, words);
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_login_is_let_in_and_every_refusal_says_why_in_time() {
    let secured = match start(ServerName::Loopback).await {
        Ok(secured) => secured,
        Err(unavailable) => return skipped::report("secured_kafka", &unavailable),
    };
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        look(&secured.password(mechanism, PASSWORD)).await.unwrap();
        let wrong = secured.password(mechanism, "guess");
        let error = refused(
            mechanism,
            &wrong,
            &["log in to kafka failed", "uthentication failed"],
        )
        .await;
        assert!(matches!(error, Error::KafkaLogin { .. }), "{error}");
    }
    let by_token = secured.login("mechanism = 'OAUTHBEARER'\ntoken_file = '@/token'");
    secured.private("token", &jwt(300));
    look(&by_token).await.unwrap();
    secured.private("token", &jwt(-60));
    let expired = &[
        "log in to kafka failed",
        "kafka.sasl.token_file",
        "it expired at",
    ];
    let told = refused("expired token", &by_token, expired)
        .await
        .to_string();
    let age = told.split_once(" s ago").unwrap().0.rsplit(' ').next();
    assert!(age.unwrap().parse::<u64>().unwrap() >= 60, "{told}");
    secured.private("token", "signed-by-nobody");
    refused("opaque token", &by_token, &["log in to kafka failed"]).await;
    let failing = secured.login("mechanism = 'OAUTHBEARER'\ntoken_command = ['false']");
    refused(
        "failing command",
        &failing,
        &["kafka.sasl.token_command `false`", "exit status: 1"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_cannot_be_trusted_or_encrypted_is_refused_in_time() {
    let secured = match start(ServerName::Loopback).await {
        Ok(secured) => secured,
        Err(unavailable) => return skipped::report("secured_kafka_tls", &unavailable),
    };
    let mutual = |more: &str| {
        secured
            .settings(secured.kafka.mutual_bootstrap(), more)
            .kafka
    };
    let own = |of: &Certificates| {
        secured.tls(&format!(
            "certificate = '{}'\nkey = '{}'",
            of.client_certificate().display(),
            of.client_key().display()
        ))
    };
    look(&mutual(&own(&secured.certificates))).await.unwrap();
    let unproven = mutual(&secured.tls(""));
    let alert = &["encrypt connection", "alert"];
    refused("no client certificate", &unproven, alert).await;
    let unknown = mutual(&own(&secured.strangers));
    refused("a stranger's certificate", &unknown, alert).await;
    let stranger = secured.strangers.authority();
    let stranger = format!(
        "[kafka.tls]\nenabled = true\nca = '{}'\n",
        stranger.display()
    );
    let error = refused(
        "untrusted",
        &mutual(&stranger),
        &["verif", "encrypt connection"],
    )
    .await;
    assert!(matches!(error, Error::KafkaTls { .. }), "{error}");
    let system = mutual("[kafka.tls]\nenabled = true\n");
    refused(
        "system's authorities",
        &system,
        &["verif", "encrypt connection"],
    )
    .await;
    refused(
        "plain client",
        &mutual(""),
        &["wants TLS", "kafka.tls.enabled"],
    )
    .await;
    let plain = secured.kafka.plain().bootstrap();
    let encrypted = secured.settings(plain, &secured.tls("")).kafka;
    refused(
        "plain listener",
        &encrypted,
        &["encrypt connection", "speaks TLS"],
    )
    .await;
    // Believing whoever answers is possible, and has to be asked for.
    let brave =
        own(&secured.certificates).replace("enabled = true", "enabled = true\nverify = 'none'");
    look(&mutual(&brave)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_for_another_host_is_refused_unless_only_the_chain_counts() {
    let secured = match start(ServerName::Elsewhere).await {
        Ok(secured) => secured,
        Err(unavailable) => return skipped::report("secured_kafka_host", &unavailable),
    };
    let proof = format!(
        "certificate = '{}'\nkey = '{}'\n",
        secured.certificates.client_certificate().display(),
        secured.certificates.client_key().display()
    );
    let with = |verify: &str| {
        let sections = secured.tls(&format!("{proof}verify = '{verify}'"));
        secured
            .settings(secured.kafka.mutual_bootstrap(), &sections)
            .kafka
    };
    refused("host name", &with("full"), &["encrypt connection", "verif"]).await;
    look(&with("chain")).await.unwrap();
}

/// Prints an unsigned token that is good for 5 s, and counts its calls.
const ISSUER: &str = r#"
echo x >>"$1"
now=$(date +%s)
part() { base64 -w0 | tr '+/' '-_' | tr -d '='; }
head=$(printf '{"alg":"none"}' | part)
body=$(printf '{"sub":"skein-worker","iat":%s,"exp":%s}' "$now" "$((now + 5))" | part)
echo "$head.$body."
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_replaced_before_it_expires() {
    let secured = match start(ServerName::Loopback).await {
        Ok(secured) => secured,
        Err(unavailable) => return skipped::report("secured_kafka_token", &unavailable),
    };
    secured.private("issue", ISSUER);
    let kafka =
        secured.login("mechanism = 'OAUTHBEARER'\ntoken_command = ['sh', '@/issue', '@/calls']");
    let client = kafka.lookup_client().unwrap();
    let calls = secured.directory.path().join("calls");
    let called = move || std::fs::read_to_string(&calls).map_or(0, |text| text.lines().count());
    // The broker ends a connection whose token has expired, so that a client that keeps its token is found out.
    let deadline = Instant::now() + Duration::from_secs(40);
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    while called() < 4 {
        assert!(
            Instant::now() < deadline,
            "only {} tokens were asked for",
            called()
        );
        tick.tick().await;
        let client = client.clone();
        let asked = tokio::task::spawn_blocking(move || client.metadata().map(drop));
        asked.await.unwrap().unwrap();
    }
}
