//! What waits for a person, and what that person should do.

use std::fmt;

use serde::Serialize;
use skein_shared::units::Millis;
use skein_shared::window::TimestampMs;

use super::{ChainView, Told};

/// One thing that does not mend itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Need {
    /// Which partition, `<source>/<topic>/<incarnation>/<partition>`, or which shard.
    pub partition: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub what_to_do: String,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.partition, self.what, self.what_to_do)
    }
}

/// What one partition needs.
pub(super) fn of(view: &ChainView<'_>, now: TimestampMs, stale_after: Millis) -> Vec<Need> {
    if !view.is_awaited() {
        return Vec::new();
    }
    let need = |what: String, what_to_do: &str| Need {
        partition: view.chain.to_string(),
        what,
        what_to_do: what_to_do.to_owned(),
    };
    let mut needs = Vec::new();
    if let Some(reason) = view.told.and_then(|told| told.claim.stopped.as_ref()) {
        let what = format!("its worker has stopped reading it: {reason}");
        needs.push(need(what, "then restart the workers"));
    } else if let Some(what) = unread(view.told, now, stale_after) {
        let what_to_do =
            "start workers that read it; if its topic is gone for good, `skein retire` it";
        needs.push(need(what, what_to_do));
    }
    let faults = view.checked.iter().flat_map(|checked| &checked.faults);
    needs.extend(faults.map(|fault| {
        let what = format!("`{}`: {}", fault.key, fault.fault);
        need(what, "run `skein verify` and follow what it says")
    }));
    needs
}

fn unread(told: Option<Told<'_>>, now: TimestampMs, stale_after: Millis) -> Option<String> {
    let Some(told) = told else {
        return Some("no worker tells of it".to_owned());
    };
    let age_ms = u64::try_from(now.0.saturating_sub(told.as_of.0)).unwrap_or(0);
    (age_ms > stale_after.0).then(|| {
        let seconds = Millis(age_ms / 1000 * 1000);
        format!("no worker has told of it for {seconds}")
    })
}
