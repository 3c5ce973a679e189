//! Counts words over a window: what an interval had is added, what left the window is taken away.

use super::Job;
use super::word_count::{PADDING, ShortWord, WordCount};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::cmp::Reverse;
use std::collections::VecDeque;

/// Different words that there is room for at first: every interval looks at all of the room, and it grows as it must.
const ROOM: usize = 1 << 12;

/// What an interval had.
type Pane = (Vec<(ShortWord, u64)>, Vec<(Vec<u8>, u64)>);

/// Counts over a window of some intervals.
pub struct Windowed {
    open: WordCount,
    panes: VecDeque<Pane>,
    most: usize,
    short: HashMap<ShortWord, u64, FixedState>,
    long: HashMap<Vec<u8>, u64, FixedState>,
    /// Only the most frequent words are results.
    top: Option<usize>,
    results: Vec<u8>,
}

impl Windowed {
    /// Over so many intervals; all words are results, or the most frequent ones.
    pub fn new(panes: usize, top: Option<usize>) -> Windowed {
        Windowed {
            open: WordCount::with_room(ROOM),
            panes: VecDeque::new(),
            most: panes,
            short: HashMap::with_capacity_and_hasher(ROOM, FixedState::default()),
            long: HashMap::with_hasher(FixedState::default()),
            top,
            results: Vec::new(),
        }
    }

    fn enter(&mut self) {
        let long = self.open.long_words().map(|(word, count)| (word.to_vec(), count)).collect();
        let pane: Pane = (self.open.short_words().collect(), long);
        self.open.clear();
        for (word, count) in &pane.0 {
            *self.short.entry(*word).or_default() += count;
        }
        for (word, count) in &pane.1 {
            *self.long.entry_ref(word.as_slice()).or_default() += count;
        }
        self.panes.push_back(pane);
    }

    fn leave(&mut self) {
        let Some((short, long)) = self.panes.pop_front() else { return };
        for (word, count) in short {
            if let Some(left) = self.short.get_mut(&word) {
                *left -= count;
                if *left == 0 {
                    self.short.remove(&word);
                }
            }
        }
        for (word, count) in long {
            if let Some(left) = self.long.get_mut(&word) {
                *left -= count;
                if *left == 0 {
                    self.long.remove(&word);
                }
            }
        }
    }

    /// Each word with its count.
    fn write_all(&mut self) {
        self.results.clear();
        for ((low, high), count) in &self.short {
            self.results.extend_from_slice(&low.to_le_bytes());
            self.results.extend_from_slice(&high.to_le_bytes());
            self.results.extend_from_slice(&count.to_le_bytes());
        }
        for (word, count) in &self.long {
            self.results.extend_from_slice(word);
            self.results.extend_from_slice(&count.to_le_bytes());
        }
    }

    fn write_top(&mut self, most: usize) {
        let mut counts: Vec<u64> = self.short.values().chain(self.long.values()).copied().collect();
        let most = most.min(counts.len());
        if most > 0 {
            counts.select_nth_unstable_by(most - 1, |one, other| other.cmp(one));
        }
        let least = counts[..most].last().copied().unwrap_or(u64::MAX);
        let short =
            self.short.iter().filter(|(_, count)| **count >= least).map(|(word, count)| (letters(*word), *count));
        let long = self.long.iter().filter(|(_, count)| **count >= least).map(|(word, count)| (word.clone(), *count));
        let mut top: Vec<(Reverse<u64>, Vec<u8>)> =
            short.chain(long).map(|(word, count)| (Reverse(count), word)).collect();
        top.sort_unstable();
        self.results.clear();
        for (count, word) in &top[..most.min(top.len())] {
            self.results.extend_from_slice(word);
            self.results.extend_from_slice(&count.0.to_le_bytes());
        }
    }
}

/// The bytes of a word whose length stands in the last of its sixteen.
fn letters((low, high): ShortWord) -> Vec<u8> {
    let sixteen = (u128::from(high) << 64 | u128::from(low)).to_le_bytes();
    sixteen[..usize::from(sixteen[15]).min(15)].to_vec()
}

impl Job for Windowed {
    fn lines(&mut self, padded: &[u8]) -> u64 {
        self.open.count(padded);
        memchr::memchr_iter(b'\n', &padded[..padded.len() - PADDING]).count() as u64
    }

    fn close(&mut self) -> usize {
        self.enter();
        if self.panes.len() > self.most {
            self.leave();
        }
        match self.top {
            Some(most) => self.write_top(most),
            None => self.write_all(),
        }
        self.results.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(counts: &mut Windowed, text: &str) -> u64 {
        counts.lines(format!("{text}{}", " ".repeat(PADDING)).as_bytes())
    }

    #[test]
    fn words_count_for_as_long_as_the_window_is() {
        let mut counts = Windowed::new(2, None);
        assert_eq!(lines(&mut counts, "a b a\na-very-long-word-indeed\n"), 2);
        assert_eq!(counts.close(), 2 * 24 + 23 + 8);
        lines(&mut counts, "b\n");
        counts.close();
        assert_eq!((counts.short.len(), counts.long.len()), (2, 1));
        assert_eq!(counts.close(), 24);
        assert_eq!(counts.short.values().collect::<Vec<_>>(), [&1]);
    }

    #[test]
    fn the_most_frequent_words_alone_are_results() {
        let mut counts = Windowed::new(1, Some(2));
        lines(&mut counts, "a d-very-long-word b c a b a d-very-long-word\n");
        counts.close();
        // Of two as frequent the one that comes first by its bytes.
        assert_eq!(counts.results, [&b"a"[..], &3u64.to_le_bytes(), b"b", &2u64.to_le_bytes()].concat());
    }
}
