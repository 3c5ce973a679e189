//! Processes as the system shows them: the children of a run on TCP, what they hold open, and when they are gone.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "each test file uses a part of it")]

use super::{Folder, command};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Child, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// How long a test waits for what must happen: longer than any machine needs.
const PATIENCE_S: i64 = 60;

/// Looks again this much later, for what the system does not tell by itself.
const LOOK: Duration = Duration::from_millis(20);

/// A run that goes on.
pub struct Run {
    pub driver: Child,
}

/// An address where nobody listens yet, and where nobody but who asked for it will: a port of a loopback host that no
/// other test has. Of `127.0.0.1` the port that was free a moment ago may be given to another test meanwhile.
pub fn vacant_address() -> SocketAddr {
    static COUNT: AtomicU8 = AtomicU8::new(0);
    let [.., high, low] = std::process::id().to_be_bytes();
    let own = Ipv4Addr::new(127, 64 + COUNT.fetch_add(1, Ordering::Relaxed), high, low);
    TcpListener::bind((own, 0)).unwrap().local_addr().unwrap()
}

/// A node's process.
#[derive(Clone, Debug)]
pub struct Process {
    pub id: i32,
    /// As `ps` shows it: `R`, `S`, `T` for stopped.
    pub state: char,
}

impl Run {
    /// Starts `dstream run` with these words.
    pub fn start(folder: &Folder, words: &[&str]) -> Run {
        let mut command = command(&folder.0, words);
        // A driver that is killed cannot remove its scratch folder; the test's own folder goes with the test.
        command.env("TMPDIR", &folder.0);
        Run { driver: command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts") }
    }

    /// The nodes' processes, by name.
    pub fn nodes(&self) -> BTreeMap<String, Process> {
        nodes_of(self.driver.id())
    }

    /// Waits until the nodes' processes are as they should be.
    pub fn wait_for(&self, are_right: impl Fn(&BTreeMap<String, Process>) -> bool) -> BTreeMap<String, Process> {
        for _ in 0..PATIENCE_S * 1000 / LOOK.as_millis() as i64 {
            let nodes = self.nodes();
            if are_right(&nodes) {
                return nodes;
            }
            look_later();
        }
        panic!("the nodes never were as they should be: {:?}", self.nodes());
    }

    /// Sends the driver a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(pid(self.driver.id().cast_signed()), signal).unwrap();
    }

    /// What it said, when it has ended.
    pub fn output(self) -> Output {
        self.driver.wait_with_output().unwrap()
    }
}

/// Waits a moment.
#[expect(clippy::disallowed_methods, reason = "the system does not tell when another process's child has stopped")]
pub fn look_later() {
    std::thread::sleep(LOOK);
}

pub fn pid(id: i32) -> Pid {
    Pid::from_raw(id).expect("no process has the number 0")
}

/// Something to wait with for the end of each.
pub fn watch<'a>(processes: impl IntoIterator<Item = &'a Process>) -> Vec<OwnedFd> {
    processes.into_iter().map(|process| pidfd_open(pid(process.id), PidfdFlags::empty()).unwrap()).collect()
}

/// Waits until all have ended.
pub fn wait_until_gone(watched: &[OwnedFd]) {
    for process in watched {
        let limit = Timespec { tv_sec: PATIENCE_S, tv_nsec: 0 };
        let ended = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&limit)).unwrap();
        assert_eq!(ended, 1, "a node's process goes on");
    }
}

/// Children of a process that are nodes, by name.
fn nodes_of(driver: u32) -> BTreeMap<String, Process> {
    let ids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    ids.filter_map(|id: i32| {
        // A process may end between any two looks.
        let status = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let mut words = status.rsplit_once(')')?.1.split_whitespace();
        let (state, parent) = (words.next()?.chars().next()?, words.next()?.parse::<u32>().ok()?);
        let line = fs::read_to_string(format!("/proc/{id}/cmdline")).ok()?;
        let mut line = line.split('\0').skip(1);
        let is_node = parent == driver && line.next() == Some("node");
        is_node.then(|| Some((line.next()?.to_owned(), Process { id, state })))?
    })
    .collect()
}

/// How many descriptors a process holds.
pub fn descriptors(process: &Process) -> usize {
    fs::read_dir(format!("/proc/{}/fd", process.id)).map_or(0, Iterator::count)
}

/// The most memory that a process ever had, in bytes.
pub fn peak_memory(process: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id)).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

/// Where a process listens on this machine.
pub fn listening_port(process: &Process) -> Option<u16> {
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{}/fd", process.id))
        .ok()?
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.trim_end_matches(']').to_owned()))
        .collect();
    let table = fs::read_to_string(format!("/proc/{}/net/tcp", process.id)).ok()?;
    table.lines().skip(1).find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let listens = words[3] == "0A" && sockets.iter().any(|socket| socket == words[9]);
        listens.then(|| u16::from_str_radix(words[1].rsplit_once(':')?.1, 16).ok())?
    })
}
