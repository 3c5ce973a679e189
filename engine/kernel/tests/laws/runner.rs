//! Runs a whole query in one thread, as the plainest of engines would.

use bytes::Bytes;
use dstream_kernel::{
    LineBlock, OutputSpec, Produced, Query, Scratch, ShuffleId, Stage, StageEnd, StageInput, TaskAt, TaskInput,
    TaskResult, Width,
};
use std::collections::BTreeMap;

/// Lines as one block.
pub fn block(lines: &[String]) -> LineBlock {
    let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
    LineBlock { lines: Bytes::from(text), records: lines.len() as u64, skip: Vec::new() }
}

/// Lists of lines as blocks.
pub fn blocks(parts: &[&[String]]) -> Vec<LineBlock> {
    parts.iter().map(|part| block(part)).collect()
}

/// The row blocks of every output, by output and partition.
pub type Results = Vec<Vec<Bytes>>;

/// (stage, partition, interval) -> the panes that it kept.
pub type Panes = BTreeMap<(u32, u32, u64), Vec<Bytes>>;

/// A query on its way through the intervals.
#[derive(Clone)]
pub struct Run<'q> {
    query: &'q Query,
    partitions: u32,
    /// The interval that is computed next.
    pub next: u64,
    /// Everything that was ever kept.
    pub panes: Panes,
    /// (stage, partition) -> the slices that it read, with their interval.
    pub slices: BTreeMap<(u32, u32), Vec<(u64, Bytes)>>,
    /// (stage, partition, interval) -> what was made.
    pub results: BTreeMap<(u32, u32, u64), TaskResult>,
}

impl<'q> Run<'q> {
    pub fn new(query: &'q Query, partitions: u32) -> Run<'q> {
        let (panes, slices, results) = (Panes::new(), BTreeMap::new(), BTreeMap::new());
        Run { query, partitions, next: 0, panes, slices, results }
    }

    /// Computes the next interval. `maps` are the map partitions that read lines.
    pub fn interval(&mut self, maps: &[Vec<LineBlock>], scratch: &mut Scratch) -> Results {
        let mut shuffles: BTreeMap<ShuffleId, Vec<Vec<Bytes>>> = BTreeMap::new();
        let mut outputs = vec![Vec::new(); self.query.outputs.len()];
        for stage in &self.query.stages {
            let at = TaskAt { interval: self.next, partitions: self.partitions_behind(stage.end) };
            for (input, partition) in self.inputs(stage, maps, &shuffles).into_iter().zip(0..) {
                let result = stage.program.run(&input, at, scratch).expect("the runner gives stages what they read");
                assert_eq!(result.kept.len(), stage.kept.len());
                if let TaskInput::Slices { slices, .. } = &input {
                    let read = self.slices.entry((stage.id.0, partition)).or_default();
                    read.extend(slices.iter().map(|slice| (self.next, slice.clone())));
                }
                self.results.insert((stage.id.0, partition, self.next), result.clone());
                self.panes.insert((stage.id.0, partition, self.next), result.kept);
                match (stage.end, result.produced) {
                    (StageEnd::Shuffle(shuffle), Produced::Slices(slices)) => {
                        assert_eq!(slices.len(), at.partitions as usize);
                        shuffles.entry(shuffle).or_default().push(slices);
                    }
                    (StageEnd::Output(output), Produced::Rows(rows)) => outputs[output.0 as usize].push(rows),
                    (end, produced) => panic!("a stage that ends in {end:?} made {produced:?}"),
                }
            }
        }
        self.next += 1;
        outputs
    }

    fn inputs(
        &self,
        stage: &Stage,
        maps: &[Vec<LineBlock>],
        shuffles: &BTreeMap<ShuffleId, Vec<Vec<Bytes>>>,
    ) -> Vec<TaskInput> {
        let StageInput::Shuffle(shuffle) = stage.input else {
            return maps.iter().map(|blocks| TaskInput::Lines(blocks.clone())).collect();
        };
        let input = |partition: u32| TaskInput::Slices {
            slices: shuffles[&shuffle].iter().map(|slices| slices[partition as usize].clone()).collect(),
            past: self.past(stage, partition, self.next),
        };
        (0..self.partitions_of(stage)).map(input).collect()
    }

    /// The panes that the stage reads in an interval, the oldest first.
    pub fn past(&self, stage: &Stage, partition: u32, interval: u64) -> Vec<Vec<Bytes>> {
        let pane = |number: usize, back: u64| match interval.checked_sub(back) {
            Some(interval) => self.panes[&(stage.id.0, partition, interval)][number].clone(),
            None => Bytes::new(),
        };
        let panes = stage.kept.iter().enumerate();
        panes.map(|(number, kept)| kept.back.clone().rev().map(|back| pane(number, back)).collect()).collect()
    }

    pub fn partitions_of(&self, stage: &Stage) -> u32 {
        if stage.width == Width::One { 1 } else { self.partitions }
    }

    pub fn partitions_behind(&self, end: StageEnd) -> u32 {
        let reads =
            |stage: &&Stage| matches!((stage.input, end), (StageInput::Shuffle(a), StageEnd::Shuffle(b)) if a == b);
        self.query.stages.iter().find(reads).map_or(self.partitions, |stage| self.partitions_of(stage))
    }
}

/// The row blocks of every output in interval 0.
pub fn results(query: &Query, maps: &[Vec<LineBlock>], partitions: u32, scratch: &mut Scratch) -> Results {
    Run::new(query, partitions).interval(maps, scratch)
}

/// All rows of all outputs as sorted text: output, key, value.
pub fn rendered(query: &Query, results: &[Vec<Bytes>]) -> Vec<(String, String, String)> {
    let mut rows = Vec::new();
    for (output, blocks) in query.outputs.iter().zip(results) {
        rows.extend(shown(output, blocks).into_iter().map(|(key, value)| (output.name.clone(), key, value)));
    }
    rows.sort();
    rows
}

/// All rows of an output as sorted text: key, value.
pub fn shown(output: &OutputSpec, blocks: &[Bytes]) -> Vec<(String, String)> {
    let texts = |block: &Bytes| (output.render)(block).expect("a stage's rows are readable");
    let mut rows: Vec<_> = blocks.iter().flat_map(texts).collect();
    rows.sort();
    rows
}
