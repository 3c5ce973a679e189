//! Holds the style budget: every file says what it is for, and nothing large grows.
//!
//! A ratchet: files and functions above the limits stand in `tidy_budget.txt` with their size; the numbers there may
//! only shrink. Knows no crate by name and reads text only.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a file that needs no entry in the budget.
const FILE_LINES: usize = 500;
/// Lines of a file that no entry excuses.
const FILE_LINES_EVER: usize = 800;
/// Lines of a function that needs no entry in the budget.
const FUNCTION_LINES: usize = 70;
/// Characters of a line of code, as rustfmt has it.
const LINE_CHARS: usize = 120;
/// Characters of a line of comment: rustfmt does not wrap them, and people overshoot by a word.
const COMMENT_CHARS: usize = 125;

/// What the budget excuses: (path, `file` or `function`) -> lines.
type Budget = BTreeMap<(String, String), usize>;

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// All Rust files of the repository, by path relative to its root.
fn rust_files(folder: &Path, prefix: &str, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).expect("the repository's folders can be read") {
        let entry = entry.expect("a folder's entries can be read");
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "target" || name == "runs" {
            continue;
        }
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
        if entry.path().is_dir() {
            rust_files(&entry.path(), &path, found);
        } else if name.ends_with(".rs") {
            found.insert(path, fs::read_to_string(entry.path()).expect("a source file is UTF-8"));
        }
    }
}

/// Reads `path file|function lines` a line; `#` begins a comment.
fn parse_budget(text: &str) -> Budget {
    let entries = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    entries
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [path, kind, lines] = words[..] else { panic!("`{line}` is not `path file|function lines`") };
            ((path.to_string(), kind.to_string()), lines.parse().expect("lines is a whole number"))
        })
        .collect()
}

/// The name and the length of each function, as rustfmt lays it out: it ends with a brace in the column where it began.
fn functions(text: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let indent = line.len() - code.len();
        let Some(name) = function_name(code) else { continue };
        let whole = code.ends_with([';', '}']);
        let ends = |line: &&str| {
            let code = line.trim_start();
            line.len() - code.len() == indent && (code == "}" || code.starts_with(')') && code.ends_with(';'))
        };
        let end = if whole { None } else { lines[start..].iter().position(ends) };
        found.push((name, end.map_or(1, |end| end + 1)));
    }
    found
}

/// The name, if this line begins a function.
fn function_name(code: &str) -> Option<String> {
    let mut words = code.split_whitespace().skip_while(|word| {
        matches!(*word, "pub" | "async" | "const" | "extern" | "unsafe") || word.starts_with("pub(")
    });
    if words.next()? != "fn" {
        return None;
    }
    Some(words.next()?.split(['(', '<']).next()?.to_string())
}

/// Whether a file holds tests only: its folder says so, or its parent declares it under `cfg(test)`.
fn is_test(path: &str, files: &BTreeMap<String, String>) -> bool {
    if path.split('/').any(|part| matches!(part, "tests" | "benches" | "tests.rs")) {
        return true;
    }
    let stem = path.rsplit('/').next().and_then(|name| name.strip_suffix(".rs")).unwrap_or("");
    let declaration = format!("#[cfg(test)]\nmod {stem};");
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let is_sibling = |other: &str| {
        other.strip_suffix(".rs") == Some(folder) || other.rsplit_once('/').map_or("", |(parent, _)| parent) == folder
    };
    files.iter().any(|(other, text)| is_sibling(other) && text.contains(&declaration))
}

