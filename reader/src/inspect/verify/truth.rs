//! The rule of truth, as this check recounts by it.

use std::collections::BTreeMap;
use std::collections::HashMap;

use skein_shared::format::frame::Stream;
use skein_shared::ids::{Chain, FlushId, ShardId};
use skein_shared::offset::{Offset, Span};
use skein_shared::payload::Limits;
use skein_shared::shard_map::ShardMap;

use crate::inspect::verify::chains::LedgerFacts;
use crate::inspect::verify::manifests::Manifests;

/// Which frames count, and how far each shard has compacted them.
#[derive(Debug)]
pub(super) struct Truth {
    claims: HashMap<FlushId, Vec<(Stream, Span)>>,
    positions: BTreeMap<ShardId, BTreeMap<Chain, Offset>>,
    /// Who owns which window of an org; `None` when the map cannot be read.
    pub(super) shard_map: Option<ShardMap>,
    /// What a payload may hold.
    pub(super) limits: Limits,
}

impl Truth {
    pub(super) fn new(
        ledger: &LedgerFacts,
        manifests: &Manifests,
        shard_map: Option<ShardMap>,
        limits: Limits,
    ) -> Self {
        let claims = ledger.flushes.iter().map(|(flush, claims)| {
            let claims = claims
                .iter()
                .map(|claim| (claim.stream.clone(), claim.span));
            (*flush, claims.collect())
        });
        let positions = manifests.iter();
        let positions = positions.map(|(shard, manifest)| (*shard, manifest.positions.clone()));
        Self {
            claims: claims.collect(),
            positions: positions.collect(),
            shard_map,
            limits,
        }
    }

    /// The spans of `stream` in `flush` that count.
    pub(super) fn spans(&self, flush: FlushId, stream: &Stream) -> Vec<Span> {
        let claims = self.claims.get(&flush).into_iter().flatten();
        let of_stream = claims.filter(|(claimed, _)| claimed == stream);
        of_stream.map(|(_, span)| *span).collect()
    }

    /// The first offset of `chain` that `shard` has not compacted.
    pub(super) fn position(&self, shard: ShardId, chain: &Chain) -> Offset {
        let positions = self.positions.get(&shard);
        let position = positions.and_then(|positions| positions.get(chain));
        position.copied().unwrap_or_default()
    }
}
