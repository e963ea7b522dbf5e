//! Bounds of single values, collected so that one run of `config check` names every fault.

use std::fmt::Display;
use std::ops::RangeInclusive;

/// A value out of bounds, before the layer that set it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Full key: `connector.roll_bytes`.
    pub key: String,
    /// The value.
    pub value: String,
    /// What is allowed.
    pub allowed: String,
}

/// Collects the breaches of one section.
#[derive(Debug)]
pub struct Bounds<'a> {
    section: &'static str,
    breaches: &'a mut Vec<Breach>,
}

impl<'a> Bounds<'a> {
    /// Checks keys of `section`.
    pub fn of(section: &'static str, breaches: &'a mut Vec<Breach>) -> Self {
        Self { section, breaches }
    }

    /// Demands that `value` lies in `range`.
    pub fn range<T: PartialOrd + Display>(
        &mut self,
        key: &str,
        value: &T,
        range: RangeInclusive<T>,
    ) {
        if !range.contains(value) {
            let allowed = format!("{} to {}", range.start(), range.end());
            self.refuse(key, value, allowed);
        }
    }

    /// Notes that `value` is refused.
    pub fn refuse(&mut self, key: &str, value: &dyn Display, allowed: impl Into<String>) {
        self.breaches.push(Breach {
            key: format!("{}.{key}", self.section),
            value: value.to_string(),
            allowed: allowed.into(),
        });
    }
}
