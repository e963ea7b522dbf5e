//! `[bucket]`: which object storage, and with which credentials.

use std::path::{Component, Path, PathBuf};

use figment::Figment;
use figment::providers::{Format, Toml};
use serde::{Deserialize, Serialize};
use skein_shared::bucket::{
    BucketSettings, Credentials, DirectorySettings, Encryption, StoreSettings,
};
use skein_shared::retry::RetryPolicy;
use skein_shared::units::Millis;

use crate::bound::{Bounds, Breach};
use crate::error::{Error, Fault, Result};
use crate::secret::read_private;

/// Settings of the object storage, as a person writes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketSection {
    /// `s3://bucket`, `s3://bucket/prefix`, or `file:///directory`.
    pub url: String,
    /// Address of the store; empty is AWS itself.
    pub endpoint: String,
    /// Region that requests are signed for.
    pub region: String,
    /// Whether the bucket's name stands in the path.
    pub path_style: bool,
    /// `chain`, or a file of mode 0600.
    pub credentials: String,
    /// PEM file of authorities to trust beside the system's; empty is none.
    pub ca: String,
    /// How the store is asked to encrypt what it keeps.
    pub encryption: EncryptionAtRest,
    /// Key of the key service; empty is the account's own for S3.
    pub kms_key: String,
    /// Tries per request, the first included.
    pub retry_attempts: u32,
    /// Upper bound of the wait before the first retry; it doubles with each one.
    pub retry_base: Millis,
    /// Upper bound of any wait.
    pub retry_cap: Millis,
    /// Retries that all requests together may spend at once.
    pub retry_budget: u32,
    /// Longest wait for a connection.
    pub connect_timeout: Millis,
    /// Longest wait for the answer to a try, before the time that its bytes take.
    pub attempt_timeout: Millis,
}

/// How the store is asked to encrypt what it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EncryptionAtRest {
    /// As the bucket's own default says.
    #[serde(rename = "none")]
    BucketDefault,
    /// With keys of the store.
    #[serde(rename = "AES256")]
    Store,
    /// With a key of the key service.
    #[serde(rename = "aws:kms")]
    KeyService,
}

impl EncryptionAtRest {
    /// The word that stands in settings.
    const fn name(self) -> &'static str {
        match self {
            Self::BucketDefault => "none",
            Self::Store => "AES256",
            Self::KeyService => "aws:kms",
        }
    }
}

/// The pair of keys in a credentials file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyPair {
    access_key_id: String,
    secret_access_key: String,
}

impl BucketSection {
    /// What the bucket is opened with. Reads the credentials file where there is one.
    ///
    /// # Errors
    /// [`Error::Faults`] without a URL, or with a credentials file that others may read or that does not parse;
    /// [`Error::Unreadable`].
    pub fn settings(&self) -> Result<StoreSettings> {
        let place = Place::of(&self.url).ok_or_else(|| {
            Error::Faults(vec![Fault {
                key: "bucket.url".to_owned(),
                value: self.url.clone(),
                allowed: URL_FORM.to_owned(),
                origin: String::new(),
            }])
        })?;
        Ok(match place {
            Place::S3 { bucket, prefix } => StoreSettings::S3(self.s3_settings(bucket, prefix)?),
            Place::Directory(root) => StoreSettings::Directory(DirectorySettings {
                root,
                retry: self.retry(),
            }),
        })
    }

    fn s3_settings(&self, bucket: String, prefix: String) -> Result<BucketSettings> {
        let credentials = match self.credentials.as_str() {
            "chain" => Credentials::Chain,
            file => read_credentials(Path::new(file))?,
        };
        Ok(BucketSettings {
            bucket,
            prefix,
            endpoint: Some(self.endpoint.clone()).filter(|endpoint| !endpoint.is_empty()),
            region: self.region.clone(),
            path_style: self.path_style,
            credentials,
            encryption: self.encryption(),
            authorities: self.authorities()?,
            retry: self.retry(),
        })
    }

