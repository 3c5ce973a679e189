//! A full disk under the folder of run directories.

use crate::common::Folder;
use std::process::Command;

#[test]
fn a_run_that_finds_no_room_for_what_it_measured_says_its_verdict_and_where_room_is_needed() {
    let folder = Folder::new();
    std::fs::create_dir(folder.0.join("small")).unwrap();
    let mount = "mount -t tmpfs -o size=64k none small";
    let trial = Command::new("unshare").args(["-m", "sh", "-c", mount]).current_dir(&folder.0).output();
    if !trial.is_ok_and(|output| output.status.success()) {
        println!("skipped: no file system of its own for this test");
        return;
    }
    let dstream = env!("CARGO_BIN_EXE_dstream");
    let run = "run scenarios/smoke/short-pause.yaml --engine dstream --out small/runs";
    let script = format!("{mount}; {dstream} {run}; code=$?; find small -type f | wc -l; exit $code");
    let said = Command::new("unshare").args(["-m", "sh", "-c", &script]).current_dir(&folder.0).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert_eq!(said.status.code(), Some(64), "{out}{err}");
    for words in ["the verdict is `valid`", "cannot write small/runs/", "No space left", "`--out`"] {
        assert!(err.contains(words), "no `{words}` in:\n{err}");
    }
    assert!(out.ends_with("0\n"), "what was half written takes no room: {out}");
}
