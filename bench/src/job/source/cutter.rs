//! Cuts bytes as they come into lines, as every source has them: LF or CRLF ends a line, the last one also goes
//! without, at most 1 MiB; invalid UTF-8 becomes U+FFFD and is counted.
//!
//! Knows no stream. Invariant: how the bytes are cut into pieces changes no line; what it keeps is shorter than the
//! longest line and a piece.

use dstream_scenarios::workload::LONGEST_LINE_BYTES;

/// Lines, each ended by one LF, valid UTF-8.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Their text.
    pub text: Vec<u8>,
    /// How many there are.
    pub count: u64,
    /// In how many of them something was replaced.
    pub replaced: u64,
}

/// A line longer than 1 MiB; it and what follows it were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Its number, from 1.
    pub line: u64,
}

/// Cuts one stream.
#[derive(Debug, Default)]
pub struct Cutter {
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    lines: u64,
}

impl Cutter {
    /// Takes the stream's next bytes; appends the lines that they complete. After an error the stream is of no use.
    pub fn push(&mut self, bytes: &[u8], lines: &mut Lines) -> Result<(), TooLong> {
        let Some(end) = memchr::memrchr(b'\n', bytes) else {
            self.partial.extend_from_slice(bytes);
            return self.check_partial();
        };
        let (whole, rest) = bytes.split_at(end + 1);
        if self.partial.is_empty() {
            self.whole(whole, lines)?;
        } else {
            let mut joined = std::mem::take(&mut self.partial);
            joined.extend_from_slice(whole);
            self.whole(&joined, lines)?;
        }
        self.partial.extend_from_slice(rest);
        self.check_partial()
    }

    /// The stream is at its end: what is left is its last line.
    pub fn finish(&mut self, lines: &mut Lines) -> Result<(), TooLong> {
        let last = std::mem::take(&mut self.partial);
        if last.is_empty() { Ok(()) } else { self.line(&last, lines) }
    }

    /// Bytes of the line whose end has not come.
    pub fn kept_bytes(&self) -> usize {
        self.partial.len()
    }

    /// One byte more than the longest line may be a CR that belongs to its end.
    fn check_partial(&self) -> Result<(), TooLong> {
        if self.partial.len() > LONGEST_LINE_BYTES + 1 { Err(TooLong { line: self.lines + 1 }) } else { Ok(()) }
    }

    /// Takes bytes that end with an LF.
    fn whole(&mut self, whole: &[u8], lines: &mut Lines) -> Result<(), TooLong> {
        let is_plain = whole.len() <= LONGEST_LINE_BYTES
            && memchr::memchr(b'\r', whole).is_none()
            && std::str::from_utf8(whole).is_ok();
        if is_plain {
            let count = memchr::memchr_iter(b'\n', whole).count() as u64;
            lines.text.extend_from_slice(whole);
            lines.count += count;
            self.lines += count;
            return Ok(());
        }
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', whole) {
            let line = &whole[start..end];
            self.line(line.strip_suffix(b"\r").unwrap_or(line), lines)?;
            start = end + 1;
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8], lines: &mut Lines) -> Result<(), TooLong> {
        self.lines += 1;
        if line.len() > LONGEST_LINE_BYTES {
            return Err(TooLong { line: self.lines });
        }
        match std::str::from_utf8(line) {
            Ok(_) => lines.text.extend_from_slice(line),
            Err(_) => {
                lines.text.extend_from_slice(String::from_utf8_lossy(line).as_bytes());
                lines.replaced += 1;
            }
        }
        lines.text.push(b'\n');
        lines.count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(bytes: &[u8], piece: usize) -> (Lines, Option<TooLong>) {
        let (mut cutter, mut lines) = (Cutter::default(), Lines::default());
        let pushed = bytes.chunks(piece).try_for_each(|piece| cutter.push(piece, &mut lines));
        let error = pushed.and_then(|()| cutter.finish(&mut lines)).err();
        (lines, error)
    }

    #[test]
    fn the_lines_are_the_same_however_the_bytes_come() {
        let check = |bytes: &[u8], expected: &str, replaced: u64| {
            for piece in [1, 2, 3, 7, 1000] {
                let (lines, error) = cut(bytes, piece);
                let count = expected.matches('\n').count() as u64;
                let expected = Lines { text: expected.as_bytes().to_vec(), count, replaced };
                assert_eq!((lines, error), (expected, None), "{bytes:?} in pieces of {piece}");
            }
        };
        check(b"", "", 0);
        check(b"a b\nc\n", "a b\nc\n", 0);
        check(b"a b\r\nc\r\n", "a b\nc\n", 0);
        check(b"a b\nlast", "a b\nlast\n", 0);
        check(b"\n\r\n\nx", "\n\n\nx\n", 0);
        check(b"a\rb\n\rc", "a\rb\n\rc\n", 0);
        check(b"last\r", "last\r\n", 0);
        check(b"a\xffb\n\xc3\xa4\n\xfe\xfe\n", "a\u{fffd}b\nä\n\u{fffd}\u{fffd}\n", 2);
        check("\u{feff}a\n".as_bytes(), "\u{feff}a\n", 0);
    }

    #[test]
    fn a_line_that_is_too_long_is_found_and_what_came_before_it_stands() {
        let text = |bytes: usize, end: &str| format!("first\n{}{end}", "x".repeat(bytes)).into_bytes();
        for piece in [4096, 1 << 22] {
            for end in ["", "\n", "\r\n", "\nlast\n"] {
                let (lines, error) = cut(&text(LONGEST_LINE_BYTES, end), piece);
                assert_eq!((lines.count, error), (2 + u64::from(end.contains("last")), None), "{end:?}");
                let (lines, error) = cut(&text(LONGEST_LINE_BYTES + 1, end), piece);
                assert_eq!((lines.text, error), (b"first\n".to_vec(), Some(TooLong { line: 2 })), "{end:?}");
            }
        }
    }

    #[test]
    fn an_endless_line_is_given_up_before_it_fills_the_memory() {
        let (mut cutter, mut lines) = (Cutter::default(), Lines::default());
        let piece = vec![b'x'; 1 << 16];
        let pushes = (1..=100).take_while(|_| cutter.push(&piece, &mut lines).is_ok()).count();
        assert_eq!(pushes, 16);
        assert!(cutter.kept_bytes() <= LONGEST_LINE_BYTES + piece.len());
    }
}
