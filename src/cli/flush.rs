//! `skein flush`: asks a running connector to make durable what it has read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use clap::Args;
use serde::{Deserialize, Serialize};
use skein_config::Settings;
use skein_shared::http_client::{self, Answer, NoAnswer, Post};
use skein_shared::units::Millis;

use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};

/// Asks a running `skein connect` to flush, and waits until everything it had read is durable
///
/// Talks to the connector's HTTP address (`http.listen`) with the token (`http.token_file` or
/// `SKEIN_HTTP_TOKEN`), so give it the connector's settings file. SIGUSR1 asks for the same without waiting.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skein --config skein.toml flush
  skein --config skein.toml flush --at 10.0.0.7:9464 --timeout '2 min' --format json")]
pub(crate) struct FlushArgs {
    /// The connector's address, where it is not http.listen of these settings
    #[arg(long, value_name = "ADDRESS:PORT")]
    at: Option<SocketAddr>,
    /// How long to wait until it is durable; exit code 6 when that is over
    #[arg(long, value_name = "TIME", default_value = "60 s")]
    timeout: Millis,
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

/// What the connector answers.
#[derive(Debug, Serialize, Deserialize)]
struct Receipt {
    durable: Vec<Span>,
    given_up: Vec<Span>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Span {
    topic: String,
    partition: u32,
    from: i64,
    to: i64,
}

/// Runs it.
pub(crate) fn run(args: &FlushArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start(&[])?;
    let address = address(args, &settings)?;
    let answer = runtime()?.block_on(ask(&settings, address, args.timeout))?;
    let receipt = receipt_of(address, &answer)?;
    match args.format {
        ReportFormat::Json => output::json(&receipt)?,
        ReportFormat::Text => output::lines(&shown(&receipt))?,
    }
    Ok(ExitCode::Ok)
}

/// A connector that listens on every address of this machine is asked on the loopback one.
fn address(args: &FlushArgs, settings: &Settings) -> Result<SocketAddr, Failure> {
    let listen = args.at.or_else(|| settings.http.listen.parse().ok());
    let mut address = listen.ok_or_else(|| {
        Failure::usage(
            "the connector's address is not known: give --at, or settings with http.listen",
        )
    })?;
    match address.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        IpAddr::V4(_) | IpAddr::V6(_) => {}
    }
    Ok(address)
}

async fn ask(
    settings: &Settings,
    address: SocketAddr,
    patience: Millis,
) -> Result<Answer, Failure> {
    let token = settings.http.token()?;
    let authorization = token.map(|token| (http_client::AUTHORIZATION, token.bearer()));
    let text = address.to_string();
    let post = Post {
        address: &text,
        path: "/flush",
        headers: authorization.into_iter().collect(),
        body: Vec::new().into(),
    };
    let answered = http_client::post(post, patience.duration()).await;
    answered.map_err(|no_answer| match no_answer {
        NoAnswer::Late => Failure::Said(
            ExitCode::TimedOut,
            format!(
                "not durable within {patience}; at=`{address}`: the flush goes on; look at /status there"
            ),
        ),
        NoAnswer::Broken(reason) => Failure::Said(
            ExitCode::Internal,
            format!("reach connector failed; at=`{address}` reason=`{reason}`"),
        ),
    })
}

fn receipt_of(address: SocketAddr, answer: &Answer) -> Result<Receipt, Failure> {
    let said = String::from_utf8_lossy(&answer.body);
    let said = said.trim();
    match answer.status.as_u16() {
        200 => Ok(serde_json::from_slice(&answer.body)?),
        401 | 403 => Err(Failure::usage(format!(
            "the connector refused the order; at=`{address}` reason=`{said}`"
        ))),
        404 => Err(Failure::usage(format!(
            "no connector listens there; at=`{address}`"
        ))),
        status => Err(Failure::Said(
            ExitCode::Internal,
            format!("flush failed; at=`{address}` status={status} reason=`{said}`"),
        )),
    }
}

fn shown(receipt: &Receipt) -> Vec<String> {
    let offsets: i64 = receipt.durable.iter().map(|span| span.to - span.from).sum();
    let count = receipt.durable.len();
    let mut lines = vec![format!(
        "{offsets} offsets of {count} partitions are durable that were not before"
    )];
    let line = |what: &'static str| {
        move |span: &Span| {
            let Span {
                topic,
                partition,
                from,
                to,
            } = span;
            format!("{topic}/{partition} [{from}, {to}) {what}")
        }
    };
    lines.extend(receipt.durable.iter().map(line("durable")));
    let lost = "went to another worker, which reads it again";
    lines.extend(receipt.given_up.iter().map(line(lost)));
    lines
}
