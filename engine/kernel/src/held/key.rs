//! Keys of a state table: their hashes, and the forms in which slots, logs and rows have them.
//!
//! A key of one to seven bytes is one word with its length, and its hash is that word mixed so that it can be unmixed again:
//! the hash *is* the key, and nobody keeps both. Up to sixteen bytes a key has an image, longer ones have memory elsewhere.
//!
//! Knows no table. Invariants: the hash of a key follows from its bytes alone, and is part of what a checkpoint holds, so
//! it never changes; two words have different hashes, and no word has the hash 0.

use crate::image::{IMAGE_BYTES, Image};
use crate::line::Out;
use std::num::NonZeroU64;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Of the hash that orders keys which are no words; another one than that of partitions, whose keys would else all be
/// neighbours.
const SEED: u64 = 0x6473_7472_6561_6d21;
/// Bytes of a word: one more is its length.
const WORD_BYTES: usize = 7;
/// How a word is mixed: by two odd numbers of which each bit changes about half of the others (the end of MurmurHash3), and
/// undone by their inverses.
const MIX: [u64; 2] = [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53];
const UNMIX: [u64; 2] = [inverse_of(MIX[1]), inverse_of(MIX[0])];
/// More than half of the bits, so that the same shift is its own inverse.
const SHIFT: u32 = 33;

/// The number that a product with `odd` is multiplied with to undo it. Each step doubles how many of its bits are right,
/// of which the first three are at the beginning.
const fn inverse_of(odd: u64) -> u64 {
    let (mut inverse, mut bits) = (odd, 3);
    while bits < u64::BITS {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        bits *= 2;
    }
    inverse
}

#[inline]
fn mix(word: u64, [first, second]: [u64; 2]) -> u64 {
    let once = (word ^ word >> SHIFT).wrapping_mul(first);
    let twice = (once ^ once >> SHIFT).wrapping_mul(second);
    twice ^ twice >> SHIFT
}

/// An empty key is none: its hash would be 0.
#[inline]
fn is_word(key: &[u8]) -> bool {
    (1..=WORD_BYTES).contains(&key.len())
}

/// The hash of an encoded key.
#[inline]
pub(crate) fn hash_of(key: &[u8]) -> u64 {
    Word::of(key).map_or_else(|| xxh3_64_with_seed(key, SEED), Word::hash)
}

/// A key of one to seven bytes, by its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word(NonZeroU64);

impl Word {
    /// Nothing if the key is none.
    #[inline]
    fn of(key: &[u8]) -> Option<Word> {
        let image = Image::of(key).filter(|_| is_word(key))?;
        NonZeroU64::new(mix(image.low << 8 | key.len() as u64, MIX)).map(Word)
    }

    #[inline]
    pub(crate) fn hash(self) -> u64 {
        self.0.get()
    }

    /// Its encoding, at the beginning, and how long that is.
    #[inline]
    fn bytes(self) -> ([u8; IMAGE_BYTES], usize) {
        let word = mix(self.0.get(), UNMIX);
        (u128::from(word >> 8).to_le_bytes(), (word as usize & 0xff).min(WORD_BYTES))
    }
}

/// A key of up to sixteen bytes that is no word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Short {
    image: Image,
    tag: Tag,
}

impl Short {
    /// Nothing if the key is not short.
    #[inline]
    fn of(hash: u64, key: &[u8]) -> Option<Short> {
        Some(Short { image: Image::of(key)?, tag: Tag::of(hash, key.len())? })
    }

    /// Its encoding, at the beginning, and how long that is.
    #[inline]
    fn bytes(self) -> ([u8; IMAGE_BYTES], usize) {
        (self.image.bytes(), self.tag.length())
    }
}

/// A hash without its first byte, which is the number of the shelf, and the length of the key in its place. Kept with an
/// entry: hashing what stands in the way of a key would cost more than all else. That a length is never 0 lets an empty
/// slot cost no more than a full one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag(NonZeroU64);

impl Tag {
    #[inline]
    fn of(hash: u64, length: usize) -> Option<Tag> {
        let length = Some(length).filter(|length| (1..=IMAGE_BYTES).contains(length))?;
        NonZeroU64::new(hash << 8 | length as u64).map(Tag)
    }

    #[inline]
    fn length(self) -> usize {
        (self.0.get() as usize & 0xff).min(IMAGE_BYTES)
    }
}

/// A key as slots have it. Slots stand in the order of ranks, and where those are equal in that of bytes.
pub(crate) trait SlotKey: Copy + Eq {
    /// As an entry of it and a number is aligned, so that none lies across two lines of the cache.
    type Aligned: std::fmt::Debug;

    /// Follows from the hash without its first byte first of all.
    fn rank(&self) -> NonZeroU64;

    /// The hash without its first byte, in the upper bits. Orders as ranks do among the keys of a shelf.
    fn spread(&self) -> u64;

    /// Whether it stands before another one of its rank.
    fn precedes(&self, other: &Self) -> bool;
}

/// Aligned to a fourth of a line.
#[derive(Debug)]
#[repr(align(16))]
pub(crate) struct Fourth;

/// Aligned to half of a line.
#[derive(Debug)]
#[repr(align(32))]
pub(crate) struct Half;

impl SlotKey for Word {
    type Aligned = Fourth;

    #[inline]
    fn rank(&self) -> NonZeroU64 {
        self.0
    }

    #[inline]
    fn spread(&self) -> u64 {
        self.0.get() << 8
    }

