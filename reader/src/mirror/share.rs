//! Which reads are mirrored.

use skein_config::cutover::timelines::Timelines;
use skein_shared::cutover::CutoverState;
use skein_shared::ids::{OrgId, SeriesKey};
use xxhash_rust::xxh3::xxh3_64;

/// How many series in a hundred are mirrored. A series that is stays so while the share rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MirrorShare(u8);

impl MirrorShare {
    /// All of them.
    pub const ALL: Self = Self(100);

    /// What the cutover of `org` asks for: nothing but in canary.
    pub fn of(timelines: &Timelines, org: OrgId) -> Self {
        let cutover = timelines.cutover(org);
        let canary = cutover.filter(|cutover| cutover.state == CutoverState::Canary);
        Self(canary.map_or(0, |cutover| cutover.mirror_percent.min(100)))
    }

    /// Whether reads of this series are.
    pub fn takes(self, key: SeriesKey) -> bool {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&key.org.0.to_le_bytes());
        bytes[8..].copy_from_slice(&key.metric.0.to_le_bytes());
        xxh3_64(&bytes) % 100 < u64::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use skein_shared::ids::MetricId;

    use super::*;

    fn keys() -> impl Iterator<Item = SeriesKey> {
        (0..10_000).map(|metric| SeriesKey {
            org: OrgId(7),
            metric: MetricId(metric),
        })
    }

    #[test]
    fn a_share_takes_as_many_as_it_says() {
        for percent in [0, 5, 50, 100] {
            let taken = keys().filter(|key| MirrorShare(percent).takes(*key));
            let expected = usize::from(percent) * 100;
            let taken = taken.count();
            assert!(taken.abs_diff(expected) <= 200, "{percent}: {taken}");
            assert!(![0, 100].contains(&percent) || taken == expected);
        }
    }

    proptest! {
        #[test]
        fn a_series_stays_mirrored_while_the_share_rises(
            (org, metric) in any::<(u64, u64)>(),
            (less, more) in (0_u8..=100, 0_u8..=100),
        ) {
            let key = SeriesKey { org: OrgId(org), metric: MetricId(metric) };
            let (less, more) = (less.min(more), less.max(more));
            prop_assert!(MirrorShare(more).takes(key) || !MirrorShare(less).takes(key));
        }
    }
}
