//! Ids of the parts of a query and of its intervals. Different things have different types.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

id!(
    /// A numbered slice of time, from 0.
    IntervalId(u64)
);
id!(
    /// A slice of an Rdd, from 0.
    PartitionId(u32)
);
id!(
    /// The narrow steps between two shuffles, from 0 in topological order.
    StageId(u32)
);
id!(
    /// A shuffle: the border between two stages, from 0.
    ShuffleId(u32)
);
id!(
    /// A named output of the query, from 0.
    OutputId(u32)
);
