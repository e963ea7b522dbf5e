//! Which points of a window the new pipeline writes: those that the timelines give it by their own time, and those that
//! amend what the old one had when it ended.
//!
//! Other points are taken out *before* duplicates are resolved, so that none of them wins or loses against an amendment.

use skein_config::cutover::owner::{amends, writers};
use skein_config::cutover::timelines::{OwnershipFilter, Timelines};
use skein_shared::delete_rule::PointColumns;
use skein_shared::format::order_column::{ChainIndex, ChainTable, Order};
use skein_shared::format::segment_reader::SeriesBuffer;
use skein_shared::ids::OrgId;
use skein_shared::offset::Offset;
use skein_shared::timeline::Pipeline;
use skein_shared::window::{TimeSpan, TimestampMs, Window};

/// The rule for one window, for orders that carry the indexes of one table of chains. It is asked org by org, ascending, and
/// costs a comparison where all of the window is ours.
#[derive(Debug)]
pub struct OwnershipRule<'a> {
    timelines: &'a Timelines,
    window: Window,
    /// Empty where no org has amendments.
    chains: ChainTable,
    of: Option<(OrgId, OrgRule)>,
}

/// Points that were taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NotOwned {
    /// How many.
    pub points: u64,
    /// The latest of their times.
    pub highest: Option<TimestampMs>,
}

/// How much what a record says of its series counts; the later record counts of two that count alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Word {
    /// None of its points is ours: it counts where no other does, and nothing is filtered.
    Others,
    /// It has a point that is ours.
    Ours,
}

#[derive(Debug)]
enum OrgRule {
    /// All of the window is ours.
    Whole,
    /// These parts are not.
    Parts {
        others: Vec<TimeSpan>,
        /// For each chain of the table the first offset from which on records amend.
        amended_from: Option<Vec<Offset>>,
    },
}

impl<'a> OwnershipRule<'a> {
    /// For points of `window`.
    pub fn new(timelines: &'a Timelines, window: Window, chains: &ChainTable) -> Self {
        let mut enrolled = timelines.enrolled();
        let has_amendments = enrolled.any(|(_, cutover)| cutover.seal.is_some());
        Self {
            timelines,
            window,
            chains: if has_amendments {
                chains.clone()
            } else {
                ChainTable::default()
            },
            of: None,
        }
    }

    /// Takes the points of `org` that are not ours out of `columns`. A writer that cannot know whose they are takes none.
    ///
    /// # Panics
    /// If the columns do not fit together, or an order means no chain of the table.
    pub fn drop_points(&mut self, org: OrgId, columns: PointColumns<'_>) -> NotOwned {
        let filter = self.timelines.filter();
        match (filter, self.of_org(org)) {
            (OwnershipFilter::Everything, _) | (_, OrgRule::Whole) => NotOwned::default(),
            (OwnershipFilter::Owned, rule) => rule.drop_points(columns),
        }
    }

    /// As [`OwnershipRule::drop_points`], of one segment's points.
    ///
    /// # Panics
    /// As there.
    pub fn drop_of_segment(&mut self, org: OrgId, points: &mut SeriesBuffer) -> NotOwned {
        let columns = PointColumns {
            timestamps_ms: &mut points.timestamps_ms,
            values: &mut points.values,
            orders: &mut points.orders,
        };
        self.drop_points(org, columns)
    }

    /// Whether all of the window is ours.
    pub fn is_whole(&mut self, org: OrgId) -> bool {
        matches!(self.of_org(org), OrgRule::Whole)
    }

    /// How many of these times another pipeline writes, whatever records their points came from.
    pub fn count_by_time(&mut self, org: OrgId, timestamps_ms: &[i64]) -> u64 {
        let rule = self.of_org(org);
        let others = timestamps_ms.iter().filter(|ms| rule.is_others(**ms));
        others.count() as u64
    }

