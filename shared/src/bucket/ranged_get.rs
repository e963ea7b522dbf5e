//! Reads: whole objects, checked against the store's checksum, and ranges of them.

use std::ops::Range;

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use bytes::{Bytes, BytesMut};

use super::attempt::Attempt;
use super::checksum_header;
use super::refusal;
use super::request_count::Operation;
use super::s3::Store;
use crate::error::{BucketCause, Error, Result};
use crate::format::checksum::crc32c;
use crate::units::MIB;

/// Largest object that is read whole.
pub(super) const MAX_WHOLE_BYTES: u64 = 1024 * MIB;

/// The end of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// Its last bytes.
    pub bytes: Bytes,
    /// Size of the whole object.
    pub object_bytes: u64,
}

/// Reads a whole object that has to be there.
pub(super) async fn get(store: &Store, key: &str) -> Result<Bytes> {
    find(store, key).await?.ok_or_else(|| {
        let full = format!("{}{key}", store.prefix());
        Attempt::bare(Operation::Get, &full)
            .failed(BucketCause::NotFound, "there is no such object")
    })
}

/// Reads a whole object, if there is one.
pub(super) async fn find(store: &Store, key: &str) -> Result<Option<Bytes>> {
    let key = store.full_key(key)?;
    store.retrying(|| find_once(store, &key)).await
}

/// Reads exactly `range`.
pub(super) async fn get_range(store: &Store, key: &str, range: Range<u64>) -> Result<Bytes> {
    let key = store.full_key(key)?;
    if range.is_empty() {
        return Ok(Bytes::new());
    }
    store
        .retrying(|| get_range_once(store, &key, range.clone()))
        .await
}

/// Reads the last bytes.
pub(super) async fn get_tail(store: &Store, key: &str, max_bytes: u64) -> Result<Tail> {
    let key = store.full_key(key)?;
    assert!(max_bytes > 0, "a tail of no bytes is no request");
    store
        .retrying(|| get_tail_once(store, &key, max_bytes))
        .await
}

async fn find_once(store: &Store, key: &str) -> Result<Option<Bytes>> {
    let attempt = Attempt::bare(Operation::Get, key);
    // Asked for by hand: with the SDK's own switch it would check the body too, and its error does not
    // say which checksum differs from which.
    let request = request(store, key).customize().mutate_request(|request| {
        request
            .headers_mut()
            .insert("x-amz-checksum-mode", "ENABLED");
    });
    let answer = match store.send_and_look(attempt, request.send()).await? {
        Ok(answer) => answer,
        Err(refusal) if refusal.code() == Some("NoSuchKey") => return Ok(None),
        Err(refusal) => return Err(attempt.refused(&refusal)),
    };
    let stored_crc = answer.checksum_crc32_c().and_then(checksum_header::read);
    let length = content_length(attempt, &answer)?;
    if length > MAX_WHOLE_BYTES {
        let reason = format!("has {length} bytes, only {MAX_WHOLE_BYTES} are read at once");
        return Err(attempt.failed(BucketCause::Refused, reason));
    }
    let bytes = read_body(store, attempt, answer.body, length).await?;
    let computed = crc32c(&bytes);
    if let Some(stored) = stored_crc.filter(|stored| *stored != computed) {
        let reason = format!("crc32c is {computed:08x}, the store keeps {stored:08x}");
        return Err(attempt.failed(BucketCause::Damaged, reason));
    }
    Ok(Some(bytes))
}

async fn get_range_once(store: &Store, key: &str, range: Range<u64>) -> Result<Bytes> {
    let attempt = Attempt::bare(Operation::Get, key);
    let wanted = format!("bytes={}-{}", range.start, range.end - 1);
    let request = request(store, key).range(wanted);
    let too_short = |object_bytes: Option<u64>| {
        let size = object_bytes.map_or("fewer".to_owned(), |bytes| bytes.to_string());
        let reason = format!("bytes {range:?} were asked for, the object has {size}");
        attempt.failed(BucketCause::Damaged, reason)
    };
    let answer = match store.send_and_look(attempt, request.send()).await? {
        Ok(answer) => answer,
        Err(refusal) if refusal::status(&refusal) == Some(416) => return Err(too_short(None)),
        Err(refusal) => return Err(attempt.refused(&refusal)),
    };
    let sent = ContentRange::of(attempt, &answer)?;
    if sent.start != range.start || sent.end > range.end {
        let reason = format!("bytes {range:?} were asked for, {sent:?} came");
        return Err(attempt.failed(BucketCause::Refused, reason));
    }
    if sent.end < range.end {
        return Err(too_short(Some(sent.object_bytes)));
    }
    read_body(store, attempt, answer.body, range.end - range.start).await
}

