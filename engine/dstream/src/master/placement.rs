//! Placement: which worker runs a task. Free cores first, then where the input is, then in turn.
//!
//! Pure and without memory: what it knows of the workers is handed in. Invariant: a task that reads slices is given only to
//! a worker that has a connection with every worker that holds one.

use crate::options::Placement;
use dstream_trace::Moment;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Tasks that a worker has at once, for each of its cores: one that runs and one that waits, so that no core idles for the
/// length of a message, and a slow worker hoards no more than that.
const TASKS_PER_CORE: usize = 2;

/// Tasks that keep a core for less than this are the part of one that they take of it: so long a message may be on its way
/// there and another one back, and a core whose next task is over sooner idles until the one after it comes.
const WHOLE_TASK: Duration = Duration::from_millis(20);

/// No more of them than this for each core, however short: each is a launch that is lost with the worker.
const MOST_TASKS_PER_CORE: usize = 16;

/// A whole task, of which short ones are parts.
const WHOLE: u64 = 1000;

/// A new sample of what a stage's tasks take counts as one part in so many.
const NEW_SHARE: u32 = 4;

/// The owner of a task's state may have so many times as many: state moves only away from a worker that is far behind.
const OWNERS_SHARE: usize = 2;

/// More intervals at once are a backlog: one is worked on, the next one is sealed meanwhile, and results of the one before
/// are on their way.
const MANY_INTERVALS: usize = 3;

/// Thousandths of the usual time that a worker takes which is as fast as others.
const USUAL: u64 = 1000;

/// What placement knows of the workers.
#[derive(Debug, Default)]
pub(super) struct Workers {
    /// Members, with how many tasks they have.
    pub(super) running: BTreeMap<u32, usize>,
    /// The same by (worker, stage).
    of_stages: BTreeMap<(u32, usize), usize>,
    /// stage -> how long a task of it keeps a core
    usual: BTreeMap<usize, Duration>,
    /// worker -> workers that it has no connection with
    pub(super) unreachable: BTreeMap<u32, BTreeSet<u32>>,
    pub(super) cores: usize,
    /// Workers that are to leave, since when: they get no tasks, and are read from.
    pub(super) leaving: BTreeMap<u32, Moment>,
    /// Workers that get tasks only where no other has room, and until when.
    pub(super) slow_until: BTreeMap<u32, Moment>,
    pub(super) placement: Placement,
    /// Workers that take longer than others for the same: so many thousandths of the time.
    pub(super) drags: BTreeMap<u32, u64>,
    /// Intervals that are sealed and not done.
    pub(super) open: usize,
    /// How many tasks of the stage wait, this one included.
    pub(super) ahead: usize,
}

/// Where a task can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// To this worker.
    At(u32),
    /// To nobody until a core is free.
    NobodyFree,
    /// To nobody until one particular worker has room; others may go before.
    Waits,
    /// To nobody: each worker lacks a connection with a worker that holds slices; this one is lacked most.
    CutOff(u32),
}

impl Workers {
    /// Nobody yet; workers will have so many cores.
    pub(super) fn new(cores: usize, placement: Placement) -> Workers {
        Workers { cores, placement, ..Workers::default() }
    }

    /// A task of the stage has been given to the worker.
    pub(super) fn take(&mut self, worker: u32, stage: usize) {
        *self.running.entry(worker).or_default() += 1;
        *self.of_stages.entry((worker, stage)).or_default() += 1;
    }

    /// A task of the stage has ended at the worker.
    pub(super) fn free(&mut self, worker: u32, stage: usize) {
        for running in self.running.get_mut(&worker).into_iter().chain(self.of_stages.get_mut(&(worker, stage))) {
            *running = running.saturating_sub(1);
        }
    }

    /// A worker without tasks.
    pub(super) fn join(&mut self, worker: u32) {
        self.leave(worker);
        self.running.insert(worker, 0);
    }

    /// The worker is no member any more.
    pub(super) fn leave(&mut self, worker: u32) {
        self.running.remove(&worker);
        self.of_stages.retain(|(of, _), _| *of != worker);
    }

    /// A task of the stage kept a core for so long.
    pub(super) fn took(&mut self, stage: usize, core_time: Duration) {
        let usual = self.usual.entry(stage).or_insert(core_time);
        *usual = (*usual * (NEW_SHARE - 1) + core_time) / NEW_SHARE;
    }

