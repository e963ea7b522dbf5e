//! Objects that go out: whole, in ranges, described, listed.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::SeekFrom;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream;
use s3s::dto::{
    ChecksumMode, CommonPrefix, EncodingType, GetObjectInput, GetObjectOutput, HeadObjectInput,
    HeadObjectOutput, IfMatch, IfNoneMatch, ListObjectsV2Input, ListObjectsV2Output,
    Object as Listed, StreamingBlob,
};
use s3s::{S3Result, s3_error};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::blob::Blob;
use super::listing::{ListRequest, Resume, list};
use super::multipart::checksum_type;
use super::object_store::{Object, ObjectStore, entity_tag};

/// Files are read and sent in runs of at most this size.
const READ_BYTES: u64 = 256 * 1024;

pub(super) fn get(store: &ObjectStore, input: GetObjectInput) -> S3Result<GetObjectOutput> {
    let object = store.get(&input.bucket, &input.key)?;
    check_conditions(&object, input.if_match, input.if_none_match)?;
    let bytes = object.bytes();
    let span = match input.range {
        None => 0..bytes,
        Some(range) => range.check(bytes).map_err(|_| {
            s3_error!(
                InvalidRange,
                "the range lies beyond the object; bytes=`{bytes}`"
            )
        })?,
    };
    // A checksum belongs to the whole object, so a part of it goes out without one.
    let with_checksum = input.range.is_none() && asks_checksum(input.checksum_mode.as_ref());
    let content_range = format!(
        "bytes {}-{}/{bytes}",
        span.start,
        span.end.saturating_sub(1)
    );
    Ok(GetObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        content_length: i64::try_from(span.end - span.start).ok(),
        content_range: input.range.is_some().then_some(content_range),
        content_type: content_type(&object),
        checksum_crc32c: with_checksum.then(|| object.crc32c.clone()),
        checksum_type: with_checksum.then(|| checksum_type(&object)),
        e_tag: Some(entity_tag(&object.entity_tag)),
        last_modified: Some(object.last_modified.into()),
        metadata: Some(object.attributes.metadata.clone().into_iter().collect()),
        body: Some(body_of(&object, span)),
        ..GetObjectOutput::default()
    })
}

pub(super) fn head(store: &ObjectStore, input: HeadObjectInput) -> S3Result<HeadObjectOutput> {
    let object = store.get(&input.bucket, &input.key)?;
    check_conditions(&object, input.if_match, input.if_none_match)?;
    let with_checksum = asks_checksum(input.checksum_mode.as_ref());
    Ok(HeadObjectOutput {
        accept_ranges: Some("bytes".to_owned()),
        content_length: i64::try_from(object.bytes()).ok(),
        content_type: content_type(&object),
        checksum_crc32c: with_checksum.then(|| object.crc32c.clone()),
        checksum_type: with_checksum.then(|| checksum_type(&object)),
        e_tag: Some(entity_tag(&object.entity_tag)),
        last_modified: Some(object.last_modified.into()),
        metadata: Some(object.attributes.metadata.clone().into_iter().collect()),
        ..HeadObjectOutput::default()
    })
}

pub(super) fn list_page(
    store: &ObjectStore,
    input: &ListObjectsV2Input,
    page_keys: usize,
) -> S3Result<ListObjectsV2Output> {
    let resume = match &input.continuation_token {
        None => None,
        Some(token) => Some(Resume::parse(token).ok_or_else(|| {
            s3_error!(
                InvalidArgument,
                "the continuation token is not one of this server"
            )
        })?),
    };
    let request = ListRequest {
        prefix: input.prefix.clone().unwrap_or_default(),
        delimiter: input.delimiter.clone(),
        start_after: input.start_after.clone(),
        resume,
        max_keys: usize::try_from(input.max_keys.unwrap_or(1000))
            .unwrap_or(0)
            .min(page_keys),
    };
    let url = EncodingType::from_static(EncodingType::URL);
    let encode = match &input.encoding_type {
        Some(asked) if *asked == url => percent_encoded,
        Some(_) | None => str::to_owned,
    };
    store.with_objects(&input.bucket, |objects| {
        let page = list(objects, &request);
        let contents = page.objects.iter().map(|(key, object)| Listed {
            key: Some(encode(key)),
            size: i64::try_from(object.bytes()).ok(),
            e_tag: Some(entity_tag(&object.entity_tag)),
            last_modified: Some(object.last_modified.into()),
            ..Listed::default()
        });
        let prefixes = page.common_prefixes.iter().map(|prefix| CommonPrefix {
            prefix: Some(encode(prefix)),
        });
        ListObjectsV2Output {
            name: Some(input.bucket.clone()),
            prefix: input.prefix.as_deref().map(encode),
            delimiter: input.delimiter.as_deref().map(encode),
            start_after: input.start_after.as_deref().map(encode),
            encoding_type: input.encoding_type.clone(),
            max_keys: Some(input.max_keys.unwrap_or(1000)),
            key_count: i32::try_from(page.objects.len() + page.common_prefixes.len()).ok(),
            continuation_token: input.continuation_token.clone(),
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next.as_ref().map(Resume::token),
            contents: Some(contents.collect()),
            common_prefixes: Some(prefixes.collect()),
            ..ListObjectsV2Output::default()
        }
    })
}

