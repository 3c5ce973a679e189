//! The partitioner: which reduce partition a key belongs to. Part of the specification, the same on every machine and in
//! every version; tables hash with something else.
//!
//! Invariant: it depends on the encoded key and the number of partitions, and on nothing else.

use xxhash_rust::xxh3::xxh3_64;

/// The reduce partition of an encoded key: `xxh3_64(key) * partitions / 2^64`. `partitions` must not be 0.
///
/// ```
/// use dstream_kernel::partition::partition_of;
/// assert!(partition_of(b"\x05spark", 64) < 64);
/// assert_eq!(partition_of(b"\x05spark", 1), 0);
/// ```
#[inline]
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    ((u128::from(xxh3_64(key)) * u128::from(partitions)) >> 64) as u32
}
