//! Randomness by seed, node and purpose: the only one there is.
//!
//! Invariant: the stream depends on nothing but (seed, node name, incarnation, purpose).

use dstream_trace::NodeName;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

/// Makes generators for one node.
#[derive(Clone, Debug)]
pub struct Random {
    seed: u64,
    node: NodeName,
    incarnation: u64,
}

impl Random {
    /// The randomness of `node` in its life number `incarnation`, in the run with this seed.
    pub fn new(seed: u64, node: NodeName, incarnation: u64) -> Random {
        Random { seed, node, incarnation }
    }

    /// A generator for one purpose; the same purpose gives the same stream each time.
    pub fn stream(&self, purpose: &str) -> ChaCha12Rng {
        let text = format!("{}/{}/{}/{purpose}", self.seed, self.node, self.incarnation);
        let mut seed = [0u8; 32];
        for (index, part) in seed.chunks_exact_mut(8).enumerate() {
            let word = xxhash_rust::xxh3::xxh3_64_with_seed(text.as_bytes(), index as u64);
            part.copy_from_slice(&word.to_le_bytes());
        }
        ChaCha12Rng::from_seed(seed)
    }
}
