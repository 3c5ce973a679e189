//! What one slow worker costs a stage, predicted from its number of tasks and from how slow the worker is.
//!
//! Pure; knows no run. Invariant: speculation is never predicted to cost time.
//!
//! A stage has `w` tasks for each core (`w` waves) on `n` workers, and a task takes one unit of time, so the stage takes
//! `w` units while nobody is slow. One worker's cores take `f` units a task. A core has one task under way and one that
//! waits for it; a further one is given to it whenever one is done.
//!
//! Without speculation the stage ends with the slow cores' last tasks. With one wave that is after `f`. With more, the last
//! task goes out about when `w - 2` units are over; where a slow core takes it, another is under way before it:
//! `w - 2 + 2 f` units.
//!
//! With speculation all that the slow worker has not finished is done again by the others. They then do the work of `n`
//! workers with `n - 1`, a wave at a time: `ceil(w n / (n - 1))` units. But nobody is noticed before `s` units, after which
//! one more is needed: never under `s + 1`. And the slow attempt goes on and counts if it is done first: never more than
//! without.

/// A stage with a slow worker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// Its tasks for each core.
    pub waves: u32,
    /// Workers, the slow one among them.
    pub workers: u32,
    /// How many times slower that one is.
    pub factor: f64,
}

impl Stage {
    /// How many times as long it takes without speculation; this file's head says why.
    pub fn without_speculation(self) -> f64 {
        let waves = f64::from(self.waves.max(1));
        if self.waves <= 1 { self.factor } else { (2.0 * self.factor + waves - 2.0) / waves }
    }

    /// How many times as long it takes where an attempt gets a second one after `threshold` medians; this file's head
    /// says why. Alone nobody can help.
    pub fn with_speculation(self, threshold: f64) -> f64 {
        let (waves, workers) = (f64::from(self.waves.max(1)), f64::from(self.workers));
        if self.workers <= 1 {
            return self.without_speculation();
        }
        let by_others = (waves * workers / (workers - 1.0)).ceil();
        (by_others.max(threshold + 1.0) / waves).min(self.without_speculation())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check((waves, workers, factor): (u32, u32, f64), threshold: f64, expected: [f64; 2]) {
        let stage = Stage { waves, workers, factor };
        let found = [stage.without_speculation(), stage.with_speculation(threshold)];
        let near = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-9);
        assert!(near, "{found:?} instead of {expected:?}");
    }

    #[test]
    fn one_wave_takes_as_long_as_the_slow_task_or_as_noticing_it_and_doing_it_again() {
        check((1, 10, 8.0), 1.4, [8.0, 2.4]);
        check((1, 2, 8.0), 1.4, [8.0, 2.4]);
        check((1, 10, 8.0), 3.0, [8.0, 4.0]);
    }

    #[test]
    fn of_more_waves_a_slow_core_has_two_tasks_or_others_do_its_share_a_wave_at_a_time() {
        // Nobody comes to the slow core for a third: both of its tasks, over two.
        check((2, 10, 8.0), 1.4, [8.0, 1.5]);
        // (2 * 8 + 2) / 4; 40 tasks a core of nine workers are 4.4 waves of them, so five.
        check((4, 10, 8.0), 1.4, [4.5, 1.25]);
        // (2 * 8 + 14) / 16; 160 tasks on nine are 17.8 waves, so eighteen.
        check((16, 10, 8.0), 1.4, [1.875, 1.125]);
        // Half of all work is the slow one's.
        check((2, 2, 8.0), 1.4, [8.0, 2.0]);
        // Noticed late: 2.5 units, and one more.
        check((2, 10, 8.0), 2.5, [8.0, 1.75]);
    }

    #[test]
    fn whoever_is_hardly_slow_is_waited_for_and_alone_nobody_helps() {
        check((1, 10, 2.0), 1.4, [2.0, 2.0]);
        check((1, 10, 1.0), 1.4, [1.0, 1.0]);
        check((4, 10, 1.0), 1.4, [1.0, 1.0]);
        check((2, 1, 8.0), 1.4, [8.0, 8.0]);
    }

    #[test]
    fn speculation_never_costs_time_and_a_slow_worker_never_saves_any() {
        for (waves, workers, tenths) in
            (1..40).flat_map(|w| (1..12).flat_map(move |n| (10..120).map(move |f| (w, n, f))))
        {
            let stage = Stage { waves, workers, factor: f64::from(tenths) / 10.0 };
            let (without, with) = (stage.without_speculation(), stage.with_speculation(1.4));
            assert!(with <= without && with >= 1.0, "{stage:?}: {without} {with}");
        }
    }
}
