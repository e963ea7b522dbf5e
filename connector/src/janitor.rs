//! Takes away what flushes left behind that will never count: uploads and objects of workers that died, of
//! spans that another worker covered first, and statuses that say nothing any more.
//!
//! Fence before delete: nothing of a flush is touched before it is certain, by objects that are created if
//! absent and never deleted, that it can never count. Age and silence only say where it is worth to fence. So
//! it cannot harm a worker that is slow but lives: that one finds its flush void and reads again.
//!
//! What does not read back proves nothing: whatever it would decide about stays, and the run goes on with the rest.
//!
//! Any number of janitors may run at once, and one that is killed is simply run again.

pub mod verdict;
mod damage;
mod evidence;

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use serde::Serialize;
use skein_shared::Result;
use skein_shared::bucket::{Bucket, Created, Listed, OpenUpload};
use skein_shared::format::flush_manifest::{FlushBody, FlushManifest};
use skein_shared::format::object_key::ObjectKey;
use skein_shared::ids::{FlushId, WriteId};
use skein_shared::status_log;
use skein_shared::units::Millis;
use skein_shared::window::TimestampMs;
use tokio_util::sync::CancellationToken;

use crate::janitor::evidence::Witness;
use crate::janitor::verdict::{Thing, Verdict};
use crate::metrics;

/// What a janitor does.
#[derive(Debug, Clone)]
pub struct JanitorOptions {
    /// How long a worker has to be silent, and a thing old, before its flush is declared void.
    pub patience: Millis,
    /// Whether anything is changed.
    pub mode: Mode,
    /// What is looked at.
    pub scope: Scope,
    /// Where in the order of keys to go on, after a run that was cut short.
    pub start_after: Option<String>,
}

/// Whether anything is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing: says what would be done.
    DryRun,
    /// What may be taken away is.
    Act,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Uploads and statuses: a few requests.
    Uploads,
    /// Also every object: one request for each thousand of them.
    Everything,
}

/// What was taken away, or would be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct JanitorReport {
    /// Uploads that were aborted.
    pub uploads: u64,
    /// Bytes of their parts.
    pub upload_bytes: u64,
    /// State objects that were deleted.
    pub objects: u64,
    /// Their bytes.
    pub object_bytes: u64,
    /// Flushes that were declared void.
    pub flushes_voided: u64,
    /// Statuses that were deleted.
    pub statuses: u64,
    /// Uploads and objects that were looked at and stay.
    pub kept: u64,
    /// Uploads of other roles, which other hands take care of.
    pub others: u64,
    /// Manifests and ledger entries that do not read back, and why. What they would decide about stays.
    pub damaged: BTreeMap<String, String>,
    /// When the run was cut short: objects behind this key are still to be looked at.
    pub cut_short_at: Option<String>,
}

/// Keys of one page.
const PAGE: u16 = 1000;

/// Pages between two words of progress.
const PAGES_PER_WORD: u64 = 100;

/// Looks at everything in scope once.
///
/// # Errors
/// What the bucket says. What was done until then is right, and the next run goes on.
pub fn run<'a>(
    bucket: &'a Bucket,
    options: &'a JanitorOptions,
    cancel: &'a CancellationToken,
) -> BoxFuture<'a, Result<JanitorReport>> {
    Box::pin(async move {
        let witness = Witness::summon(bucket, options.patience).await?;
        let mut janitor = Janitor {
            bucket,
            options,
            cancel,
            witness,
            report: JanitorReport::default(),
        };
        janitor.sweep_uploads().await?;
        janitor.sweep_statuses().await?;
        match options.scope {
            Scope::Uploads => {}
            Scope::Everything => janitor.sweep_objects().await?,
        }
        let mut report = janitor.report;
        report.damaged = janitor.witness.into_damage().into_reasons();
        Ok(report)
    })
}

struct Janitor<'a> {
    bucket: &'a Bucket,
    options: &'a JanitorOptions,
    cancel: &'a CancellationToken,
    witness: Witness<'a>,
    report: JanitorReport,
}

