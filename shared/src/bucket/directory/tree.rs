//! The files of a bucket. Everything here blocks.
//!
//! A file is written beside the objects, made durable, and only then given its name; then the folders that lead to it are
//! made durable. So a kill at any moment leaves an object whole or absent, and what was answered for is on disk.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::trailer::Trailer;
use super::trouble::{Outcome, Trouble, at};
use crate::error::{Error, Result};

/// The folder for everything that is no object. No key's folder begins with a dot.
const OWN: &str = ".skein";

/// What the file `layout` says in a bucket that this build can use.
const LAYOUT: &str = "1\n";

/// Age at which a file that nobody has given a name is somebody's who died. One who lives on writes again.
const LEFT_BEHIND: Duration = Duration::from_hours(24);

/// How often a folder is made again that somebody else takes away as empty at the same time.
const PLACE_TRIES: usize = 100;

/// The directory.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    /// Open as long as the bucket is, so that nobody can unmount what it lies on.
    _held: File,
    /// Whether the folders of our own are there.
    is_prepared: Mutex<bool>,
}

/// A file that has no name yet; it goes when it gets none.
#[derive(Debug)]
pub(super) struct Staged(PathBuf);

/// What to do where the name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    IfAbsent,
    Replacing,
}

/// How the naming of a file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    Done,
    /// The name is another file's.
    Taken,
    /// The file that was to get the name is gone.
    FileGone,
}

impl Tree {
    /// Opens a directory that has to be there; makes nothing in it.
    pub(super) fn open(root: &Path) -> Outcome<Self> {
        let held = File::open(root).map_err(at(root))?;
        // Also says that it is no directory, or none that may be read.
        fs::read_dir(root).map_err(at(root))?;
        Ok(Self {
            root: root.to_owned(),
            _held: held,
            is_prepared: Mutex::new(false),
        })
    }

