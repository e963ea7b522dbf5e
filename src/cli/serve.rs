//! `skein serve`: reads over HTTP.

use std::net::SocketAddr;

use clap::Args;
use skein_config::cutover::acknowledger::Acknowledger;
use skein_config::settings::Need;
use skein_reader::old_places::OldPlaces;
use skein_reader::read_source::ReadSource;
use skein_reader::serve::{ServeSetup, Serving};
use skein_shared::admin_http;
use skein_shared::bucket::Bucket;
use skein_shared::cutover::NodeRole;

use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output;
use crate::signals::cancel_on_signal;

/// Answers reads over HTTP, page by page, as JSON or Arrow
///
/// GET /api/v1/points takes org, metric, from, to and resolution as `skein read` does, and page; GET /api/v1/series tells
/// the names of an org's series. A page ends with `next_page`, which asks for the one after it; the whole scan goes by the
/// cutovers that it began with. Whoever reads has to send the token of `http.token_file` or `SKEIN_HTTP_TOKEN`. The address is
/// printed; SIGTERM answers what has begun, and ends.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  skein serve --listen 127.0.0.1:9465
  curl -H \"Authorization: Bearer $SKEIN_HTTP_TOKEN\" 'http://127.0.0.1:9465/api/v1/points?org=7&metric=cpu'
  curl -H 'Accept: application/vnd.apache.arrow.stream' …")]
pub(crate) struct ServeArgs {
    /// Address and port, 0 for any that is free: sets serve.listen
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
}

/// Runs it.
pub(crate) fn run(args: &ServeArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start_as("serve", &[Need::Bucket])?;
    let Some(token) = settings.http.token()? else {
        let reason = "no token is configured: set http.token_file or SKEIN_HTTP_TOKEN, \
                      which whoever reads has to know";
        return Err(Failure::usage(reason));
    };
    let mut serve = settings.serve.clone();
    if let Some(listen) = args.listen {
        serve.listen = listen.to_string();
    }
    runtime()?.block_on(async {
        let stop = cancel_on_signal()?;
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        let acknowledger =
            Acknowledger::start(&bucket, NodeRole::Server, &settings.cutover).await?;
        let places = OldPlaces::new(&bucket, &settings.bucket, &settings.cutover);
        let setup = ServeSetup {
            source: ReadSource::new(bucket).with_old(places),
            settings: serve,
            cutover: settings.cutover.clone(),
            token,
            fleet: acknowledger.views(),
        };
        let serving = Serving::start(setup).await?;
        let http = settings.http.settings()?;
        let _looked_at = http
            .map(|http| admin_http::serve(&http, serving.role()))
            .transpose()?;
        output::lines(&[format!("listening on {}", serving.address())])?;
        serving.run(stop).await;
        acknowledger.end().await?;
        Ok(ExitCode::Ok)
    })
}
