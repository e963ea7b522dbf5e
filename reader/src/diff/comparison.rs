//! Runs a comparison: round after round, org by org, window by window.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use skein_config::cutover::timelines::Timelines;
use skein_shared::bucket::Bucket;
use skein_shared::delete_log;
use skein_shared::format::delete_entry::DeleteSelector;
use skein_shared::format::diff_verdict::DiffSides;
use skein_shared::ids::OrgId;
use skein_shared::payload::Limits;
use skein_shared::window::{TimeSpan, Window};
use tracing::info;

use crate::diff::definition::Definition;
use crate::diff::input_proof::{InputProof, StateOf, VectorProof, prove};
use crate::diff::journal::{InputKind, Journal, OrgInput, WindowDone};
use crate::diff::ownership::Ownership;
use crate::diff::pace::Pace;
use crate::diff::side::{PinnedSide, Side};
use crate::diff::window_round::OrgRound;
use crate::error::{Error, Result};

/// Points between two vectors that are kept in memory at most: 8 bytes each.
const MOST_TOUCHED: usize = 32_000_000;

/// Two sides, and what says who owns what.
#[derive(Debug, Clone)]
pub struct Sides {
    /// The first: the old one, if there is one.
    pub left: Side,
    /// The second.
    pub right: Side,
    /// What is compared with what.
    pub of: DiffSides,
    /// The bucket with the ledger, the state and the deletes.
    pub bucket: Bucket,
    /// Who writes and who is visible.
    pub timelines: Timelines,
}

/// How far a comparison has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The round; the first is 0.
    pub round: u32,
    /// Windows of this round that are done, over all orgs.
    pub windows_done: u64,
    /// Those that there are, as far as is known.
    pub windows: u64,
    /// Rows that were read so far, of both sides.
    pub rows: u64,
    /// Differences found in the last round of each window.
    pub found: u64,
}

/// One run over the windows that are left.
struct Run<'a> {
    journal: &'a mut Journal,
    sides: &'a Sides,
    definition: Definition,
    pace: Pace<'a>,
    tell: &'a mut dyn FnMut(Progress),
    progress: Progress,
}

/// Does what the journal says is left to do.
///
/// # Errors
/// [`Error::Stopped`] when `must_stop` said so; the disk's; the bucket's where nothing can be compared. What fails in one
/// window is kept in the journal.
pub async fn compare(
    journal: &mut Journal,
    sides: &Sides,
    most_bytes_per_second: Option<u64>,
    must_stop: &dyn Fn() -> bool,
    tell: &mut dyn FnMut(Progress),
) -> Result<()> {
    let definition = journal.begun.definition.clone();
    let pace = Pace::new(
        (&sides.left, &sides.right),
        most_bytes_per_second,
        must_stop,
    );
    let mut run = Run {
        journal,
        sides,
        definition,
        pace,
        tell,
        progress: Progress::default(),
    };
    for round in 0..=run.definition.rechecks {
        run.progress.round = round;
        run.progress.windows_done = 0;
        if round > 0 {
            if !run.is_any_open() {
                break;
            }
            let wait = run
                .definition
                .backoff_ms
                .saturating_mul(1 << (round - 1).min(20));
            info!(
                round,
                wait_ms = wait,
                "looking again at what differs or was set aside"
            );
            run.pace.rest(Duration::from_millis(wait)).await?;
        }
        let orgs: Vec<OrgId> = run.definition.orgs().collect();
        for org in orgs {
            run.org(org, round).await?;
        }
    }
    Ok(())
}

