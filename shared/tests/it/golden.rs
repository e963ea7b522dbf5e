//! Stored formats stay readable: a file of each, written once and never again.
//!
//! `tests/golden/<name>-<version>.bin` decodes to its sample for ever, and the sample encodes to its bytes. See
//! `CONTRIBUTING.md` for how to add one.

mod fixed;
mod flushes;
mod replays;
mod manifests;
mod plans;
mod compactions;
mod deletes;
mod cutovers;
mod old_pipeline;
mod state;
mod points;
mod segments;
mod object_file;
mod fields;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use skein_shared::Result;
use skein_shared::format::envelope::{self, Kind};
use skein_shared::ids::WriteId;

/// Decodes bytes and compares all of it with the sample; panics at a difference.
type Check = Box<dyn Fn(&[u8])>;

/// A stored file and what stands in it.
struct Golden {
    /// The file's name without `.bin`.
    name: &'static str,
    /// What this build writes for the sample.
    written: Written,
    /// Whether its bytes are still what they were.
    check: Check,
}

/// What this build writes, and why that may differ from the file.
enum Written {
    /// Never: our code alone decides about the bytes.
    Ours(Vec<u8>),
    /// When zstd or pco packs differently.
    Packed(Vec<u8>),
}

impl Golden {
    fn of_envelope<T: Debug + PartialEq + 'static>(
        name: &'static str,
        sample: T,
        encode: fn(&T, WriteId) -> bytes::Bytes,
        decode: fn(&[u8]) -> Result<(WriteId, T)>,
    ) -> Self {
        Self {
            name,
            written: Written::Ours(encode(&sample, fixed::write_id()).to_vec()),
            check: Box::new(move |bytes| {
                let (write_id, found) = decode(bytes).unwrap();
                assert_eq!(found, sample, "{name}");
                assert_eq!(write_id, fixed::write_id(), "{name}");
            }),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        stored(self.name)
    }
}

/// All of them.
fn goldens() -> Vec<Golden> {
    let mut all = flushes::goldens();
    all.extend(replays::goldens());
    all.extend(manifests::goldens());
    all.extend(plans::goldens());
    all.extend(compactions::goldens());
    all.extend(deletes::goldens());
    all.extend(cutovers::goldens());
    all.extend(old_pipeline::goldens());
    all.extend(state::goldens());
    all.extend(segments::goldens());
    all.extend(points::goldens());
    all.push(object_file::golden());
    all
}

/// The files that hold a kind of envelope as the whole object.
///
/// A kind that is added here wants a sample, too.
fn files_of(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::FlushManifest => &["flush-manifest-1", "flush-manifest-void-1"],
        Kind::Genesis => &["genesis-1"],
        Kind::LedgerEntry => &["ledger-entry-1", "ledger-entry-lost-1"],
        Kind::ShardMapVersion => &["shard-map-version-1"],
        Kind::SourceIdentity => &["source-identity-1"],
        Kind::ShardManifest => &["shard-manifest-1"],
        Kind::Quarantine => &["quarantine-1"],
        Kind::WorkerStatus => &["worker-status-1"],
        Kind::Retirement => &["retirement-1"],
        Kind::FillEntry => &["fill-entry-1"],
        Kind::ReplayJob => &["replay-job-1"],
        Kind::ReplayStep => &["replay-step-1"],
        Kind::ReplayCancel => &["replay-cancel-1"],
        Kind::CompactPlan => &["compact-plan-1"],
        Kind::CompactResult => &["compact-result-1", "compact-result-over-budget-1"],
        Kind::Seal => &["seal-1"],
        Kind::DeleteEntry => &["delete-entry-1", "delete-entry-apart-1"],
        Kind::DeleteReceipt => &["delete-receipt-1"],
        Kind::ManifestLeaf => &[
            "manifest-leaf-windows-1",
            "manifest-leaf-unfiltered-1",
            "manifest-leaf-quarantine-1",
        ],
        Kind::DeletePositions => &["delete-positions-1"],
        Kind::RunRecord => &["run-record-1", "run-record-task-1"],
        Kind::StateBound => &["state-bound-1"],
        Kind::Account => &["account-1", "account-marked-1"],
        Kind::CutoverVersion => &["cutover-version-1"],
        Kind::CutoverFleet => &["cutover-fleet-1"],
        Kind::CutoverSeal => &["cutover-seal-1"],
        Kind::CutoverAck => &["cutover-acknowledgement-1"],
        Kind::OldFile => &["old-file-1"],
        Kind::OldProgress => &["old-progress-1"],
        Kind::DiffVerdict => &["comparison-verdict-1"],
        // These are the ends of other objects.
        Kind::StateFooter => &["state-object-1"],
        Kind::SegmentFooter => &["segment-overlay-1", "segment-base-1", "segment-rollup-1"],
    }
}

