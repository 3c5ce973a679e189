//! Flow: how many records a second the cluster takes, from how much core time the records of the last intervals cost.
//!
//! A controller after Spark Streaming's (`PIDRateEstimator`), with three differences. It limits from the first interval on,
//! when nothing is measured yet: it begins with little and grows by steps. What the cluster can do is told by the time for
//! which tasks kept cores, not by how long an interval took: where messages go round for several intervals, as many are
//! under way however little there is to do. And what waits are records, counted when they come: more under way than the
//! cluster takes in at full rate while nothing queues. Knows no client, and of tasks only what they cost. Invariant: without
//! a measure the limit is the first one, whatever waits outside.
//!
//! ```text
//! able     = records / max(core time / cores, the longest step of state) x interval     of the last few intervals
//! window   = interval + 2 x the shortest time in which an interval was done
//! beyond   = the same, if what is added costs what the last interval added to the smaller one before it
//! behind   = max(0, records under way - able x window / interval)
//! limit    = share x able - I behind                   at most doubled; or 32 times, while that is half of `beyond`;
//!                                                      or what just came through, while intervals are late
//! share    = nine tenths; less after intervals that took longer than the window and came through more slowly than that
//! ```
//! An interval's first tasks tell how much cheaper its records are than the last ones': where that lets in far more, it is
//! let in before the interval is done. Intervals may be long, and much may wait.

use dstream_trace::Moment;
use std::collections::BTreeMap;
use std::time::Duration;

/// The tasks that read so much of an interval tell what its records cost: a quarter are several tasks of each core.
const FORESEEN: f64 = 0.25;

/// What they tell is acted on where it lets in so many times as much: seldom, for a message to all clients.
const WORTH_FORESEEING: f64 = 1.25;

/// Of what the cluster can do so much is let in: tasks are not cut so finely that no core ever idles, and what waits is
/// worked off by the rest.
const SHARE: f64 = 0.9;

/// Where cores cannot be used for what waits, that share is halved with each late interval, down to what comes through; and
/// grows again by this factor with each that is not late, or that comes through faster than that.
const REGAINED: f64 = 1.15;

/// What waits is worked off over about five intervals.
const INTEGRAL: f64 = 0.2;

/// In the first interval: so many records a core. At the scale of scenarios a record costs milliseconds, so this is a part
/// of an interval; ten intervals later it may be a thousand times as many.
const FIRST_RECORDS_PER_CORE: f64 = 16.0;

/// Never fewer in an interval than one for each core: a limit of none would never be measured again.
const LEAST_RECORDS_PER_CORE: f64 = 1.0;

/// While an interval runs, the limit is lowered when it can be by this much: seldom enough for a message to all clients.
const WORTH_SAYING: f64 = 0.8;

/// What is let in is written down when it is so many times what is written, or the other way round: seldom, for a write to
/// the store, and near enough to begin with.
const FAR: f64 = 1.5;

/// An interval with this share of what was let in had all of it: clients read in steps, and blocks are cut late.
const HELD: f64 = 0.9;

/// What an interval tells counts this much less with each one after it. Intervals that run side by side end together, and
/// the last of them alone would seem to have taken no time.
const MEMORY: f64 = 0.25;

/// From one interval to the next the limit grows by this factor at most.
const MOST_GROWTH: f64 = 2.0;

/// Or by this one, while the cluster was all but idle: it begins with so little that doubling alone would take ten
/// intervals, and what has to wait for these has to be worked off. So few records seem dearer than they are, as each task
/// has a price of its own.
const MOST_LEAP: f64 = 32.0;

/// What it leaps to is no more than this share of what the cluster can do: it may be half as fast as it seems.
const LEAP_SHARE: f64 = 0.5;

/// What tasks cost however little they read is told by two intervals of which one had at least so many times the records.
const APART: f64 = 2.0;

/// And believed to be up to three quarters of what the larger one cost.
const MOST_BEYOND: f64 = 4.0;

/// Nothing queues while no more is under way than comes in so many times the shortest time of an interval. The shortest one
/// had little to do.
const USUAL_TIMES: u32 = 2;