    /// How much a record of `org` counts that has points at these times; `None` says nothing.
    ///
    /// # Panics
    /// As [`OwnershipRule::drop_points`].
    pub fn word(&mut self, org: OrgId, order: Order, timestamps_ms: &[i64]) -> Option<Word> {
        let filter = self.timelines.filter();
        let rule = self.of_org(org);
        let has_ours = match rule {
            OrgRule::Whole => true,
            OrgRule::Parts { .. } => {
                let is_ours = rule.is_record_ours(order);
                is_ours || timestamps_ms.iter().any(|ms| !rule.is_others(*ms))
            }
        };
        match filter {
            _ if has_ours => Some(Word::Ours),
            OwnershipFilter::Everything => Some(Word::Others),
            OwnershipFilter::Owned => None,
        }
    }

    fn of_org(&mut self, org: OrgId) -> &OrgRule {
        let known = self.of.take().filter(|(known, _)| *known == org);
        let (_, rule) = self.of.insert(known.unwrap_or_else(|| {
            let rule = OrgRule::new(self.timelines, (org, self.window), &self.chains);
            (org, rule)
        }));
        rule
    }
}

impl OrgRule {
    fn new(timelines: &Timelines, (org, window): (OrgId, Window), chains: &ChainTable) -> Self {
        // Whether a writer knows the newest timelines or not: who writes a time is asked of those that it has.
        let timelines = timelines.filtered();
        let parts = timelines.of(org).phases_in(window.span());
        let is_others =
            |part: &TimeSpan| !writers(&timelines, org, part.from).contain(Pipeline::New);
        let others: Vec<TimeSpan> = parts.map(|(part, _)| part).filter(is_others).collect();
        let Some(first) = others.first() else {
            return Self::Whole;
        };
        let amended_from = amends(&timelines, org, first.from).map(|vector| {
            let from = |chain| vector.0.get(chain).copied();
            let chains = chains.chains().iter();
            // A chain that is absent began later.
            chains
                .map(|chain| from(chain).unwrap_or(Offset(i64::MIN)))
                .collect()
        });
        Self::Parts {
            others,
            amended_from,
        }
    }

    /// Whether points of a record are ours, whatever their times: it amends, or they come from a base, which does not know
    /// their records and was filtered when it was made.
    fn is_record_ours(&self, order: Order) -> bool {
        let ChainIndex(chain) = order.chain;
        let from = match self {
            Self::Whole => return true,
            Self::Parts { amended_from, .. } => amended_from.as_ref(),
        };
        order.seals == 0 || from.is_some_and(|from| order.offset >= from[chain as usize])
    }

    fn is_others(&self, timestamp_ms: i64) -> bool {
        match self {
            Self::Whole => false,
            Self::Parts { others, .. } => {
                let at = TimestampMs(timestamp_ms);
                others.iter().any(|part| part.contains(at))
            }
        }
    }

    fn drop_points(&self, columns: PointColumns<'_>) -> NotOwned {
        let PointColumns {
            timestamps_ms,
            values,
            orders,
        } = columns;
        let (mut read, mut kept, mut dropped) = (0, 0, NotOwned::default());
        for stretch in orders.iter_mut() {
            let end = read + stretch.points as usize;
            let begin = kept;
            let is_ours = self.is_record_ours(stretch.order);
            for place in read..end {
                let ms = timestamps_ms[place];
                timestamps_ms[kept] = ms;
                values[kept] = values[place];
                let others = (!is_ours && self.is_others(ms)).then_some(TimestampMs(ms));
                kept += usize::from(others.is_none());
                dropped.points += u64::from(others.is_some());
                dropped.highest = dropped.highest.max(others);
            }
            read = end;
            stretch.points = u32::try_from(kept - begin).expect("no more than it had");
        }
        assert_eq!(read, timestamps_ms.len(), "every point has an order");
        orders.retain(|stretch| stretch.points > 0);
        timestamps_ms.truncate(kept);
        values.truncate(kept);
        dropped
    }
}

impl NotOwned {
    /// Takes others in.
    pub fn add(&mut self, other: Self) {
        self.points += other.points;
        self.highest = self.highest.max(other.highest);
    }
}

#[cfg(test)]
mod tests;
