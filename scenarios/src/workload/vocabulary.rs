//! The generator's vocabulary: word number k is a pure function of k, three to seven letters long (longer beyond
//! 440,000 words), all different.
//!
//! Lengths alternate with the rank, so that frequent words are not all short.

/// Letters of the shortest words.
const SHORTEST: u32 = 3;

/// How many lengths alternate.
const LENGTHS: u32 = 5;

/// Letters of the alphabet.
const LETTERS: u64 = 26;

/// A prime that shares no factor with 26: multiplying by it modulo a power of 26 permutes the words of one length, so
/// that neighbours in rank look different.
const STRIDE: u64 = 2_654_435_761;

/// Bytes of a stored word: up to 15 letters and their number.
const SLOT: usize = 16;

/// The words, by rank from 0.
#[derive(Clone, Debug)]
pub(super) struct Vocabulary {
    words: Vec<[u8; SLOT]>,
}

impl Vocabulary {
    /// `keys` different words, none of which contains `needle`.
    pub(super) fn new(keys: u32, needle: &str) -> Vocabulary {
        let words = (0..u64::MAX).map(word).filter(|slot| !contains(letters(slot), needle.as_bytes()));
        Vocabulary { words: words.take(keys as usize).collect() }
    }

    /// The word of that rank.
    pub(super) fn word(&self, rank: u32) -> &[u8] {
        letters(&self.words[rank as usize])
    }
}

fn letters(slot: &[u8; SLOT]) -> &[u8] {
    &slot[..usize::from(slot[SLOT - 1])]
}

/// A needle shorter than the shortest word is ignored: it would leave no words.
fn contains(word: &[u8], needle: &[u8]) -> bool {
    needle.len() >= SHORTEST as usize && word.windows(needle.len()).any(|part| part == needle)
}

fn word(number: u64) -> [u8; SLOT] {
    let class = u32::try_from(number % u64::from(LENGTHS)).expect("a remainder of five fits");
    let mut length = SHORTEST + class;
    let mut index = number / u64::from(LENGTHS);
    if index >= LETTERS.pow(length) {
        // The short words of this class are used up: its long ones have lengths that no other class has.
        index -= LETTERS.pow(length);
        length += LENGTHS;
    }
    let words = u128::from(LETTERS.pow(length));
    let mut code = (u128::from(index) + 1) * u128::from(STRIDE) % words;
    let mut slot = [0; SLOT];
    for letter in &mut slot[..length as usize] {
        *letter = b'a' + u8::try_from(code % u128::from(LETTERS)).expect("a remainder of 26 fits a byte");
        code /= u128::from(LETTERS);
    }
    slot[SLOT - 1] = u8::try_from(length).expect("words have at most 12 letters");
    slot
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn words_are_different_beyond_the_short_ones_too() {
        let vocabulary = Vocabulary::new(200_000, "");
        let distinct: BTreeSet<&[u8]> = (0..200_000).map(|rank| vocabulary.word(rank)).collect();
        assert_eq!(distinct.len(), 200_000);
        let lengths: BTreeSet<usize> = distinct.iter().map(|word| word.len()).collect();
        assert_eq!(lengths, BTreeSet::from([3, 4, 5, 6, 7, 8]));
    }

    #[test]
    fn no_word_contains_the_needle() {
        let plain = Vocabulary::new(1000, "");
        let needle = std::str::from_utf8(plain.word(5)).unwrap();
        let vocabulary = Vocabulary::new(1000, needle);
        assert!((0..1000).all(|rank| !contains(vocabulary.word(rank), needle.as_bytes())));
    }
}