/// The bytes of the envelope that a file is, or ends with.
fn envelope_in(kind: Kind, file: &[u8]) -> &[u8] {
    let length_at = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    if kind == Kind::StateFooter {
        let end = file.len() - 24;
        &file[end - length_at(end + 8)..end]
    } else if kind == Kind::SegmentFooter {
        let end = file.len() - 12;
        &file[end - length_at(end)..end]
    } else {
        file
    }
}

fn path(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    folder.join(format!("{name}.bin"))
}

#[track_caller]
fn stored(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap_or_else(|error| {
        panic!("{name}.bin: {error}; a new format's first file is written by `cargo test missing_golden_files -- --ignored`")
    })
}

#[test]
fn every_stored_file_reads_as_it_was_written() {
    let reads = |golden: &Golden| {
        let read = || (golden.check)(&golden.bytes());
        catch_unwind(AssertUnwindSafe(read)).is_ok()
    };
    let all = goldens();
    let broken = all.iter().filter(|golden| !reads(golden));
    let broken: Vec<_> = broken.map(|golden| golden.name).collect();
    assert!(
        broken.is_empty(),
        "{broken:?} no longer read as they were written"
    );
}

#[test]
fn what_was_written_once_is_written_the_same_today() {
    for golden in goldens() {
        let name = golden.name;
        match &golden.written {
            Written::Ours(bytes) => assert!(
                *bytes == golden.bytes(),
                "{name}: the stored format has changed. Fields may be added, with new tags and no bytes where they are \
                 absent; whatever else changes takes a new version and a file of its own beside this one. Never \
                 overwrite the file: buckets are full of its like"
            ),
            Written::Packed(bytes) => assert!(
                *bytes == golden.bytes(),
                "{name}: the same input gives other bytes. If nothing but the version of zstd or pco changed, all that is \
                 stored still reads, as `every_stored_file_reads_as_it_was_written` says; but a rebuild of a segment \
                 would differ: raise ENCODER_VERSION, add a file for what is written now beside this one, and keep this \
                 one for decoding. Otherwise the format has changed: give it a new version. Never overwrite the file"
            ),
        }
    }
}

#[test]
fn every_kind_of_envelope_has_a_stored_file() {
    for kind in Kind::ALL {
        assert!(!files_of(kind).is_empty(), "{}", kind.name());
        for name in files_of(kind) {
            let file = stored(name);
            let found = envelope::kind_of(envelope_in(kind, &file)).unwrap();
            assert_eq!(found, kind, "{name}");
        }
    }
}

#[test]
fn every_file_is_checked_and_is_small() {
    let named: BTreeSet<String> = goldens().iter().map(|it| it.name.to_owned()).collect();
    let of_kinds = Kind::ALL.into_iter().flat_map(files_of);
    for name in of_kinds {
        assert!(named.contains(*name), "{name} has no sample");
    }
    let folder = path("any").parent().unwrap().to_owned();
    let there = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    for file in there {
        let name = file.file_name().into_string().unwrap();
        let known = name
            .strip_suffix(".bin")
            .is_some_and(|it| named.contains(it));
        assert!(
            known,
            "{name} has no sample: nobody would notice that it no longer reads"
        );
        let bytes = file.metadata().unwrap().len();
        assert!(bytes <= 8192, "{name} has {bytes} bytes");
    }
}

#[test]
#[ignore = "writes the files of new formats"]
fn missing_golden_files_are_written_and_no_other() {
    for golden in goldens() {
        let (Written::Ours(bytes) | Written::Packed(bytes)) = &golden.written;
        match fs::File::create_new(path(golden.name)) {
            Ok(mut file) => std::io::Write::write_all(&mut file, bytes).unwrap(),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists),
        }
    }
}
