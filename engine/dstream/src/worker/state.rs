//! Panes: a task gets those of earlier intervals from here, from another worker or from a checkpoint; a checkpoint is
//! written from them.
//!
//! Knows nothing of what is in them. Invariant: panes are kept under the epoch under which they were made or read, so what
//! the master does not know of any more is not there either.

use crate::message::{
    Fetch, Fetched, Launch, NotFetched, PaneHeader, PaneSource, Save, Stored, TaskOrder, checkpoint_key,
};
use crate::worker::chain::{Link, Step};
use crate::worker::seats::{Rank, Seat};
use crate::worker::store::Pane;
use crate::worker::task::{Answer, TaskContext, fetch};
use bytes::Bytes;
use dstream_cluster::Costs;
use dstream_cluster::message::{open, seal};
use dstream_kernel::Kept;
use dstream_trace::{Event, Purpose};
use std::collections::{BTreeMap, BTreeSet};

/// How often the store is asked to take a checkpoint's object before the master is told; then it asks again.
const SAVE_ATTEMPTS: u32 = 3;

/// Which partition of which stage.
#[derive(Clone, Copy, Debug)]
pub struct PlaceOfState {
    /// The epoch of whoever asks.
    pub epoch: u64,
    /// The stage.
    pub stage: u32,
    /// The partition.
    pub partition: u32,
}

impl PlaceOfState {
    fn key(self) -> (u32, u32) {
        (self.stage, self.partition)
    }

    fn step(self, interval: u64, attempt: u32) -> Step {
        Step { epoch: self.epoch, stage: self.stage, partition: self.partition, interval, attempt }
    }
}

/// interval -> its panes
pub type Past = BTreeMap<u64, Pane>;

/// The steps of state of a launch, by partition: they are under way from the moment at which it was read.
pub fn begin_steps(context: &TaskContext, epoch: u64, launch: &Launch) -> BTreeMap<u32, Link> {
    if context.query.stages[launch.stage as usize].kept.is_empty() {
        return BTreeMap::new();
    }
    let begin = |order: &TaskOrder| {
        let place = PlaceOfState { epoch, stage: launch.stage, partition: order.partition };
        (order.partition, context.chains.begin(place.step(launch.interval, order.attempt)))
    };
    launch.tasks.iter().map(begin).collect()
}

/// The panes that a task reads. Those of a step that is under way here are waited for; its core comes with them. Where
/// memory has a limit, nothing is read before there is a core: else the panes of all that wait would be in memory.
pub async fn past_and_core(
    context: &TaskContext,
    (place, rank): (PlaceOfState, Rank),
    sources: &[PaneSource],
    purpose: Purpose,
) -> Result<(Past, Option<Seat>), NotFetched> {
    let step = |source: &PaneSource| place.step(source.interval, source.attempt);
    let is_coming =
        |source: &PaneSource| source.worker == Some(context.worker) && context.chains.is_under_way(step(source));
    let (coming, there): (Vec<PaneSource>, Vec<PaneSource>) = sources.iter().partition(|source| is_coming(source));
    if context.holdings.is_limited() && !sources.is_empty() {
        let handed = match coming.last() {
            Some(last) => context.chains.follow(step(last)).await,
            None => None,
        };
        let seat = match handed {
            Some(seat) => seat,
            None => context.seats.enter(rank).await,
        };
        return Ok((fetch_past(context, place, sources, purpose).await?, Some(seat)));
    }
    let mut past = fetch_past(context, place, &there, purpose).await?;
    let Some(last) = coming.last() else { return Ok((past, None)) };
    let seat = context.chains.follow(step(last)).await;
    past.extend(own(context, place, &coming).await);
    let missing = coming.iter().filter(|source| !past.contains_key(&source.interval));
    let panes_missing: Vec<(u64, u32)> = missing.map(|source| (source.interval, context.worker)).collect();
    if panes_missing.is_empty() { Ok((past, seat)) } else { Err(NotFetched { panes_missing, ..NotFetched::default() }) }
}

