//! Lines of files: the stream of real text.
//!
//! Lines end in LF or CRLF, the last one also without. Invalid UTF-8 becomes U+FFFD and is counted. With several
//! clients, line number n of all files together (from 0) belongs to client n modulo clients. Invariant: memory is
//! bounded by one buffer and the longest line, whatever the size of the files.

use dstream_cluster::{JobError, LineSource};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

/// The longest line, its end not counted.
pub const LONGEST_LINE_BYTES: usize = 1 << 20;

/// Bytes read at once: large enough that system calls do not show, small enough for a second-level cache.
const READ_BYTES: usize = 256 << 10;

/// One client's share of the lines of some files.
pub struct FileLines {
    /// Files that were not opened yet.
    waiting: VecDeque<PathBuf>,
    open: Option<OpenFile>,
    clients: u64,
    /// The number of the next line of all files together, plus what makes this client's lines come out as multiples.
    turn: u64,
    replaced: u64,
}

struct OpenFile {
    path: PathBuf,
    file: File,
    /// Lines of this file that were read.
    lines: u64,
    /// Bytes read; those before `next` are used up.
    buffer: Vec<u8>,
    next: usize,
    /// Bytes from `next` on that are known to hold no LF.
    searched: usize,
    /// Lines before this place must be looked at one by one.
    single_until: usize,
    at_end: bool,
}

impl FileLines {
    /// Client `client`'s share of `paths`, read in their order. Opens nothing yet.
    pub fn new(paths: Vec<PathBuf>, client: u32, clients: u32) -> FileLines {
        let clients = u64::from(clients.max(1));
        FileLines {
            waiting: paths.into(),
            open: None,
            clients,
            turn: clients - (u64::from(client) - 1) % clients,
            replaced: 0,
        }
    }

    /// Opens the next file if none is open. False if there is none.
    fn ensure_open(&mut self) -> Result<bool, JobError> {
        if self.open.is_none() {
            let Some(path) = self.waiting.pop_front() else { return Ok(false) };
            self.open = Some(OpenFile::new(path)?);
        }
        Ok(true)
    }
}

impl LineSource for FileLines {
    fn fill(&mut self, records: u64, bytes: usize, lines: &mut Vec<u8>) -> Result<u64, JobError> {
        let start = lines.len();
        let mut made = 0;
        while made < records && lines.len() - start < bytes && self.ensure_open()? {
            let Some(file) = &mut self.open else { break };
            if self.clients == 1
                && let Some((plain, count)) = file.plain_lines(records - made, bytes - (lines.len() - start))
            {
                lines.extend_from_slice(plain);
                made += count;
                self.turn += count;
                continue;
            }
            let Some(line) = file.next_line()? else {
                self.open = None;
                continue;
            };
            let is_mine = self.turn.is_multiple_of(self.clients);
            self.turn += 1;
            if is_mine {
                self.replaced += append(line, lines);
                made += 1;
            }
        }
        Ok(made)
    }

    fn replaced(&self) -> u64 {
        self.replaced
    }
}

/// Appends a line and its end; returns 1 if something in it had to be replaced.
fn append(line: &[u8], lines: &mut Vec<u8>) -> u64 {
    let is_text = std::str::from_utf8(line).is_ok();
    if is_text {
        lines.extend_from_slice(line);
    } else {
        lines.extend_from_slice(String::from_utf8_lossy(line).as_bytes());
    }
    lines.push(b'\n');
    u64::from(!is_text)
}

impl OpenFile {
    fn new(path: PathBuf) -> Result<OpenFile, JobError> {
        let cannot = |error| JobError(format!("cannot read {}: {error}", path.display()));
        let file = File::open(&path).map_err(cannot)?;
        // Opening a folder succeeds on Unix; reading it would say less.
        if file.metadata().map_err(cannot)?.is_dir() {
            return Err(JobError(format!("cannot read {}: it is a folder", path.display())));
        }
        Ok(OpenFile { path, file, lines: 0, buffer: Vec::new(), next: 0, searched: 0, single_until: 0, at_end: false })
    }

    /// Lines that need no change, as they stand in the buffer, with their number: UTF-8 without CR, each ended by LF. At
    /// most `records` and `bytes` of them; nothing where the next lines must be looked at one by one.
    fn plain_lines(&mut self, records: u64, bytes: usize) -> Option<(&[u8], u64)> {
        if self.next < self.single_until {
            return None;
        }
        // No longer than one line may be, so that none of them is too long.
        let most = bytes.min(LONGEST_LINE_BYTES).min(self.buffer.len() - self.next);
        let length = 1 + memchr::memrchr(b'\n', &self.buffer[self.next..self.next + most])?;
        let part = &self.buffer[self.next..self.next + length];
        let count = memchr::memchr_iter(b'\n', part).count() as u64;
        if count > records || memchr::memchr(b'\r', part).is_some() || std::str::from_utf8(part).is_err() {
            self.single_until = self.next + length;
            return None;
        }
        let start = self.next;
        self.next += length;
        self.searched = 0;
        self.lines += count;
        Some((&self.buffer[start..start + length], count))
    }

    /// The next line without its end; `None` at the end of the file.
    fn next_line(&mut self) -> Result<Option<&[u8]>, JobError> {
        loop {
            let rest = &self.buffer[self.next..];
            if let Some(found) = memchr::memchr(b'\n', &rest[self.searched..]) {
                let length = self.searched + found;
                let start = self.take(length + 1);
                return self.line(start, length).map(Some);
            }
            if self.at_end {
                let length = rest.len();
                if length == 0 {
                    return Ok(None);
                }
                let start = self.take(length);
                return self.whole(start, length).map(Some);
            }
            self.searched = rest.len();
            if self.searched > LONGEST_LINE_BYTES + 1 {
                return Err(self.too_long());
            }
            self.read()?;
        }
    }

