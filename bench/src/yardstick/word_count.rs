//! The fastest single-threaded word count that safe Rust allows, written by hand for this one question.
//!
//! It knows nothing of the project: one pass over text in memory, no types, no partitions, no result to send anywhere. It
//! uses every trick that the kernel uses (masks of separators, keys inside the table, hashing in batches) and some that
//! only a closed loop can: it reads 16 bytes from where a word begins, whatever follows it.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// Bytes that must follow the text so that 16 can be read from anywhere in it.
pub const PADDING: usize = 16;
/// Words looked up together, so that cache misses overlap.
const BATCH: usize = 64;
/// The longest word that a slot holds.
const SHORT: usize = 15;

/// One word and its count; a count of 0 marks a free slot.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    low: u64,
    high: u64,
    count: u64,
}

/// A word of at most 15 bytes: itself, and its length in the last byte.
pub type ShortWord = (u64, u64);

/// Counts of words. Reuse it: clearing keeps its memory.
#[derive(Debug)]
pub struct WordCount {
    slots: Vec<Slot>,
    used: usize,
    long: HashMap<Vec<u8>, u64, FixedState>,
    batch: Vec<ShortWord>,
}

impl WordCount {
    /// No words yet; room for `words` different ones without growing.
    pub fn with_room(words: usize) -> WordCount {
        let slots = ((words + BATCH) * 2).next_power_of_two();
        WordCount {
            slots: vec![Slot::default(); slots],
            used: 0,
            long: HashMap::with_hasher(FixedState::default()),
            batch: Vec::with_capacity(BATCH),
        }
    }

    /// Forgets all words.
    pub fn clear(&mut self) {
        self.slots.fill(Slot::default());
        self.used = 0;
        self.long.clear();
    }

    /// The short words with their counts.
    pub fn short_words(&self) -> impl Iterator<Item = (ShortWord, u64)> {
        self.slots.iter().filter(|slot| slot.count > 0).map(|slot| ((slot.low, slot.high), slot.count))
    }

    /// The longer words with their counts.
    pub fn long_words(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.long.iter().map(|(word, count)| (word.as_slice(), *count))
    }

    /// How many different words were counted, and how many in all.
    pub fn totals(&self) -> (usize, u64) {
        let all = self.slots.iter().map(|slot| slot.count).chain(self.long.values().copied());
        (self.used + self.long.len(), all.sum())
    }

    /// Counts the words of `padded`, whose last [`PADDING`] bytes are spaces and belong to no line.
    pub fn count(&mut self, padded: &[u8]) {
        let (mut start, mut inside) = (0, 0u64);
        for (number, block) in padded.as_chunks::<64>().0.iter().enumerate() {
            let word = !separators(block);
            let mut edges = word ^ (word << 1 | inside);
            let mut open = inside == 1;
            inside = word >> 63;
            while edges != 0 {
                let at = number * 64 + edges.trailing_zeros() as usize;
                edges &= edges - 1;
                if open {
                    self.word(padded, start, at);
                } else {
                    start = at;
                }
                open = !open;
            }
        }
        let rest = padded.len() / 64 * 64;
        let mut open = inside == 1;
        for (at, byte) in padded.iter().enumerate().skip(rest) {
            let separates = *byte == b' ' || byte.wrapping_sub(9) < 5;
            if separates && open {
                self.word(padded, start, at);
            } else if !separates && !open {
                start = at;
            }
            open = !separates;
        }
        self.flush();
    }

    #[inline]
    fn word(&mut self, padded: &[u8], start: usize, end: usize) {
        let length = end - start;
        if length > SHORT {
            *self.long.entry_ref(&padded[start..end]).or_default() += 1;
            return;
        }
        let sixteen = padded[start..].first_chunk::<16>().expect("the text is padded");
        let bytes = u128::from_le_bytes(*sixteen) & ((1 << (8 * length)) - 1);
        let key = bytes | (length as u128) << 120;
        self.batch.push((key as u64, (key >> 64) as u64));
        if self.batch.len() == BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if (self.used + BATCH) * 2 > self.slots.len() {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut homes = [0usize; BATCH];
        let mut touched = 0;
        for ((low, high), home) in self.batch.iter().zip(&mut homes) {
            *home = hash(*low, *high) as usize & mask;
            touched ^= self.slots[*home].low;
        }
        // The loads above have no other use than to have the slots in the cache.
        std::hint::black_box(touched);
        for ((low, high), home) in self.batch.iter().zip(homes) {
            let mut place = home;
            loop {
                let slot = &mut self.slots[place];
                if slot.low == *low && slot.high == *high && slot.count > 0 {
                    slot.count += 1;
                    break;
                }
                if slot.count == 0 {
                    *slot = Slot { low: *low, high: *high, count: 1 };
                    self.used += 1;
                    break;
                }
                place = (place + 1) & mask;
            }
        }
        self.batch.clear();
    }

    /// Twice the slots.
    fn grow(&mut self) {
        let before = std::mem::take(&mut self.slots);
        self.slots = vec![Slot::default(); before.len() * 2];
        let mask = self.slots.len() - 1;
        for slot in before.into_iter().filter(|slot| slot.count > 0) {
            let mut place = hash(slot.low, slot.high) as usize & mask;
            while self.slots[place].count > 0 {
                place = (place + 1) & mask;
            }
            self.slots[place] = slot;
        }
    }
}

#[inline]
fn hash(low: u64, high: u64) -> u64 {
    let product = u128::from(low ^ 0x9e37_79b9_7f4a_7c15) * u128::from(high ^ 0xd1b5_4a32_d192_ed03);
    product as u64 ^ (product >> 64) as u64
}

#[inline]
fn separators(block: &[u8; 64]) -> u64 {
    let mut flags = [0u8; 64];
    for (flag, byte) in flags.iter_mut().zip(block) {
        *flag = u8::from((*byte == b' ') | (byte.wrapping_sub(9) < 5));
    }
    let mut mask = 0;
    for (number, eight) in flags.as_chunks::<8>().0.iter().enumerate() {
        mask |= (u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * number);
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_any_length_are_counted_and_the_table_grows() {
        let mut text = String::from("a  bb\ta a-word-of-more-than-15-bytes\na-word-of-more-than-15-bytes a\u{b}bb\n");
        for number in 0..1000 {
            text.push_str(&format!("w{number} w{} \n", number % 7));
        }
        text.push_str(&" ".repeat(PADDING));
        let mut counts = WordCount::with_room(1);
        counts.count(text.as_bytes());
        assert_eq!(counts.totals(), (1003, 2007));
        let count_of = |word: &str| {
            let mut sixteen = [0; 16];
            sixteen[..word.len()].copy_from_slice(word.as_bytes());
            sixteen[15] = word.len() as u8;
            let bytes = u128::from_le_bytes(sixteen);
            counts.short_words().find(|(key, _)| *key == (bytes as u64, (bytes >> 64) as u64)).map(|(_, count)| count)
        };
        assert_eq!([count_of("a"), count_of("bb"), count_of("w3"), count_of("w999")], [3, 2, 144, 1].map(Some));
        assert_eq!(counts.long_words().collect::<Vec<_>>(), [(&b"a-word-of-more-than-15-bytes"[..], 2)]);
        counts.clear();
        assert_eq!(counts.totals(), (0, 0));
    }
}