    /// No other one has its rank.
    #[inline]
    fn precedes(&self, _other: &Word) -> bool {
        false
    }
}

impl SlotKey for Short {
    type Aligned = Half;

    #[inline]
    fn rank(&self) -> NonZeroU64 {
        self.tag.0
    }

    #[inline]
    fn spread(&self) -> u64 {
        self.tag.0.get() >> 8 << 8
    }

    #[inline]
    fn precedes(&self, other: &Short) -> bool {
        self.image.bytes() < other.image.bytes()
    }
}

/// A key that is not borrowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Word(Word),
    Short(Short),
    Long(Box<[u8]>),
}

impl Key {
    /// The same, borrowed.
    pub(crate) fn shown(&self) -> Shown<'_> {
        match self {
            Key::Word(word) => Shown::Word(*word),
            Key::Short(short) => Shown::Short(*short),
            Key::Long(bytes) => Shown::Long(bytes),
        }
    }

    /// Shows its encoding.
    pub(crate) fn with<T>(&self, show: impl FnOnce(&[u8]) -> T) -> T {
        self.shown().with(show)
    }
}

/// A key as an entry has it.
#[derive(Clone, Copy, Debug)]
pub enum Shown<'k> {
    /// One of one to seven bytes.
    Word(Word),
    /// One of up to sixteen.
    Short(Short),
    /// Another one.
    Long(&'k [u8]),
}

impl<'k> Shown<'k> {
    /// Of an encoded key and its hash.
    #[inline]
    fn of(hash: u64, key: &'k [u8]) -> Shown<'k> {
        match NonZeroU64::new(hash) {
            Some(hash) if is_word(key) => Shown::Word(Word(hash)),
            _ => Short::of(hash, key).map_or(Shown::Long(key), Shown::Short),
        }
    }

    /// Appends its encoding.
    #[inline]
    pub(crate) fn put(&self, out: &mut impl Out) {
        let (bytes, length) = match self {
            Shown::Word(word) => word.bytes(),
            Shown::Short(short) => short.bytes(),
            Shown::Long(bytes) => return out.bytes(bytes),
        };
        out.short(&bytes, length);
    }

    /// Shows its encoding.
    #[inline]
    pub fn with<T>(&self, show: impl FnOnce(&[u8]) -> T) -> T {
        let (bytes, length) = match self {
            Shown::Word(word) => word.bytes(),
            Shown::Short(short) => short.bytes(),
            Shown::Long(bytes) => return show(bytes),
        };
        show(&bytes[..length])
    }
}

/// A key on its way.
#[derive(Clone, Copy, Debug)]
pub struct Sought<'k> {
    pub(crate) hash: u64,
    /// As an entry has it.
    pub(crate) shown: Shown<'k>,
    /// The slot where its entry is or would stand, as far as anybody has looked: no more than a guess.
    pub(crate) at: usize,
}

impl<'k> Sought<'k> {
    /// A key by its encoding.
    #[inline]
    pub fn of(key: &'k [u8]) -> Sought<'k> {
        Sought::hashed(hash_of(key), key)
    }

    /// The same, of its hash, which is known.
    #[inline]
    pub(crate) fn hashed(hash: u64, key: &'k [u8]) -> Sought<'k> {
        Sought { hash, shown: Shown::of(hash, key), at: 0 }
    }

    /// What tables order keys by, before all else.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Whether it is the key of this hash and encoding.
    #[inline]
    pub(crate) fn is(&self, hash: u64, key: &[u8]) -> bool {
        self.hash == hash
            && match self.shown {
                // No other word has this hash.
                Shown::Word(_) if is_word(key) => true,
                shown => shown.with(|bytes| bytes == key),
            }
    }

    /// A copy.
    #[inline]
    pub(crate) fn key(&self) -> Key {
        match self.shown {
            Shown::Word(word) => Key::Word(word),
            Shown::Short(short) => Key::Short(short),
            Shown::Long(bytes) => Key::Long(bytes.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_key_comes_back_from_what_slots_have_of_it(key in proptest::collection::vec(any::<u8>(), 0..40)) {
            let sought = Sought::of(&key);
            prop_assert_eq!(sought.hash, hash_of(&key));
            prop_assert_eq!(matches!(sought.shown, Shown::Word(_)), (1..=WORD_BYTES).contains(&key.len()));
            let is_short = (WORD_BYTES + 1..=IMAGE_BYTES).contains(&key.len());
            prop_assert_eq!(matches!(sought.shown, Shown::Short(_)), is_short);
            let mut put = Vec::new();
            sought.shown.put(&mut put);
            prop_assert_eq!(&put, &key);
            sought.key().with(|bytes| assert_eq!(bytes, key));
        }
    }

    #[test]
    fn what_is_mixed_comes_back_unmixed() {
        for word in (0..64).flat_map(|bit| [1 << bit, u64::MAX >> bit, 0x0123_4567_89ab_cdef_u64.rotate_left(bit)]) {
            assert_eq!(mix(mix(word, MIX), UNMIX), word);
        }
        assert_eq!(mix(0, MIX), 0);
    }

    #[test]
    fn a_bit_of_a_word_changes_about_half_of_the_bits_of_its_hash() {
        for bit in 0..56 {
            let changed = |word: u64| (mix(word << 8 | 7, MIX) ^ mix((word ^ 1 << bit) << 8 | 7, MIX)).count_ones();
            let mean = (0..1000).map(changed).sum::<u32>() / 1000;
            assert!((28..=36).contains(&mean), "bit {bit}: {mean}");
        }
    }
}
