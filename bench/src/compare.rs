//! Compares two traces of the same run, byte for byte, line by line. Knows no world: it reads text.

use std::io::{self, BufRead};

/// Two traces compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// Every byte is the same.
    Identical {
        /// How many lines they have.
        lines: u64,
    },
    /// They differ from this line on.
    Differ(Difference),
}

/// The first line that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its number, from 1.
    pub line: u64,
    /// How it reads in the first trace; `None` where that one ended before.
    pub first: Option<String>,
    /// How it reads in the second.
    pub second: Option<String>,
}

/// Compares two traces.
pub fn compare_traces(mut first: impl BufRead, mut second: impl BufRead) -> io::Result<Comparison> {
    let (mut one, mut other) = (Vec::new(), Vec::new());
    for line in 1.. {
        read_line(&mut first, &mut one)?;
        read_line(&mut second, &mut other)?;
        if one != other {
            return Ok(Comparison::Differ(Difference { line, first: shown(&one), second: shown(&other) }));
        }
        if one.is_empty() {
            return Ok(Comparison::Identical { lines: line - 1 });
        }
    }
    unreachable!("a trace has fewer lines than a u64 counts")
}

fn read_line(from: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<()> {
    line.clear();
    from.read_until(b'\n', line).map(drop)
}

fn shown(line: &[u8]) -> Option<String> {
    (!line.is_empty()).then(|| String::from_utf8_lossy(line).trim_end_matches('\n').to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_differing_line_is_found() {
        let check = |first: &str, second: &str, expected: Result<u64, (u64, Option<&str>, Option<&str>)>| {
            let expected = match expected {
                Ok(lines) => Comparison::Identical { lines },
                Err((line, first, second)) => Comparison::Differ(Difference {
                    line,
                    first: first.map(str::to_string),
                    second: second.map(str::to_string),
                }),
            };
            assert_eq!(compare_traces(first.as_bytes(), second.as_bytes()).unwrap(), expected);
        };
        check("", "", Ok(0));
        check("a\nb\n", "a\nb\n", Ok(2));
        check("a\nb\n", "a\nc\n", Err((2, Some("b"), Some("c"))));
        check("a\n", "a\nb\nc\n", Err((2, None, Some("b"))));
        check("a\nb\n", "a\n", Err((2, Some("b"), None)));
        check("\n", "", Err((1, Some(""), None)));
        check("a", "a\n", Err((1, Some("a"), Some("a"))));
    }
}
