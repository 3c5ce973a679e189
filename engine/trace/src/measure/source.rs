//! What sources said: which share of an interval each of them has, when all shares were there, and whether anybody said
//! something else of a share that was known.
//!
//! Knows no engine. Invariant: the first word about a share counts; replicas and heirs only say it again, so whatever
//! they say otherwise is kept beside it and changes nothing. Records that a heir gave up are in its share, too; which
//! blocks they were in it cannot know.

use super::Sealed;
use crate::event::Event;
use crate::log::TraceLine;
use crate::moment::Moment;
use crate::name::{BlockName, NodeName};
use crate::range::{RangeSet, RecordRange};
use std::collections::{BTreeMap, BTreeSet};

/// One source's share of an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// When it was said first.
    pub at: Moment,
    /// By whom.
    pub node: NodeName,
    /// How many shares make the interval whole.
    pub of: u32,
    /// Its records.
    pub ranges: Vec<RecordRange>,
    /// Their blocks.
    pub blocks: Vec<BlockName>,
    /// Who said something else of it later, and when; the first one.
    pub differing: Option<(Moment, NodeName)>,
}

impl Share {
    /// Whether both are of the same records in the same blocks, in whatever order they are said; but for records that the
    /// later one gave up.
    fn says_the_same(&self, of: u32, said: &Said<'_>, gone: &Gone, blocks: &Extents) -> bool {
        let set = |ranges: &[RecordRange]| ranges.iter().copied().collect::<RangeSet>();
        let (known, now): (BTreeSet<_>, BTreeSet<_>) = (self.blocks.iter().collect(), said.blocks.iter().collect());
        let is_gone = |block: &BlockName| blocks.get(block).is_some_and(|extent| gone.has_all(extent));
        self.of == of
            && set(&self.ranges) == set(said.ranges)
            && known.difference(&now).all(|block| is_gone(block))
            && now.difference(&known).all(|block| gone.blocks.contains(*block))
    }
}

/// block -> its records, whoever held it or gave it up
type Extents = BTreeMap<BlockName, RangeSet>;

/// What one node gave up of an interval.
#[derive(Clone, Debug, Default)]
struct Gone {
    blocks: BTreeSet<BlockName>,
    records: RangeSet,
}

impl Gone {
    fn has_all(&self, records: &RangeSet) -> bool {
        records.iter().all(|range| self.records.gaps(range).is_empty())
    }
}

/// All shares of a run, by interval and source.
#[derive(Clone, Debug, Default)]
pub struct Shares {
    said: BTreeMap<u64, BTreeMap<u32, Share>>,
    blocks: Extents,
    /// By who gave it up, and the interval.
    gone: BTreeMap<(NodeName, u64), Gone>,
}

impl Shares {
    /// Whether no source said anything: then intervals are sealed by a master.
    pub fn is_empty(&self) -> bool {
        self.said.is_empty()
    }

    /// All shares: interval, source, share.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u32, &Share)> {
        self.said.iter().flat_map(|(interval, shares)| shares.iter().map(|(source, share)| (*interval, *source, share)))
    }

    /// When the first source had its share of the interval.
    pub fn first(&self, interval: u64) -> Option<Moment> {
        self.said.get(&interval)?.values().map(|share| share.at).min()
    }

    /// Takes note of a block that is held, or that a node gives up in an interval that it is about to seal.
    pub(super) fn note(&mut self, line: &TraceLine) {
        let (Event::BlockHeld { block, ranges, .. } | Event::BlockLost { block, ranges, .. }) = &line.event else {
            return;
        };
        let extent = self.blocks.entry(*block).or_default();
        ranges.iter().for_each(|range| drop(extent.insert(*range)));
        if let Event::BlockLost { interval: Some(interval), .. } = &line.event {
            let gone = self.gone.entry((line.node.clone(), *interval)).or_default();
            gone.blocks.insert(*block);
            ranges.iter().for_each(|range| drop(gone.records.insert(*range)));
        }
    }

    /// Takes a word; the seal of the whole interval if it was the last that was missing.
    pub(super) fn add(&mut self, line: &TraceLine, name: (u64, u32, u32), share: Said<'_>) -> Option<Sealed> {
        let (interval, source, of) = name;
        let shares = self.said.entry(interval).or_default();
        if let Some(known) = shares.get_mut(&source) {
            let gone = self.gone.get(&(line.node.clone(), interval)).cloned().unwrap_or_default();
            if !known.says_the_same(of, &share, &gone, &self.blocks) {
                known.differing.get_or_insert_with(|| (line.at, line.node.clone()));
            }
            return None;
        }
        let first = Share {
            at: line.at,
            node: line.node.clone(),
            of,
            ranges: share.ranges.to_vec(),
            blocks: share.blocks.to_vec(),
            differing: None,
        };
        shares.insert(source, first);
        (shares.len() == of as usize).then(|| Sealed {
            at: line.at,
            sequence: line.sequence,
            ranges: shares.values().flat_map(|share| share.ranges.iter().copied()).collect(),
            blocks: shares.values().flat_map(|share| share.blocks.iter().copied()).collect(),
            times: 1,
            terms: std::collections::BTreeSet::new(),
        })
    }
}

/// The records and blocks of a share, as said.
pub(super) struct Said<'l> {
    pub ranges: &'l [RecordRange],
    pub blocks: &'l [BlockName],
}
