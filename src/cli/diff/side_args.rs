//! Which two sides.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use skein_config::Settings;
use skein_config::bucket::BucketSection;
use skein_config::cutover::timelines::Timelines;
use skein_reader::diff::comparison::Sides;
use skein_reader::diff::side::{Side, Table};
use skein_reader::old_places::OldPlaces;
use skein_shared::bucket::Bucket;
use skein_shared::format::diff_verdict::DiffSides;

use crate::failure::Failure;

/// What is compared with what.
#[derive(Debug, Clone, Args)]
pub(super) struct SideArgs {
    /// The old pipeline with the new one, the old one with itself (what differs for no reason), or two builds of the new one
    #[arg(long, default_value = "old-new")]
    sides: SidesArg,
    /// The old side is a CSV file of points, or a directory of them, with the columns that `produce --csv` takes, in place of
    /// what `cutover.old_place` names
    #[arg(long, value_name = "PATH")]
    old_csv: Option<PathBuf>,
    /// With `--sides new-new`: the bucket that the other build wrote, asked as this one is
    #[arg(long, value_name = "URL", required_if_eq("sides", "new-new"))]
    other_bucket: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SidesArg {
    OldNew,
    OldOld,
    NewNew,
}

impl SideArgs {
    /// What is compared with what.
    pub(super) fn of(&self) -> DiffSides {
        match self.sides {
            SidesArg::OldNew => DiffSides::OldNew,
            SidesArg::OldOld => DiffSides::OldOld,
            SidesArg::NewNew => DiffSides::NewNew,
        }
    }

    /// Opens both.
    pub(super) async fn open(&self, settings: &Settings) -> Result<Sides, Failure> {
        let bucket = Bucket::open(settings.bucket.settings()?).await?;
        let unenrolled = settings.cutover.unenrolled.pipeline();
        let timelines = Timelines::load(&bucket, unenrolled).await?;
        let new = Side::Segments(bucket.clone());
        let (left, right) = match self.of() {
            DiffSides::OldNew => (self.old(settings, &bucket)?, new),
            DiffSides::OldOld => {
                let old = self.old(settings, &bucket)?;
                (old.clone(), old)
            }
            DiffSides::NewNew => (new, self.other(settings).await?),
        };
        Ok(Sides {
            left,
            right,
            of: self.of(),
            bucket,
            timelines,
        })
    }

    fn old(&self, settings: &Settings, bucket: &Bucket) -> Result<Side, Failure> {
        if let Some(path) = &self.old_csv {
            return Ok(Side::Table(Table::from_csv(path)?.into()));
        }
        let cutover = &settings.cutover;
        let place = match cutover.old_place.as_str() {
            "" => bucket.url().to_owned(),
            place => place.to_owned(),
        };
        Ok(Side::Old {
            places: OldPlaces::new(bucket, &settings.bucket, cutover),
            place,
        })
    }

    async fn other(&self, settings: &Settings) -> Result<Side, Failure> {
        let url = self.other_bucket.clone().unwrap_or_default();
        let section = BucketSection {
            url,
            ..settings.bucket.clone()
        };
        Ok(Side::Segments(Bucket::open(section.settings()?).await?))
    }
}
