//! What a client keeps of what it has read: batches, ready to go as often as they must, until its core forgets them.
//!
//! Knows no worker. Invariant: a record that is kept can be had again, alone or with others, whichever batch it is in.

use bytes::Bytes;
use dstream_trace::RecordRange;
use std::collections::BTreeMap;

/// The most bytes a client keeps until they are held. At this bound it stops reading its source (the due times stay).
const OUTSTANDING_BYTES: usize = 256 << 20;

/// The most bytes it keeps in all, where what is held may be asked for again: what a client that fills a fifth of a link of
/// 1 Gbit reads in twenty seconds, since with a checkpoint every ten the oldest record that is needed is up to two of them
/// old. At this bound it stops reading, too: the next checkpoint, which needs no new record, makes room.
const KEPT_BYTES: usize = 512 << 20;

/// A batch.
struct Kept {
    /// The message with it; its lines stand first.
    payload: Bytes,
    /// Length of the lines.
    lines: usize,
    records: u64,
    is_held: bool,
}

/// Batches by their first records.
#[derive(Default)]
pub(super) struct Keeping {
    batches: BTreeMap<u64, Kept>,
    bytes: usize,
    outstanding_bytes: usize,
    outstanding_records: u64,
}

impl Keeping {
    /// Keeps a batch of so many records, whose lines are the first `lines` bytes of the message.
    pub(super) fn keep(&mut self, first: u64, records: u64, payload: Bytes, lines: usize) {
        self.bytes += payload.len();
        self.outstanding_bytes += payload.len();
        self.outstanding_records += records;
        self.batches.insert(first, Kept { payload, lines, records, is_held: false });
    }

    /// The batch counts as outstanding no longer.
    pub(super) fn held(&mut self, first: u64) {
        let Some(kept) = self.batches.get_mut(&first).filter(|kept| !kept.is_held) else { return };
        kept.is_held = true;
        self.outstanding_bytes -= kept.payload.len();
        self.outstanding_records -= kept.records;
    }

    pub(super) fn forget(&mut self, first: u64) {
        self.held(first);
        self.bytes -= self.batches.remove(&first).map_or(0, |kept| kept.payload.len());
    }

    pub(super) fn payload(&self, first: u64) -> Option<&Bytes> {
        self.batches.get(&first).map(|kept| &kept.payload)
    }

    /// Records that are not held.
    pub(super) fn outstanding_records(&self) -> u64 {
        self.outstanding_records
    }

    /// Whether some are held and may be asked for again.
    pub(super) fn keeps_held(&self) -> bool {
        self.bytes > self.outstanding_bytes
    }

    /// Whether no more is to be read before something goes.
    pub(super) fn is_full(&self) -> bool {
        self.outstanding_bytes >= OUTSTANDING_BYTES || self.bytes >= KEPT_BYTES
    }

    /// The lines of these records, and the length of each range's; nothing if one of them is not here.
    pub(super) fn lines_of(&self, ranges: &[RecordRange]) -> Option<(Vec<u8>, Vec<u64>)> {
        let (mut lines, mut lengths) = (Vec::new(), Vec::new());
        for range in ranges {
            let before = lines.len();
            let mut next = range.first;
            while next <= range.last {
                let (first, kept) = self.batches.range(..=next).next_back()?;
                let end = (first + kept.records).min(range.last + 1);
                if end <= next {
                    return None;
                }
                lines.extend_from_slice(lines_between(&kept.payload[..kept.lines], next - first, end - first));
                next = end;
            }
            lengths.push((lines.len() - before) as u64);
        }
        Some((lines, lengths))
    }
}

/// Lines `from..to`, counted from 0; each ends in one LF.
fn lines_between(lines: &[u8], from: u64, to: u64) -> &[u8] {
    let ends = || lines.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let begin_of = |line: u64| match line {
        0 => Some(0),
        line => ends().nth(usize::try_from(line - 1).unwrap_or(usize::MAX)),
    };
    let (begin, end) = (begin_of(from), begin_of(to));
    &lines[begin.unwrap_or(lines.len())..end.unwrap_or(lines.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Batches of records 0-2, 3-4 and 7-8, each with some bytes behind its lines.
    fn keeping() -> Keeping {
        let mut keeping = Keeping::default();
        for (first, lines) in [(0u64, "a\nbb\n\n"), (3, "dddd\ne\n"), (7, "h\ni\n")] {
            let records = lines.matches('\n').count() as u64;
            keeping.keep(first, records, Bytes::from(format!("{lines}header")), lines.len());
        }
        keeping
    }

    #[track_caller]
    fn check(keeping: &Keeping, ranges: &[(u64, u64)], expected: Option<(&str, &[u64])>) {
        let range = |(first, last): &(u64, u64)| RecordRange { client: 1, first: *first, last: *last };
        let found = keeping.lines_of(&ranges.iter().map(range).collect::<Vec<_>>());
        let found = found.map(|(lines, lengths)| (String::from_utf8(lines).unwrap(), lengths));
        assert_eq!(found, expected.map(|(lines, lengths)| (lines.to_owned(), lengths.to_vec())), "{ranges:?}");
    }

    #[test]
    fn records_are_had_again_whichever_batches_they_are_in() {
        let keeping = keeping();
        check(&keeping, &[(0, 2)], Some(("a\nbb\n\n", &[6])));
        check(&keeping, &[(1, 3)], Some(("bb\n\ndddd\n", &[9])));
        check(&keeping, &[(8, 8), (0, 0), (2, 4)], Some(("i\na\n\ndddd\ne\n", &[2, 2, 8])));
        check(&keeping, &[], Some(("", &[])));
    }

    #[test]
    fn where_one_is_not_here_there_is_no_answer() {
        for missing in [(4, 5), (5, 5), (5, 7), (8, 9), (9, 9)] {
            check(&keeping(), &[(0, 0), missing], None);
        }
        let mut keeping = keeping();
        keeping.forget(0);
        check(&keeping, &[(2, 3)], None);
        check(&keeping, &[(3, 3)], Some(("dddd\n", &[5])));
    }

    #[test]
    fn what_is_held_is_kept_and_is_not_outstanding() {
        let mut keeping = keeping();
        keeping.held(0);
        keeping.held(0);
        assert_eq!((keeping.outstanding_records(), keeping.payload(0).is_some()), (4, true));
        assert!(keeping.keeps_held());
        keeping.forget(0);
        keeping.forget(3);
        assert!(!keeping.keeps_held());
        keeping.forget(99);
        assert_eq!((keeping.outstanding_records(), keeping.bytes, keeping.outstanding_bytes), (2, 10, 10));
    }
}
