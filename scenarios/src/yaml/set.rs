//! `--set PATH=VALUE`: puts a value into the tree before anything is read from it.
//!
//! Knows one thing of the schema: an item of a list may be a mapping with one key that says what it is
//! (`faults[0].crash.at`), and a path may leave that key out (`faults[0].at`) or name the item by it
//! (`engines.dstream.interval`). Invariant: every value and key that it puts in has its place in the argument.

use super::source::{Problem, Sources, Spot};
use super::tree::{Entry, Node, Value};
use crate::nearest::suggestion;

/// One step of a path, with its place in the argument.
struct Step<'t> {
    kind: StepKind<'t>,
    at: Spot,
}

enum StepKind<'t> {
    Key(&'t str),
    Item(usize),
}

/// Applies one `--set`.
pub(crate) fn apply_set(sources: &mut Sources, root: &mut Node, path: &str, value: &str) -> Result<(), Problem> {
    let source = sources.add("--set", format!("{path}={value}"), path.len() + 1);
    let steps = steps(source, path)?;
    let node = sources.parse(source)?;
    put(root, &steps, node, Spot::Span { source, start: 0, length: path.len() })
}

/// Splits `faults[0].at` into its steps.
fn steps(source: usize, path: &str) -> Result<Vec<Step<'_>>, Problem> {
    let mut found = Vec::new();
    let mut start = 0;
    for part in path.split('.') {
        let key = part.split('[').next().unwrap_or("");
        let whole = Spot::Span { source, start, length: part.len() };
        let wrong = || Problem::wrong(whole, "not a path; valid is such as `cluster.workers` or `faults[0].at`");
        if key.is_empty() {
            return Err(wrong());
        }
        found.push(Step { kind: StepKind::Key(key), at: Spot::Span { source, start, length: key.len() } });
        let mut rest = &part[key.len()..];
        while !rest.is_empty() {
            let (index, behind) = rest.strip_prefix('[').and_then(|rest| rest.split_once(']')).ok_or_else(wrong)?;
            let at = Spot::Span { source, start: start + part.len() - rest.len(), length: index.len() + 2 };
            found.push(Step { kind: StepKind::Item(index.parse().map_err(|_| wrong())?), at });
            rest = behind;
        }
        start += part.len() + 1;
    }
    Ok(found)
}

/// Puts `node` at the end of the path that begins at `target`; `reached` is where `target` was named.
fn put(target: &mut Node, steps: &[Step<'_>], node: Node, reached: Spot) -> Result<(), Problem> {
    let Some((step, rest)) = steps.split_first() else {
        *target = node;
        return Ok(());
    };
    match step.kind {
        StepKind::Item(_) if target.value == Value::Null => {
            let message = "the list is not in the file; set the whole of it, such as `faults=[...]`";
            Err(Problem::wrong(reached, message))
        }
        StepKind::Item(index) => put(item(target, index, step.at)?, rest, node, step.at),
        StepKind::Key(key) if matches!(target.value, Value::List(_)) => {
            for item in named_items(target, key, step.at)? {
                put(item, rest, node.clone(), step.at)?;
            }
            Ok(())
        }
        StepKind::Key(key) => {
            let target = content(target, key);
            if target.value == Value::Null {
                *target = Node { at: reached, value: Value::Map(Vec::new()) };
            }
            put(entry(target, key, step.at)?, rest, node, step.at)
        }
    }
}

fn item(target: &mut Node, index: usize, at: Spot) -> Result<&mut Node, Problem> {
    let Value::List(items) = &mut target.value else { return Err(Problem::wrong(at, "what stands here is no list")) };
    let count = items.len();
    let wrong = move || Problem::wrong(at, format!("there is no item {index}; the list has {count}, counted from 0"));
    items.get_mut(index).ok_or_else(wrong)
}

/// The contents of the list's items that are called `name`: by their `as`, else by what they are.
fn named_items<'n>(target: &'n mut Node, name: &str, at: Spot) -> Result<Vec<&'n mut Node>, Problem> {
    let Value::List(items) = &mut target.value else { return Ok(Vec::new()) };
    let labels: Vec<(String, String)> = items.iter().map(names_of).collect();
    let exact = labels.iter().any(|(_, label)| label == name);
    if !labels.iter().any(|(kind, label)| label == name || kind == name) {
        let valid: Vec<&str> = labels.iter().map(|(_, label)| label.as_str()).collect();
        let (advice, nearest) = suggestion(name, &valid);
        let message = format!("the scenario names no `{name}` here; {advice}");
        return Err(Problem { nearest, ..Problem::wrong(at, message) });
    }
    let fits = |(kind, label): &(String, String)| label == name || (!exact && kind == name);
    let chosen = items.iter_mut().zip(labels).filter(|(_, names)| fits(names));
    Ok(chosen.map(|(item, _)| inside(item)).collect())
}

