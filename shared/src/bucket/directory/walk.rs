//! Listings: a walk through folders in the order of keys. Everything here blocks.

use std::fs;
use std::path::{Path, PathBuf};

use super::object_file::{object_bytes, written};
use super::object_path::{folder, folder_name, object_name};
use super::tree::if_there;
use super::trouble::{Outcome, at};
use crate::bucket::listing::Listed;

/// What is looked for.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) prefix: String,
    pub(super) start_after: Option<String>,
    /// Most objects that are wanted.
    pub(super) limit: usize,
}

/// The objects that are looked for, in key order.
pub(super) fn list(root: &Path, question: &Question) -> Outcome<Vec<Listed>> {
    let (folders, rest) = split(&question.prefix);
    let mut found = Vec::new();
    let mut entries = read_folder(&folder(root, folders), folders)?;
    entries.retain(|entry| entry.key[folders.len()..].starts_with(rest));
    walk(entries, question, &mut found)?;
    Ok(found)
}

/// Names of the folders directly under `prefix` in which there is an object, in order.
pub(super) fn folders(root: &Path, prefix: &str) -> Outcome<Vec<String>> {
    let (folders, rest) = split(prefix);
    let mut names = Vec::new();
    for entry in read_folder(&folder(root, folders), folders)? {
        let Some(name) = entry.key[folders.len()..].strip_suffix('/') else {
            continue;
        };
        if name.starts_with(rest) && holds_an_object(&entry)? {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// A prefix up to its last slash, and what stands behind.
fn split(prefix: &str) -> (&str, &str) {
    let end = prefix.rfind('/').map_or(0, |slash| slash + 1);
    prefix.split_at(end)
}

/// An object's file, or a folder: then the key ends in a slash, and every key in it begins so.
#[derive(Debug)]
struct Entry {
    key: String,
    path: PathBuf,
}

impl Entry {
    /// Of a file or folder in the folder of `parent`; `None` for what holds no object, or is deleted meanwhile.
    fn of(found: &fs::DirEntry, parent: &str) -> Outcome<Option<Self>> {
        let path = found.path();
        let Some(kind) = if_there(found.file_type().map_err(at(&path)))? else {
            return Ok(None);
        };
        let name = found.file_name();
        let piece = name.to_str().and_then(|name| {
            if kind.is_dir() {
                folder_name(name).map(|name| name + "/")
            } else {
                object_name(name)
            }
        });
        Ok(piece.map(|piece| Self {
            key: format!("{parent}{piece}"),
            path,
        }))
    }
}

/// What stands in a folder, in key order. One that is not there is empty.
fn read_folder(path: &Path, parent: &str) -> Outcome<Vec<Entry>> {
    let Some(found) = if_there(fs::read_dir(path).map_err(at(path)))? else {
        return Ok(Vec::new());
    };
    let mut entries = Vec::new();
    for entry in found {
        entries.extend(Entry::of(&entry.map_err(at(path))?, parent)?);
    }
    entries.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    Ok(entries)
}

fn walk(entries: Vec<Entry>, question: &Question, found: &mut Vec<Listed>) -> Outcome<()> {
    let start = question.start_after.as_deref().unwrap_or_default();
    for entry in entries {
        if found.len() >= question.limit {
            break;
        }
        if entry.key.ends_with('/') {
            // Behind the start, or the start lies in it.
            if entry.key.as_str() > start || start.starts_with(&entry.key) {
                walk(read_folder(&entry.path, &entry.key)?, question, found)?;
            }
        } else if entry.key.as_str() > start {
            found.extend(listed(entry)?);
        }
    }
    Ok(())
}

/// `None` when somebody has deleted it meanwhile.
fn listed(entry: Entry) -> Outcome<Option<Listed>> {
    let metadata = fs::metadata(&entry.path).map_err(at(&entry.path));
    Ok(if_there(metadata)?.map(|file| Listed {
        key: entry.key,
        object_bytes: object_bytes(&file),
        last_modified: written(&file),
    }))
}

fn holds_an_object(entry: &Entry) -> Outcome<bool> {
    let any = Question {
        prefix: String::new(),
        start_after: None,
        limit: 1,
    };
    let mut found = Vec::new();
    walk(read_folder(&entry.path, &entry.key)?, &any, &mut found)?;
    Ok(!found.is_empty())
}
