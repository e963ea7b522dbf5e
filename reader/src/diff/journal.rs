//! What a comparison has done, in a local file: one that was interrupted goes on where it stopped.
//!
//! A line is appended when a round of a window is done, with a checksum, behind the files that it names: a kill loses at
//! most the window that was being compared. The last line of a window counts.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use skein_shared::format::checksum::crc32c;

use crate::diff::definition::Definition;
use crate::diff::discrepancy::{Class, Difference};
use crate::diff::round_files::{RoundFiles, digest_of, refused};
use crate::error::{Error, Result};

/// What is remembered, and where more is written.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    path: PathBuf,
    file: File,
    /// What it was begun with.
    pub begun: Begun,
    /// Of each org what is known of its input.
    pub inputs: BTreeMap<u64, OrgInput>,
    /// Of each window, by org and number, the last round.
    pub windows: BTreeMap<(u64, i64), WindowDone>,
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// Version of this file.
    pub skein_diff: u32,
    /// The build that began it: another may compare otherwise.
    pub build: String,
    /// What was asked for.
    pub definition: Definition,
    /// Where the left side is.
    pub left: String,
    /// Where the right side is.
    pub right: String,
}

/// What is known of the input of an org.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OrgInput {
    /// Whose.
    pub org: u64,
    /// In which round.
    pub round: u32,
    /// The windows that are compared, by their numbers.
    pub windows: Vec<i64>,
    /// Number of the org's cutover version; 0 when it has none.
    pub cutover_version: u64,
    /// Number of the fleet.
    pub fleet: u64,
    /// How equal input is known.
    pub how: InputKind,
    /// Up to where the left side has read, by chain.
    pub left: BTreeMap<String, i64>,
    /// Up to where the right side has.
    pub right: BTreeMap<String, i64>,
    /// Records between both.
    pub records_between: u64,
    /// Why that may not be all of them.
    pub short: Vec<String>,
}

/// How equal input is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// By what both sides say of their positions.
    Vectors,
    /// It is one and the same side.
    Same,
    /// A person has said so.
    Declared,
    /// It is not.
    #[default]
    Unknown,
}

/// One round of one window.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct WindowDone {
    /// Whose.
    pub org: u64,
    /// Its number.
    pub window: i64,
    /// Which round; the first is 0.
    pub round: u32,
    /// How equal input is known of it.
    pub input: InputKind,
    /// Which shard holds it.
    pub shard: String,
    /// Whether both sides write any of its times.
    pub both_write: bool,
    /// Series that one of the sides has.
    pub series: u64,
    /// Rows that were read of each side.
    pub rows: [u64; 2],
    /// Bytes of the objects that hold them.
    pub equal: u64,
    /// Rows that are the same within the tolerance.
    pub within_tolerance: u64,
    /// Rows that are one side's alone by the timeline.
    pub one_sided: u64,
    /// Rows that were deleted.
    pub deleted: u64,
    /// Rows that a record may have touched which only one side has read, and those that differed for the first time.
    pub set_aside: u64,
    /// Differences that the first round found and this one did not.
    pub resolved: u64,
    /// Differences that this round found.
    pub found: u64,
    /// The classes of those that count.
    pub classes: Vec<ClassCount>,
    /// The left side's objects, where something differs.
    pub left_objects: Vec<String>,
    /// The right side's.
    pub right_objects: Vec<String>,
    /// Why it could not be compared.
    pub error: Option<String>,
    /// Digests of the files of what was found, and of what counts.
    pub digests: [String; 2],
}

/// How many differences of a class there are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassCount {
    /// Its fingerprint.
    pub fingerprint: String,
    /// What they have in common.
    pub class: Class,
    /// How many.
    pub count: u64,
    /// The first of them.
    pub example: Difference,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Begun(Begun),
    Input(OrgInput),
    Window(Box<WindowDone>),
}

/// Version of the journal's lines.
const VERSION: u32 = 1;

impl WindowDone {
    /// Whether it has to be looked at again.
    pub fn is_open(&self) -> bool {
        self.found > 0 || self.set_aside > 0 || self.error.is_some()
    }

    /// Rows that were compared, differing ones too.
    pub fn compared(&self) -> u64 {
        let differing = self.classes.iter().filter(|it| it.example.at_ms.is_some());
        let differing = differing.filter(|it| !it.class.kind.stands_alone());
        self.equal + self.within_tolerance + differing.map(|it| it.count).sum::<u64>()
    }

    /// Whether there is anything to compare: neither a window without points, nor one that one side alone writes.
    pub fn is_due(&self) -> bool {
        let has_rows = self.rows != [0, 0] || !self.classes.is_empty() || self.set_aside > 0;
        self.error.is_some() || (self.both_write && has_rows)
    }
}