async fn get_tail_once(store: &Store, key: &str, max_bytes: u64) -> Result<Tail> {
    let attempt = Attempt::bare(Operation::Get, key);
    let request = request(store, key).range(format!("bytes=-{max_bytes}"));
    let answer = match store.send_and_look(attempt, request.send()).await? {
        Ok(answer) => answer,
        // Only an empty object has no last bytes.
        Err(refusal) if refusal::status(&refusal) == Some(416) => {
            return Ok(Tail {
                bytes: Bytes::new(),
                object_bytes: 0,
            });
        }
        Err(refusal) => return Err(attempt.refused(&refusal)),
    };
    let sent = ContentRange::of(attempt, &answer)?;
    let object_bytes = sent.object_bytes;
    if sent.end != object_bytes || object_bytes - sent.start != object_bytes.min(max_bytes) {
        let reason = format!("the last {max_bytes} bytes were asked for, {sent:?} came");
        return Err(attempt.failed(BucketCause::Refused, reason));
    }
    let bytes = read_body(store, attempt, answer.body, sent.end - sent.start).await?;
    Ok(Tail {
        bytes,
        object_bytes,
    })
}

fn request(store: &Store, key: &str) -> GetObjectFluentBuilder {
    store.client().get_object().bucket(store.bucket()).key(key)
}

/// Reads a body that has to have `length` bytes, which the caller has bounded.
async fn read_body(
    store: &Store,
    attempt: Attempt<'_>,
    body: ByteStream,
    length: u64,
) -> Result<Bytes> {
    let mut body = body;
    let expected = usize::try_from(length).expect("a 64-bit target holds every length");
    let read_all = async {
        let mut bytes = BytesMut::with_capacity(expected);
        while let Some(chunk) = body.try_next().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok::<_, aws_sdk_s3::primitives::ByteStreamError>(bytes)
    };
    let bytes = store
        .limited(attempt, length, read_all)
        .await?
        .map_err(|error| {
            let reason = format!("the body broke off: {error}");
            attempt.failed(BucketCause::Unavailable, reason)
        })?;
    store.requests().received(bytes.len() as u64);
    if bytes.len() != expected {
        let reason = format!("{length} bytes were promised, {} came", bytes.len());
        return Err(attempt.failed(BucketCause::Unavailable, reason));
    }
    Ok(bytes.freeze())
}

fn content_length(attempt: Attempt<'_>, answer: &GetObjectOutput) -> Result<u64> {
    answer
        .content_length()
        .and_then(|bytes| u64::try_from(bytes).ok())
        .ok_or_else(|| attempt.failed(BucketCause::Refused, "the answer has no Content-Length"))
}

/// Which bytes of how many an answer holds.
#[derive(Debug, Default, PartialEq, Eq)]
struct ContentRange {
    start: u64,
    end: u64,
    object_bytes: u64,
}

impl ContentRange {
    fn of(attempt: Attempt<'_>, answer: &GetObjectOutput) -> Result<Self> {
        let Some(text) = answer.content_range() else {
            // A store may answer with all of a small object.
            let object_bytes = content_length(attempt, answer)?;
            return Ok(Self {
                start: 0,
                end: object_bytes,
                object_bytes,
            });
        };
        Self::parse(text).ok_or_else(|| Self::refuse(attempt, text))
    }

    /// Reads `bytes <first>-<last>/<size>`.
    fn parse(text: &str) -> Option<Self> {
        let (bounds, object_bytes) = text.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = bounds.split_once('-')?;
        let (start, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        let object_bytes = object_bytes.parse().ok()?;
        if object_bytes == 0 {
            // An empty object has no last byte to name, but some stores name one.
            return Some(Self::default());
        }
        let end = last.checked_add(1)?;
        (start < end && end <= object_bytes).then_some(Self {
            start,
            end,
            object_bytes,
        })
    }

    fn refuse(attempt: Attempt<'_>, text: &str) -> Error {
        let reason = format!("Content-Range `{text}` makes no sense");
        attempt.failed(BucketCause::Refused, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_that_makes_no_sense_is_refused() {
        let parsed = ContentRange::parse("bytes 2-5/10").unwrap();
        assert_eq!((parsed.start, parsed.end, parsed.object_bytes), (2, 6, 10));
        assert_eq!(
            ContentRange::parse("bytes 0-0/0"),
            Some(ContentRange::default())
        );
        for text in [
            "",
            "bytes */10",
            "bytes 5-2/10",
            "bytes 0-10/10",
            "bytes 0-18446744073709551615/10",
            "bytes 0-1/*",
            "items 0-1/2",
        ] {
            assert_eq!(ContentRange::parse(text), None, "{text}");
        }
    }
}
