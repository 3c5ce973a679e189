//! What sources said: which share of an interval each of them has, when all shares were there, and whether anybody said
//! something else of a share that was known.
//!
//! Knows no engine. Invariant: the first word about a share counts; replicas and heirs only say it again, so whatever
//! they say otherwise is kept beside it and changes nothing.

use super::Sealed;
use crate::log::TraceLine;
use crate::moment::Moment;
use crate::name::{BlockName, NodeName};
use crate::range::{RangeSet, RecordRange};
use std::collections::BTreeMap;

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
    /// Whether both are of the same records in the same blocks, in whatever order they are said.
    fn says_the_same(&self, of: u32, ranges: &[RecordRange], blocks: &[BlockName]) -> bool {
        let set = |ranges: &[RecordRange]| ranges.iter().copied().collect::<RangeSet>();
        let sorted = |blocks: &[BlockName]| {
            let mut blocks = blocks.to_vec();
            blocks.sort_unstable();
            blocks
        };
        self.of == of && set(&self.ranges) == set(ranges) && sorted(&self.blocks) == sorted(blocks)
    }
}

/// All shares of a run, by interval and source.
#[derive(Clone, Debug, Default)]
pub struct Shares(BTreeMap<u64, BTreeMap<u32, Share>>);

impl Shares {
    /// Whether no source said anything: then intervals are sealed by a master.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All shares: interval, source, share.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u32, &Share)> {
        self.0.iter().flat_map(|(interval, shares)| shares.iter().map(|(source, share)| (*interval, *source, share)))
    }

    /// When the first source had its share of the interval.
    pub fn first(&self, interval: u64) -> Option<Moment> {
        self.0.get(&interval)?.values().map(|share| share.at).min()
    }

    /// Takes a word; the seal of the whole interval if it was the last that was missing.
    pub(super) fn add(&mut self, line: &TraceLine, name: (u64, u32, u32), share: Said<'_>) -> Option<Sealed> {
        let (interval, source, of) = name;
        let shares = self.0.entry(interval).or_default();
        if let Some(known) = shares.get_mut(&source) {
            if !known.says_the_same(of, share.ranges, share.blocks) {
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
