//! Whose points a command reads: flags, and the state of the bucket that they mean.

use clap::Args;
use skein_config::Settings;
use skein_config::cutover::timelines::Timelines;
use skein_reader::old_places::OldPlaces;
use skein_reader::owner_view::{OwnerView, Purpose};
use skein_reader::series_names;
use skein_reader::snapshot::{Selection, Snapshot};
use skein_shared::bucket::Bucket;
use skein_shared::ids::{OrgId, SeriesKey};

use crate::failure::Failure;

/// Flags that say whose points are read, of orgs that move from an old pipeline to this one.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct OwnerArgs {
    /// Whose points: what readers see, or all that one of the pipelines has
    #[arg(long, value_name = "old|new|visible", default_value = "visible")]
    owner: OwnerView,
    /// Also shows the new pipeline's points of an org that readers are not to see yet
    #[arg(long)]
    for_comparison: bool,
}

impl OwnerArgs {
    /// The state of the bucket, for a series, an org, or everything.
    pub(super) async fn select(
        self,
        settings: &Settings,
        bucket: &Bucket,
        (org, metric): (Option<OrgId>, Option<&str>),
    ) -> Result<Snapshot, Failure> {
        let unenrolled = settings.cutover.unenrolled.pipeline();
        let timelines = Timelines::load_to_read(bucket, None, (unenrolled, org)).await?;
        let purpose = if self.for_comparison {
            Purpose::Comparison
        } else {
            Purpose::Use
        };
        let timelines = self.owner.of(&timelines, org, purpose)?;
        let selection = org.map_or(Selection::All, Selection::Org);
        let snapshot = Snapshot::load(bucket, timelines, selection).await?;
        let places = OldPlaces::new(bucket, &settings.bucket, &settings.cutover);
        let snapshot = snapshot.with_old(places);
        let (Some(org), Some(metric)) = (org, metric) else {
            return Ok(snapshot);
        };
        let metric = series_names::find(&snapshot, org, metric).await?;
        Ok(snapshot.narrowed(Selection::Series(SeriesKey { org, metric })))
    }
}
