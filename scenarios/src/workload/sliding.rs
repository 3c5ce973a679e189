//! What oracles of jobs with windows share: tallies of each interval, added and taken out again as a window slides.
//!
//! Plain code on one thread that shares nothing with the kernel. Invariant: after each step the total is the sum of the
//! tallies that the window covers; what is zero is not in it.

use super::param::Covers;
use foldhash::fast::FixedState;
use std::collections::{BTreeMap, VecDeque};

/// key -> count. The hasher is fixed: equal runs take equal steps.
pub(super) type Tally = hashbrown::HashMap<Vec<u8>, u64, FixedState>;

/// The total over a window that slides on.
pub(super) struct Sliding {
    /// How many intervals a result covers; `None`: all.
    length: Option<u64>,
    slide: u64,
    /// Intervals that are not finished.
    open: BTreeMap<u64, Tally>,
    total: Tally,
    /// What the total is made of, the oldest first; empty where nothing ever leaves.
    parts: VecDeque<Tally>,
}

impl Sliding {
    pub(super) fn new(covers: Covers) -> Sliding {
        let (length, slide) = match covers {
            Covers::Last(window) => (Some(window.length.get()), window.slide.get()),
            Covers::All(slide) => (None, slide.get()),
        };
        Sliding { length, slide, open: BTreeMap::new(), total: Tally::default(), parts: VecDeque::new() }
    }

    /// The tally of an interval that is not finished.
    pub(super) fn open(&mut self, interval: u64) -> &mut Tally {
        self.open.entry(interval).or_default()
    }

    /// Ends the interval, the next one in order. Whether it has a result.
    pub(super) fn finish(&mut self, interval: u64) -> bool {
        let part = self.open.remove(&interval).unwrap_or_default();
        for (key, count) in &part {
            add(&mut self.total, key, *count);
        }
        if let Some(length) = self.length {
            self.parts.push_back(part);
            if self.parts.len() as u64 > length {
                let gone = self.parts.pop_front().unwrap_or_default();
                gone.iter().for_each(|(key, count)| take(&mut self.total, key, *count));
            }
        }
        interval % self.slide == self.slide - 1
    }

    /// The counts over the window that ends with the interval that was finished last.
    pub(super) fn total(&self) -> &Tally {
        &self.total
    }
}

/// Adds to a key's count.
pub(super) fn add(tally: &mut Tally, key: &[u8], count: u64) {
    match tally.get_mut(key) {
        Some(known) => *known += count,
        None => {
            tally.insert(key.to_vec(), count);
        }
    }
}

fn take(tally: &mut Tally, key: &[u8], count: u64) {
    let known = tally.get_mut(key).expect("what leaves the window came into it before");
    *known -= count;
    if *known == 0 {
        tally.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dstream_kernel::Window;
    use std::num::NonZeroU64;

    /// Some counts of some of three keys in each of many intervals.
    fn parts() -> Vec<Vec<(&'static str, u64)>> {
        let part = |i: u64| {
            let keys = ["a", "b", "c"].into_iter().zip([i * 7 % 4, i * 5 % 3, u64::from(i.is_multiple_of(9))]);
            keys.filter(|(_, count)| *count > 0).collect()
        };
        (0..60).map(part).collect()
    }

    /// The sum of the parts from `first` on.
    fn recount(parts: &[Vec<(&'static str, u64)>]) -> BTreeMap<Vec<u8>, u64> {
        let mut total = BTreeMap::new();
        for (key, count) in parts.iter().flatten() {
            *total.entry(key.as_bytes().to_vec()).or_default() += count;
        }
        total
    }

    #[test]
    fn adding_and_taking_out_equals_counting_the_window_again() {
        let slide = |intervals| NonZeroU64::new(intervals).unwrap();
        let last = |length, by| Covers::Last(Window { length: slide(length), slide: slide(by) });
        for (covers, length, every) in [
            (last(1, 1), 1, 1),
            (last(5, 1), 5, 1),
            (last(7, 3), 7, 3),
            (last(100, 1), 100, 1),
            (Covers::All(slide(4)), usize::MAX, 4),
        ] {
            let mut sliding = Sliding::new(covers);
            let parts = parts();
            for (interval, part) in parts.iter().enumerate() {
                part.iter().for_each(|(key, count)| add(sliding.open(interval as u64), key.as_bytes(), *count));
                assert_eq!(sliding.finish(interval as u64), (interval + 1) % every == 0);
                let first = (interval + 1).saturating_sub(length);
                let seen: BTreeMap<Vec<u8>, u64> = sliding.total().iter().map(|(k, n)| (k.clone(), *n)).collect();
                assert_eq!(seen, recount(&parts[first..=interval]), "{covers:?} after {interval}");
            }
        }
    }
}
