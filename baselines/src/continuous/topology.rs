//! The query as a continuous engine sees it: maps run by the sources, keyed operators behind them, channels between.
//!
//! Invariant: every shuffle has one stage that writes it and one that reads it.

use dstream_kernel::{OutputId, Query, StageEnd, StageInput, Width};
use std::collections::BTreeSet;

/// Where an operator's results go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// To the operators of this stage.
    Stage(u32),
    /// To the sink.
    Output(OutputId),
}

/// A stage behind a shuffle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// The stage.
    pub stage: u32,
    /// The stage that writes what it reads.
    pub writer: u32,
    /// How many operators write.
    pub writers: u32,
    /// How many operators read: its partitions.
    pub width: u32,
    /// Where its results go.
    pub target: Target,
    /// It has a result at the end of every so many intervals.
    pub every: u64,
}

/// All stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    /// How many partitions and sources there are.
    pub partitions: u32,
    /// Stages that read lines, each with the stage that reads what it writes.
    pub maps: Vec<(u32, u32)>,
    /// The others, in topological order.
    pub keyed: Vec<Keyed>,
    /// How many earlier intervals' input a result can depend on, over all stages; `None`: all of them.
    pub reach: Option<u64>,
    /// How many intervals back the oldest pane is that any operator reads.
    pub looks_back: u64,
}

/// Why a query cannot be run by long-lived operators.
const NO_SHUFFLE: &str = "an output without a shuffle before it (such as plain lines) has no operator that could \
                              close its intervals; only `dstream` runs it";

/// The same: what a stage has sent is kept until its one reader has made it safe.
const TWO_READERS: &str = "two streams are made of the same grouped records, and what is sent to operators here is \
                           kept for one reader; group them once for each, or run it with `dstream`";

impl Topology {
    /// Reads the query.
    ///
    /// # Errors
    ///
    /// An output has no keyed operator before it, or a shuffle has two readers: words for who wrote the job.
    pub fn of(query: &Query, partitions: u32) -> Result<Topology, &'static str> {
        let behind_shuffles = || query.stages.iter().filter(|stage| stage.input != StageInput::Lines);
        let shuffles: BTreeSet<_> = behind_shuffles().map(|stage| stage.input).collect();
        if shuffles.len() < behind_shuffles().count() {
            return Err(TWO_READERS);
        }
        let reader = |end: StageEnd| match end {
            StageEnd::Shuffle(shuffle) => {
                let reads = query.stages.iter().find(|stage| stage.input == StageInput::Shuffle(shuffle));
                Target::Stage(reads.expect("every shuffle is read").id.0)
            }
            StageEnd::Output(output) => Target::Output(output),
        };
        let width = |width: Width| if width == Width::One { 1 } else { partitions };
        let (mut maps, mut keyed) = (Vec::new(), Vec::<Keyed>::new());
        for stage in &query.stages {
            match (stage.input, reader(stage.end)) {
                (StageInput::Lines, Target::Stage(reader)) => maps.push((stage.id.0, reader)),
                (StageInput::Lines, Target::Output(_)) => return Err(NO_SHUFFLE),
                (StageInput::Shuffle(_), target) => {
                    let from_keyed = keyed.iter().find(|keyed| keyed.target == Target::Stage(stage.id.0));
                    let from_map = maps.iter().find(|(_, reader)| *reader == stage.id.0).map(|(map, _)| *map);
                    let (writer, writers) = match (from_keyed, from_map) {
                        (Some(keyed), _) => (keyed.stage, keyed.width),
                        (None, map) => (map.expect("every shuffle is written"), partitions),
                    };
                    let every = match target {
                        Target::Output(output) => query.outputs[output.0 as usize].every.max(1),
                        Target::Stage(_) => 1,
                    };
                    keyed.push(Keyed { stage: stage.id.0, writer, writers, width: width(stage.width), target, every });
                }
            }
        }
        let reach = query.stages.iter().map(|stage| stage.reach).try_fold(0u64, |sum, reach| Some(sum + reach?));
        let panes = query.stages.iter().flat_map(|stage| &stage.kept);
        let looks_back = panes.map(|pane| *pane.back.end()).max().unwrap_or(0);
        Ok(Topology { partitions, maps, keyed, reach, looks_back })
    }

    /// The first interval whose panes a state behind an interval needs.
    pub fn oldest_pane(&self, through: u64) -> u64 {
        (through + 1).saturating_sub(self.looks_back)
    }

    /// The keyed stages that a partition has.
    pub fn keyed_of(&self, partition: u32) -> impl Iterator<Item = &Keyed> {
        self.keyed.iter().filter(move |keyed| partition < keyed.width)
    }

    /// The stage that reads what this one writes.
    pub fn reader_of(&self, writer: u32) -> Option<&Keyed> {
        self.keyed.iter().find(|keyed| keyed.writer == writer)
    }

    /// Whether a stage has a result at the end of the interval.
    pub fn is_due(&self, stage: u32, interval: u64) -> bool {
        self.keyed.iter().any(|keyed| keyed.stage == stage && (interval + 1).is_multiple_of(keyed.every))
    }

    /// The stages whose output a partition must keep: the maps, and its keyed stages that write a shuffle.
    pub fn writers_of(&self, partition: u32) -> impl Iterator<Item = u32> {
        let shuffling = self.keyed_of(partition).filter(|keyed| matches!(keyed.target, Target::Stage(_)));
        self.maps.iter().map(|(map, _)| *map).chain(shuffling.map(|keyed| keyed.stage))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dstream_kernel::{DStream, QueryBuilder};

    /// Whether the job is taken, or the refusal's words.
    fn check(write: fn(DStream<String>), expected: Result<usize, &str>) {
        let builder = QueryBuilder::new();
        write(builder.lines());
        let seen = Topology::of(&builder.build().unwrap(), 4);
        assert_eq!(seen.map(|topology| topology.keyed.len()), expected);
    }

    fn ones(lines: &DStream<String>) -> DStream<(String, u64)> {
        lines.map::<(String, u64)>(|line| (line, 1))
    }

    #[test]
    fn a_query_is_refused_where_its_intervals_cannot_be_closed_or_what_it_keeps_has_two_readers() {
        check(|lines| lines.output("lines"), Err(NO_SHUFFLE));
        check(|lines| ones(&lines).reduce_by_key(|a, b| a + b).output("counts"), Ok(1));
        check(
            |lines| {
                let counts = ones(&lines).reduce_by_key(|a, b| a + b);
                counts.output("counts");
                counts.filter(|(_, count)| count > 1).output("frequent");
            },
            Err(TWO_READERS),
        );
    }
}
