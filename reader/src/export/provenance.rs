//! Where the rows of a file come from, for those who find the file later.

use std::collections::{BTreeMap, BTreeSet};

use skein_shared::format::digest::ContentDigest;
use skein_shared::segment_fetch::SegmentFile;
use skein_shared::window::{TimeSpan, TimestampMs};

use super::ExportOptions;
use crate::snapshot::{Selection, Snapshot};

/// What is known before anything is read.
pub(super) fn of_snapshot(
    snapshot: &Snapshot,
    options: &ExportOptions,
) -> BTreeMap<String, String> {
    let manifests = snapshot.manifests().iter();
    let manifests = manifests.map(|(shard, manifest)| format!("{shard}@{}", manifest.generation.0));
    let selection = match snapshot.selection() {
        Selection::All => "all".to_owned(),
        Selection::Org(org) => format!("org {org}"),
        Selection::OrgFrom(key) => format!("org {} from metric {}", key.org, key.metric),
        Selection::Series(key) => format!("org {} metric {}", key.org, key.metric),
    };
    let pairs = [
        ("source", snapshot.bucket().url().to_owned()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("manifests", manifests.collect::<Vec<_>>().join(" ")),
        (
            "shard_map_versions",
            snapshot.shard_map_versions().to_string(),
        ),
        ("timeline", snapshot.timelines().version().to_string()),
        ("selection", selection),
        ("resolution", options.resolution.to_string()),
        ("from", bound(options.span.from)),
        ("to", bound(options.span.to)),
    ];
    let pairs = pairs.map(|(name, value)| (format!("skein.{name}"), value));
    pairs.into_iter().collect()
}

/// An end of a span, as a person reads it.
fn bound(at: TimestampMs) -> String {
    if [TimeSpan::ALL.from, TimeSpan::ALL.to].contains(&at) {
        return "unbounded".to_owned();
    }
    at.to_string()
}

/// What the segments say that rows are read from.
pub(super) fn add_files<'a>(
    provenance: &mut BTreeMap<String, String>,
    files: impl Iterator<Item = &'a SegmentFile>,
) {
    let (mut profiles, mut encoders) = (BTreeSet::new(), BTreeSet::new());
    for file in files {
        profiles.insert(file.footer().profile.clone());
        encoders.insert(file.footer().encoder_version.to_string());
    }
    let joined = |texts: BTreeSet<String>| texts.into_iter().collect::<Vec<_>>().join(" ");
    provenance.insert("skein.profile".to_owned(), joined(profiles));
    provenance.insert("skein.encoder".to_owned(), joined(encoders));
}

/// What was found.
pub(super) fn add_found(
    provenance: &mut BTreeMap<String, String>,
    rows: u64,
    series: u64,
    digest: ContentDigest,
) {
    provenance.insert("skein.rows".to_owned(), rows.to_string());
    provenance.insert("skein.series".to_owned(), series.to_string());
    provenance.insert("skein.digest".to_owned(), digest.to_string());
}
