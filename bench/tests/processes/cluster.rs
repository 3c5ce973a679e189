//! A cluster started by hand: master, workers and jobs as processes that find each other.

use crate::common::Folder;
use crate::common::processes::vacant_address;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Stdio};

/// A process of the cluster; killed when it is dropped.
pub struct Process {
    pub child: Child,
    err: BufReader<ChildStderr>,
}

impl Process {
    pub fn start(folder: &Folder, words: &str) -> Process {
        Process::spawn(crate::common::command(&folder.0, &words.split(' ').collect::<Vec<_>>()))
    }

    fn spawn(mut command: Command) -> Process {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let err = BufReader::new(child.stderr.take().unwrap());
        Process { child, err }
    }

    /// Reads stderr until a line holds these words.
    #[track_caller]
    pub fn until_said(&mut self, words: &str) -> String {
        let (mut line, mut said) = (String::new(), String::new());
        while self.err.read_line(&mut line).unwrap() > 0 {
            if line.contains(words) {
                return line;
            }
            said.push_str(&line);
            line.clear();
        }
        panic!("`{words}` was never said, but:\n{said}");
    }

    pub fn signal(&self, name: &str) {
        let kill = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
    }

    /// Its exit code, and the rest of what it says.
    pub fn end(mut self) -> (i32, String) {
        let mut err = String::new();
        self.err.read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap().code().unwrap(), err)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A master at a free port, and its address.
fn master(folder: &Folder, options: &str) -> (Process, String) {
    let mut master = Process::start(folder, &format!("master --listen 127.0.0.1:0 --store store{options}"));
    let line = master.until_said("master of the cluster");
    let address = line.split_whitespace().last().unwrap().to_string();
    (master, address)
}

/// Reads `interval key value` rows, and calls `look` with each row's interval.
fn read_counts(job: &mut Process, mut look: impl FnMut(u64)) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for line in BufReader::new(job.child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        *counts.entry(words[1].to_string()).or_default() += words[2].parse::<u64>().unwrap();
        look(words[0].parse().unwrap());
    }
    counts
}

#[test]
fn a_worker_killed_half_way_costs_no_line_and_its_place_is_taken_again() {
    let folder = Folder::new();
    let text: String = (0..100_000u64).map(|n| format!("w{} v{} common\n", n * n % 977, n % 13)).collect();
    let mut expected = BTreeMap::new();
    text.split_whitespace().for_each(|word| *expected.entry(word.to_string()).or_default() += 1u64);
    folder.write("big.txt", &text);
    let (mut master, address) = master(&folder, " --workers 2 --set input=memory");
    let worker = format!("worker --master {address} --cores 1");
    let (_first, second) = (Process::start(&folder, &worker), Process::start(&folder, &worker));
    let words = format!("job word-count --source file:big.txt --interval 300ms --master {address} rate=25000/s");
    let mut job = Process::start(&folder, &words);
    let (mut killed, mut third) = (false, None);
    let counts = read_counts(&mut job, |interval| {
        if interval >= 4 && !killed {
            second.signal("-KILL");
            killed = true;
        }
        if interval >= 7 && third.is_none() {
            third = Some(Process::start(&folder, &worker));
        }
    });
    assert_eq!(counts, expected);
    let (code, err) = job.end();
    assert_eq!(code, 0, "{err}");
    for words in ["1 worker is left: records have one copy only", "is taken up again by worker", "100000 lines"] {
        assert!(err.contains(words), "no `{words}` in:\n{err}");
    }
    master.until_said("job `word-count` ended");
    master.signal("-TERM");
    assert_eq!(master.end().0, 0);
}

