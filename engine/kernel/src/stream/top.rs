//! Ranking the pairs of a stream.

use super::DStream;
use crate::cut::Pace;
use crate::order::Ordered;
use crate::top::Top;
use std::marker::PhantomData;
use std::sync::Arc;

impl<K: Ordered, V: Ordered> DStream<(K, V)> {
    /// The `k` pairs with the greatest values in each of the stream's datasets; of equal values those with the least keys
    /// (strings by their bytes). Rows of the result stand by their encoded keys, as in every output, not by rank.
    ///
    /// ```
    /// # let builder = dstream_kernel::QueryBuilder::new();
    /// let counts = builder.lines().words().map::<(String, u64)>(|word| (word, 1)).reduce_by_key(|a, b| a + b);
    /// counts.top_k(10).output("top");
    /// ```
    pub fn top_k(&self, k: usize) -> DStream<(K, V)> {
        let top = || Arc::new(Top::<K, V> { k, types: PhantomData });
        let map = self.ending(Some(&format!("best {k}")), top());
        self.behind(map, top(), format!("top {k}"), Pace::Same)
    }
}
