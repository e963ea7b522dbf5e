//! Payloads: what a producer puts into Kafka.

use skein_shared::ids::{MetricId, OrgId};
use skein_shared::payload::{Limits, Payload, PayloadView};
use skein_shared::window::TimestampMs;

use super::fixed::{at, key};
use super::{Golden, Written};

pub(super) fn goldens() -> Vec<Golden> {
    let uneven = vec![at(0), at(15_001), at(14_000), at(300_000)];
    let regular = (0..4).map(|i| at(i * 15_000)).collect();
    vec![
        golden("payload-1", uneven),
        golden("payload-regular-1", regular),
    ]
}

fn golden(name: &'static str, timestamps: Vec<TimestampMs>) -> Golden {
    let sample = Payload {
        org: OrgId(300),
        metric: MetricId(0xfedc_ba98_7654_3210),
        timestamps,
        values: vec![1.5, -0.0, f64::from_bits(0x7ff8_0000_0000_0007), 1e300],
        metadata: vec![
            ("skein.series".into(), "cpu{host=\"a\"}".into()),
            ("unit".into(), String::new()),
        ],
    };
    let mut bytes = Vec::new();
    sample.encode(&mut bytes);
    Golden {
        name,
        written: Written::Ours(bytes),
        check: Box::new(move |bytes| check(bytes, &sample)),
    }
}

fn check(bytes: &[u8], sample: &Payload) {
    let view = PayloadView::parse(bytes, &Limits::default(), Some(at(0))).unwrap();
    assert_eq!(view.series(), key(sample.org.0, sample.metric.0));
    let (mut timestamps, mut values) = (Vec::new(), Vec::new());
    view.points().decode_into(&mut timestamps, &mut values);
    assert!(
        timestamps
            .into_iter()
            .map(TimestampMs)
            .eq(sample.timestamps.iter().copied())
    );
    let bits = |values: &[f64]| {
        values
            .iter()
            .map(|value| value.to_bits())
            .collect::<Vec<_>>()
    };
    assert_eq!(bits(&values), bits(&sample.values));
    let metadata = view.points().metadata();
    let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(metadata.collect::<Vec<_>>(), sample.metadata);
}
