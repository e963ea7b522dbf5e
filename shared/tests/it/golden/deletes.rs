//! Deletes: what is to be gone, and that it is.

use std::collections::BTreeMap;

use skein_shared::format::delete_entry::{DeleteEntry, DeleteSelector, EntryHash, Statement};
use skein_shared::format::delete_positions::DeletePositions;
use skein_shared::format::delete_receipt::{DeleteReceipt, ShardReceipt};
use skein_shared::ids::{Chain, Generation, MetricId, OrgId, ShardId};
use skein_shared::offset::Offset;
use skein_shared::window::TimeSpan;

use super::Golden;
use super::fixed::{at, chain, shared_shard};

pub(super) fn goldens() -> Vec<Golden> {
    let entry =
        |name, sample| Golden::of_envelope(name, sample, DeleteEntry::encode, DeleteEntry::decode);
    let positions = DeletePositions {
        number: 4,
        positions: positions(),
    };
    let receipt = |shard| ShardReceipt {
        shard,
        generation: Generation(8),
        points: 1_234,
    };
    let receipt = DeleteReceipt {
        number: 4,
        at: at(80),
        shards: vec![
            receipt(shared_shard()),
            receipt(ShardId::Dedicated(OrgId(300))),
        ],
    };
    vec![
        entry("delete-entry-1", delete(Some(self::positions()))),
        entry("delete-entry-apart-1", delete(None)),
        Golden::of_envelope(
            "delete-positions-1",
            positions,
            DeletePositions::encode,
            DeletePositions::decode,
        ),
        Golden::of_envelope(
            "delete-receipt-1",
            receipt,
            DeleteReceipt::encode,
            DeleteReceipt::decode,
        ),
    ]
}

fn delete(positions: Option<BTreeMap<Chain, Offset>>) -> DeleteEntry {
    DeleteEntry {
        number: 4,
        selector: DeleteSelector {
            org: OrgId(300),
            metric: Some(MetricId(0xfedc_ba98_7654_3210)),
            span: TimeSpan {
                from: at(-5),
                to: at(5),
            },
        },
        positions,
        stated: Statement {
            actor: "an operator".into(),
            reason: "asked for".into(),
            ticket: Some("T-1".into()),
        },
        at: at(70),
        deadline: at(90),
        previous: EntryHash(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10),
    }
}

fn positions() -> BTreeMap<Chain, Offset> {
    BTreeMap::from([
        (chain("more", 1), Offset(20)),
        (chain("points", 5), Offset(4_200)),
    ])
}
