//! Whatever is typed, the parser answers: a plan, or errors that stand where they say.

mod parse_support;

use dstream_scenarios::{Context, ScenarioError, load, to_yaml, unit};
use parse_support::{FULL, context};
use proptest::prelude::*;
use std::path::Path;

/// Words that mean something to YAML or to the schema, put in at the wrong place.
const WORDS: &[&str] = &[
    "\t",
    "\n",
    "\r\n",
    " ",
    ":",
    ": ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    ",",
    "#",
    " #",
    "&a ",
    "*a",
    "!x ",
    "!!str ",
    "|\n",
    ">\n",
    "'",
    "\"",
    "\\",
    "%",
    "@",
    "`",
    "? ",
    "<<: ",
    "---\n",
    "...\n",
    "~",
    "null",
    "true",
    "0",
    "-1",
    "1e9",
    ".inf",
    ".nan",
    "18446744073709551616",
    "99999999999h",
    "0s",
    "1ms",
    "1Gbit",
    "50%",
    "any-worker",
    "worker-1",
    "é",
    "\u{1F600}",
    "\u{85}",
    "\u{2028}",
    "\u{feff}",
    "\0",
    "at: 5s, ",
    "..",
    "1s..2s",
    "as: x, ",
    "crash",
    "paper",
];

/// Every error stands on a line of its text, within that line (or right behind it).
fn check_places(text: &str, errors: &[ScenarioError]) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    assert!(!errors.is_empty());
    for error in errors.iter().filter(|error| error.path == "s.yaml") {
        let line = text.split('\n').nth(error.line - 1).unwrap_or_else(|| panic!("no such line: {error}\n{text}"));
        assert_eq!(error.text, line.trim_end_matches('\r'), "{error}");
        let width = error.text.chars().count();
        assert!((1..=width + 2).contains(&error.column), "{error:?}\n{text}");
        assert!(error.length >= 1 && error.column + error.length <= width + 3, "{error:?}\n{text}");
        assert!(!error.message.contains('\n'), "{error:?}");
    }
}

fn answer(text: &str, context: &Context) {
    match load(Path::new("s.yaml"), text, context) {
        Ok(plan) => {
            let yaml = to_yaml(&plan);
            let again = load(Path::new("s.yaml"), &yaml, &parse_support::context());
            let again = again.unwrap_or_else(|errors| panic!("{}\n{yaml}", errors[0]));
            assert_eq!(again, plan, "{text}");
        }
        Err(errors) => check_places(text, &errors),
    }
}

/// The byte at this share of the text, moved back to the begin of a character.
fn place(text: &str, share: f64) -> usize {
    let mut at = (text.len() as f64 * share) as usize;
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[derive(Clone, Debug)]
enum Change {
    Insert(f64, usize),
    Cut(f64, f64),
    Repeat(f64, f64),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (0.0..1.0, 0..WORDS.len()).prop_map(|(at, word)| Change::Insert(at, word)),
        (0.0..1.0, 0.0..0.03).prop_map(|(at, length)| Change::Cut(at, length)),
        (0.0..1.0, 0.0..0.1).prop_map(|(at, length)| Change::Repeat(at, length)),
    ]
}

fn changed(text: &str, change: &Change) -> String {
    match *change {
        Change::Insert(at, word) => {
            let at = place(text, at);
            format!("{}{}{}", &text[..at], WORDS[word], &text[at..])
        }
        Change::Cut(at, length) => {
            let (from, to) = (place(text, at), place(text, (at + length).min(1.0)));
            format!("{}{}", &text[..from], &text[to..])
        }
        Change::Repeat(at, length) => {
            let (from, to) = (place(text, at), place(text, (at + length).min(1.0)));
            format!("{}{}", &text[..to], &text[from..])
        }
    }
}