    /// How much less than a whole task one of the stage is; nothing while that is not known.
    fn short_of_whole(&self, stage: usize) -> u64 {
        let part = |usual: &Duration| usual.as_nanos() * u128::from(WHOLE) / WHOLE_TASK.as_nanos();
        let part = self.usual.get(&stage).map_or(WHOLE, |usual| u64::try_from(part(usual)).unwrap_or(WHOLE));
        WHOLE.saturating_sub(part)
    }

    /// How many tasks the worker has, short ones as the parts that they are, in thousandths.
    fn tasks(&self, worker: u32) -> u64 {
        let all = self.running.get(&worker).map_or(0, |running| *running as u64 * WHOLE);
        let of_stages = self.of_stages.range((worker, 0)..=(worker, usize::MAX));
        all.saturating_sub(of_stages.map(|((_, stage), count)| *count as u64 * self.short_of_whole(*stage)).sum())
    }

    /// Slow workers whose time is over are as good as others again.
    pub(super) fn forget_slow(&mut self, now: Moment) {
        self.slow_until.retain(|_, until| *until > now);
    }

    /// Members that may be given tasks.
    fn takers(&self) -> impl Iterator<Item = u32> {
        self.running.keys().copied().filter(|worker| !self.leaving.contains_key(worker))
    }

    fn is_slow(&self, worker: u32) -> bool {
        self.slow_until.contains_key(&worker)
    }

    fn is_cut(&self, one: u32, other: u32) -> bool {
        let lacks = |from: u32, to: u32| self.unreachable.get(&from).is_some_and(|lacking| lacking.contains(&to));
        one != other && (lacks(one, other) || lacks(other, one))
    }

    /// How many members say that they have no connection with the worker. What it says itself does not count against it:
    /// a worker that stands still says nothing, and those that do speak would look cut off from it.
    fn lacked_by(&self, worker: u32) -> usize {
        let lacks = |other: &&u32| self.unreachable.get(other).is_some_and(|lacking| lacking.contains(&worker));
        self.running.keys().filter(lacks).count()
    }

    /// Whether the worker takes another task; `owner` has the task's state, if it has any.
    fn has_room(&self, worker: u32, owner: Option<u32>) -> bool {
        let Some(running) = self.running.get(&worker) else { return false };
        // What waits at one that takes long, waits long.
        let at_once = self.cores * if self.drag(worker) > USUAL { 1 } else { TASKS_PER_CORE };
        let by_count = at_once * if owner == Some(worker) { OWNERS_SHARE } else { 1 };
        // Where nothing piles up tasks are counted, however short: else all would go to those who have their input or state,
        // also when others come. Steps of a state stay with the one that has it as long as that takes any.
        let may_have_more = owner.is_none_or(|owner| owner == worker) && self.is_behind();
        let has_work = *running >= self.cores * MOST_TASKS_PER_CORE || self.tasks(worker) >= at_once as u64 * WHOLE;
        *running < by_count || may_have_more && !has_work
    }

    /// Whether intervals pile up, and nobody idles.
    fn is_behind(&self) -> bool {
        self.open > MANY_INTERVALS
            && self.takers().all(|taker| self.running.get(&taker).is_some_and(|running| *running >= self.cores))
    }

    /// Of `candidates` the one with room and the lowest (`cost`, tasks, place in turn).
    fn best<C: Ord>(&self, candidates: &[u32], turn: u32, owner: Option<u32>, cost: impl Fn(u32) -> C) -> Option<u32> {
        let count = u32::try_from(candidates.len()).ok()?.max(1);
        let in_turn = |index: usize| (u32::try_from(index).unwrap_or(0) + count - turn % count) % count;
        let free = candidates.iter().enumerate().filter(|(_, worker)| self.has_room(**worker, owner));
        let load = |worker: u32| (!self.has_free_core(worker), self.tasks(worker));
        free.min_by_key(|(index, worker)| (cost(**worker), load(**worker), in_turn(*index))).map(|(_, w)| *w)
    }

    /// Members without those to avoid; all members if that leaves none.
    fn candidates(&self, avoid: &BTreeSet<u32>) -> Vec<u32> {
        let wanted: Vec<u32> = self.takers().filter(|worker| !avoid.contains(worker)).collect();
        if wanted.is_empty() { self.takers().collect() } else { wanted }
    }

