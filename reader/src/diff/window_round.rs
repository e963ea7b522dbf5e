//! One round of one window of an org: sums first, then a join of what differs, then what both rounds say.

use std::collections::BTreeMap;
use std::path::Path;

use skein_shared::format::delete_entry::DeleteSelector;
use skein_shared::ids::{MetricId, OrgId, SeriesKey};
use skein_shared::timeline::Pipeline;
use skein_shared::window::{Resolution, TimeSpan, Window};

use crate::diff::definition::{Definition, Sample};
use crate::diff::discrepancy::Difference;
use crate::diff::fingerprint::pass;
use crate::diff::input_proof::{InputProof, Touched};
use crate::diff::journal::{ClassCount, InputKind, WindowDone, hex};
use crate::diff::merge_join::join;
use crate::diff::ownership::Ownership;
use crate::diff::pace::Pace;
use crate::diff::round_files::{LinesOut, RoundFiles, digest_of};
use crate::diff::side::{PinnedSide, UnitScope};
use crate::diff::sieve::Sieve;
use crate::error::Result;

/// Classes that are told apart in one window; of more the metric's type is not told.
const MOST_CLASSES: usize = 10_000;

/// Objects of a side that are named where something differs.
const NAMED_OBJECTS: usize = 20;

/// What all windows of an org have in common in a round.
#[derive(Debug)]
pub(super) struct OrgRound<'a> {
    pub(super) dir: &'a Path,
    pub(super) definition: &'a Definition,
    pub(super) org: OrgId,
    pub(super) left: &'a PinnedSide,
    pub(super) right: &'a PinnedSide,
    pub(super) pipelines: (Pipeline, Pipeline),
    pub(super) input: &'a InputProof,
    pub(super) timelines: &'a skein_config::cutover::timelines::Timelines,
    pub(super) deletes: &'a [DeleteSelector],
}

/// Counts of what differs, by class.
#[derive(Debug, Default)]
pub(super) struct ClassTable(BTreeMap<String, ClassCount>);

impl ClassTable {
    pub(super) fn count(&mut self, difference: &Difference) {
        if let Some(known) = self.0.get_mut(&difference.class) {
            known.count += 1;
            return;
        }
        let mut class = difference.of.clone();
        if self.0.len() >= MOST_CLASSES {
            "(any)".clone_into(&mut class.metric_type);
        }
        let fingerprint = class.fingerprint();
        let counted = self
            .0
            .entry(fingerprint.clone())
            .or_insert_with(|| ClassCount {
                fingerprint,
                class,
                count: 0,
                example: difference.clone(),
            });
        counted.count += 1;
    }

    pub(super) fn into_classes(self) -> Vec<ClassCount> {
        self.0.into_values().collect()
    }
}

