//! Payloads that memory has no room for: sorted runs in one local file, read back in one merge.
//!
//! Each time the arena is full its payloads go, sorted, to the end of the file as one *run*. When everything is
//! read, the runs are merged: what comes out is the order that one arena without bounds would have given, so
//! the budget never shows in a segment's bytes. The file has no name: whatever ends the process, the
//! system takes it back.

mod entry;
mod run_reader;
mod point_runs;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufWriter, Error as IoError, ErrorKind as IoErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use skein_shared::format::order_column::ChainIndex;
use skein_shared::window::Window;

use crate::error::{Error, Result};
use crate::payload_arena::PayloadArena;

pub use self::point_runs::{CHUNK_POINTS, PointReader, PointRuns};
pub use self::run_reader::RunReader;

/// Bytes that are gathered for one write.
const WRITE_BYTES: usize = 1 << 20;

/// Where spilled payloads go.
#[derive(Debug, Clone)]
pub struct SpillPlace {
    folder: PathBuf,
}

/// The runs that one step has spilled.
#[derive(Debug)]
pub struct Spill {
    place: SpillPlace,
    file: Arc<File>,
    runs: Vec<Run>,
    end: u64,
}

/// Where one sorted run lies in the file.
#[derive(Debug, Clone)]
struct Run {
    from: u64,
    to: u64,
    /// The chains of its records, by window.
    chains: BTreeMap<Window, BTreeSet<ChainIndex>>,
}

impl SpillPlace {
    /// A folder that must be there.
    ///
    /// # Errors
    /// [`Error::Spill`] when `folder` is missing, is none, or cannot be written to.
    pub fn open(folder: &Path) -> Result<Self> {
        let place = Self {
            folder: folder.to_owned(),
        };
        // Found out now, and not when memory runs full hours later.
        place.new_file()?;
        Ok(place)
    }

    /// An empty file without a name.
    fn new_file(&self) -> Result<File> {
        tempfile::tempfile_in(&self.folder).map_err(|error| self.failed("create", error))
    }

    fn failed(&self, action: &'static str, source: std::io::Error) -> Error {
        Error::Spill {
            action,
            folder: self.folder.clone(),
            source,
        }
    }

    fn damaged(&self) -> Error {
        let reason = "what was spilled does not read back as it was written";
        self.failed("read", IoError::new(IoErrorKind::InvalidData, reason))
    }
}

impl Spill {
    /// Without a run.
    ///
    /// # Errors
    /// [`Error::Spill`].
    pub fn create(place: &SpillPlace) -> Result<Self> {
        Ok(Self::over(place.clone(), place.new_file()?))
    }

    fn over(place: SpillPlace, file: File) -> Self {
        Self {
            place,
            file: Arc::new(file),
            runs: Vec::new(),
            end: 0,
        }
    }

    /// Sorts what `arena` holds, appends it as a run, and empties the arena.
    ///
    /// # Errors
    /// [`Error::Spill`] when the disk is full or fails: the step is lost then, and nothing of it is visible.
    pub fn append(&mut self, arena: &mut PayloadArena) -> Result<()> {
        arena.sort();
        let mut run = Run {
            from: self.end,
            to: self.end,
            chains: BTreeMap::new(),
        };
        let mut out = BufWriter::with_capacity(WRITE_BYTES, self.file.as_ref());
        for reference in arena.refs() {
            let payload = arena.bytes_of(reference);
            let head = entry::encode(reference, payload);
            let written = out.write_all(&head).and_then(|()| out.write_all(payload));
            written.map_err(|error| self.place.failed("write", error))?;
            run.to += (head.len() + payload.len()) as u64;
            let chains = run.chains.entry(reference.key.window).or_default();
            chains.insert(reference.key.order.chain);
        }
        out.flush()
            .map_err(|error| self.place.failed("write", error))?;
        drop(out);
        self.end = run.to;
        self.runs.push(run);
        arena.clear();
        Ok(())
    }

    /// Bytes in the file.
    pub fn bytes(&self) -> u64 {
        self.end
    }

    /// The chains of a window's records.
    pub fn chains_in(&self, window: Window) -> Vec<ChainIndex> {
        let sets = self.runs.iter().filter_map(|run| run.chains.get(&window));
        let chains: BTreeSet<ChainIndex> = sets.flatten().copied().collect();
        chains.into_iter().collect()
    }

    /// A reader before the first payload of each run; together they keep `buffer_bytes` of memory.
    pub fn readers(&self, buffer_bytes: usize) -> Vec<RunReader> {
        let each = buffer_bytes / self.runs.len().max(1);
        let reader = |run: &Run| {
            RunReader::new(
                self.place.clone(),
                Arc::clone(&self.file),
                run.from..run.to,
                each,
            )
        };
        self.runs.iter().map(reader).collect()
    }
}

#[cfg(test)]
mod tests;
