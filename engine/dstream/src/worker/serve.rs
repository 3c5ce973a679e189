//! Answers to other workers: a block, slices or panes that this worker holds.

use crate::message::{Fetch, Fetched, PaneHeader};
use crate::worker::store::Holdings;
use bytes::Bytes;
use dstream_cluster::message::seal;

/// The most bytes of slices or panes in one answer; the rest is asked for again. Well below the longest frame.
const MOST_ANSWER_BYTES: usize = 8 << 20;

/// The answer, and the bytes that the network model is charged for it where a record stands for `scale` records: blocks
/// are records, slices are already combined.
pub fn answer(holdings: &Holdings, what: &Fetch, scale: u64) -> (Bytes, u64) {
    match what {
        Fetch::Block(name) => match holdings.blocks.get(name) {
            Some(held) => {
                let (lines, lengths) = held.joined();
                let payload = seal(lines, &Fetched::Block { block: held.report.clone(), lengths });
                let declared = payload.len() as u64 * scale;
                (payload, declared)
            }
            None => missing(),
        },
        Fetch::Slices { interval, stage, from, to } => {
            slices(holdings, (*interval, *stage), from, to).map_or_else(missing, |payload| {
                let declared = payload.len() as u64;
                (payload, declared)
            })
        }
        Fetch::Panes { stage, partition, intervals } => {
            panes(holdings, (*stage, *partition), intervals).map_or_else(missing, |payload| {
                let declared = payload.len() as u64;
                (payload, declared)
            })
        }
    }
}

/// The panes of the first of these intervals, and of as many more as are here and fit; nothing if the first is missing.
fn panes(holdings: &Holdings, place: (u32, u32), intervals: &[(u64, u32)]) -> Option<Bytes> {
    let (mut body, mut panes) = (Vec::new(), Vec::new());
    for (interval, attempt) in intervals {
        let Some(pane) = holdings.pane(place, *interval, *attempt) else { break };
        let more: usize = pane.parts.iter().map(Bytes::len).sum();
        if !panes.is_empty() && body.len() + more > MOST_ANSWER_BYTES {
            break;
        }
        panes.push(PaneHeader::of(*interval, pane));
        pane.parts.iter().for_each(|part| body.extend_from_slice(part));
    }
    (!panes.is_empty()).then(|| seal(body, &Fetched::Panes { panes }))
}

fn missing() -> (Bytes, u64) {
    let payload = seal(Vec::new(), &Fetched::Missing);
    let declared = payload.len() as u64;
    (payload, declared)
}

/// All slices, or as many whole reduce partitions as fit (at least one); nothing if one is missing.
fn slices(holdings: &Holdings, (interval, stage): (u64, u32), from: &[u32], to: &[u32]) -> Option<Bytes> {
    let (mut body, mut lengths) = (Vec::new(), Vec::new());
    for (count, to) in to.iter().enumerate() {
        let parts: Vec<Bytes> =
            from.iter().map(|from| holdings.slice(interval, stage, *from, *to)).collect::<Option<_>>()?;
        let more: usize = parts.iter().map(Bytes::len).sum();
        if count > 0 && body.len() + more > MOST_ANSWER_BYTES {
            break;
        }
        for part in parts {
            lengths.push(u32::try_from(part.len()).ok()?);
            body.extend_from_slice(&part);
        }
    }
    Some(seal(body, &Fetched::Slices { lengths }))
}
