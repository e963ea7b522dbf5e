use proptest::prelude::*;

use super::*;
use crate::format::points_csv::{Metric, PointsReader};

fn read(text: &str) -> Vec<Result<PointRow, BadRow>> {
    let rows = JsonLinesReader::new(text.as_bytes());
    rows.map(io::Result::unwrap).collect()
}

#[track_caller]
fn check_bad(line: &str, reason: &str) {
    let good = r#"{"org":1,"metric":"up","timestamp":5,"value":1}"#;
    let rows = read(&format!("{good}\n{line}\n{good}\n"));
    assert_eq!(rows.len(), 3, "a bad line does not end the reading");
    assert!(rows[0].is_ok() && rows[2].is_ok());
    let bad = rows[1].clone().unwrap_err();
    assert_eq!(bad.line, 2);
    assert!(bad.reason.contains(reason), "{}", bad.reason);
}

/// One line and one CSV file that have to give the same point.
#[track_caller]
fn check_same(line: &str, csv: &str) {
    let row = read(line).remove(0).unwrap();
    let mut rows = PointsReader::new(csv.as_bytes()).unwrap().unwrap();
    let wanted = rows.next().unwrap().unwrap().unwrap();
    assert_eq!((row.org, &row.metric), (wanted.org, &wanted.metric));
    assert_eq!(row.timestamp, wanted.timestamp);
    assert_eq!(row.value.to_bits(), wanted.value.to_bits());
}

#[test]
fn a_line_gives_the_point_that_the_same_row_of_csv_gives() {
    let head = "org,metric,timestamp,value";
    check_same(
        r#"{"org":7,"metric":42,"timestamp":1700000000123,"value":-0.0}"#,
        &format!("{head}\n7,42,1700000000123,-0.0\n"),
    );
    check_same(
        r#" { "value" : "nan:0x7ff8000000000001" , "org":"18446744073709551615", "metric":"42", "timestamp":"5" } "#,
        &format!("{head}\n18446744073709551615,42,5,nan:0x7ff8000000000001\n"),
    );
    check_same(
        r#"{"org":7,"metric":"up","timestamp":"2023-11-14T22:13:20.123Z","value":1e300,"job":"a,\"b\u00e9\"","host":"","zone":null}"#,
        &format!("{head},job,host\n7,up,2023-11-14T22:13:20.123Z,1e300,\"a,\"\"bé\"\"\",\n"),
    );
}

#[test]
fn blank_lines_are_passed_over_and_the_last_needs_no_end() {
    let line = r#"{"org":1,"metric":2,"timestamp":3,"value":4}"#;
    let rows = read(&format!("\n{line}\r\n  \n{line}"));
    let lines: Vec<u64> = rows.into_iter().map(|row| row.unwrap().line).collect();
    assert_eq!(lines, [2, 4]);
}

#[test]
fn a_bad_line_has_its_number_and_reason() {
    check_bad("hello", "expected `{`");
    check_bad("[1]", "expected `{`");
    check_bad("{", "a quoted name");
    check_bad("{}", "`org` is missing");
    check_bad(r#"{"org":1} x"#, "the line's end");
    check_bad(r#"{"org":1"#, "expected `,`");
    check_bad(r#"{"org":"1"#, "does not end");
    check_bad(r#"{"org":"\q"}"#, "escape");
    check_bad(r#"{"org":1,"org":1}"#, "comes twice");
    check_bad(r#"{"org":01}"#, "neither a text nor a number");
    check_bad(r#"{"org":true}"#, "neither a text nor a number");
    check_bad(r#"{"org":{}}"#, "neither a text nor a number");
    check_bad(r#"{"org":-1,"metric":"up"}"#, "org `-1`");
    check_bad(r#"{"org":1.5,"metric":"up"}"#, "org `1.5`");
    check_bad(r#"{"org":1,"metric":null}"#, "`metric` is null");
    check_bad(
        r#"{"org":1,"metric":"up","timestamp":5.5}"#,
        "timestamp `5.5`",
    );
    check_bad(
        r#"{"org":1,"metric":"up","timestamp":5,"value":1e999}"#,
        "too large",
    );
    check_bad(
        r#"{"org":1,"metric":42,"timestamp":5,"value":1,"job":"x"}"#,
        "takes no tag",
    );
    check_bad(
        r#"{"org":1,"metric":"up","timestamp":5,"value":1,"port":80}"#,
        "quote it",
    );
    check_bad(&"x".repeat(1 << 21), "longer than");
}

#[test]
fn bytes_that_are_not_text_are_a_bad_line() {
    let row = JsonLinesReader::new(&b"{\"org\":\"\xff\"}\n"[..]).next();
    let bad = row.unwrap().unwrap().unwrap_err();
    assert_eq!(bad.reason, "the line is not UTF-8");
}

/// Gives one line and breaks off.
struct Broken(&'static [u8]);

impl io::Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(io::Error::other("gone"));
        }
        self.0.read(buffer)
    }
}

#[test]
fn input_that_breaks_off_is_no_bad_line() {
    let line = br#"{"org":1,"metric":2,"timestamp":3,"value":4}"#;
    let mut rows = JsonLinesReader::new(io::BufReader::new(Broken(line)));
    assert!(rows.next().unwrap().is_err());
    assert!(rows.next().is_none());
}

proptest! {
    #[test]
    fn every_value_and_tag_reads_back_as_it_is(
        bits: u64,
        timestamp: i64,
        tags in proptest::collection::btree_map("[a-z]{5}", "\\PC{1,6}|[\r\n\",\\\\]{1,3}", 0..3),
    ) {
        let value = crate::format::points_csv::value_text(f64::from_bits(bits));
        let value = if f64::from_bits(bits).is_finite() { value } else { format!("\"{value}\"") };
        let head = format!(r#"{{"org":1,"metric":"m","timestamp":{timestamp},"value":{value}"#);
        let members = tags.iter().map(|(key, text)| {
            format!("{}:{}", serde_json::json!(key), serde_json::json!(text))
        });
        let line = [head].into_iter().chain(members).collect::<Vec<_>>().join(",") + "}";
        let row = read(&line).remove(0).unwrap();
        prop_assert_eq!(row.value.to_bits(), bits);
        prop_assert_eq!(row.timestamp.0, timestamp);
        let Metric::Named(series) = row.metric else { panic!("it has a name") };
        prop_assert_eq!(series.tags(), &tags);
    }

    #[test]
    fn no_text_panics(text in "[{}\":,orgmetricvaluNa0-9.\\\\\n +-]{0,60}") {
        read(&text).into_iter().for_each(drop);
    }
}
