//! Multipart uploads: parts in parallel while the object still grows, then one completion.

use std::sync::Arc;

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;

use super::attempt::Attempt;
use super::checksum_header;
use super::head::{Expected, WRITE_ID, Whose, whose};
use super::open_uploads;
use super::part_list::{self, UploadPlace, UploadedPart};
use super::request_count::Operation;
use super::s3::Store;
use crate::error::{BucketCause, Error, Result};
use crate::format::checksum::{combine, crc32c};
use crate::ids::WriteId;

/// Most parts that S3 takes.
pub const MAX_PARTS: u32 = 10_000;

/// Smallest part that S3 takes, but for the last.
pub const MIN_PART_BYTES: u64 = 5 * crate::units::MIB;

/// An upload to S3 under way.
#[derive(Debug)]
pub(super) struct S3Upload {
    store: Arc<Store>,
    id: String,
    /// Without the settings' prefix.
    key: String,
    full_key: String,
    write_id: WriteId,
}

/// An object that a multipart upload has made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompletedObject {
    /// Its size.
    pub object_bytes: u64,
    /// CRC32C of all of it.
    pub crc32c: u32,
}

/// How one try to complete ended.
#[derive(Debug)]
enum Completion {
    /// The object is there.
    Done,
    /// The store knows some part under another name, or not at all.
    PartsRenamed(Error),
}

/// Starts an upload.
pub(super) async fn start(store: &Arc<Store>, key: &str, id: WriteId) -> Result<S3Upload> {
    let full_key = store.full_key(key)?;
    let attempt = Attempt::bare(Operation::StartMultipart, &full_key);
    let start_once = || {
        let request = store
            .client()
            .create_multipart_upload()
            .bucket(store.bucket())
            .key(&full_key)
            .metadata(WRITE_ID, id.to_string())
            .checksum_algorithm(ChecksumAlgorithm::Crc32C)
            .checksum_type(ChecksumType::FullObject)
            .set_server_side_encryption(store.encryption().algorithm())
            .set_ssekms_key_id(store.encryption().key())
            .set_bucket_key_enabled(store.encryption().bucket_key());
        store.send(attempt, request.send())
    };
    let answer = store.retrying(start_once).await?;
    let done = answer.server_side_encryption();
    store.encryption().check_begun(attempt, done)?;
    let upload_id = answer
        .upload_id()
        .ok_or_else(|| attempt.failed(BucketCause::Refused, "the answer has no upload id"))?
        .to_owned();
    Ok(S3Upload {
        store: Arc::clone(store),
        id: upload_id,
        key: key.to_owned(),
        full_key,
        write_id: id,
    })
}

impl S3Upload {
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Uploads one part. Safe to repeat.
    pub(super) async fn upload_part(&self, number: u32, body: Bytes) -> Result<UploadedPart> {
        let part_bytes = body.len() as u64;
        let crc = crc32c(&body);
        let attempt = Attempt {
            operation: Operation::UploadPart,
            key: &self.full_key,
            sent_bytes: part_bytes,
        };
        let upload_once = || {
            let request = self
                .store
                .client()
                .upload_part()
                .bucket(self.store.bucket())
                .key(&self.full_key)
                .upload_id(&self.id)
                .part_number(signed(number))
                .checksum_crc32_c(checksum_header::write(crc))
                .body(ByteStream::from(body.clone()))
                .customize()
                .disable_payload_signing();
            self.store.send(attempt, request.send())
        };
        let answer = self.store.retrying(upload_once).await?;
        let etag = answer
            .e_tag()
            .ok_or_else(|| attempt.failed(BucketCause::Refused, "the answer has no ETag"))?
            .to_owned();
        Ok(UploadedPart {
            number,
            part_bytes,
            crc32c: crc,
            etag,
        })
    }

    /// Makes the object out of parts that stand in the order of their numbers. Safe to repeat.
    pub(super) async fn complete(&self, parts: &[&UploadedPart]) -> Result<CompletedObject> {
        let object = whole(parts);
        let completed = self
            .store
            .retrying(|| self.complete_once(parts, object))
            .await?;
        let Completion::PartsRenamed(refused) = completed else {
            return Ok(object);
        };
        let place = UploadPlace {
            full_key: &self.full_key,
            id: &self.id,
        };
        let current = part_list::as_stored(&self.store, place, parts, refused).await?;
        let current: Vec<&UploadedPart> = current.iter().collect();
        let completed = self
            .store
            .retrying(|| self.complete_once(&current, object))
            .await?;
        match completed {
            Completion::Done => Ok(object),
            Completion::PartsRenamed(_) => Err(self.attempt(Operation::CompleteMultipart).failed(
                BucketCause::Unavailable,
                "a part was stored again meanwhile",
            )),
        }
    }

    /// Drops the upload and its parts.
    pub(super) async fn abort(&self) -> Result<()> {
        open_uploads::abort(&self.store, &self.key, &self.id).await
    }

    async fn complete_once(
        &self,
        parts: &[&UploadedPart],
        object: CompletedObject,
    ) -> Result<Completion> {
        let attempt = self.attempt(Operation::CompleteMultipart);
        let listed = parts.iter().map(|part| completed(part)).collect();
        let request = self
            .store
            .client()
            .complete_multipart_upload()
            .bucket(self.store.bucket())
            .key(&self.full_key)
            .upload_id(&self.id)
            .multipart_upload(
                CompletedMultipartUpload::builder()
                    .set_parts(Some(listed))
                    .build(),
            )
            .checksum_type(ChecksumType::FullObject)
            .checksum_crc32_c(checksum_header::write(object.crc32c))
            .mpu_object_size(object.object_bytes.cast_signed());
        let Err(refusal) = self.store.send_and_look(attempt, request.send()).await? else {
            return Ok(Completion::Done);
        };
        let error = attempt.refused(&refusal);
        match refusal.code() {
            Some("NoSuchUpload") => self
                .resolve_missing_upload(object, error)
                .await
                .map(|()| Completion::Done),
            Some("InvalidPart") => Ok(Completion::PartsRenamed(error)),
            Some(_) | None => Err(error),
        }
    }

    /// An upload that is gone may be one that an earlier try has completed: the object itself tells.
    async fn resolve_missing_upload(&self, object: CompletedObject, error: Error) -> Result<()> {
        let expected = Expected {
            write_id: self.write_id,
            object_bytes: object.object_bytes,
            crc32c: object.crc32c,
        };
        match whose(&self.store, &self.full_key, expected).await? {
            Whose::Ours => Ok(()),
            Whose::Another | Whose::Nobody => Err(error),
        }
    }

    fn attempt(&self, operation: Operation) -> Attempt<'_> {
        Attempt::bare(operation, &self.full_key)
    }
}

/// Size and checksum of the object that the parts make in this order.
pub(super) fn whole(parts: &[&UploadedPart]) -> CompletedObject {
    let empty = CompletedObject {
        object_bytes: 0,
        crc32c: crc32c(&[]),
    };
    parts.iter().fold(empty, |object, part| CompletedObject {
        object_bytes: object.object_bytes + part.part_bytes,
        crc32c: combine(object.crc32c, part.crc32c, part.part_bytes),
    })
}

fn completed(part: &UploadedPart) -> CompletedPart {
    CompletedPart::builder()
        .part_number(signed(part.number))
        .e_tag(&part.etag)
        .checksum_crc32_c(checksum_header::write(part.crc32c))
        .build()
}

fn signed(number: u32) -> i32 {
    i32::try_from(number).expect("a part's number is at most 10,000")
}
