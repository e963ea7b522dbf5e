//! What is compared after an answer was given: one after the other, and never more than a few.

use std::sync::{Arc, Mutex, PoisonError};

use skein_shared::ids::SeriesKey;
use skein_shared::stage_time::StageTime;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::rerun::{BothRead, EmptyRead, MirroredRead, is_found_in_old};
use super::tally::Difference;
use crate::error::Result;
use crate::metrics::{self, MirrorVariant};
use crate::read_source::ReadSource;

/// Something to be looked at again.
#[derive(Debug)]
pub enum MirrorTask {
    /// Rows that a reader was given.
    Compare(MirroredRead),
    /// None, of one series.
    LookUp(EmptyRead),
}

/// Takes tasks while there is room, and works on them beside the answers; ends when it is dropped.
#[derive(Debug)]
pub struct MirrorQueue {
    tasks: mpsc::Sender<MirrorTask>,
    found: Arc<Mutex<BothRead>>,
    _end: DropGuard,
}

impl MirrorQueue {
    /// Begins, with room for so many tasks; each holds at most the rows of one page.
    ///
    /// # Panics
    /// Outside of a runtime, or without room.
    pub fn start(source: ReadSource, room: usize) -> Self {
        let (tasks, waiting) = mpsc::channel(room);
        let found = Arc::new(Mutex::new(BothRead::default()));
        let end = CancellationToken::new();
        let worker = Worker {
            source,
            found: Arc::clone(&found),
        };
        let (runtime, ended) = (Handle::current(), end.clone());
        // Scans decode in the thread that drives them, and must not hold up whoever answers.
        tokio::task::spawn_blocking(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = worker.run(waiting) => {}
                    () = ended.cancelled() => {}
                }
            });
        });
        Self {
            tasks,
            found,
            _end: end.drop_guard(),
        }
    }

    /// Takes a task if there is room, and counts it if not. Never waits.
    pub fn offer(&self, task: MirrorTask) {
        if let Err(refused) = self.tasks.try_send(task) {
            match refused.into_inner() {
                MirrorTask::Compare(read) => metrics::mirror_dropped(read.series.len()),
                MirrorTask::LookUp(_) => metrics::mirror_dropped(1),
            }
        }
    }

    /// What was found so far.
    pub fn found(&self) -> BothRead {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.clone()
    }
}

struct Worker {
    source: ReadSource,
    found: Arc<Mutex<BothRead>>,
}

impl Worker {
    async fn run(self, mut waiting: mpsc::Receiver<MirrorTask>) {
        while let Some(task) = waiting.recv().await {
            let done = match task {
                MirrorTask::Compare(read) => self.compare(&read).await,
                MirrorTask::LookUp(read) => self.look_up(&read).await,
            };
            if let Err(error) = done {
                metrics::mirror_failed(&error);
            }
        }
    }

    async fn compare(&self, read: &MirroredRead) -> Result<()> {
        let new = read.new_snapshot(&self.source).await?;
        for series in &read.series {
            let Some(compared) = read.compare(&self.source, &new, series).await? else {
                continue;
            };
            let (org, metric) = (read.org, series.metric);
            let tally = &compared.tally;
            let differences = Difference::ALL.map(|kind| (kind.name(), tally.rows(kind)));
            metrics::mirrored(SeriesKey { org, metric }, tally.alike, &differences);
            if compared.is_resolved {
                metrics::mirror_resolved();
            }
            let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
            found.tally.add(tally);
            let took = |time: &mut StageTime, variant, elapsed| {
                time.record(elapsed);
                metrics::mirror_timed(variant, elapsed);
            };
            if let Some(elapsed) = read.visible_took {
                took(&mut found.visible, MirrorVariant::Visible, elapsed);
                took(&mut found.new, MirrorVariant::New, compared.new_took);
            }
        }
        Ok(())
    }

    async fn look_up(&self, read: &EmptyRead) -> Result<()> {
        let scope = &read.scope;
        if is_found_in_old(&self.source, read).await? {
            metrics::found_in_old(scope.org, scope.metric, scope.span);
        } else {
            metrics::not_found_in_old();
        }
        Ok(())
    }
}
