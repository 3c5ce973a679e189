//! Pace: how long the attempts of a stage take, and which of those under way take far longer.
//!
//! Knows nothing of what they compute or where else they could run. A worker has more tasks than cores, so that none idles;
//! an attempt's time therefore counts from when it got a core, which follows from what was launched there and has ended, by
//! the workers' own rule (`worker/seats`); one that still waits is slow when it has waited for that long. Invariant: nobody
//! is slow before there is something to compare with: half of the stage's own tasks, or its earlier intervals.
//!
//! ```text
//! launched --a core is free at its worker--> under way --done--> its time is one of the stage's
//!    '-------- waits ----------^                  '--- longer than factor x median --> slow
//! ```

use crate::message::TaskId;
use dstream_trace::Moment;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// A stage's median is that of so many of its last intervals: enough that one slow interval does not count, few enough to
/// follow a changing load.
const INTERVALS: usize = 9;

/// Attempts that would be slow sooner are so after this time: it is what a launch's way there and back and a busy host may
/// cost, so an attempt beside would win nothing.
const LEAST: Duration = Duration::from_millis(20);

/// So many times the usual time is no chance any more. Below it all count as equal, so that nothing moves for noise.
const CLEARLY: f64 = 1.5;

/// A new sample counts as one part in so many.
const NEW_SHARE: f64 = 4.0;

/// In each interval one part in so many of what is known of slow workers is forgotten.
const FORGETTING: f64 = 16.0;

/// How fast attempts are.
#[derive(Debug)]
pub(super) struct Pace {
    /// `None`: nobody is slow.
    factor: Option<f64>,
    cores: usize,
    /// By stage.
    stages: Vec<History>,
    /// (interval, stage)
    groups: BTreeMap<(u64, u32), Group>,
    hosts: BTreeMap<u32, Host>,
    /// Whether a stage's tasks are all alike, by stage: then who takes longer is slow, and not what it was given.
    alike: Vec<bool>,
    /// How many times the usual time workers took lately.
    drags: BTreeMap<u32, f64>,
    /// (stage, partition) -> how many times the usual time it took lately
    weights: BTreeMap<(u32, u32), f64>,
}

/// What earlier intervals of a stage took.
#[derive(Clone, Debug, Default)]
struct History {
    /// Each one's median.
    medians: VecDeque<Duration>,
    /// Attempts that had to fetch their state.
    away: VecDeque<Duration>,
}

/// The attempts of one stage of one interval.
#[derive(Debug, Default)]
struct Group {
    /// Tasks of the stage.
    of: usize,
    under_way: BTreeMap<TaskId, UnderWay>,
    /// The same, by since when.
    by_since: BTreeSet<(Moment, TaskId)>,
    /// Times of those that are done, in order.
    done: Vec<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct UnderWay {
    /// When it got a core; until then, when it was launched.
    since: Moment,
    /// It has to fetch its state.
    is_away: bool,
}

/// A worker's cores.
#[derive(Debug, Default)]
struct Host {
    /// Each with its place in the order of launches.
    seated: BTreeMap<TaskId, u64>,
    /// Earlier intervals first, of one interval later stages first, then in the order of launches.
    waiting: BTreeSet<(u64, Reverse<u32>, u64, TaskId)>,
    next: u64,
}

impl Pace {
    pub(super) fn new(factor: Option<f64>, cores: usize, alike: &[bool]) -> Pace {
        Pace {
            factor,
            cores: cores.max(1),
            stages: vec![History::default(); alike.len()],
            groups: BTreeMap::new(),
            hosts: BTreeMap::new(),
            alike: alike.to_vec(),
            drags: BTreeMap::new(),
            weights: BTreeMap::new(),
        }
    }

    /// The attempt was given to the worker; its stage has `of` tasks. `is_away`: its state lies elsewhere.
    pub(super) fn launched(&mut self, now: Moment, worker: u32, task: TaskId, (of, is_away): (usize, bool)) {
        let host = self.hosts.entry(worker).or_default();
        if host.seated.len() < self.cores {
            host.seated.insert(task, host.next);
        } else {
            host.waiting.insert((task.interval, Reverse(task.stage), host.next, task));
        }
        host.next += 1;
        let group = self.groups.entry((task.interval, task.stage)).or_default();
        group.of = of;
        group.insert(task, UnderWay { since: now, is_away });
    }

