//! What the documents quote is what the sources say.

use std::fs;
use std::path::Path;

const OPERATIONS: &str = include_str!("../../docs/operations.md");

/// All sources of the members, as one text without line continuations.
fn sources() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    for dir in [
        "shared",
        "config",
        "connector",
        "compactor",
        "reader",
        "loadtest",
        ".",
    ] {
        gather(&root.join(dir).join("src"), &mut text);
    }
    let lines = text.split("\\\n").map(str::trim_start);
    lines.collect::<Vec<_>>().concat()
}

fn gather(dir: &Path, into: &mut String) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, into);
        } else {
            into.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

fn section(title: &str) -> &'static str {
    let section = OPERATIONS.split(&format!("## {title}\n")).nth(1).unwrap();
    section.split("\n## ").next().unwrap()
}

/// The texts between backticks in the first cell of each row.
fn quoted_in_first_cells(section: &str) -> Vec<&str> {
    let cells = section.lines().filter_map(|line| line.split('|').nth(1));
    cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn every_message_that_the_runbook_quotes_is_one_that_is_said() {
    let sources = sources();
    let messages = quoted_in_first_cells(section("What errors ask for"));
    assert!(messages.len() > 10, "{messages:?}");
    for message in messages {
        let pieces = message
            .split(['…', '='])
            .flat_map(|piece| piece.split(": "));
        for piece in pieces.map(str::trim).filter(|piece| !piece.is_empty()) {
            assert!(
                sources.contains(piece),
                "`{piece}` of `{message}` is said nowhere"
            );
        }
    }
}

#[test]
fn every_metric_that_the_runbook_names_is_one_that_is_counted() {
    let sources = sources();
    let names = quoted_in_first_cells(section("What to look at"));
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        assert!(
            sources.contains(&format!("\"{name}\"")),
            "{name} is counted nowhere"
        );
    }
}
