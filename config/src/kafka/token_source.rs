//! Where tokens come from: a file, a command, or AWS' credentials.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;

use skein_shared::aws_chain;
use skein_shared::units::Millis;
use tokio::process::Command;

use crate::kafka::msk_token::sign_token;
use crate::kafka::token::{Token, wall_clock_ms};
use crate::secret::read_private;

/// Where tokens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TokenSource {
    /// A file that somebody else keeps fresh.
    File {
        file: PathBuf,
        /// Of a token that does not tell its own.
        lifetime: Millis,
    },
    /// A program that prints one, and its arguments.
    Command {
        command: Vec<String>,
        /// Of a token that does not tell its own.
        lifetime: Millis,
    },
    /// Signed with the credentials that AWS' own chain finds.
    AwsMsk { region: String },
}

impl TokenSource {
    /// Gets a token that is good now, or why there is none and what to do.
    pub(super) async fn fetch(&self) -> Result<Token, String> {
        match self {
            Self::File { file, lifetime } => read(file, *lifetime),
            Self::Command { command, lifetime } => run(command, *lifetime).await,
            Self::AwsMsk { region } => sign(region).await,
        }
    }
}

fn read(file: &Path, lifetime: Millis) -> Result<Token, String> {
    let text = read_private("kafka.sasl.token_file", file).map_err(|error| error.to_string())?;
    Token::read(&text, wall_clock_ms(), lifetime).map_err(|reason| {
        let file = file.display();
        format!("the token in kafka.sasl.token_file `{file}` is no good: {reason}")
    })
}

async fn run(command: &[String], lifetime: Millis) -> Result<Token, String> {
    let failed = |reason: String| {
        let program = command.first().map_or("", String::as_str);
        format!("kafka.sasl.token_command `{program}` gave no token: {reason}")
    };
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| failed("it is empty".to_owned()))?;
    // What it says on stderr is not repeated: it may hold what must not be seen.
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(format!(
            "{}; run it by hand to see why",
            output.status
        )));
    }
    let text = String::from_utf8(output.stdout)
        .map_err(|_| failed("what it printed is not text".to_owned()))?;
    Token::read(&text, wall_clock_ms(), lifetime).map_err(failed)
}

async fn sign(region: &str) -> Result<Token, String> {
    let credentials = aws_chain::credentials(region).await.map_err(|reason| {
        format!(
            "AWS' own chain found no credentials for kafka.sasl.mechanism = AWS_MSK_IAM: {reason}"
        )
    })?;
    sign_token(&credentials, region, SystemTime::now())
}
