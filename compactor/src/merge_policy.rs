//! When the segments of a window are merged.

/// What a window's new points become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// A segment beside the live ones.
    Overlay,
    /// One segment that replaces all live ones.
    Merge,
}

/// Decides for a window that has `live` segments: readers merge all of them, so there are never more than
/// `most`.
pub fn choose(live: usize, most: u32) -> Choice {
    let after = live as u64 + 1;
    if after > u64::from(most) {
        Choice::Merge
    } else {
        Choice::Overlay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_never_has_more_live_segments_than_allowed() {
        for most in 1..6 {
            let mut live = 0_usize;
            for _ in 0..20 {
                live = match choose(live, most) {
                    Choice::Overlay => live + 1,
                    Choice::Merge => 1,
                };
                assert!(live as u64 <= u64::from(most));
            }
        }
    }

    #[test]
    fn the_first_points_of_a_window_merge_with_nothing() {
        assert_eq!(choose(0, 1), Choice::Overlay);
        assert_eq!(choose(1, 1), Choice::Merge);
        assert_eq!(choose(3, 4), Choice::Overlay);
        assert_eq!(choose(4, 4), Choice::Merge);
    }
}
