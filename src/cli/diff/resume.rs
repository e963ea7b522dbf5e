//! `skein diff resume`.

use clap::Args;
use skein_config::settings::Need;
use skein_reader::diff::journal::Journal;

use super::ending::{RunArgs, run_to_end};
use super::side_args::SideArgs;
use crate::cli::{SettingsArgs, runtime};
use crate::failure::{Failure, Outcome};

/// Goes on with a comparison that was interrupted; sides are named as for `create`
#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    #[command(flatten)]
    sides: SideArgs,
    #[command(flatten)]
    run: RunArgs,
}

/// Runs it.
pub(super) fn run(args: &ResumeArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start_watched("diff", &[Need::Bucket])?;
    let journal = Journal::open(&args.run.out)?;
    runtime()?.block_on(async {
        let sides = args.sides.open(&settings).await?;
        let (begun, places) = (&journal.begun, (sides.left.place(), sides.right.place()));
        let were = (begun.left.as_str(), begun.right.as_str());
        if places != were || args.sides.of().name() != begun.definition.sides {
            return Err(Failure::usage(format!(
                "it was begun as {} of `{}` and `{}`, not as {} of `{}` and `{}`: name the same sides",
                begun.definition.sides,
                were.0,
                were.1,
                args.sides.of().name(),
                places.0,
                places.1
            )));
        }
        run_to_end(journal, &sides, &args.run).await
    })
}
