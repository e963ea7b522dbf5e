use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Vec<std::result::Result<PointRow, BadRow>> {
    let reader = PointsReader::new(text.as_bytes()).unwrap().unwrap();
    reader.map(std::result::Result::unwrap).collect()
}

#[track_caller]
fn check_bad(row: &str, reason: &str) {
    let text = format!("org,metric,timestamp,value,job\n1,up,5,1,x\n{row}\n2,up,6,2,\n");
    let rows = read(&text);
    assert_eq!(rows.len(), 3, "a bad row does not end the reading");
    assert!(rows[0].is_ok() && rows[2].is_ok());
    let bad = rows[1].clone().unwrap_err();
    assert_eq!(bad.line, 3);
    assert!(bad.reason.contains(reason), "{}", bad.reason);
}

#[test]
fn a_row_names_a_series_by_id_or_by_name_and_tags() {
    let rows = read(
        "org,metric,timestamp,value,job,host\r\n\
         7,42,1700000000123,-0.0,,\r\n\
         7,up,2023-11-14T22:13:20.123Z,1e300,\"a,\"\"b\"\"\",\r\n\
         7,up,2023-11-14T23:13:20+01:00,inf,,h\r\n",
    );
    let rows: Vec<PointRow> = rows.into_iter().map(std::result::Result::unwrap).collect();
    assert_eq!(rows[0].metric, Metric::Id(MetricId(42)));
    assert_eq!(rows[0].value.to_bits(), (-0.0_f64).to_bits());
    assert_eq!(
        rows[1].metric,
        Metric::Named(r#"up{job="a,\"b\""}"#.parse().unwrap())
    );
    assert_eq!(rows[1].timestamp, rows[0].timestamp);
    assert_eq!(
        rows[2].metric,
        Metric::Named(r#"up{host="h"}"#.parse().unwrap())
    );
    assert_eq!(rows[2].timestamp, TimestampMs(1_700_000_000_000));
}

#[test]
fn a_bad_row_has_its_line_and_reason() {
    check_bad("x,up,5,1,", "org `x`");
    check_bad("-1,up,5,1,", "org `-1`");
    check_bad("+1,up,5,1,", "org `+1`");
    check_bad("18446744073709551616,up,5,1,", "org");
    check_bad("1,18446744073709551616,5,1,", "metric id");
    check_bad("1,42,5,1,x", "takes no tag");
    check_bad("1,,5,1,", "series name is empty");
    check_bad("1,a{b,5,1,", "series name `a{b`");
    check_bad("1,up,5.5,1,", "timestamp `5.5`");
    check_bad("1,up,2023-11-14T22:13:20,1,", "with a zone");
    check_bad(
        "1,up,2023-11-14T22:13:20.0001Z,1,",
        "finer than a millisecond",
    );
    check_bad("1,up,5,,", "value ``");
    check_bad("1,up,5,1e999,", "too large");
    check_bad("1,up,5,nan:0x7ff0000000000000,", "hex digits of a NaN");
    check_bad("1,up,5,nan:0x+ff8000000000001,", "hex digits of a NaN");
    check_bad("1,up,5", "3 columns, but the header has 5");
}

#[test]
fn a_bad_header_is_refused() {
    for header in [
        "",
        "org,metric,value,timestamp\n",
        "1,up,5,1\n",
        "org,metric,timestamp,value,a,a\n",
        "org,metric,timestamp,value,\n",
    ] {
        let read = PointsReader::new(header.as_bytes()).unwrap();
        assert!(read.is_err(), "{header}");
    }
}

#[test]
fn bytes_that_are_not_text_are_a_bad_row() {
    let rows: Vec<_> = PointsReader::new(&b"org,metric,timestamp,value\n1,\xff,5,1\n"[..])
        .unwrap()
        .unwrap()
        .collect();
    let row = rows[0].as_ref().unwrap();
    assert_eq!(row.as_ref().unwrap_err().reason, "column 2 is not UTF-8");
}

/// Gives its bytes, then fails.
struct Breaking<'a>(&'a [u8]);

impl io::Read for Breaking<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.read(into)? {
            0 => Err(io::Error::other("the disk is gone")),
            read => Ok(read),
        }
    }
}

#[test]
fn a_failure_of_the_input_is_no_bad_row_and_ends_the_reading() {
    let text = "org,metric,timestamp,value\n1,up,5,1\n1,up";
    let reader = PointsReader::new(Breaking(text.as_bytes()));
    let mut rows = reader.unwrap().unwrap();
    assert!(rows.next().unwrap().unwrap().is_ok());
    let failure = rows.next().unwrap().unwrap_err();
    assert_eq!(failure.to_string(), "the disk is gone");
    assert!(rows.next().is_none());
    assert!(PointsReader::new(Breaking(b"org,met")).is_err());
}

#[test]
fn a_tag_without_a_column_is_an_error_and_not_a_loss() {
    let mut writer = PointsWriter::new(Vec::new(), BTreeSet::new()).unwrap();
    let metric = Metric::Named(r#"up{job="x"}"#.parse().unwrap());
    assert!(
        writer
            .write_points(OrgId(1), &metric, &[1], &[1.0])
            .is_err()
    );
}

#[test]
fn values_have_their_shortest_text() {
    let texts = [0.1, 1e300, f64::NAN, -f64::INFINITY, -0.0, 5e-324].map(value_text);
    assert_eq!(texts, ["0.1", "1e300", "NaN", "-inf", "-0.0", "5e-324"]);
}

proptest! {
    #[test]
    fn every_point_reads_back_bit_for_bit(
        org: u64,
        metric in prop_oneof![
            any::<u64>().prop_map(|id| Metric::Id(MetricId(id))),
            ("[a-z][a-z0-9_. é]{0,5}[a-z]", proptest::collection::btree_map("[a-z]{1,3}", "\\PC{0,6}|[\r\n\",]{1,3}", 0..3))
                .prop_map(|(name, tags)| Metric::Named(Series::new(name, tags).unwrap())),
        ],
        points in proptest::collection::vec((any::<i64>(), any::<u64>()), 1..20),
    ) {
        let keys = match &metric {
            Metric::Id(_) => BTreeSet::new(),
            Metric::Named(series) => series.tags().keys().cloned().collect(),
        };
        let mut bytes = Vec::new();
        let mut writer = PointsWriter::new(&mut bytes, keys).unwrap();
        let timestamps: Vec<i64> = points.iter().map(|(t, _)| *t).collect();
        let values: Vec<f64> = points.iter().map(|(_, bits)| f64::from_bits(*bits)).collect();
        writer.write_points(OrgId(org), &metric, &timestamps, &values).unwrap();
        writer.flush().unwrap();
        drop(writer);
        let rows: Vec<PointRow> =
            read(str::from_utf8(&bytes).unwrap()).into_iter().map(std::result::Result::unwrap).collect();
        prop_assert_eq!(rows.len(), points.len());
        for (row, (timestamp, bits)) in rows.iter().zip(&points) {
            prop_assert_eq!(row.org, OrgId(org));
            prop_assert_eq!(&row.metric, &metric);
            prop_assert_eq!(row.timestamp, TimestampMs(*timestamp));
            prop_assert_eq!(row.value.to_bits(), *bits);
        }
    }

    #[test]
    fn no_text_panics(text in "[org,metricvalueNa0-9:.\"\n\r+-]{0,60}") {
        let rows = format!("org,metric,timestamp,value\n{text}");
        read(&rows).into_iter().for_each(drop);
        let _ = PointsReader::new(text.as_bytes());
    }
}
