//! What the directory says about an object: one small JSON file per key, renamed into place.
//!
//! The rename is the moment in which a write becomes visible. Keys are encoded into flat file names, so
//! that `a` and `a/b` can both be objects, and no key can leave the directory.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use s3s::crypto::{Checksum as _, Sha256};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::checksum::Crcs;
use crate::error::{Error, Result};

/// Longest encoded key that is used as a file name as it is; Linux allows 255 bytes.
const LONGEST_PLAIN_NAME: usize = 200;

/// Everything about one object but its bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Sidecar {
    pub(super) key: String,
    pub(super) runs: Vec<SidecarRun>,
    pub(super) entity_tag: String,
    pub(super) crc32c: String,
    pub(super) composite: bool,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) content_type: Option<String>,
    pub(super) last_modified_ms: u64,
}

/// One blob of the object, in order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SidecarRun {
    pub(super) blob: String,
    pub(super) bytes: u64,
    pub(super) crcs: Crcs,
}

/// Puts the sidecar into place, over the one that was there.
pub(super) fn write(bucket: &Path, sidecar: &Sidecar) -> Result<()> {
    let path = path_of(bucket, &sidecar.key);
    let directory = path.parent().expect("a sidecar lies in a directory");
    fs::create_dir_all(directory).map_err(Error::file("create directory", directory))?;
    let text = serde_json::to_vec(sidecar).expect("a sidecar is plain JSON");
    let draft = directory.join(format!("{}.draft", Uuid::new_v4().simple()));
    fs::write(&draft, text).map_err(Error::file("write", &draft))?;
    fs::rename(&draft, &path).map_err(Error::file("rename", &path))
}

/// Takes the sidecar away; one that is absent is no error.
pub(super) fn remove(bucket: &Path, key: &str) -> Result<()> {
    let path = path_of(bucket, key);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::file("remove", path)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Reads all sidecars of a bucket and clears drafts that a killed process left.
pub(super) fn read_all(bucket: &Path) -> Result<Vec<Sidecar>> {
    let mut sidecars = Vec::new();
    for fan in entries(bucket)? {
        for file in entries(&fan)? {
            if file
                .extension()
                .is_some_and(|extension| extension == "draft")
            {
                fs::remove_file(&file).map_err(Error::file("remove", &file))?;
                continue;
            }
            let text = fs::read(&file).map_err(Error::file("read", &file))?;
            let sidecar = serde_json::from_slice(&text).map_err(|error| Error::Damaged {
                path: file.clone(),
                reason: error.to_string(),
            })?;
            sidecars.push(sidecar);
        }
    }
    Ok(sidecars)
}

/// Paths in a directory.
pub(super) fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let wrap = || Error::file("list", directory);
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory).map_err(wrap())? {
        paths.push(entry.map_err(wrap())?.path());
    }
    Ok(paths)
}

fn path_of(bucket: &Path, key: &str) -> PathBuf {
    let fan = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, key.as_bytes()) & 0xff;
    bucket.join(format!("{fan:02x}")).join(file_name(key))
}

/// The key with every byte outside `[A-Za-z0-9_-]` written as `%hh`; a long one is cut and closed with
/// `~` and its SHA-256.
fn file_name(key: &str) -> String {
    let mut name = String::with_capacity(key.len());
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            name.push(char::from(byte));
        } else {
            write!(name, "%{byte:02x}").expect("a string takes any text");
        }
    }
    if name.len() > LONGEST_PLAIN_NAME {
        name.truncate(LONGEST_PLAIN_NAME / 2);
        name.push('~');
        for byte in Sha256::checksum(key.as_bytes()).as_ref() as &[u8] {
            write!(name, "{byte:02x}").expect("a string takes any text");
        }
    }
    name.push_str(".json");
    name
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn different_keys_get_different_names_that_stay_in_their_directory() {
        let long = "k".repeat(1024);
        let longer = format!("{}x", "k".repeat(1023));
        let keys = [
            "a", "a/b", "a%2fb", "..", ".", "a.b", "é", "A", "a~", &long, &longer,
        ];
        let names: BTreeSet<String> = keys.iter().map(|key| file_name(key)).collect();
        assert_eq!(names.len(), keys.len());
        for name in names {
            assert!(
                name.len() <= 255 && !name.contains('/') && !name.starts_with('.'),
                "{name}"
            );
        }
    }
}
