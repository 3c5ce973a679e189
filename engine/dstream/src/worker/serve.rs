//! Answers to other workers: a block, slices or panes that this worker holds.

use crate::message::{Fetch, Fetched, PaneHeader};
use crate::worker::store::SharedHoldings;
use bytes::Bytes;
use dstream_cluster::message::seal;
use dstream_trace::BlockName;

/// The most bytes of slices or panes in one answer; the rest is asked for again. Well below the longest frame.
const MOST_ANSWER_BYTES: usize = 8 << 20;

/// The answer, and the bytes that the network model is charged for it where a record stands for `scale` records: blocks
/// are records, slices are already combined.
pub async fn answer(holdings: &SharedHoldings, what: &Fetch, scale: u64) -> (Bytes, u64) {
    let (payload, scale) = match what {
        Fetch::Block(name) => (block(holdings, name).await, scale),
        Fetch::Slices { interval, stage, from, to } => (slices(holdings, (*interval, *stage), from, to).await, 1),
        Fetch::Panes { stage, partition, intervals } => (panes(holdings, (*stage, *partition), intervals).await, 1),
    };
    let (payload, scale) = payload.map_or_else(|| (seal(Vec::new(), &Fetched::Missing), 1), |payload| (payload, scale));
    let declared = payload.len() as u64 * scale;
    (payload, declared)
}

async fn block(holdings: &SharedHoldings, name: &BlockName) -> Option<Bytes> {
    let held = holdings.block(name).await?;
    let (lines, lengths) = held.joined();
    Some(seal(lines, &Fetched::Block { block: held.report, lengths }))
}

/// The panes of the first of these intervals, and of as many more as are here and fit; nothing if the first is missing.
async fn panes(holdings: &SharedHoldings, place: (u32, u32), intervals: &[(u64, u32)]) -> Option<Bytes> {
    let fitting = {
        let holdings = holdings.lock();
        let mut total = 0;
        let fits = |(interval, attempt): &&(u64, u32)| {
            let bytes = holdings.pane_bytes(place, *interval, *attempt);
            let is_first = total == 0;
            total += bytes.unwrap_or(0);
            bytes.is_some() && (is_first || total <= MOST_ANSWER_BYTES as u64)
        };
        intervals.iter().take_while(fits).count()
    };
    let wanted = &intervals[..fitting];
    let found = holdings.panes(place, wanted).await;
    let (mut body, mut panes) = (Vec::new(), Vec::new());
    // Up to the first that is gone by now.
    for (interval, pane) in wanted.iter().map_while(|(interval, _)| Some((*interval, found.get(interval)?))) {
        panes.push(PaneHeader::of(interval, pane));
        pane.parts.iter().for_each(|part| body.extend_from_slice(part));
    }
    (!panes.is_empty()).then(|| seal(body, &Fetched::Panes { panes }))
}

/// All slices, or as many whole reduce partitions as fit (at least one); nothing if one is missing.
async fn slices(holdings: &SharedHoldings, place: (u64, u32), from: &[u32], to: &[u32]) -> Option<Bytes> {
    let found = holdings.slices(place, from, to).await?;
    let (mut body, mut lengths) = (Vec::new(), Vec::new());
    for (count, to) in to.iter().enumerate() {
        let parts: Vec<&Bytes> = from.iter().map(|from| found.get(&(*to, *from))).collect::<Option<_>>()?;
        let more: usize = parts.iter().map(|part| part.len()).sum();
        if count > 0 && body.len() + more > MOST_ANSWER_BYTES {
            break;
        }
        for part in parts {
            lengths.push(u32::try_from(part.len()).ok()?);
            body.extend_from_slice(part);
        }
    }
    Some(seal(body, &Fetched::Slices { lengths }))
}
