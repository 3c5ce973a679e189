//! What an output that depends on earlier intervals may be where records were given up: some partitions' panes were
//! computed before the loss and hold them, others were computed again and do not.
//!
//! Invariant: each value lies between that without and that with all the lost records, each on its own; nothing else may
//! differ.

use crate::oracle::{Answer, Rows};
use std::collections::{BTreeMap, BTreeSet};

/// Visible rows of all partitions: key, value.
pub(super) type Seen<'a> = BTreeMap<&'a str, &'a str>;

/// The first row that no loss leads to.
pub(super) fn violation(output: &str, seen: &Seen<'_>, answer: &Answer) -> Option<String> {
    let without = answer.reduced.as_ref().unwrap_or(&answer.full);
    match answer.full.chosen_from.get(output) {
        Some(all) => List { output, seen, with: all, without: without.chosen_from.get(output) }.violation(&answer.full),
        None => {
            let rows = |rows: &'_ Rows| rows.rows.get(output).cloned().unwrap_or_default();
            each_value(output, seen, &rows(&answer.full), &rows(without))
        }
    }
}

/// The first of a partition's rows that no loss leads to, where that partition lost no state.
pub(super) fn foreign_violation(output: &str, rows: &[(String, String)], answer: &Answer) -> Option<String> {
    let without = answer.elsewhere.as_ref()?.rows.get(output);
    let with = answer.full.rows.get(output);
    rows.iter().find_map(|(key, value)| {
        let [least, most] = [without, with].map(|values| values.and_then(|values| text(values, key)));
        (!is_between(Some(value), least, most)).then(|| {
            let (least, most) = (least.unwrap_or("none"), most.unwrap_or("none"));
            let expected = format!("expected from {least} to {most}: its partition lost no state");
            format!("output `{output}`: key {key:?} is {value}, {expected}")
        })
    })
}

type Values = BTreeMap<String, String>;

fn each_value(output: &str, seen: &Seen<'_>, with: &Values, without: &Values) -> Option<String> {
    let keys: BTreeSet<&str> =
        seen.keys().copied().chain(with.keys().chain(without.keys()).map(String::as_str)).collect();
    keys.into_iter().find_map(|key| {
        let (value, with, without) = (seen.get(key).copied(), text(with, key), text(without, key));
        (!is_between(value, without, with)).then(|| {
            let shown = |value: Option<&str>| value.unwrap_or("none").to_owned();
            format!(
                "output `{output}`: key {key:?} is {}, expected from {} to {}",
                shown(value),
                shown(without),
                shown(with)
            )
        })
    })
}

fn text<'v>(values: &'v Values, key: &str) -> Option<&'v str> {
    values.get(key).map(String::as_str)
}

/// Values that are no numbers must be one or the other.
fn is_between(value: Option<&str>, one: Option<&str>, other: Option<&str>) -> bool {
    let number = |value: Option<&str>| value.map_or(Some(0), |value| value.parse::<i128>().ok());
    if value == one || value == other {
        return true;
    }
    match (number(value), number(one), number(other)) {
        (Some(value), Some(one), Some(other)) => (one.min(other)..=one.max(other)).contains(&value),
        _ => false,
    }
}

/// An output that holds the greatest of many values.
struct List<'a> {
    output: &'a str,
    seen: &'a Seen<'a>,
    with: &'a Values,
    without: Option<&'a Values>,
}

