//! What is known of classes of difference: those of earlier reports, and those that a person said do not count for a while.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use skein_shared::format::points_csv::parse_timestamp;
use skein_shared::window::TimestampMs;

use crate::diff::definition::SCHEMA;
use crate::diff::round_files::refused;
use crate::error::Result;

/// Classes of earlier reports, and rules.
#[derive(Debug, Clone, Default)]
pub struct ClassHistory {
    /// When each class was seen first, and whether it was there in the newest of the reports.
    seen: BTreeMap<String, TimestampMs>,
    rules: Vec<IgnoreRule>,
}

/// What a person says about a class, for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IgnoreRule {
    /// Fingerprint of the class.
    pub class: String,
    /// From when on it counts again: RFC 3339.
    pub expires: String,
    /// Where it is looked after.
    pub ticket: String,
    /// Why it does not count.
    #[serde(default)]
    pub reason: String,
}

/// What a class is, compared with earlier reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassState {
    /// It was never seen before.
    New,
    /// An earlier report has it.
    Known,
    /// An earlier report has it, and it is there no more.
    Fixed,
}

/// Of an earlier report only this is read.
#[derive(Debug, Deserialize)]
struct EarlierReport {
    schema: String,
    classes: Vec<EarlierClass>,
}

#[derive(Debug, Deserialize)]
struct EarlierClass {
    fingerprint: String,
    first_seen_ms: i64,
    state: ClassState,
}

impl ClassHistory {
    /// Takes in the classes of an earlier report.
    ///
    /// # Errors
    /// [`Error::Comparison`](crate::Error::Comparison) when it cannot be read or is none.
    pub fn read_report(&mut self, path: &Path) -> Result<()> {
        let text = std::fs::read(path).map_err(|error| refused(path, &error))?;
        let report: EarlierReport =
            serde_json::from_slice(&text).map_err(|error| refused(path, &error))?;
        if report.schema != SCHEMA {
            return Err(refused(path, &"it is no report of a comparison"));
        }
        for class in report.classes {
            if class.state != ClassState::Fixed {
                self.see(class.fingerprint, TimestampMs(class.first_seen_ms));
            }
        }
        Ok(())
    }

    /// Takes in that a class was seen.
    pub fn see(&mut self, fingerprint: String, at: TimestampMs) {
        let first = self.seen.entry(fingerprint).or_insert(at);
        *first = (*first).min(at);
    }

    /// Takes in a file of rules: a JSON list of `class`, `expires`, `ticket` and `reason`.
    ///
    /// # Errors
    /// [`Error::Comparison`](crate::Error::Comparison) when it cannot be read, or a rule has no ticket or no expiry.
    pub fn read_rules(&mut self, path: &Path) -> Result<()> {
        let text = std::fs::read(path).map_err(|error| refused(path, &error))?;
        let rules: Vec<IgnoreRule> =
            serde_json::from_slice(&text).map_err(|error| refused(path, &error))?;
        for rule in rules {
            self.add_rule(rule)
                .map_err(|reason| refused(path, &reason))?;
        }
        Ok(())
    }

    /// Takes in a rule.
    ///
    /// # Errors
    /// What it lacks.
    pub fn add_rule(&mut self, rule: IgnoreRule) -> std::result::Result<(), String> {
        parse_timestamp(&rule.expires).map_err(|reason| format!("`expires`: {reason}"))?;
        if rule.ticket.trim().is_empty() {
            return Err(format!("class {} is ignored without a ticket", rule.class));
        }
        self.rules.push(rule);
        Ok(())
    }

    /// Who says at `now` that the class does not count.
    pub fn ignored_by(&self, fingerprint: &str, now: TimestampMs) -> Option<&IgnoreRule> {
        let holds = |rule: &&IgnoreRule| {
            let expires = parse_timestamp(&rule.expires).unwrap_or(TimestampMs(i64::MIN));
            rule.class == fingerprint && now < expires
        };
        self.rules.iter().find(holds)
    }

    /// All rules, with whether they hold at `now`.
    pub fn rules(&self, now: TimestampMs) -> impl Iterator<Item = (&IgnoreRule, bool)> {
        self.rules.iter().map(move |rule| {
            let expires = parse_timestamp(&rule.expires).unwrap_or(TimestampMs(i64::MIN));
            (rule, now < expires)
        })
    }

    /// When the class was seen first, by earlier reports.
    pub fn first_seen(&self, fingerprint: &str) -> Option<TimestampMs> {
        self.seen.get(fingerprint).copied()
    }

    /// The classes that earlier reports have.
    pub fn seen(&self) -> impl Iterator<Item = (&str, TimestampMs)> {
        self.seen.iter().map(|(class, at)| (class.as_str(), *at))
    }
}
