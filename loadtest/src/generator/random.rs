//! Randomness that is the same on every machine and in every version (`SplitMix64`).

/// A stream of numbers from a seed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dice(u64);

impl Dice {
    /// A stream of its own for each `(seed, a, b)`.
    pub(super) const fn new(seed: u64, a: u64, b: u64) -> Self {
        Self(mix(mix(mix(seed) ^ a) ^ b.rotate_left(32)))
    }

    #[inline]
    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`, which is not 0.
    #[inline]
    pub(super) const fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// A number in `[-bound, bound]`.
    #[inline]
    pub(super) const fn around_zero(&mut self, bound: u32) -> i64 {
        self.below(2 * bound as u64 + 1).cast_signed() - bound as i64
    }
}

const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