impl Journal {
    /// Begins one in `dir`.
    ///
    /// # Errors
    /// [`Error::Comparison`] when there is one already, or the disk says no.
    pub fn begin(dir: &Path, definition: Definition, places: (&str, &str)) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(|error| refused(dir, &error))?;
        let path = path_in(dir);
        let file = OpenOptions::new().append(true).create_new(true).open(&path);
        let file = file.map_err(|error| {
            if error.kind() == std::io::ErrorKind::AlreadyExists {
                let words = "a comparison was begun here: `skein diff resume` goes on, `skein diff delete` removes it";
                return refused(dir, &words);
            }
            refused(&path, &error)
        })?;
        let begun = Begun {
            skein_diff: VERSION,
            build: env!("CARGO_PKG_VERSION").to_owned(),
            definition,
            left: places.0.to_owned(),
            right: places.1.to_owned(),
        };
        let mut journal = Self {
            dir: dir.to_owned(),
            path,
            file,
            begun: begun.clone(),
            inputs: BTreeMap::new(),
            windows: BTreeMap::new(),
        };
        journal.append(&Line::Begun(begun))?;
        Ok(journal)
    }

    /// Opens the one in `dir`. A last line that was cut off does not count, nor does a window whose files are not those that
    /// it names.
    ///
    /// # Errors
    /// [`Error::Comparison`] when there is none, or it is not of this build.
    pub fn open(dir: &Path) -> Result<Self> {
        let path = path_in(dir);
        let read = File::open(&path).map_err(|error| refused(&path, &error))?;
        let mut begun = None;
        let (mut inputs, mut windows) = (BTreeMap::new(), BTreeMap::new());
        let mut sound_bytes = 0;
        let mut read = BufReader::new(read);
        let mut text = Vec::new();
        loop {
            text.clear();
            let bytes = read
                .read_until(b'\n', &mut text)
                .map_err(|error| refused(&path, &error))?;
            let Some(line) = parse(&text) else {
                break;
            };
            sound_bytes += bytes as u64;
            match line {
                Line::Begun(it) => begun = Some(it),
                Line::Input(it) => drop(inputs.insert(it.org, it)),
                Line::Window(it) => drop(windows.insert((it.org, it.window), *it)),
            }
        }
        let begun = begun.ok_or_else(|| refused(&path, &"the file does not begin as a journal"))?;
        check_build(&path, &begun)?;
        let file = OpenOptions::new().append(true).open(&path);
        let file = file.map_err(|error| refused(&path, &error))?;
        file.set_len(sound_bytes)
            .map_err(|error| refused(&path, &error))?;
        let mut journal = Self {
            dir: dir.to_owned(),
            path,
            file,
            begun,
            inputs,
            windows,
        };
        journal.forget_broken()?;
        Ok(journal)
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Remembers what is known of an org's input.
    ///
    /// # Errors
    /// [`Error::Comparison`].
    pub(super) fn keep_input(&mut self, input: OrgInput) -> Result<()> {
        self.append(&Line::Input(input.clone()))?;
        self.inputs.insert(input.org, input);
        Ok(())
    }

    /// Remembers that a round of a window is done.
    ///
    /// # Errors
    /// [`Error::Comparison`].
    pub(super) fn keep_window(&mut self, done: WindowDone) -> Result<()> {
        self.append(&Line::Window(Box::new(done.clone())))?;
        self.windows.insert((done.org, done.window), done);
        Ok(())
    }

    fn append(&mut self, line: &Line) -> Result<()> {
        let text = serde_json::to_string(line).map_err(|error| refused(&self.path, &error))?;
        let line = format!("{:08x} {text}\n", crc32c(text.as_bytes()));
        let written = self.file.write_all(line.as_bytes());
        let written = written.and_then(|()| self.file.sync_data());
        written.map_err(|error| refused(&self.path, &error))
    }

    fn forget_broken(&mut self) -> Result<()> {
        let mut broken = Vec::new();
        for (at, done) in &self.windows {
            let files = RoundFiles::new(&self.dir, at.0, at.1);
            let digests = [files.found(done.round), files.counted()].map(|path| digest_of(&path));
            let [found, counted] = digests;
            if done.digests != [hex(found?), hex(counted?)] {
                broken.push(*at);
            }
        }
        for at in broken {
            self.windows.remove(&at);
        }
        Ok(())
    }
}

/// A digest as the journal has it.
pub(super) fn hex(digest: u128) -> String {
    format!("{digest:032x}")
}

fn path_in(dir: &Path) -> PathBuf {
    dir.join("journal.jsonl")
}

fn parse(line: &[u8]) -> Option<Line> {
    let text = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (crc, text) = text.split_once(' ')?;
    let crc = u32::from_str_radix(crc, 16).ok()?;
    (crc == crc32c(text.as_bytes())).then(|| serde_json::from_str(text).ok())?
}

fn check_build(path: &Path, begun: &Begun) -> Result<()> {
    let ours = env!("CARGO_PKG_VERSION");
    if begun.skein_diff == VERSION && begun.build == ours {
        return Ok(());
    }
    Err(Error::Comparison {
        place: path.display().to_string(),
        reason: format!(
            "it was begun by build {}, this is {ours}: begin a new one in another directory",
            begun.build
        ),
    })
}
