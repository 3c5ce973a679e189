//! Extents of a file: which parts of it are free.
//!
//! Pure arithmetic. Invariants: no two extents that are taken overlap; free ones neither touch each other nor the end.

use std::collections::BTreeMap;

/// The free parts of a file, and where what is taken ends.
#[derive(Debug, Default)]
pub struct Extents {
    /// begin -> length
    free: BTreeMap<u64, u64>,
    end: u64,
}

impl Extents {
    /// Takes an extent of this length: the first that is long enough, else one at the end.
    pub fn take(&mut self, length: u64) -> u64 {
        let fits = self.free.iter().find(|(_, free)| **free >= length).map(|(begin, free)| (*begin, *free));
        let Some((begin, free)) = fits else {
            self.end += length;
            return self.end - length;
        };
        self.free.remove(&begin);
        if free > length {
            self.free.insert(begin + length, free - length);
        }
        begin
    }

    /// Gives an extent back. Where everything ends now, if that has changed.
    pub fn give(&mut self, begin: u64, length: u64) -> Option<u64> {
        if length == 0 {
            return None;
        }
        let (mut begin, mut end) = (begin, begin + length);
        if let Some((before, free)) = self.free.range(..begin).next_back().map(|(begin, free)| (*begin, *free))
            && before + free == begin
        {
            self.free.remove(&before);
            begin = before;
        }
        if let Some(free) = self.free.remove(&end) {
            end += free;
        }
        if end == self.end {
            self.end = begin;
            return Some(begin);
        }
        self.free.insert(begin, end - begin);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn extents_never_overlap_and_all_room_comes_back(
            steps in prop::collection::vec((1..40u64, any::<bool>()), 1..100)
        ) {
            let mut extents = Extents::default();
            let mut taken: Vec<(u64, u64)> = Vec::new();
            for (number, takes) in steps {
                if takes || taken.is_empty() {
                    let begin = extents.take(number);
                    let overlaps = |other: &(u64, u64)| begin < other.0 + other.1 && other.0 < begin + number;
                    prop_assert!(!taken.iter().any(overlaps), "{begin} {number} {taken:?}");
                    taken.push((begin, number));
                } else {
                    let (begin, length) = taken.swap_remove(number as usize % taken.len());
                    extents.give(begin, length);
                }
                let end = taken.iter().map(|(begin, length)| begin + length).max().unwrap_or(0);
                prop_assert!(extents.end >= end);
            }
            for (begin, length) in taken {
                extents.give(begin, length);
            }
            prop_assert_eq!((extents.end, extents.free.len()), (0, 0));
        }
    }
}