fn asks_checksum(mode: Option<&ChecksumMode>) -> bool {
    mode.is_some_and(|mode| mode.as_str().eq_ignore_ascii_case("enabled"))
}

fn content_type(object: &Object) -> Option<String> {
    let given = object.attributes.content_type.clone();
    given.or_else(|| Some("application/octet-stream".to_owned()))
}

fn check_conditions(
    object: &Object,
    if_match: Option<IfMatch>,
    if_none_match: Option<IfNoneMatch>,
) -> S3Result<()> {
    let holds = |condition: &IfMatch| match condition {
        IfMatch::Any => true,
        IfMatch::ETag(tag) => tag.value() == object.entity_tag,
    };
    if if_match.is_some_and(|condition| !holds(&condition)) {
        return Err(s3_error!(
            PreconditionFailed,
            "the object is another version"
        ));
    }
    if if_none_match.is_some_and(|condition| holds(&condition)) {
        return Err(s3_error!(NotModified));
    }
    Ok(())
}

/// What is still to be sent: stretches of blobs in order, and the file that is open.
struct Outgoing {
    stretches: VecDeque<(Arc<Blob>, Range<u64>)>,
    open: Option<File>,
}

fn body_of(object: &Object, span: Range<u64>) -> StreamingBlob {
    let mut stretches = VecDeque::new();
    let mut begin = 0;
    for run in &object.runs {
        let end = begin + run.bytes;
        let (from, to) = (span.start.max(begin), span.end.min(end));
        if from < to {
            stretches.push_back((Arc::clone(&run.blob), from - begin..to - begin));
        }
        begin = end;
    }
    let outgoing = Outgoing {
        stretches,
        open: None,
    };
    StreamingBlob::wrap(stream::try_unfold(outgoing, |mut outgoing| async move {
        let chunk = outgoing.next_chunk().await?;
        Ok::<_, std::io::Error>(chunk.map(|chunk| (chunk, outgoing)))
    }))
}

impl Outgoing {
    async fn next_chunk(&mut self) -> std::io::Result<Option<Bytes>> {
        let Some((blob, span)) = self.stretches.front_mut() else {
            return Ok(None);
        };
        let path = match &**blob {
            Blob::Memory(bytes) => {
                let chunk = bytes.slice(index(span.start)..index(span.end));
                self.stretches.pop_front();
                return Ok(Some(chunk));
            }
            Blob::File(file) => file.path(),
        };
        let file = match &mut self.open {
            Some(file) => file,
            none @ None => {
                let mut file = File::open(path).await?;
                file.seek(SeekFrom::Start(span.start)).await?;
                none.insert(file)
            }
        };
        let wanted = (span.end - span.start).min(READ_BYTES);
        let mut chunk = BytesMut::with_capacity(index(wanted));
        if file.take(wanted).read_buf(&mut chunk).await? == 0 {
            let reason = "the file is shorter than the object";
            return Err(std::io::Error::new(
                std::io::ErrorKind::UnexpectedEof,
                reason,
            ));
        }
        span.start += u64::try_from(chunk.len()).expect("a length fits 64 bits");
        if span.is_empty() {
            self.stretches.pop_front();
            self.open = None;
        }
        Ok(Some(chunk.freeze()))
    }
}

fn index(position: u64) -> usize {
    usize::try_from(position).expect("a 64-bit target holds every position")
}

/// As `encoding-type=url` asks for.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'/') {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a string takes any text");
        }
    }
    encoded
}