    fn retry(&self) -> RetryPolicy {
        RetryPolicy {
            attempts: self.retry_attempts,
            base: self.retry_base,
            cap: self.retry_cap,
            budget: self.retry_budget,
            connect_timeout: self.connect_timeout,
            attempt_timeout: self.attempt_timeout,
        }
    }

    fn encryption(&self) -> Encryption {
        match self.encryption {
            EncryptionAtRest::BucketDefault => Encryption::BucketDefault,
            EncryptionAtRest::Store => Encryption::Store,
            EncryptionAtRest::KeyService => Encryption::KeyService {
                key: Some(self.kms_key.clone()).filter(|key| !key.is_empty()),
            },
        }
    }

    fn authorities(&self) -> Result<Option<Vec<u8>>> {
        if self.ca.is_empty() {
            return Ok(None);
        }
        let unreadable = |error: std::io::Error| Error::Unreadable {
            file: self.ca.clone(),
            reason: format!("{error}; bucket.ca names it"),
        };
        std::fs::read(&self.ca).map(Some).map_err(unreadable)
    }

    pub(crate) fn check(&self, breaches: &mut Vec<Breach>) {
        let mut bounds = Bounds::of("bucket", breaches);
        let place = Place::of(&self.url);
        if !self.url.is_empty() && place.is_none() {
            bounds.refuse("url", &self.url, URL_FORM);
        }
        let is_directory = matches!(place, Some(Place::Directory(_)));
        if is_directory && self.encryption != EncryptionAtRest::BucketDefault {
            let allowed =
                "none with a bucket.url that begins with file://: encrypt the file system";
            bounds.refuse("encryption", &self.encryption.name(), allowed);
        }
        let http = ["http://", "https://"]
            .iter()
            .any(|scheme| self.endpoint.starts_with(scheme));
        if !self.endpoint.is_empty() && !http {
            bounds.refuse(
                "endpoint",
                &self.endpoint,
                "http://HOST[:PORT], https://HOST[:PORT], or empty for AWS",
            );
        }
        if !self.ca.is_empty() && self.endpoint.starts_with("http://") {
            let allowed = "set only with a bucket.endpoint that begins with https://";
            bounds.refuse("ca", &self.ca, allowed);
        }
        if !self.kms_key.is_empty() && self.encryption != EncryptionAtRest::KeyService {
            let allowed = "set only with bucket.encryption = aws:kms";
            bounds.refuse("kms_key", &self.kms_key, allowed);
        }
        if self.region.is_empty() {
            bounds.refuse("region", &self.region, "a region such as us-east-1");
        }
        if self.credentials.is_empty() {
            bounds.refuse(
                "credentials",
                &self.credentials,
                "\"chain\", or the path of a file of mode 0600",
            );
        }
        bounds.range("retry_attempts", &self.retry_attempts, 1..=100);
        bounds.range(
            "retry_base",
            &self.retry_base,
            Millis(1)..=Millis::seconds(60),
        );
        bounds.range(
            "retry_cap",
            &self.retry_cap,
            Millis(1)..=Millis::seconds(600),
        );
        bounds.range("retry_budget", &self.retry_budget, 0..=1_000_000);
        bounds.range(
            "connect_timeout",
            &self.connect_timeout,
            Millis(100)..=Millis::seconds(300),
        );
        bounds.range(
            "attempt_timeout",
            &self.attempt_timeout,
            Millis(100)..=Millis::seconds(3600),
        );
    }
}

const URL_FORM: &str =
    "s3://BUCKET, s3://BUCKET/PREFIX, or file:///DIRECTORY with an absolute path";

fn read_credentials(file: &Path) -> Result<Credentials> {
    let unreadable = |reason: String| Error::Unreadable {
        file: file.display().to_string(),
        reason,
    };
    let text = read_private("bucket.credentials", file)?;
    let figment = Figment::from(Toml::string(&text));
    // The parser's own words would repeat the line, and so the secret.
    let pair: KeyPair = figment.extract().map_err(|_| {
        unreadable(
            "expected the two lines access_key_id = \"…\" and secret_access_key = \"…\"".to_owned(),
        )
    })?;
    Ok(Credentials::Static {
        access_key: pair.access_key_id,
        secret_key: pair.secret_access_key,
    })
}

