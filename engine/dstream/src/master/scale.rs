//! Scale: whether one more worker is called, or one that works is spared, by how much of the cores' time the work takes.
//!
//! As Spark's `ExecutorAllocationManager`, but that it counts core time and not how long intervals take: where messages go
//! round for longer than an interval, that says nothing of the load. Knows neither how workers join nor how they leave.
//! Invariants: one step at a time; each is judged by intervals that began after the one before it had its effect; never
//! fewer work than at the beginning.
//!
//! ```text
//! share(i) = core time of the tasks of i / (workers x cores x interval)
//! busy     = core time of all tasks that ended in as long as the last intervals take / (workers x cores x that time)
//! average share of the last intervals, or busy >= UP and somebody waits -> call
//! average share >= UP_WHEN_HELD, all of them were held down and somebody waits -> call
//! average share of the last intervals <= DOWN and more work than at the beginning -> spare one, if none was held down
//! fewer work than at the beginning -> call at once
//! ```

use dstream_trace::Moment;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// From this share on one more is called. Backpressure lets in nine tenths of what the cluster can do: less than that.
const UP: f64 = 0.85;

/// Or from this one, while clients have more than they may send: then cores idle only because there are fewer tasks than
/// cores at the end of a stage, or one task has more to do than the others.
const UP_WHEN_HELD: f64 = 0.5;

/// Up to this share one is spared. A step up never leads here: from one worker to two halves the share.
const DOWN: f64 = 0.3;

/// So many intervals are averaged: one that had much to do is no load.
const MOST_AVERAGED: u32 = 4;

/// Or as many as take this time, where intervals are long; but more than one. Whoever waits for a load to be told waits for
/// results that are late meanwhile.
const AVERAGED_OVER: Duration = Duration::from_secs(4);

const LEAST_AVERAGED: u32 = 2;

/// What a worker did counts this much less with each interval.
const MEMORY: f64 = 0.5;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Call one that waits.
    Up {
        /// The share of the cores' time that was used, in thousandths.
        busy_permille: u64,
    },
    /// Spare this one.
    Down {
        /// Who had least to do.
        worker: u32,
        /// The share of the cores' time that was used, in thousandths.
        busy_permille: u64,
    },
}

/// What came for an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// No records.
    None,
    /// Some.
    Some {
        /// Clients might have sent more, and were not to: that tasks cost little does not say that there is little to do.
        is_held: bool,
    },
}

/// An interval that is under way.
#[derive(Clone, Copy, Debug)]
struct Open {
    at: Moment,
    /// What its tasks cost.
    cost_s: f64,
    came: Came,
}

/// Who works, and who could.
#[derive(Clone, Copy, Debug)]
pub(super) struct Staff<'a> {
    /// Those who take tasks.
    pub(super) takers: &'a [u32],
    /// How many wait to be called.
    pub(super) waiting: usize,
    /// Some are on their way, to work or away from it.
    pub(super) is_changing: bool,
}

/// The core.
#[derive(Debug)]
pub(super) struct Scale {
    interval: Duration,
    cores: f64,
    /// So many intervals are averaged.
    averaged: u32,
    /// As many work at the beginning, and never fewer.
    least: usize,
    open: BTreeMap<u64, Open>,
    /// So many intervals in a row had no records.
    empty: u32,
    /// Shares of the last intervals, and whether they were held down.
    shares: VecDeque<(f64, bool)>,
    /// Core time of all tasks so far, in seconds, and what it was when intervals were done. A backlog is worked off as fast
    /// as cores can: its intervals cost no more than others, and yet no core has time for more.
    worked_s: f64,
    looked: VecDeque<(Moment, f64)>,
    /// worker -> what it did lately, in seconds
    did: BTreeMap<u32, f64>,
    /// Intervals sealed before this count for nothing: others worked then.
    since: Moment,
}

fn averaged(interval: Duration) -> u32 {
    let whole = AVERAGED_OVER.as_nanos() / interval.as_nanos().max(1);
    u32::try_from(whole).unwrap_or(MOST_AVERAGED).clamp(LEAST_AVERAGED, MOST_AVERAGED)
}

impl Scale {
    /// One that has seen nothing; `cores` of each worker.
    pub(super) fn new(interval: Duration, cores: usize, least: usize) -> Scale {
        Scale {
            interval,
            cores: cores.max(1) as f64,
            averaged: averaged(interval),
            least: least.max(1),
            open: BTreeMap::new(),
            empty: 0,
            shares: VecDeque::new(),
            worked_s: 0.0,
            looked: VecDeque::new(),
            did: BTreeMap::new(),
            since: Moment::ZERO,
        }
    }

