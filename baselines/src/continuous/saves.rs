//! Saved states in the durable store: what a partition holds behind an interval, each pane in one object only.
//!
//! An object names the one before it that has the older panes. Invariant: an object is written whole before anyone is told
//! of it, and is never written again with other bytes.

use crate::continuous::message::PaneHeader;
use crate::continuous::source::Punctuations;
use bytes::Bytes;
use dstream_cluster::message::{open, seal};
use dstream_host::{Host, StoreError};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The most objects that a state is read from: as many checkpoints as a window may span.
const MOST_OBJECTS: usize = 100_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Header {
    previous: Option<u64>,
    panes: Vec<PaneHeader>,
    punctuations: Punctuations,
}

fn key(partition: u32, through: u64) -> String {
    format!("continuous/{partition:06}/{through:020}")
}

/// Which of a partition's saves are ordered, and which of them a heir could be made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Borders {
    /// border -> whether its save is in the store; none before `whole`
    under_way: BTreeMap<u64, bool>,
    /// The last that is in the store with all those before it, and that the source has passed.
    whole: Option<u64>,
    ordered: Option<u64>,
}

impl Borders {
    /// A partition whose state behind this interval is in the store.
    pub fn behind(through: Option<u64>) -> Borders {
        Borders { under_way: BTreeMap::new(), whole: through, ordered: through }
    }

    /// A save is ordered; the one ordered before it.
    pub fn order(&mut self, through: u64) -> Option<u64> {
        self.under_way.insert(through, false);
        self.ordered.replace(through)
    }

    /// A save is in the store; the source has sealed its intervals through this one.
    pub fn saved(&mut self, through: u64, sealed: Option<u64>) {
        self.under_way.entry(through).and_modify(|is_saved| *is_saved = true);
        self.whole = self.whole(sealed);
        let whole = self.whole;
        self.under_way.retain(|border, _| Some(*border) > whole);
    }

    /// The last save that is in the store with all those before it, which it may name. Where a twin's source closed the
    /// intervals, the own one may be behind: the input that it has yet to seal is needed until it has.
    pub fn whole(&self, sealed: Option<u64>) -> Option<u64> {
        let in_turn = self.under_way.iter().take_while(|(border, is_saved)| **is_saved && Some(**border) <= sealed);
        in_turn.last().map(|(border, _)| *border).or(self.whole)
    }
}

/// A state to write.
pub struct Save {
    /// Whose.
    pub partition: u32,
    /// Behind this interval.
    pub through: u64,
    /// The save with the older panes.
    pub previous: Option<u64>,
    /// Panes made since.
    pub panes: Vec<(PaneHeader, Bytes)>,
    /// Where clients were.
    pub punctuations: Punctuations,
}

impl Save {
    /// Bytes of panes.
    pub fn bytes(&self) -> u64 {
        self.panes.iter().map(|(_, rows)| rows.len() as u64).sum()
    }

    /// Writes it, again and again until the store takes it, with a pause between.
    pub async fn write(self, host: &Host, pause: Duration) {
        let (panes, rows): (Vec<PaneHeader>, Vec<Bytes>) = self.panes.into_iter().unzip();
        let header = Header { previous: self.previous, panes, punctuations: self.punctuations };
        let object = seal(rows.concat(), &header);
        while host.store.put(&key(self.partition, self.through), object.clone(), 1).await.is_err() {
            host.sleep(pause).await;
        }
    }
}

/// Everything that a partition held behind the interval `through` in panes of `oldest` and later ones; asks again while
/// the store does not answer.
pub async fn load(
    host: &Host,
    partition: u32,
    (through, oldest): (u64, u64),
    pause: Duration,
) -> Result<(Vec<(PaneHeader, Bytes)>, Punctuations), String> {
    let (mut panes, mut punctuations, mut next) = (Vec::new(), None, Some(through));
    for _ in 0..MOST_OBJECTS {
        let Some(through) = next else { break };
        let object = loop {
            match host.store.get(&key(partition, through), 1).await {
                Ok(object) => break object,
                Err(StoreError::Missing(key)) => return Err(format!("the store lacks the saved state `{key}`")),
                Err(_) => host.sleep(pause).await,
            }
        };
        let damaged = || format!("the saved state `{}` is damaged", key(partition, through));
        let (header, mut body) = open::<Header>(&object).map_err(|_| damaged())?;
        for pane in header.panes {
            let bytes = usize::try_from(pane.bytes).ok().filter(|bytes| *bytes <= body.len()).ok_or_else(damaged)?;
            panes.push((pane, body.split_to(bytes)));
        }
        punctuations.get_or_insert(header.punctuations);
        next = header.previous.filter(|previous| *previous >= oldest);
    }
    Ok((panes, punctuations.unwrap_or_default()))
}

/// Removes the partition's saves before this one. What cannot be removed now stays: it costs room and nothing else.
pub async fn drop_before(host: &Host, partition: u32, oldest: u64) {
    let Ok(keys) = host.store.list(&format!("continuous/{partition:06}/")).await else { return };
    for old in keys.into_iter().filter(|old| *old < key(partition, oldest)) {
        let _ = host.store.delete(&old).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Orders saves behind 4, 9 and 14 of a partition that began behind 2, and has these written in turn, while its source
    /// has sealed so much.
    fn check_behind(sealed: u64, written: &[u64], expected: Option<u64>) {
        let mut borders = Borders::behind(Some(2));
        let before: Vec<Option<u64>> = [4, 9, 14].map(|through| borders.order(through)).to_vec();
        assert_eq!(before, [Some(2), Some(4), Some(9)]);
        written.iter().for_each(|through| borders.saved(*through, Some(sealed)));
        assert_eq!(borders.whole(Some(sealed)), expected, "{written:?} are written, {sealed} is sealed");
    }

    fn check(written: &[u64], expected: Option<u64>) {
        check_behind(20, written, expected);
    }

    #[test]
    fn a_save_counts_when_all_before_it_are_written_and_no_border_counts_that_has_none() {
        check(&[], Some(2));
        check(&[9, 14], Some(2));
        check(&[4], Some(4));
        check(&[4, 14], Some(4));
        check(&[14, 4, 9], Some(14));
        check(&[4, 4, 7], Some(4));
    }

    #[test]
    fn a_save_counts_when_the_source_beside_it_has_sealed_what_is_in_it() {
        check_behind(3, &[4, 9], Some(2));
        check_behind(8, &[4, 9, 14], Some(4));
        check_behind(9, &[4, 9, 14], Some(9));
        let mut borders = Borders::behind(None);
        for through in [4, 9] {
            borders.order(through);
            borders.saved(through, None);
        }
        let seen = [None, Some(4), Some(8), Some(9)].map(|sealed| borders.whole(sealed));
        assert_eq!(seen, [None, Some(4), Some(4), Some(9)]);
    }
}
