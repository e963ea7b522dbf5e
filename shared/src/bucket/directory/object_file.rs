//! Reads of one object's file. Everything here blocks.

use std::fs::{File, Metadata};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

use bytes::Bytes;

use super::trailer::{TRAILER_BYTES, Trailer};
use super::tree::if_there;
use super::trouble::{Outcome, at};
use crate::bucket::head::ObjectMeta;
use crate::bucket::ranged_get::{MAX_WHOLE_BYTES, Tail};
use crate::format::checksum::crc32c;
use crate::window::TimestampMs;

/// How a read of a whole object ended.
#[derive(Debug)]
pub(super) enum Whole {
    /// The bytes match their checksum.
    Sound(Bytes),
    /// They do not, or nobody can say.
    Damaged(String),
    /// It has so many bytes that it is not read at once.
    TooLarge(u64),
}

/// How a read of a range ended.
#[derive(Debug)]
pub(super) enum Piece {
    /// All of it.
    Whole(Bytes),
    /// The object has only so many bytes.
    Short(u64),
}

/// Size of the object that a file holds.
pub(super) fn object_bytes(file: &Metadata) -> u64 {
    file.len().saturating_sub(TRAILER_BYTES as u64)
}

/// When a file was written, in milliseconds.
pub(super) fn written(file: &Metadata) -> Option<TimestampMs> {
    let since = file.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok().map(TimestampMs)
}

/// What is known about the object; what a damaged trailer would say is missing.
pub(super) fn head(path: &Path) -> Outcome<Option<ObjectMeta>> {
    let Some(object) = OpenObject::open(path)? else {
        return Ok(None);
    };
    let trailer = object.trailer(path)?;
    Ok(Some(ObjectMeta {
        object_bytes: object.object_bytes,
        write_id: trailer.map(|trailer| trailer.write_id),
        crc32c: trailer.map(|trailer| trailer.crc32c),
        last_modified: object.written,
    }))
}

/// Reads all of it and checks it.
pub(super) fn read(path: &Path) -> Outcome<Option<Whole>> {
    let Some(object) = OpenObject::open(path)? else {
        return Ok(None);
    };
    if object.object_bytes > MAX_WHOLE_BYTES {
        return Ok(Some(Whole::TooLarge(object.object_bytes)));
    }
    let bytes = object.read_at(path, 0..object.object_bytes)?;
    let computed = crc32c(&bytes);
    Ok(Some(match object.trailer(path)? {
        None => Whole::Damaged("its trailer is damaged or cut off".to_owned()),
        Some(Trailer { crc32c: stored, .. }) if stored != computed => {
            let reason = format!("crc32c is {computed:08x}, its trailer says {stored:08x}");
            Whole::Damaged(reason)
        }
        Some(_) => Whole::Sound(bytes),
    }))
}

/// Reads a range of it.
pub(super) fn read_range(path: &Path, range: Range<u64>) -> Outcome<Option<Piece>> {
    let Some(object) = OpenObject::open(path)? else {
        return Ok(None);
    };
    if range.end > object.object_bytes {
        return Ok(Some(Piece::Short(object.object_bytes)));
    }
    object.read_at(path, range).map(Piece::Whole).map(Some)
}

/// Reads its last bytes.
pub(super) fn read_tail(path: &Path, max_bytes: u64) -> Outcome<Option<Tail>> {
    let Some(object) = OpenObject::open(path)? else {
        return Ok(None);
    };
    let object_bytes = object.object_bytes;
    let start = object_bytes.saturating_sub(max_bytes);
    let bytes = object.read_at(path, start..object_bytes)?;
    Ok(Some(Tail {
        bytes,
        object_bytes,
    }))
}

/// A file that is open: what is read of it is of one write, whoever gives its name to another meanwhile.
#[derive(Debug)]
struct OpenObject {
    file: File,
    object_bytes: u64,
    file_bytes: u64,
    written: Option<TimestampMs>,
}

impl OpenObject {
    fn open(path: &Path) -> Outcome<Option<Self>> {
        let Some(file) = if_there(File::open(path).map_err(at(path)))? else {
            return Ok(None);
        };
        let metadata = file.metadata().map_err(at(path))?;
        Ok(Some(Self {
            object_bytes: object_bytes(&metadata),
            file_bytes: metadata.len(),
            written: written(&metadata),
            file,
        }))
    }

    fn read_at(&self, path: &Path, range: Range<u64>) -> Outcome<Bytes> {
        let length = usize::try_from(range.end - range.start);
        let mut bytes = vec![0; length.expect("a 64-bit target holds every length")];
        self.file
            .read_exact_at(&mut bytes, range.start)
            .map_err(at(path))?;
        Ok(bytes.into())
    }

    fn trailer(&self, path: &Path) -> Outcome<Option<Trailer>> {
        let mut bytes = [0; TRAILER_BYTES];
        if self.file_bytes < bytes.len() as u64 {
            return Ok(None);
        }
        self.file
            .read_exact_at(&mut bytes, self.object_bytes)
            .map_err(at(path))?;
        Ok(Trailer::read(&bytes, self.object_bytes))
    }
}
