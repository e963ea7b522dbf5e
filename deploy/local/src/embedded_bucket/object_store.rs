//! The buckets and their objects: an ordered index in memory, and the directory it mirrors.
//!
//! A write happens under one lock: condition, sidecar, index. So exactly one of many conditional writers
//! wins, and a reader sees the old object or the new one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use s3s::dto::{ETag, ETagCondition, IfMatch, IfNoneMatch};
use s3s::{S3Error, S3Result, s3_error};

use super::blob::{Blob, StoredRun};
use super::sidecar::{self, Sidecar, SidecarRun};
use super::uploads::{Attributes, Uploads};
use super::{Conditions, Storage};
use crate::error::{Error, Result};

/// One version of an object.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) runs: Vec<StoredRun>,
    pub(super) entity_tag: String,
    pub(super) crc32c: String,
    /// Whether `crc32c` is one over the parts' checksums instead of over the bytes.
    pub(super) composite: bool,
    pub(super) attributes: Attributes,
    pub(super) last_modified: SystemTime,
}

/// What must hold for a write or delete to happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    None,
    Absent,
    Present,
    Matches(String),
}

type Objects = BTreeMap<String, Arc<Object>>;

#[derive(Debug)]
pub(super) struct ObjectStore {
    root: Option<PathBuf>,
    conditions: Conditions,
    buckets: Mutex<BTreeMap<String, Objects>>,
    pub(super) uploads: Uploads,
    /// Held as long as the store lives, so that two processes never share a directory.
    _lock: Option<fs::File>,
}

