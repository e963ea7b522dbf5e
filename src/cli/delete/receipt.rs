//! `skein delete ls` and `show`.

use serde::Serialize;
use skein_config::settings::Need;
use skein_reader::inspect::deletes::{DeleteRow, DeleteState, deletes};
use skein_shared::bucket::Bucket;
use skein_shared::units::Millis;

use crate::cli::{SettingsArgs, runtime};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, Outcome};
use crate::output::{self, ReportFormat};

/// A delete, and what is known of the records that it takes points out of.
#[derive(Serialize)]
struct Receipt {
    #[serde(flatten)]
    row: DeleteRow,
    /// What becomes of the state objects with its records.
    state_objects: String,
}

/// Lists all deletes.
pub(super) fn list(format: ReportFormat, settings: &SettingsArgs) -> Outcome {
    let (rows, _) = load(None, settings)?;
    match format {
        ReportFormat::Json => output::json(&rows)?,
        ReportFormat::Text => output::text(&table(&rows))?,
    }
    Ok(ExitCode::Ok)
}

/// Shows one.
pub(super) fn show(number: u64, format: ReportFormat, settings: &SettingsArgs) -> Outcome {
    let (mut rows, state) = load(Some(number), settings)?;
    let Some(row) = rows.pop() else {
        let known = "`skein delete ls` lists those that there are";
        return Err(Failure::usage(format!(
            "there is no delete {number}: {known}"
        )));
    };
    let is_late = row.is_late;
    let receipt = Receipt {
        row,
        state_objects: state_objects(state),
    };
    match format {
        ReportFormat::Json => output::json(&receipt)?,
        ReportFormat::Text => output::lines(&receipt.shown())?,
    }
    if is_late {
        return Ok(ExitCode::Difference);
    }
    Ok(ExitCode::Ok)
}

/// The rows, and how long state is kept.
fn load(only: Option<u64>, settings: &SettingsArgs) -> Result<(Vec<DeleteRow>, Millis), Failure> {
    let settings = settings.start(&[Need::Bucket])?;
    let rows = runtime()?.block_on(async {
        let bucket = Bucket::open(&settings.bucket.settings()?).await?;
        let now = bucket.now().await?;
        Ok::<_, Failure>(deletes(&bucket, only, now).await?)
    })?;
    Ok((rows, settings.retention.state))
}

fn state_objects(kept: Millis) -> String {
    if kept.0 == 0 {
        return "keep its records for ever (`retention.state` is 0): nothing deletes them"
            .to_owned();
    }
    format!(
        "keep its records until they are {kept} old (`retention.state`); a rebuild leaves its points out"
    )
}

fn state_of(row: &DeleteRow) -> String {
    match row.state {
        DeleteState::Masked => "masked".to_owned(),
        DeleteState::Rewriting => {
            format!(
                "rewriting, {} of {} segments left",
                row.segments_left, row.segments
            )
        }
        DeleteState::Gone => "gone".to_owned(),
    }
}

fn what(row: &DeleteRow) -> String {
    let metric = row.metric.as_ref().map(|metric| format!("metric {metric}"));
    let from = row.from.as_ref().map(|from| format!("from {from}"));
    let to = row.to.as_ref().map(|to| format!("to {to}"));
    let named = [Some(format!("org {}", row.org)), metric, from, to];
    named.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn table(rows: &[DeleteRow]) -> String {
    let head = ["delete", "what", "masked since", "state", "deadline"];
    let cells = rows.iter().map(|row| {
        let missed = if row.is_late { " missed" } else { "" };
        vec![
            row.number.to_string(),
            what(row),
            row.masked_since.clone(),
            state_of(row),
            format!("{}{missed}", row.deadline),
        ]
    });
    output::table(&head, cells.collect())
}

impl Receipt {
    fn shown(&self) -> Vec<String> {
        let row = &self.row;
        let ticket = row.ticket.as_ref();
        let ticket = ticket.map_or_else(String::new, |ticket| format!(" ({ticket})"));
        let missed = if row.is_late { ": missed" } else { "" };
        let mut lines = vec![
            format!("delete {}: {}", row.number, what(row)),
            format!("by {}: {}{ticket}", row.actor, row.reason),
            format!("masked since {}", row.masked_since),
            format!("state: {}", state_of(row)),
            format!("deadline: {}{missed}", row.deadline),
        ];
        for shard in &row.shards {
            let name = &shard.shard;
            let (points, generation) = (shard.points, shard.generation);
            lines.push(match row.state {
                DeleteState::Gone => {
                    format!(
                        "  {name}: gone since generation {generation}, {points} points taken out"
                    )
                }
                DeleteState::Masked | DeleteState::Rewriting => format!(
                    "  {name}: {} segments left, {points} points taken out",
                    shard.segments_left
                ),
            });
        }
        if let Some(since) = &row.gone_since {
            lines.push(format!(
                "receipt kept {since}; segments that were replaced go with `skein compact gc`"
            ));
        }
        lines.push(format!("state objects {}", self.state_objects));
        lines
    }
}
