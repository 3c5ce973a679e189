//! `dstream job` on real files: its results equal an independent count, and it ends as it should.

use crate::common::{Folder, Said};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Words as the contract defines them, counted in the plainest way.
fn count(text: &[u8]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let space = |byte: &u8| matches!(byte, 9..=13 | 32);
    for word in text.split(space).filter(|word| !word.is_empty()) {
        *counts.entry(String::from_utf8_lossy(word).into_owned()).or_default() += 1;
    }
    counts
}

/// Reads RFC 4180 text: rows of fields.
fn parse_csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' if quoted && chars.peek() == Some(&'"') => field.push(chars.next().unwrap()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            other => field.push(other),
        }
    }
    assert!(row.is_empty() && field.is_empty() && !quoted, "the file does not end with a line's end");
    rows
}

/// The sum over all interval files, each of which must be whole, sorted and numbered without a gap.
fn read_counts(folder: &Folder, output: &str) -> (BTreeMap<String, u64>, usize) {
    let mut files: Vec<_> = std::fs::read_dir(folder.0.join(output))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let mut counts = BTreeMap::new();
    for (number, name) in files.iter().enumerate() {
        assert_eq!(*name, format!("interval-{number:08}.csv"));
        let rows = parse_csv(&folder.read(&format!("{output}/{name}")));
        assert_eq!(rows[0], ["key", "value"]);
        assert!(rows[1..].windows(2).all(|pair| pair[0][0] < pair[1][0]), "{name} is not sorted");
        for row in &rows[1..] {
            *counts.entry(row[0].clone()).or_default() += row[1].parse::<u64>().unwrap();
        }
    }
    (counts, files.len())
}

fn job(folder: &Folder, words: &str) -> Said {
    folder.dstream(&words.split(' ').collect::<Vec<_>>())
}

/// Text with everything that the contract says about lines and words.
fn odd_text() -> Vec<u8> {
    let mut text = Vec::new();
    text.extend_from_slice("to be, or \"not\" to be\r\n\n\r\nça va\u{a0}bien\x0bet\x0ctoi\t1,2\n".as_bytes());
    text.extend_from_slice(b"bad \xff\xfe bytes \xc3( end\n");
    text.extend_from_slice(format!("{}\n", "x".repeat(40)).as_bytes());
    text.extend_from_slice("a-key-that-is-longer-than-any-inline-table-takes ".repeat(50).as_bytes());
    text.extend_from_slice(b"\nlast line without an end");
    text
}

#[test]
fn the_counts_of_odd_files_equal_an_independent_count() {
    let folder = Folder::new();
    let bulk: String = (0..20_000u64).map(|n| format!("w{} v{}\n", n * n % 977, n % 13)).collect();
    folder.write("in/a.txt", odd_text());
    folder.write("in/b.txt", &bulk);
    folder.write("in/c.txt", "");
    let expected = count(&[&odd_text()[..], b"\n", bulk.as_bytes()].concat());
    for cores in [1, 2] {
        let words = format!(
            "job word-count --source file:in/*.txt --interval 200ms --master local[{cores}] --output file:out{cores}"
        );
        let said = job(&folder, &words);
        said.expect(0, &["1 line", "invalid UTF-8"]);
        assert_eq!(said.out, "", "{said:?}");
        assert_eq!(read_counts(&folder, &format!("out{cores}/counts")).0, expected, "local[{cores}]");
    }
}

#[test]
fn results_on_stdout_are_lines_that_people_and_programs_read() {
    let folder = Folder::new();
    folder.write("in.txt", "b a b\n");
    let said = job(&folder, "job word-count --source file:in.txt --interval 100ms");
    assert_eq!((said.code, said.out.as_str()), (0, "0 a 1\n0 b 2\n"), "{said:?}");
    let said = job(&folder, "job word-count --source file:in.txt --interval 100ms --format json");
    let expected = r#"{"output":"counts","interval":0,"key":"a","value":1}"#;
    assert_eq!(said.out.lines().next(), Some(expected), "{said:?}");
}

#[test]
fn an_empty_file_gives_an_empty_interval() {
    let folder = Folder::new();
    folder.write("in.txt", "");
    job(&folder, "job word-count --source file:in.txt --interval 100ms --output file:out").expect(0, &[]);
    let (counts, files) = read_counts(&folder, "out/counts");
    assert!(counts.is_empty() && files >= 1);
}

#[test]
fn a_line_that_is_too_long_is_refused_with_its_place_before_anything_starts() {
    let folder = Folder::new();
    folder.write("in.txt", format!("fine\n{}\n", "x".repeat((1 << 20) + 1)));
    let said = job(&folder, "job word-count --source file:in.txt --output file:out");
    said.expect(64, &["in.txt:2:1: ", "1 MiB"]);
    assert_eq!(said.err.lines().count(), 1, "{said:?}");
    folder.write("in.txt", format!("fine\n{}\n", "x".repeat(1 << 20)));
    job(&folder, "job word-count --source file:in.txt --interval 100ms --output file:fine").expect(0, &[]);
}

#[test]
fn a_rate_spreads_a_file_over_intervals() {
    let folder = Folder::new();
    folder.write("in.txt", "x\n".repeat(100));
    job(&folder, "job word-count --source file:in.txt --interval 100ms --output file:out rate=200/s").expect(0, &[]);
    let (counts, files) = read_counts(&folder, "out/counts");
    assert_eq!(counts["x"], 100);
    assert!(files >= 4, "{files}");
}

#[test]
fn ctrl_c_drains_what_was_read() {
    let folder = Folder::new();
    folder.write("in.txt", "x\n".repeat(100_000));
    let words = "job word-count --source file:in.txt --interval 100ms rate=500/s";
    let mut job = crate::common::command(&folder.0, &words.split(' ').collect::<Vec<_>>());
    let mut child = job.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut rows = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        (words[0].parse::<u64>().unwrap(), words[2].parse::<u64>().unwrap())
    });
    // The row of interval 2 is the sign that the job is well under way.
    let mut counted: u64 = rows.by_ref().take_while(|(interval, _)| *interval < 2).map(|(_, count)| count).sum();
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    counted += rows.map(|(_, count)| count).sum::<u64>();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(counted < 100_000, "{counted}");
}

#[test]
fn for_ends_the_input_after_its_time() {
    let folder = Folder::new();
    folder.write("in.txt", "x\n".repeat(100_000));
    let words = "job word-count --source file:in.txt --interval 100ms --for 300ms --output file:out rate=1000/s";
    job(&folder, words).expect(0, &[]);
    assert_eq!(read_counts(&folder, "out/counts").0["x"], 300);
}

#[test]
fn a_window_that_slides_by_several_intervals_writes_a_file_where_it_is_due() {
    let folder = Folder::new();
    folder.write("in.txt", "x\n".repeat(1000));
    let words =
        "job word-count --source file:in.txt --interval 100ms --output file:out rate=1000/s window=400ms slide=200ms";
    job(&folder, words).expect(0, &["1000 lines"]);
    let mut files: Vec<String> = std::fs::read_dir(folder.0.join("out/counts"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let due = (0..files.len()).map(|number| format!("interval-{:08}.csv", 2 * number + 1));
    assert_eq!(files, due.collect::<Vec<_>>());
    // Every line is in two windows, one of them perhaps behind the end.
    let sum: u64 = files
        .iter()
        .map(|name| parse_csv(&folder.read(&format!("out/counts/{name}"))))
        .map(|rows| rows.get(1).map_or(0, |row| row[1].parse::<u64>().unwrap()))
        .sum();
    assert!((1500..=2000).contains(&sum), "{sum}");
}
