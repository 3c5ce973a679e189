//! From received blocks of lines to batches of text: skipped lines are cut out, long blocks are cut at line ends.
//!
//! Knows no operator. Invariant: the batches, one after the other, are the block without its skipped lines; each batch is
//! whole lines, the last LF included.

use crate::query::{LineBlock, TaskError};
use std::num::NonZeroU64;
use std::ops::Range;

/// Bytes of a batch, unless one line is longer. A batch and what is computed from it stay in the second-level cache.
const BATCH_BYTES: usize = 64 << 10;

impl LineBlock {
    /// How many lines the task reads.
    pub fn records_read(&self) -> u64 {
        self.skip.iter().fold(self.records, |left, range| left.saturating_sub(range.end.saturating_sub(range.start)))
    }

    /// The lines that the task reads, as text: maximal runs of lines that are not skipped.
    pub(crate) fn runs(&self) -> Result<Vec<&str>, TaskError> {
        let text = std::str::from_utf8(&self.lines)
            .map_err(|error| TaskError::Corrupt { what: "a line is not UTF-8", at: error.valid_up_to() })?;
        if !text.is_empty() && !text.ends_with('\n') {
            return Err(TaskError::Corrupt { what: "the last line has no end", at: text.len() });
        }
        if self.skip.is_empty() {
            return Ok(vec![text]);
        }
        let skipped = skipped_bytes(text.as_bytes(), &self.skip)?;
        let starts = std::iter::once(0).chain(skipped.iter().map(|range| range.end));
        let ends = skipped.iter().map(|range| range.start).chain(std::iter::once(text.len()));
        Ok(starts.zip(ends).map(|(start, end)| &text[start..end]).collect())
    }
}

/// Ranges of lines as ranges of bytes.
fn skipped_bytes(lines: &[u8], skip: &[Range<u64>]) -> Result<Vec<Range<usize>>, TaskError> {
    let mut ends = memchr::memchr_iter(b'\n', lines).map(|at| at + 1);
    let (mut line, mut at) = (0, 0);
    let mut advance_to = |wanted: u64| {
        let steps = wanted.checked_sub(line);
        let steps = steps.ok_or(TaskError::Corrupt { what: "ranges of skipped lines are not in order", at })?;
        for _ in 0..steps {
            at = ends.next().ok_or(TaskError::Corrupt { what: "more lines are skipped than there are", at })?;
        }
        line = wanted;
        Ok(at)
    };
    skip.iter().map(|range| Ok(advance_to(range.start)?..advance_to(range.end)?)).collect()
}

/// Cuts a run of lines into groups of `count` lines; the last may have fewer.
pub(crate) fn groups(run: &str, count: NonZeroU64) -> impl Iterator<Item = &str> {
    let ends = memchr::memchr_iter(b'\n', run.as_bytes()).map(|at| at + 1);
    let step = usize::try_from(count.get()).unwrap_or(usize::MAX);
    let mut ends = ends.skip(step - 1).step_by(step);
    let mut start = 0;
    std::iter::from_fn(move || {
        if start == run.len() {
            return None;
        }
        let end = ends.next().unwrap_or(run.len());
        Some(&run[std::mem::replace(&mut start, end)..end])
    })
}

/// Cuts a run of lines into batches of about [`BATCH_BYTES`].
pub(crate) fn batches(run: &str) -> impl Iterator<Item = &str> {
    let mut rest = run;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (batch, after) = rest.split_at(batch_length(rest.as_bytes()));
        rest = after;
        Some(batch)
    })
}

fn batch_length(run: &[u8]) -> usize {
    if run.len() <= BATCH_BYTES {
        return run.len();
    }
    let end = memchr::memrchr(b'\n', &run[..BATCH_BYTES]);
    // No line ends in the first bytes: the line is longer than a batch and is a batch of its own.
    let end = end.or_else(|| memchr::memchr(b'\n', &run[BATCH_BYTES..]).map(|at| BATCH_BYTES + at));
    end.map_or(run.len(), |at| at + 1)
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "a list of one range is meant")]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn block(lines: &str, skip: &[Range<u64>]) -> LineBlock {
        let records = lines.matches('\n').count() as u64;
        LineBlock { lines: Bytes::copy_from_slice(lines.as_bytes()), records, skip: skip.to_vec() }
    }

    fn check(lines: &str, skip: &[Range<u64>], expected: Result<&str, &str>) {
        let block = block(lines, skip);
        let runs = block.runs().map(|runs| runs.concat());
        assert_eq!(runs.map_err(|error| error.to_string()), expected.map(str::to_owned).map_err(str::to_owned));
        if let Ok(text) = expected {
            assert_eq!(block.records_read(), text.matches('\n').count() as u64);
        }
    }

    #[test]
    fn skipped_lines_are_cut_out_and_wrong_ranges_are_refused() {
        check("", &[], Ok(""));
        check("a\nb\nc\n", &[], Ok("a\nb\nc\n"));
        check("a\nb\nc\n", &[0..1], Ok("b\nc\n"));
        check("a\nb\nc\n", &[0..1, 2..3], Ok("b\n"));
        check("a\nb\nc\n", &[0..3], Ok(""));
        check("a\nb\nc\n", &[1..1], Ok("a\nb\nc\n"));
        check("a\nb\n", &[1..3], Err("more lines are skipped than there are at byte 4"));
        check("a\nb\n", &[1..2, 0..1], Err("ranges of skipped lines are not in order at byte 4"));
        check("a\nb", &[], Err("the last line has no end at byte 3"));
    }

    #[test]
    fn text_that_is_not_utf8_is_refused() {
        let block = LineBlock { lines: Bytes::from_static(b"ab\xff\n"), records: 1, skip: Vec::new() };
        assert_eq!(block.runs(), Err(TaskError::Corrupt { what: "a line is not UTF-8", at: 2 }));
    }

    #[test]
    fn groups_have_as_many_lines_as_they_should_and_the_last_one_what_is_left() {
        let check = |lines: &str, count: u64, expected: &[&str]| {
            let count = NonZeroU64::new(count).expect("the tests group by one or more");
            assert_eq!(groups(lines, count).collect::<Vec<_>>(), expected);
        };
        check("", 1, &[]);
        check("\n", 1, &["\n"]);
        check("a\n\nb\n", 1, &["a\n", "\n", "b\n"]);
        check("a\n\nb\n", 2, &["a\n\n", "b\n"]);
        check("a\n\nb\n", 3, &["a\n\nb\n"]);
        check("a\n\nb\n", u64::MAX, &["a\n\nb\n"]);
    }

    #[test]
    fn batches_end_with_lines_even_where_a_line_is_longer_than_a_batch() {
        let long = "x".repeat(3 * BATCH_BYTES);
        let text = format!("{}{long}\n{}", "short line\n".repeat(20_000), "after\n".repeat(20_000));
        let cut: Vec<&str> = batches(&text).collect();
        assert!(cut.len() > 4 && cut.iter().all(|batch| batch.ends_with('\n')));
        assert!(cut.iter().all(|batch| batch.len() <= BATCH_BYTES || batch.contains(&long)));
        assert_eq!(cut.concat(), text);
    }
}