    /// Uses up `bytes` and returns where they start.
    fn take(&mut self, bytes: usize) -> usize {
        let start = self.next;
        self.next += bytes;
        self.searched = 0;
        self.lines += 1;
        start
    }

    /// A line that ended in LF: a CR before it belongs to the end.
    fn line(&self, start: usize, length: usize) -> Result<&[u8], JobError> {
        let with_return = length > 0 && self.buffer[start + length - 1] == b'\r';
        self.whole(start, length - usize::from(with_return))
    }

    fn whole(&self, start: usize, length: usize) -> Result<&[u8], JobError> {
        if length > LONGEST_LINE_BYTES {
            return Err(JobError(self.too_long_at(self.lines)));
        }
        Ok(&self.buffer[start..start + length])
    }

    fn too_long(&self) -> JobError {
        JobError(self.too_long_at(self.lines + 1))
    }

    fn too_long_at(&self, line: u64) -> String {
        let path = self.path.display();
        format!("{path}:{line}: the line is longer than 1 MiB ({LONGEST_LINE_BYTES} bytes)")
    }

    /// Reads more behind what is not used up yet.
    fn read(&mut self) -> Result<(), JobError> {
        self.buffer.drain(..self.next);
        self.single_until = self.single_until.saturating_sub(self.next);
        self.next = 0;
        let kept = self.buffer.len();
        self.buffer.resize(kept + READ_BYTES, 0);
        let read = loop {
            match self.file.read(&mut self.buffer[kept..]) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let read = read.map_err(|error| JobError(format!("cannot read {}: {error}", self.path.display())))?;
        self.buffer.truncate(kept + read);
        self.at_end = read == 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// A folder of this test's own that is removed at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("dstream-file-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Folder(path)
        }

        fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn read(paths: &[&Path], client: u32, clients: u32) -> Result<(String, u64, u64), JobError> {
        let mut source = FileLines::new(paths.iter().map(|path| path.to_path_buf()).collect(), client, clients);
        let mut lines = Vec::new();
        let mut records = 0;
        loop {
            match source.fill(3, 10, &mut lines)? {
                0 => return Ok((String::from_utf8(lines).unwrap(), records, source.replaced())),
                made => records += made,
            }
        }
    }

    #[test]
    fn every_kind_of_line_end_gives_the_same_lines() {
        let folder = Folder::new("ends");
        for (name, bytes, expected, replaced) in [
            ("empty", &b""[..], "", 0),
            ("lf", b"a b\nc\n", "a b\nc\n", 0),
            ("crlf", b"a b\r\nc\r\n", "a b\nc\n", 0),
            ("last line without its end", b"a b\nc", "a b\nc\n", 0),
            ("empty lines count", b"\n\r\n\nx", "\n\n\nx\n", 0),
            ("a lone CR is no line end", b"a\rb\n\rc", "a\rb\n\rc\n", 0),
            (
                "invalid text is replaced and counted",
                b"a\xffb\n\xc3\xa4\n\xfe\xfe\n",
                "a\u{fffd}b\nä\n\u{fffd}\u{fffd}\n",
                2,
            ),
        ] {
            let path = folder.file(name, bytes);
            let (lines, records, seen) = read(&[&path], 1, 1).unwrap();
            assert_eq!((lines.as_str(), seen), (expected, replaced), "{name}");
            assert_eq!(records, expected.matches('\n').count() as u64, "{name}");
        }
    }

    #[test]
    fn clients_share_the_lines_of_all_files_in_turn() {
        let folder = Folder::new("share");
        let first = folder.file("1", b"l0\nl1\nl2\n");
        let second = folder.file("2", b"l3\nl4\nl5\nl6");
        let share = |client| read(&[&first, &second], client, 3).unwrap().0;
        assert_eq!([share(1), share(2), share(3)], ["l0\nl3\nl6\n", "l1\nl4\n", "l2\nl5\n"]);
    }

    #[test]
    fn a_line_may_be_as_long_as_the_limit_and_not_longer() {
        let folder = Folder::new("long");
        let text = |bytes: usize, end: &str| format!("first\n{}{end}", "x".repeat(bytes)).into_bytes();
        for end in ["", "\n", "\r\n", "\nlast\n"] {
            let path = folder.file("fits", &text(LONGEST_LINE_BYTES, end));
            assert!(read(&[&path], 1, 1).is_ok(), "{end:?}");
            let path = folder.file("too-long", &text(LONGEST_LINE_BYTES + 1, end));
            let error = read(&[&path], 1, 1).unwrap_err().0;
            assert!(error.contains("too-long:2: the line is longer than 1 MiB"), "{end:?}: {error}");
        }
        let path = folder.file("endless", &vec![b'x'; 3 * LONGEST_LINE_BYTES]);
        assert!(read(&[&path], 1, 1).unwrap_err().0.contains("endless:1:"));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named_in_one_line() {
        let folder = Folder::new("missing");
        for path in [folder.0.join("nothing.txt"), folder.0.clone()] {
            let error = read(&[&path], 1, 1).unwrap_err().0;
            assert!(
                error.starts_with(&format!("cannot read {}: ", path.display())) && !error.contains('\n'),
                "{error}"
            );
        }
    }
}
