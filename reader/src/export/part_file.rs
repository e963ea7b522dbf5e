//! A file that has its name only once it is whole.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Written at `NAME.part`; gone unless it is kept.
#[derive(Debug)]
pub(super) struct PartFile {
    file: File,
    name: PathBuf,
    part: PathBuf,
}

impl PartFile {
    /// Begins the file. What an export that was killed left at the same place is written over.
    pub(super) fn create(name: &Path) -> Result<Self> {
        let mut part = name.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let create = || {
            if fs::exists(name)? {
                let reason = "there is a file of that name already";
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, reason));
            }
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true);
            options.open(&part)
        };
        Ok(Self {
            file: create().map_err(failed(name))?,
            name: name.to_owned(),
            part,
        })
    }

    /// What is written into.
    pub(super) fn file(&self) -> Result<File> {
        self.file.try_clone().map_err(failed(&self.name))
    }

    /// Gives the file its name; answers its length.
    pub(super) fn keep(self) -> Result<u64> {
        let keep = || {
            self.file.sync_all()?;
            let file_bytes = self.file.metadata()?.len();
            fs::rename(&self.part, &self.name)?;
            let directory = self.name.parent();
            let directory = directory.filter(|path| !path.as_os_str().is_empty());
            File::open(directory.unwrap_or(Path::new(".")))?.sync_all()?;
            Ok(file_bytes)
        };
        keep().map_err(failed(&self.name))
    }
}

impl Drop for PartFile {
    /// Nothing is there any more when the file was kept.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.part);
    }
}

fn failed(name: &Path) -> impl Fn(io::Error) -> Error {
    let file = name.display().to_string();
    move |source| Error::Export {
        file: file.clone(),
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_has_its_name_when_it_is_kept_and_is_gone_when_not() {
        let directory = tempfile::tempdir().unwrap();
        let name = directory.path().join("a.parquet");
        let count = || fs::read_dir(directory.path()).unwrap().count();
        for kept in [false, true] {
            let part = PartFile::create(&name).unwrap();
            part.file().unwrap().write_all(b"abc").unwrap();
            assert!(!name.exists());
            assert_eq!(count(), 1);
            if kept {
                assert_eq!(part.keep().unwrap(), 3);
                assert_eq!(fs::read(&name).unwrap(), b"abc");
            } else {
                drop(part);
            }
            assert_eq!(count(), usize::from(kept));
        }
        let again = PartFile::create(&name).unwrap_err();
        assert!(again.to_string().contains("a.parquet"), "{again}");
        assert_eq!((fs::read(&name).unwrap(), count()), (b"abc".to_vec(), 1));
    }
}
