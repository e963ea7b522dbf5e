//! Multipart uploads: parts arrive in any order; completing joins them without a copy.

use std::collections::BTreeMap;
use std::time::SystemTime;

use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumType,
    CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart,
    CreateMultipartUploadInput, CreateMultipartUploadOutput, ListMultipartUploadsInput,
    ListMultipartUploadsOutput, ListPartsInput, ListPartsOutput, MultipartUpload, Part,
    UploadPartOutput,
};
use s3s::{S3Error, S3Result, s3_error};
use uuid::Uuid;

use super::MIN_PART_BYTES;
use super::blob::StoredRun;
use super::checksum::{Crcs, composite_crc32c, refuse_unless_equal};
use super::object_store::{Condition, Object, ObjectStore, entity_tag, no_such_bucket};
use super::uploads::{Attributes, Upload, UploadKey};

/// Keeps a part, over one of the same number.
pub(super) fn add_part(
    store: &ObjectStore,
    (bucket, key, id): (String, String, String),
    (number, run): (i32, StoredRun),
) -> S3Result<UploadPartOutput> {
    if !(1..=10_000).contains(&number) {
        return Err(s3_error!(
            InvalidArgument,
            "a part's number lies in 1..=10000"
        ));
    }
    let upload_key = UploadKey { bucket, key, id };
    let output = UploadPartOutput {
        e_tag: Some(entity_tag(&run.crcs.entity_tag(run.bytes, 1))),
        checksum_crc32c: Some(run.crcs.crc32c_text()),
        ..UploadPartOutput::default()
    };
    let mut uploads = store.uploads.lock();
    let upload = uploads.get_mut(&upload_key).ok_or_else(no_such_upload)?;
    upload.parts.insert(number, run);
    Ok(output)
}

pub(super) fn create(
    store: &ObjectStore,
    input: CreateMultipartUploadInput,
) -> S3Result<CreateMultipartUploadOutput> {
    store.with_objects(&input.bucket, |_| ())?;
    let id = Uuid::new_v4().simple().to_string();
    let full = ChecksumType::from_static(ChecksumType::FULL_OBJECT);
    let upload = Upload {
        attributes: Attributes {
            metadata: input.metadata.unwrap_or_default().into_iter().collect(),
            content_type: input.content_type,
        },
        full_object: input.checksum_type.as_ref() == Some(&full),
        initiated: SystemTime::now(),
        parts: BTreeMap::new(),
    };
    let key = UploadKey {
        bucket: input.bucket.clone(),
        key: input.key.clone(),
        id: id.clone(),
    };
    store.uploads.lock().insert(key, upload);
    Ok(CreateMultipartUploadOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(id),
        checksum_algorithm: input.checksum_algorithm,
        checksum_type: input.checksum_type,
        ..CreateMultipartUploadOutput::default()
    })
}

pub(super) fn complete(
    store: &ObjectStore,
    input: &CompleteMultipartUploadInput,
) -> S3Result<CompleteMultipartUploadOutput> {
    let condition = Condition::of_write(input.if_match.clone(), input.if_none_match.clone())?;
    let upload_key = UploadKey {
        bucket: input.bucket.clone(),
        key: input.key.clone(),
        id: input.upload_id.clone(),
    };
    // Taken out while it is joined, so that two completions of one upload never share its parts.
    let upload = store.uploads.lock().remove(&upload_key);
    let upload = upload.ok_or_else(no_such_upload)?;
    let joined = join(&upload, input).and_then(|object| {
        let output = CompleteMultipartUploadOutput {
            bucket: Some(input.bucket.clone()),
            key: Some(input.key.clone()),
            e_tag: Some(entity_tag(&object.entity_tag)),
            checksum_crc32c: Some(object.crc32c.clone()),
            checksum_type: Some(checksum_type(&object)),
            ..CompleteMultipartUploadOutput::default()
        };
        store.put(&input.bucket, &input.key, object, &condition)?;
        Ok(output)
    });
    if joined.is_err() {
        store.uploads.lock().insert(upload_key, upload);
    }
    joined
}

pub(super) fn abort(
    store: &ObjectStore,
    input: AbortMultipartUploadInput,
) -> S3Result<AbortMultipartUploadOutput> {
    let key = UploadKey {
        bucket: input.bucket,
        key: input.key,
        id: input.upload_id,
    };
    let removed = store.uploads.lock().remove(&key);
    removed.ok_or_else(no_such_upload)?;
    Ok(AbortMultipartUploadOutput::default())
}

pub(super) fn list_parts(store: &ObjectStore, input: ListPartsInput) -> S3Result<ListPartsOutput> {
    let upload_key = UploadKey {
        bucket: input.bucket.clone(),
        key: input.key.clone(),
        id: input.upload_id.clone(),
    };
    let uploads = store.uploads.lock();
    let upload = uploads.get(&upload_key).ok_or_else(no_such_upload)?;
    let marker = input.part_number_marker.unwrap_or(0);
    let limit = page_size(input.max_parts);
    let mut parts: Vec<Part> = upload
        .parts
        .range(marker.saturating_add(1)..)
        .take(limit + 1)
        .map(|(number, run)| Part {
            part_number: Some(*number),
            e_tag: Some(entity_tag(&run.crcs.entity_tag(run.bytes, 1))),
            size: i64::try_from(run.bytes).ok(),
            checksum_crc32c: Some(run.crcs.crc32c_text()),
            ..Part::default()
        })
        .collect();
    let truncated = parts.len() > limit;
    parts.truncate(limit);
    Ok(ListPartsOutput {
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        is_truncated: Some(truncated),
        next_part_number_marker: parts.last().and_then(|part| part.part_number),
        part_number_marker: Some(marker),
        max_parts: input.max_parts,
        parts: Some(parts),
        ..ListPartsOutput::default()
    })
}

