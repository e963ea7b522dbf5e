//! `skein`: parse, set up telemetry, one match, exit code.

mod exit_code;
mod failure;
mod output;
mod signals;
mod settings_watch;
mod cli;

use std::process;

use clap::Parser;

use crate::cli::Cli;
use crate::exit_code::ExitCode;
use crate::failure::Failure;

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