#[test]
fn strangers_are_refused_with_a_reason_and_the_job_stays_exact() {
    let folder = Folder::new();
    let worker = |address: &str, more: &str| Process::start(&folder, &format!("worker --master {address}{more}"));
    let (mut master, address) = master(&folder, "");
    let first = worker(&address, " --cores 1");
    let tcp = format!("job word-count --source tcp:127.0.0.1:0 --interval 200ms --master {address}");
    let mut job = Process::start(&folder, &tcp);
    let listens = job.until_said("listening on");
    let listens = listens.split_once("listening on").unwrap().1;
    let port: u16 = listens.split([':', ' ']).find_map(|word| word.parse().ok()).unwrap();
    job.until_said("runs on 1 workers");

    let other = worker(&address, " --cluster other");
    let (code, err) = other.end();
    assert!(code == 64 && err.contains("it belongs to the cluster `other`, this is `default`"), "{err}");
    master.until_said("refused: it belongs to the cluster `other`");
    let (code, err) = Process::start(&folder, &tcp).end();
    assert!(code == 64 && err.contains("it runs one job at a time"), "{err}");

    let connect = || TcpStream::connect(&address).unwrap();
    let mut garbage = connect();
    garbage.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    master.until_said("refused: what it says makes no sense (frame-not-marked)");
    let mut oversized = connect();
    oversized.write_all(&[0xff, 0xff, 0xff, 0x7f, 0x7a, 0xd5, 0, 0]).unwrap();
    oversized.write_all(&[0; 20]).unwrap();
    master.until_said("(frame-too-long)");
    let idle: Vec<TcpStream> = (0..300).map(|_| connect()).collect();
    master.until_said("256 connections are open");

    TcpStream::connect(("127.0.0.1", port)).unwrap().write_all(b"a b\na\n").unwrap();
    let mut rows = BufReader::new(job.child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    let mut seen: Vec<String> = rows.by_ref().take(2).map(|row| row.split_once(' ').unwrap().1.to_string()).collect();
    seen.sort();
    assert_eq!(seen, ["a 2", "b 1"]);
    drop(idle);

    // The job rests, which is no end.
    master.signal("-TERM");
    let (code, err) = job.end();
    assert!(code == 2 && err.contains("was asked to end; the job rests in the master's store"), "{err}");
    assert_eq!(master.end().0, 0);
    first.signal("-TERM");
    assert_eq!(first.end().0, 0);
}

#[test]
fn a_worker_that_is_told_to_end_says_goodbye_and_the_job_goes_on() {
    let folder = Folder::new();
    folder.write("in.txt", "x\n".repeat(4000));
    let (mut master, address) = master(&folder, " --workers 3");
    let worker = || Process::start(&folder, &format!("worker --master {address} --cores 1"));
    let [_first, mut second, _third] = [worker(), worker(), worker()];
    let words = format!("job word-count --source file:in.txt --interval 200ms --master {address} rate=1000/s");
    let mut job = Process::start(&folder, &words);
    let mut told = false;
    let counts = read_counts(&mut job, |interval| {
        if interval >= 3 && !told {
            second.signal("-TERM");
            told = true;
        }
    });
    let (code, err) = job.end();
    assert_eq!((code, counts["x"]), (0, 4000), "{err}");
    second.until_said("what others need of it is handed on");
    assert_eq!(second.end().0, 0);
    master.until_said("wants to leave");
}

#[test]
fn a_full_store_is_said_and_waited_for_and_nothing_is_lost() {
    let folder = Folder::new();
    folder.write("in.txt", "x\n".repeat(3000));
    std::fs::create_dir(folder.0.join("small")).unwrap();
    let mount = "mount -t tmpfs -o size=2m none small";
    let trial = Command::new("unshare").args(["-m", "sh", "-c", mount]).current_dir(&folder.0).output();
    if !trial.is_ok_and(|output| output.status.success()) {
        println!("skipped: no file system of its own for this test");
        return;
    }
    let address = vacant_address();
    let dstream = env!("CARGO_BIN_EXE_dstream");
    let worker = format!("{dstream} worker --master {address} --cores 1 2> /dev/null &");
    let script = format!(
        "{mount}; head -c 2075000 /dev/zero > small/ballast
        {dstream} master --listen {address} --store small/store --workers 2 2> /dev/null &
        {worker}
        {worker}
        {dstream} job word-count --source file:in.txt --interval 200ms rate=1000/s --master {address} window=all
        echo $? > code; kill $(jobs -p); wait"
    );
    let mut command = Command::new("unshare");
    command.args(["-m", "bash", "-c", &script]).current_dir(&folder.0).stdin(Stdio::null());
    let mut job = Process::spawn(command);
    let said = job.until_said("the store cannot be written to");
    assert!(said.contains("No space left"), "{said}");
    std::fs::remove_file(format!("/proc/{}/root{}/small/ballast", job.child.id(), folder.0.display())).unwrap();
    job.until_said("the store can be written to again");
    let mut out = String::new();
    job.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(folder.read("code"), "0\n");
    assert_eq!(out.lines().last().unwrap().split_once(' ').unwrap().1, "x 3000");
}
