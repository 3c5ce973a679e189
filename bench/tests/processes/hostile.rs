//! Strangers at every door of a running cluster: nonsense, frames that are too long or cut short, hellos of other
//! builds and clusters, a thousand connections that say nothing. All are refused in the log; the run stays exact.

use crate::common::Folder;
use crate::common::processes::{Process, Run, descriptors, listening_port, peak_memory};
use bytes::Bytes;
use dstream_host::frame::{Frame, Kind};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

const SCENARIO: &str = "
title: hostile
duration: 8s
warmup: 2s
cluster: { workers: 2, cores: 1, clients: 1, partitions: 2 }
workload:
  job: word-count
  source: { generate: { rate: 2000/s, record: 100B, keys: 200 } }
engines:
  - dstream: { interval: 500ms, block: 100ms }
expect:
  - output: exact
";

/// Two workers, master, client, sink.
const NODES: usize = 5;

/// Connections that say nothing, at one door.
const IDLE: usize = 1000;

/// A node may have so many descriptors open under attack: 256 strangers whose hello it awaits, and its own.
const MOST_DESCRIPTORS: usize = 320;

/// A node of this cluster works with a tenth of it.
const MOST_MEMORY_BYTES: u64 = 256 << 20;

/// A hello as the protocol writes it, for any version and cluster.
fn hello(version: u16, cluster: u64) -> Vec<u8> {
    let mut payload = version.to_le_bytes().to_vec();
    // cluster, fingerprint, name, incarnation, session, whether it is the data connection
    let rest = (cluster, 7u64, "worker-1", 1u64, 1u64, false);
    payload.extend(postcard::to_stdvec(&rest).unwrap());
    frame(Kind::Hello, payload)
}

fn frame(kind: Kind, payload: Vec<u8>) -> Vec<u8> {
    Frame::control(kind, Bytes::from(payload)).to_bytes().to_vec()
}

/// What strangers say, each on a connection of its own.
fn sayings() -> Vec<Vec<u8>> {
    let half = hello(1, 9)[..20].to_vec();
    let mut huge = frame(Kind::Hello, vec![1]);
    huge[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    vec![
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        (0..1 << 16).map(|byte: u32| (byte.wrapping_mul(2_654_435_761) >> 24) as u8).collect(),
        frame(Kind::Hello, vec![0; 1 << 20]),
        huge,
        half,
        frame(Kind::Message, vec![1, 2, 3]),
        hello(1, 9),
        hello(999, 9),
    ]
}

/// The words under which the log must have refused them, at every door.
const WORDS: [&str; 7] = [
    "frame-not-marked",
    "frame-too-long",
    "hello-late",
    "hello-expected",
    "hello-cluster-differs",
    "hello-version-differs",
    "hello-crowded-out",
];

fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Says it and waits until the other side has closed.
fn say(port: u16, saying: &[u8]) {
    let mut stream = TcpStream::connect(address(port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // The other side may close before it has read all of it.
    stream.write_all(saying).ok();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the other side does not close: {error}"),
    }
}

/// Opens connections that say nothing; those that the door does not let in at once are not waited for.
fn stand_idle(port: u16) -> Vec<TcpStream> {
    (0..IDLE).filter_map(|_| TcpStream::connect_timeout(&address(port), Duration::from_millis(50)).ok()).collect()
}

fn attack(node: &Process) {
    let port = listening_port(node).unwrap();
    sayings().iter().for_each(|saying| say(port, saying));
    let idle = stand_idle(port);
    assert!(idle.len() > IDLE / 2, "only {} got in", idle.len());
    assert!(descriptors(node) < MOST_DESCRIPTORS, "{} descriptors", descriptors(node));
    // A node whose door is crowded still hears one that speaks.
    say(port, &hello(1, 9));
}

/// As many descriptors as the system gives: strangers need one each.
fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

#[test]
fn strangers_are_refused_and_the_run_stays_exact() {
    raise_limit();
    let folder = Folder::new();
    folder.write("hostile.yaml", SCENARIO);
    let run = Run::start(&folder, &["run", "hostile.yaml", "--world", "tcp", "--format", "json"]);
    let is_up = |nodes: &std::collections::BTreeMap<_, _>| {
        nodes.len() == NODES && nodes.values().all(|node| listening_port(node).is_some())
    };
    let nodes = run.wait_for(is_up);
    // The nodes accept from the moment they begin; until then connections wait.
    std::thread::scope(|threads| {
        nodes.values().for_each(|node| drop(threads.spawn(|| attack(node))));
    });
    let memory: Vec<u64> = nodes.values().map(peak_memory).collect();
    assert!(memory.iter().all(|bytes| *bytes < MOST_MEMORY_BYTES), "{memory:?}");
    let output = run.output();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let runs: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(runs[0]["verdict"], "valid");
    assert_eq!(runs[0]["records"]["sent"], runs[0]["records"]["acked"]);
    let log = folder.read("runs/hostile/dstream-tcp-0/trace.log");
    for name in nodes.keys() {
        for word in WORDS {
            let refused = |line: &str| {
                line.contains(&format!(" {name} ConnectionRefused")) && line.contains(&format!("\"{word}\""))
            };
            assert!(log.lines().any(refused), "{name} did not refuse a stranger with `{word}`");
        }
    }
}