    /// How many halves of a task each core has before it takes another one: none while one is free, one where all that it
    /// has are parts of one. Less of a difference is no reason to read a block from elsewhere.
    fn halves(&self, worker: u32) -> u64 {
        let whole = self.tasks(worker) / (self.cores.max(1) as u64 * WHOLE);
        if self.has_free_core(worker) { 0 } else { (whole * 2).max(1) }
    }

    fn has_free_core(&self, worker: u32) -> bool {
        self.running.get(&worker).is_none_or(|running| *running < self.cores)
    }

    /// How many thousandths of the usual time the worker takes.
    fn drag(&self, worker: u32) -> u64 {
        self.drags.get(&worker).copied().unwrap_or(USUAL)
    }

    /// When the worker would be done with one more task, in thousandths of a usual one's time.
    fn done_after(&self, worker: u32) -> u64 {
        self.drag(worker) * (self.halves(worker) + 2) / 2
    }

    /// The worker, unless it takes so long that all that wait are done sooner by the others.
    fn if_worth_it(&self, worker: u32, candidates: &[u32]) -> Place {
        let others = || candidates.iter().filter(|other| **other != worker && self.drag(**other) == USUAL);
        let cores = (others().count() * self.cores).max(1) as u64;
        let soonest = others().map(|other| self.done_after(*other)).min();
        let by_others = soonest.map(|soonest| soonest + self.ahead as u64 * USUAL / cores);
        let is_too_slow =
            by_others.is_some_and(|by_others| self.drag(worker) > USUAL && self.done_after(worker) > by_others);
        if is_too_slow { Place::NobodyFree } else { Place::At(worker) }
    }

    /// The same worker each time, of these.
    fn always(&self, of: &[u32], turn: u32) -> Option<Place> {
        let worker = *of.get(aperiodic(turn as usize, of.len()))?;
        Some(if self.has_room(worker, None) { Place::At(worker) } else { Place::Waits })
    }

    /// A place for a task that reads blocks held by `holders`: of those who reach one, among the best connected, one with
    /// a free core, and of these a holder: to read a block from elsewhere takes less long than to wait for a task. Nobody
    /// while nobody reaches one: it would only fail, again and again.
    pub(super) fn for_blocks(&self, holders: &[u32], avoid: &BTreeSet<u32>, turn: u32) -> Place {
        let mut candidates = self.candidates(avoid);
        candidates.retain(|worker| holders.is_empty() || holders.iter().any(|holder| !self.is_cut(*worker, *holder)));
        let fewest = candidates.iter().map(|worker| self.lacked_by(*worker)).min().unwrap_or(0);
        let connected: Vec<u32> = candidates.into_iter().filter(|worker| self.lacked_by(*worker) == fewest).collect();
        if self.placement == Placement::Fixed {
            let here: Vec<u32> = connected.iter().copied().filter(|worker| holders.contains(worker)).collect();
            let fixed = self.always(if here.is_empty() { &connected } else { &here }, turn);
            return fixed.unwrap_or(Place::NobodyFree);
        }
        let cost = |worker: u32| (self.is_slow(worker), self.done_after(worker), !holders.contains(&worker));
        let best = self.best(&connected, turn, None, cost);
        best.map_or(Place::NobodyFree, |best| self.if_worth_it(best, &connected))
    }

    /// A place for a task that reads slices and panes held by `sources`: with the `owner` of its state, if that has room.
    pub(super) fn for_slices(
        &self,
        sources: &BTreeSet<u32>,
        avoid: &BTreeSet<u32>,
        owner: Option<u32>,
        turn: u32,
    ) -> Place {
        let reaches_all = |worker: &u32| sources.iter().all(|source| !self.is_cut(*worker, *source));
        let mut candidates: Vec<u32> = self.takers().filter(reaches_all).collect();
        if candidates.is_empty() {
            let worst = sources.iter().max_by_key(|source| (self.lacked_by(**source), **source));
            return worst.map_or(Place::NobodyFree, |worst| Place::CutOff(*worst));
        }
        if candidates.iter().any(|worker| !avoid.contains(worker)) {
            candidates.retain(|worker| !avoid.contains(worker));
        }
        if self.placement == Placement::Fixed {
            return self.always(&candidates, turn).unwrap_or(Place::NobodyFree);
        }
        let drags = |worker: u32| self.is_slow(worker) || self.drag(worker) > USUAL;
        let cost = |worker: u32| (drags(worker), owner != Some(worker));
        let best = self.best(&candidates, turn, owner, cost);
        best.map_or(Place::NobodyFree, |best| self.if_worth_it(best, &candidates))
    }

