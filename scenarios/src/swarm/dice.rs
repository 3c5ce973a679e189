//! Dice: draws by purpose, so that one more draw does not change the others.

use dstream_host::Random;
use dstream_trace::NodeName;
use rand_core::Rng;

/// The draws of one seed.
#[derive(Clone)]
pub(super) struct Dice {
    random: Random,
    prefix: String,
}

impl Dice {
    /// The draws of this seed.
    pub fn new(seed: u64) -> Dice {
        // Incarnation 0 is no node's life, so that these draws meet no node's.
        Dice { random: Random::new(seed, NodeName::new("swarm"), 0), prefix: String::new() }
    }

    /// The draws of a part, apart from those of other parts.
    pub fn inner(&self, part: &str) -> Dice {
        Dice { random: self.random.clone(), prefix: format!("{}{part}/", self.prefix) }
    }

    /// A whole number below `below`, uniform to one part in 2^64; 0 where there is none.
    pub fn below(&self, purpose: &str, below: u64) -> u64 {
        let random = self.random.stream(&format!("{}{purpose}", self.prefix)).next_u64();
        u64::try_from((u128::from(random) * u128::from(below)) >> 64).expect("the high word of a product fits")
    }

    /// One of these.
    pub fn pick<T: Copy>(&self, purpose: &str, of: &[T]) -> T {
        of[self.below(purpose, of.len() as u64) as usize]
    }
}
