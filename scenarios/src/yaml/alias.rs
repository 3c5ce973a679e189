//! Where an alias (`*name`) stands whose value was read from elsewhere.
//!
//! The positions that the parser gives for such a value are those of the anchor. They come before what was read last,
//! which is how an alias is recognised here. Invariant: the answer is the place of a `*` in the text, or nothing.

use super::tree::locate;

/// Documents with more values than this show the anchor instead: each value costs one visit of the document.
const MOST_VALUES: u32 = 2_000;

/// The byte of the alias through which value number `id` came, if it came through one.
pub(crate) fn place(text: &str, id: u32) -> Option<usize> {
    if !text.contains('*') || id > MOST_VALUES {
        return None;
    }
    let mut last = locate(text, 0)?;
    let mut previous = last;
    // Aliases since the last value that stands where it was read; 0 while there is none.
    let mut aliases = 0;
    for number in 1..=id {
        let mark = locate(text, number)?;
        if mark < last || (mark == last && text.as_bytes().get(mark) == Some(&b'&')) {
            aliases += usize::from(aliases == 0 || mark <= previous);
        } else {
            last = mark;
            aliases = 0;
        }
        previous = mark;
    }
    if aliases == 0 { None } else { nth_star(text, last, aliases) }
}

/// The `count`th word that begins with `*` after `from`, comments left out.
fn nth_star(text: &str, from: usize, count: usize) -> Option<usize> {
    let mut in_comment = false;
    let mut before = ' ';
    let mut seen = 0;
    for (at, c) in text.char_indices().skip_while(|(at, _)| *at <= from) {
        in_comment = if in_comment { c != '\n' } else { c == '#' && before.is_whitespace() };
        let begins = before.is_whitespace() || matches!(before, '[' | '{' | ',' | ':');
        if !in_comment && c == '*' && begins {
            seen += 1;
            if seen == count {
                return Some(at);
            }
        }
        before = c;
    }
    None
}