pub(super) fn list_uploads(
    store: &ObjectStore,
    input: ListMultipartUploadsInput,
) -> S3Result<ListMultipartUploadsOutput> {
    if !store.bucket_names().contains(&input.bucket) {
        return Err(no_such_bucket(&input.bucket));
    }
    let prefix = input.prefix.clone().unwrap_or_default();
    let limit = page_size(input.max_uploads);
    let after = input.key_marker.clone().map(|key| {
        let id = input.upload_id_marker.clone();
        (key, id.unwrap_or_else(|| char::MAX.to_string()))
    });
    let uploads = store.uploads.lock();
    let mut listed: Vec<MultipartUpload> = uploads
        .iter()
        .filter(|(at, _)| at.bucket == input.bucket && at.key.starts_with(&prefix))
        .filter(|(at, _)| {
            let here = (at.key.clone(), at.id.clone());
            after.as_ref().is_none_or(|after| here > *after)
        })
        .take(limit + 1)
        .map(|(at, upload)| MultipartUpload {
            key: Some(at.key.clone()),
            upload_id: Some(at.id.clone()),
            initiated: Some(upload.initiated.into()),
            ..MultipartUpload::default()
        })
        .collect();
    let truncated = listed.len() > limit;
    listed.truncate(limit);
    let last = listed.last().filter(|_| truncated);
    Ok(ListMultipartUploadsOutput {
        bucket: Some(input.bucket.clone()),
        is_truncated: Some(truncated),
        next_key_marker: last.and_then(|upload| upload.key.clone()),
        next_upload_id_marker: last.and_then(|upload| upload.upload_id.clone()),
        prefix: input.prefix,
        uploads: Some(listed),
        ..ListMultipartUploadsOutput::default()
    })
}

pub(super) fn checksum_type(object: &Object) -> ChecksumType {
    ChecksumType::from_static(if object.composite {
        ChecksumType::COMPOSITE
    } else {
        ChecksumType::FULL_OBJECT
    })
}

fn page_size(asked: Option<i32>) -> usize {
    usize::try_from(asked.unwrap_or(1000))
        .unwrap_or(0)
        .min(1000)
}

fn no_such_upload() -> S3Error {
    s3_error!(
        NoSuchUpload,
        "the upload does not exist: completed, aborted or forgotten"
    )
}

/// Checks the list of parts against what arrived, and makes the object.
fn join(upload: &Upload, input: &CompleteMultipartUploadInput) -> S3Result<Object> {
    let listed = input
        .multipart_upload
        .as_ref()
        .and_then(|upload| upload.parts.as_deref())
        .unwrap_or_default();
    if listed.is_empty() {
        return Err(s3_error!(
            MalformedXML,
            "an upload completes with at least one part"
        ));
    }
    let mut runs = Vec::with_capacity(listed.len());
    let mut number_before = 0;
    for part in listed {
        let number = part.part_number.unwrap_or(0);
        if number <= number_before {
            return Err(s3_error!(
                InvalidPartOrder,
                "parts must be listed in ascending order"
            ));
        }
        number_before = number;
        runs.push(matching_part(upload, part, number)?);
    }
    let (_, but_last) = runs.split_last().expect("the list of parts is not empty");
    if let Some(small) = but_last.iter().find(|run| run.bytes < MIN_PART_BYTES) {
        return Err(s3_error!(
            EntityTooSmall,
            "only the last part may be smaller than {MIN_PART_BYTES} bytes; bytes=`{}`",
            small.bytes
        ));
    }
    let object = joined_object(upload, runs);
    if let Some(expected) = &input.checksum_crc32c {
        refuse_unless_equal("x-amz-checksum-crc32c", expected, &object.crc32c)?;
    }
    if let Some(expected) = input.mpu_object_size {
        let actual = i64::try_from(object.bytes()).unwrap_or(i64::MAX);
        if actual != expected {
            return Err(s3_error!(
                InvalidRequest,
                "size `{actual}` is not the announced `{expected}`"
            ));
        }
    }
    Ok(object)
}

fn matching_part(upload: &Upload, part: &CompletedPart, number: i32) -> S3Result<StoredRun> {
    let refusal = || {
        s3_error!(
            InvalidPart,
            "the part is unknown or differs; number=`{number}`"
        )
    };
    let run = upload.parts.get(&number).ok_or_else(refusal)?;
    let tag = run.crcs.entity_tag(run.bytes, 1);
    let same_tag = part
        .e_tag
        .as_ref()
        .is_some_and(|given| given.value() == tag);
    let crc32c = run.crcs.crc32c_text();
    let same_crc = part
        .checksum_crc32c
        .as_ref()
        .is_none_or(|given| *given == crc32c);
    if same_tag && same_crc {
        Ok(run.clone())
    } else {
        Err(refusal())
    }
}

fn joined_object(upload: &Upload, runs: Vec<StoredRun>) -> Object {
    let bytes = runs.iter().map(|run| run.bytes).sum();
    let all: Vec<Crcs> = runs.iter().map(|run| run.crcs).collect();
    let whole = runs
        .iter()
        .map(|run| (run.crcs, run.bytes))
        .reduce(|(crcs, before), (next, bytes)| (crcs.followed_by(next, bytes), before + bytes))
        .map(|(crcs, _)| crcs)
        .expect("an upload has at least one part");
    Object {
        entity_tag: whole.entity_tag(bytes, runs.len()),
        crc32c: if upload.full_object {
            whole.crc32c_text()
        } else {
            composite_crc32c(&all)
        },
        composite: !upload.full_object,
        attributes: upload.attributes.clone(),
        last_modified: SystemTime::now(),
        runs,
    }
}
