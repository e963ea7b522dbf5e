//! Multipart uploads: a folder of parts out of sight, then one file and one naming.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::Directory;
use super::object_file::written;
use super::object_path::ObjectPath;
use super::sent_part::{PartFault, SentPart};
use super::trailer::Trailer;
use super::tree::{Named, Naming, Staged, Tree, if_there};
use super::trouble::{Outcome, at};
use crate::bucket::attempt::Attempt;
use crate::bucket::head::{Expected, Whose, judge};
use crate::bucket::multipart::{CompletedObject, whole};
use crate::bucket::open_uploads::OpenUpload;
use crate::bucket::part_list::UploadedPart;
use crate::bucket::request_count::Operation;
use crate::error::{BucketCause, Error, Result};
use crate::format::checksum::crc32c;
use crate::ids::WriteId;

/// The file in an upload's folder that says which object it is to become: the key.
const START: &str = "start";

/// An upload to a directory under way.
#[derive(Debug)]
pub(in crate::bucket) struct DirectoryUpload {
    store: Arc<Directory>,
    path: ObjectPath,
    id: String,
    write_id: WriteId,
}

/// How one try to complete ended.
#[derive(Debug)]
enum Completion {
    Done,
    /// The upload is not there.
    Gone,
    /// A part is not what was sent.
    PartOff(PartFault),
}

impl DirectoryUpload {
    /// Starts an upload.
    pub(in crate::bucket) async fn start(
        store: &Arc<Directory>,
        key: &str,
        write_id: WriteId,
    ) -> Result<Self> {
        let path = store.path(key)?;
        let attempt = Attempt::bare(Operation::StartMultipart, key);
        let start_once = || {
            let key = key.to_owned();
            store.ask(attempt, 0, move |tree| begin(tree, &key))
        };
        Ok(Self {
            id: store.retrying(start_once).await?,
            store: Arc::clone(store),
            path,
            write_id,
        })
    }

    pub(in crate::bucket) fn key(&self) -> &str {
        &self.path.key
    }

    /// Stores one part. Safe to repeat.
    pub(in crate::bucket) async fn upload_part(
        &self,
        number: u32,
        body: Bytes,
    ) -> Result<UploadedPart> {
        let attempt = Attempt {
            operation: Operation::UploadPart,
            key: self.key(),
            sent_bytes: body.len() as u64,
        };
        let upload_once = || {
            let (id, body) = (self.id.clone(), body.clone());
            self.store.ask(attempt, 0, move |tree| {
                let folder = tree.uploads().join(id);
                Ok(store_part(tree, &folder.join(number.to_string()), &body)?
                    .map(|()| crc32c(&body)))
            })
        };
        let stored = self.store.retrying(upload_once).await?;
        let crc32c = stored.ok_or_else(|| gone(attempt))?;
        Ok(UploadedPart {
            number,
            part_bytes: body.len() as u64,
            crc32c,
            etag: format!("{crc32c:08x}"),
        })
    }

    /// Makes the object out of parts that stand in the order of their numbers. Safe to repeat.
    pub(in crate::bucket) async fn complete(
        &self,
        parts: &[&UploadedPart],
    ) -> Result<CompletedObject> {
        let object = whole(parts);
        self.store
            .retrying(|| self.complete_once(parts, object))
            .await?;
        Ok(object)
    }

    /// Drops the upload and its parts.
    pub(in crate::bucket) async fn abort(&self) -> Result<()> {
        abort(&self.store, self.key(), &self.id).await
    }

    async fn complete_once(&self, parts: &[&UploadedPart], object: CompletedObject) -> Result<()> {
        let attempt = Attempt::bare(Operation::CompleteMultipart, self.key());
        let joined = Joined {
            parts: parts
                .iter()
                .map(|part| SentPart {
                    number: part.number,
                    part_bytes: part.part_bytes,
                    crc32c: part.crc32c,
                })
                .collect(),
            trailer: Trailer {
                write_id: self.write_id,
                object_bytes: object.object_bytes,
                crc32c: object.crc32c,
            },
            target: self.path.file.clone(),
        };
        let id = self.id.clone();
        // The object's bytes are moved once more, within the file system.
        let completion = self.store.ask(attempt, object.object_bytes, move |tree| {
            joined.complete(tree, &tree.uploads().join(id))
        });
        match completion.await? {
            Completion::Done => Ok(()),
            Completion::PartOff(PartFault { number, what }) => {
                let reason =
                    format!("part {number} {what}; see what the system's log says about the disk");
                Err(attempt.failed(BucketCause::Refused, reason))
            }
            Completion::Gone => self.resolve_missing_upload(attempt, object).await,
        }
    }

