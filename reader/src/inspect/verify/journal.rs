//! What a check has seen, object by object, in a local file: a check that was interrupted goes on where it stopped, and a
//! later one reads only what is new.
//!
//! Each object is remembered with a fingerprint of everything that its check depends on: what flush or manifest say of it,
//! which of its records count, how far shards have compacted them, and the deletes that were carried out. When any of that
//! changes, the object is read again. A line is appended when an object is done, with a checksum, so that a kill loses at
//! most the line that was being written, and no damage of the file can make a damage in the bucket disappear.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use skein_shared::bucket::Bucket;
use skein_shared::format::checksum::crc32c;
use skein_shared::format::digest::ContentDigest;
use skein_shared::window::TimestampMs;
use skein_shared::{Error, Result};
use xxhash_rust::xxh3::xxh3_128;

use crate::inspect::finding::Finding;
use crate::inspect::verify::recount::Recounts;

/// A file that remembers what was checked of one bucket.
#[derive(Debug)]
pub struct Journal {
    file: File,
    seen: HashMap<String, Line>,
    /// Whether the file takes what is written; a full disk must not end a check.
    is_writable: bool,
}

/// Everything that the check of one object depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint(u128);

/// What the check of one object gave.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Seen {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) findings: Vec<Finding>,
    /// Of a state object: what it holds of each span of its flush.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) spans: Vec<SpanCount>,
    /// Of a state object: what shards must have taken in of it.
    #[serde(default)]
    pub(super) recounts: Recounts,
    /// Of a segment: buckets that were compared with its points.
    #[serde(default)]
    pub(super) compared_buckets: u64,
    /// Of a segment of raw points that reads back: how many each org has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) points: Option<BTreeMap<u64, u64>>,
    /// Whether it is not remembered: something could not be looked at, or may be otherwise the next time.
    #[serde(skip)]
    pub(super) is_passing: bool,
}

impl Seen {
    /// Of a segment.
    pub(super) fn of_segment(findings: Vec<Finding>, compared_buckets: u64) -> Self {
        Self {
            findings,
            compared_buckets,
            ..Self::default()
        }
    }
}

/// What an object holds of one span of its flush.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SpanCount {
    /// Number of the span in the flush manifest.
    pub(super) span: usize,
    pub(super) frames: u64,
    #[serde(serialize_with = "as_text", deserialize_with = "of_text")]
    pub(super) digest: ContentDigest,
    pub(super) first: i64,
    pub(super) last: i64,
}

/// What is known of an object before it is checked; nothing without a journal.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) fingerprint: Option<Fingerprint>,
    /// What was seen of it, and when.
    pub(super) recalled: Option<(Seen, TimestampMs)>,
}

impl Known {
    /// As it is, if the object is still there with that many bytes; else nothing is recalled.
    pub(super) async fn if_there(
        mut self,
        bucket: &Bucket,
        (key, object_bytes): (&str, u64),
    ) -> Result<Self> {
        if self.recalled.is_some() {
            let meta = bucket.head(key).await?;
            if meta.is_none_or(|meta| meta.object_bytes != object_bytes) {
                self.recalled = None;
            }
        }
        Ok(self)
    }

    /// What was seen of it, if it need not be read again.
    pub(super) fn seen(&self) -> Option<Seen> {
        self.recalled.as_ref().map(|(seen, _)| seen.clone())
    }
}

/// The first line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    skein_verify: u32,
    /// Another build may check more.
    build: String,
    bucket: String,
}

/// One object.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    object: String,
    fingerprint: String,
    at_ms: i64,
    seen: Seen,
}

const VERSION: u32 = 2;

impl Fingerprint {
    /// Of the text of whatever a check depends on: of one build it is always the same.
    pub(super) fn of(inputs: &impl std::fmt::Debug) -> Self {
        Self(xxh3_128(format!("{inputs:?}").as_bytes()))
    }

    fn text(self) -> String {
        format!("{:032x}", self.0)
    }
}

impl Journal {
    /// Opens `path`, or makes it, for a check of the bucket at `bucket_url`. Nobody else can use it meanwhile.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the file cannot be used, is another's, of another bucket or build, or in use.
    pub fn open(path: &Path, bucket_url: &str) -> Result<Self> {
        let refuse = |reason: String| Error::Invalid {
            what: "file of an earlier verify",
            input: path.display().to_string(),
            reason,
        };
        let failed = |error: std::io::Error| refuse(format!("{error}; name another file"));
        let mut options = File::options();
        options.read(true).append(true).create(true);
        let mut file = options.open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(refuse(
                    "another verify uses it: wait for its end, or name another file".into(),
                ));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let header = Header {
            skein_verify: VERSION,
            build: env!("CARGO_PKG_VERSION").to_owned(),
            bucket: bucket_url.to_owned(),
        };
        let kept = kept(&bytes, &header).map_err(refuse)?;
        file.set_len(kept.bytes as u64).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        if kept.bytes == 0 {
            file.write_all(&line(&header)).map_err(failed)?;
        }
        Ok(Self {
            file,
            seen: kept.seen,
            is_writable: true,
        })
    }

    /// What was seen of an object, if everything is as it was then.
    pub(super) fn known(&self, key: &str, fingerprint: Fingerprint) -> Known {
        let line = self.seen.get(key);
        let line = line.filter(|line| line.fingerprint == fingerprint.text());
        Known {
            fingerprint: Some(fingerprint),
            recalled: line.map(|line| (line.seen.clone(), TimestampMs(line.at_ms))),
        }
    }