/// With each interval the shortest time is forgotten by one part in so many: it may take longer from some day on.
const FORGETTING: u32 = 32;

/// Before an interval was done, the shortest time of one is taken for so many: messages go round a few times, and intervals
/// may be short.
const UNKNOWN_INTERVALS: u32 = 5;

/// An interval that is under way.
#[derive(Clone, Debug)]
struct Sealed {
    at: Moment,
    records: u64,
    /// Of each of its blocks that has yet to be read.
    blocks: Vec<u64>,
    worked: Worked,
    /// What its first tasks told is acted on.
    is_foreseen: bool,
}

/// What an interval has.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    /// Records.
    pub(super) records: u64,
    /// As many as there would be if each client had sent as many as the one that sent most.
    pub(super) if_alike: u64,
    /// Records of each of its blocks, in the order of the tasks that read them.
    pub(super) blocks: Vec<u64>,
}

/// What a task does beside keeping a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// It reads a block of its interval.
    Reads(usize),
    /// It waited for that of the interval before.
    Steps,
    /// Nothing of either.
    Other,
}

/// What an interval's tasks cost, in seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Worked {
    /// All of them.
    cores_s: f64,
    /// The longest of those that wait for the one of the interval before.
    step_s: f64,
    /// Those that read blocks.
    reads_s: f64,
    /// How many records these have read.
    read: f64,
}

/// What the last intervals had and took; earlier ones count less.
#[derive(Clone, Copy, Debug, Default)]
struct Lately {
    records: f64,
    worked: Worked,
    /// From when the one before was done.
    took_s: f64,
}

/// The controller.
#[derive(Debug)]
pub(super) struct Flow {
    interval: Duration,
    /// Of one worker.
    cores: f64,
    workers: f64,
    /// Records an interval.
    limit: f64,
    /// The limit when the last interval was sealed: it grows once for each, however many end together.
    before: f64,
    /// The lowest limit in the last two intervals: what was read in one may be in a block of the next.
    lowest: f64,
    sealed: BTreeMap<u64, Sealed>,
    last_done: Moment,
    lately: Lately,
    /// Records of the interval that was done last, and how long they kept all cores.
    last: Option<(f64, f64)>,
    /// Which part of what cores can do is let in.
    share: f64,
    /// What came through when the last interval was done, if that was late.
    late: Option<f64>,
    /// The shortest time in which an interval with records was done; before one was, longer than that.
    shortest: Duration,
}

impl Flow {
    /// One that has measured nothing, for so many workers of so many cores each.
    pub(super) fn new(interval: Duration, (workers, cores): (u32, u32)) -> Flow {
        let (workers, cores) = (f64::from(workers.max(1)), f64::from(cores.max(1)));
        let limit = FIRST_RECORDS_PER_CORE * cores * workers;
        Flow {
            interval,
            cores,
            workers,
            limit,
            before: limit,
            lowest: limit,
            sealed: BTreeMap::new(),
            last_done: Moment::ZERO,
            lately: Lately::default(),
            last: None,
            share: SHARE,
            late: None,
            shortest: interval * UNKNOWN_INTERVALS,
        }
    }

    /// Another master has written that it lets in so many records, and the last intervals had so many, oldest first: this
    /// one begins with that, or with what the middle one of the last three had.
    pub(super) fn goes_on(&mut self, written: u64, had: impl DoubleEndedIterator<Item = u64>) {
        let mut last: Vec<u64> = had.rev().filter(|records| *records > 0).take(3).collect();
        last.sort_unstable();
        let middle = last.get(last.len() / 2).copied().unwrap_or(0);
        self.limit = self.limit.max(middle.max(written) as f64);
        (self.before, self.lowest) = (self.limit, self.limit);
    }

    /// How many records are let in, if that is far from what is written.
    pub(super) fn is_far_from(&self, written: u64) -> Option<u64> {
        let (limit, written) = (self.limit, written as f64);
        (limit > written * FAR || limit * FAR < written).then_some(limit as u64)
    }

    /// Records a second that may come.
    pub(super) fn per_second(&self) -> f64 {
        self.limit / self.length_s()
    }

