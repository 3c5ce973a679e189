//! How a running partition comes to another replica.
//!
//! It gets everything the giver would need in its place: the state behind an interval, the input that any heir may ask for,
//! and what readers may ask for of what was made of it. Invariant: a copy that runs can do whatever the one it was made of
//! can, so that the older one may be lost the moment after.

use crate::continuous::message::{Made, NodeNumber, PaneHeader, ToPeer};
use crate::continuous::node::core::Node;
use crate::continuous::node::event::NodeAction;
use crate::continuous::node::input::INPUT_MESSAGE_BYTES;
use crate::continuous::outbox::{Entry, Outbox};
use crate::continuous::source::Source;
use bytes::Bytes;
use dstream_trace::Purpose;
use std::collections::BTreeMap;

/// Bytes of a state in one message: far below what a frame may have, so that a heartbeat does not wait long behind it.
const STATE_PART_BYTES: usize = 4 << 20;

impl Node {
    /// Tries again wherever no turn is under way that would.
    pub(super) fn serve_all_states(&mut self, actions: &mut Vec<NodeAction>) {
        let wanted: Vec<u32> = self.wanted_states.iter().map(|(_, partition, _)| *partition).collect();
        for partition in wanted {
            if self.hosted.get(&partition).is_some_and(|hosted| !hosted.is_busy) {
                self.serve_states(partition, actions);
            }
        }
    }

    /// Gives replicas the state they asked for, as it is between two turns.
    pub(super) fn serve_states(&mut self, partition: u32, actions: &mut Vec<NodeAction>) {
        let is_served = |(_, wanted, _): &(NodeNumber, u32, u64)| *wanted == partition;
        if !self.wanted_states.iter().any(is_served) {
            return;
        }
        let Some(through) = self.common_border(partition) else { return };
        let (now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.wanted_states).into_iter().partition(is_served);
        self.wanted_states = later;
        for (node, partition, version) in now {
            actions.push(NodeAction::CopyState { partition, node, version, through });
        }
    }

    /// The interval behind which all of the partition's operators stand, if it is one. The source may be further on, or
    /// behind: its input goes along, and the copy maps itself what comes behind the border, or was not sealed before.
    /// Results up to there the copy does not make again, so they must be out.
    fn common_border(&self, partition: u32) -> Option<Option<u64>> {
        let hosted = self.hosted.get(&partition)?;
        if !hosted.handed_in.is_empty() || !hosted.withheld.is_empty() {
            return None;
        }
        let closed = |stage: u32| hosted.closed.get(&stage).copied().max(hosted.through);
        let mut stages = self.limits.topology.keyed_of(partition).map(|keyed| closed(keyed.stage));
        let sealed = hosted.source.as_ref()?.sealed();
        let first = stages.next().unwrap_or(sealed);
        stages.all(|closed| closed == first).then_some(first)
    }

    /// The partition's state behind an interval, for a replica; its input and what was made of it go first.
    pub(super) fn copied(
        &mut self,
        partition: u32,
        (node, version): (NodeNumber, u64),
        through: Option<u64>,
        panes: Vec<(PaneHeader, Bytes)>,
        actions: &mut Vec<NodeAction>,
    ) {
        self.hand_on_input(node, partition, version, self.safe, actions);
        let Some(hosted) = self.hosted.get(&partition) else { return };
        // Operators close what a twin's source has sealed. What this one has not, the copy maps itself: readers may lack it.
        let mapped_through = through.min(hosted.source.as_ref().and_then(Source::sealed));
        for (stage, outbox) in &hosted.outboxes {
            let (stage, after) = (*stage, outbox.trimmed());
            let is_scaled = self.writes_single_records(stage);
            let is_map = self.limits.topology.maps.iter().any(|(map, _)| *map == stage);
            let whole_through = if is_map { mapped_through } else { through };
            for (entries, body) in in_messages(outbox.kept_through(whole_through)) {
                let word = ToPeer::Made { partition, version, stage, after, entries };
                actions.push(NodeAction::Tell { node, word, body, purpose: Purpose::Recovery, is_scaled });
            }
        }
        let lacks = hosted.lacking.values().copied().fold(hosted.lacks, u64::wrapping_add);
        let mute_through = hosted.mute_through;
        let mut parts = in_parts(panes).into_iter().peekable();
        while let Some(part) = parts.next() {
            let (panes, body) = part.into_iter().unzip();
            let is_last = parts.peek().is_none();
            let word =
                ToPeer::State { partition, version, through, mapped_through, lacks, mute_through, panes, is_last };
            actions.push(NodeAction::Tell { node, word, body, purpose: Purpose::Recovery, is_scaled: false });
        }
    }

