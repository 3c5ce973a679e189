//! Holds the walls between the crates: who may import whom, and who may use tokio, randomness and the simulator. Crates
//! under `examples/` see what a user sees: the facade, and nothing behind it.
//!
//! Reads `cargo metadata` only. Development dependencies count: a test that reaches over a wall is a wall with a hole.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// A crate, the workspace's crates it may import, and whether it may use tokio.
const WALLS: &[(&str, &[&str], bool)] = &[
    ("dstream-trace", &[], false),
    ("dstream-kernel", &[], false),
    ("dstream-host", &["trace"], true),
    ("dstream-cluster", &["kernel", "trace", "host"], true),
    ("dstream-engine", &["kernel", "trace", "host", "cluster"], true),
    ("dstream-baselines", &["kernel", "trace", "host", "cluster"], true),
    ("dstream-sim", &["trace", "host"], true),
    ("dstream-scenarios", &["kernel", "trace", "host", "cluster"], false),
    ("dstream-reports", &["trace"], false),
    ("dstream", &["trace", "kernel", "host", "cluster", "engine", "baselines", "sim", "scenarios", "reports"], true),
];

/// The crate that users' crates depend on. No crate of the product does.
const FACADE: &str = "dstream";

/// Only this crate knows the simulator's network.
const SIMULATOR: &str = "dstream-sim";

/// The workspace as `cargo metadata` shows it.
#[derive(Default)]
struct Workspace {
    /// Crate -> the names of everything it depends on, whatever the kind of dependency.
    uses: BTreeMap<String, BTreeSet<String>>,
    /// The crates under `examples/`.
    examples: BTreeSet<String>,
}

fn workspace() -> Workspace {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--format-version", "1", "--no-deps"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let names = |crate_: &Value| -> BTreeSet<String> {
        crate_["dependencies"].as_array().unwrap().iter().map(|d| d["name"].as_str().unwrap().to_string()).collect()
    };
    let packages = metadata["packages"].as_array().expect("it lists packages");
    let name = |package: &Value| package["name"].as_str().unwrap().to_string();
    let is_example = |package: &&Value| package["manifest_path"].as_str().unwrap().contains("/examples/");
    Workspace {
        uses: packages.iter().map(|package| (name(package), names(package))).collect(),
        examples: packages.iter().filter(is_example).map(name).collect(),
    }
}

/// What is wrong with these dependencies; empty where every wall holds.
fn breaches(workspace: &Workspace) -> Vec<String> {
    let mut found = Vec::new();
    for (name, uses) in &workspace.uses {
        if workspace.examples.contains(name) {
            let behind = uses.iter().filter(|used| workspace.uses.contains_key(*used) && *used != FACADE);
            found.extend(behind.map(|used| format!("{name} is an example and may import `{FACADE}` only, not {used}")));
            continue;
        }
        let Some((_, may_import, may_use_tokio)) = WALLS.iter().find(|(wall, ..)| wall == name) else {
            found.push(format!("{name} is not in the table of walls"));
            continue;
        };
        for used in uses.iter().filter(|used| workspace.uses.contains_key(*used)) {
            let short = used.strip_prefix("dstream-").unwrap_or(used);
            // The product's own tests may see what they prove: a crate may depend on itself only.
            if !may_import.contains(&short) && used != name {
                found.push(format!("{name} may not import {used}"));
            }
        }
        let uses_any = |is_it: fn(&str) -> bool| uses.iter().any(|used| is_it(used));
        let bans = [
            (!may_use_tokio && uses_any(|used| used == "tokio" || used.starts_with("tokio-")), "tokio"),
            (name != SIMULATOR && uses_any(|used| used == "turmoil"), "turmoil"),
            (name == "dstream-kernel" && uses_any(|used| used.starts_with("rand")), "randomness"),
        ];
        found.extend(bans.iter().filter(|(broken, _)| *broken).map(|(_, what)| format!("{name} may not use {what}")));
    }
    found
}

#[test]
fn every_crate_keeps_to_its_walls() {
    let workspace = workspace();
    assert_eq!(breaches(&workspace), Vec::<String>::new());
    assert!(!workspace.examples.is_empty(), "no crate lies under examples/");
    for (name, ..) in WALLS {
        assert!(workspace.uses.contains_key(*name), "{name} is in the table of walls, but not in the workspace");
    }
}

#[test]
fn a_breach_is_named() {
    let check = |name: &str, uses: &[&str], expected: &[&str]| {
        let mut workspace = Workspace {
            uses: WALLS.iter().map(|(wall, ..)| (wall.to_string(), BTreeSet::new())).collect(),
            examples: BTreeSet::from(["example".to_string(), "other-example".to_string()]),
        };
        workspace.uses.insert(name.to_string(), uses.iter().map(|used| used.to_string()).collect());
        workspace.uses.entry("other-example".to_string()).or_default();
        assert_eq!(breaches(&workspace), expected, "{name} with {uses:?}");
    };
    check("dstream-kernel", &["bytes", "memchr"], &[]);
    check("dstream-kernel", &["dstream-host"], &["dstream-kernel may not import dstream-host"]);
    check("dstream-kernel", &["rand_chacha"], &["dstream-kernel may not use randomness"]);
    check("dstream-scenarios", &["dstream-engine"], &["dstream-scenarios may not import dstream-engine"]);
    check("dstream-scenarios", &["tokio"], &["dstream-scenarios may not use tokio"]);
    check("dstream-engine", &["dstream-sim"], &["dstream-engine may not import dstream-sim"]);
    check("dstream-engine", &["turmoil"], &["dstream-engine may not use turmoil"]);
    check("dstream-sim", &["turmoil", "tokio", "dstream-host"], &[]);
    check("dstream-reports", &["tokio-util"], &["dstream-reports may not use tokio"]);
    check("newcomer", &[], &["newcomer is not in the table of walls"]);
    check("example", &["dstream", "tokio", "bytes"], &[]);
    let behind = |used: &str| format!("example is an example and may import `dstream` only, not {used}");
    check("example", &["dstream-host"], &[&behind("dstream-host")]);
    check("example", &["other-example"], &[&behind("other-example")]);
    check("dstream-engine", &["dstream"], &["dstream-engine may not import dstream"]);
}
