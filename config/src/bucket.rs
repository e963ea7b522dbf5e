//! `[bucket]`: which object storage, and with which credentials.

use serde::{Deserialize, Serialize};

use crate::bound::{Bounds, Breach};

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
}

impl BucketSection {
    pub(crate) fn check(&self, breaches: &mut Vec<Breach>) {
        let mut bounds = Bounds::of("bucket", breaches);
        if !self.url.is_empty() && split_url(&self.url).is_none() {
            bounds.refuse("url", &self.url, "s3://BUCKET or s3://BUCKET/PREFIX");
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
    }
}

/// Bucket and prefix of an `s3://` URL; the prefix has no slash at either end.
fn split_url(url: &str) -> Option<(String, String)> {
    let rest = url.strip_prefix("s3://")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    let named = (3..=63).contains(&bucket.len()) && bucket.chars().all(legal);
    named.then(|| (bucket.to_owned(), prefix.trim_matches('/').to_owned()))
}