    /// Takes what another replica keeps for the readers of a stage.
    pub(super) fn take_made(&mut self, word: ToPeer, mut body: Bytes) {
        let ToPeer::Made { partition, version, stage, after, entries } = word else { return };
        let Some(hosted) = self.hosted.get_mut(&partition).filter(|hosted| hosted.since == version) else { return };
        let outbox = hosted.made.entry(stage).or_insert_with(|| Outbox::behind(after));
        for Made { interval, records, lacks, parts } in entries {
            let mut rows = BTreeMap::new();
            for (reader, bytes) in parts {
                let Some(bytes) = usize::try_from(bytes).ok().filter(|bytes| *bytes <= body.len()) else { return };
                rows.insert(reader, body.split_to(bytes));
            }
            outbox.push(Entry { interval, records, parts: rows, lacks });
        }
    }

    /// Takes the state, which comes last.
    pub(super) fn take_state(&mut self, word: ToPeer, mut body: Bytes, actions: &mut Vec<NodeAction>) {
        let ToPeer::State { partition, version, through, mapped_through, lacks, mute_through, panes, is_last } = word
        else {
            return;
        };
        if self.cut_short.get(&partition) == Some(&version) {
            return; // the master counts on nothing of it
        }
        let Some(hosted) = self.hosted.get_mut(&partition).filter(|hosted| hosted.since == version) else { return };
        for header in panes {
            let Some(bytes) = usize::try_from(header.bytes).ok().filter(|bytes| *bytes <= body.len()) else { return };
            hosted.panes.push((header, body.split_to(bytes)));
        }
        if !is_last {
            return;
        }
        hosted.panes = joined(std::mem::take(&mut hosted.panes));
        (hosted.through, hosted.mapped_through, hosted.lacks) = (through, mapped_through, lacks);
        (hosted.is_loaded, hosted.is_copy, hosted.mute_through) = (true, true, mute_through);
        self.run_what_is_ready(actions);
    }
}

/// A state in parts of a bounded size, at least one; a pane that is larger goes over several.
fn in_parts(panes: Vec<(PaneHeader, Bytes)>) -> Vec<Vec<(PaneHeader, Bytes)>> {
    let (mut parts, mut room) = (vec![Vec::new()], STATE_PART_BYTES);
    for (header, mut rows) in panes {
        loop {
            let piece = rows.split_to(rows.len().min(room));
            room -= piece.len();
            let of_part = parts.last_mut().expect("there is always one");
            of_part.push((PaneHeader { bytes: piece.len() as u64, ..header }, piece));
            if rows.is_empty() {
                break;
            }
            parts.push(Vec::new());
            room = STATE_PART_BYTES;
        }
    }
    parts
}

/// The panes of which these are the pieces, in order.
fn joined(pieces: Vec<(PaneHeader, Bytes)>) -> Vec<(PaneHeader, Bytes)> {
    let of = |header: &PaneHeader| (header.stage, header.kept, header.interval);
    let pane = |pieces: &[(PaneHeader, Bytes)]| match pieces {
        [whole] => whole.clone(),
        pieces => {
            let rows: Vec<&[u8]> = pieces.iter().map(|(_, rows)| &rows[..]).collect();
            let rows = Bytes::from(rows.concat());
            (PaneHeader { bytes: rows.len() as u64, ..pieces[0].0 }, rows)
        }
    };
    pieces.chunk_by(|(one, _), (other, _)| of(one) == of(other)).map(pane).collect()
}

/// Entries in messages of a bounded size, at least one, so that the reader's side knows where the buffer begins.
fn in_messages<'e>(entries: impl Iterator<Item = &'e Entry>) -> Vec<(Vec<Made>, Vec<Bytes>)> {
    let (mut messages, mut bytes) = (vec![(Vec::new(), Vec::new())], 0);
    for Entry { interval, records, parts, lacks } in entries {
        if bytes >= INPUT_MESSAGE_BYTES {
            messages.push((Vec::new(), Vec::new()));
            bytes = 0;
        }
        let (made, body) = messages.last_mut().expect("there is always one");
        let sizes = parts.iter().map(|(reader, rows)| (*reader, rows.len() as u64)).collect();
        made.push(Made { interval: *interval, records: *records, lacks: *lacks, parts: sizes });
        body.extend(parts.values().cloned());
        bytes += parts.values().map(Bytes::len).sum::<usize>();
    }
    messages
}

#[cfg(test)]
mod tests;