    /// The interval's tasks may run.
    pub(super) fn sealed(&mut self, now: Moment, interval: u64, came: Came) {
        self.open.insert(interval, Open { at: now, cost_s: 0.0, came });
    }

    /// A task of the interval kept one of the worker's cores for so long.
    pub(super) fn worked(&mut self, interval: u64, worker: u32, core_time: Duration) {
        if let Some(open) = self.open.get_mut(&interval) {
            open.cost_s += core_time.as_secs_f64();
        }
        self.worked_s += core_time.as_secs_f64();
        *self.did.entry(worker).or_default() += core_time.as_secs_f64();
    }

    /// Others work from now on.
    pub(super) fn changed(&mut self, now: Moment) {
        self.since = now;
        self.shares.clear();
        self.looked.clear();
    }

    /// The interval is done: what is to be done now.
    pub(super) fn done(&mut self, now: Moment, interval: u64, staff: Staff<'_>) -> Option<Step> {
        let Open { at, cost_s, came } = self.open.remove(&interval)?;
        self.did.retain(|worker, _| staff.takers.contains(worker));
        let cores = staff.takers.len() as f64 * self.cores;
        let (room_s, busy) = (cores * self.interval.as_secs_f64(), self.busy(now, cores));
        self.empty = if came == Came::None { self.empty.saturating_add(1) } else { 0 };
        // That nothing came behind what was held down does not say that there was nothing: it could not come. For a while.
        let has_more = self.shares.back().is_some_and(|(_, is_held)| *is_held) && self.empty <= self.averaged;
        let told = match came {
            Came::None => (!has_more).then_some(false),
            Came::Some { is_held } => Some(is_held),
        };
        if let Some(is_held) = told.filter(|_| at >= self.since && room_s > 0.0) {
            self.shares.push_back((cost_s / room_s, is_held));
        }
        if self.shares.len() > self.averaged as usize {
            self.shares.pop_front();
        }
        let step = self.step(staff, busy);
        self.did.values_mut().for_each(|did| *did *= MEMORY);
        step
    }

    /// The share of the cores' time that tasks took lately; nothing while the same have not worked for long enough.
    fn busy(&mut self, now: Moment, cores: f64) -> f64 {
        let window = self.interval * self.averaged;
        self.looked.push_back((now, self.worked_s));
        while self.looked.get(1).is_some_and(|(at, _)| now.since(*at) >= window) {
            self.looked.pop_front();
        }
        let (from, before_s) = self.looked.front().copied().unwrap_or((now, self.worked_s));
        let elapsed = now.since(from);
        let room_s = cores * elapsed.as_secs_f64();
        if elapsed >= window && room_s > 0.0 { (self.worked_s - before_s) / room_s } else { 0.0 }
    }

    fn step(&mut self, staff: Staff<'_>, busy: f64) -> Option<Step> {
        if !staff.is_changing && staff.waiting > 0 && busy >= UP {
            return Some(Step::Up { busy_permille: (busy * 1000.0) as u64 });
        }
        if staff.is_changing || self.shares.len() < self.averaged as usize {
            return None;
        }
        let share = self.shares.iter().map(|(share, _)| share).sum::<f64>() / f64::from(self.averaged);
        let busy_permille = (share * 1000.0) as u64;
        let are_all_held = self.shares.iter().all(|(_, is_held)| *is_held);
        let up = if are_all_held { UP_WHEN_HELD } else { UP };
        if share >= up && staff.waiting > 0 {
            return Some(Step::Up { busy_permille });
        }
        let is_held = self.shares.iter().any(|(_, is_held)| *is_held);
        let is_idle = share <= DOWN && !is_held && staff.takers.len() > self.least;
        let did = |worker: &u32| self.did.get(worker).copied().unwrap_or(0.0);
        let idlest = staff.takers.iter().copied().min_by(|one, other| did(one).total_cmp(&did(other)));
        idlest.filter(|_| is_idle).map(|worker| Step::Down { worker, busy_permille })
    }

