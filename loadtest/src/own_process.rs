//! `skein` as a process of its own, so that what it takes is counted apart.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::error::{Error, Result};

/// The binary and the settings that processes are started with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnProcess<'a> {
    /// The `skein` binary.
    pub(crate) binary: &'a PathBuf,
    /// The settings file.
    pub(crate) config: &'a Path,
}

/// What a process said at its end.
#[derive(Debug)]
pub(crate) struct ProcessReport {
    command: String,
    tree: Value,
}

impl OwnProcess<'_> {
    /// Runs `skein` with `arguments` to its end and reads its report.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<ProcessReport> {
        let mut command = Command::new(self.binary);
        command
            .arg("--config")
            .arg(self.config)
            .args(arguments)
            .env("SKEIN_LOG", "warn")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        let failed = |reason: String| Error::Process {
            command: arguments.join(" "),
            reason,
        };
        let output = command.output().await.map_err(|e| failed(e.to_string()))?;
        if !output.status.success() {
            return Err(failed(output.status.to_string()));
        }
        Ok(ProcessReport {
            tree: serde_json::from_slice(&output.stdout).map_err(|e| failed(e.to_string()))?,
            command: arguments.join(" "),
        })
    }
}

impl ProcessReport {
    /// The whole number under `key`.
    pub(crate) fn number(&self, key: &str) -> Result<u64> {
        let number = self.tree[key].as_u64();
        number.ok_or_else(|| Error::Process {
            command: self.command.clone(),
            reason: format!("its report has no number `{key}`"),
        })
    }
}
