//! `[bucket]`: which object storage, and with which credentials.

use std::path::Path;

use figment::Figment;
use figment::providers::{Format, Toml};
use serde::{Deserialize, Serialize};
use skein_shared::bucket::{BucketSettings, Credentials, Encryption};
use skein_shared::retry::RetryPolicy;
use skein_shared::units::Millis;

use crate::bound::{Bounds, Breach};
use crate::error::{Error, Fault, Result};
use crate::secret::read_private;

/// Settings of the object storage, as a person writes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketSection {
    /// `s3://bucket` or `s3://bucket/prefix`.
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
    pub fn settings(&self) -> Result<BucketSettings> {
        let (bucket, prefix) = split_url(&self.url).ok_or_else(|| {
            Error::Faults(vec![Fault {
                key: "bucket.url".to_owned(),
                value: self.url.clone(),
                allowed: URL_FORM.to_owned(),
                origin: String::new(),
            }])
        })?;
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
            retry: RetryPolicy {
                attempts: self.retry_attempts,
                base: self.retry_base,
                cap: self.retry_cap,
                budget: self.retry_budget,
                connect_timeout: self.connect_timeout,
                attempt_timeout: self.attempt_timeout,
            },
        })
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
        if !self.url.is_empty() && split_url(&self.url).is_none() {
            bounds.refuse("url", &self.url, URL_FORM);
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

const URL_FORM: &str = "s3://BUCKET or s3://BUCKET/PREFIX";

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

/// Bucket and prefix of an `s3://` URL; the prefix has no slash at either end.
fn split_url(url: &str) -> Option<(String, String)> {
    let rest = url.strip_prefix("s3://")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    let named = (3..=63).contains(&bucket.len()) && bucket.chars().all(legal);
    named.then(|| (bucket.to_owned(), prefix.trim_matches('/').to_owned()))
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
        let settings = section.settings().unwrap();
        assert_eq!(
            (settings.bucket.as_str(), settings.prefix.as_str()),
            ("name", "a/b")
        );
        assert_eq!(
            split_url("s3://name"),
            Some(("name".to_owned(), String::new()))
        );
        for wrong in [
            "name",
            "s3://",
            "s3://ab",
            "s3:///x",
            "s3://UPPER",
            "https://name",
        ] {
            assert_eq!(split_url(wrong), None, "{wrong}");
        }
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
