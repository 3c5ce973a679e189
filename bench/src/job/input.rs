//! A job's input files, looked at before anything starts: do they exist, can they be read, are their lines short
//! enough?
//!
//! Reads files only; the job reads them again, through its client.

use crate::failure::Failure;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

/// Longest line that a source takes, its end not included. The contract's number.
pub const LINE_BYTES_MAX: usize = 1 << 20;

/// Files together longer than this are not read through before the job starts: reading them twice from a disk would
/// cost more than a late error does. A longer line is found when the job comes to it.
const READ_THROUGH_BYTES_MAX: u64 = 4 << 30;

/// Bytes read from a file at once.
const BUFFER_BYTES: usize = 1 << 18;

/// The files that `pattern` names, in order of their names, each of them readable.
pub fn find(pattern: &str) -> Result<Vec<PathBuf>, Failure> {
    let literal = PathBuf::from(pattern);
    let mut paths = if literal.exists() { vec![literal] } else { matches(pattern)? };
    paths.retain(|path| !path.is_dir() || path == Path::new(pattern));
    paths.sort();
    if paths.is_empty() {
        return Err(Failure::usage(format!("{pattern}: no file of that name, and none that matches it as a pattern")));
    }
    for path in &paths {
        if path.is_dir() {
            let advice = format!("to read what is in it say `file:{}/*`", path.display());
            return Err(Failure::usage(format!("{}: is a folder; {advice}", path.display())));
        }
        // Opening a FIFO waits for its writer.
        if is_regular(path) {
            File::open(path).map_err(|error| unreadable(path, &error))?;
        }
    }
    Ok(paths)
}

/// Whether it is a file whose bytes are all there; a FIFO, a terminal or `/dev/stdin` may keep its reader waiting.
pub fn is_regular(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file())
}

fn matches(pattern: &str) -> Result<Vec<PathBuf>, Failure> {
    let found = glob::glob(pattern).map_err(|error| Failure::usage(format!("{pattern}: {error}")))?;
    let path = |entry: glob::GlobResult| {
        entry.map_err(|error| Failure::usage(format!("{}: {}", error.path().display(), error.error())))
    };
    found.map(path).collect()
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    match error.kind() {
        ErrorKind::NotFound => Failure::usage(format!("{}: no such file", path.display())),
        _ => Failure::usage(format!("{}: cannot be read: {error}", path.display())),
    }
}

/// Refuses a line that is too long, naming its place. Reads regular files only, and no more than is worth it.
pub fn check_lines(paths: &[PathBuf]) -> Result<(), Failure> {
    let regular = |path: &PathBuf| path.metadata().ok().filter(|metadata| metadata.is_file()).map(|file| file.len());
    let total: u64 = paths.iter().filter_map(regular).sum();
    if total > READ_THROUGH_BYTES_MAX {
        return Ok(());
    }
    for path in paths.iter().filter(|path| regular(path).is_some()) {
        let file = File::open(path).map_err(|error| unreadable(path, &error))?;
        let long = first_long_line(BufReader::with_capacity(BUFFER_BYTES, file), LINE_BYTES_MAX);
        if let Some(line) = long.map_err(|error| unreadable(path, &error))? {
            let what = format!("a line longer than 1 MiB; split it, or leave the file out: {}", path.display());
            return Err(Failure::usage(format!("{}:{line}:1: {what}", path.display())));
        }
    }
    Ok(())
}

/// The number, from 1, of the first line with more than `max` bytes. A CR before the LF belongs to the line's end.
fn first_long_line(mut from: impl BufRead, max: usize) -> std::io::Result<Option<u64>> {
    let (mut number, mut length, mut last) = (1u64, 0usize, 0u8);
    loop {
        let buffer = from.fill_buf()?;
        if buffer.is_empty() {
            return Ok((length > max).then_some(number));
        }
        let mut rest = 0;
        for end in memchr::memchr_iter(b'\n', buffer) {
            let line = length + end - rest;
            let before = if end > 0 { buffer[end - 1] } else { last };
            if line - usize::from(line > 0 && before == b'\r') > max {
                return Ok(Some(number));
            }
            (number, length, rest) = (number + 1, 0, end + 1);
        }
        length += buffer.len() - rest;
        last = buffer[buffer.len() - 1];
        // One byte more than the longest line may be a CR that ends it.
        if length > max + 1 {
            return Ok(Some(number));
        }
        let read = buffer.len();
        from.consume(read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_is_too_long_is_found_whatever_the_buffer() {
        let check = |text: &str, expected: Option<u64>| {
            for capacity in [1, 2, 3, 64] {
                let found = first_long_line(BufReader::with_capacity(capacity, text.as_bytes()), 4).unwrap();
                assert_eq!(found, expected, "{text:?} with a buffer of {capacity}");
            }
        };
        check("", None);
        check("four\nfour", None);
        check("four\r\nfour\r\n", None);
        check("a\nfives\nlonger still\n", Some(2));
        check("a\nfives", Some(2));
        check("fives\r\n", Some(1));
        check("\n\n\nsixsix\n", Some(4));
        check("\r\n\r\nfour\n", None);
    }

    #[test]
    fn a_pattern_names_files_in_order_or_says_what_is_wrong() {
        let folder = std::env::temp_dir().join(format!("dstream-input-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("deep")).unwrap();
        for name in ["b.txt", "a.txt", "odd[1].log"] {
            std::fs::write(folder.join(name), "x\n").unwrap();
        }
        let check = |pattern: &str, expected: Result<&[&str], &str>| {
            let found = find(&folder.join(pattern).to_string_lossy());
            match (found, expected) {
                (Ok(paths), Ok(names)) => {
                    let found: Vec<_> = paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
                    assert_eq!(found, names, "{pattern}");
                }
                (Err(failure), Err(words)) => assert!(failure.message.contains(words), "{failure}"),
                (found, expected) => panic!("{pattern}: {found:?} instead of {expected:?}"),
            }
        };
        check("*.txt", Ok(&["a.txt", "b.txt"]));
        check("*", Ok(&["a.txt", "b.txt", "odd[1].log"]));
        check("odd[1].log", Ok(&["odd[1].log"]));
        check("deep", Err("is a folder; to read what is in it say"));
        check("missing.txt", Err("no file of that name"));
        check("[", Err("attern"));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