    /// Remembers an object. A file that cannot be written to is left as it is: then more has to be read the next time.
    pub(super) fn note(
        &mut self,
        (key, fingerprint): (&str, Fingerprint),
        seen: &Seen,
        at: TimestampMs,
    ) {
        if !self.is_writable {
            return;
        }
        let noted = Line {
            object: key.to_owned(),
            fingerprint: fingerprint.text(),
            at_ms: at.0,
            seen: seen.clone(),
        };
        if let Err(error) = self.file.write_all(&line(&noted)) {
            tracing::warn!(%error, "what is checked from here on is not remembered");
            self.is_writable = false;
        }
    }
}

/// What a file holds that can be used.
#[derive(Debug, Default)]
struct Kept {
    seen: HashMap<String, Line>,
    /// Up to where its lines are whole.
    bytes: usize,
}

fn kept(bytes: &[u8], header: &Header) -> std::result::Result<Kept, String> {
    let mut kept = Kept::default();
    for text in bytes.split_inclusive(|byte| *byte == b'\n') {
        if kept.bytes == 0 {
            check_header(text, header)?;
        } else if text.ends_with(b"\n")
            && let Some(line) = parse::<Line>(text)
        {
            kept.seen.insert(line.object.clone(), line);
        }
        if text.ends_with(b"\n") {
            kept.bytes += text.len();
        }
    }
    Ok(kept)
}

fn check_header(text: &[u8], ours: &Header) -> std::result::Result<(), String> {
    let Some(header) = parse::<Header>(text) else {
        return Err("it is no file of `skein verify --resume`: name another one".into());
    };
    if header == *ours {
        return Ok(());
    }
    let Header { build, bucket, .. } = header;
    Err(format!(
        "it is of `{bucket}` and build {build}, this is `{}` and build {}: name another file",
        ours.bucket, ours.build
    ))
}

fn as_text<S: Serializer>(digest: &ContentDigest, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.collect_str(digest)
}

fn of_text<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<ContentDigest, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(D::Error::custom)
}

/// A line: CRC32C of the JSON in eight hex digits, a space, the JSON.
fn line(value: &impl Serialize) -> Vec<u8> {
    let json = serde_json::to_string(value).expect("texts and numbers are JSON");
    format!("{:08x} {json}\n", crc32c(json.as_bytes())).into_bytes()
}

/// Reads a line; `None` for one that is damaged.
fn parse<T: for<'de> Deserialize<'de>>(line: &[u8]) -> Option<T> {
    let line = std::str::from_utf8(line).ok()?;
    let (crc, json) = line.trim_end_matches('\n').split_once(' ')?;
    let is_whole = u32::from_str_radix(crc, 16).ok()? == crc32c(json.as_bytes());
    is_whole.then(|| serde_json::from_str(json).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::inspect::finding::STATE;

    fn seen(what: &str) -> Seen {
        Seen {
            findings: vec![STATE.broken("a/key", Some(7), what)],
            compared_buckets: 3,
            ..Seen::default()
        }
    }

    fn noted(path: &Path) -> Fingerprint {
        let fingerprint = Fingerprint::of(&"as it is");
        let mut journal = Journal::open(path, "s3://b").unwrap();
        for key in ["one", "two"] {
            journal.note((key, fingerprint), &seen("bad"), TimestampMs(5));
        }
        fingerprint
    }

    #[test]
    fn what_was_noted_is_recalled_while_nothing_else_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let fingerprint = noted(&path);
        let journal = Journal::open(&path, "s3://b").unwrap();
        let recalled = journal.known("two", fingerprint).recalled;
        assert_eq!(recalled, Some((seen("bad"), TimestampMs(5))));
        let changed = Fingerprint::of(&"changed");
        assert_eq!(journal.known("two", changed).seen(), None);
        assert_eq!(journal.known("three", fingerprint).seen(), None);
    }

    #[test]
    fn no_cut_and_no_flipped_bit_makes_a_finding_disappear() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        let fingerprint = noted(&path);
        let whole = fs::read(&path).unwrap();
        let header_bytes = whole.split_inclusive(|byte| *byte == b'\n').next().unwrap();
        let header_bytes = header_bytes.len();
        for at in header_bytes..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1;
            for damaged in [&flipped, &whole[..at]] {
                fs::write(&path, damaged).unwrap();
                let mut journal = Journal::open(&path, "s3://b").unwrap();
                let recalled = ["one", "two"].map(|key| journal.known(key, fingerprint).seen());
                let as_noted = |it: Seen| it == seen("bad");
                assert!(recalled.into_iter().flatten().all(as_noted), "{at}");
                journal.note(("three", fingerprint), &seen("new"), TimestampMs(6));
                drop(journal);
                let again = Journal::open(&path, "s3://b").unwrap();
                let recalled = again.known("three", fingerprint).recalled;
                assert_eq!(recalled, Some((seen("new"), TimestampMs(6))), "{at}");
            }
        }
    }

    #[test]
    fn a_file_of_another_is_refused_and_left_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        fs::write(&path, "somebody's notes\n").unwrap();
        let error = Journal::open(&path, "s3://b").unwrap_err().to_string();
        assert!(
            error.contains("no file of `skein verify --resume`"),
            "{error}"
        );
        assert_eq!(fs::read(&path).unwrap(), b"somebody's notes\n");
        fs::remove_file(&path).unwrap();
        noted(&path);
        let error = Journal::open(&path, "s3://other").unwrap_err().to_string();
        assert!(
            error.contains("s3://b") && error.contains("s3://other"),
            "{error}"
        );
        let _open = Journal::open(&path, "s3://b").unwrap();
        let error = Journal::open(&path, "s3://b").unwrap_err().to_string();
        assert!(error.contains("another verify uses it"), "{error}");
    }
}
