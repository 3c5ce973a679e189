//! `words`: maximal runs of bytes other than 09-0D and 20 (hex). On received lines the text of a batch is cut as a whole,
//! since LF separates words too.
//!
//! 64 bytes at a time become a mask of separators; words lie between its edges. The comparisons are a plain loop that the
//! compiler turns into vector instructions on every machine; intrinsics would need unsafe code for the same result.

use crate::operator::emit::Emit;
use crate::operator::{Batch, Context, Sink, Source};
use crate::query::TaskError;

/// The words of a batch of lines.
pub(crate) struct WordsOfLines;

impl Source<String> for WordsOfLines {
    fn run<'a>(
        &self,
        batch: Batch<'a>,
        context: Context<'a>,
        sink: &mut dyn Sink<'a, String>,
    ) -> Result<(), TaskError> {
        let mut out = Emit::<String>::new(context, sink);
        for_each_word(batch.text(), |word| out.emit(word));
        out.flush();
        Ok(())
    }
}

/// Bytes that are looked at together.
const BLOCK: usize = 64;

/// Calls `visit` with each word of `text`, in order.
#[inline]
pub(crate) fn for_each_word<'a>(text: &'a str, visit: impl FnMut(&'a str)) {
    let mut cutter = Cutter { text, start: 0, inside: 0, visit };
    let (blocks, rest) = text.as_bytes().as_chunks::<BLOCK>();
    for (number, block) in blocks.iter().enumerate() {
        cutter.block(number * BLOCK, separators(block));
    }
    // Padding with separators also ends the last word.
    let mut last = [b' '; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    cutter.block(blocks.len() * BLOCK, separators(&last));
}

/// Bit `i` is set where byte `i` separates words.
#[inline]
fn separators(block: &[u8; BLOCK]) -> u64 {
    let mut flags = [0u8; BLOCK];
    for (flag, byte) in flags.iter_mut().zip(block) {
        *flag = u8::from((*byte == b' ') | (byte.wrapping_sub(b'\t') < 5));
    }
    let mut mask = 0;
    for (number, eight) in flags.as_chunks::<8>().0.iter().enumerate() {
        // Multiplying brings bit 0 of byte i to bit 56 + i.
        mask |= (u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * number);
    }
    mask
}

struct Cutter<'a, F> {
    text: &'a str,
    /// Where the word began that is not yet at its end.
    start: usize,
    /// 1 while in a word.
    inside: u64,
    visit: F,
}

impl<'a, F: FnMut(&'a str)> Cutter<'a, F> {
    #[inline(always)]
    fn block(&mut self, base: usize, separators: u64) {
        let word = !separators;
        // Set where a word begins or has just ended.
        let mut edges = word ^ (word << 1 | self.inside);
        if self.inside == 1 && edges != 0 {
            self.end_at(base + next(&mut edges));
        }
        self.inside = word >> (BLOCK - 1);
        while edges != 0 {
            self.start = base + next(&mut edges);
            if edges == 0 {
                return;
            }
            self.end_at(base + next(&mut edges));
        }
    }

    #[inline(always)]
    fn end_at(&mut self, end: usize) {
        (self.visit)(&self.text[self.start..end]);
    }
}

/// Takes the lowest set bit out of `bits` and says which it was.
#[inline]
fn next(bits: &mut u64) -> usize {
    let at = bits.trailing_zeros() as usize;
    *bits &= *bits - 1;
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn is_separator(letter: char) -> bool {
        matches!(letter, '\t'..='\r' | ' ')
    }

    fn check(text: &str) {
        let mut words = Vec::new();
        for_each_word(text, |word| words.push(word));
        let expected: Vec<&str> = text.split(is_separator).filter(|word| !word.is_empty()).collect();
        assert_eq!(words, expected, "{text:?}");
    }

    #[test]
    fn words_at_the_borders_of_blocks_are_whole() {
        for length in 0..200 {
            check(&"x".repeat(length));
            check(&" ".repeat(length));
            for before in [60, 63, 64, 65] {
                check(&format!("{}{}\n", " ".repeat(before), "y".repeat(length)));
                check(&format!("{} {}", "x".repeat(before), "y".repeat(length)));
            }
        }
    }

    #[test]
    fn every_byte_that_is_no_separator_belongs_to_a_word() {
        for letter in '\0'..='\u{2ff}' {
            check(&format!("a{letter}b {letter}{letter} {letter}"));
        }
        check("a\u{a0}b\u{2003}c\u{85}d");
    }

    proptest! {
        #[test]
        fn words_equal_a_split_at_separators(text in "[ a-cé\u{1F980}\t\n\u{b}\u{c}\r\u{8}\u{e}\u{1f}!]{0,300}") {
            check(&text);
        }
    }
}
