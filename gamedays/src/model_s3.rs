//! A model of S3: objects, uploads and conditions, and what goes wrong on the way to them and back.

mod carry_out;
pub mod fate;

pub use carry_out::time_at;

use std::collections::BTreeMap;

use bytes::Bytes;
use fastrand::Rng;
use skein_shared::ids::WriteId;
use skein_shared::window::TimestampMs;

/// The bucket's clock at the beginning of every world.
pub const EPOCH: i64 = 1_700_000_000_000;

/// The bucket.
#[derive(Debug, Default)]
pub struct ModelS3 {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<UploadId, Upload>,
    uploads_made: u64,
    least_part_bytes: u64,
    /// Counts of what was asked, to show what a run has reached.
    pub counts: Counts,
}

/// An object.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its bytes.
    pub bytes: Bytes,
    /// The write id in its metadata.
    pub write: WriteId,
    /// When it was written.
    pub written_at: u64,
}

/// An upload, as S3 names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(pub u64);

#[derive(Debug)]
struct Upload {
    key: String,
    write: WriteId,
    started_at: u64,
    parts: BTreeMap<u32, Bytes>,
}

/// What the bucket is asked.
#[derive(Debug, Clone)]
pub enum Ask {
    /// Put an object, whatever is there.
    Put(String, Bytes, WriteId),
    /// Put an object if there is none.
    Create(String, Bytes, WriteId),
    /// Whose is an object?
    Head(String),
    /// Give an object.
    Get(String),
    /// The last key with a prefix, but for one that ends in `genesis`.
    LastKey(String),
    /// Remove an object, if there is one.
    Delete(String),
    /// Begin an upload.
    StartUpload(String, WriteId),
    /// Store a part.
    UploadPart(UploadId, u32, Bytes),
    /// Make the object out of these parts; its key names it for the faults.
    Complete(UploadId, Vec<u32>, String),
    /// Drop an upload.
    Abort(UploadId),
    /// What is the time?
    Clock,
}

/// What it answers.
#[derive(Debug, Clone)]
pub enum Reply {
    /// It is done.
    Done,
    /// 412: there is an object.
    Precondition,
    /// Write id and length of the object, if there is one.
    Meta(Option<(WriteId, usize)>),
    /// The object, if there is one, and whether it is as it was written.
    Body(Option<Bytes>, Intact),
    /// The key, if there is one.
    Key(Option<String>),
    /// The upload that was begun.
    Upload(UploadId),
    /// There is no such upload.
    NoSuchUpload,
    /// The time when it was asked.
    Clock(TimestampMs),
    /// It was not done, or nobody knows.
    Refused(Refusal),
}

/// Whether what was read is what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intact {
    /// It is.
    Yes,
    /// This bit is flipped; checksums show it.
    FlippedBit(u8),
}

/// Why something was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 503.
    Throttled,
    /// 500, 409, a passing 400, an error in the body of a 200, or a store that is away.
    Unavailable,
    /// 403.
    Denied,
    /// 400 for good.
    Invalid,
    /// No answer in time.
    TimedOut,
}

/// What a request changed.
#[derive(Debug)]
pub enum Effect {
    /// Nothing.
    None,
    /// An object was written; what was there before.
    Written(String, Option<Object>),
    /// An object was removed.
    Deleted(String, Object),
}

/// What was asked how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Requests that reached the bucket.
    pub requests: u64,
    /// Uploads that became objects.
    pub completions: u64,
    /// Conditions that did not hold.
    pub preconditions: u64,
    /// Completions of uploads that were there no more.
    pub missing_uploads: u64,
}

impl ModelS3 {
    /// An empty bucket that refuses parts below `least_part_bytes`, but for the last.
    pub fn new(least_part_bytes: u64) -> Self {
        Self {
            least_part_bytes,
            ..Self::default()
        }
    }

    /// An object.
    pub fn object(&self, key: &str) -> Option<&Object> {
        self.objects.get(key)
    }

    /// Every key and object, in order.
    pub fn objects(&self) -> impl Iterator<Item = (&String, &Object)> {
        self.objects.iter()
    }

    /// A lifecycle rule drops some upload, whoever works on it.
    pub fn expire_upload(&mut self, rng: &mut Rng) -> Option<UploadId> {
        let id = *rng.choice(self.uploads.keys())?;
        self.uploads.remove(&id);
        Some(id)
    }

    /// Every upload that was neither completed nor dropped: its id, its key, when it was begun.
    pub fn uploads(&self) -> impl Iterator<Item = (UploadId, &str, u64)> {
        let all = self.uploads.iter();
        all.map(|(id, upload)| (*id, upload.key.as_str(), upload.started_at))
    }
}

impl Ask {
    /// The key that it concerns, where it names one.
    pub fn key(&self) -> &str {
        match self {
            Self::Put(key, ..)
            | Self::Create(key, ..)
            | Self::Head(key)
            | Self::Get(key)
            | Self::LastKey(key)
            | Self::Delete(key)
            | Self::StartUpload(key, _)
            | Self::Complete(_, _, key) => key,
            Self::UploadPart(..) | Self::Abort(_) | Self::Clock => "",
        }
    }

    /// The bytes that it carries, if it carries some.
    pub fn body(&self) -> Option<&[u8]> {
        match self {
            Self::Put(_, body, _) | Self::Create(_, body, _) | Self::UploadPart(_, _, body) => {
                Some(body)
            }
            Self::Head(_)
            | Self::Get(_)
            | Self::LastKey(_)
            | Self::Delete(_)
            | Self::StartUpload(..)
            | Self::Complete(..)
            | Self::Abort(_)
            | Self::Clock => None,
        }
    }

    /// The word for it in a trace.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Put(..) => "put",
            Self::Create(..) => "create",
            Self::Head(_) => "head",
            Self::Get(_) => "get",
            Self::LastKey(_) => "list",
            Self::Delete(_) => "delete",
            Self::StartUpload(..) => "start-upload",
            Self::UploadPart(..) => "upload-part",
            Self::Complete(..) => "complete",
            Self::Abort(_) => "abort",
            Self::Clock => "clock",
        }
    }
}