impl Object {
    pub(super) fn bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.bytes).sum()
    }

    fn doom(&self) {
        for run in &self.runs {
            run.blob.doom();
        }
    }

    fn to_sidecar(&self, key: &str) -> Sidecar {
        let runs = self.runs.iter().map(|run| SidecarRun {
            blob: run.blob.name().expect("a directory's blobs are files"),
            bytes: run.bytes,
            crcs: run.crcs,
        });
        let since = self
            .last_modified
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Sidecar {
            key: key.to_owned(),
            runs: runs.collect(),
            entity_tag: self.entity_tag.clone(),
            crc32c: self.crc32c.clone(),
            composite: self.composite,
            metadata: self.attributes.metadata.clone(),
            content_type: self.attributes.content_type.clone(),
            last_modified_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn from_sidecar(sidecar: Sidecar, blobs: &Path) -> Self {
        let runs = sidecar.runs.into_iter().map(|run| StoredRun {
            blob: Arc::new(Blob::existing(blobs, &run.blob)),
            bytes: run.bytes,
            crcs: run.crcs,
        });
        Self {
            runs: runs.collect(),
            entity_tag: sidecar.entity_tag,
            crc32c: sidecar.crc32c,
            composite: sidecar.composite,
            attributes: Attributes {
                metadata: sidecar.metadata,
                content_type: sidecar.content_type,
            },
            last_modified: UNIX_EPOCH + Duration::from_millis(sidecar.last_modified_ms),
        }
    }
}

impl Condition {
    /// Reads the headers of a write.
    pub(super) fn of_write(
        if_match: Option<IfMatch>,
        if_none_match: Option<IfNoneMatch>,
    ) -> S3Result<Self> {
        match (if_match, if_none_match) {
            (None, None) => Ok(Self::None),
            (None, Some(ETagCondition::Any)) => Ok(Self::Absent),
            (Some(ETagCondition::Any), None) => Ok(Self::Present),
            (Some(ETagCondition::ETag(tag)), None) => Ok(Self::Matches(tag.into_value())),
            (_, Some(_)) => Err(s3_error!(
                NotImplemented,
                "a write takes either If-Match or If-None-Match: *"
            )),
        }
    }

    fn check(&self, key: &str, current: Option<&Arc<Object>>) -> S3Result<()> {
        match (self, current) {
            (Self::None, _) | (Self::Absent, None) | (Self::Present, Some(_)) => Ok(()),
            (Self::Matches(tag), Some(object)) if *tag == object.entity_tag => Ok(()),
            (Self::Present | Self::Matches(_), None) => Err(no_such_key(key)),
            (Self::Absent | Self::Matches(_), Some(_)) => Err(s3_error!(
                PreconditionFailed,
                "the condition of the write does not hold; key=`{key}`"
            )),
        }
    }
}

impl ObjectStore {
    /// Opens the storage with what it holds, and sweeps what a killed process left unfinished.
    pub(super) fn open(storage: &Storage, conditions: Conditions) -> Result<Self> {
        let (root, lock, buckets) = match storage {
            Storage::Memory => (None, None, BTreeMap::new()),
            Storage::Directory(root) => {
                let lock = prepare(root)?;
                (Some(root.clone()), Some(lock), load(root)?)
            }
        };
        Ok(Self {
            root,
            conditions,
            buckets: Mutex::new(buckets),
            uploads: Uploads::default(),
            _lock: lock,
        })
    }

    /// Where new blobs go; `None` for memory.
    pub(super) fn blobs(&self) -> Option<PathBuf> {
        self.root.as_ref().map(|root| root.join("blobs"))
    }

    pub(super) fn create_bucket(&self, name: &str) -> Result<()> {
        if let Some(root) = &self.root {
            let directory = bucket_path(root, name);
            fs::create_dir_all(&directory).map_err(Error::file("create", directory))?;
        }
        self.lock().entry(name.to_owned()).or_default();
        Ok(())
    }

    pub(super) fn bucket_names(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Runs `look` over the objects of one bucket, under the lock.
    pub(super) fn with_objects<T>(
        &self,
        bucket: &str,
        look: impl FnOnce(&Objects) -> T,
    ) -> S3Result<T> {
        let buckets = self.lock();
        let objects = buckets.get(bucket).ok_or_else(|| no_such_bucket(bucket))?;
        Ok(look(objects))
    }

    pub(super) fn get(&self, bucket: &str, key: &str) -> S3Result<Arc<Object>> {
        self.with_objects(bucket, |objects| objects.get(key).cloned())?
            .ok_or_else(|| no_such_key(key))
    }

    /// Makes `object` the one at `key`, if `condition` holds.
    pub(super) fn put(
        &self,
        bucket: &str,
        key: &str,
        object: Object,
        condition: &Condition,
    ) -> S3Result<()> {
        let mut buckets = self.lock();
        let objects = buckets
            .get_mut(bucket)
            .ok_or_else(|| no_such_bucket(bucket))?;
        self.check(condition, key, objects.get(key))?;
        if let Some(root) = &self.root {
            sidecar::write(&bucket_path(root, bucket), &object.to_sidecar(key))
                .map_err(S3Error::internal_error)?;
        }
        for run in &object.runs {
            run.blob.spare();
        }
        if let Some(replaced) = objects.insert(key.to_owned(), Arc::new(object)) {
            replaced.doom();
        }
        Ok(())
    }

    /// Removes the object at `key`, if `condition` holds; one that is absent is no error.
    pub(super) fn delete(&self, bucket: &str, key: &str, condition: &Condition) -> S3Result<()> {
        let mut buckets = self.lock();
        let objects = buckets
            .get_mut(bucket)
            .ok_or_else(|| no_such_bucket(bucket))?;
        self.check(condition, key, objects.get(key))?;
        if let Some(root) = &self.root {
            sidecar::remove(&bucket_path(root, bucket), key).map_err(S3Error::internal_error)?;
        }
        if let Some(removed) = objects.remove(key) {
            removed.doom();
        }
        Ok(())
    }

    fn check(
        &self,
        condition: &Condition,
        key: &str,
        current: Option<&Arc<Object>>,
    ) -> S3Result<()> {
        match self.conditions {
            Conditions::Honoured => condition.check(key, current),
            Conditions::Ignored => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Objects>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The entity tag as the protocol writes it.
pub(super) fn entity_tag(tag: &str) -> ETag {
    ETag::Strong(tag.to_owned())
}

pub(super) fn no_such_key(key: &str) -> S3Error {
    s3_error!(NoSuchKey, "the key does not exist; key=`{key}`")
}

pub(super) fn no_such_bucket(bucket: &str) -> S3Error {
    s3_error!(NoSuchBucket, "the bucket does not exist; bucket=`{bucket}`")
}

fn bucket_path(root: &Path, bucket: &str) -> PathBuf {
    root.join("buckets").join(bucket)
}

/// Makes the directories and takes the lock.
fn prepare(root: &Path) -> Result<fs::File> {
    for fan in 0..=255_u8 {
        let directory = root.join("blobs").join(format!("{fan:02x}"));
        fs::create_dir_all(&directory).map_err(Error::file("create directory", directory))?;
    }
    let buckets = root.join("buckets");
    fs::create_dir_all(&buckets).map_err(Error::file("create directory", buckets))?;
    let path = root.join("lock");
    let lock = fs::File::create(&path).map_err(Error::file("create", &path))?;
    lock.try_lock().map_err(|_| Error::Invalid {
        what: "the bucket's directory",
        input: root.display().to_string(),
        reason: "another process serves it: stop that one, or choose another directory".to_owned(),
    })?;
    Ok(lock)
}

fn load(root: &Path) -> Result<BTreeMap<String, Objects>> {
    let blobs = root.join("blobs");
    let mut buckets = BTreeMap::new();
    let mut named = BTreeSet::new();
    for directory in sidecar::entries(&root.join("buckets"))? {
        let name = directory.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| Error::Damaged {
            path: directory.clone(),
            reason: "it is not the name of a bucket".to_owned(),
        })?;
        let mut objects = Objects::new();
        for sidecar in sidecar::read_all(&directory)? {
            let key = sidecar.key.clone();
            let object = Object::from_sidecar(sidecar, &blobs);
            let paths = object.runs.iter().filter_map(|run| run.blob.path());
            named.extend(paths.map(Path::to_owned));
            objects.insert(key, Arc::new(object));
        }
        buckets.insert(name.to_owned(), objects);
    }
    for fan in sidecar::entries(&blobs)? {
        for blob in sidecar::entries(&fan)? {
            if !named.contains(&blob) {
                fs::remove_file(&blob).map_err(Error::file("remove", &blob))?;
            }
        }
    }
    Ok(buckets)
}
