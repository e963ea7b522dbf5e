//! `[retention]`: how long points and state are kept, the latter against how long Kafka keeps records.

mod keep;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use skein_shared::ids::OrgId;
use skein_shared::units::Millis;
use skein_shared::window::Resolution;

use crate::bound::{Bounds, Breach};

pub use keep::Keep;

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
    /// How long raw points are kept.
    pub raw: Keep,
    /// How long buckets of 5 minutes are.
    #[serde(rename = "5m")]
    pub five_minutes: Keep,
    /// How long those of an hour are.
    #[serde(rename = "1h")]
    pub one_hour: Keep,
    /// How long those of a day are.
    #[serde(rename = "1d")]
    pub one_day: Keep,
    /// What differs for single orgs, by the org's id.
    pub orgs: BTreeMap<String, OrgRetention>,
}

/// What one org keeps for another time than the rest; absent is as all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OrgRetention {
    /// Raw points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<Keep>,
    /// Buckets of 5 minutes.
    #[serde(rename = "5m", skip_serializing_if = "Option::is_none")]
    pub five_minutes: Option<Keep>,
    /// Those of an hour.
    #[serde(rename = "1h", skip_serializing_if = "Option::is_none")]
    pub one_hour: Option<Keep>,
    /// Those of a day.
    #[serde(rename = "1d", skip_serializing_if = "Option::is_none")]
    pub one_day: Option<Keep>,
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

    /// How long points or buckets of an org are kept that has no settings of its own.
    pub fn keep(&self, resolution: Resolution) -> Keep {
        match resolution {
            Resolution::Raw => self.raw,
            Resolution::FiveMinutes => self.five_minutes,
            Resolution::OneHour => self.one_hour,
            Resolution::OneDay => self.one_day,
        }
    }

    /// How long points or buckets of `org` are kept.
    pub fn keep_of(&self, org: OrgId, resolution: Resolution) -> Keep {
        let own = self.orgs.get(&org.0.to_string());
        let own = own.and_then(|own| own.keep(resolution));
        own.unwrap_or(self.keep(resolution))
    }

    /// The orgs with settings of their own.
    pub fn own(&self) -> BTreeSet<OrgId> {
        let ids = self.orgs.keys().filter_map(|id| id.parse().ok());
        ids.map(OrgId).collect()
    }

    /// Whether any point or bucket is not kept for ever.
    pub fn ends(&self) -> bool {
        let orgs = self.own();
        let ends = |resolution| {
            let mut kept = orgs.iter().map(|org| self.keep_of(*org, resolution));
            self.keep(resolution) != Keep::Forever || kept.any(|keep| keep != Keep::Forever)
        };
        Resolution::ALL.into_iter().any(ends)
    }

    pub(crate) fn check(&self, breaches: &mut Vec<Breach>) {
        let mut bounds = Bounds::of("retention", breaches);
        let century = Millis::seconds(86_400 * 36_500);
        bounds.range("state", &self.state, Millis(0)..=century);
        bounds.range("outage", &self.outage, Millis::seconds(60)..=century);
        let all = |resolution| self.keep(resolution);
        check_kept(&mut bounds, "", all);
        for id in self.orgs.keys() {
            match id.parse().map(OrgId) {
                Ok(org) if org.0.to_string() == *id => {
                    let own = |resolution| self.keep_of(org, resolution);
                    check_kept(&mut bounds, &format!("orgs.{id}."), own);
                }
                Ok(_) | Err(_) => bounds.refuse("orgs", id, "the id of an org, an integer"),
            }
        }
    }
}

impl OrgRetention {
    fn keep(&self, resolution: Resolution) -> Option<Keep> {
        match resolution {
            Resolution::Raw => self.raw,
            Resolution::FiveMinutes => self.five_minutes,
            Resolution::OneHour => self.one_hour,
            Resolution::OneDay => self.one_day,
        }
    }
}

/// Coarser buckets are kept at least as long as what they can be made of: whoever reads them need not know whether they
/// were stored.
fn check_kept(bounds: &mut Bounds<'_>, prefix: &str, keep: impl Fn(Resolution) -> Keep) {
    let bounded = Keep::For(Millis::seconds(86_400))..=Keep::For(Millis::seconds(86_400 * 36_500));
    let mut finer = Keep::For(Millis(0));
    for resolution in Resolution::ALL {
        let (key, kept) = (format!("{prefix}{resolution}"), keep(resolution));
        if kept != Keep::Forever {
            bounds.range(&key, &kept, bounded.clone());
        }
        if kept < finer {
            let least = format!("at least {finer}, as long as what is finer");
            bounds.refuse(&key, &kept, least);
        }
        finer = finer.max(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Flag, Layers, load};

    #[track_caller]
    fn check(state_h: u64, topic: TopicRetention, expected: StateVerdict) {
        let settings = RetentionSettings {
            state: Millis::seconds(3600 * state_h),
            ..defaults()
        };
        assert_eq!(settings.judge(topic), expected);
    }

    fn defaults() -> RetentionSettings {
        load(&Layers::default()).unwrap().retention
    }

    /// Settings from `KEY=VALUE` under `[retention]`.
    fn set(assignments: &[&str]) -> Result<RetentionSettings, String> {
        let assignment = |text: &&str| Flag::assignment("--set", &format!("retention.{text}"));
        let layers = Layers {
            flags: assignments.iter().filter_map(assignment).collect(),
            ..Layers::default()
        };
        let loaded = load(&layers).map_err(|error| error.to_string())?;
        Ok(loaded.retention)
    }

    const fn days(days: u64) -> Keep {
        Keep::For(Millis::seconds(86_400 * days))
    }

    #[test]
    fn everything_is_kept_for_ever_unless_told_otherwise() {
        assert!(!defaults().ends());
        assert!(set(&["raw=30 d"]).unwrap().ends());
        assert!(set(&["orgs.7.raw=30 d"]).unwrap().ends());
    }

    #[test]
    fn an_org_has_its_own_time_where_it_names_one() {
        let settings = set(&[
            "raw=30 d",
            "5m=60 d",
            "orgs.42.raw=7 d",
            "orgs.9.5m=forever",
        ]);
        let settings = settings.unwrap();
        let of = |org, resolution| settings.keep_of(OrgId(org), resolution);
        assert_eq!(of(42, Resolution::Raw), days(7));
        assert_eq!(of(42, Resolution::FiveMinutes), days(60));
        assert_eq!(of(9, Resolution::FiveMinutes), Keep::Forever);
        assert_eq!(of(1, Resolution::Raw), days(30));
        assert_eq!(of(1, Resolution::OneDay), Keep::Forever);
    }

    #[test]
    fn what_is_coarser_is_kept_at_least_as_long() {
        let error = set(&["5m=10 d"]).unwrap_err();
        assert!(error.contains("retention.5m"), "{error}");
        let error = set(&["raw=5 d", "5m=10 d", "orgs.3.raw=11 d"]).unwrap_err();
        assert!(error.contains("retention.orgs.3.5m"), "{error}");
        assert!(set(&["raw=1 h"]).unwrap_err().contains("retention.raw"));
        for id in ["x", "07", "-1"] {
            let error = set(&[&format!("orgs.{id}.raw=9 d")]).unwrap_err();
            assert!(error.contains("retention.orgs"), "{error}");
        }
        assert!(set(&["orgs.7.2m=9 d"]).is_err());
        assert!(set(&["raw=30"]).is_err());
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
