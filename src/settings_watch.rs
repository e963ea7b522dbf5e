//! Takes over what can change in a running connector when its settings file changes, and says what cannot.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use skein_config::Settings;
use skein_config::load::{Layers, load};
use skein_config::reload::Changes;
use skein_connector::operations::Operations;
use skein_connector::pipeline;
use tokio::signal::unix::{Signal, SignalKind};

use crate::failure::{Failure, with_sources};
use crate::signals::listen;

/// Time between two looks at the file.
const EVERY: Duration = Duration::from_secs(2);
/// How long after brokers did not know topics they are asked again.
const PATIENCE: Duration = Duration::from_mins(1);

/// Where settings come from, and which of them are in force.
pub(crate) struct SettingsWatch {
    pub(crate) layers: Layers,
    pub(crate) in_force: Settings,
    pub(crate) operations: Operations,
}

/// Looks at the file every few seconds and at each SIGHUP, as long as the process runs.
pub(crate) fn start(watch: SettingsWatch) -> Result<(), Failure> {
    tokio::spawn(run(watch, listen(SignalKind::hangup())?));
    Ok(())
}

async fn run(mut watch: SettingsWatch, mut hangups: Signal) {
    let file = watch.layers.file.clone();
    let mut seen = text_of(file.as_ref());
    let mut again_at = None;
    loop {
        let is_asked = tokio::select! {
            Some(()) = hangups.recv() => true,
            () = tokio::time::sleep(EVERY) => false,
        };
        let now = text_of(file.as_ref());
        let is_due = again_at.is_some_and(|at| at <= Instant::now());
        // A file that is being replaced may be away for a moment.
        if !is_asked && !is_due && (now.is_none() || now == seen) {
            continue;
        }
        seen = now;
        tracing::info!(is_asked, "reading the settings again");
        again_at = match watch.reload().await {
            Reloaded::Settled => None,
            Reloaded::NotYet => Some(Instant::now() + PATIENCE),
        };
    }
}

/// Whether the settings in the file are in force, as far as they can be.
enum Reloaded {
    /// They are, or never will be as they are.
    Settled,
    /// The brokers do not know them yet.
    NotYet,
}

impl SettingsWatch {
    async fn reload(&mut self) -> Reloaded {
        let new = match load(&self.layers) {
            Ok(new) => new,
            Err(error) => {
                tracing::error!(
                    "the settings are not valid, the old ones stay in force: {}",
                    with_sources(&error)
                );
                return Reloaded::Settled;
            }
        };
        let changes = Changes::between(&self.in_force, &new);
        for key in &changes.fixed {
            tracing::warn!("{key} changed and needs a restart: its old value stays in force");
        }
        if changes.live.is_empty() {
            if changes.is_empty() {
                tracing::info!("no setting changed");
            }
            return Reloaded::Settled;
        }
        match self.read_topics(&new).await {
            Ok(()) => {
                self.in_force.kafka.topics = new.kafka.topics;
                Reloaded::Settled
            }
            Err(reason) => {
                tracing::error!(
                    "kafka.topics stay as they are, tried again in {} s and at SIGHUP: {reason}",
                    PATIENCE.as_secs()
                );
                Reloaded::NotYet
            }
        }
    }

    /// Nothing is taken over that a start would refuse.
    async fn read_topics(&self, new: &Settings) -> Result<(), String> {
        let mut kafka = self.in_force.kafka.clone();
        kafka.topics.clone_from(&new.kafka.topics);
        let checked = pipeline::check_topics(&kafka).await;
        checked.map_err(|error| with_sources(&error))?;
        let taken = self.operations.read_topics(kafka.topics).await;
        taken.map_err(|error| with_sources(&error))
    }
}

fn text_of(file: Option<&PathBuf>) -> Option<Vec<u8>> {
    fs::read(file?).ok()
}
