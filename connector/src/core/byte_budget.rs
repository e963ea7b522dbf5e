//! How much memory the buffers take, and what to do about it.

/// The budget's parts: what may be held, below what the intake opens again, above what it closes.
const WHOLE: u64 = 16;
const HELD: u64 = 11;
const OPEN_BELOW: u64 = 12;
const CLOSED_ABOVE: u64 = 14;
const _: () = assert!(HELD < OPEN_BELOW && OPEN_BELOW < CLOSED_ABOVE && CLOSED_ABOVE < WHOLE);

/// Bytes of one object, or of all, by what would free them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// In open blocks and parts that are not sent yet: only sealing an object frees them.
    pub held_bytes: u64,
    /// Being compressed or uploaded: time frees them.
    pub leaving_bytes: u64,
}

/// The bytes on the way from Kafka to the bucket, and how many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteBudget {
    whole_bytes: u64,
    /// What others take of it.
    aside_bytes: u64,
    load: Load,
}

/// What the budget asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pressure {
    /// Nothing.
    Ease,
    /// Bytes of the largest open object have to begin to leave.
    FreeLargest,
}

/// Whether records may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intake {
    /// They may.
    Open,
    /// They wait until enough has left.
    Closed,
}

impl ByteBudget {
    /// An empty budget of `limit_bytes`.
    pub const fn new(limit_bytes: u64) -> Self {
        Self {
            whole_bytes: limit_bytes,
            aside_bytes: 0,
            load: Load {
                held_bytes: 0,
                leaving_bytes: 0,
            },
        }
    }

    /// Sets aside what others take, in place of what was set aside before; never more than a quarter, so that
    /// records go on.
    pub fn set_aside(&mut self, bytes: u64) {
        self.aside_bytes = bytes.min(self.whole_bytes / 4);
    }

    /// Counts bytes that an object took in.
    pub fn hold(&mut self, bytes: u64) {
        self.load.held_bytes += bytes;
    }

    /// Takes note that an object's load changed.
    ///
    /// # Panics
    /// If `before` was never counted.
    pub fn change(&mut self, before: Load, after: Load) {
        let moved = |sum: u64, before: u64, after: u64| {
            sum.checked_sub(before)
                .expect("an object's load is part of the sum")
                + after
        };
        let sum = &mut self.load;
        sum.held_bytes = moved(sum.held_bytes, before.held_bytes, after.held_bytes);
        sum.leaving_bytes = moved(sum.leaving_bytes, before.leaving_bytes, after.leaving_bytes);
    }

    /// Everything that is held or leaving.
    pub const fn used_bytes(&self) -> u64 {
        self.load.held_bytes + self.load.leaving_bytes
    }

    /// What is not used.
    pub const fn free_bytes(&self) -> u64 {
        self.limit_bytes().saturating_sub(self.used_bytes())
    }

    /// All of it, but for what is set aside.
    pub const fn limit_bytes(&self) -> u64 {
        self.whole_bytes - self.aside_bytes
    }

    /// Most of the budget may be held, since objects are as large as memory lets them wait; the rest is room for
    /// what leaves. Less is held than the intake opens at, so that what is held alone never keeps it closed.
    pub const fn pressure(&self) -> Pressure {
        if self.load.held_bytes > HELD * (self.limit_bytes() / WHOLE) {
            Pressure::FreeLargest
        } else {
            Pressure::Ease
        }
    }

    /// Closed late, and open again only when there is less: the loop then waits instead of taking records, and when
    /// that takes longer than a second, a pause throws away what was fetched ahead. So it must not flutter.
    pub const fn intake(&self, now: Intake) -> Intake {
        let part = self.limit_bytes() / WHOLE;
        match now {
            Intake::Open if self.used_bytes() > CLOSED_ABOVE * part => Intake::Closed,
            Intake::Closed if self.used_bytes() < OPEN_BELOW * part => Intake::Open,
            Intake::Open | Intake::Closed => now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_alone_never_keeps_the_intake_closed() {
        let mut budget = ByteBudget::new(800);
        budget.hold(550);
        assert_eq!(budget.pressure(), Pressure::Ease);
        assert_eq!(budget.intake(Intake::Closed), Intake::Open);
        budget.hold(1);
        assert_eq!(budget.pressure(), Pressure::FreeLargest);
    }

    #[test]
    fn what_is_set_aside_is_not_to_be_used_and_never_more_than_a_quarter() {
        let mut budget = ByteBudget::new(800);
        budget.hold(500);
        assert_eq!(budget.pressure(), Pressure::Ease);
        budget.set_aside(100);
        assert_eq!((budget.limit_bytes(), budget.free_bytes()), (700, 200));
        assert_eq!(budget.pressure(), Pressure::FreeLargest);
        budget.set_aside(10_000);
        assert_eq!(budget.limit_bytes(), 600);
        budget.set_aside(0);
        assert_eq!(budget.pressure(), Pressure::Ease);
    }

    #[test]
    fn the_intake_closes_late_and_opens_late() {
        let mut budget = ByteBudget::new(800);
        budget.hold(720);
        assert_eq!(budget.pressure(), Pressure::FreeLargest);
        assert_eq!(budget.intake(Intake::Open), Intake::Closed);
        let before = Load {
            held_bytes: 500,
            leaving_bytes: 0,
        };
        let leaving = |leaving_bytes| Load {
            held_bytes: 0,
            leaving_bytes,
        };
        budget.change(before, leaving(400));
        assert_eq!(budget.intake(Intake::Closed), Intake::Closed);
        assert_eq!(budget.intake(Intake::Open), Intake::Open);
        budget.change(leaving(400), leaving(300));
        assert_eq!(budget.intake(Intake::Closed), Intake::Open);
        assert_eq!(budget.used_bytes(), 520);
        assert_eq!(budget.free_bytes(), 280);
    }
}
