//! How much time a window covers and how often it has a result, in intervals.
//!
//! Knows no operator and no length of an interval. Invariant: which intervals are due depends on their number alone.

use std::num::NonZeroU64;

/// A sliding window: at the end of every `slide` intervals, the last `length` of them.
///
/// ```
/// use dstream_kernel::Window;
/// let half_minute = Window::of(30).expect("30 is not zero");
/// assert_eq!(half_minute.to_string(), "30 by 1");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How many intervals a result covers.
    pub length: NonZeroU64,
    /// How many intervals lie between two results: interval `i` has one if `(i + 1) % slide == 0`.
    pub slide: NonZeroU64,
}

impl Window {
    /// One interval, with a result at the end of each.
    pub const ONE: Window = Window { length: NonZeroU64::MIN, slide: NonZeroU64::MIN };

    /// A window of so many intervals with a result at the end of each interval; `None` for 0.
    pub fn of(length: u64) -> Option<Window> {
        Some(Window { length: NonZeroU64::new(length)?, ..Window::ONE })
    }

    /// The same window with a result every `slide` intervals.
    pub fn sliding_by(self, slide: NonZeroU64) -> Window {
        Window { slide, ..self }
    }

    /// Whether a result covers its own interval alone: then nothing has to be kept.
    pub(crate) fn is_one_interval(self) -> bool {
        self.length == NonZeroU64::MIN
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} by {}", self.length, self.slide)
    }
}

/// Whether something that has a result every so many intervals has one at the end of `interval`.
pub fn is_due(interval: u64, every: NonZeroU64) -> bool {
    // In wider numbers: the last interval of all has a successor there.
    (u128::from(interval) + 1).is_multiple_of(u128::from(every.get()))
}
