//! Counts lines with a pattern: one search over all that came, lines looked for only where it is found.

use super::Job;
use super::word_count::PADDING;
use memchr::memmem::Finder;
use std::collections::VecDeque;

/// Matching lines of the last intervals.
pub struct Grep {
    finder: Finder<'static>,
    panes: VecDeque<u64>,
    most: usize,
    found: u64,
}

impl Grep {
    /// Lines with the pattern, over a window of so many intervals.
    pub fn new(pattern: &str, panes: usize) -> Grep {
        Grep { finder: Finder::new(pattern).into_owned(), panes: VecDeque::new(), most: panes, found: 0 }
    }
}

impl Job for Grep {
    fn lines(&mut self, padded: &[u8]) -> u64 {
        let lines = &padded[..padded.len() - PADDING];
        let mut next = 0;
        // A pattern of no bytes is found behind the last line, too.
        while let Some(at) = self.finder.find(&lines[next..]).filter(|_| next < lines.len()) {
            self.found += 1;
            let line_end = memchr::memchr(b'\n', &lines[next + at..]).map_or(lines.len(), |end| next + at + end + 1);
            next = line_end;
        }
        memchr::memchr_iter(b'\n', lines).count() as u64
    }

    fn close(&mut self) -> usize {
        self.panes.push_back(std::mem::take(&mut self.found));
        if self.panes.len() > self.most {
            self.panes.pop_front();
        }
        let total: u64 = self.panes.iter().sum();
        total.to_string().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_counts_once_and_for_as_long_as_the_window_is() {
        let mut grep = Grep::new("ab", 2);
        let padded = |text: &str| format!("{text}{}", " ".repeat(PADDING)).into_bytes();
        assert_eq!(grep.lines(&padded("xabab\nab\nba\n\nab\n")), 5);
        assert_eq!((grep.close(), grep.panes.clone()), (1, [3].into()));
        grep.lines(&padded("ab\n"));
        grep.close();
        grep.close();
        assert_eq!(grep.panes, [1, 0]);
        let mut all = Grep::new("", 1);
        assert_eq!(all.lines(&padded("a\n\nb\n")), 3);
        all.close();
        assert_eq!(all.panes, [3]);
    }
}
