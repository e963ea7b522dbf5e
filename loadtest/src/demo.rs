//! The whole path in one process on the embedded services, checked point by point.
//!
//! `produce → connect → compact → read → verify`. What is read back is compared with what the generator
//! computes from its seed, so that no error of ours can hide by being made twice.

pub mod progress;
pub mod report;
pub mod plant;
pub mod compare;
mod kind_bytes;
mod stages;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use futures::future::LocalBoxFuture;
use skein_config::Settings;
use skein_config::load::{Layers, load};
use skein_local::dev_stack::{DevStack, DevStackOptions};
use skein_shared::bucket::Bucket;
use tokio_util::sync::CancellationToken;

use crate::demo::plant::Plant;
use crate::demo::progress::OnStageProgress;
use crate::demo::stages::Stages;
use crate::error::{Error, Result};
use crate::generator::{FIRST_ORG, Generator, GeneratorSettings};

pub use report::{DemoReport, Finding};

/// What to do, and where.
#[derive(Clone)]
pub struct DemoOptions {
    /// Where the bucket and the settings file lie; has to be new or empty.
    pub directory: PathBuf,
    /// What to produce.
    pub load: GeneratorSettings,
    /// Damages something on the way, which has to be found.
    pub plant: Option<Plant>,
    /// Ends the demo early.
    pub cancel: CancellationToken,
    /// Told how far each stage is.
    pub progress: OnStageProgress,
}

/// What the demo came to, and the services, which run until this is dropped.
#[derive(Debug)]
pub struct Demo {
    /// What it found.
    pub report: DemoReport,
    /// Broker and bucket.
    pub stack: DevStack,
}

impl std::fmt::Debug for DemoOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DemoOptions")
            .field("directory", &self.directory)
            .field("load", &self.load)
            .field("plant", &self.plant)
            .finish_non_exhaustive()
    }
}

impl GeneratorSettings {
    /// What the demo produces unless told otherwise: 5 million points of 20 orgs.
    pub fn demo() -> Self {
        Self {
            points: 5_000_000,
            poison: 8,
            ..Self::default()
        }
    }
}

/// Runs the demo on a runtime of several threads. Differences and damage are findings of the report.
///
/// # Errors
/// A stage did not come to its end for another reason than damaged bytes, or planted damage was not found.
pub fn run(options: DemoOptions) -> LocalBoxFuture<'static, Result<Demo>> {
    Box::pin(async move {
        let generator = Arc::new(Generator::new(options.load.clone())?);
        let stack = DevStack::start(&DevStackOptions::new(options.directory.clone()))?;
        let settings = settings_of(&stack)?;
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        let plant = options.plant;
        let mut stages = Stages::new(options, settings, bucket, generator);
        stages.produce().await?;
        stages.connect().await?;
        if let Some(plant) = plant {
            stages.plant_in_state(plant).await?;
        }
        let is_compacted = stages.compact().await?;
        if is_compacted {
            if let Some(plant) = plant {
                stages.plant_in_segments(plant).await?;
            }
            stages.read().await?;
        }
        stages.verify().await?;
        let report = stages.finish();
        if let (Some(plant), true) = (plant, report.findings.is_empty()) {
            return Err(Error::PlantNotFound {
                plant: plant.to_string(),
            });
        }
        Ok(Demo { report, stack })
    })
}

/// The settings of the embedded services, with a shard of its own for the org that has half of the series.
fn settings_of(stack: &DevStack) -> Result<Settings> {
    let file = stack.config_file().to_path_buf();
    let append = |text: &str| {
        OpenOptions::new()
            .append(true)
            .open(&file)?
            .write_all(text.as_bytes())
    };
    append(&format!("\n[shards]\ndedicated = [{FIRST_ORG}]\n")).map_err(|source| Error::File {
        operation: "append to settings",
        file: file.display().to_string(),
        source,
    })?;
    Ok(load(&Layers {
        file: Some(file),
        ..Layers::default()
    })?)
}
