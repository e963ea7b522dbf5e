//! Whole objects and parts that come in, and deletes.

use std::time::SystemTime;

use s3s::dto::{
    Checksum, DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput,
    DeletedObject, PutObjectInput, PutObjectOutput, UploadPartInput, UploadPartOutput,
};
use s3s::{S3Request, S3Result};

use super::blob::receive;
use super::checksum::{Announced, BodyCheck};
use super::multipart::{self, checksum_type};
use super::object_store::{Condition, Object, ObjectStore, entity_tag};
use super::uploads::Attributes;

pub(super) async fn put(
    store: &ObjectStore,
    request: S3Request<PutObjectInput>,
) -> S3Result<PutObjectOutput> {
    let trailer_names = trailer_names(&request);
    let input = request.input;
    let condition = Condition::of_write(input.if_match, input.if_none_match)?;
    store.with_objects(&input.bucket, |_| ())?;
    let check = BodyCheck::new(Announced {
        checksum: Checksum {
            checksum_crc32: input.checksum_crc32,
            checksum_crc32c: input.checksum_crc32c,
            checksum_crc64nvme: input.checksum_crc64nvme,
            checksum_sha1: input.checksum_sha1,
            checksum_sha256: input.checksum_sha256,
            checksum_type: None,
        },
        content_md5: input.content_md5,
        trailers: request.trailing_headers,
        trailer_names,
    });
    let run = receive(store.blobs().as_deref(), input.body, check).await?;
    let object = Object {
        entity_tag: run.crcs.entity_tag(run.bytes, 1),
        crc32c: run.crcs.crc32c_text(),
        composite: false,
        attributes: Attributes {
            metadata: input.metadata.unwrap_or_default().into_iter().collect(),
            content_type: input.content_type,
        },
        last_modified: SystemTime::now(),
        runs: vec![run],
    };
    let output = PutObjectOutput {
        e_tag: Some(entity_tag(&object.entity_tag)),
        checksum_crc32c: Some(object.crc32c.clone()),
        checksum_type: Some(checksum_type(&object)),
        ..PutObjectOutput::default()
    };
    store.put(&input.bucket, &input.key, object, &condition)?;
    Ok(output)
}

pub(super) async fn put_part(
    store: &ObjectStore,
    request: S3Request<UploadPartInput>,
) -> S3Result<UploadPartOutput> {
    let trailer_names = trailer_names(&request);
    let input = request.input;
    let check = BodyCheck::new(Announced {
        checksum: Checksum {
            checksum_crc32: input.checksum_crc32,
            checksum_crc32c: input.checksum_crc32c,
            checksum_crc64nvme: input.checksum_crc64nvme,
            checksum_sha1: input.checksum_sha1,
            checksum_sha256: input.checksum_sha256,
            checksum_type: None,
        },
        content_md5: input.content_md5,
        trailers: request.trailing_headers,
        trailer_names,
    });
    let run = receive(store.blobs().as_deref(), input.body, check).await?;
    let upload = (input.bucket, input.key, input.upload_id);
    multipart::add_part(store, upload, (input.part_number, run))
}

pub(super) fn delete(
    store: &ObjectStore,
    input: DeleteObjectInput,
) -> S3Result<DeleteObjectOutput> {
    let condition = Condition::of_write(input.if_match, None)?;
    store.delete(&input.bucket, &input.key, &condition)?;
    Ok(DeleteObjectOutput::default())
}

pub(super) fn delete_many(store: &ObjectStore, input: DeleteObjectsInput) -> DeleteObjectsOutput {
    let mut output = DeleteObjectsOutput::default();
    let mut deleted = Vec::new();
    let mut errors = Vec::new();
    for object in input.delete.objects {
        let condition = object
            .e_tag
            .map_or(Condition::None, |tag| Condition::Matches(tag.into_value()));
        match store.delete(&input.bucket, &object.key, &condition) {
            Ok(()) => deleted.push(DeletedObject {
                key: Some(object.key),
                ..DeletedObject::default()
            }),
            Err(error) => errors.push(s3s::dto::Error {
                code: Some(error.code().as_str().to_owned()),
                key: Some(object.key),
                message: error.message().map(str::to_owned),
                version_id: None,
            }),
        }
    }
    if input.delete.quiet != Some(true) {
        output.deleted = Some(deleted);
    }
    output.errors = Some(errors);
    output
}

/// The names of the values that follow the body.
fn trailer_names<T>(request: &S3Request<T>) -> String {
    let header = request.headers.get("x-amz-trailer");
    let names = header.and_then(|value| value.to_str().ok());
    names.unwrap_or_default().to_owned()
}