    /// An interval has this. Whether the client that sent most may have sent all that it was let, so that more waits
    /// outside.
    pub(super) fn sealed(&mut self, now: Moment, interval: u64, content: Content) -> bool {
        let Content { records, if_alike, blocks } = content;
        let is_held = if_alike as f64 >= self.lowest * HELD;
        self.lowest = self.before.min(self.limit);
        self.before = self.limit;
        let worked = Worked::default();
        self.sealed.insert(interval, Sealed { at: now, records, blocks, worked, is_foreseen: false });
        is_held
    }

    /// A task of the interval kept a core for so long. Whether there is a new limit.
    pub(super) fn worked(&mut self, interval: u64, core_time: Duration, work: Work) -> bool {
        let Some(Sealed { blocks, worked, .. }) = self.sealed.get_mut(&interval) else { return false };
        let took_s = core_time.as_secs_f64();
        worked.cores_s += took_s;
        match work {
            Work::Steps => worked.step_s = worked.step_s.max(took_s),
            Work::Reads(block) => {
                // A block counts once, however often it is read.
                let records = blocks.get_mut(block).map(std::mem::take).unwrap_or(0) as f64;
                worked.reads_s += if records > 0.0 { took_s } else { 0.0 };
                worked.read += records;
            }
            Work::Other => {}
        }
        matches!(work, Work::Reads(_)) && self.foresees(interval)
    }

    /// Whether the interval's first tasks let in more before it is done. Of what they tell no more is believed than if all
    /// of it had been done.
    fn foresees(&mut self, interval: u64) -> bool {
        let Some(able) = self.foreseen(interval) else { return false };
        let Some(sealed) = self.sealed.get_mut(&interval) else { return false };
        sealed.is_foreseen = true;
        let wide = self.before.max(sealed.records as f64);
        let leap = (able * LEAP_SHARE).min(wide * MOST_LEAP);
        let limit = leap.max((able * SHARE).min(wide * MOST_GROWTH));
        let is_more = self.late.is_none()
            && self.share >= SHARE
            && self.behind(able) == 0.0
            && limit > self.limit * WORTH_FORESEEING;
        if is_more {
            self.limit = limit;
        }
        is_more
    }

    /// How many records of an interval the cluster can work off, if all that these cost has changed as reading them has
    /// since the last intervals. Nothing where that is not known yet or any more, or where steps hold all up.
    fn foreseen(&self, interval: u64) -> Option<f64> {
        let Sealed { records, worked, is_foreseen, .. } = self.sealed.get(&interval)?;
        let (lately, all_read) = (self.lately.worked, *records as f64);
        let is_known = !is_foreseen && worked.read > 0.0 && worked.read >= all_read * FORESEEN && lately.read > 0.0;
        let is_held_up = lately.step_s > lately.cores_s / (self.cores * self.workers);
        let (before_s, now_s) = (lately.reads_s / lately.read, worked.reads_s / worked.read);
        let able = self.able().filter(|_| is_known && !is_held_up)?;
        (now_s > 0.0).then(|| able * before_s / now_s)
    }

    /// An interval that takes too long tells that before it is done. Whether there is a new limit.
    pub(super) fn waited(&mut self, now: Moment) -> bool {
        let Some(Sealed { at, records, .. }) = self.sealed.values().find(|sealed| sealed.records > 0) else {
            return false;
        };
        let took = now.since((*at).max(self.last_done)).as_secs_f64() / self.window_s();
        let most = (*records as f64 / took.max(1.0)).max(self.least());
        let is_less = took > 1.0 && most < self.limit * WORTH_SAYING;
        if is_less {
            self.limit = most;
            self.lowest = self.lowest.min(most);
        }
        is_less
    }

