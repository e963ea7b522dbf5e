//! `skein`: parse, set up telemetry, one match, exit code.

mod exit_code;
mod failure;
mod output;
mod signals;
mod settings_watch;
mod cli;

use std::process;

use clap::Parser;
use tikv_jemallocator::Jemalloc;

use crate::cli::Cli;
use crate::exit_code::ExitCode;
use crate::failure::Failure;

/// Records are allocated on one thread and freed on another, blocks pass through three: the system's
/// allocator takes up to a tenth more processor time for that, and keeps more than is in use.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> process::ExitCode {
    match cli::run(&Cli::parse()) {
        Ok(code) => code.into(),
        Err(Failure::BrokenPipe) => ExitCode::Ok.into(),
        Err(Failure::Said(code, message)) => {
            eprintln!("skein: {message}");
            code.into()
        }
    }
}
