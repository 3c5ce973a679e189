//! What is drawn: times of faults and targets, each from the seed and the fault's place in the file.
//!
//! Invariant: a fault's draws do not depend on other faults' draws, only the set of workers that it chooses from does.

use dstream_host::Random;
use dstream_trace::NodeName;
use rand_core::Rng;
use std::time::Duration;

/// The draws of one fault.
pub(super) struct Draws(Random);

impl Draws {
    /// The draws of the fault at this place of the file.
    pub fn new(seed: u64, place: usize) -> Draws {
        // Incarnation 0 is no node's life, so that these draws meet no node's.
        Draws(Random::new(seed, NodeName::new(format!("faults[{place}]")), 0))
    }

    /// A whole number below `below`, uniform to one part in 2^64. `below` is above 0.
    pub fn below(&self, purpose: &str, below: u64) -> u64 {
        let random = self.0.stream(purpose).next_u64();
        u64::try_from((u128::from(random) * u128::from(below)) >> 64).expect("the high word of a product fits")
    }

    /// A time from `from`, `to` left out, to the millisecond. They are at least a millisecond apart.
    pub fn time(&self, from: Duration, to: Duration) -> Duration {
        let millis = u64::try_from((to - from).as_millis()).expect("durations that are read fit");
        from + Duration::from_millis(self.below("at", millis))
    }
}
