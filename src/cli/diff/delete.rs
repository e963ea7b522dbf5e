//! `skein diff delete`.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use skein_config::settings::Need;
use skein_reader::diff::report::ReportFiles;
use skein_shared::bucket::Bucket;

use super::ending::stop_file;
use super::show::key_of;
use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};

/// Removes what a comparison has left: its directory's files, and with --name the verdict that gates see
#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// The directory of the comparison; other files in it stay
    #[arg(long, value_name = "DIR", required_unless_present = "name")]
    out: Option<PathBuf>,
    /// The name of the comparison
    #[arg(long, requires = "org")]
    name: Option<String>,
    /// Whose
    #[arg(long)]
    org: Option<u64>,
}

/// Runs it.
pub(super) fn run(args: &DeleteArgs, settings: &SettingsArgs) -> Outcome {
    if let Some(name) = &args.name {
        let key = key_of(args.org, name)?;
        let settings = settings.start(&[Need::Bucket])?;
        runtime()?.block_on(async {
            let bucket = Bucket::open(settings.bucket.settings()?).await?;
            Ok::<_, Failure>(bucket.delete(&key).await?)
        })?;
    }
    if let Some(dir) = &args.out {
        remove(dir)?;
    }
    Ok(ExitCode::Ok)
}

/// The journal goes last: as long as it is there, the directory is a comparison's.
fn remove(dir: &Path) -> Result<(), Failure> {
    let journal = dir.join("journal.jsonl");
    if !journal.exists() {
        let words = format!("there is no comparison in {}", dir.display());
        return Err(Failure::usage(words));
    }
    let files = ReportFiles::new(dir);
    let refuse = |path: &Path, error: &io::Error| {
        Failure::usage(format!(
            "remove {} failed; reason=`{error}`",
            path.display()
        ))
    };
    let windows = dir.join("windows");
    match std::fs::remove_dir_all(&windows) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(refuse(&windows, &error));
        }
        Ok(()) | Err(_) => {}
    }
    let reports = [
        files.json(),
        files.html(),
        files.differences(),
        files.resolved(),
    ];
    for path in reports.into_iter().chain([stop_file(dir), journal]) {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(refuse(&path, &error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}
