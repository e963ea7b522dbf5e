//! The settings file of a local stack, for every command's `--config`, and the keys to its bucket beside it.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use skein_shared::ids::{SourceName, TopicName};
use uuid::Uuid;

use crate::error::{Error, Result};

/// Name of the bucket.
pub const BUCKET: &str = "skein";

/// What a settings file says.
#[derive(Debug)]
pub(crate) struct SettingsFile<'a> {
    /// What kind of servers these are, as a comment.
    pub(crate) about: &'a str,
    pub(crate) brokers: &'a str,
    pub(crate) source: &'a SourceName,
    pub(crate) topics: &'a [TopicName],
    /// Further lines of the section `[kafka]`, which may open sections below it.
    pub(crate) kafka_lines: &'a str,
    pub(crate) endpoint: &'a str,
    /// Id and secret.
    pub(crate) keys: (&'a str, &'a str),
}

impl SettingsFile<'_> {
    /// Writes `skein.toml` and `credentials` into a directory; gives the path of the first.
    pub(crate) fn write(&self, directory: &Path) -> Result<PathBuf> {
        let credentials = directory.join("credentials");
        let keys = format!(
            "access_key_id = {}\nsecret_access_key = {}\n",
            quoted(self.keys.0),
            quoted(self.keys.1),
        );
        write_private(&credentials, &keys)?;
        let file = directory.join("skein.toml");
        write_private(&file, &self.text(&credentials))?;
        Ok(file)
    }

    fn text(&self, credentials: &Path) -> String {
        let topics = self.topics.iter().map(|topic| quoted(topic.as_str()));
        let topics = topics.collect::<Vec<_>>().join(", ");
        let Self {
            about, kafka_lines, ..
        } = self;
        format!(
            "# {about} Every start writes this file anew.
[kafka]
brokers = {}
# Each start is another cluster, and a source is bound to one cluster.
source = {}
topics = [{topics}]
{kafka_lines}
[bucket]
url = {}
endpoint = {}
region = \"us-east-1\"
path_style = true
credentials = {}
",
            quoted(self.brokers),
            quoted(self.source.as_str()),
            quoted(&format!("s3://{BUCKET}")),
            quoted(self.endpoint),
            quoted(&credentials.display().to_string()),
        )
    }
}

/// A source name that no start before had.
///
/// # Panics
/// If `kind` is no source name.
pub(crate) fn fresh_source(kind: &str) -> SourceName {
    let digits = Uuid::new_v4().simple().to_string();
    SourceName::new(format!("{kind}-{}", &digits[..8])).expect("a word and hexadecimal digits")
}

/// Writes a file that only its owner may read, whole or not at all.
fn write_private(path: &Path, text: &str) -> Result<()> {
    let draft = path.with_extension(format!("draft-{}", Uuid::new_v4().simple()));
    let mut open = OpenOptions::new();
    let mut file = open
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .map_err(Error::file("create", &draft))?;
    file.write_all(text.as_bytes())
        .map_err(Error::file("write", &draft))?;
    fs::rename(&draft, path).map_err(Error::file("rename", path))
}

/// As a TOML basic string, whose escapes are those of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
