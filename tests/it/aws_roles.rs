//! Roles are assumed by AWS' own chain, from nothing but its usual variables and files: a stand-in for the token
//! service hands out the only keys that the bucket lets in.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use skein_local::embedded_bucket::{BucketOptions, EmbeddedBucket, Storage};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::skein::Skein;

const ROLE: &str = "arn:aws:iam::123456789012:role/skein";

/// Forms that were sent to the token service.
type Asked = Arc<Mutex<Vec<String>>>;

struct World {
    skein: Skein,
    asked: Asked,
    directory: TempDir,
    _bucket: EmbeddedBucket,
}

impl World {
    async fn start() -> Self {
        let bucket = EmbeddedBucket::start(BucketOptions::new(Storage::Memory)).unwrap();
        bucket.create_bucket("skein").unwrap();
        let asked = Asked::default();
        let endpoint = token_service(&bucket, Arc::clone(&asked)).await;
        let directory = tempfile::tempdir().unwrap();
        let absent = directory.path().join("absent").display().to_string();
        let skein = Skein::default()
            .set("bucket.url=s3://skein/roles")
            .set("bucket.path_style=true")
            .set(&format!("bucket.endpoint={}", bucket.endpoint()))
            .env("AWS_ENDPOINT_URL_STS", &endpoint)
            .env("AWS_CONFIG_FILE", &absent)
            .env("AWS_SHARED_CREDENTIALS_FILE", &absent)
            .env("AWS_EC2_METADATA_DISABLED", "true");
        Self {
            skein,
            asked,
            directory,
            _bucket: bucket,
        }
    }

    fn file(&self, name: &str, text: &str) -> String {
        let file = self.directory.path().join(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        file.display().to_string()
    }

    /// The forms so far; each is forgotten.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// Answers every form with the bucket's keys.
async fn token_service(bucket: &EmbeddedBucket, asked: Asked) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let keys = format!(
        "<Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
         <SessionToken>session</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials>",
        bucket.access_key(),
        bucket.secret_key()
    );
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            answer(client, &keys, &asked).await;
        }
    });
    endpoint
}

async fn answer(mut client: TcpStream, keys: &str, asked: &Asked) -> Option<()> {
    let form = read_form(&mut client).await?;
    let action = form
        .split('&')
        .find_map(|field| field.strip_prefix("Action="))
        .unwrap_or_default()
        .to_owned();
    asked.lock().unwrap().push(form);
    let body = format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>{keys}\
         </{action}Result></{action}Response>"
    );
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/xml\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    client.write_all(answer.as_bytes()).await.ok()
}

/// The body of a request.
async fn read_form(client: &mut TcpStream) -> Option<String> {
    let mut text = String::new();
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .map_or(0, |(_, value)| value.parse().unwrap());
            if body.len() >= length {
                return Some(body.to_owned());
            }
        }
        let mut bytes = [0; 4096];
        let read = client
            .read(&mut bytes)
            .await
            .ok()
            .filter(|read| *read > 0)?;
        text.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_profile_with_a_role_assumes_it() {
    let world = World::start().await;
    let profiles = world.file(
        "profiles",
        &format!(
            "[profile base]\naws_access_key_id = AKIDBASE\naws_secret_access_key = base\n\
             [profile worker]\nrole_arn = {ROLE}\nsource_profile = base\n"
        ),
    );
    let skein = world.skein.env("AWS_CONFIG_FILE", &profiles);
    let ended = skein.env("AWS_PROFILE", "worker").run(&["ls"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let asked = world.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(asked[0].contains("Action=AssumeRole&"), "{asked:?}");
    assert!(asked[0].contains("role%2Fskein"), "{asked:?}");
    // Without the role the bucket lets nobody in.
    let ended = skein.env("AWS_PROFILE", "base").run(&["ls"]).await;
    ended.refused(2, &["Denied", "bucket.credentials"]);
    assert_eq!(world.asked(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_web_identity_assumes_its_role() {
    let world = World::start().await;
    let token = world.file("identity", "identity-of-a-pod");
    let skein = world
        .skein
        .env("AWS_WEB_IDENTITY_TOKEN_FILE", &token)
        .env("AWS_ROLE_ARN", ROLE)
        .env("AWS_ROLE_SESSION_NAME", "worker-1");
    let ended = skein.run(&["ls"]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let asked = world.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    for field in [
        "Action=AssumeRoleWithWebIdentity&",
        "WebIdentityToken=identity-of-a-pod",
        "RoleSessionName=worker-1",
    ] {
        assert!(asked[0].contains(field), "{field}: {asked:?}");
    }
}
