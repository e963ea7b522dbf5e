//! The timelines that scans go by: the newest for those that begin, those of their fleet for those that go on.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hyper::StatusCode;
use skein_config::cutover::acknowledger::{FleetView, Freshness};
use skein_config::cutover::timelines::Timelines;
use skein_shared::bucket::Bucket;
use skein_shared::timeline::Pipeline;
use tokio::sync::watch;

use super::refusal::{Refusal, is_missing};

/// Fleets of scans that go on which are kept, the newest.
const KEPT: usize = 16;

#[derive(Debug)]
pub(super) struct Fleets {
    bucket: Bucket,
    unenrolled: Pipeline,
    newest: watch::Receiver<FleetView>,
    kept: Mutex<BTreeMap<u64, Timelines>>,
}

impl Fleets {
    pub(super) fn new(
        bucket: Bucket,
        unenrolled: Pipeline,
        newest: watch::Receiver<FleetView>,
    ) -> Self {
        Self {
            bucket,
            unenrolled,
            newest,
            kept: Mutex::default(),
        }
    }

    /// By what the server goes.
    pub(super) fn view(&self) -> FleetView {
        self.newest.borrow().clone()
    }

    /// Why no scan can begin, if none can.
    pub(super) fn reason(&self) -> Option<String> {
        match self.view().freshness {
            Freshness::Fresh => None,
            Freshness::Stale => {
                Some("the newest cutovers could not be read for too long".to_owned())
            }
        }
    }

    /// For a scan that begins.
    pub(super) fn newest(&self) -> Result<Timelines, Refusal> {
        if let Some(reason) = self.reason() {
            let remedy = "ask again after a second, or another server";
            return Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                reason,
                remedy,
            ));
        }
        Ok(self.view().timelines)
    }

    /// For a scan that began with the fleet of this number.
    pub(super) async fn of(&self, number: u64) -> Result<Timelines, Refusal> {
        let newest = self.view().timelines;
        if newest.version() == number {
            return Ok(newest);
        }
        if let Some(kept) = self.kept().get(&number) {
            return Ok(kept.clone());
        }
        let timelines =
            Timelines::load_to_read(&self.bucket, Some(number), (self.unenrolled, None));
        let timelines = timelines.await;
        let timelines = timelines.map_err(|error| {
            if is_missing(&error) {
                let error = format!("the fleet {number} that the scan began with is not there");
                let remedy = "begin the scan anew, without the parameter page";
                Refusal::of("page", "(token)", (error, remedy)).with_status(StatusCode::GONE)
            } else {
                error.into()
            }
        })?;
        let mut kept = self.kept();
        kept.insert(number, timelines.clone());
        if kept.len() > KEPT {
            kept.pop_first();
        }
        Ok(timelines)
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<u64, Timelines>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