    /// A place for a second attempt at a task: a worker with a free core, none to `avoid`, that has a connection with all
    /// `sources`, or one of them where `any` is enough; one of them first.
    pub(super) fn beside(&self, sources: &BTreeSet<u32>, any: bool, avoid: &BTreeSet<u32>) -> Option<u32> {
        let reaches = |worker: u32| {
            let mut reached = sources.iter().map(|source| !self.is_cut(worker, *source));
            if any { sources.is_empty() || reached.any(|is| is) } else { reached.all(|is| is) }
        };
        let free = self.running.iter().filter(|(worker, running)| **running < self.cores && !avoid.contains(worker));
        let free = free.filter(|(worker, _)| !self.leaving.contains_key(worker));
        let is_fast = |worker: u32| !self.is_slow(worker) && self.drag(worker) == USUAL;
        let free = free.filter(|(worker, _)| is_fast(**worker) && reaches(**worker));
        free.min_by_key(|(worker, running)| (!sources.contains(worker), **running)).map(|(worker, _)| *worker)
    }

    /// Who saves panes that lie at `sources`: their `owner` if it reaches them all, else another who does. Nobody while
    /// nobody does: it would only fail, again and again.
    pub(super) fn for_save(&self, sources: &BTreeSet<u32>, owner: Option<u32>) -> Option<u32> {
        let is_had = |worker: u32, source: u32| self.running.contains_key(&source) && !self.is_cut(worker, source);
        let reaches_all = |worker: &u32| sources.iter().all(|source| is_had(*worker, *source));
        let owner = owner.filter(|owner| self.running.contains_key(owner));
        owner.into_iter().chain(self.running.keys().copied()).find(reaches_all)
    }
}

