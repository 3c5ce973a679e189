//! The lines of a file, again and again, from memory: a load that costs no reading.
//!
//! Invariant: the lines come in the file's order and begin anew after the last; the memory is the file's size.

use super::cutter::{Cutter, Lines};
use crate::failure::Failure;
use dstream_cluster::{JobError, LineSource};
use std::fs;
use std::path::Path;

/// The largest file: more would not be a pool but a file to be read.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// A file's lines in a circle.
#[derive(Debug)]
pub struct Pool {
    lines: Lines,
    next: usize,
}

impl Pool {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Pool, Failure> {
        let unreadable = |error| Failure::usage(format!("{}: cannot be read: {error}", path.display()));
        let file = fs::metadata(path).map_err(unreadable)?;
        if !file.is_file() || file.len() > FILE_BYTES_MAX {
            let what = if file.is_file() { "is larger than 1 GiB" } else { "is no regular file" };
            let advice = "a pool is kept in memory; `file:` reads the rest";
            return Err(Failure::usage(format!("{}: {what}; {advice}", path.display())));
        }
        let bytes = fs::read(path).map_err(unreadable)?;
        let (mut cutter, mut lines) = (Cutter::default(), Lines::default());
        let cut = cutter.push(&bytes, &mut lines).and_then(|()| cutter.finish(&mut lines));
        cut.map_err(|long| Failure::usage(format!("{}:{}:1: a line longer than 1 MiB", path.display(), long.line)))?;
        if lines.count == 0 {
            return Err(Failure::usage(format!("{}: holds no line, and a pool needs one", path.display())));
        }
        Ok(Pool { lines, next: 0 })
    }
}

impl LineSource for Pool {
    fn fill(&mut self, records: u64, bytes: usize, lines: &mut Vec<u8>) -> Result<u64, JobError> {
        let start = lines.len();
        let mut made = 0;
        while made < records && lines.len() - start < bytes {
            let rest = &self.lines.text[self.next..];
            let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            lines.extend_from_slice(&rest[..length]);
            self.next = (self.next + length) % self.lines.text.len();
            made += 1;
        }
        Ok(made)
    }

    /// Each line that had to be repaired counts once, however often it is given.
    fn replaced(&self) -> u64 {
        self.lines.replaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(name: &str, text: &[u8]) -> Result<Pool, Failure> {
        let path = std::env::temp_dir().join(format!("dstream-pool-{name}-{}", std::process::id()));
        fs::write(&path, text).unwrap();
        let pool = Pool::read(&path);
        fs::remove_file(&path).unwrap();
        pool
    }

    #[test]
    fn the_lines_begin_anew_after_the_last() {
        let mut pool = pool("circle", b"a\r\nb\xff\n\nc").unwrap();
        let mut lines = Vec::new();
        assert_eq!(pool.fill(6, usize::MAX, &mut lines), Ok(6));
        assert_eq!(pool.fill(9, 5, &mut lines), Ok(3));
        assert_eq!(String::from_utf8(lines).unwrap(), "a\nb\u{fffd}\n\nc\na\nb\u{fffd}\n\nc\na\n");
        assert_eq!(pool.replaced(), 1);
        assert!(super::Pool::read(Path::new("/dev/null")).is_err_and(|failure| failure.message.contains("no regular")));
    }

    #[test]
    fn an_empty_file_is_no_pool() {
        assert!(pool("empty", b"").is_err_and(|failure| failure.message.contains("holds no line")));
    }
}
