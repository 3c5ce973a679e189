//! What nodes had in memory, and what went to their own disks.
//!
//! Of the whole run: a limit holds in the warm-up, too. Invariant: nothing is said of a run in which no disk was used.

use crate::event::Event;
use crate::log::TraceLine;
use crate::result::MemoryUse;

/// Sums and the highest value over the log.
pub(super) fn memory_use(lines: &[TraceLine]) -> Option<MemoryUse> {
    let mut memory = None;
    for line in lines {
        let (spilled, loaded, most) = match line.event {
            Event::Spilled { bytes, most_held } => (bytes, 0, most_held),
            Event::Loaded { bytes, most_held } => (0, bytes, most_held),
            _ => continue,
        };
        let used: &mut MemoryUse = memory.get_or_insert_default();
        used.spilled_bytes += spilled;
        used.loaded_bytes += loaded;
        used.most_held_bytes = used.most_held_bytes.max(most);
    }
    memory
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::TraceLog;
    use crate::moment::Moment;
    use crate::name::NodeName;

    #[test]
    fn bytes_add_up_and_the_node_that_held_most_counts() {
        let mut log = TraceLog::default();
        assert_eq!(memory_use(log.lines()), None);
        let mut record = |worker, event| log.push(Moment::ZERO, NodeName::worker(worker), event);
        record(1, Event::Spilled { bytes: 10, most_held: 70 });
        record(2, Event::Spilled { bytes: 20, most_held: 90 });
        record(1, Event::Loaded { bytes: 10, most_held: 80 });
        let used = MemoryUse { most_held_bytes: 90, spilled_bytes: 30, loaded_bytes: 10 };
        assert_eq!(memory_use(log.lines()), Some(used));
    }
}