/// Gets all panes, each from the nearest place that has it.
pub async fn fetch_past(
    context: &TaskContext,
    place: PlaceOfState,
    sources: &[PaneSource],
    purpose: Purpose,
) -> Result<Past, NotFetched> {
    let mut past = own(context, place, sources).await;
    let (mut failed, mut read) = (NotFetched::default(), Past::new());
    for worker in makers(context, sources, &past) {
        let wanted: Vec<(u64, u32)> = lacking(sources, &past, &read)
            .filter(|source| source.worker == Some(worker))
            .map(|source| (source.interval, source.attempt))
            .collect();
        fetch_from(context, place, worker, wanted, purpose, &mut read, &mut failed).await;
    }
    let checkpoints: BTreeSet<Stored> = lacking(sources, &past, &read).filter_map(|source| source.checkpoint).collect();
    for saved in read_checkpoints(context, place, checkpoints).await {
        // A new master does not know which attempt it is that counts; they are kept as it calls them, to be found again.
        let called = |interval: u64| sources.iter().find(|source| source.interval == interval);
        let wanted = |(interval, pane): (u64, Pane)| {
            called(interval).map(|source| (interval, Pane { attempt: source.attempt, ..pane }))
        };
        read.extend(saved.into_iter().filter_map(wanted));
    }
    let is_whole = lacking(sources, &past, &read).next().is_none();
    if !is_whole && lacking(sources, &past, &read).any(|source| source.checkpoint.is_some()) {
        // The store does not give it: the next attempt must not come at once.
        context.host.sleep(context.deadline).await;
    }
    failed.panes_missing.extend(not_here(context.worker, lacking(sources, &past, &read)));
    let mut holdings = context.holdings.lock();
    let keep = |(interval, pane)| (interval, holdings.keep_read_pane(place.epoch, place.key(), interval, pane));
    past.extend(read.into_iter().map(keep));
    drop(holdings);
    if is_whole { Ok(past) } else { Err(failed) }
}

/// What these checkpoints have of the place, as far as the store gives it.
async fn read_checkpoints(context: &TaskContext, place: PlaceOfState, checkpoints: BTreeSet<Stored>) -> Vec<Past> {
    let read = |stored| {
        let (store, key) = (context.host.store.clone(), checkpoint_key(stored, place.stage, place.partition));
        tokio::spawn(async move { store.get(&key, 1).await.ok().and_then(|object| saved_panes(&object)) })
    };
    let (mut saved, reads) = (Vec::new(), checkpoints.into_iter().map(read).collect::<Vec<_>>());
    for read in reads {
        saved.extend(read.await.ok().flatten());
    }
    saved
}

async fn own(context: &TaskContext, place: PlaceOfState, sources: &[PaneSource]) -> Past {
    let wanted: Vec<(u64, u32)> = sources.iter().map(|source| (source.interval, source.attempt)).collect();
    context.holdings.panes(place.key(), &wanted).await
}

/// The other workers that have some of what is not here.
fn makers(context: &TaskContext, sources: &[PaneSource], past: &Past) -> BTreeSet<u32> {
    let missing = sources.iter().filter(|source| !past.contains_key(&source.interval));
    missing.filter_map(|source| source.worker).filter(|worker| *worker != context.worker).collect()
}

fn lacking<'a>(sources: &'a [PaneSource], past: &'a Past, read: &'a Past) -> impl Iterator<Item = &'a PaneSource> {
    sources.iter().filter(|source| !past.contains_key(&source.interval) && !read.contains_key(&source.interval))
}

/// The panes that the master believes to be here: unless it is told, it would order the same again and again.
fn not_here<'a>(worker: u32, lacking: impl Iterator<Item = &'a PaneSource>) -> Vec<(u64, u32)> {
    lacking.filter(|source| source.worker == Some(worker)).map(|source| (source.interval, worker)).collect()
}

