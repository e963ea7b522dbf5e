//! `skein cat`: one object, readable.

use clap::Args;
use skein_config::settings::Need;
use skein_reader::inspect::cat::cat;
use skein_shared::bucket::Bucket;

use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output;

/// Shows any object of ours as JSON
///
/// A state object with its blocks and first records, a segment with its sections and runs, a manifest, a
/// ledger entry, … The keys are those that `skein ls --format json` and an S3 client list.
#[derive(Debug, Args)]
pub(crate) struct CatArgs {
    /// The object's key, without the prefix of bucket.url
    key: String,
    /// Records of a state object to show
    #[arg(long, default_value_t = 10, value_name = "N")]
    frames: usize,
}

/// Runs it.
pub(crate) fn run(args: &CatArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start(&[Need::Bucket])?;
    let shown = runtime()?.block_on(async {
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        Ok::<_, Failure>(cat(&bucket, &args.key, args.frames).await?)
    })?;
    output::json(&shown)?;
    Ok(ExitCode::Ok)
}
