//! Which orgs a block may hold, in a few bits for each: what lets a reader of one org pass over the blocks
//! in between when records of many orgs come mixed.
//!
//! An org sets two bits, named by xxh3-64 of its number in 8 little-endian bytes: bit `h mod m` and bit
//! `(h >> 32) mod m`, where `m` is how many bits the filter has, a power of two from 64 to 8,192. Bit `b` is bit
//! `b mod 8` of byte `b / 8`.

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::ids::OrgId;

const MOST_BYTES: usize = 1024;
const LEAST_BYTES: usize = 8;

/// The orgs of a block, as they are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrgFilter(Bytes);

/// The orgs of a block, as they are gathered: one bit for each that is set in the largest filter.
#[derive(Debug)]
pub(super) struct OrgBits {
    words: Box<[u64; MOST_BYTES / 8]>,
    last: Option<OrgId>,
}

impl OrgFilter {
    /// Whether `org` may be among the orgs. Errs only towards saying so.
    pub fn may_hold(&self, org: OrgId) -> bool {
        let bits = self.0.len() * 8;
        places(org).into_iter().all(|place| {
            let place = place % bits;
            self.0[place / 8] & (1 << (place % 8)) != 0
        })
    }

    /// The bits.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// Takes bits back; none are no filter.
    pub(crate) fn read(bytes: Vec<u8>) -> Result<Option<Self>, String> {
        let count = bytes.len();
        let fits = count.is_power_of_two() && (LEAST_BYTES..=MOST_BYTES).contains(&count);
        match count {
            0 => Ok(None),
            _ if fits => Ok(Some(Self(bytes.into()))),
            _ => Err(format!("a filter of orgs has {count} bytes")),
        }
    }
}

impl Default for OrgBits {
    fn default() -> Self {
        Self {
            words: Box::new([0; MOST_BYTES / 8]),
            last: None,
        }
    }
}

impl OrgBits {
    /// Takes an org in.
    #[inline]
    pub(super) fn add(&mut self, org: OrgId) {
        // Producers send an org's records in stretches.
        if self.last == Some(org) {
            return;
        }
        self.last = Some(org);
        for place in places(org) {
            self.words[place / 64] |= 1 << (place % 64);
        }
    }

    /// The filter, folded in half as long as at most a sixth of its bits are set then: about one org in 36
    /// that is not there is taken for one that is. `None` when nearly everything would be.
    pub(super) fn finish(&self) -> Option<OrgFilter> {
        let mut words = self.words.to_vec();
        if ones(&words) * 4 > bits(&words) * 3 {
            return None;
        }
        while words.len() * 8 > LEAST_BYTES {
            let (low, high) = words.split_at(words.len() / 2);
            let folded: Vec<u64> = low.iter().zip(high).map(|(a, b)| a | b).collect();
            if ones(&folded) * 6 > bits(&folded) {
                break;
            }
            words = folded;
        }
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        Some(OrgFilter(bytes.into()))
    }
}

fn ones(words: &[u64]) -> usize {
    words.iter().map(|word| word.count_ones() as usize).sum()
}

fn bits(words: &[u64]) -> usize {
    words.len() * 64
}

/// The two bits of an org in the largest filter; those of a smaller one are the same, modulo its size.
#[inline]
fn places(org: OrgId) -> [usize; 2] {
    const MASK: u64 = MOST_BYTES as u64 * 8 - 1;
    let hash = xxh3_64(&org.0.to_le_bytes());
    [hash & MASK, (hash >> 32) & MASK].map(|place| usize::try_from(place).expect("13 bits fit"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filter(orgs: impl IntoIterator<Item = u64>) -> Option<OrgFilter> {
        let mut bits = OrgBits::default();
        orgs.into_iter().for_each(|org| bits.add(OrgId(org)));
        bits.finish()
    }

    proptest! {
        #[test]
        fn an_org_that_is_there_is_never_denied(orgs in prop::collection::vec(any::<u64>(), 0..2000)) {
            if let Some(filter) = filter(orgs.iter().copied()) {
                prop_assert!(orgs.iter().all(|org| filter.may_hold(OrgId(*org))));
                let read = OrgFilter::read(filter.bytes().to_vec()).unwrap();
                prop_assert_eq!(read, Some(filter));
            }
        }
    }

    #[test]
    fn a_filter_costs_little_and_denies_most_of_what_is_not_there() {
        for (count, most_bytes, most_wrong) in [(2, 8, 150), (156, 256, 350), (1500, 1024, 1500)] {
            let filter = filter((0..count).map(|n| n * 64 + 5)).unwrap();
            let wrong = (0..10_000_u64).filter(|n| filter.may_hold(OrgId(n * 64 + 6)));
            let (bytes, wrong) = (filter.bytes().len(), wrong.count());
            assert!(
                bytes <= most_bytes && wrong <= most_wrong,
                "{count}: {bytes} {wrong}"
            );
        }
        assert_eq!(
            filter(0..50_000),
            None,
            "a filter that lets everything through"
        );
    }

    #[test]
    fn a_filter_of_a_length_that_no_writer_makes_is_refused() {
        assert_eq!(OrgFilter::read(Vec::new()), Ok(None));
        for count in [1, 7, 24, 2048] {
            assert!(OrgFilter::read(vec![0; count]).is_err(), "{count}");
        }
    }
}
