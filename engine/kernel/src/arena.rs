//! Memory for strings that an operator computes: they live as long as the batch of records that they came from.
//!
//! Invariant: what was handed out neither moves nor changes until [`Arena::clear`], which needs that nobody borrows it.
//! Safe code only, so each string is an allocation of its own; the cells that hold them double, so finding the next free
//! one takes no search.

use std::cell::{Cell, OnceCell};

/// Cells of the first shelf; each shelf has twice as many as the one before it.
const FIRST_SHELF: usize = 64;
/// 64 * (2^32 - 1) strings in one batch: more than memory holds.
const SHELVES: usize = 32;

/// Owner of computed strings.
#[derive(Debug, Default)]
pub struct Arena {
    used: Cell<usize>,
    shelves: [OnceCell<Box<[OnceCell<String>]>>; SHELVES],
}

impl Arena {
    /// Takes `text` over and lends it until the arena is cleared.
    pub fn string(&self, text: String) -> &str {
        let number = self.used.get();
        self.used.set(number + 1);
        let (shelf, place) = place_of(number);
        let cells = self.shelves[shelf].get_or_init(|| (0..FIRST_SHELF << shelf).map(|_| OnceCell::new()).collect());
        cells[place].get_or_init(|| text)
    }

    /// Copies `text` and lends the copy until the arena is cleared.
    pub fn str(&self, text: &str) -> &str {
        self.string(text.to_owned())
    }

    /// Lets go of all strings. The first shelf stays for the next batch.
    pub(crate) fn clear(&mut self) {
        let used = self.used.replace(0);
        if used == 0 {
            return;
        }
        if let Some(first) = self.shelves[0].get_mut() {
            first[..used.min(FIRST_SHELF)].iter_mut().for_each(|cell| drop(cell.take()));
        }
        self.shelves[1..].iter_mut().for_each(|shelf| drop(shelf.take()));
    }
}

/// Shelf `s` holds the strings numbered from `64 * (2^s - 1)`.
fn place_of(number: usize) -> (usize, usize) {
    let doubled = number / FIRST_SHELF + 1;
    let shelf = doubled.ilog2() as usize;
    (shelf, number - FIRST_SHELF * ((1 << shelf) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_string_keeps_its_own_cell_across_shelves_and_after_clearing() {
        let mut arena = Arena::default();
        for round in 0..2 {
            let texts: Vec<&str> = (0..1000).map(|n| arena.string(format!("{round}/{n}"))).collect();
            for (n, text) in texts.iter().enumerate() {
                assert_eq!(*text, format!("{round}/{n}"));
            }
            arena.clear();
        }
        assert_eq!(place_of(63), (0, 63));
        assert_eq!(place_of(64), (1, 0));
        assert_eq!(place_of(191), (1, 127));
        assert_eq!(place_of(192), (2, 0));
    }
}
