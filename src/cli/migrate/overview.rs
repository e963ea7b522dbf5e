//! `skein migrate status`.

use clap::Args;
use serde::Serialize;
use skein_config::cutover::fact_finding::newest_versions;
use skein_config::settings::Need;
use skein_shared::{ack_log, fleet_log};

use crate::cli::migrate::plane::open;
use crate::cli::migrate::row::{VersionRow, code_of_standing, worst};
use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};

/// Flags of `skein migrate status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Form of the report
    #[arg(long, default_value = "text")]
    format: ReportFormat,
}

#[derive(Serialize)]
struct Overview {
    /// The newest; `None` where no org was ever cut over.
    fleet: Option<u64>,
    orgs: Vec<OrgOverview>,
    nodes: Vec<NodeRow>,
}

#[derive(Serialize)]
struct OrgOverview {
    org: u64,
    #[serde(flatten)]
    newest: VersionRow,
    #[serde(skip)]
    code: ExitCode,
}

#[derive(Serialize)]
struct NodeRow {
    role: &'static str,
    node: String,
    fleet: u64,
    build: String,
    silent_ms: i64,
    is_live: bool,
    fenced: Vec<u64>,
}

/// Runs it.
pub(super) fn run(args: &StatusArgs, settings: &SettingsArgs) -> Outcome {
    let settings = settings.start(&[Need::Bucket])?;
    let overview = runtime()?.block_on(async {
        let plane = open(&settings).await?;
        let bucket = &plane.bucket;
        let now = bucket.now().await?;
        let newest = newest_versions(&plane).await?;
        let orgs = newest.iter().map(|version| OrgOverview {
            org: version.org.0,
            code: code_of_standing(&version.standing),
            newest: VersionRow::of(version),
        });
        let liveness = i64::try_from(plane.settings.liveness.0).unwrap_or(i64::MAX);
        let acks = ack_log::all(bucket).await?;
        let nodes = acks.into_iter().map(|ack| {
            let silent_ms = now.0.saturating_sub(ack.at.0);
            NodeRow {
                role: ack.role.name(),
                node: ack.node.to_string(),
                fleet: ack.fleet,
                build: ack.build,
                silent_ms,
                is_live: silent_ms <= liveness,
                fenced: ack.fenced.iter().map(|org| org.0).collect(),
            }
        });
        Ok::<_, Failure>(Overview {
            fleet: fleet_log::newest(bucket).await?.map(|fleet| fleet.number),
            orgs: orgs.collect(),
            nodes: nodes.collect(),
        })
    })?;
    match args.format {
        ReportFormat::Json => output::json(&overview)?,
        ReportFormat::Text => output::text(&shown(&overview))?,
    }
    Ok(worst(overview.orgs.iter().map(|org| org.code)))
}

fn shown(overview: &Overview) -> String {
    if overview.orgs.is_empty() {
        return "no org was ever cut over; `skein migrate create` begins\n".to_owned();
    }
    let head = [
        "org", "state", "standing", "version", "since", "edges", "why",
    ];
    let rows = overview.orgs.iter().map(|org| {
        let newest = &org.newest;
        let mut edges = newest.edges();
        if newest.mirror_percent > 0 {
            edges.push(format!("{} % mirrored", newest.mirror_percent));
        }
        vec![
            org.org.to_string(),
            newest.state.to_owned(),
            newest.standing.to_owned(),
            newest.version.to_string(),
            newest.at.clone(),
            edges.join(", "),
            newest.why.clone().unwrap_or_default(),
        ]
    });
    let mut text = output::table(&head, rows.collect());
    let head = ["node", "fleet", "silent ms", "live", "build"];
    let nodes = overview.nodes.iter().map(|node| {
        vec![
            format!("{}-{}", node.role, node.node),
            node.fleet.to_string(),
            node.silent_ms.to_string(),
            node.is_live.to_string(),
            node.build.clone(),
        ]
    });
    text.push('\n');
    text.push_str(&output::table(&head, nodes.collect()));
    text
}
