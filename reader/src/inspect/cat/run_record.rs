//! Records of compactions.

use serde_json::Value;
use skein_shared::Result;
use skein_shared::format::run_record::RunRecord;

use super::text;
use crate::inspect::timers::RunRow;

pub(super) fn show(bytes: &[u8]) -> Result<Value> {
    let (id, record) = RunRecord::decode(bytes)?;
    let row = serde_json::to_value(RunRow::of(&record));
    let mut shown = row.expect("a row has texts for keys and finite numbers");
    shown["kind"] = "run record".into();
    shown["write_id"] = text(&id).into();
    Ok(shown)
}