impl Janitor<'_> {
    async fn sweep_uploads(&mut self) -> Result<()> {
        for upload in self.bucket.open_uploads("").await? {
            if self.is_cut_short(self.options.start_after.as_deref()) {
                return Ok(());
            }
            self.sweep_upload(&upload).await?;
        }
        Ok(())
    }

    async fn sweep_upload(&mut self, upload: &OpenUpload) -> Result<()> {
        let Some(flush) = flush_of(&upload.key) else {
            self.report.others += 1;
            return Ok(());
        };
        if !self.is_free(Thing::Upload, flush, upload.started).await? {
            self.report.kept += 1;
            return Ok(());
        }
        self.report.uploads += 1;
        self.report.upload_bytes += self.bucket.uploaded_bytes(upload).await?;
        match self.options.mode {
            Mode::DryRun => Ok(()),
            Mode::Act => {
                self.bucket.abort_upload(upload).await?;
                metrics::upload_aborted(&upload.key, flush);
                Ok(())
            }
        }
    }

    async fn sweep_objects(&mut self) -> Result<()> {
        let start = self.options.start_after.clone();
        let mut after = start.filter(|key| !key.is_empty());
        let mut pages = 0_u64;
        loop {
            if self.is_cut_short(after.as_deref()) {
                return Ok(());
            }
            let page = self.bucket.list_page("", after.as_deref(), PAGE).await?;
            for object in &page.objects {
                self.sweep_object(object).await?;
            }
            pages += 1;
            if pages.is_multiple_of(PAGES_PER_WORD) {
                tracing::info!(pages, after, objects = self.report.objects, "sweeping");
            }
            if page.is_last {
                return Ok(());
            }
            after = page.objects.last().map(|last| last.key.clone());
        }
    }

    async fn sweep_object(&mut self, object: &Listed) -> Result<()> {
        let Some(flush) = flush_of(&object.key) else {
            return Ok(());
        };
        let written = object.last_modified;
        if !self.is_free(Thing::Object, flush, written).await? {
            self.report.kept += 1;
            return Ok(());
        }
        self.report.objects += 1;
        self.report.object_bytes += object.object_bytes;
        match self.options.mode {
            Mode::DryRun => Ok(()),
            Mode::Act => {
                self.bucket.delete(&object.key).await?;
                metrics::object_deleted(&object.key, flush);
                Ok(())
            }
        }
    }

    /// A status only ever holds facts: without one of the last, at most somebody waits a little longer.
    async fn sweep_statuses(&mut self) -> Result<()> {
        for worker in self.witness.spent_statuses().await? {
            self.report.statuses += 1;
            match self.options.mode {
                Mode::DryRun => {}
                Mode::Act => status_log::remove(self.bucket, worker).await?,
            }
        }
        Ok(())
    }

    /// Whether a thing of a flush can never count; declares the flush void where that is right.
    async fn is_free(
        &mut self,
        thing: Thing,
        flush: FlushId,
        written: Option<TimestampMs>,
    ) -> Result<bool> {
        loop {
            let evidence = self.witness.evidence(thing, flush, written).await?;
            match verdict::verdict(&evidence, self.options.patience) {
                Verdict::Keep(_) => return Ok(false),
                Verdict::Remove => return Ok(true),
                Verdict::DeclareVoid => {}
            }
            match self.options.mode {
                Mode::DryRun => {
                    self.report.flushes_voided += 1;
                    self.witness.forget_as_void(flush);
                    return Ok(true);
                }
                Mode::Act => self.declare_void(flush).await?,
            }
        }
    }

    /// Wins the flush's one key with a void body, or learns who has won it.
    async fn declare_void(&mut self, flush: FlushId) -> Result<()> {
        let reason = "its worker was silent and had not finished it".to_owned();
        let manifest = FlushManifest {
            flush,
            body: FlushBody::Void { reason },
        };
        let key = ObjectKey::Flush(flush).to_string();
        let id = WriteId::random();
        match self.bucket.create(&key, manifest.encode(id), id).await? {
            Created::Ours => {
                metrics::flush_declared_void(flush);
                self.report.flushes_voided += 1;
                self.witness.forget_as_void(flush);
            }
            Created::Taken => self.witness.forget(flush),
        }
        Ok(())
    }

    /// Whether to end; takes note of up to where objects were looked at.
    fn is_cut_short(&mut self, after: Option<&str>) -> bool {
        let is_cut = self.cancel.is_cancelled();
        if is_cut {
            self.report.cut_short_at = Some(after.unwrap_or_default().to_owned());
        }
        is_cut
    }
}

/// The flush that an upload or object belongs to; `None` for what no flush wrote.
fn flush_of(key: &str) -> Option<FlushId> {
    match key.parse().ok()? {
        ObjectKey::State { flush, .. } => Some(flush),
        ObjectKey::Segment { .. }
        | ObjectKey::Quarantine { .. }
        | ObjectKey::Seal { .. }
        | ObjectKey::Leaf { .. }
        | ObjectKey::Account { .. }
        | ObjectKey::Flush(_)
        | ObjectKey::Genesis(_)
        | ObjectKey::LedgerEntry { .. }
        | ObjectKey::Fill { .. }
        | ObjectKey::ReplayJob(_)
        | ObjectKey::ReplayStep { .. }
        | ObjectKey::ReplayCancel(_)
        | ObjectKey::Plan(_)
        | ObjectKey::Result { .. }
        | ObjectKey::Source(_)
        | ObjectKey::ShardMap(_)
        | ObjectKey::Manifest { .. }
        | ObjectKey::Status(_)
        | ObjectKey::Retirement { .. }
        | ObjectKey::Delete(_)
        | ObjectKey::DeletePositions(_)
        | ObjectKey::DeleteReceipt(_)
        | ObjectKey::StateBound(_)
        | ObjectKey::RunRecord { .. }
        | ObjectKey::Cutover(_)
        | ObjectKey::Old(_) => None,
    }
}