/// The product's part of a file: what stands before its tests.
fn product(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod tests {").map_or(text, |at| &text[..at])
}

/// What is wrong with one file, beside its size.
fn blemishes(path: &str, text: &str, test: bool) -> Vec<String> {
    let mut found = Vec::new();
    if !text.starts_with("//! ") {
        found.push(format!("{path}: must open with a `//!` line that says what it is for"));
    }
    for (number, line) in text.lines().enumerate() {
        let limit = if line.trim_start().starts_with("//") { COMMENT_CHARS } else { LINE_CHARS };
        if line.chars().count() > limit {
            found.push(format!("{path}:{}: longer than {limit} characters", number + 1));
        }
    }
    let code = if test { "" } else { product(text) };
    let words =
        [".unwrap()", concat!("to", "do!("), concat!("unimpl", "emented!("), concat!("TO", "DO"), concat!("FIX", "ME")];
    for (number, line) in code.lines().enumerate() {
        for word in words.iter().filter(|word| line.contains(**word)) {
            found.push(format!("{path}:{}: `{word}` outside tests", number + 1));
        }
    }
    found
}

/// Compares one size with its limit and its entry in the budget.
fn size(path: &str, kind: &str, lines: usize, limit: usize, budget: &Budget) -> Option<String> {
    match budget.get(&(path.to_string(), kind.to_string())) {
        None if lines > limit => Some(format!("{path}: {kind} of {lines} lines, {limit} is the limit; split it")),
        None => None,
        Some(_) if lines <= limit => Some(format!("{path}: its `{kind}` entry is no longer needed; delete the line")),
        Some(entry) if lines > *entry => Some(format!("{path}: {kind} grew from {entry} to {lines} lines")),
        Some(entry) if lines < *entry => Some(format!("{path}: it shrank; the entry is now `{path} {kind} {lines}`")),
        Some(_) => None,
    }
}

/// Everything that is wrong.
fn complaints(files: &BTreeMap<String, String>, budget: &Budget) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in files {
        found.extend(blemishes(path, text, is_test(path, files)));
        let lines = text.lines().count();
        let (longest, of) = functions(text).into_iter().map(|(name, lines)| (lines, name)).max().unwrap_or_default();
        if lines > FILE_LINES_EVER {
            found.push(format!("{path}: {lines} lines, {FILE_LINES_EVER} is the end"));
        }
        found.extend(size(path, "file", lines, FILE_LINES, budget));
        found.extend(size(path, "function", longest, FUNCTION_LINES, budget).map(|what| format!("{what} (fn {of})")));
    }
    let gone = budget.keys().filter(|(path, _)| !files.contains_key(path));
    found.extend(gone.map(|(path, kind)| format!("{path}: gone; delete its `{kind}` entry from the budget")));
    found
}

#[test]
fn the_repository_is_tidy() {
    let mut files = BTreeMap::new();
    rust_files(&root(), "", &mut files);
    assert!(files.len() > 20, "found only {} files under {}", files.len(), root().display());
    let budget = parse_budget(include_str!("tidy_budget.txt"));
    let found = complaints(&files, &budget);
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn each_untidiness_is_named() {
    let check = |text: String, budget: &str, expected: &[&str]| {
        let files = BTreeMap::from([("a/src/x.rs".to_string(), text)]);
        let found = complaints(&files, &parse_budget(budget));
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "`{found}` does not say `{expected}`");
        }
    };
    let lines = |count: usize| format!("//! A file.\n{}", "// line\n".repeat(count - 1));
    let function = |count: usize| format!("//! A file.\npub fn long(\n) {{\n{}}}\n", "    x();\n".repeat(count - 3));
    check(lines(500), "", &[]);
    check("use x;\n".into(), "", &["must open with a `//!` line"]);
    check(format!("//! {}\n", "x".repeat(122)), "", &["a/src/x.rs:1: longer than 125"]);
    check(format!("//! A file.\nlet {};\n", "x".repeat(120)), "", &["a/src/x.rs:2: longer than 120"]);
    check(lines(501), "", &["file of 501 lines, 500 is the limit"]);
    check(lines(600), "a/src/x.rs file 600", &[]);
    check(lines(601), "a/src/x.rs file 600", &["grew from 600 to 601"]);
    check(lines(599), "a/src/x.rs file 600", &["the entry is now `a/src/x.rs file 599`"]);
    check(lines(499), "a/src/x.rs file 600", &["no longer needed"]);
    check(lines(801), "a/src/x.rs file 801", &["800 is the end"]);
    check(lines(9), "b/src/y.rs file 600", &["b/src/y.rs: gone"]);
    check(function(70), "", &[]);
    check(function(71), "", &["function of 71 lines, 70 is the limit; split it (fn long)"]);
    check(function(80), "a/src/x.rs function 80", &[]);
    check("//! A file.\nfn f() { x.unwrap() }\n".into(), "", &["x.rs:2: `.unwrap()` outside tests"]);
    check("//! A file.\n#[cfg(test)]\nmod tests {\n    fn f() { x.unwrap() }\n}\n".into(), "", &[]);
    check(format!("//! A file.\nfn f() {{ {}) }}\n", concat!("to", "do!(")), "", &["outside tests"]);
}
