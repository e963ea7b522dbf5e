//! Small objects in one request: create-if-absent, put, delete.

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

use super::attempt::Attempt;
use super::checksum_header;
use super::head::{Expected, WRITE_ID, Whose, whose};
use super::refusal;
use super::request_count::Operation;
use super::s3::Store;
use crate::error::{BucketCause, Result};
use crate::format::checksum::crc32c;
use crate::ids::WriteId;

/// How a create-if-absent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a key that is taken means that nothing was written"]
pub enum Created {
    /// The object is ours: written now, or by an earlier try with the same id.
    Ours,
    /// Another writer's object has the key.
    Taken,
}

/// Creates `key` if absent.
pub(super) async fn create(store: &Store, key: &str, body: Bytes, id: WriteId) -> Result<Created> {
    let key = store.full_key(key)?;
    let write = Write::new(&key, body, id);
    store.retrying(|| create_once(store, &write)).await
}

/// Writes `key`, whatever is there.
pub(super) async fn put(store: &Store, key: &str, body: Bytes, id: WriteId) -> Result<()> {
    let key = store.full_key(key)?;
    let write = Write::new(&key, body, id);
    let attempt = write.attempt(Operation::Put);
    let put_once = || async {
        let request = write.request(store).customize().disable_payload_signing();
        let answer = store.send(attempt, request.send()).await?;
        let done = answer.server_side_encryption();
        store.encryption().check(attempt, done)
    };
    store.retrying(put_once).await
}

/// Deletes `key`, if it is there.
pub(super) async fn delete(store: &Store, key: &str) -> Result<()> {
    let key = store.full_key(key)?;
    let attempt = Attempt::bare(Operation::Delete, &key);
    let delete_once = || async {
        let request = store
            .client()
            .delete_object()
            .bucket(store.bucket())
            .key(&key);
        match store.send_and_look(attempt, request.send()).await? {
            Ok(_) => Ok(()),
            Err(refusal) if refusal.code() == Some("NoSuchKey") => Ok(()),
            Err(refusal) => Err(attempt.refused(&refusal)),
        }
    };
    store.retrying(delete_once).await
}

async fn create_once(store: &Store, write: &Write<'_>) -> Result<Created> {
    let attempt = write.attempt(Operation::Create);
    let request = write
        .request(store)
        .if_none_match("*")
        .customize()
        .disable_payload_signing();
    let refusal = match store.send_and_look(attempt, request.send()).await? {
        Ok(answer) => {
            let done = answer.server_side_encryption();
            store.encryption().check(attempt, done)?;
            return Ok(Created::Ours);
        }
        Err(refusal) => refusal,
    };
    if refusal::status(&refusal) != Some(412) {
        return Err(attempt.refused(&refusal));
    }
    // The object may be our own: an earlier try can have succeeded without our seeing its answer.
    match whose(store, write.key, write.expected).await? {
        Whose::Ours => Ok(Created::Ours),
        Whose::Another => Ok(Created::Taken),
        Whose::Nobody => {
            let reason = "the store says that the key is taken, and that it does not exist";
            Err(attempt.failed(BucketCause::Unavailable, reason))
        }
    }
}

/// A whole object on its way in.
#[derive(Debug)]
struct Write<'a> {
    key: &'a str,
    body: Bytes,
    expected: Expected,
}

impl<'a> Write<'a> {
    fn new(key: &'a str, body: Bytes, write_id: WriteId) -> Self {
        let expected = Expected {
            write_id,
            object_bytes: body.len() as u64,
            crc32c: crc32c(&body),
        };
        Self {
            key,
            body,
            expected,
        }
    }

    fn attempt(&self, operation: Operation) -> Attempt<'a> {
        Attempt {
            operation,
            key: self.key,
            sent_bytes: self.expected.object_bytes,
        }
    }

    /// The bytes travel unsigned: their CRC32C is signed, and hashing them again would cost more than
    /// sending them.
    fn request(&self, store: &Store) -> PutObjectFluentBuilder {
        store
            .client()
            .put_object()
            .bucket(store.bucket())
            .key(self.key)
            .metadata(WRITE_ID, self.expected.write_id.to_string())
            .checksum_crc32_c(checksum_header::write(self.expected.crc32c))
            .set_server_side_encryption(store.encryption().algorithm())
            .set_ssekms_key_id(store.encryption().key())
            .set_bucket_key_enabled(store.encryption().bucket_key())
            .body(ByteStream::from(self.body.clone()))
    }
}