/// Which of `count` has this turn: each has one in `count` turns, but not the same one in all of them. Copies of blocks go
/// round as well, and were turns to go round with them, some holders would have most of the tasks and others none. The sum
/// of the turn's digits, as in the sequence of Thue and Morse.
fn aperiodic(turn: usize, count: usize) -> usize {
    if count < 2 {
        return 0;
    }
    let digits = std::iter::successors(Some(turn), |rest| (*rest >= count).then_some(rest / count));
    digits.map(|rest| rest % count).sum::<usize>() % count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workers(running: &[(u32, usize)], cuts: &[(u32, u32)]) -> Workers {
        let mut unreachable: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for (from, to) in cuts {
            unreachable.entry(*from).or_default().insert(*to);
        }
        Workers { running: running.iter().copied().collect(), unreachable, cores: 2, ..Workers::default() }
    }

    fn set(workers: &[u32]) -> BTreeSet<u32> {
        workers.iter().copied().collect()
    }

    /// How many tasks of a stage, each so long, a worker of two cores is given at once; those of states that it has while
    /// nobody idles and while another one does, and of states that another one has.
    #[track_caller]
    fn check_room(task_ms: u64, expected: [usize; 4]) {
        let at_once = |(owner, other): (Option<u32>, usize)| {
            let mut one = Workers { open: MANY_INTERVALS + 1, ..workers(&[(1, 0), (2, other)], &[]) };
            (0..9).for_each(|_| one.took(3, Duration::from_millis(task_ms)));
            while one.has_room(1, owner) {
                one.take(1, 3);
            }
            let full = one.running[&1];
            one.free(1, 3);
            assert!(one.has_room(1, owner));
            full
        };
        let seen = [(None, 2), (Some(1), 2), (Some(1), 1), (Some(2), 2)].map(at_once);
        assert_eq!(seen, expected, "{task_ms} ms");
    }

    #[test]
    fn a_worker_is_given_as_many_tasks_as_keep_its_cores_busy_while_messages_are_under_way() {
        for (task_ms, at_once) in [(100, 4), (20, 4), (10, 8), (4, 20), (0, 32)] {
            check_room(task_ms, [at_once, at_once.max(8), 8, 4]);
        }
    }

    #[test]
    fn a_block_is_read_where_it_lies_unless_that_worker_has_no_free_core_and_another_has() {
        let three = workers(&[(1, 0), (2, 1), (3, 2)], &[]);
        assert_eq!(three.for_blocks(&[2], &set(&[]), 0), Place::At(2));
        assert_eq!(three.for_blocks(&[3], &set(&[]), 0), Place::At(1));
        let busy = workers(&[(1, 2), (2, 3), (3, 4)], &[]);
        assert_eq!(busy.for_blocks(&[2], &set(&[]), 0), Place::At(2));
        assert_eq!(busy.for_blocks(&[3], &set(&[]), 0), Place::At(1));
    }

    #[test]
    fn a_slow_worker_is_given_what_the_others_would_not_have_done_sooner() {
        let slow = |running: &[(u32, usize)], ahead: usize| Workers {
            drags: [(3, 4000)].into(),
            ahead,
            ..workers(running, &[])
        };
        // Its block is there, and so is a free core.
        assert_eq!(slow(&[(1, 1), (2, 1), (3, 0)], 1).for_blocks(&[3], &set(&[]), 0), Place::At(1));
        // The others have no room now, but will be done with all that wait before it.
        assert_eq!(slow(&[(1, 4), (2, 4), (3, 0)], 3).for_blocks(&[3], &set(&[]), 0), Place::NobodyFree);
        assert_eq!(slow(&[(1, 4), (2, 4), (3, 0)], 4).for_blocks(&[3], &set(&[]), 0), Place::At(3));
        // Nothing waits behind others at it.
        assert_eq!(slow(&[(1, 4), (2, 4), (3, 2)], 99).for_blocks(&[3], &set(&[]), 0), Place::NobodyFree);
        // State moves away from it.
        assert_eq!(slow(&[(1, 1), (2, 0), (3, 0)], 1).for_slices(&set(&[]), &set(&[]), Some(3), 0), Place::At(2));
    }

    #[test]
    fn fixed_places_stay_and_wait() {
        let fixed = Workers { placement: Placement::Fixed, ..workers(&[(1, 4), (2, 0), (3, 0)], &[]) };
        assert_eq!(fixed.for_slices(&set(&[]), &set(&[]), None, 4), Place::At(3));
        assert_eq!(fixed.for_slices(&set(&[]), &set(&[]), None, 5), Place::Waits);
        assert_eq!(fixed.for_blocks(&[1, 3], &set(&[]), 1), Place::At(3));
        assert_eq!(Workers { running: BTreeMap::new(), ..fixed }.for_blocks(&[1], &set(&[]), 1), Place::NobodyFree);
    }

    #[test]
    fn fixed_places_are_spread_over_all_however_copies_alternate() {
        let fixed = Workers { placement: Placement::Fixed, ..workers(&[(1, 0), (2, 0), (3, 0)], &[]) };
        let mut placed: BTreeMap<u32, usize> = BTreeMap::new();
        for turn in 0..24 {
            let from = turn / 8 + 1;
            let copies: Vec<u32> = (1..=3).filter(|worker| *worker != from).collect();
            let holders = [from, copies[turn as usize % 2]];
            let Place::At(worker) = fixed.for_blocks(&holders, &set(&[]), turn) else { panic!("{turn}") };
            *placed.entry(worker).or_default() += 1;
        }
        assert_eq!(placed, [(1, 8), (2, 8), (3, 8)].into());
    }

    #[test]
    fn who_leaves_gets_nothing_and_is_read_from() {
        let leaving = Workers { leaving: [(1, Moment::ZERO)].into(), ..workers(&[(1, 0), (2, 1)], &[]) };
        assert_eq!(leaving.for_blocks(&[1], &set(&[]), 0), Place::At(2));
        assert_eq!(leaving.for_slices(&set(&[1]), &set(&[]), Some(1), 0), Place::At(2));
        assert_eq!(leaving.beside(&set(&[1]), true, &set(&[2])), None);
        assert_eq!(leaving.for_save(&set(&[1]), Some(1)), Some(1));
    }

    #[test]
    fn equal_workers_take_turns() {
        let three = workers(&[(1, 0), (2, 0), (3, 0)], &[]);
        let placed: Vec<Place> = (0..4).map(|turn| three.for_slices(&set(&[1]), &set(&[]), None, turn)).collect();
        assert_eq!(placed, [Place::At(1), Place::At(2), Place::At(3), Place::At(1)]);
    }

    #[test]
    fn nobody_gets_more_than_there_is_room_for() {
        assert_eq!(workers(&[(1, 4)], &[]).for_slices(&set(&[1]), &set(&[]), None, 0), Place::NobodyFree);
        assert_eq!(workers(&[], &[]).for_blocks(&[], &set(&[]), 0), Place::NobodyFree);
    }

    #[test]
    fn slices_are_read_only_by_those_who_reach_them() {
        let cut = workers(&[(1, 0), (2, 0), (3, 0)], &[(1, 3)]);
        assert_eq!(cut.for_slices(&set(&[3]), &set(&[]), None, 0), Place::At(2));
        let isolated = workers(&[(1, 0), (2, 0), (3, 0)], &[(1, 3), (2, 3)]);
        assert_eq!(isolated.for_slices(&set(&[1, 3]), &set(&[]), None, 0), Place::CutOff(3));
        assert_eq!(isolated.for_blocks(&[1, 3], &set(&[]), 0), Place::At(1));
    }

    #[test]
    fn a_block_is_not_read_by_those_who_do_not_reach_its_holders() {
        let cut = workers(&[(1, 0), (2, 0), (3, 0)], &[(1, 3), (2, 3)]);
        assert_eq!(cut.for_blocks(&[3], &set(&[]), 0), Place::At(3));
        assert_eq!(cut.for_blocks(&[4], &set(&[]), 0), Place::At(1));
        let gone = workers(&[(1, 0), (2, 0)], &[(1, 3), (2, 3)]);
        assert_eq!(gone.for_blocks(&[3], &set(&[]), 0), Place::NobodyFree);
    }

    #[test]
    fn the_one_that_speaks_is_not_the_one_that_is_cut_off() {
        // 2 and 3 stand still; 1 says that it lacks both.
        let standing = workers(&[(1, 0), (2, 0), (3, 0)], &[(1, 2), (1, 3)]);
        assert_eq!(standing.for_slices(&set(&[1, 2, 3]), &set(&[]), None, 0), Place::CutOff(3));
        assert_eq!(standing.for_blocks(&[1, 2], &set(&[]), 0), Place::At(1));
    }

    #[test]
    fn a_worker_to_avoid_is_taken_when_there_is_no_other() {
        let two = workers(&[(1, 0), (2, 0)], &[]);
        assert_eq!(two.for_slices(&set(&[1]), &set(&[1]), None, 0), Place::At(2));
        assert_eq!(two.for_slices(&set(&[1]), &set(&[1, 2]), None, 0), Place::At(1));
    }

    /// Workers of so many cores, each with so many long tasks and short ones; a short one takes so many milliseconds.
    fn busy(cores: usize, short_ms: u64, tasks: &[(u32, usize, usize)]) -> Workers {
        let mut all = Workers { cores, ..workers(&[], &[]) };
        (0..9).for_each(|_| all.took(0, Duration::from_secs(1)));
        (0..9).for_each(|_| all.took(1, Duration::from_millis(short_ms)));
        for (worker, long, short) in tasks {
            all.join(*worker);
            (0..*long).for_each(|_| all.take(*worker, 0));
            (0..*short).for_each(|_| all.take(*worker, 1));
        }
        all
    }

    #[test]
    fn a_free_core_comes_first_then_clearly_less_to_wait_for_then_the_block() {
        // (cores, length of a short task, what worker 1 and worker 2 have of long and short ones); worker 1 has the block
        let at = |cores, short_ms, one: (usize, usize), two: (usize, usize)| {
            let workers = busy(cores, short_ms, &[(1, one.0, one.1), (2, two.0, two.1)]);
            workers.for_blocks(&[1], &set(&[]), 0)
        };
        assert_eq!(at(1, 19, (0, 0), (0, 0)), Place::At(1));
        assert_eq!(at(1, 19, (0, 1), (0, 0)), Place::At(2));
        assert_eq!(at(4, 19, (0, 4), (0, 0)), Place::At(2));
        assert_eq!(at(4, 3, (1, 0), (0, 3)), Place::At(1));
        assert_eq!(at(1, 3, (1, 0), (0, 1)), Place::At(2));
        assert_eq!(at(1, 3, (0, 1), (1, 0)), Place::At(1));
        assert_eq!(at(1, 3, (1, 0), (1, 0)), Place::At(1));
    }

    #[test]
    fn slices_are_read_where_cores_are_free_before_where_what_is_done_takes_less_long() {
        let workers = busy(4, 3, &[(1, 1, 0), (2, 0, 6)]);
        assert_eq!(workers.for_slices(&set(&[]), &set(&[]), None, 0), Place::At(1));
    }
}
