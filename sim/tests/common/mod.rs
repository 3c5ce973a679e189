//! What the tests of the simulated world share: worlds whose nodes are closures, and a look at their log.
//!
//! Knows no engine. Invariant: a script gets nothing but its host.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(dead_code, reason = "each test file is a crate of its own and uses a part of this")]

use dstream_host::{BoxFuture, BoxIo, Host, NodeError, NodeSpec, World};
use dstream_sim::{SimConfig, SimWorld};
use dstream_trace::{Event, Moment, NodeName};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub type Life = BoxFuture<'static, Result<(), NodeError>>;
pub type Script = Arc<dyn Fn(Host) -> Life + Send + Sync>;

/// Cores of every node in these tests.
pub const CORES: usize = 4;

pub fn script<F>(life: impl Fn(Host) -> F + Send + Sync + 'static) -> Script
where
    F: Future<Output = ()> + Send + 'static,
{
    Arc::new(move |host| {
        let life = life(host);
        Box::pin(async move {
            life.await;
            Ok(())
        })
    })
}

/// A script that listens and does nothing else.
pub fn listens() -> Script {
    script(|host| async move {
        let mut listener = host.net.bind().await.unwrap();
        let mut streams = Vec::new();
        loop {
            streams.push(listener.accept().await.unwrap());
        }
    })
}

pub fn name(text: &str) -> NodeName {
    NodeName::new(text)
}

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub fn at(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

pub fn spec(name: &str, harness: bool) -> NodeSpec {
    NodeSpec { name: NodeName::new(name), role: name.to_owned(), config: Vec::new(), cores: CORES, harness }
}

/// A world with these nodes; a name with a `!` before it belongs to the harness.
pub fn world_of(config: SimConfig, nodes: Vec<(&str, Script)>) -> SimWorld {
    let scripts: BTreeMap<String, Script> =
        nodes.iter().map(|(name, script)| (name.trim_start_matches('!').to_owned(), script.clone())).collect();
    let start = Arc::new(move |spec: NodeSpec, host: Host| scripts[&spec.role](host));
    let mut world = SimWorld::new(config, start).unwrap();
    for (name, _) in nodes {
        world.start(spec(name.trim_start_matches('!'), name.starts_with('!'))).unwrap();
    }
    world
}

pub fn world(nodes: Vec<(&str, Script)>) -> SimWorld {
    world_of(SimConfig::default(), nodes)
}

/// Writes a number into the log, stamped with time and node.
pub fn mark(host: &Host, name: &str, value: u64) {
    host.trace.record(Event::Mark { name: name.to_owned(), value });
}

/// Reads until `into` is full; the error's kind or `None` at the end otherwise.
pub async fn read(stream: &mut BoxIo, bytes: usize) -> Option<Vec<u8>> {
    use tokio::io::AsyncReadExt;
    let mut into = vec![0; bytes];
    stream.read_exact(&mut into).await.ok().map(|_| into)
}

pub async fn write(stream: &mut BoxIo, bytes: &[u8]) -> bool {
    use tokio::io::AsyncWriteExt;
    stream.write_all(bytes).await.is_ok()
}

/// The marks of one name: (milliseconds, node, value).
pub fn marks(world: &SimWorld, wanted: &str) -> Vec<(u64, String, u64)> {
    let trace = world.trace();
    let log = trace.lock();
    let lines = log.lines().iter();
    lines
        .filter_map(|line| match &line.event {
            Event::Mark { name, value } if name == wanted => {
                assert_eq!(line.at.0 % 1_000_000, 0, "virtual time is whole milliseconds");
                Some((line.at.0 / 1_000_000, line.node.to_string(), *value))
            }
            _ => None,
        })
        .collect()
}

/// Milliseconds of the marks of one name.
pub fn times(world: &SimWorld, wanted: &str) -> Vec<u64> {
    marks(world, wanted).into_iter().map(|(at, ..)| at).collect()
}

/// The log's lines that `wanted` picks: (milliseconds, node).
pub fn events(world: &SimWorld, wanted: impl Fn(&Event) -> bool) -> Vec<(u64, String)> {
    let trace = world.trace();
    let log = trace.lock();
    let lines = log.lines().iter().filter(|line| wanted(&line.event));
    lines.map(|line| (line.at.0 / 1_000_000, line.node.to_string())).collect()
}
