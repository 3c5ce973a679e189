//! Runs a whole query in one thread, as the plainest of engines would.

use bytes::Bytes;
use dstream_kernel::{LineBlock, Produced, Query, Scratch, StageEnd, StageInput, TaskAt, TaskInput};
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

/// The row blocks of every output, by output and partition. `maps` are the map partitions that read lines.
pub fn results(query: &Query, maps: &[Vec<LineBlock>], partitions: u32, scratch: &mut Scratch) -> Vec<Vec<Bytes>> {
    let mut shuffles: BTreeMap<_, Vec<Vec<Bytes>>> = BTreeMap::new();
    let mut outputs = vec![Vec::new(); query.outputs.len()];
    for stage in &query.stages {
        let inputs: Vec<TaskInput> = match stage.input {
            StageInput::Lines => maps.iter().map(|blocks| TaskInput::Lines(blocks.clone())).collect(),
            StageInput::Shuffle(shuffle) => (0..partitions as usize)
                .map(|partition| shuffles[&shuffle].iter().map(|slices| slices[partition].clone()).collect())
                .map(TaskInput::slices)
                .collect(),
        };
        for input in inputs {
            let result = stage
                .program
                .run(&input, TaskAt { interval: 0, partitions }, scratch)
                .expect("the runner gives stages what they read");
            match (stage.end, result.produced) {
                (StageEnd::Shuffle(shuffle), Produced::Slices(slices)) => {
                    assert_eq!(slices.len(), partitions as usize);
                    shuffles.entry(shuffle).or_default().push(slices);
                }
                (StageEnd::Output(output), Produced::Rows(rows)) => outputs[output.0 as usize].push(rows),
                (end, produced) => panic!("a stage that ends in {end:?} made {produced:?}"),
            }
        }
    }
    outputs
}

/// All rows of all outputs as sorted text: output, key, value.
pub fn rendered(query: &Query, results: &[Vec<Bytes>]) -> Vec<(String, String, String)> {
    let mut rows = Vec::new();
    for (output, blocks) in query.outputs.iter().zip(results) {
        for block in blocks {
            let texts = (output.render)(block).expect("a stage's rows are readable");
            rows.extend(texts.into_iter().map(|(key, value)| (output.name.clone(), key, value)));
        }
    }
    rows.sort();
    rows
}