impl List<'_> {
    fn number(values: Option<&Values>, key: &str) -> i128 {
        values.and_then(|values| values.get(key)).and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    fn violation(&self, full: &Rows) -> Option<String> {
        let listed = full.rows.get(self.output).map_or(0, BTreeMap::len);
        // A list that holds everything may be longer than it is.
        let most = (listed < self.with.len()).then_some(listed);
        self.wrong_value().or_else(|| match most {
            Some(most) if self.seen.len() > most => {
                Some(format!("output `{}` has {} rows, expected {most}", self.output, self.seen.len()))
            }
            Some(most) if self.seen.len() == most => self.left_out(self.worst()),
            _ => self.left_out(None),
        })
    }

    fn wrong_value(&self) -> Option<String> {
        self.seen.iter().find_map(|(key, value)| {
            let (least, most) = (Self::number(self.without, key), Self::number(Some(self.with), key));
            let is_right = value.parse::<i128>().is_ok_and(|value| value > 0 && (least..=most).contains(&value));
            (!is_right).then(|| format!("output `{}`: key {key:?} is {value}, from {least} to {most}", self.output))
        })
    }

    /// The least value of the list; of equal ones that with the last key.
    fn worst(&self) -> Option<(i128, &str)> {
        let rows = self.seen.iter().filter_map(|(key, value)| Some((value.parse::<i128>().ok()?, *key)));
        rows.min_by(|(value, key), (other, others)| value.cmp(other).then_with(|| others.cmp(key)))
    }

    /// A key that is not in the list, though it has a value (a better one than `worst`) whatever is lost.
    fn left_out(&self, worst: Option<(i128, &str)>) -> Option<String> {
        let absent = self.without?.keys().filter(|key| !self.seen.contains_key(key.as_str()));
        absent.map(|key| (Self::number(self.without, key), key)).find_map(|(least, key)| {
            let is_better = worst.is_none_or(|(value, last)| least > value || (least == value && key.as_str() < last));
            (least > 0 && is_better)
                .then(|| format!("output `{}`: key {key:?} is missing, expected {least} or more", self.output))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Expected;

    fn values(text: &str) -> Values {
        let pair = |word: &str| word.split_once(':').map(|(key, value)| (key.to_owned(), value.to_owned()));
        text.split_whitespace().filter_map(pair).collect()
    }

    fn check(full: Rows, reduced: Rows, seen: &str, expected: Option<&str>) {
        let answer = Answer { full, reduced: Some(reduced), between: Vec::new(), elsewhere: None, beyond_end: None };
        let seen = values(seen);
        let seen: Seen<'_> = seen.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let found = violation("o", &seen, &answer);
        match expected {
            None => assert_eq!(found, None),
            Some(part) => assert!(found.as_ref().is_some_and(|found| found.contains(part)), "{found:?}: {part}"),
        }
    }

    #[test]
    fn values_lie_between_those_with_and_without_the_lost_records() {
        let rows = |text: &str| Rows { rows: Expected::from([("o".to_owned(), values(text))]), ..Rows::default() };
        let check = |seen: &str, expected: Option<&str>| {
            check(rows("a:5 b:2 c:7 w:x"), rows("a:3 c:7 w:y"), seen, expected);
        };
        for fine in ["a:5 b:2 c:7 w:x", "a:3 c:7 w:y", "a:4 b:1 c:7 w:x", "a:3 b:2 c:7 w:y"] {
            check(fine, None);
        }
        check("a:2 c:7 w:x", Some("key \"a\" is 2, expected from 3 to 5"));
        check("a:6 c:7 w:x", Some("key \"a\" is 6"));
        check("a:5 c:6 w:x", Some("key \"c\" is 6, expected from 7 to 7"));
        check("a:5 b:3 c:7 w:x", Some("key \"b\" is 3, expected from none to 2"));
        check("a:5 w:x", Some("key \"c\" is none"));
        check("a:5 c:7 d:1 w:x", Some("key \"d\" is 1, expected from none to none"));
        check("a:5 c:7 w:z", Some("key \"w\" is z"));
    }

    #[test]
    fn a_list_holds_the_greatest_of_values_that_may_be() {
        let list = |k: usize, all: &str| {
            let mut ranked: Vec<(String, String)> = values(all).into_iter().collect();
            ranked.sort_by(|(key, value), (other, others)| others.cmp(value).then_with(|| key.cmp(other)));
            let rows = ranked.into_iter().take(k).collect();
            let named = |values| Expected::from([("o".to_owned(), values)]);
            Rows { rows: named(rows), chosen_from: named(values(all)) }
        };
        let check = |k: usize, seen: &str, expected: Option<&str>| {
            check(list(k, "a:9 b:7 c:7 d:2"), list(k, "a:6 b:5 c:7"), seen, expected);
        };
        for fine in ["a:9 b:7", "c:7 a:6", "a:7 c:7", "a:8 c:7", "b:7 c:7"] {
            check(2, fine, None);
        }
        check(2, "a:9", Some("key \"b\" is missing, expected 5 or more"));
        check(2, "a:9 b:6", Some("key \"c\" is missing, expected 7"));
        check(2, "a:5 c:7", Some("key \"a\" is 5, from 6 to 9"));
        check(2, "a:9 b:7 c:7", Some("has 3 rows, expected 2"));
        check(2, "a:9 e:7", Some("key \"e\" is 7, from 0 to 0"));
        check(9, "a:9 b:7 c:7 d:1", None);
        check(9, "a:9 b:7 c:7", None);
        check(9, "a:9 b:7 d:2", Some("key \"c\" is missing"));
    }
}
