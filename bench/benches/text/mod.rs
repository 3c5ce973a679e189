//! Text of words drawn by Zipf's law, for the benches. Invariant: the same in every run and on every machine.

/// Bytes of a record, its line end included.
pub const RECORD_BYTES: usize = 100;
/// Different words of the text.
pub const VOCABULARY: usize = 100_000;
/// Letters by which one word in ten is longer than the others, so that its key does not lie inside the table's entry.
const LONGER_BY: u64 = 14;

/// A small generator of uniform numbers (xorshift): the text must be the same in every run.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((u128::from(self.0) * u128::from(bound)) >> 64) as u64
    }
}

/// So many records of words. `long_percent` of the vocabulary are longer than a key image.
pub fn text(records: u64, long_percent: u64) -> Vec<u8> {
    let mut draw = Draw(0x9e37_79b9_7f4a_7c15);
    let mut word = |number: u64| -> Vec<u8> {
        let longer = if number * 7919 % 100 < long_percent { LONGER_BY } else { 0 };
        (0..3 + draw.below(5) + longer).map(|_| b'a' + draw.below(26) as u8).collect()
    };
    let words: Vec<Vec<u8>> = (0..VOCABULARY as u64).map(&mut word).collect();
    // Weights in whole numbers: the text does not depend on a machine's floating point.
    let ends: Vec<u64> = (1..=VOCABULARY as u64)
        .scan(0, |sum, rank| {
            *sum += (1 << 32) / rank;
            Some(*sum)
        })
        .collect();
    let all = ends[VOCABULARY - 1];
    let mut text = Vec::new();
    for _ in 0..records {
        let end = text.len() + RECORD_BYTES - 1;
        loop {
            let drawn = draw.below(all);
            let word = &words[ends.partition_point(|weight| *weight <= drawn)];
            if text.len() + word.len() > end {
                break;
            }
            text.extend_from_slice(word);
            text.push(b' ');
        }
        text.resize(end, b' ');
        text.push(b'\n');
    }
    text
}
