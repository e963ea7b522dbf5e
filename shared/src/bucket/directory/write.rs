//! Small objects in one step: create-if-absent, put, delete.

use bytes::Bytes;

use super::Directory;
use super::object_path::ObjectPath;
use super::trailer::Trailer;
use super::tree::{Named, Naming, Tree};
use super::trouble::Outcome;
use crate::bucket::attempt::Attempt;
use crate::bucket::conditional_put::Created;
use crate::bucket::head::{Expected, Whose, judge};
use crate::bucket::request_count::Operation;
use crate::error::{BucketCause, Error, Result};
use crate::format::checksum::crc32c;
use crate::ids::WriteId;

impl Directory {
    pub(in crate::bucket) async fn create(
        &self,
        key: &str,
        body: Bytes,
        id: WriteId,
    ) -> Result<Created> {
        let write = self.write(key, body, id)?;
        self.retrying(|| self.create_once(&write)).await
    }

    pub(in crate::bucket) async fn put(&self, key: &str, body: Bytes, id: WriteId) -> Result<()> {
        let write = self.write(key, body, id)?;
        let attempt = write.attempt(Operation::Put);
        let named = self.retrying(|| {
            let write = write.clone();
            self.ask(attempt, 0, move |tree| write.store(tree, Naming::Replacing))
        });
        match named.await? {
            Named::Done => Ok(()),
            Named::Taken | Named::FileGone => Err(swept_away(attempt)),
        }
    }

    pub(in crate::bucket) async fn delete(&self, key: &str) -> Result<()> {
        let path = self.path(key)?;
        let attempt = Attempt::bare(Operation::Delete, key);
        let delete_once = || {
            let file = path.file.clone();
            self.ask(attempt, 0, move |tree| tree.remove(&file))
        };
        self.retrying(delete_once).await
    }

    async fn create_once(&self, write: &Write) -> Result<Created> {
        let attempt = write.attempt(Operation::Create);
        let storing = write.clone();
        let named = self.ask(attempt, 0, move |tree| {
            storing.store(tree, Naming::IfAbsent)
        });
        match named.await? {
            Named::Done => return Ok(Created::Ours),
            Named::FileGone => return Err(swept_away(attempt)),
            Named::Taken => {}
        }
        // The object may be our own: an earlier try can have gone on after its time was up.
        let meta = self.head_once(&write.path).await?;
        match judge(&write.path.key, meta.as_ref(), write.expected)? {
            Whose::Ours => Ok(Created::Ours),
            Whose::Another => Ok(Created::Taken),
            Whose::Nobody => {
                let reason = "the key was taken, and its object is deleted since";
                Err(attempt.failed(BucketCause::Unavailable, reason))
            }
        }
    }

    fn write(&self, key: &str, body: Bytes, write_id: WriteId) -> Result<Write> {
        Ok(Write {
            path: self.path(key)?,
            expected: Expected {
                write_id,
                object_bytes: body.len() as u64,
                crc32c: crc32c(&body),
            },
            body,
        })
    }
}

/// An object on its way in.
#[derive(Debug, Clone)]
struct Write {
    path: ObjectPath,
    body: Bytes,
    expected: Expected,
}

impl Write {
    fn attempt(&self, operation: Operation) -> Attempt<'_> {
        Attempt {
            operation,
            key: &self.path.key,
            sent_bytes: self.expected.object_bytes,
        }
    }

    fn store(&self, tree: &Tree, naming: Naming) -> Outcome<Named> {
        if naming == Naming::IfAbsent && self.path.file.exists() {
            return tree.taken(&self.path.file);
        }
        let Expected {
            write_id,
            object_bytes,
            crc32c,
        } = self.expected;
        let trailer = Trailer {
            write_id,
            object_bytes,
            crc32c,
        };
        let staged = tree.stage(&self.body, trailer)?;
        tree.name(&staged, &self.path.file, naming)
    }
}

/// A writer that slept for a day finds its file gone.
fn swept_away(attempt: Attempt<'_>) -> Error {
    let reason = "the file was removed before it had a name";
    attempt.failed(BucketCause::Unavailable, reason)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::path::Path;

    use super::*;

    /// Of folders in `/proc` nobody can make anything durable.
    #[test]
    fn an_object_that_is_there_is_answered_for_only_when_it_is_durable() {
        let root = Path::new("/proc/self");
        let write = Write {
            path: ObjectPath {
                key: "status".to_owned(),
                file: root.join("status"),
            },
            body: Bytes::new(),
            expected: Expected {
                write_id: WriteId::random(),
                object_bytes: 0,
                crc32c: crc32c(&[]),
            },
        };
        let tree = Tree::open(root).unwrap();
        let stored = write.store(&tree, Naming::IfAbsent);
        assert_eq!(stored.unwrap_err().path, root);
    }
}