    /// The attempt has ended at the worker.
    pub(super) fn ended(&mut self, now: Moment, worker: u32, task: TaskId, is_done: bool) {
        self.leave(now, worker, task);
        let Some(group) = self.groups.get_mut(&(task.interval, task.stage)) else { return };
        let Some(UnderWay { since, is_away }) = group.remove(task).filter(|_| is_done) else { return };
        let took = now.since(since);
        let place = group.done.partition_point(|other| *other <= took);
        group.done.insert(place, took);
        let Some(history) = self.stages.get_mut(task.stage as usize) else { return };
        let usual = median_of(&history.medians);
        if group.done.len() == group.of {
            remember(&mut history.medians, median(&group.done));
        }
        if is_away {
            remember(&mut history.away, Some(took));
        } else if let Some(usual) = usual {
            self.sample(worker, task, took, usual);
        }
    }

    /// Its core goes to the next. One that was not believed to have a core had that of another, whose input came later: it
    /// is that one's from now on.
    fn leave(&mut self, now: Moment, worker: u32, task: TaskId) {
        let Some(host) = self.hosts.get_mut(&worker) else { return };
        let next = if host.seated.remove(&task).is_some() {
            host.waiting.pop_first().map(|(_, _, launched, next)| (next, launched))
        } else {
            let before = host.waiting.len();
            host.waiting.retain(|(.., other)| *other != task);
            let last = host.seated.iter().max_by_key(|(_, launched)| **launched).map(|(last, at)| (*last, *at));
            last.filter(|_| host.waiting.len() < before)
        };
        if let Some((next, launched)) = next {
            host.seated.insert(next, launched);
            if let Some(group) = self.groups.get_mut(&(next.interval, next.stage))
                && let Some(waited) = group.remove(next)
            {
                group.insert(next, UnderWay { since: now, ..waited });
            }
        }
    }

    /// The worker is gone, with all that was under way there.
    pub(super) fn lost(&mut self, worker: u32) {
        let Some(host) = self.hosts.remove(&worker) else { return };
        for task in host.seated.into_keys().chain(host.waiting.into_iter().map(|(.., task)| task)) {
            if let Some(group) = self.groups.get_mut(&(task.interval, task.stage)) {
                group.remove(task);
            }
        }
    }

    /// The interval is over.
    pub(super) fn forget(&mut self, now: Moment, interval: u64) {
        let hosts: Vec<u32> = self.hosts.keys().copied().collect();
        for worker in hosts {
            let host = &self.hosts[&worker];
            let all = host.seated.keys().chain(host.waiting.iter().map(|(.., task)| task));
            let over: Vec<TaskId> = all.filter(|task| task.interval == interval).copied().collect();
            over.iter().for_each(|task| self.is_not_done(now, worker, *task));
            over.into_iter().for_each(|task| self.leave(now, worker, task));
        }
        self.groups.retain(|(of, _), _| *of != interval);
        // Who is given nothing shows nothing: it is tried again after a while.
        self.drags.values_mut().for_each(|drag| *drag -= (*drag - 1.0) / FORGETTING);
    }

    /// It took so long, where others take `usual`: that is the worker's where tasks are alike, else the task's.
    fn sample(&mut self, worker: u32, task: TaskId, took: Duration, usual: Duration) {
        let times = took.as_secs_f64() / usual.as_secs_f64().max(1e-9);
        let known = match self.alike.get(task.stage as usize) {
            Some(true) => self.drags.entry(worker).or_insert(1.0),
            _ => self.weights.entry((task.stage, task.partition)).or_insert(1.0),
        };
        *known += (times - *known) / NEW_SHARE;
    }

    /// Its interval is over without it: it takes at least as long as it has.
    fn is_not_done(&mut self, now: Moment, worker: u32, task: TaskId) {
        let under_way = self.groups.get(&(task.interval, task.stage)).and_then(|group| group.under_way.get(&task));
        let usual = self.stages.get(task.stage as usize).and_then(|history| median_of(&history.medians));
        if let (Some(under_way), Some(usual)) = (under_way.filter(|at| !at.is_away), usual)
            && now.since(under_way.since) > usual
        {
            self.sample(worker, task, now.since(under_way.since), usual);
        }
    }

    /// Workers that take clearly longer than others: how many thousandths of the usual time.
    pub(super) fn drags(&self) -> BTreeMap<u32, u64> {
        let slow = self.drags.iter().filter(|(_, times)| **times >= CLEARLY);
        slow.map(|(worker, times)| (*worker, (times * 1000.0) as u64)).collect()
    }

    /// How many times the usual time of its stage a partition takes, in steps of what is clearly longer.
    pub(super) fn weight(&self, stage: u32, partition: u32) -> u64 {
        let times = self.weights.get(&(stage, partition)).copied().unwrap_or(1.0);
        (times / CLEARLY) as u64
    }