/// What a URL names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// The prefix has no slash at either end.
    S3 { bucket: String, prefix: String },
    /// Absolute, and without `..`.
    Directory(PathBuf),
}

impl Place {
    fn of(url: &str) -> Option<Self> {
        if let Some(path) = url.strip_prefix("file://") {
            return directory(path).map(Self::Directory);
        }
        let rest = url.strip_prefix("s3://")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let legal =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
        let named = (3..=63).contains(&bucket.len()) && bucket.chars().all(legal);
        named.then(|| Self::S3 {
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
        })
    }
}

/// The directory of a `file://` URL. The path stands as it is: `%` is a letter like any other. Never the root itself.
fn directory(path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    let mut pieces = path.components();
    let is_absolute = pieces.next() == Some(Component::RootDir);
    let rest: Vec<Component<'_>> = pieces.collect();
    let is_plain = rest
        .iter()
        .all(|piece| matches!(piece, Component::Normal(_)));
    (is_absolute && is_plain && !rest.is_empty()).then(|| path.components().collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::load::{Layers, load};

    fn section(credentials: &Path) -> BucketSection {
        let mut section = load(&Layers::default()).unwrap().bucket;
        section.url = "s3://name/a/b/".to_owned();
        section.credentials = credentials.to_str().unwrap().to_owned();
        section
    }

    fn write(text: &str, mode: u32) -> (tempfile::TempDir, BucketSection) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("credentials.toml");
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let section = section(&file);
        (dir, section)
    }

    const PAIR: &str = "access_key_id = 'open'\nsecret_access_key = 'hidden'";

    #[test]
    fn a_url_gives_bucket_and_prefix_without_slashes() {
        let (_dir, section) = write(PAIR, 0o600);
        let StoreSettings::S3(settings) = section.settings().unwrap() else {
            panic!("a bucket of S3")
        };
        assert_eq!(
            (settings.bucket.as_str(), settings.prefix.as_str()),
            ("name", "a/b")
        );
        for wrong in [
            "name",
            "s3://",
            "s3://ab",
            "s3:///x",
            "s3://UPPER",
            "https://name",
            "file://",
            "file:///",
            "file://relative/path",
            "file:///a/../b",
            "file:/a/b",
        ] {
            assert_eq!(Place::of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_file_url_gives_a_directory_and_asks_for_no_credentials() {
        let mut section = section(Path::new("no/such/file"));
        section.url = "file:///var/lib/skein//bucket/".to_owned();
        let StoreSettings::Directory(settings) = section.settings().unwrap() else {
            panic!("a directory")
        };
        assert_eq!(settings.root.to_str(), Some("/var/lib/skein/bucket"));
    }

    #[test]
    fn a_directory_is_not_asked_to_encrypt() {
        let mut section = section(Path::new("chain"));
        section.url = "file:///var/lib/skein/bucket".to_owned();
        let mut breaches = Vec::new();
        section.check(&mut breaches);
        assert!(breaches.is_empty(), "{breaches:?}");
        section.encryption = EncryptionAtRest::Store;
        section.check(&mut breaches);
        assert_eq!(breaches.len(), 1, "{breaches:?}");
    }

    #[test]
    fn a_credentials_file_that_others_can_read_is_refused() {
        let (_dir, section) = write(PAIR, 0o644);
        let error = section.settings().unwrap_err().to_string();
        assert!(
            error.contains("chmod 600") && error.contains("644"),
            "{error}"
        );
    }

    #[test]
    fn a_broken_credentials_file_never_shows_its_secret() {
        let (_dir, section) = write("access_key_id = 'open'\nsecret_acess_key = 'hidden'", 0o600);
        let error = section.settings().unwrap_err().to_string();
        assert!(
            error.contains("credentials.toml") && !error.contains("hidden"),
            "{error}"
        );
    }

    #[test]
    fn without_a_url_the_key_is_named() {
        let section = load(&Layers::default()).unwrap().bucket;
        assert!(
            section
                .settings()
                .unwrap_err()
                .to_string()
                .contains("key=`bucket.url`")
        );
    }
}
