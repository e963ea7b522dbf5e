//! For how long: a time, or for ever.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use skein_shared::units::Millis;
use skein_shared::window::{TimestampMs, Window};

const FOREVER: &str = "forever";

/// For how long something is kept; the longest is for ever. Text form: `"400 d"`, `"forever"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Keep {
    /// For so long after the end of the window.
    For(Millis),
    /// Until it is deleted.
    Forever,
}

impl Keep {
    /// The first window that is kept at `now`: of those before it the end lies at least so long back. `None` where all
    /// are.
    pub fn first_kept(self, now: TimestampMs) -> Option<Window> {
        match self {
            Self::Forever => None,
            Self::For(time) => Some(Window::of(TimestampMs(
                now.0.saturating_sub_unsigned(time.0),
            ))),
        }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::For(time) => time.fmt(f),
            Self::Forever => f.write_str(FOREVER),
        }
    }
}

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == FOREVER {
            return Ok(Self::Forever);
        }
        let time = text.parse().map(Self::For);
        time.map_err(|reason| format!("{reason}, or \"{FOREVER}\""))
    }
}

impl TryFrom<String> for Keep {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Keep> for String {
    fn from(keep: Keep) -> Self {
        keep.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    #[test]
    fn a_window_is_kept_until_its_end_lies_so_long_back() {
        let keep = Keep::For(Millis::seconds(86_400 * 2));
        let is_kept = |window: i64, now: i64| {
            let first = keep.first_kept(TimestampMs(now)).unwrap();
            first <= Window::from_number(window)
        };
        // The window of day 5 ends with day 6.
        assert!(is_kept(5, 8 * DAY - 1));
        assert!(!is_kept(5, 8 * DAY));
        assert_eq!(Keep::Forever.first_kept(TimestampMs(i64::MAX)), None);
    }

    #[test]
    fn every_time_reads_back() {
        for keep in [Keep::Forever, Keep::For(Millis::seconds(86_400 * 400))] {
            assert_eq!(keep.to_string().parse(), Ok(keep));
        }
        assert!("30".parse::<Keep>().is_err());
        assert!("never".parse::<Keep>().unwrap_err().contains(FOREVER));
    }
}
