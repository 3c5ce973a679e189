//! The lines of a file again and again, from memory: a load that costs no reading.
//!
//! Lines end and are repaired as those of [`FileLines`](super::FileLines). With several clients each goes round the whole
//! file, beginning at its own part of it. Invariant: the lines come in the file's order and begin anew after the last; the
//! memory is the file's size and four bytes a line.

use super::FileLines;
use dstream_cluster::{JobError, LineSource};
use std::fs;
use std::path::Path;

/// The largest file: more would not be a pool but a file to be read. Places in it fit 32 bits.
pub const POOL_BYTES_MAX: u64 = 1 << 30;

/// A file's lines in a circle.
#[derive(Debug)]
pub struct PoolLines {
    text: Vec<u8>,
    /// Where each line begins, and where the last one ends.
    starts: Vec<u32>,
    next: usize,
    replaced: u64,
}

impl PoolLines {
    /// Reads the file, for one of so many clients; clients count from 1.
    pub fn read(path: &Path, client: u32, clients: u32) -> Result<PoolLines, JobError> {
        check(path)?;
        let mut file = FileLines::new(vec![path.to_path_buf()], 1, 1);
        let mut text = Vec::new();
        while file.fill(u64::MAX, usize::MAX, &mut text)? > 0 {}
        if text.is_empty() {
            return Err(JobError(format!("{}: holds no line, and a pool needs one", path.display())));
        }
        let ends = memchr::memchr_iter(b'\n', &text).map(|end| end + 1);
        let place = |place| u32::try_from(place).expect("a repaired file is at most three times 1 GiB");
        let starts: Vec<u32> = std::iter::once(0).chain(ends).map(place).collect();
        let lines = starts.len() - 1;
        let part = u64::from(client.saturating_sub(1)) * lines as u64 / u64::from(clients.max(1));
        let next = usize::try_from(part).unwrap_or(0) % lines;
        Ok(PoolLines { text, starts, next, replaced: file.replaced() })
    }

    /// How many lines there are.
    pub fn lines(&self) -> usize {
        self.starts.len() - 1
    }

    /// All lines, each ended by LF.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    fn start(&self, line: usize) -> usize {
        self.starts[line] as usize
    }

    /// The line behind the last one that fits into so many bytes from the next one on; one fits always.
    fn behind(&self, lines: usize, bytes: usize) -> usize {
        let limit = self.start(self.next).saturating_add(bytes);
        let most = self.next + lines.min(self.lines() - self.next);
        let fit = self.starts[self.next..=most].partition_point(|start| (*start as usize) < limit);
        (self.next + fit).clamp(self.next + 1, most)
    }
}

/// Whether the file can be a pool.
fn check(path: &Path) -> Result<(), JobError> {
    let unreadable = |error| JobError(format!("cannot read {}: {error}", path.display()));
    let file = fs::metadata(path).map_err(unreadable)?;
    if file.is_file() && file.len() <= POOL_BYTES_MAX {
        return Ok(());
    }
    let what = if file.is_file() { "is larger than 1 GiB" } else { "is no regular file" };
    Err(JobError(format!("{}: {what}; a pool is kept in memory; `file:` reads the rest", path.display())))
}

impl LineSource for PoolLines {
    fn fill(&mut self, records: u64, bytes: usize, lines: &mut Vec<u8>) -> Result<u64, JobError> {
        let begin = lines.len();
        let mut made = 0;
        while made < records && lines.len() - begin < bytes {
            let wanted = usize::try_from(records - made).unwrap_or(usize::MAX);
            let behind = self.behind(wanted, bytes - (lines.len() - begin));
            lines.extend_from_slice(&self.text[self.start(self.next)..self.start(behind)]);
            made += (behind - self.next) as u64;
            self.next = behind % self.lines();
        }
        Ok(made)
    }

    /// Each line that had to be repaired counts once, however often it is given.
    fn replaced(&self) -> u64 {
        self.replaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(name: &str, text: &[u8], client: u32, clients: u32) -> Result<PoolLines, JobError> {
        let path = std::env::temp_dir().join(format!("dstream-pool-{name}-{}", std::process::id()));
        fs::write(&path, text).unwrap();
        let pool = PoolLines::read(&path, client, clients);
        fs::remove_file(&path).unwrap();
        pool
    }

    #[test]
    fn the_lines_begin_anew_after_the_last() {
        let mut pool = pool("circle", b"a\r\nb\xff\n\nc", 1, 1).unwrap();
        let mut lines = Vec::new();
        assert_eq!(pool.fill(6, usize::MAX, &mut lines), Ok(6));
        assert_eq!(pool.fill(9, 5, &mut lines), Ok(3));
        assert_eq!(pool.fill(1, 0, &mut lines), Ok(0));
        assert_eq!(String::from_utf8(lines).unwrap(), "a\nb\u{fffd}\n\nc\na\nb\u{fffd}\n\nc\na\n");
        assert_eq!(pool.replaced(), 1);
        assert!(PoolLines::read(Path::new("/dev/null"), 1, 1).is_err_and(|error| error.0.contains("no regular")));
    }

    #[test]
    fn each_client_begins_at_its_own_part() {
        let first = |client| {
            let mut lines = Vec::new();
            pool("parts", b"a\nb\nc\nd\ne\n", client, 3).unwrap().fill(3, usize::MAX, &mut lines).unwrap();
            String::from_utf8(lines).unwrap()
        };
        assert_eq!([first(1), first(2), first(3)], ["a\nb\nc\n", "b\nc\nd\n", "d\ne\na\n"]);
    }

    #[test]
    fn as_many_lines_come_as_begin_within_the_bytes() {
        // As every source: the line that crosses the limit is whole.
        let text = b"one\ntwo\nthree\n";
        for (records, bytes, expected) in [(9, 1, "one\n"), (9, 4, "one\n"), (9, 5, "one\ntwo\n"), (1, 99, "one\n")] {
            let mut lines = Vec::new();
            pool("limits", text, 1, 1).unwrap().fill(records, bytes, &mut lines).unwrap();
            assert_eq!(String::from_utf8(lines).unwrap(), expected, "{records} records, {bytes} bytes");
        }
    }

    #[test]
    fn an_empty_file_is_no_pool() {
        assert!(pool("empty", b"", 1, 1).is_err_and(|error| error.0.contains("holds no line")));
    }
}
