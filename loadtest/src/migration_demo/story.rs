//! What is asked of each org's cutover, one verb after the other, and the comparisons that the gates want.

use std::time::Duration;

use futures::future::try_join_all;
use skein_config::Settings;
use skein_config::cutover::controller::{self, Waited};
use skein_config::cutover::fact_finding::Plane;
use skein_config::cutover::request::{Confirmation, EdgeChoice, RefusalKind, Request, Reverse};
use skein_config::cutover::saga::{Ended, Mode, Verb, carry_out};
use skein_config::cutover::timelines::Timelines;
use skein_reader::diff::class_history::ClassHistory;
use skein_reader::diff::comparison::{Sides, compare};
use skein_reader::diff::definition::{Definition, Sample};
use skein_reader::diff::journal::Journal;
use skein_reader::diff::report::{Cost, ReportInput, publish, write};
use skein_reader::diff::side::Side;
use skein_reader::diff::verdict::Ended as Compared;
use skein_reader::old_places::OldPlaces;
use skein_shared::bucket::Bucket;
use skein_shared::cutover::CutoverState;
use skein_shared::cutover_log;
use skein_shared::format::delete_entry::Statement;
use skein_shared::format::diff_verdict::DiffSides;
use skein_shared::ids::OrgId;
use skein_shared::timeline::Timeline;
use skein_shared::window::{Resolution, TimeSpan, TimestampMs};

use crate::error::{Error, Result};
use crate::migration_demo::MigrationOptions;

/// How long one step may take.
const PATIENCE: Duration = Duration::from_mins(1);
/// Time between two tries.
const BETWEEN: Duration = Duration::from_millis(500);
/// What is shown before the first edge and after the last point.
const MARGIN_MS: i64 = 1_000;

pub(super) struct Story<'a> {
    plane: Plane,
    settings: &'a Settings,
    options: &'a MigrationOptions,
    stated: Statement,
}

/// Where the orgs' cutovers ended.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Versions of all of them.
    pub(super) versions: u64,
    /// The newest timelines.
    pub(super) newest: Vec<(OrgId, Timeline)>,
}

/// Event times around what happened.
pub(super) fn span(from: TimestampMs, to: TimestampMs) -> TimeSpan {
    TimeSpan {
        from: TimestampMs(from.0 - MARGIN_MS),
        to: TimestampMs(to.0 + MARGIN_MS),
    }
}

impl<'a> Story<'a> {
    pub(super) fn new(
        options: &'a MigrationOptions,
        settings: &'a Settings,
        bucket: &Bucket,
    ) -> Self {
        Self {
            plane: Plane {
                bucket: bucket.clone(),
                settings: settings.cutover.clone(),
                watermark_delay: settings.compactor.watermark_delay,
            },
            settings,
            options,
            stated: Statement {
                actor: "demo".to_owned(),
                reason: "to show it".to_owned(),
                ticket: None,
            },
        }
    }

    /// Moves every org, moves it back, and moves it for good; answers the comparisons' verdicts.
    pub(super) async fn tell_all(&self, orgs: &[OrgId]) -> Result<(Vec<String>, Told)> {
        let stories = orgs.iter().map(|org| self.tell_of(*org));
        let verdicts = try_join_all(stories).await?;
        let mut told = Told::default();
        for org in orgs {
            let newest = cutover_log::newest(&self.plane.bucket, *org).await?;
            if let Some((newest, _)) = newest {
                told.versions += newest.version;
                told.newest.push((*org, newest.timeline));
            }
        }
        Ok((verdicts.into_iter().flatten().collect(), told))
    }

    async fn tell_of(&self, org: OrgId) -> Result<Vec<String>> {
        use CutoverState as S;
        let mut verdicts = Vec::new();
        let soonest = EdgeChoice::Soonest;
        self.ask(org, Request::Create(soonest), S::Shadow).await?;
        verdicts.push(self.compared(org, "shadow").await?);
        self.ask(org, Request::MirrorTraffic(100), S::Canary)
            .await?;
        self.ask(org, Request::SwitchTraffic(soonest), S::Switched)
            .await?;
        // One goes back from an edge on, one at once and for the whole time, and so on.
        let back = match org.0 % 2 {
            0 => Reverse::Void,
            _ => Reverse::Forward(soonest),
        };
        self.ask(org, Request::ReverseTraffic(back), S::Reversed)
            .await?;
        verdicts.push(self.compared(org, "reversed").await?);
        self.ask(org, Request::SwitchTraffic(soonest), S::Switched)
            .await?;
        verdicts.push(self.compared(org, "switched").await?);
        let complete = || Request::Complete(Confirmation::Of(org));
        self.ask(org, complete(), S::Sealed).await?;
        self.ask(org, complete(), S::Done).await?;
        Ok(verdicts)
    }