impl Run<'_> {
    fn is_any_open(&self) -> bool {
        self.journal.windows.values().any(WindowDone::is_open)
    }

    /// Windows of an org that have not come as far as `round`.
    fn left(&self, org: OrgId, round: u32) -> Option<BTreeSet<Window>> {
        let planned = self.journal.inputs.get(&org.0)?;
        let is_left = |number: &&i64| match self.journal.windows.get(&(org.0, **number)) {
            None => true,
            Some(done) => done.is_open() && done.round < round,
        };
        let left = planned.windows.iter().filter(is_left);
        Some(left.map(|number| Window::from_number(*number)).collect())
    }

    async fn org(&mut self, org: OrgId, round: u32) -> Result<()> {
        if self.left(org, round).is_some_and(|left| left.is_empty()) {
            return Ok(());
        }
        let (sides, definition) = (self.sides, self.definition.clone());
        let left = sides.left.pin(org).await?;
        let right = match sides.of {
            DiffSides::OldOld => left.clone(),
            DiffSides::OldNew | DiffSides::NewNew => sides.right.pin(org).await?,
        };
        let planned = self.journal.inputs.get(&org.0).map(|it| it.windows.clone());
        let windows: BTreeSet<Window> = match planned {
            Some(numbers) => numbers.into_iter().map(Window::from_number).collect(),
            None => self.plan(org, &left, &right),
        };
        let input = self.input(org, (&left, &right), &windows).await?;
        let said = self.said(org, round, &input, &windows);
        self.journal.keep_input(said)?;
        let deletes = self.deletes(org).await?;
        let dir = self.journal.dir().to_owned();
        let org_round = OrgRound {
            dir: &dir,
            definition: &definition,
            org,
            left: &left,
            right: &right,
            pipelines: (sides.left.pipeline(), sides.right.pipeline()),
            input: &input,
            timelines: &sides.timelines,
            deletes: &deletes,
        };
        for window in self.left(org, round).unwrap_or_default() {
            self.window(&org_round, window, round).await?;
        }
        Ok(())
    }

    /// Brings a window as far as `round`, unless it is settled before.
    async fn window(&mut self, org_round: &OrgRound<'_>, window: Window, round: u32) -> Result<()> {
        let at = (org_round.org.0, window.number());
        loop {
            let before = self.journal.windows.get(&at).cloned();
            let next = before.as_ref().map_or(0, |done| done.round + 1);
            self.pace.keep_now().await?;
            let done = match org_round.run(window, next, &mut self.pace).await {
                Ok(done) => done,
                Err(error @ (Error::Stopped | Error::Comparison { .. })) => return Err(error),
                Err(error) => failed(before, at, (next, &error)),
            };
            let is_settled = !done.is_open() || next >= round;
            self.progress.rows += done.rows.iter().sum::<u64>();
            self.journal.keep_window(done)?;
            if is_settled {
                break;
            }
        }
        self.progress.windows_done += 1;
        let planned = self
            .journal
            .inputs
            .values()
            .map(|it| it.windows.len() as u64);
        self.progress.windows = planned.sum();
        self.progress.found = self.journal.windows.values().map(|it| it.found).sum();
        (self.tell)(self.progress);
        Ok(())
    }

    /// The windows in which there is something to compare, or something that should not be there.
    fn plan(&self, org: OrgId, left: &PinnedSide, right: &PinnedSide) -> BTreeSet<Window> {
        let (one, other) = (self.sides.left.pipeline(), self.sides.right.pipeline());
        let (wanted, resolution) = (self.definition.span(), self.definition.resolution);
        let (of_left, of_right) = (left.windows(org), right.windows(org));
        let mut windows = BTreeSet::new();
        for window in of_left.union(&of_right) {
            let held = window.span();
            let span = TimeSpan {
                from: wanted.from.max(held.from),
                to: wanted.to.min(held.to),
            };
            let ownership = Ownership::of(&self.sides.timelines, org, span);
            let may_be_wrong = (of_left.contains(window) && !ownership.is_plain(one, one))
                || (of_right.contains(window) && !ownership.is_plain(other, other));
            let is_gone = left.is_expired(resolution, org, *window)
                || right.is_expired(resolution, org, *window);
            let is_wanted = ownership.has_compared(one, other) || may_be_wrong;
            if !resolution.buckets_in(span).is_empty() && is_wanted && !is_gone {
                windows.insert(*window);
            }
        }
        windows
    }

    async fn input(
        &self,
        org: OrgId,
        (left, right): (&PinnedSide, &PinnedSide),
        windows: &BTreeSet<Window>,
    ) -> Result<InputProof> {
        if self.sides.of == DiffSides::OldOld {
            return Ok(InputProof::Same);
        }
        let positions = (left.positions(org, windows), right.positions(org, windows));
        let (Some(of_left), Some(of_right)) = positions else {
            return Ok(InputProof::Unsaid);
        };
        if of_left.iter().chain(&of_right).all(BTreeMap::is_empty) {
            let short = vec!["neither side has read anything".to_owned()];
            return Ok(InputProof::Vectors(VectorProof {
                short,
                ..VectorProof::default()
            }));
        }
        let state = StateOf {
            bucket: &self.sides.bucket,
            org,
            shards: left
                .shards_of(org)
                .union(&right.shards_of(org))
                .copied()
                .collect(),
            limits: right
                .limits(org)
                .or(left.limits(org))
                .unwrap_or(Limits::DEFAULT),
            most_points: MOST_TOUCHED,
        };
        let proof = prove(&state, &of_left, &of_right).await?;
        Ok(InputProof::Vectors(proof))
    }

    fn said(
        &self,
        org: OrgId,
        round: u32,
        input: &InputProof,
        windows: &BTreeSet<Window>,
    ) -> OrgInput {
        let timelines = &self.sides.timelines;
        let cutover = timelines.cutover(org);
        let mut said = OrgInput {
            org: org.0,
            round,
            windows: windows.iter().map(|window| window.number()).collect(),
            cutover_version: cutover.map_or(0, |cutover| cutover.version),
            fleet: timelines.version(),
            ..OrgInput::default()
        };
        match input {
            InputProof::Same => said.how = InputKind::Same,
            InputProof::Unsaid if self.definition.declared.is_empty() => {
                said.short.push(
                    "one side cannot say up to where it has read: --declare-input".to_owned(),
                );
            }
            InputProof::Unsaid => said.how = InputKind::Declared,
            InputProof::Vectors(proof) => {
                let text = |positions: &crate::diff::side::Positions| {
                    let positions = positions.iter();
                    positions
                        .map(|(chain, at)| (chain.to_string(), at.0))
                        .collect()
                };
                said.how = InputKind::Vectors;
                said.left = text(&proof.left);
                said.right = text(&proof.right);
                said.records_between = proof.touched.records;
                said.short.clone_from(&proof.short);
            }
        }
        said
    }

    /// What was deleted of the org: one side may have it still.
    async fn deletes(&self, org: OrgId) -> Result<Vec<DeleteSelector>> {
        let log = delete_log::load(&self.sides.bucket).await?;
        let selectors = log.entries.iter().map(|entry| entry.selector);
        Ok(selectors.filter(|selector| selector.org == org).collect())
    }
}

/// A window that could not be compared keeps what an earlier round has said of it.
fn failed(
    before: Option<WindowDone>,
    (org, window): (u64, i64),
    (round, error): (u32, &Error),
) -> WindowDone {
    let done = before.unwrap_or(WindowDone {
        org,
        window,
        ..WindowDone::default()
    });
    WindowDone {
        round,
        error: Some(error.to_string()),
        ..done
    }
}
