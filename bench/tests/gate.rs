//! Formatting, lints and documentation are tests like any other: one command is the whole gate.
//!
//! Each runs the toolchain's own program over the whole workspace, in the same target folder.

use std::process::Command;

/// Runs `cargo` with these words and shows what it said if it fails.
fn check(words: &[&str], variables: &[(&str, &str)], advice: &str) {
    let output = Command::new(env!("CARGO"))
        .args(words)
        .envs(variables.iter().copied())
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let also = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "cargo {} failed; {advice}\n{said}{also}", words.join(" "));
}

#[test]
fn the_sources_are_formatted() {
    check(&["fmt", "--all", "--", "--check"], &[], "run `cargo fmt --all`");
}

#[test]
fn no_lint_warns() {
    let words = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    check(&words, &[], "mend what it names");
}

#[test]
fn the_documentation_builds_without_a_warning() {
    // The configured flags must be repeated: the variable replaces what `.cargo/config.toml` says.
    let flags = [("RUSTDOCFLAGS", "--cfg tokio_unstable -D warnings")];
    check(&["doc", "--workspace", "--no-deps"], &flags, "mend what it names");
}