    /// An upload that is gone may be one that an earlier try has completed: the object itself tells.
    async fn resolve_missing_upload(
        &self,
        attempt: Attempt<'_>,
        object: CompletedObject,
    ) -> Result<()> {
        let expected = Expected {
            write_id: self.write_id,
            object_bytes: object.object_bytes,
            crc32c: object.crc32c,
        };
        let meta = self.store.head_once(&self.path).await?;
        match judge(self.key(), meta.as_ref(), expected)? {
            Whose::Ours => Ok(()),
            Whose::Another | Whose::Nobody => Err(gone(attempt)),
        }
    }
}

/// Every upload of a key that starts with `prefix`.
pub(super) async fn list(store: &Directory, prefix: &str) -> Result<Vec<OpenUpload>> {
    let attempt = Attempt::bare(Operation::List, prefix);
    let list_once = || store.ask(attempt, 0, |tree| open_uploads(&tree.uploads()));
    let mut uploads = store.retrying(list_once).await?;
    uploads.retain(|upload| upload.key.starts_with(prefix));
    uploads.sort_by(|one, other| one.key.cmp(&other.key));
    store.count_pages(uploads.len());
    Ok(uploads)
}

/// Bytes of the parts of an upload; none when it is gone.
pub(super) async fn uploaded_bytes(store: &Directory, id: &str) -> Result<u64> {
    let Some(id) = ours(id) else { return Ok(0) };
    let attempt = Attempt::bare(Operation::List, &id);
    let list_once = || {
        let id = id.clone();
        store.ask(attempt, 0, move |tree| part_bytes(&tree.uploads().join(id)))
    };
    store.retrying(list_once).await
}

/// Drops an upload and its parts. One that is gone already is no error.
pub(super) async fn abort(store: &Directory, key: &str, id: &str) -> Result<()> {
    let Some(id) = ours(id) else { return Ok(()) };
    let attempt = Attempt::bare(Operation::AbortMultipart, key);
    let abort_once = || {
        let id = id.clone();
        store.ask(attempt, 0, move |tree| {
            drop_folder(tree, &tree.uploads().join(id))
        })
    };
    store.retrying(abort_once).await
}

/// The id, if it is one that [`begin`] gives: it becomes a path.
fn ours(id: &str) -> Option<String> {
    let id = Uuid::try_parse(id).ok()?;
    Some(id.as_simple().to_string())
}

/// Makes an upload's folder, in one step with what says whose it is.
fn begin(tree: &Tree, key: &str) -> Outcome<String> {
    let id = Uuid::new_v4().as_simple().to_string();
    let folder = tree.unnamed()?;
    let folder = folder.path();
    fs::create_dir(folder).map_err(at(folder))?;
    let start = folder.join(START);
    let written = File::create_new(&start).and_then(|mut file| {
        file.write_all(key.as_bytes())?;
        file.sync_all()
    });
    written.map_err(at(&start))?;
    let place = tree.uploads().join(&id);
    fs::rename(folder, &place).map_err(at(&place))?;
    Ok(id)
}

/// Stores a part; `None` when the upload is gone. It need not be durable before the object is.
fn store_part(tree: &Tree, place: &Path, body: &[u8]) -> Outcome<Option<()>> {
    let staged = tree.unnamed()?;
    fs::write(staged.path(), body).map_err(at(staged.path()))?;
    if_there(fs::rename(staged.path(), place).map_err(at(place)))
}

/// An upload that is to become an object.
#[derive(Debug)]
struct Joined {
    /// In order.
    parts: Vec<SentPart>,
    trailer: Trailer,
    target: PathBuf,
}

