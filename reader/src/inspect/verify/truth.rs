//! The rule of truth, as this check recounts by it.

use std::collections::HashMap;

use skein_shared::format::frame::Stream;
use skein_shared::ids::{Chain, FlushId, ShardId};
use skein_shared::offset::{Offset, Span};
use skein_shared::payload::Limits;
use skein_shared::shard_map::ShardMap;

use crate::inspect::verify::chains::{Claim, LedgerFacts};
use crate::inspect::verify::intake::{Histories, Intake};

/// Which frames count, and how far each shard has compacted them.
#[derive(Debug)]
pub(super) struct Truth {
    claims: HashMap<FlushId, Vec<(Stream, Counted)>>,
    histories: Histories,
    /// Who owns which window of an org; `None` when the map cannot be read.
    pub(super) shard_map: Option<ShardMap>,
    /// Every set of limits that a payload was ever held to; nearly always one.
    pub(super) limits: Vec<Limits>,
}

/// A span that counts, and of which hole, if it is a fill.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    pub(super) span: Span,
    pub(super) hole: Option<Offset>,
}

type Stretches = Vec<(Limits, Offset)>;

/// What a recount of one object depends on, besides its bytes.
#[derive(Debug)]
#[expect(dead_code, reason = "its text is what counts")]
pub(super) struct TruthInputs {
    claims: Vec<(Stream, Span, Option<Offset>)>,
    map_versions: Option<usize>,
    /// For each shard, and each claim, under which limits it was compacted up to where.
    intakes: Vec<(ShardId, Vec<Stretches>)>,
}

impl Truth {
    pub(super) fn new(
        ledger: &LedgerFacts,
        histories: Histories,
        shard_map: Option<ShardMap>,
    ) -> Self {
        let claims = ledger.flushes.iter().map(|(flush, claims)| {
            let counted = |claim: &Claim| Counted {
                span: claim.span,
                hole: claim.hole,
            };
            let claims = claims.iter();
            let claims = claims.map(|claim| (claim.stream.clone(), counted(claim)));
            (*flush, claims.collect())
        });
        let mut limits: Vec<Limits> = Vec::new();
        for candidate in histories.values().flat_map(Intake::limits) {
            if !limits.contains(&candidate) {
                limits.push(candidate);
            }
        }
        Self {
            claims: claims.collect(),
            histories,
            shard_map,
            limits,
        }
    }

    /// The spans of `stream` in `flush` that count.
    pub(super) fn spans(&self, flush: FlushId, stream: &Stream) -> Vec<Counted> {
        let claims = self.claims.get(&flush).into_iter().flatten();
        let of_stream = claims.filter(|(claimed, _)| claimed == stream);
        of_stream.map(|(_, counted)| *counted).collect()
    }

    /// Everything that decides which frames of an object of `flush` count, and for whom. While the map has one version, only
    /// the shard that the object was routed to takes anything of it in.
    pub(super) fn inputs(&self, flush: FlushId, routed: ShardId) -> TruthInputs {
        let claims = self.claims.get(&flush).into_iter().flatten();
        let mut claims: Vec<(Stream, Span, Option<Offset>)> = claims
            .map(|(stream, counted)| (stream.clone(), counted.span, counted.hole))
            .collect();
        claims.sort();
        let map_versions = self.shard_map.as_ref().map(ShardMap::version_count);
        let may_take_in = |shard: &ShardId| map_versions != Some(1) || *shard == routed;
        let takers = self.histories.iter().filter(|(it, _)| may_take_in(it));
        let intakes = takers.map(|(shard, intake)| {
            let over = claims.iter();
            let over = over.map(|(stream, span, hole)| intake.over(&stream.chain, *hole, *span));
            (*shard, over.collect())
        });
        TruthInputs {
            intakes: intakes.collect(),
            claims,
            map_versions,
        }
    }

    /// Whether `shard` has compacted the record at `offset`, held to `limits`.
    pub(super) fn took_in(
        &self,
        shard: ShardId,
        (chain, hole, offset): (&Chain, Option<Offset>, Offset),
        limits: &Limits,
    ) -> bool {
        let intake = self.histories.get(&shard);
        intake.and_then(|intake| intake.limits_at(chain, hole, offset)) == Some(limits)
    }
}
