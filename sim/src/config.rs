//! What a simulated world is told before it begins, and what it refuses.
//!
//! Knows no node. Invariant: a checked configuration never makes turmoil's clocks run at different speeds or deliver a
//! message before it was sent.

use dstream_host::WorldError;
use dstream_trace::{NodeName, SharedTrace};
use std::collections::BTreeSet;
use std::time::Duration;

/// The shape of a simulated world.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// Draws everything that is drawn.
    pub seed: u64,
    /// Length of one step of the network; a whole number of milliseconds.
    pub tick: Duration,
    /// From host to host, one way; a whole number of milliseconds, at least one tick.
    pub latency: Duration,
    /// Of each host's network card, in each direction.
    pub bits_per_second: u64,
    /// From a host to the durable store, one way.
    pub store_latency: Duration,
    /// Of the store's network card, in each direction.
    pub store_bits_per_second: u64,
    /// What a request of a host to its own disk takes, its bytes aside.
    pub disk_latency: Duration,
    /// Of a host's own disk.
    pub disk_bits_per_second: u64,
    /// Nodes that no fault will hit and that do not talk to each other. They run on one host, each with its own card and
    /// cores: turmoil looks at all pairs of hosts for each host and step, so half as many hosts take an eighth of the time.
    pub sharing: BTreeSet<NodeName>,
    /// The log that all nodes write into.
    pub trace: SharedTrace,
}

impl Default for SimConfig {
    fn default() -> SimConfig {
        SimConfig {
            seed: 0,
            tick: Duration::from_millis(1),
            latency: Duration::from_millis(1),
            bits_per_second: 1_000_000_000,
            store_latency: Duration::from_millis(5),
            store_bits_per_second: 1_000_000_000,
            // An ordinary solid state disk.
            disk_latency: Duration::from_micros(100),
            disk_bits_per_second: 4_000_000_000,
            sharing: BTreeSet::new(),
            trace: SharedTrace::new(),
        }
    }
}

impl SimConfig {
    /// Says what the simulator cannot do, and what it could do instead.
    pub(crate) fn check(&self) -> Result<(), WorldError> {
        let whole = |length: Duration| length.subsec_nanos().is_multiple_of(1_000_000);
        let refusal = if self.tick.is_zero() || !whole(self.tick) {
            format!("the tick is {:?}; the simulator needs a whole number of milliseconds, 1 or more", self.tick)
        } else if !whole(self.latency) {
            format!("the link latency is {:?}; the simulator needs a whole number of milliseconds", self.latency)
        } else if self.latency < self.tick {
            format!(
                "the link latency is {:?}, which is below one tick of {:?}; raise the latency or lower the tick",
                self.latency, self.tick
            )
        } else if [self.bits_per_second, self.store_bits_per_second, self.disk_bits_per_second].contains(&0) {
            "a bandwidth is 0 bits a second, so nothing would ever arrive; give at least 1".to_owned()
        } else {
            return Ok(());
        };
        Err(WorldError::Unsupported(refusal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tick, latency (both in microseconds) and bandwidth; the word that the refusal must contain.
    fn check(input: (u64, u64, u64), expected: Option<&str>) {
        let (tick, latency, bits_per_second) = input;
        let config = SimConfig {
            tick: Duration::from_micros(tick),
            latency: Duration::from_micros(latency),
            bits_per_second,
            ..SimConfig::default()
        };
        match (config.check(), expected) {
            (Ok(()), None) => {}
            (Err(WorldError::Unsupported(why)), Some(word)) => assert!(why.contains(word), "{why}"),
            (result, _) => panic!("{input:?} gave {result:?}"),
        }
    }

    #[test]
    fn refuses_what_would_bend_time() {
        check((1000, 1000, 1), None);
        check((5000, 7000, 1), None);
        check((0, 1000, 1), Some("the tick is 0ns"));
        check((100, 1000, 1), Some("the tick is 100µs"));
        check((1000, 1500, 1), Some("latency is 1.5ms"));
        check((5000, 4000, 1), Some("below one tick"));
        check((1000, 0, 1), Some("below one tick"));
        check((1000, 1000, 0), Some("bandwidth"));
    }
}
