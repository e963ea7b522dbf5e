//! What goes to stdout: data, never talk.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::Failure;

/// Form of a report on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people.
    Text,
    /// One JSON document.
    Json,
}

/// Writes one JSON document and a line's end.
pub(crate) fn json(document: &impl Serialize) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, document)?;
    writeln!(out)?;
    Ok(out.flush()?)
}

/// Writes a text as it is.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Writes lines.
pub(crate) fn lines(lines: &[String]) -> Result<(), Failure> {
    let mut whole = lines.join("\n");
    whole.push('\n');
    text(&whole)
}

/// Columns as wide as their widest cell: the first to the left, the others to the right.
pub(crate) fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let head = head
        .iter()
        .map(|name| (*name).to_owned())
        .collect::<Vec<_>>();
    let mut lines = rows;
    lines.insert(0, head);
    let columns = lines[0].len();
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells =
            line.iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, width))| match column {
                    0 => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn a_column_is_as_wide_as_its_widest_cell() {
        let rows = vec![
            vec!["a".to_owned(), "1".to_owned()],
            vec!["long".to_owned(), "200".to_owned()],
        ];
        assert_eq!(
            table(&["x", "n"], rows),
            "x       n\na       1\nlong  200\n"
        );
    }
}
