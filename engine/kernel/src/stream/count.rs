//! Counting the records of a stream, over a window or from the start.

use super::DStream;
use crate::count::{Count, CountFold};
use crate::cut::Pace;
use crate::record::Record;
use crate::window::Window;
use std::num::NonZeroU64;
use std::sync::Arc;

impl<T: Record> DStream<T> {
    /// How many records there were in the last intervals: one number for each result, also 0.
    ///
    /// ```
    /// use dstream_kernel::Window;
    /// # let builder = dstream_kernel::QueryBuilder::new();
    /// let window = Window::of(30).expect("30 is not zero");
    /// let errors = builder.lines().grep("ERROR").count_by_window(window);
    /// # let _ = errors;
    /// ```
    pub fn count_by_window(&self, window: Window) -> DStream<u64> {
        self.counting(Some(window.length), window.slide, format!("count {window}"))
    }

    /// How many records there were from the start, every `slide` intervals.
    pub fn running_count(&self, slide: NonZeroU64) -> DStream<u64> {
        self.counting(None, slide, format!("running count by {slide}"))
    }

    fn counting(&self, length: Option<NonZeroU64>, slide: NonZeroU64, label: String) -> DStream<u64> {
        let map = self.ending(Some("count"), Arc::new(Count));
        self.behind(map, Arc::new(CountFold { length, slide }), label, Pace::Slides { length, slide })
    }
}