    /// The attempts that are slow by now, earlier intervals first, of one stage who is slow longest.
    pub(super) fn slow(&self, now: Moment) -> Vec<TaskId> {
        let of_group = |((_, stage), group): (&(u64, u32), &Group)| {
            let limit = self.limit(*stage, group);
            let since =
                group.by_since.iter().take_while(move |(since, _)| limit.is_some_and(|limit| *since + limit <= now));
            since.map(|(_, task)| *task).collect::<Vec<TaskId>>()
        };
        self.groups.iter().flat_map(of_group).collect()
    }

    /// When the next one will be, of those that were not at `looked`.
    pub(super) fn deadline(&self, looked: Moment) -> Option<Moment> {
        let next = |((_, stage), group): (&(u64, u32), &Group)| {
            let limit = self.limit(*stage, group)?;
            let first = group.by_since.iter().map(|(since, _)| *since + limit);
            first.filter(|at| *at > looked).min()
        };
        self.groups.iter().filter_map(next).min()
    }

    /// After what time an attempt of the stage is slow. Where it is known what it takes to fetch a task's state first, not
    /// sooner than that: to wait for as long as the remedy takes costs at most twice the best choice.
    fn limit(&self, stage: u32, group: &Group) -> Option<Duration> {
        let (factor, history) = (self.factor?, self.stages.get(stage as usize)?);
        let own = median(&group.done).filter(|_| group.done.len() * 2 >= group.of);
        let usual = own.max(median_of(&history.medians))?;
        let elsewhere = median_of(&history.away).unwrap_or_default();
        Some(usual.mul_f64(factor).max(elsewhere).max(LEAST))
    }
}

impl Group {
    fn insert(&mut self, task: TaskId, under_way: UnderWay) {
        self.by_since.insert((under_way.since, task));
        self.under_way.insert(task, under_way);
    }