impl Joined {
    /// Names the object out of the upload's own folder: when somebody drops the upload at the same time, either that or this
    /// comes first.
    fn complete(&self, tree: &Tree, folder: &Path) -> Outcome<Completion> {
        let completion = self.complete_here(tree, folder)?;
        if matches!(completion, Completion::Gone) && self.target.exists() {
            // It may be ours, of a try whose answer was lost before this was done.
            tree.taken(&self.target)?;
        }
        Ok(completion)
    }

    fn complete_here(&self, tree: &Tree, folder: &Path) -> Outcome<Completion> {
        let file = folder.join(format!("whole-{}", Uuid::new_v4().as_simple()));
        let Some(into) = if_there(File::create_new(&file).map_err(at(&file)))? else {
            return Ok(Completion::Gone);
        };
        let file = Staged::at(file);
        if let Some(fault) = self.join(folder, &file, into)? {
            let is_gone = !folder.exists();
            return Ok(if is_gone {
                Completion::Gone
            } else {
                Completion::PartOff(fault)
            });
        }
        match tree.name(&file, &self.target, Naming::Replacing)? {
            Named::Done => {
                // The object is there; what is left is the janitor's if this fails.
                drop(drop_folder(tree, folder));
                Ok(Completion::Done)
            }
            Named::Taken | Named::FileGone => Ok(Completion::Gone),
        }
    }

    /// Writes the parts and the trailer, durably; what is wrong with a part that is not what was sent.
    fn join(&self, folder: &Path, file: &Staged, into: File) -> Outcome<Option<PartFault>> {
        let mut into = into;
        for sent in &self.parts {
            let number = sent.number;
            let place = folder.join(number.to_string());
            let found = if_there(File::open(&place).map_err(at(&place)))?;
            let what = match found {
                None => Some("is not there".to_owned()),
                Some(mut part) => sent.copy(&mut part, &mut into).map_err(at(file.path()))?,
            };
            if let Some(what) = what {
                return Ok(Some(PartFault { number, what }));
            }
        }
        let written = into
            .write_all(&self.trailer.write())
            .and_then(|()| into.sync_all());
        written.map_err(at(file.path()))?;
        Ok(None)
    }
}

fn open_uploads(folder: &Path) -> Outcome<Vec<OpenUpload>> {
    let Some(entries) = if_there(fs::read_dir(folder).map_err(at(folder)))? else {
        return Ok(Vec::new());
    };
    let mut uploads = Vec::new();
    for entry in entries {
        let entry = entry.map_err(at(folder))?;
        let start = entry.path().join(START);
        let Some(key) = if_there(fs::read_to_string(&start).map_err(at(&start)))? else {
            continue;
        };
        let started = if_there(fs::metadata(&start).map_err(at(&start)))?;
        let started = started.and_then(|file| written(&file));
        uploads.push(OpenUpload {
            key,
            upload_id: entry.file_name().to_string_lossy().into_owned(),
            started,
        });
    }
    Ok(uploads)
}

fn part_bytes(folder: &Path) -> Outcome<u64> {
    let Some(entries) = if_there(fs::read_dir(folder).map_err(at(folder)))? else {
        return Ok(0);
    };
    let mut bytes = 0;
    for entry in entries {
        let entry = entry.map_err(at(folder))?;
        let is_part = entry
            .file_name()
            .to_str()
            .is_some_and(|n| n.parse::<u32>().is_ok());
        if is_part {
            let part = if_there(entry.metadata().map_err(at(&entry.path())))?;
            bytes += part.map_or(0, |file| file.len());
        }
    }
    Ok(bytes)
}

/// Takes an upload's folder away, in one step out of everybody's sight.
fn drop_folder(tree: &Tree, folder: &Path) -> Outcome<()> {
    let away = tree.unnamed()?;
    let moved = fs::rename(folder, away.path()).map_err(at(folder));
    if if_there(moved)?.is_none() {
        return Ok(());
    }
    match fs::remove_dir_all(away.path()) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done.map_err(at(away.path())),
    }
}

fn gone(attempt: Attempt<'_>) -> Error {
    let reason = "somebody has completed or dropped the upload";
    attempt.failed(BucketCause::UploadGone, reason)
}
