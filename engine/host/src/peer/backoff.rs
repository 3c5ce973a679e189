//! How long to wait before the next dial: doubling, capped, jittered from the node's own randomness.
//!
//! Invariant: a wait lies between three and five quarters of its step, and no step is above [`LONGEST`], nor, but for the
//! shortest, above half of the silence after which a connection counts as broken: whoever was away and wakes is found again
//! before others, who wait for longer than that silence, take the waiting for the loss of those who dial.

use rand_chacha::ChaCha12Rng;
use rand_core::Rng;
use std::time::Duration;

/// The first wait: a few message latencies, so that a process that just restarted is found soon.
const SHORTEST: Duration = Duration::from_millis(20);

/// The longest wait: adds little to a recovery, and a host that dials a dead peer for an hour uses few ports a
/// second.
const LONGEST: Duration = Duration::from_millis(500);

/// Waits between dials of one peer.
#[derive(Debug)]
pub struct Backoff {
    step: Duration,
    longest: Duration,
    random: ChaCha12Rng,
}

impl Backoff {
    /// Waits that draw their jitter from `random`, between connections that break after so long a silence.
    pub fn new(random: ChaCha12Rng, silence: Duration) -> Backoff {
        Backoff { step: SHORTEST, longest: LONGEST.min(silence / 2).max(SHORTEST), random }
    }

    /// The wait before the very first dial: nodes that start together do not dial in the same moment.
    pub fn first(&mut self) -> Duration {
        self.share(SHORTEST)
    }

    /// The wait before the next dial.
    pub fn next(&mut self) -> Duration {
        let step = self.step;
        self.step = (step * 2).min(self.longest);
        step * 3 / 4 + self.share(step / 2)
    }

    /// The last connection was a good one: start with the shortest wait again.
    pub fn reset(&mut self) {
        self.step = SHORTEST;
    }

    /// A random part of `whole`, in microseconds.
    fn share(&mut self, whole: Duration) -> Duration {
        let micros = whole.as_micros() as u64;
        Duration::from_micros(self.random.next_u64() % (micros + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Random;
    use dstream_trace::NodeName;

    fn backoff(silence_ms: u64) -> Backoff {
        let silence = Duration::from_millis(silence_ms);
        Backoff::new(Random::new(7, NodeName::new("a"), 1).stream("backoff"), silence)
    }

    #[test]
    fn waits_double_up_to_the_longest_and_start_again_after_a_reset() {
        for (silence_ms, steps_ms) in [
            (2000, [20u32, 40, 80, 160, 320, 500, 500, 500]),
            // Where others wait less for who is silent, dials follow each other sooner.
            (250, [20, 40, 80, 125, 125, 125, 125, 125]),
            (10, [20; 8]),
        ] {
            let mut backoff = backoff(silence_ms);
            for step_ms in steps_ms {
                let (wait, step) = (backoff.next(), Duration::from_millis(step_ms.into()));
                assert!(wait >= step * 3 / 4 && wait <= step * 5 / 4, "{wait:?} for {step:?}");
            }
            backoff.reset();
            assert!(backoff.next() <= Duration::from_millis(25));
        }
    }

    #[test]
    fn the_first_dials_of_a_cluster_are_spread() {
        let waits: Vec<Duration> = (0..20).map(|_| backoff(2000).first()).collect();
        assert_eq!(waits[0], waits[1], "the same stream gives the same wait");
        let mut one = backoff(2000);
        let spread: Vec<Duration> = (0..20).map(|_| one.first()).collect();
        assert!(spread.iter().any(|wait| *wait != spread[0]));
    }
}
