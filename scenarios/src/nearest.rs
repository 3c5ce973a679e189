//! The valid name nearest to a mistyped one. Knows no schema.

/// The candidate nearest to `wrong`, if it is near enough to be meant: it begins with it, or there is at most one
/// slip, and one more for every three characters of the shorter name.
pub fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = wrong.chars().count();
    let near = |candidate: &'a str| {
        let slips = distance(wrong, candidate);
        let begun = length > 2 && candidate.starts_with(wrong);
        let limit = 1 + length.min(candidate.chars().count()) / 3;
        (begun || slips <= limit).then_some((slips, candidate))
    };
    candidates.into_iter().filter_map(near).min_by_key(|(slips, _)| *slips).map(|(_, candidate)| candidate)
}

/// ` did you mean `x`?` or nothing, then the valid names: the end of a message about a wrong name.
pub(crate) fn suggestion(wrong: &str, valid: &[&str]) -> (String, Option<String>) {
    let names = valid.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match nearest(wrong, valid.iter().copied()) {
        Some(name) if valid.len() > 1 => (format!("did you mean `{name}`? Valid: {names}"), Some(name.to_string())),
        Some(name) => (format!("did you mean `{name}`?"), Some(name.to_string())),
        None => (format!("valid: {names}"), None),
    }
}

/// Slips between two names, whatever their case: letters put in, left out, exchanged, or swapped with their neighbour.
fn distance(left: &str, right: &str) -> usize {
    let (left, right) = (left.to_lowercase(), right.to_lowercase());
    let left: Vec<char> = left.chars().take(LONGEST).collect();
    let right: Vec<char> = right.chars().take(LONGEST).collect();
    let mut rows = vec![(0..=right.len()).collect::<Vec<usize>>()];
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let exchanged = rows[i][j] + usize::from(a != b);
            let mut least = exchanged.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

/// Names are short; what is longer is compared by its beginning, so that no input makes this slow.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let names = ["worker-1", "worker-8", "any-worker", "master"];
        let check = |wrong: &str, expected: Option<&str>| assert_eq!(nearest(wrong, names), expected, "{wrong}");
        check("any-wroker", Some("any-worker"));
        check("worker-9", Some("worker-1"));
        check("Master", Some("master"));
        check("mastre", Some("master"));
        check("x", None);
        check("", None);
        check("something-else-entirely", None);
        check("any", Some("any-worker"));
        check("wo", None);
    }
}
