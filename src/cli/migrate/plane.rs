//! The bucket and the settings that a cutover goes by, and who asks.

use skein_config::Settings;
use skein_config::cutover::fact_finding::Plane;
use skein_shared::bucket::Bucket;

use crate::failure::Failure;

/// Opens the bucket.
pub(crate) async fn open(settings: &Settings) -> Result<Plane, Failure> {
    Ok(Plane {
        bucket: Bucket::open(&settings.bucket.settings()?).await?,
        settings: settings.cutover.clone(),
        watermark_delay: settings.compactor.watermark_delay,
    })
}

/// Who is named, else who the system says runs this.
pub(crate) fn actor(named: Option<&String>) -> String {
    let user = || std::env::var("USER").ok();
    named
        .cloned()
        .or_else(user)
        .unwrap_or_else(|| "unknown".to_owned())
}
