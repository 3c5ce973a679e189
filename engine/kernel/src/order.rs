//! Records that have an order: what ranking needs beside the encoding, whose bytes order strings by length first.
//!
//! Invariant: records that compare equal have equal encodings.

use crate::record::Record;
use std::cmp::Ordering;

/// A type with a total order: numbers by size, `false` before `true`, strings by their bytes, tuples part by part.
pub trait Ordered: Record {
    /// How the first stands to the second.
    fn compare(one: Self::Ref<'_>, other: Self::Ref<'_>) -> Ordering;
}

macro_rules! ordered {
    ($($type:ident),+) => {
        $(impl Ordered for $type {
            #[inline]
            fn compare(one: Self::Ref<'_>, other: Self::Ref<'_>) -> Ordering {
                one.cmp(&other)
            }
        })+
    };
}

ordered!(u64, u32, i64, bool);

impl Ordered for String {
    #[inline]
    fn compare(one: &str, other: &str) -> Ordering {
        one.cmp(other)
    }
}

macro_rules! ordered_tuple {
    ($($part:ident $index:tt),+) => {
        impl<$($part: Ordered),+> Ordered for ($($part,)+) {
            fn compare(one: Self::Ref<'_>, other: Self::Ref<'_>) -> Ordering {
                let order = Ordering::Equal;
                $(let order = order.then_with(|| $part::compare(one.$index, other.$index));)+
                order
            }
        }
    };
}

ordered_tuple!(A 0, B 1);
ordered_tuple!(A 0, B 1, C 2);
ordered_tuple!(A 0, B 1, C 2, D 3);