    /// All its results are out, with so many workers that take tasks. Whether there is a new limit.
    pub(super) fn done(&mut self, now: Moment, interval: u64, workers: u32) -> bool {
        let Some(Sealed { at, records, worked, .. }) = self.sealed.remove(&interval) else { return false };
        let before = self.last_done;
        self.last_done = before.max(now);
        self.workers = f64::from(workers.max(1));
        if records == 0 {
            return false; // it tells nothing of what records cost
        }
        let took = now.since(at);
        self.shortest = (self.shortest + self.shortest / FORGETTING).min(took);
        self.lately.add(records as f64, worked, now.since(at.max(before)).as_secs_f64());
        let Some(able) = self.able() else { return false };
        self.judge(took, able);
        let wide = self.before.max(records as f64);
        let leap = (self.beyond(records as f64, worked, able) * LEAP_SHARE).min(wide * MOST_LEAP);
        let behind = self.behind(able);
        let wanted = self.share * able - INTEGRAL * behind;
        self.limit = match self.late {
            // What just came through may come again.
            Some(passed) => wanted.min(self.limit.max(passed.min(wide * MOST_GROWTH))),
            None if behind == 0.0 && self.share >= SHARE && leap > wanted => leap.max(self.limit),
            // What the one before it gave is not taken back because this one had less.
            None => wanted.min(leap.max(wide * MOST_GROWTH).max(self.limit)),
        }
        .max(self.least());
        self.lowest = self.lowest.min(self.limit);
        true
    }

    /// Whether the interval was late tells which part of what cores can do comes through.
    fn judge(&mut self, took: Duration, able: f64) {
        if took.as_secs_f64() <= self.window_s() + self.lately.worked.needed_s(self.cores * self.workers) {
            self.share = (self.share * REGAINED).min(SHARE);
            self.late = None;
            return;
        }
        let passed = self.lately.records / self.lately.took_s.max(self.length_s() / 1000.0) * self.length_s();
        // After a moment of standing still the first one only seems to have taken long.
        if let Some(before) = self.late.replace(passed) {
            let through = SHARE * passed.max(before) / able;
            self.share = through.clamp(self.share / 2.0, (self.share * REGAINED).min(SHARE));
        }
    }

    /// How many records wait.
    fn behind(&self, able: f64) -> f64 {
        let under_way: u64 = self.sealed.values().map(|sealed| sealed.records).sum();
        (under_way as f64 - able * self.window_s() / self.length_s()).max(0.0)
    }

    /// How many records of an interval the cluster can work off if most of what these cost was for tasks and not for
    /// records, as the one before tells, which had far fewer. Never less than what is able as it is.
    fn beyond(&mut self, records: f64, worked: Worked, able: f64) -> f64 {
        let needed_s = worked.needed_s(self.cores * self.workers);
        let Some((before, before_s)) = self.last.replace((records, needed_s)) else { return able };
        if records < before * APART {
            return able;
        }
        let record_s = ((needed_s - before_s) / (records - before)).max(0.0);
        let tasks_s = needed_s - records * record_s;
        let beyond = (self.length_s() - tasks_s) / record_s;
        if beyond.is_nan() { able } else { beyond.clamp(able, able * MOST_BEYOND) }
    }

    /// How many records of an interval the cluster can work off in the time of one; nothing before it is measured.
    fn able(&self) -> Option<f64> {
        let needed_s = self.lately.worked.needed_s(self.cores * self.workers);
        (needed_s > 0.0).then(|| self.lately.records / needed_s * self.length_s())
    }

    fn least(&self) -> f64 {
        LEAST_RECORDS_PER_CORE * self.cores * self.workers
    }

    fn window_s(&self) -> f64 {
        self.length_s() + (self.shortest * USUAL_TIMES).as_secs_f64()
    }

    fn length_s(&self) -> f64 {
        self.interval.as_secs_f64().max(1e-9)
    }
}

impl Worked {
    /// How long this keeps so many cores.
    fn needed_s(&self, cores: f64) -> f64 {
        (self.cores_s / cores).max(self.step_s)
    }
}

impl Lately {
    fn add(&mut self, records: f64, worked: Worked, took_s: f64) {
        self.records = self.records * MEMORY + records;
        self.worked.cores_s = self.worked.cores_s * MEMORY + worked.cores_s;
        self.worked.step_s = self.worked.step_s * MEMORY + worked.step_s;
        self.worked.reads_s = self.worked.reads_s * MEMORY + worked.reads_s;
        self.worked.read = self.worked.read * MEMORY + worked.read;
        self.took_s = self.took_s * MEMORY + took_s;
    }
}

#[cfg(test)]
mod tests;