/// (what the item is, what it is called)
fn names_of(item: &Node) -> (String, String) {
    match &item.value {
        Value::Text(name) => (name.clone(), name.clone()),
        Value::Map(entries) if entries.len() == 1 => {
            let kind = entries[0].key.clone().unwrap_or_default();
            let own = match &entries[0].node.value {
                Value::Map(options) => options.iter().find(|option| option.key.as_deref() == Some("as")),
                _ => None,
            };
            let label = match own.map(|option| &option.node.value) {
                Some(Value::Text(label)) => label.clone(),
                _ => kind.clone(),
            };
            (kind, label)
        }
        _ => (String::new(), String::new()),
    }
}

/// The value of an item's only key; an item that is a bare name gets an empty one.
fn inside(item: &mut Node) -> &mut Node {
    if let Value::Text(name) = &item.value {
        let node = Node { at: item.at, value: Value::Null };
        item.value = Value::Map(vec![Entry { key: Some(name.clone()), key_at: item.at, node }]);
    }
    // Anything else is refused when the item is read.
    let only = matches!(&item.value, Value::Map(entries) if entries.len() == 1);
    if only { first_value(item) } else { item }
}

/// The value of a mapping's first key.
fn first_value(mapping: &mut Node) -> &mut Node {
    match &mut mapping.value {
        Value::Map(entries) => &mut entries[0].node,
        _ => unreachable!("callers have seen that it is a mapping with a key"),
    }
}

/// The mapping that `key` is looked for in: the only entry's value where the path leaves that entry's key out.
fn content<'n>(target: &'n mut Node, key: &str) -> &'n mut Node {
    let leaves_out = match &target.value {
        Value::Map(entries) if entries.len() == 1 && entries[0].key.as_deref() != Some(key) => {
            matches!(&entries[0].node.value, Value::Map(inner) if inner.iter().any(|e| e.key.as_deref() == Some(key)))
                || is_fault(&entries[0])
        }
        _ => false,
    };
    if leaves_out { first_value(target) } else { target }
}

/// Whether the entry looks like a fault: every fault has `at`.
fn is_fault(entry: &Entry) -> bool {
    matches!(&entry.node.value, Value::Map(inner) if inner.iter().any(|entry| entry.key.as_deref() == Some("at")))
}

fn entry<'n>(target: &'n mut Node, key: &str, at: Spot) -> Result<&'n mut Node, Problem> {
    let Value::Map(entries) = &mut target.value else {
        return Err(Problem::wrong(at, format!("`{key}` cannot be set: what stands there is no mapping")));
    };
    let place = entries.iter().position(|entry| entry.key.as_deref() == Some(key)).unwrap_or_else(|| {
        let node = Node { at, value: Value::Null };
        entries.push(Entry { key: Some(key.to_string()), key_at: at, node });
        entries.len() - 1
    });
    // What is set from outside is wrong outside, if it is.
    entries[place].key_at = at;
    Ok(&mut entries[place].node)
}
