//! The same seed gives the same log, in one process and in two; another seed gives another.
//!
//! Its program uses everything that a world has: streams, timers, cores, store, randomness, and every fault.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::*;
use dstream_host::{CoreTime, Host, World};
use dstream_sim::{SimConfig, SimWorld};
use dstream_trace::SharedTrace;
use rand_core::Rng;
use std::process::Command;
use std::time::Duration;

const NODES: [&str; 6] = ["n1", "n2", "n3", "n4", "n5", "n6"];

/// Tasks of a node that talk.
const VOICES: u64 = 4;

/// Set in the second process, which then writes its log's digest.
const CHILD: &str = "DSTREAM_SIM_DETERMINISM_CHILD";

/// Serves echoes, and talks to drawn peers about drawn amounts at drawn times, works and stores in between.
fn babbles() -> Script {
    script(|host| async move {
        let mut listener = host.net.bind().await.unwrap();
        for voice in 0..VOICES {
            tokio::spawn(babble(host.clone(), voice));
        }
        loop {
            let mut stream = listener.accept().await.unwrap();
            let host = host.clone();
            tokio::spawn(async move {
                while let Some(bytes) = read(&mut stream, 8).await {
                    let value = u64::from_le_bytes(bytes.clone().try_into().unwrap());
                    host.net.ingress(value % 100_000).await;
                    mark(&host, "served", value);
                    write(&mut stream, &bytes).await;
                }
                mark(&host, "closed", 0);
            });
        }
    })
}

async fn babble(host: Host, voice: u64) {
    let mut random = host.random.stream(&format!("babble {voice}"));
    loop {
        host.sleep(Duration::from_micros(random.next_u64() % 30_000)).await;
        let value = random.next_u64();
        let paid = host.cpu.run(Box::new(move || CoreTime(Duration::from_micros(value % 20_000)))).await;
        mark(&host, "paid", paid.0.as_nanos() as u64);
        let key = format!("{}/{}", host.name, value % 50);
        let stored = host.store.create(&key, bytes::Bytes::from(vec![0; (value % 1000) as usize])).await;
        mark(&host, "stored", u64::from(stored.is_ok()));
        let peer = name(NODES[(value % NODES.len() as u64) as usize]);
        let call = async {
            let mut stream = host.net.connect(&peer).await.ok()?;
            host.net.egress(value % 100_000).await;
            write(&mut stream, &value.to_le_bytes()).await;
            read(&mut stream, 8).await
        };
        match host.deadline(ms(40), call).await {
            Some(Some(_)) => mark(&host, "answered", value),
            Some(None) => mark(&host, "refused", value),
            None => mark(&host, "no answer", value),
        }
    }
}

fn play(seed: u64, tick: u64) -> SimWorld {
    let (tick, latency) = (ms(tick), ms(tick.max(2)));
    let config = SimConfig { seed, tick, latency, trace: SharedTrace::new(), ..SimConfig::default() };
    let mut world = world_of(config, NODES.map(|node| (node, babbles())).into());
    let [n1, n2, n3, n4, ..] = NODES.map(name);
    type Act<'a> = Box<dyn Fn(&mut SimWorld) + 'a>;
    let acts: Vec<(u64, Act<'_>)> = vec![
        (300, Box::new(|world| world.crash(&n1).unwrap())),
        (400, Box::new(|world| world.pause(&n2).unwrap())),
        (500, Box::new(|world| world.restart(&n1).unwrap())),
        (550, Box::new(|world| world.slow_cpu(&n4, 4.0).unwrap())),
        (600, Box::new(|world| world.cut(&n3, &n4).unwrap())),
        (650, Box::new(|world| world.resume(&n2).unwrap())),
        (700, Box::new(|world| world.cut(&n1, &n3).unwrap())),
        (900, Box::new(|world| world.heal(&n3, &n4).unwrap())),
        (950, Box::new(|world| world.heal(&n1, &n3).unwrap())),
        (1000, Box::new(|world| world.slow_cpu(&n4, 1.0).unwrap())),
    ];
    for (when, act) in acts {
        world.run_until(at(when)).unwrap();
        act(&mut world);
    }
    world.run_until(at(1500)).unwrap();
    world
}

fn digest(seed: u64) -> String {
    play(seed, 1).trace().lock().hash()
}

#[test]
fn the_program_uses_everything() {
    let world = play(1, 1);
    for word in ["served", "closed", "paid", "stored", "answered", "refused", "no answer"] {
        assert!(times(&world, word).len() > 2, "{word}");
    }
    let log = world.trace();
    let text: Vec<String> = log.lock().lines().iter().map(ToString::to_string).collect();
    for word in ["NodeStarted { incarnation: 2 }", "ProcessEnded", "MessageCut", "HeldByPause", "WorkStretched"] {
        assert!(text.iter().any(|line| line.contains(word)), "{word}");
    }
}

#[test]
fn times_never_decrease_from_line_to_line_whatever_the_tick() {
    for tick in [1, 5] {
        let trace = play(3, tick).trace();
        let log = trace.lock();
        assert!(log.lines().is_sorted_by_key(|line| line.at), "tick of {tick} ms");
        assert!(log.lines().len() > 1000);
    }
}

#[test]
fn the_same_seed_gives_the_same_log_and_another_seed_another() {
    let first = digest(1);
    assert_eq!(first, digest(1));
    assert_ne!(first, digest(2));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the second process is told by its environment what to do")]
fn two_processes_give_the_same_log() {
    if std::env::var(CHILD).is_ok() {
        println!("digest={}", digest(7));
        return;
    }
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "two_processes_give_the_same_log", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let output = String::from_utf8(child.stdout).unwrap();
    let theirs = output.split("digest=").nth(1).and_then(|rest| rest.get(..32)).expect("the child writes its digest");
    assert_eq!(theirs, digest(7));
}
