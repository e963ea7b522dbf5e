//! `skein diff stop`.

use std::path::PathBuf;

use clap::Args;

use super::ending::stop_file;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};

/// Asks a comparison that runs, on this machine or another that shares the directory, to stop; `resume` goes on with it
#[derive(Debug, Args)]
pub(super) struct StopArgs {
    /// The directory of the comparison
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Runs it.
pub(super) fn run(args: &StopArgs) -> Outcome {
    let path = stop_file(&args.out);
    std::fs::write(&path, b"").map_err(|error| {
        Failure::usage(format!("write {} failed; reason=`{error}`", path.display()))
    })?;
    Ok(ExitCode::Ok)
}
