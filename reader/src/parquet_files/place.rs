//! Where files of Parquet lie: a folder of this machine as it is, or a bucket.

use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use skein_shared::bucket::Bucket;

use crate::error::{Error, Result};

/// What the names of files end in.
const EXTENSION: &str = ".parquet";

/// A folder, or a bucket.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// A folder that other software writes: its files have the names that they have.
    Folder(PathBuf),
    /// S3, or a store that speaks its protocol.
    Bucket(Bucket),
}

/// A file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundFile {
    /// Below the place, with slashes.
    pub(super) name: String,
    pub(super) file_bytes: u64,
}

impl Place {
    /// For messages.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Folder(folder) => format!("file://{}", folder.display()),
            Self::Bucket(bucket) => bucket.url().to_owned(),
        }
    }

    /// The files of Parquet in it and its folders, in the order of their names. Names that begin with a dot or an underscore
    /// are those of files that others are about to write.
    pub(super) async fn list(&self) -> Result<Vec<FoundFile>> {
        let mut found = match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                self.on_a_thread(move || files_below(&folder)).await?
            }
            Self::Bucket(bucket) => {
                let listed = bucket.list("", None).await?.into_iter();
                let files = listed.map(|object| FoundFile {
                    name: object.key,
                    file_bytes: object.object_bytes,
                });
                files.collect()
            }
        };
        found.retain(|file| is_whole(&file.name));
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Bytes of a file.
    pub(super) async fn read(&self, name: &str, range: Range<u64>) -> Result<Bytes> {
        match self {
            Self::Folder(folder) => {
                let file = folder.join(name);
                self.on_a_thread(move || read_range(&file, range)).await
            }
            Self::Bucket(bucket) => Ok(bucket.get_range(name, range).await?),
        }
    }

    async fn on_a_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let done = tokio::task::spawn_blocking(work).await;
        let done = done.unwrap_or_else(|error| Err(io::Error::other(error)));
        done.map_err(|error| Error::OldPlace {
            place: self.url(),
            reason: format!("{error}; is it the folder that cutover.old_place is to name?"),
        })
    }
}

fn is_whole(name: &str) -> bool {
    let is_ready = |piece: &str| !piece.starts_with(['.', '_']);
    name.ends_with(EXTENSION) && name.split('/').all(is_ready)
}

fn files_below(root: &Path) -> io::Result<Vec<FoundFile>> {
    let mut found = Vec::new();
    let mut folders = vec![(root.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            let metadata = fs::metadata(entry.path())?;
            if metadata.is_dir() {
                folders.push((entry.path(), format!("{name}/")));
            } else {
                found.push(FoundFile {
                    name,
                    file_bytes: metadata.len(),
                });
            }
        }
    }
    Ok(found)
}

fn read_range(file: &Path, range: Range<u64>) -> io::Result<Bytes> {
    let mut file = fs::File::open(file)?;
    file.seek(SeekFrom::Start(range.start))?;
    let wanted = range.end - range.start;
    let mut bytes = Vec::new();
    let got = file.take(wanted).read_to_end(&mut bytes)? as u64;
    if got < wanted {
        let reason = format!("the file ends {} bytes too early", wanted - got);
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, reason));
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_being_written_are_passed_over() {
        for name in ["a.parquet", "day=1/part-0.snappy.parquet"] {
            assert!(is_whole(name), "{name}");
        }
        for name in [
            "_temporary/0/a.parquet",
            ".a.parquet",
            "a.parquet.crc",
            "_SUCCESS",
        ] {
            assert!(!is_whole(name), "{name}");
        }
    }
}
