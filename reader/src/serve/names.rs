//! Names of series, by their ids, page by page.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use serde::Serialize;
use skein_shared::ids::{MetricId, OrgId};
use skein_shared::series::Series;
use skein_shared::window::TimeSpan;

use crate::error::{Error, Result};
use crate::page_token::LastRow;
use crate::paged_scan::{Page, PageForm};

/// Bytes of a name's ids in Arrow, and of where its text begins.
const ARROW_ROW_BYTES: usize = 8 + 8 + 4;

/// Names that are left to be given.
pub(super) struct NamePage {
    org: OrgId,
    names: BTreeMap<MetricId, Series>,
}

/// Ids are text: many readers of JSON know only doubles.
#[derive(Serialize)]
struct JsonName<'a> {
    metric: String,
    series: String,
    name: &'a str,
    tags: &'a BTreeMap<String, String>,
}

impl NamePage {
    /// The names behind a series.
    pub(super) fn of(org: OrgId, series: BTreeSet<Series>, after: Option<MetricId>) -> Self {
        let names = series.into_iter().map(|series| (series.id(), series));
        let names = names.filter(|(metric, _)| after.is_none_or(|after| after < *metric));
        Self {
            org,
            names: names.collect(),
        }
    }

    /// As many of them as a page has room for, one at least.
    pub(super) fn cut(self, form: PageForm, page_bytes: usize) -> Result<Page> {
        let mut names = self.names.iter().peekable();
        let (mut lines, mut taken, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some((metric, series)) = names.next_if(|_| taken.is_empty() || bytes < page_bytes)
        {
            taken.push((metric.0, series.to_string()));
            match form {
                PageForm::JsonLines => {
                    let written = write_line(&mut lines, *metric, series);
                    written.map_err(Error::Output)?;
                    bytes = lines.len();
                }
                PageForm::Arrow => {
                    bytes += ARROW_ROW_BYTES + taken.last().map_or(0, |(_, text)| text.len());
                }
            }
        }
        let last = taken.last().map(|(metric, _)| LastRow {
            metric: MetricId(*metric),
            at: TimeSpan::ALL.from,
        });
        let (rows, is_all) = (taken.len(), names.peek().is_none());
        let body = match form {
            PageForm::JsonLines => lines,
            PageForm::Arrow => stream_of(self.org, &taken).map_err(|error| Error::Table {
                format: "arrow",
                source: Box::new(error),
            })?,
        };
        Ok(Page {
            body,
            rows,
            last: last.filter(|_| !is_all),
        })
    }
}

fn write_line(lines: &mut Vec<u8>, metric: MetricId, series: &Series) -> std::io::Result<()> {
    let line = JsonName {
        metric: metric.to_string(),
        series: series.to_string(),
        name: series.name(),
        tags: series.tags(),
    };
    serde_json::to_writer(&mut *lines, &line)?;
    lines.push(b'\n');
    Ok(())
}

fn stream_of(org: OrgId, names: &[(u64, String)]) -> std::result::Result<Vec<u8>, ArrowError> {
    let of = |name, kind| Field::new(name, kind, false);
    let schema = Arc::new(Schema::new(vec![
        of("org", DataType::UInt64),
        of("metric", DataType::UInt64),
        of("series", DataType::Utf8),
    ]));
    let orgs = names.iter().map(|_| org.0);
    let metrics = names.iter().map(|(metric, _)| *metric);
    let texts = names.iter().map(|(_, text)| text.as_str());
    let columns: Vec<ArrayRef> = vec![
        Arc::new(UInt64Array::from_iter_values(orgs)),
        Arc::new(UInt64Array::from_iter_values(metrics)),
        Arc::new(StringArray::from_iter_values(texts)),
    ];
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    writer.write(&RecordBatch::try_new(schema, columns)?)?;
    writer.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bodies of all pages joined, and their rows.
    fn joined(named: &BTreeSet<Series>, form: PageForm, page_bytes: usize) -> (Vec<u8>, usize) {
        let (mut after, mut lines, mut rows) = (None, Vec::new(), 0);
        loop {
            let page = NamePage::of(OrgId(7), named.clone(), after);
            let page = page.cut(form, page_bytes).unwrap();
            assert!(page.rows > 0 && page.rows < 4, "{page_bytes}");
            rows += page.rows;
            lines.extend(page.body);
            after = page.last.map(|last| last.metric);
            if after.is_none() {
                return (lines, rows);
            }
        }
    }

    fn id_in(line: &str) -> String {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["metric"].as_str().unwrap().to_owned()
    }

    #[test]
    fn pages_of_names_joined_are_all_names_by_their_ids() {
        let texts = ["up", "cpu{host=\"a\"}", "cpu{host=\"b\"}", "m"];
        let named: BTreeSet<Series> = texts.iter().map(|text| text.parse().unwrap()).collect();
        let mut expected: Vec<MetricId> = named.iter().map(Series::id).collect();
        expected.sort_unstable();
        let expected: Vec<String> = expected.iter().map(MetricId::to_string).collect();
        assert_eq!(joined(&named, PageForm::Arrow, 30).1, 4);
        for page_bytes in [1, 150] {
            let (lines, rows) = joined(&named, PageForm::JsonLines, page_bytes);
            assert_eq!(rows, 4);
            let lines = String::from_utf8(lines).unwrap();
            assert_eq!(lines.lines().map(id_in).collect::<Vec<_>>(), expected);
        }
    }
}
