//! The points of one series, walked in time order.

use skein_shared::units::Millis;

use crate::generator::GeneratorSettings;
use crate::generator::random::Dice;
use crate::generator::series_plan::{Kind, SeriesPlan};

/// Where a series stands. Small and `Copy`, so that a payload can be computed again later.
#[derive(Debug, Clone, Copy)]
pub(super) struct Walk {
    kind: Kind,
    dice: Dice,
    level: i64,
    next_ms: i64,
    interval: Millis,
    jitter_ms: u32,
}

/// One noisy point in this many has a value that most formats lose.
const STRANGE_ONE_IN: u64 = 512;

impl Walk {
    pub(super) fn new(settings: &GeneratorSettings, plan: &SeriesPlan) -> Self {
        let mut dice = Dice::new(settings.seed, u64::from(plan.number), 0);
        let phase = dice.below(settings.interval.0).cast_signed();
        // One series in eight is scraped with jitter, less than half an interval so that order holds.
        let jitter_ms = match dice.below(8) {
            0 => u32::try_from(settings.interval.0.min(2000) / 4).expect("at most 500"),
            _ => 0,
        };
        Self {
            kind: plan.kind,
            level: dice.below(10_000).cast_signed(),
            dice,
            next_ms: settings.start.0 + phase,
            interval: settings.interval,
            jitter_ms,
        }
    }

    /// The next point's timestamp and value.
    #[inline]
    pub(super) fn next(&mut self) -> (i64, f64) {
        let jitter = match self.jitter_ms {
            0 => 0,
            jitter => self.dice.around_zero(jitter),
        };
        let timestamp = self.next_ms + jitter;
        self.next_ms += self.interval.0.cast_signed();
        (timestamp, self.value())
    }

    #[expect(clippy::cast_precision_loss, reason = "levels stay far below 2^53")]
    fn value(&mut self) -> f64 {
        match self.kind {
            Kind::Counter => {
                let roll = self.dice.next();
                self.level = match roll % 10_000 {
                    0 => 0,
                    _ => self.level + ((roll >> 32) % 200).cast_signed(),
                };
                self.level as f64
            }
            Kind::Gauge => {
                self.level += self.dice.around_zero(40);
                self.level as f64 / 100.0
            }
            Kind::IntegerGauge => {
                self.level = (self.level + self.dice.around_zero(2)).abs();
                self.level as f64
            }
            Kind::Constant => self.level as f64,
            Kind::Noise => self.noise(),
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "53 random bits are a whole mantissa"
    )]
    fn noise(&mut self) -> f64 {
        let roll = self.dice.next();
        if roll.is_multiple_of(STRANGE_ONE_IN) {
            return f64::from_bits(match (roll >> 16) % 5 {
                0 => 0x7ff8_0000_0000_0000 | roll >> 40,
                1 => 0xfff0_0000_0000_0001 | roll >> 40,
                2 => (-0.0_f64).to_bits(),
                3 => f64::NEG_INFINITY.to_bits(),
                _ => roll >> 20,
            });
        }
        (roll >> 11) as f64 / (1_u64 << 53) as f64 * 100.0
    }
}
