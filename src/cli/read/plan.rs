//! Shows where the points of a read come from, and why from there.

use skein_reader::read_plan::{SpanSource, explain};
use skein_reader::snapshot::Snapshot;
use skein_shared::window::TimeSpan;

use super::PointsFormat;
use crate::failure::Failure;
use crate::output;

/// Shows every span with its objects, as a table or as one JSON document.
pub(super) async fn show(
    snapshot: &Snapshot,
    span: TimeSpan,
    format: PointsFormat,
) -> Result<(), Failure> {
    let spans = explain(snapshot, span).await?;
    match format {
        PointsFormat::Json => output::json(&spans)?,
        PointsFormat::Table | PointsFormat::Csv | PointsFormat::Plot => {
            output::text(&text_of(&spans))?;
        }
    }
    Ok(())
}

fn text_of(spans: &[SpanSource]) -> String {
    let head = [
        "org", "from", "to", "visible", "writers", "state", "version", "fleet", "side", "object",
        "why",
    ];
    let mut rows = Vec::new();
    for span in spans {
        let bound = |at: &Option<String>| at.clone().unwrap_or_else(|| "-".to_owned());
        let of_span = vec![
            span.org.to_string(),
            bound(&span.from),
            bound(&span.to),
            span.visible.to_owned(),
            span.writers.clone(),
            span.state.unwrap_or("-").to_owned(),
            span.version
                .map_or_else(|| "-".to_owned(), |it| it.to_string()),
            span.fleet.to_string(),
        ];
        if span.objects.is_empty() {
            let none = ["-", "-", "nothing is there"].map(str::to_owned);
            rows.push([of_span.clone(), none.to_vec()].concat());
        }
        rows.extend(span.objects.iter().map(|object| {
            let object = [object.side, &object.key, object.why].map(str::to_owned);
            [of_span.clone(), object.to_vec()].concat()
        }));
    }
    output::table(&head, rows)
}