/// Asks one worker until it has given all panes, or does not go on.
async fn fetch_from(
    context: &TaskContext,
    place: PlaceOfState,
    worker: u32,
    mut wanted: Vec<(u64, u32)>,
    purpose: Purpose,
    read: &mut Past,
    failed: &mut NotFetched,
) {
    while !wanted.is_empty() {
        let what = Fetch::Panes { stage: place.stage, partition: place.partition, intervals: wanted.clone() };
        let got = match fetch(context, worker, purpose, &what).await {
            Answer::Got(Fetched::Panes { panes }, body) => take_panes(&panes, body),
            Answer::Got(..) => None,
            Answer::None => {
                failed.unreachable.push(worker);
                return;
            }
        };
        let got = got.unwrap_or_default();
        let before = wanted.len();
        wanted.retain(|(interval, _)| !got.contains_key(interval));
        read.extend(got);
        if wanted.len() == before {
            failed.panes_missing.extend(wanted.iter().map(|(interval, _)| (*interval, worker)));
            return;
        }
    }
}

fn take_panes(headers: &[PaneHeader], mut body: Bytes) -> Option<Past> {
    headers.iter().map(|header| Some((header.interval, header.take(&mut body)?))).collect()
}

fn saved_panes(object: &Bytes) -> Option<Past> {
    let (headers, body) = open::<Vec<PaneHeader>>(object).ok()?;
    take_panes(&headers, body)
}

/// The panes as the kernel takes them: for each kept, from the oldest interval to the newest; empty before interval 0.
pub fn in_order(kept: &[Kept], interval: u64, past: &Past) -> Vec<Vec<Bytes>> {
    let pane = |index: usize, back: u64| {
        let of = interval.checked_sub(back).and_then(|of| past.get(&of));
        of.and_then(|pane| pane.parts.get(index).cloned()).unwrap_or_default()
    };
    let panes = |(index, kept): (usize, &Kept)| kept.back.clone().rev().map(|back| pane(index, back)).collect();
    kept.iter().enumerate().map(panes).collect()
}

/// Which given-up input a result lacks, if so many of its own interval's blocks are given up: a digest, 0 for none.
pub fn lacks(given_up: u32, past: &Past) -> u64 {
    let lacking: Vec<u64> = past.values().map(|pane| pane.lacks).filter(|lacks| *lacks != 0).collect();
    if given_up == 0 && lacking.is_empty() {
        return 0;
    }
    let mix = |sum: u64, next: u64| (sum.rotate_left(5) ^ next).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    lacking.into_iter().fold(mix(1, u64::from(given_up)), mix).max(1)
}

/// Writes one partition's part of a checkpoint. What could not be had, if it is not in the store.
pub async fn save(context: &TaskContext, epoch: u64, save: &Save) -> Option<NotFetched> {
    let place = PlaceOfState { epoch, stage: save.stage, partition: save.partition };
    let object = {
        let _turn = context.save_reads.acquire().await;
        match fetch_past(context, place, &save.panes, Purpose::Copy).await {
            Ok(past) => object_of(&context.query.stages[save.stage as usize].kept, save.through, &past),
            Err(failed) => return Some(failed),
        }
    };
    let bytes = object.len() as u64;
    let cost = Costs::time(bytes as f64 * context.costs.checkpoint_ns_per_byte);
    let seat = context.seats.enter(Rank::of(save.through, save.stage)).await;
    let used = context.host.cpu.run(Box::new(move || cost)).await;
    drop(seat);
    let cpu_ns = u64::try_from(used.0.as_nanos()).unwrap_or(u64::MAX);
    context.host.trace.record(Event::CpuUsed { cpu_ns });
    let stored = Stored { through: save.through, attempt: save.attempt };
    let key = checkpoint_key(stored, save.stage, save.partition);
    for _ in 0..SAVE_ATTEMPTS {
        if context.host.store.put(&key, object.clone(), 1).await.is_ok() {
            let Save { through, stage, partition, .. } = *save;
            context.host.trace.record(Event::StateSaved { through, stage, partition, bytes });
            return None;
        }
        context.host.sleep(context.deadline).await;
    }
    Some(NotFetched::default())
}

