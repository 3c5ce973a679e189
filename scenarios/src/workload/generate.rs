//! The generator: records of words drawn by Zipf's law.
//!
//! A record is filled with words until the next one does not fit; that word opens the next record, so that long words
//! are as frequent as the law says; spaces fill the rest. Invariant: a record has exactly the asked number of bytes,
//! its line end included, and depends on nothing but (seed, client, its number).

use super::SourceSpec;
use super::vocabulary::Vocabulary;
use super::zipf::Zipf;
use crate::plan::SourcePlan;
use dstream_cluster::{JobError, LineSource};
use dstream_host::Random;
use dstream_trace::NodeName;
use rand_chacha::ChaCha12Rng;
use rand_core::Rng;

/// The most words a vocabulary may have; more would take gigabytes in every client.
pub const MOST_KEYS: u64 = 1 << 24;

/// One client's stream of generated records.
pub struct GeneratedLines {
    vocabulary: Vocabulary,
    zipf: Zipf,
    random: ChaCha12Rng,
    record_bytes: usize,
    needle: Vec<u8>,
    /// A record is a needle record if its draw is below this; `None` where there are none.
    needle_below: Option<u64>,
    /// The word that did not fit into the last record.
    pending: Option<u32>,
}

impl GeneratedLines {
    /// The stream of client `client`, from its beginning.
    pub(super) fn new(spec: &SourceSpec, client: u32) -> Result<GeneratedLines, JobError> {
        let SourcePlan::Generate { record_bytes, keys, skew, needle, .. } = &spec.plan else {
            return Err(JobError("the source is not a generated one".to_owned()));
        };
        let number_of_keys = u32::try_from(*keys).ok().filter(|keys| (1..=MOST_KEYS).contains(&u64::from(*keys)));
        let Some(keys) = number_of_keys else {
            return Err(JobError(format!("`keys` is {keys}; a vocabulary has 1 to {MOST_KEYS} words")));
        };
        if !skew.is_finite() || *skew < 0.0 {
            return Err(JobError(format!("`skew` is {skew}; it must be 0 or more")));
        }
        let record_bytes = usize::try_from(*record_bytes).ok().filter(|bytes| *bytes >= 2);
        let record_bytes = record_bytes.ok_or_else(|| JobError("a record has at least 2 bytes".to_owned()))?;
        Ok(GeneratedLines {
            vocabulary: Vocabulary::new(keys, &spec.needle),
            zipf: Zipf::new(keys, *skew),
            // Incarnation 0 is no node's life: a restarted client draws the same records again.
            random: Random::new(spec.seed, NodeName::client(client), 0).stream("source"),
            record_bytes,
            needle: spec.needle.clone().into_bytes(),
            needle_below: (*needle > 0.0).then_some((*needle * 2f64.powi(64)) as u64),
            pending: None,
        })
    }

    fn record(&mut self, lines: &mut Vec<u8>) {
        let end = lines.len() + self.record_bytes - 1;
        let start = lines.len();
        if self.needle_below.is_some_and(|below| self.random.next_u64() < below) {
            let fits = self.needle.len().min(end - start);
            lines.extend_from_slice(&self.needle[..fits]);
        }
        loop {
            let rank = self.pending.take().unwrap_or_else(|| self.zipf.rank(self.random.next_u64()));
            let word = self.vocabulary.word(rank);
            let space = usize::from(lines.len() > start);
            if lines.len() == start && word.len() > end - start {
                // Not even an empty record holds it: it is cut.
                lines.extend_from_slice(&word[..end - start]);
                break;
            }
            if lines.len() + space + word.len() > end {
                self.pending = Some(rank);
                break;
            }
            if space == 1 {
                lines.push(b' ');
            }
            lines.extend_from_slice(word);
        }
        lines.resize(end, b' ');
        lines.push(b'\n');
    }
}

impl LineSource for GeneratedLines {
    fn fill(&mut self, records: u64, bytes: usize, lines: &mut Vec<u8>) -> Result<u64, JobError> {
        let start = lines.len();
        let mut made = 0;
        while made < records && lines.len() - start < bytes {
            self.record(lines);
            made += 1;
        }
        Ok(made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn spec(record_bytes: u64, keys: u64, skew: f64, needle: f64) -> SourceSpec {
        let plan = SourcePlan::Generate { rate_per_s: 1.0, record_bytes, keys, skew, needle };
        SourceSpec { plan, seed: 7, clients: 2, needle: "needle".into() }
    }

    fn lines(spec: &SourceSpec, client: u32, records: u64) -> Vec<u8> {
        let mut lines = Vec::new();
        let made = spec.open(client).unwrap().fill(records, usize::MAX, &mut lines).unwrap();
        assert_eq!(made, records);
        lines
    }

    #[test]
    fn records_have_the_asked_size_and_hold_words_of_the_vocabulary_only() {
        for record_bytes in [2, 5, 9, 40, 100] {
            let text = lines(&spec(record_bytes, 50, 1.0, 0.0), 1, 500);
            assert_eq!(text.len() as u64, 500 * record_bytes);
            assert!(text.chunks(record_bytes as usize).all(|record| record.ends_with(b"\n") && record[0] != b' '));
            let words: std::collections::BTreeSet<&[u8]> =
                text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
            assert!(words.len() <= 50, "{record_bytes}: {} words", words.len());
        }
    }

    #[test]
    fn a_stream_depends_on_seed_and_client_and_not_on_how_it_is_read() {
        let spec = spec(60, 100, 1.0, 0.1);
        let whole = lines(&spec, 1, 300);
        assert_ne!(whole, lines(&spec, 2, 300));
        assert_ne!(whole, lines(&SourceSpec { seed: 8, ..spec.clone() }, 1, 300));
        let mut source = spec.open(1).unwrap();
        let mut pieces = Vec::new();
        let mut made = 0;
        while made < 300 {
            // 130 bytes end inside the third record, which is still made whole.
            made += source.fill((300 - made).min(7), 130, &mut pieces).unwrap();
        }
        assert_eq!(pieces, whole);
    }

    #[test]
    fn the_share_of_words_and_needles_follows_the_plan() {
        let text = lines(&spec(100, 10, 1.0, 0.25), 1, 20_000);
        let text = String::from_utf8(text).unwrap();
        let needles = text.lines().filter(|line| line.contains("needle")).count();
        assert!((4_800..5_200).contains(&needles), "{needles} of 20000");
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        text.split_whitespace().filter(|word| *word != "needle").for_each(|word| *counts.entry(word).or_default() += 1);
        let mut counts: Vec<u64> = counts.into_values().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        let total: u64 = counts.iter().sum();
        // The harmonic number of 10 is 2.929: rank 1 has 34.1 %, rank 10 has 3.4 %.
        for (rank, expected) in [(0usize, 0.3414), (1, 0.1707), (9, 0.0341)] {
            let seen = counts[rank] as f64 / total as f64;
            assert!((seen - expected).abs() < 0.004, "rank {rank}: {seen}");
        }
    }

    #[test]
    fn impossible_sources_are_refused() {
        for (spec, part) in [
            (spec(1, 10, 1.0, 0.0), "at least 2 bytes"),
            (spec(100, 0, 1.0, 0.0), "1 to 16777216 words"),
            (spec(100, 1 << 40, 1.0, 0.0), "1 to 16777216 words"),
            (spec(100, 10, f64::NAN, 0.0), "0 or more"),
            (spec(100, 10, -1.0, 0.0), "0 or more"),
        ] {
            let error = spec.open(1).err().expect("it must be refused").0;
            assert!(error.contains(part), "{error}");
        }
    }
}
