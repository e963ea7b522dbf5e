//! Flags that every command shares: where settings come from.

use std::ops::Deref;
use std::path::PathBuf;

use clap::Args;
use skein_config::Settings;
use skein_config::load::{Flag, Layers, load};
use skein_config::settings::Need;
use skein_shared::admin_http::{self, AdminServer, Role};
use skein_shared::telemetry::{self, Telemetry};
use tracing::span::EnteredSpan;

use crate::failure::Failure;

/// Flags that set settings.
#[derive(Debug, Clone, Default, Args)]
#[command(
    next_help_heading = "Settings (flag over environment SKEIN_SECTION__KEY over file over default)"
)]
pub(crate) struct SettingsArgs {
    /// Settings file (TOML); `skein config check` shows every key
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Kafka's bootstrap servers: sets kafka.brokers
    #[arg(long, global = true, value_name = "HOST:PORT,…")]
    brokers: Option<String>,
    /// Topics to read, or patterns that start with `^`: sets kafka.topics
    #[arg(long, global = true, value_name = "TOPIC,…", value_delimiter = ',')]
    topics: Option<Vec<String>>,
    /// Where everything is kept, `s3://BUCKET/PREFIX` or `file:///DIRECTORY`: sets bucket.url
    #[arg(long, global = true, value_name = "URL")]
    bucket: Option<String>,
    /// Any other setting: `--set connector.flush_interval="1 min"`; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

/// Settings of a command that has started, and what watches over it until it is dropped.
#[derive(Debug)]
pub(crate) struct Started {
    settings: Settings,
    /// Serves until it is dropped.
    server: Option<AdminServer>,
    /// Ends before what exports it.
    _run: EnteredSpan,
    _telemetry: Telemetry,
}

impl Deref for Started {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.settings
    }
}

impl SettingsArgs {
    /// Loads all layers and checks them.
    pub(crate) fn load(&self) -> Result<Settings, Failure> {
        Ok(load(&self.layers()?)?)
    }

    /// What `--set` says, as it stands.
    pub(crate) fn assignments(&self) -> &[String] {
        &self.set
    }

    /// What lies over the defaults.
    pub(crate) fn layers(&self) -> Result<Layers, Failure> {
        Ok(Layers::of_process(self.config.clone(), self.flags()?))
    }

    /// Loads settings, demands what the command cannot do without, and starts telemetry.
    pub(crate) fn start(&self, needs: &[Need]) -> Result<Started, Failure> {
        self.start_as("command", needs)
    }

    /// As [`start`](Self::start), for a command that is known to telemetry by its name.
    pub(crate) fn start_as(&self, name: &'static str, needs: &[Need]) -> Result<Started, Failure> {
        let settings = self.load()?;
        settings.require(needs)?;
        let telemetry = telemetry::init(&settings.telemetry.settings(name))?;
        Ok(Started {
            settings,
            server: None,
            _run: tracing::debug_span!("run", role = name).entered(),
            _telemetry: telemetry,
        })
    }

    /// As [`start`](Self::start), for a command that runs for long enough to be looked at over HTTP. Where
    /// a connector with the same settings has the address, it runs without.
    pub(crate) fn start_watched(
        &self,
        name: &'static str,
        needs: &[Need],
    ) -> Result<Started, Failure> {
        let mut started = self.start_as(name, needs)?;
        started.server = started.http.settings()?.and_then(|http| {
            let served = admin_http::serve(&http, Role::one_shot(name));
            served
                .inspect_err(|error| tracing::warn!(%error, "this run is not served over http"))
                .ok()
        });
        Ok(started)
    }

    fn flags(&self) -> Result<Vec<Flag>, Failure> {
        let mut flags = Vec::new();
        for assignment in &self.set {
            let flag = Flag::assignment("--set", assignment);
            flags.push(
                flag.ok_or_else(|| Failure::usage(format!("--set {assignment} is not KEY=VALUE")))?,
            );
        }
        let texts = [
            ("--brokers", "kafka.brokers", &self.brokers),
            ("--bucket", "bucket.url", &self.bucket),
        ];
        for (name, key, text) in texts {
            flags.extend(text.as_ref().map(|text| Flag::text(name, key, text)));
        }
        flags.extend(
            self.topics
                .as_ref()
                .map(|topics| Flag::list("--topics", "kafka.topics", topics)),
        );
        Ok(flags)
    }
}