/// One object: headers before panes, without what no interval after the checkpoint reads.
fn object_of(kept: &[Kept], through: u64, past: &Past) -> Bytes {
    let (mut headers, mut body) = (Vec::new(), Vec::new());
    for (interval, pane) in past {
        let is_read =
            |(index, _): &(usize, &Bytes)| kept.get(*index).is_some_and(|kept| interval + kept.back.end() > through);
        let part = |(index, part): (usize, &Bytes)| if is_read(&(index, part)) { part.clone() } else { Bytes::new() };
        let parts = pane.parts.iter().enumerate().map(part).collect();
        let pane = Pane { parts, ..pane.clone() };
        headers.push(PaneHeader::of(*interval, &pane));
        pane.parts.iter().for_each(|part| body.extend_from_slice(part));
    }
    seal(body, &headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(back: std::ops::RangeInclusive<u64>) -> Kept {
        Kept { label: "values".to_owned(), rows: "(String, u64)".to_owned(), back }
    }

    fn past(intervals: &[u64]) -> Past {
        let pane = |interval: &u64| {
            let part = |kind: &str| Bytes::from(format!("{kind}{interval}"));
            (*interval, Pane { parts: vec![part("v"), part("w")], attempt: 0, lacks: *interval % 2 })
        };
        intervals.iter().map(pane).collect()
    }

    #[test]
    fn panes_are_given_oldest_first_and_empty_before_the_stream() {
        let text = |panes: Vec<Vec<Bytes>>| -> Vec<Vec<String>> {
            let part = |part: Bytes| String::from_utf8(part.to_vec()).unwrap();
            panes.into_iter().map(|panes| panes.into_iter().map(part).collect()).collect()
        };
        let window = [kept(3..=3), kept(1..=1)];
        assert_eq!(text(in_order(&window, 7, &past(&[4, 6]))), [["v4"], ["w6"]]);
        assert_eq!(text(in_order(&window, 2, &past(&[1]))), [[""], ["w1"]]);
        assert_eq!(text(in_order(&[kept(1..=2)], 5, &past(&[3, 4]))), [["v3", "v4"]]);
    }

    #[test]
    fn panes_that_the_master_believes_to_be_here_and_are_not_are_named() {
        let source = |interval, worker| PaneSource { interval, attempt: 1, worker: Some(worker), checkpoint: None };
        let mut holdings = crate::worker::store::Holdings::default();
        holdings.begin_epoch(Some(1), false);
        // This worker made the panes of interval 4 once; since then it has read those of a later attempt.
        for attempt in [1, 2] {
            let pane = Pane { parts: vec![], attempt, lacks: 0 };
            holdings.keep_pane(1, (1, 0), 4, pane);
        }
        let sources = [source(3, 2), source(4, 7), source(5, 7)];
        let here = |source: &PaneSource| {
            holdings.pane_bytes((1, 0), source.interval, source.attempt)?;
            Some((source.interval, Pane { parts: vec![], attempt: source.attempt, lacks: 0 }))
        };
        let own: Past = sources.iter().filter_map(here).collect();
        assert_eq!(not_here(7, lacking(&sources, &own, &past(&[3, 5]))), [(4, 7)]);
    }

    #[test]
    fn a_checkpoint_holds_what_later_intervals_read_and_nothing_else() {
        let object = object_of(&[kept(3..=3), kept(1..=1)], 5, &past(&[3, 4, 5]));
        let saved = saved_panes(&object).unwrap();
        let parts: Vec<Vec<&[u8]>> =
            saved.values().map(|pane| pane.parts.iter().map(AsRef::as_ref).collect()).collect();
        assert_eq!(parts, [[b"v3".as_slice(), b""], [b"v4", b""], [b"v5", b"w5"]]);
        assert_eq!(saved.values().map(|pane| pane.lacks).collect::<Vec<_>>(), [1, 0, 1]);
        assert_eq!(saved_panes(&object.slice(..object.len() - 1)), None);
    }

    #[test]
    fn what_a_result_lacks_follows_from_its_lineage() {
        assert_eq!(lacks(0, &past(&[2, 4])), 0);
        assert_ne!(lacks(0, &past(&[3])), 0);
        assert_ne!(lacks(1, &past(&[])), lacks(2, &past(&[])));
        assert_eq!(lacks(1, &past(&[3])), lacks(1, &past(&[2, 3])));
    }
}