impl OrgRound<'_> {
    /// The event times of a window that are compared.
    fn span_of(&self, window: Window) -> TimeSpan {
        let (wanted, held) = (self.definition.span(), window.span());
        let span = TimeSpan {
            from: wanted.from.max(held.from),
            to: wanted.to.min(held.to),
        };
        self.definition.resolution.buckets_in(span)
    }

    /// Runs `round` of a window.
    ///
    /// # Errors
    /// The bucket's, the disk's, or that it was stopped.
    pub(super) async fn run(
        &self,
        window: Window,
        round: u32,
        pace: &mut Pace<'_>,
    ) -> Result<WindowDone> {
        let org = self.org;
        let span = self.span_of(window);
        let resolution = self.definition.resolution;
        let ownership = Ownership::of(self.timelines, org, span);
        let shard = self
            .left
            .shard(org, window)
            .or(self.right.shard(org, window));
        let sieve = Sieve {
            window,
            resolution,
            ownership: &ownership,
            pipelines: self.pipelines,
            touched: self.input.touched(),
            deletes: self.deletes,
            shard: shard.map_or_else(String::new, |shard| shard.to_string()),
        };
        let scope = UnitScope {
            org,
            window,
            span,
            resolution,
            sample: self.definition.sample,
            keys: keys_of(org),
        };
        let sides = (self.left, self.right);
        let passed = pass(sides, scope, &sieve, pace).await?;
        let files = RoundFiles::new(self.dir, org.0, window.number());
        let mut done = WindowDone {
            org: org.0,
            window: window.number(),
            round,
            input: self.input_of(span),
            shard: sieve.shard.clone(),
            both_write: ownership.has_compared(self.pipelines.0, self.pipelines.1),
            series: passed.series,
            rows: passed.rows,
            equal: passed.equal,
            one_sided: passed.one_sided,
            deleted: passed.deleted,
            set_aside: self.set_aside(&ownership, span),
            ..WindowDone::default()
        };
        let mut out = LinesOut::create(&files.found(round))?;
        for keys in passed.differing {
            let scope = UnitScope { keys, ..scope };
            let mut found = 0;
            let mut sink = |difference: &Difference| {
                found += 1;
                out.write(difference)
            };
            let joined = join(sides, scope, &sieve, pace, &mut sink).await?;
            done.found += found;
            done.equal += joined.equal;
            done.within_tolerance += joined.within_tolerance;
        }
        out.finish()?;
        self.settle(&files, &mut done).await?;
        Ok(done)
    }

    /// Says what counts behind this round.
    async fn settle(&self, files: &RoundFiles, done: &mut WindowDone) -> Result<()> {
        let mut classes = ClassTable::default();
        let confirmed = files.confirm(done.round, |difference| classes.count(difference))?;
        done.classes = classes.into_classes();
        done.resolved = confirmed.resolved;
        done.set_aside += confirmed.unconfirmed;
        if !done.classes.is_empty() {
            let window = Window::from_number(done.window);
            done.left_objects = self.left.objects(self.org, window).await?;
            done.right_objects = self.right.objects(self.org, window).await?;
            done.left_objects.truncate(NAMED_OBJECTS);
            done.right_objects.truncate(NAMED_OBJECTS);
        }
        let found = digest_of(&files.found(done.round))?;
        let counted = digest_of(&files.counted())?;
        done.digests = [hex(found), hex(counted)];
        Ok(())
    }

    fn input_of(&self, span: TimeSpan) -> InputKind {
        match self.input {
            InputProof::Same => InputKind::Same,
            InputProof::Vectors(proof) if proof.short.is_empty() => InputKind::Vectors,
            InputProof::Vectors(_) | InputProof::Unsaid => {
                let declared = self.definition.declared_of(span);
                declared.map_or(InputKind::Unknown, |_| InputKind::Declared)
            }
        }
    }

    /// Rows of times that both sides write, which a record between their positions touches.
    fn set_aside(&self, ownership: &Ownership, span: TimeSpan) -> u64 {
        let (left, right) = self.pipelines;
        let Some(touched) = self.input.touched().filter(|it| !it.is_empty()) else {
            return 0;
        };
        let spans = ownership.compared(left, right).into_iter();
        let rows = spans.map(|part| self.rows_in(touched, part, span));
        rows.sum()
    }

    fn rows_in(&self, touched: &Touched, part: TimeSpan, span: TimeSpan) -> u64 {
        let (resolution, sample): (Resolution, Sample) =
            (self.definition.resolution, self.definition.sample);
        let part = TimeSpan {
            from: part.from.max(span.from),
            to: part.to.min(span.to),
        };
        let takes = |metric| {
            let org = self.org;
            sample.takes(SeriesKey { org, metric })
        };
        touched.rows_in(resolution, part, takes)
    }
}

/// All series of an org.
fn keys_of(org: OrgId) -> (SeriesKey, SeriesKey) {
    let key = |metric| SeriesKey {
        org,
        metric: MetricId(metric),
    };
    (key(0), key(u64::MAX))
}
