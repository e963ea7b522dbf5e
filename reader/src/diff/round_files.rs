//! The differences of one window, round by round, in files: so that a million of them take no memory.
//!
//! A difference counts when two rounds in a row have found it. What the first round found and the last did not is resolved;
//! what the last alone has found has not been looked at twice and is set aside.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Lines, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3Default;

use crate::diff::discrepancy::Difference;
use crate::error::{Error, Result};

/// Files of one window of an org.
#[derive(Debug, Clone)]
pub(super) struct RoundFiles {
    stem: PathBuf,
}

/// What two rounds make of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Confirmed {
    /// Found in this round and not in the one before.
    pub(super) unconfirmed: u64,
    /// Found in the first round and not in this one.
    pub(super) resolved: u64,
}

impl RoundFiles {
    pub(super) fn new(dir: &Path, org: u64, window: i64) -> Self {
        let stem = dir.join("windows").join(format!("{org:020}-{window}"));
        Self { stem }
    }

    fn with(&self, suffix: &str) -> PathBuf {
        let mut path = self.stem.clone().into_os_string();
        path.push(suffix);
        path.into()
    }

    /// What a round found.
    pub(super) fn found(&self, round: u32) -> PathBuf {
        self.with(&format!(".{round}.jsonl"))
    }

    /// What counts.
    pub(super) fn counted(&self) -> PathBuf {
        self.with(".counted.jsonl")
    }

    /// What counted once.
    pub(super) fn resolved(&self) -> PathBuf {
        self.with(".resolved.jsonl")
    }

    /// Compares what `round` found with what came before; each difference that counts is shown to `count`.
    pub(super) fn confirm(
        &self,
        round: u32,
        mut count: impl FnMut(&Difference),
    ) -> Result<Confirmed> {
        let mut confirmed = Confirmed::default();
        let before = self.found(round.saturating_sub(1));
        let mut counted = LinesOut::create(&self.counted())?;
        merge(&self.found(round), &before, |one, other| {
            match (one, other) {
                (Some(now), Some(_)) => {
                    counted.write(now)?;
                    count(now);
                }
                (Some(_), None) => confirmed.unconfirmed += 1,
                (None, _) => {}
            }
            Ok(())
        })?;
        counted.finish()?;
        let mut resolved = LinesOut::create(&self.resolved())?;
        merge(&self.found(round), &self.found(0), |one, other| {
            if let (None, Some(was)) = (one, other) {
                resolved.write(was)?;
                confirmed.resolved += 1;
            }
            Ok(())
        })?;
        resolved.finish()?;
        Ok(confirmed)
    }
}

/// Walks two files of differences in step.
fn merge(
    one: &Path,
    other: &Path,
    mut visit: impl FnMut(Option<&Difference>, Option<&Difference>) -> Result<()>,
) -> Result<()> {
    let (mut one, mut other) = (LinesIn::open(one)?, LinesIn::open(other)?);
    let (mut a, mut b) = (one.next()?, other.next()?);
    loop {
        let ids = (
            a.as_ref().map(Difference::identity),
            b.as_ref().map(Difference::identity),
        );
        let order = match ids {
            (None, None) => return Ok(()),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) => a.cmp(&b),
        };
        let with_one = a.as_ref().filter(|_| order.is_le());
        let with_other = b.as_ref().filter(|_| order.is_ge());
        visit(with_one, with_other)?;
        if order.is_le() {
            a = one.next()?;
        }
        if order.is_ge() {
            b = other.next()?;
        }
    }
}

/// A file of differences that is written.
pub(super) struct LinesOut {
    path: PathBuf,
    file: BufWriter<File>,
}

impl LinesOut {
    pub(super) fn create(path: &Path) -> Result<Self> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir).map_err(|error| refused(path, &error))?;
        }
        let file = File::create(path).map_err(|error| refused(path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::new(file),
        })
    }

    pub(super) fn write(&mut self, difference: &Difference) -> Result<()> {
        let line =
            serde_json::to_string(difference).map_err(|error| refused(&self.path, &error))?;
        writeln!(self.file, "{line}").map_err(|error| refused(&self.path, &error))
    }

    /// Everything is on the disk behind this.
    pub(super) fn finish(self) -> Result<()> {
        let file = self.file.into_inner();
        let file = file.map_err(|error| refused(&self.path, error.error()))?;
        file.sync_data()
            .map_err(|error| refused(&self.path, &error))
    }
}

/// A file of differences that is read; one that is not there is empty.
pub(super) struct LinesIn {
    path: PathBuf,
    lines: Option<Lines<BufReader<File>>>,
}

impl LinesIn {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let lines = match File::open(path) {
            Ok(file) => Some(BufReader::new(file).lines()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(refused(path, &error)),
        };
        Ok(Self {
            path: path.to_owned(),
            lines,
        })
    }

    pub(super) fn next(&mut self) -> Result<Option<Difference>> {
        let Some(line) = self.lines.as_mut().and_then(Iterator::next) else {
            return Ok(None);
        };
        let line = line.map_err(|error| refused(&self.path, &error))?;
        let read = serde_json::from_str(&line);
        read.map(Some).map_err(|error| refused(&self.path, &error))
    }
}

/// xxh3-128 of a file; of one that is not there as of an empty one.
pub(super) fn digest_of(path: &Path) -> Result<u128> {
    let mut hash = Xxh3Default::new();
    let bytes = match File::open(path) {
        Ok(file) => BufReader::with_capacity(1 << 20, file),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(hash.digest128()),
        Err(error) => return Err(refused(path, &error)),
    };
    let mut bytes = bytes;
    loop {
        let filled = bytes.fill_buf().map_err(|error| refused(path, &error))?;
        if filled.is_empty() {
            return Ok(hash.digest128());
        }
        hash.update(filled);
        let read = filled.len();
        bytes.consume(read);
    }
}

pub(super) fn refused(path: &Path, error: &dyn std::fmt::Display) -> Error {
    Error::Comparison {
        place: path.display().to_string(),
        reason: error.to_string(),
    }
}
