//! How long the piece of text is that a caret line underlines.
//!
//! Only for show: nothing is read from here. Invariant: the answer stays within the line and is at least 1.

/// Bytes of the token that begins at `start` of `text`, on its first line.
pub(crate) fn length(text: &str, start: usize) -> usize {
    let Some(rest) = text.get(start..) else { return 1 };
    let line = rest.split(['\n', '\r']).next().unwrap_or("");
    let before = text.get(..start).unwrap_or("");
    let before = before.rsplit('\n').next().unwrap_or("");
    let skipped = properties(line);
    let token = &line[skipped..];
    let own = match token.bytes().next() {
        Some(quote @ (b'"' | b'\'')) => quoted(token, char::from(quote)),
        Some(b'[' | b'{') => bracketed(token),
        Some(b'*') => token.find([' ', ',', ']', '}', ':']).unwrap_or(token.len()),
        _ => plain(token, open_brackets(before) > 0),
    };
    (skipped + own).max(1)
}

/// The anchor or tag before a value, with the space behind it.
pub(crate) fn properties(line: &str) -> usize {
    let mut skipped = 0;
    while line[skipped..].starts_with(['&', '!']) {
        let word = line[skipped..].find(' ').map_or(line.len() - skipped, |space| space + 1);
        skipped += word;
    }
    skipped
}

fn quoted(token: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in token.char_indices().skip(1) {
        if !escaped && c == quote {
            return at + 1;
        }
        escaped = !escaped && c == '\\' && quote == '"';
    }
    token.trim_end().len()
}

/// Up to the bracket that closes the first one; the whole rest of the line where it is closed later.
fn bracketed(token: &str) -> usize {
    let mut depth = 0usize;
    for (at, c) in token.char_indices() {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    token.trim_end().len()
}

fn open_brackets(before: &str) -> usize {
    before.chars().fold(0usize, |depth, c| match c {
        '[' | '{' => depth + 1,
        ']' | '}' => depth.saturating_sub(1),
        _ => depth,
    })
}

fn plain(token: &str, in_flow: bool) -> usize {
    let mut end = token.len();
    let mut cut = |at: Option<usize>| end = end.min(at.unwrap_or(usize::MAX));
    cut(token.find(" #"));
    cut(token.find(": "));
    cut(token.strip_suffix(':').map(str::len));
    if in_flow {
        cut(token.find([',', ']', '}']));
    }
    token[..end].trim_end().len()
}
