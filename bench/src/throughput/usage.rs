//! What processes used, by the operating system's own books.
//!
//! Reads `/proc`; elsewhere there is nothing to read. Invariant: numbers only grow while a process lives.

use dstream_trace::NodeName;
use std::collections::BTreeMap;
use std::fs;

/// What a process used since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Seconds of cores, in the program and in the system for it.
    pub cpu_s: f64,
    /// Pages that the system had to give it, without reading a disk.
    pub page_faults: u64,
}

impl Usage {
    /// What was used since then.
    pub fn since(self, before: Usage) -> Usage {
        Usage {
            cpu_s: (self.cpu_s - before.cpu_s).max(0.0),
            page_faults: self.page_faults.saturating_sub(before.page_faults),
        }
    }

    /// Both together.
    pub fn plus(self, other: Usage) -> Usage {
        Usage { cpu_s: self.cpu_s + other.cpu_s, page_faults: self.page_faults + other.page_faults }
    }
}

/// What each node's process has used up to now; one that has ended is left out.
pub fn read(processes: &[(NodeName, u32)]) -> BTreeMap<NodeName, Usage> {
    let of = |(name, process): &(NodeName, u32)| {
        let line = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        Some((name.clone(), parse(&line, ticks_per_second())?))
    };
    processes.iter().filter_map(of).collect()
}

/// Whether this system keeps such books.
pub fn is_known() -> bool {
    fs::read_to_string("/proc/self/stat").is_ok_and(|line| parse(&line, 100.0).is_some())
}

fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

/// The program's name stands in parentheses and may hold anything; what follows are numbers.
fn parse(line: &str, ticks_per_second: f64) -> Option<Usage> {
    let (_, numbers) = line.rsplit_once(") ")?;
    let numbers: Vec<&str> = numbers.split(' ').collect();
    let number = |place: usize| numbers.get(place)?.parse::<u64>().ok();
    let (page_faults, user, system) = (number(7)?, number(11)?, number(12)?);
    Some(Usage { cpu_s: (user + system) as f64 / ticks_per_second, page_faults })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_system_is_read_whatever_the_program_is_called() {
        let line = "17 (a (b) c) S 1 17 17 0 -1 4194560 3021 0 5 0 250 50 0 0 20 0 4 0 100 200 300";
        assert_eq!(parse(line, 100.0), Some(Usage { cpu_s: 3.0, page_faults: 3021 }));
        assert_eq!(parse("17 (a) S", 100.0), None);
    }

    #[test]
    fn this_process_has_used_something() {
        let me = [(NodeName::new("me"), std::process::id()), (NodeName::new("nobody"), u32::MAX)];
        let used = read(&me);
        assert_eq!(used.len(), usize::from(is_known()));
        assert!(used.values().all(|used| used.page_faults > 0));
    }
}