    /// Asks until it is granted, and waits until the org stands in `wanted`.
    async fn ask(&self, org: OrgId, request: Request, wanted: CutoverState) -> Result<()> {
        let verb = Verb {
            org,
            request,
            stated: self.stated.clone(),
            evidence: Vec::new(),
            expected: None,
        };
        let name = verb.request.verb();
        let begun = tokio::time::Instant::now();
        loop {
            self.check_cancelled()?;
            let refusal = match carry_out(&self.plane, &verb, Mode::Real).await? {
                Ended::Done(done) => {
                    let (state, undo) = (done.version.state, done.version.undo.text());
                    self.say(org, &format!("{name}: {state}; undoing it costs {undo}"));
                    break;
                }
                Ended::Refused(refusal) => refusal,
            };
            let may_come = match refusal.kind {
                RefusalKind::NotYet
                | RefusalKind::Gate
                | RefusalKind::Inconclusive
                | RefusalKind::Conflict => true,
                RefusalKind::Invalid | RefusalKind::Irreversible => false,
            };
            if !may_come || begun.elapsed() > PATIENCE {
                return Err(Error::Ended(format!("org {} {name}: {refusal}", org.0)));
            }
            tokio::time::sleep(BETWEEN).await;
        }
        let waits = (wanted, PATIENCE);
        let newest = cutover_log::newest(&self.plane.bucket, org).await?;
        if newest.is_some_and(|(newest, _)| newest.state == wanted) {
            return Ok(());
        }
        match controller::wait(&self.plane, (org, &self.stated), waits).await? {
            Waited::Reached(state) => {
                self.say(org, &format!("{state}"));
                Ok(())
            }
            Waited::Elsewhere(state, standing) => Err(Error::Ended(format!(
                "org {} stands in {state}: {standing:?}",
                org.0
            ))),
            Waited::TimedOut(refusal) => Err(Error::Ended(format!(
                "org {} waits for {wanted}: {refusal}",
                org.0
            ))),
        }
    }

    /// Compares both pipelines until a comparison passes; answers its verdict.
    async fn compared(&self, org: OrgId, name: &str) -> Result<String> {
        let begun = tokio::time::Instant::now();
        for number in 1_u32.. {
            self.check_cancelled()?;
            let comparison = format!("org-{}-{name}-{number}", org.0);
            let (verdict, reasons) = self.compare_once(org, &comparison).await?;
            if verdict == "pass" {
                self.say(org, &format!("comparison {comparison}: {verdict}"));
                return Ok(format!("{comparison}: {verdict}"));
            }
            if begun.elapsed() > PATIENCE {
                let why = reasons.join("; ");
                return Err(Error::Ended(format!(
                    "comparison {comparison}: {verdict}: {why}"
                )));
            }
            tokio::time::sleep(BETWEEN).await;
        }
        Err(Error::Ended("comparisons ran out of numbers".to_owned()))
    }

    async fn compare_once(&self, org: OrgId, comparison: &str) -> Result<(String, Vec<String>)> {
        let bucket = &self.plane.bucket;
        let unenrolled = self.settings.cutover.unenrolled.pipeline();
        let timelines = Timelines::load(bucket, unenrolled).await?;
        let places = OldPlaces::new(bucket, &self.settings.bucket, &self.settings.cutover);
        let sides = Sides {
            left: Side::Old {
                places,
                place: bucket.url().to_owned(),
            },
            right: Side::Segments(bucket.clone()),
            of: DiffSides::OldNew,
            bucket: bucket.clone(),
            timelines,
        };
        let definition = Definition {
            comparison: comparison.to_owned(),
            sides: DiffSides::OldNew.name().to_owned(),
            orgs: vec![org.0],
            from_ms: i64::MIN,
            to_ms: i64::MAX,
            resolution: Resolution::Raw,
            sample: Sample::ALL,
            rechecks: 3,
            backoff_ms: 500,
            declared: Vec::new(),
            wanted_percent: self.settings.cutover.coverage_percent,
        };
        let folder = self.options.directory.join("comparisons").join(comparison);
        let places = (sides.left.place(), sides.right.place());
        let mut journal = Journal::begin(&folder, definition, places)?;
        compare(&mut journal, &sides, None, &|| false, &mut |_| {}).await?;
        let input = ReportInput {
            sides: &sides,
            history: &ClassHistory::default(),
            noise_floor: None,
            ended: Compared::Whole,
            cost: Cost::default(),
            now: bucket.now().await?,
        };
        let (report, digest) = write(&journal, &input)?;
        publish(bucket, &journal, &input, digest).await?;
        Ok((report.verdict, report.reasons))
    }

    fn say(&self, org: OrgId, what: &str) {
        (self.options.tell)(&format!("org {}: {what}", org.0));
    }

    fn check_cancelled(&self) -> Result<()> {
        if self.options.cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        Ok(())
    }
}