    /// Those from this number on wait at the beginning.
    pub(super) fn first_spare(&self) -> u32 {
        u32::try_from(self.least).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Whether fewer work than at the beginning: then whoever waits is called without waiting for the load to tell.
    pub(super) fn is_short(&self, takers: usize) -> bool {
        takers < self.least
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One second each, of workers with two cores, two of which work at the beginning; by interval what its tasks cost in
    /// core seconds, spread as `spread` says over those who work. Who waits when it begins is called by number.
    fn play(costs_s: &[f64], spread: fn(u32) -> f64, waiting: &[u32]) -> Vec<(u64, Step)> {
        let costs: Vec<(f64, bool)> = costs_s.iter().map(|cost_s| (*cost_s, false)).collect();
        play_held(&costs, spread, waiting)
    }

    /// The same, with whether each interval was held down.
    fn play_held(costs_s: &[(f64, bool)], spread: fn(u32) -> f64, waiting: &[u32]) -> Vec<(u64, Step)> {
        let mut scale = Scale::new(Duration::from_secs(1), 2, 2);
        let (mut takers, mut waiting, mut steps) = (vec![1, 2], waiting.to_vec(), Vec::new());
        for (interval, (cost_s, is_held)) in (0u64..).zip(costs_s) {
            let now = Moment::from_millis(1000 * (interval + 1));
            scale.sealed(now, interval, Came::Some { is_held: *is_held });
            let whole: f64 = takers.iter().copied().map(spread).sum();
            for worker in &takers {
                scale.worked(interval, *worker, Duration::from_secs_f64(cost_s * spread(*worker) / whole));
            }
            let staff = Staff { takers: &takers, waiting: waiting.len(), is_changing: false };
            let Some(step) = scale.done(now, interval, staff) else { continue };
            steps.push((interval, step));
            match step {
                Step::Up { .. } => takers.push(waiting.remove(0)),
                Step::Down { worker, .. } => takers.retain(|taker| *taker != worker),
            }
            scale.changed(now + Duration::from_millis(500));
        }
        steps
    }

    #[test]
    fn of_long_intervals_fewer_are_averaged_and_never_a_single_one() {
        let of = |ms| averaged(Duration::from_millis(ms));
        assert_eq!([10, 1000, 1500, 2000, 30_000].map(of), [4, 4, 2, 2, 2]);
    }

    fn evenly(_worker: u32) -> f64 {
        1.0
    }

    /// The first one does least.
    fn by_number(worker: u32) -> f64 {
        f64::from(worker)
    }

    #[test]
    fn one_after_the_other_is_called_while_there_is_too_much_to_do() {
        let steps = play(&[5.0; 20], evenly, &[3, 4, 5]);
        assert_eq!(steps, [(3, Step::Up { busy_permille: 1250 })]);
        let steps = play(&[8.0; 20], evenly, &[3, 4, 5]);
        let shares: Vec<(u64, u64)> = steps
            .iter()
            .map(|(interval, step)| match step {
                Step::Up { busy_permille } => (*interval, *busy_permille),
                Step::Down { .. } => panic!("{steps:?}"),
            })
            .collect();
        assert_eq!(shares, [(3, 2000), (7, 1333), (11, 1000)]);
    }

    #[test]
    fn who_does_least_is_spared_and_never_are_fewer_left_than_at_the_beginning() {
        let costs: Vec<f64> = [8.0; 8].into_iter().chain([0.4; 20]).collect();
        let steps = play(&costs, by_number, &[7, 9]);
        let spared: Vec<u32> = steps
            .iter()
            .filter_map(|(_, step)| match step {
                Step::Down { worker, .. } => Some(*worker),
                Step::Up { .. } => None,
            })
            .collect();
        assert_eq!((steps.len(), spared.as_slice()), (4, &[1, 2][..]), "{steps:?}");
    }

    #[test]
    fn nobody_is_spared_while_more_would_come_if_it_were_let() {
        let busy = [(8.0, true); 8];
        let held = [(0.4, true); 10];
        let idle = [(0.4, false); 10];
        let spared = |costs: &[(f64, bool)]| {
            let steps = play_held(costs, evenly, &[3, 4]);
            let down = steps.iter().filter(|(_, step)| matches!(step, Step::Down { .. }));
            down.map(|(interval, _)| *interval).collect::<Vec<u64>>()
        };
        assert_eq!(spared(&[busy.as_slice(), held.as_slice()].concat()), []);
        assert_eq!(spared(&[busy.as_slice(), held.as_slice(), idle.as_slice()].concat()), [21, 25]);
        assert_eq!(spared(&[busy.as_slice(), idle.as_slice()].concat()), [11, 15]);
    }

    #[test]
    fn somebody_is_called_sooner_while_clients_are_held_down() {
        let called = |costs: &[(f64, bool)]| play_held(costs, evenly, &[3]).first().map(|(interval, _)| *interval);
        assert_eq!(called(&[(2.0, true); 6]), Some(3));
        assert_eq!(called(&[(2.0, false); 6]), None);
        assert_eq!(called(&[(2.0, true), (2.0, false), (2.0, true), (2.0, true), (2.0, true), (2.0, true)]), Some(5));
        assert_eq!(called(&[(1.9, true); 6]), None);
    }

    #[test]
    fn that_nothing_came_while_nothing_could_says_nothing() {
        let shares = |all: &[Came]| {
            let mut scale = Scale::new(Duration::from_secs(1), 1, 1);
            for (interval, came) in (0u64..).zip(all) {
                scale.sealed(Moment::from_millis(interval), interval, *came);
                let staff = Staff { takers: &[1], waiting: 1, is_changing: false };
                scale.done(Moment::from_millis(interval), interval, staff);
            }
            scale.shares.len()
        };
        let [free, held] = [false, true].map(|is_held| Came::Some { is_held });
        assert_eq!(shares(&[held, Came::None, held]), 2);
        assert_eq!(shares(&[free, Came::None, held]), 3);
    }

    #[test]
    fn somebody_is_spared_when_nothing_comes_any_more_though_the_last_that_came_was_held_down() {
        let mut scale = Scale::new(Duration::from_secs(1), 1, 1);
        let spared = (0u64..20).find(|interval| {
            let came = if *interval < 6 { Came::Some { is_held: true } } else { Came::None };
            scale.sealed(Moment::from_millis(*interval), *interval, came);
            let staff = Staff { takers: &[1, 2], waiting: 0, is_changing: false };
            scale.done(Moment::from_millis(*interval), *interval, staff).is_some()
        });
        // Nothing is said by four of them, and then it takes four more.
        assert_eq!(spared, Some(13));
    }

    #[test]
    fn a_step_up_is_not_taken_back_and_a_single_interval_is_no_load() {
        assert_eq!(play(&[3.4; 40], evenly, &[3]), [(3, Step::Up { busy_permille: 850 })]);
        assert_eq!(play(&[1.0, 1.0, 8.0, 1.0, 1.0, 1.0, 8.0, 1.0], evenly, &[3]), []);
    }

    /// When somebody is called where intervals of a second, which cost two cores 1.2 s, are done one each `each_ms`.
    fn called_at(each_ms: u64) -> Option<u64> {
        let mut scale = Scale::new(Duration::from_secs(1), 2, 1);
        (0..40).for_each(|interval| scale.sealed(Moment::ZERO, interval, Came::Some { is_held: false }));
        let staff = Staff { takers: &[1], waiting: 1, is_changing: false };
        (0..40).map(|interval| (interval, 60_000 + each_ms * interval)).find_map(|(interval, ms)| {
            scale.worked(interval, 1, Duration::from_millis(1200));
            scale.done(Moment::from_millis(ms), interval, staff).map(|_| ms)
        })
    }

    #[test]
    fn somebody_is_called_when_a_backlog_keeps_all_cores_busy() {
        assert_eq!([600, 1000].map(called_at), [Some(64_200), None]);
    }

    #[test]
    fn nothing_is_decided_while_somebody_comes_or_goes_or_by_what_others_did() {
        let mut scale = Scale::new(Duration::from_secs(1), 1, 1);
        let staff = Staff { takers: &[1], waiting: 1, is_changing: false };
        let decide = |scale: &mut Scale, interval: u64, staff: Staff<'_>| {
            let now = Moment::from_millis(interval * 1000);
            scale.sealed(now, interval, Came::Some { is_held: false });
            scale.worked(interval, 1, Duration::from_secs(2));
            scale.done(now, interval, staff)
        };
        for interval in 0..9 {
            assert_eq!(decide(&mut scale, interval, Staff { is_changing: true, ..staff }), None);
        }
        scale.changed(Moment::from_millis(8500));
        let seen: Vec<bool> = (9..14).map(|interval| decide(&mut scale, interval, staff).is_some()).collect();
        assert_eq!(seen, [false, false, false, true, true]);
        assert!(scale.is_short(0) && !scale.is_short(1));
    }
}