    fn remove(&mut self, task: TaskId) -> Option<UnderWay> {
        let under_way = self.under_way.remove(&task)?;
        self.by_since.remove(&(under_way.since, task));
        Some(under_way)
    }
}

fn remember(times: &mut VecDeque<Duration>, time: Option<Duration>) {
    times.extend(time);
    if times.len() > INTERVALS {
        times.pop_front();
    }
}

/// The middle one of times in order, the later of two.
fn median(sorted: &[Duration]) -> Option<Duration> {
    sorted.get(sorted.len() / 2).copied()
}

fn median_of(times: &VecDeque<Duration>) -> Option<Duration> {
    let mut sorted: Vec<Duration> = times.iter().copied().collect();
    sorted.sort_unstable();
    median(&sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLIS: u64 = 1_000_000;

    fn task(interval: u64, partition: u32) -> TaskId {
        TaskId { interval, stage: 0, partition, attempt: 0 }
    }

    fn at(ms: u64) -> Moment {
        Moment(ms * MILLIS)
    }

    /// What happens to the pace, at a time in milliseconds; workers and partitions by number.
    #[derive(Clone, Copy)]
    enum Step {
        /// To this worker, of so many tasks.
        Launch(u64, u32, TaskId, usize),
        Away(u64, u32, TaskId, usize),
        Done(u64, u32, TaskId),
        Failed(u64, u32, TaskId),
        Lost(u32),
        Forget(u64, u64),
    }
    use Step::{Away, Done, Failed, Forget, Launch, Lost};

    fn after(cores: usize, steps: &[Step]) -> Pace {
        let mut pace = Pace::new(Some(1.5), cores, &[true]);
        for step in steps {
            match *step {
                Launch(ms, worker, task, of) => pace.launched(at(ms), worker, task, (of, false)),
                Away(ms, worker, task, of) => pace.launched(at(ms), worker, task, (of, true)),
                Done(ms, worker, task) => pace.ended(at(ms), worker, task, true),
                Failed(ms, worker, task) => pace.ended(at(ms), worker, task, false),
                Lost(worker) => pace.lost(worker),
                Forget(ms, interval) => pace.forget(at(ms), interval),
            }
        }
        pace
    }

    /// The partitions of interval 0 that are slow at a time, and when the next will be, from then on.
    #[track_caller]
    fn check(cores: usize, steps: &[Step], now_ms: u64, slow: &[u32], next_ms: Option<u64>) {
        let pace = after(cores, steps);
        let seen: Vec<u32> = pace.slow(at(now_ms)).iter().map(|task| task.partition).collect();
        assert_eq!((seen.as_slice(), pace.deadline(at(now_ms))), (slow, next_ms.map(at)));
    }

    #[test]
    fn a_worker_drags_that_takes_clearly_longer_and_is_forgotten_when_it_shows_nothing() {
        let interval = |number: u64| {
            let at = number * 1000;
            let launch = |worker: u32| Launch(at, worker, task(number, worker), 3);
            let done = |worker: u32, took: u64| Done(at + took, worker, task(number, worker));
            [launch(1), launch(2), launch(3), done(1, 100), done(2, 100), done(3, 400), Forget(at + 500, number)]
        };
        let steps: Vec<Step> = (0..9).flat_map(interval).collect();
        let pace = after(1, &steps);
        let drags: Vec<u32> = pace.drags().into_keys().collect();
        assert_eq!(drags, [3]);
        let quiet: Vec<Step> = (9..60).map(|number| Forget(number * 1000, number)).collect();
        assert_eq!(after(1, &[steps, quiet].concat()).drags(), BTreeMap::new());
    }

    #[test]
    fn nobody_is_slow_before_half_of_the_stage_is_done() {
        let mut steps: Vec<Step> = (0..4).map(|n| Launch(0, n, task(0, n), 4)).collect();
        steps.push(Done(100, 0, task(0, 0)));
        check(1, &steps, 1000, &[], None);
        steps.push(Done(100, 1, task(0, 1)));
        check(1, &steps, 149, &[], Some(150));
        check(1, &steps, 150, &[2, 3], None);
    }

    #[test]
    fn time_counts_from_when_a_core_is_free_and_waiting_for_one_counts_too() {
        // One core: 1 waits behind 0, which takes 100 ms, as the other worker's do.
        let launch = |n: u32| Launch(0, n / 2, task(0, n), 4);
        let mut steps: Vec<Step> = (0..4).map(launch).collect();
        steps.extend([Done(100, 0, task(0, 0)), Done(100, 1, task(0, 2))]);
        check(1, &steps, 240, &[], Some(250));
        // Worker 1 stands: what waits there is slow as soon as what has its core.
        let launch = |n: u32| Launch(0, n, task(0, n), 4);
        let mut steps: Vec<Step> = (0..3).map(launch).collect();
        steps.extend([Launch(0, 2, task(0, 3), 4), Done(100, 0, task(0, 0)), Done(100, 1, task(0, 1))]);
        check(1, &steps, 150, &[2, 3], None);
    }

    #[test]
    fn who_is_done_first_had_the_core_and_the_other_has_it_since() {
        // One core: the block of 1 came late, so 2, which was launched behind it, ran first.
        let steps = [
            Launch(0, 1, task(0, 0), 4),
            Launch(0, 2, task(0, 1), 4),
            Launch(0, 2, task(0, 2), 4),
            Done(100, 1, task(0, 0)),
            Done(100, 2, task(0, 2)),
        ];
        check(1, &steps, 200, &[], Some(250));
    }

    #[test]
    fn a_stage_of_one_task_is_compared_with_earlier_intervals() {
        let mut steps = vec![Launch(0, 1, task(0, 0), 1)];
        check(1, &steps, 10_000, &[], None);
        steps.extend([Done(100, 1, task(0, 0)), Launch(1000, 1, task(1, 7), 1)]);
        check(1, &steps, 1000, &[], Some(1150));
        check(1, &steps, 1150, &[7], None);
    }

    #[test]
    fn a_failed_attempt_frees_its_core_and_is_no_measure() {
        let steps = [
            Launch(0, 1, task(0, 0), 2),
            Launch(0, 1, task(0, 1), 2),
            Failed(5, 1, task(0, 0)),
            Done(105, 1, task(0, 1)),
            Launch(200, 2, task(0, 2), 2),
        ];
        check(1, &steps, 200, &[], Some(350));
    }

    #[test]
    fn very_short_tasks_are_not_slow_for_what_a_message_may_cost() {
        let steps = [Launch(0, 1, task(0, 0), 2), Launch(0, 2, task(0, 1), 2), Done(1, 1, task(0, 0))];
        check(1, &steps, 2, &[], Some(20));
    }

    #[test]
    fn where_fetching_a_state_takes_longer_an_attempt_gets_that_time() {
        let steps = [
            Away(0, 1, task(0, 0), 1),
            Done(900, 1, task(0, 0)),
            Launch(1000, 1, task(1, 0), 1),
            Done(1100, 1, task(1, 0)),
            Launch(2000, 1, task(2, 0), 1),
            Done(2100, 1, task(2, 0)),
            Launch(3000, 1, task(3, 0), 1),
        ];
        check(1, &steps, 3000, &[], Some(3900));
    }

    #[test]
    fn what_is_lost_or_over_is_not_slow_and_leaves_its_core_to_the_next() {
        let two = || [Launch(0, 1, task(0, 0), 1), Done(100, 1, task(0, 0)), Launch(1000, 1, task(1, 1), 1)];
        check(1, &[&two()[..], &[Lost(1)]].concat(), 9000, &[], None);
        let next = [Launch(1000, 1, task(2, 2), 1), Forget(1010, 1)];
        check(1, &[&two()[..], &next[..]].concat(), 1010, &[], Some(1160));
    }
}
