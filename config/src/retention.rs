//! `[retention]`: how long state is kept, against how long Kafka keeps records.

use serde::{Deserialize, Serialize};
use skein_shared::units::Millis;

use crate::bound::{Bounds, Breach};

/// State is to outlive Kafka's records by this factor.
pub const STATE_TO_KAFKA: u64 = 2;

/// How long things are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionSettings {
    /// How long state objects are kept; 0 is for ever.
    pub state: Millis,
    /// The longest outage of connector or bucket that Kafka is to bridge.
    pub outage: Millis,
}

/// How long Kafka keeps the records of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicRetention {
    /// For so long.
    For(Millis),
    /// For ever.
    Unlimited,
}

/// Whether state is kept long enough for a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateVerdict {
    /// At least twice as long as Kafka keeps the topic.
    LongEnough,
    /// For less than this.
    TooShort(Millis),
    /// Kafka keeps the topic for ever, state is not kept for ever.
    NeverEnough,
}

impl RetentionSettings {
    /// Whether state outlives a topic by the factor [`STATE_TO_KAFKA`].
    pub fn judge(&self, topic: TopicRetention) -> StateVerdict {
        match topic {
            _ if self.state.0 == 0 => StateVerdict::LongEnough,
            TopicRetention::Unlimited => StateVerdict::NeverEnough,
            TopicRetention::For(kept) => {
                let least = Millis(kept.0.saturating_mul(STATE_TO_KAFKA));
                if self.state >= least {
                    StateVerdict::LongEnough
                } else {
                    StateVerdict::TooShort(least)
                }
            }
        }
    }

    pub(crate) fn check(&self, breaches: &mut Vec<Breach>) {
        let mut bounds = Bounds::of("retention", breaches);
        let century = Millis::seconds(86_400 * 36_500);
        bounds.range("state", &self.state, Millis(0)..=century);
        bounds.range("outage", &self.outage, Millis::seconds(60)..=century);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(state_h: u64, topic: TopicRetention, expected: StateVerdict) {
        let settings = RetentionSettings {
            state: Millis::seconds(3600 * state_h),
            outage: Millis::seconds(60),
        };
        assert_eq!(settings.judge(topic), expected);
    }

    #[test]
    fn state_is_to_be_kept_twice_as_long_as_kafka_keeps_a_topic() {
        let topic = TopicRetention::For(Millis::seconds(3600 * 10));
        check(20, topic, StateVerdict::LongEnough);
        check(
            19,
            topic,
            StateVerdict::TooShort(Millis::seconds(3600 * 20)),
        );
        check(0, topic, StateVerdict::LongEnough);
        check(0, TopicRetention::Unlimited, StateVerdict::LongEnough);
        check(20, TopicRetention::Unlimited, StateVerdict::NeverEnough);
    }
}
