//! Scenarios that are wrong: each case of `parse_errors.txt` changes a small scenario and shows all that is said then.
//!
//! A case is `### name`, the lines that are replaced (`*` for all), `=>`, the lines that replace them, `:`, what is
//! said.

mod parse_support;

use parse_support::{SMALL, context, errors};

struct Case<'t> {
    name: &'t str,
    replaced: &'t str,
    by: &'t str,
    said: &'t str,
}

fn cases(table: &str) -> Vec<Case<'_>> {
    let blocks = table.split("### ").skip(1);
    let case = |block| -> Option<Case<'_>> {
        let (name, rest) = str::split_once(block, '\n')?;
        let (replaced, rest) = rest.split_once("\n=>\n")?;
        let (by, said) = rest.split_once("\n:\n")?;
        Some(Case { name, replaced, by, said: said.trim_end() })
    };
    blocks.map(|block| case(block).unwrap_or_else(|| panic!("this is no case:\n{block}"))).collect()
}

fn said(case: &Case<'_>) -> String {
    let by = case.by.replace("<TAB>", "\t").replace("<NONE>", "").replace("\\u{1}", "\u{1}");
    let text = if case.replaced == "*" {
        by
    } else {
        assert_eq!(SMALL.matches(case.replaced).count(), 1, "`{}` replaces nothing", case.name);
        SMALL.replace(case.replaced, &by)
    };
    let lines = errors(&text, &context()).join("\n");
    lines.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_mistake_is_shown_where_it_is_with_what_is_valid() {
    let cases = cases(include_str!("parse_errors.txt"));
    assert!(cases.len() > 100, "only {} cases were read", cases.len());
    let mut wrong = String::new();
    for case in &cases {
        let said = said(case);
        if said != case.said {
            wrong += &format!("### {}\n{}\n=>\n{}\n:\n{said}\n\n", case.name, case.replaced, case.by);
        }
    }
    assert!(wrong.is_empty(), "these cases say something else:\n{wrong}");
}