    /// What says how the bucket is laid out; `None` before the first write.
    pub(super) fn layout(&self) -> Outcome<Option<String>> {
        let layout = self.own("layout");
        let found = if_there(fs::read(&layout).map_err(at(&layout)))?;
        Ok(found.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Refuses a directory that a newer build has laid out.
    pub(super) fn check_layout(&self, found: Option<String>) -> Result<()> {
        let found = found.unwrap_or_else(|| LAYOUT.to_owned());
        if found == LAYOUT {
            return Ok(());
        }
        Err(Error::Unfit {
            bucket: self.root.display().to_string(),
            reason: format!(
                "its layout is `{}`, this build knows `{}`: use the Skein that wrote it",
                found.trim_end(),
                LAYOUT.trim_end()
            ),
        })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Where uploads under way lie.
    pub(super) fn uploads(&self) -> PathBuf {
        self.own("uploads")
    }

    /// A path for what has no name yet.
    pub(super) fn unnamed(&self) -> Outcome<Staged> {
        self.prepare()?;
        let name = Uuid::new_v4().as_simple().to_string();
        Ok(Staged(self.own("staging").join(name)))
    }

    /// Writes an object to a file that has no name yet, durably.
    pub(super) fn stage(&self, body: &[u8], trailer: Trailer) -> Outcome<Staged> {
        let staged = self.unnamed()?;
        let written = File::create_new(&staged.0).and_then(|mut file| {
            file.write_all(body)?;
            file.write_all(&trailer.write())?;
            file.sync_all()
        });
        written.map_err(at(&staged.0))?;
        Ok(staged)
    }

    /// Gives a file its name, in one step and durably.
    pub(super) fn name(&self, file: &Staged, target: &Path, naming: Naming) -> Outcome<Named> {
        let folder = target.parent().unwrap_or(&self.root);
        for _ in 0..PLACE_TRIES {
            self.make_folder(folder)?;
            let done = match naming {
                Naming::IfAbsent => fs::hard_link(&file.0, target),
                Naming::Replacing => fs::rename(&file.0, target),
            };
            match done {
                Ok(()) => {
                    self.sync_up(folder)?;
                    return Ok(Named::Done);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    return self.taken(target);
                }
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(at(target)(error)),
                Err(_) if !file.0.exists() => return Ok(Named::FileGone),
                // Somebody has taken the folder away, as it was empty.
                Err(_) => {}
            }
        }
        Err(at(folder)(ErrorKind::ResourceBusy.into()))
    }

    /// Says that a name is taken, durably: who gave it, an earlier try of ours perhaps, may not have come so far.
    pub(super) fn taken(&self, target: &Path) -> Outcome<Named> {
        self.sync_up(target.parent().unwrap_or(&self.root))?;
        Ok(Named::Taken)
    }

    /// Removes an object's file, and the folders that are empty then.
    pub(super) fn remove(&self, file: &Path) -> Outcome<()> {
        match fs::remove_file(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            done => done.map_err(at(file))?,
        }
        let mut folder = file.parent().unwrap_or(&self.root);
        sync_folder(folder)?;
        while folder != self.root && fs::remove_dir(folder).is_ok() {
            folder = folder.parent().unwrap_or(&self.root);
        }
        Ok(())
    }

    fn own(&self, name: &str) -> PathBuf {
        self.root.join(OWN).join(name)
    }

    /// Makes the folders of our own before the first write.
    fn prepare(&self) -> Outcome<()> {
        let mut is_prepared = self
            .is_prepared
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *is_prepared {
            return Ok(());
        }
        let (staging, uploads) = (self.own("staging"), self.own("uploads"));
        self.make_folder(&staging)?;
        self.make_folder(&uploads)?;
        let layout = self.own("layout");
        if !layout.exists() {
            let staged = Staged(staging.join(Uuid::new_v4().as_simple().to_string()));
            let written = File::create_new(&staged.0).and_then(|mut file| {
                file.write_all(LAYOUT.as_bytes())?;
                file.sync_all()
            });
            written.map_err(at(&staged.0))?;
            self.name(&staged, &layout, Naming::IfAbsent)?;
        }
        self.sync_up(&staging)?;
        self.sync_up(&uploads)?;
        sweep(&staging);
        *is_prepared = true;
        Ok(())
    }

    /// Makes a folder and those that lead to it, but never the bucket's own directory.
    fn make_folder(&self, folder: &Path) -> Outcome<()> {
        fs::metadata(&self.root).map_err(at(&self.root))?;
        match fs::create_dir_all(folder) {
            // Somebody takes a folder on the way away at the same time: it was not there, or just not any more. The caller
            // comes again.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && !is_file(folder) => Ok(()),
            done => done.map_err(at(folder)),
        }
    }

    /// Makes durable what a folder names, and that it is there itself. Every folder up to the root each time: who made
    /// one of them, and whether he has come so far, nobody else can know.
    fn sync_up(&self, folder: &Path) -> Outcome<()> {
        for folder in folder.ancestors() {
            sync_folder(folder)?;
            if folder == self.root {
                break;
            }
        }
        Ok(())
    }
}

impl Staged {
    /// A file that lies at `path` and goes with this.
    pub(super) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // It has its name already, or is swept away later.
        drop(fs::remove_file(&self.0));
    }
}

/// Makes a folder's names durable. One that is gone had nothing in it.
fn sync_folder(folder: &Path) -> Outcome<()> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done.map_err(at(folder)),
    }
}

/// Removes what dead writers left. What cannot be removed is in nobody's way.
fn sweep(staging: &Path) {
    let Ok(entries) = fs::read_dir(staging) else {
        return;
    };
    for entry in entries.flatten() {
        if age(&entry).is_some_and(|age| age > LEFT_BEHIND) {
            drop(remove(&entry.path()));
        }
    }
}

fn age(entry: &fs::DirEntry) -> Option<Duration> {
    let written = entry.metadata().ok()?.modified().ok()?;
    SystemTime::now().duration_since(written).ok()
}

fn remove(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return fs::remove_dir_all(path);
    }
    fs::remove_file(path)
}

fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_dir())
}

/// Names missing paths as absence.
pub(super) fn if_there<T>(found: Outcome<T>) -> Outcome<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Trouble { error, .. }) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(trouble) => Err(trouble),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Of folders in `/proc` nobody can make anything durable.
    #[test]
    fn a_name_that_is_taken_is_answered_for_only_when_it_is_durable() {
        let there = Path::new("/proc/self/status");
        let tree = Tree::open(Path::new("/proc/self")).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let staged = Staged::at(file);
        let named = tree.name(&staged, there, Naming::IfAbsent);
        assert_eq!(named.unwrap_err().path, Path::new("/proc/self"));
        assert_eq!(tree.taken(there).unwrap_err().path, Path::new("/proc/self"));
    }
}