/// Byte ranges of all keys of a text whose every `word:` is a key.
fn keys(text: &str) -> Vec<(usize, usize)> {
    let mut keys = Vec::new();
    for (end, _) in text.match_indices(": ").chain(text.match_indices(":\n")) {
        let start = text[..end].rfind([' ', '\n']).map_or(0, |space| space + 1);
        keys.push((start, end));
    }
    keys
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        answer(&text, &context());
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        answer(&String::from_utf8_lossy(&bytes), &context());
    }

    #[test]
    fn any_words_are_answered(words in prop::collection::vec(0..WORDS.len(), 0..40)) {
        answer(&words.iter().map(|word| WORDS[*word]).collect::<String>(), &context());
    }

    #[test]
    fn a_damaged_scenario_is_answered(changes in prop::collection::vec(change(), 1..5)) {
        answer(&changes.iter().fold(FULL.to_string(), |text, change| changed(&text, change)), &context());
    }

    #[test]
    fn any_set_is_answered(path in "[a-z0-9.\\[\\]]{0,20}", word in 0..WORDS.len(), known in 0..KNOWN.len()) {
        for path in [path.as_str(), KNOWN[known]] {
            let sets = vec![(path.to_string(), WORDS[word].to_string())];
            answer(FULL, &Context { sets, ..context() });
        }
    }

    #[test]
    fn a_mistyped_key_is_underlined(key in any::<prop::sample::Index>(), first in 0usize..4) {
        // The first line of FULL holds a colon in a quoted title.
        let text = FULL.replace("full: every", "every");
        let keys = keys(&text);
        let (start, end) = keys[key.index(keys.len())];
        let wrong = format!("{}zq", &text[start..end]);
        let first = ["", "\n", "# \u{e9}\u{1F600}\n", "about : {}\r\n"][first];
        let text = format!("{first}{}{wrong}{}", &text[..start], &text[end..]);
        let errors = load(Path::new("s.yaml"), &text, &context()).expect_err("an unknown key is refused");
        check_places(&text, &errors);
        let underlined = |error: &ScenarioError| -> String {
            error.text.chars().skip(error.column - 1).take(error.length).collect()
        };
        prop_assert!(errors.iter().any(|error| underlined(error) == wrong), "{wrong}: {errors:?}");
    }

    #[test]
    fn quantities_read_as_they_are_shown(value in any::<u64>(), shift in 0u32..60) {
        let value = value >> shift;
        prop_assert_eq!(unit::bytes(&unit::show_bytes(value)).ok(), Some(value));
        prop_assert_eq!(unit::bits_per_second(&unit::show_bits_per_second(value)).ok(), Some(value));
        let year = std::time::Duration::from_nanos(value % (365 * 24 * 3600 * 1_000_000_000));
        prop_assert_eq!(unit::duration(&unit::show_duration(year)).ok(), Some(year));
        let rate = value as f64 / 7.0;
        prop_assume!(rate < 1e12);
        prop_assert_eq!(unit::per_second(&unit::show_per_second(rate)).ok(), Some(rate));
    }

    #[test]
    fn any_quantity_is_answered(text in "[0-9]{0,40}[.]?[0-9]{0,40}[a-zA-Z%/ ]{0,6}") {
        let exact = unit::duration(&text).is_ok_and(|length| length.as_nanos() > 0);
        prop_assert!(!exact || text.starts_with(|c: char| c.is_ascii_digit()));
        let _ = (unit::bytes(&text), unit::bits_per_second(&text), unit::per_second(&text), unit::percent(&text));
    }
}

/// Paths that lead somewhere in the scenario.
const KNOWN: &[&str] = &[
    "title",
    "seed",
    "cluster",
    "cluster.link.latency",
    "cluster.costs",
    "workload.source.generate.rate",
    "engines",
    "engines.dstream.interval",
    "engines[1].as",
    "engines.three copies.copies",
    "faults[0].at",
    "faults[3].between[0]",
    "faults[1].slow-cpu.factor",
    "expect",
    "expect[2].latency.p99",
    "expect[0]",
    "workload.params.window",
];

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = String::from("a0: &a0 [x, x]\n");
    for level in 1..40 {
        let below = level - 1;
        text += &format!("a{level}: &a{level} [*a{below}, *a{below}, *a{below}, *a{below}, *a{below}, *a{below}]\n");
    }
    answer(&text, &context());
}

#[test]
fn deep_nesting_and_long_texts_are_refused() {
    answer(&"[".repeat(100_000), &context());
    answer(&format!("a: {}1{}", "{ a: ".repeat(1000), " }".repeat(1000)), &context());
    answer(&"x".repeat(2 << 20), &context());
    answer(&"- x\n".repeat(150_000), &context());
    let many = |line: fn(usize) -> String| (0..5_000).map(line).collect::<String>();
    answer(&many(|number| format!("key{number}: [{number}]\n")), &context());
    answer(&many(|_| "seed: 5\n".to_string()), &context());
    answer(&format!("{FULL}faults:\n{}", many(|number| format!("  - {number}\n"))), &context());
    answer(&FULL.replace("faults:\n", &format!("faults:\n{}", many(|number| format!("  - {number}\n")))), &context());
}
