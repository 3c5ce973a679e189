//! The wall clock, for the one number that is about this machine: how long a run took.

/// Measures from its making on.
#[derive(Debug)]
#[expect(clippy::disallowed_types, reason = "the length of a run on the wall is no part of the run")]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "the length of a run on the wall is no part of the run"
    )]
    pub fn start() -> Stopwatch {
        Stopwatch(std::time::Instant::now())
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}
