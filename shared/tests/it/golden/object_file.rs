//! The file of an object in a bucket that is a directory.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use skein_shared::bucket::Bucket;

use super::fixed::write_id;
use super::{Golden, Written};
use crate::bucket::stores::{directory_settings, open_directory};

const KEY: &str = "deletes/5";
const OBJECT: &[u8] = b"an object's bytes";

pub(super) fn golden() -> Golden {
    Golden {
        name: "object-file-1",
        written: Written::Ours(now(written())),
        check: Box::new(|bytes| now(check(bytes))),
    }
}

fn now<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(work)
}

fn file_in(root: &Path) -> PathBuf {
    root.join("deletes").join("5@object")
}

async fn written() -> Vec<u8> {
    let (directory, bucket) = open_directory().await;
    let object = Bytes::from_static(OBJECT);
    bucket.put(KEY, object, write_id()).await.unwrap();
    fs::read(file_in(directory.path())).unwrap()
}

async fn check(bytes: &[u8]) {
    let directory = tempfile::tempdir().unwrap();
    let file = file_in(directory.path());
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::create_dir_all(directory.path().join(".skein")).unwrap();
    fs::write(directory.path().join(".skein/layout"), "1\n").unwrap();
    fs::write(file, bytes).unwrap();
    let bucket = Bucket::open(&directory_settings(directory.path())).await;
    let bucket = bucket.unwrap();
    assert_eq!(bucket.get(KEY).await.unwrap(), OBJECT);
    let head = bucket.head(KEY).await.unwrap().unwrap();
    assert_eq!(head.write_id, Some(write_id()));
}
