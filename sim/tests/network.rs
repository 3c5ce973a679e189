//! Streams between simulated hosts: latency, bandwidth, crash, cut, restart.
//!
//! Knows turmoil's habits by their outcome only. All times are virtual and exact.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::*;
use dstream_host::World;
use dstream_sim::SimConfig;
use dstream_trace::Event;
use std::time::Duration;

/// Connects, marks `connected` or `failed`, writes a byte, and marks `answered` when one comes back.
fn calls(to: &'static str) -> Script {
    script(move |host| async move {
        match host.net.connect(&name(to)).await {
            Ok(mut stream) => {
                mark(&host, "connected", 0);
                if write(&mut stream, &[1]).await && read(&mut stream, 1).await.is_some() {
                    mark(&host, "answered", 0);
                }
                std::future::pending::<()>().await;
            }
            Err(_) => mark(&host, "failed", 0),
        }
        std::future::pending::<()>().await;
    })
}

/// Accepts one stream after the other, and sends back each byte that comes.
fn echoes() -> Script {
    script(|host| async move {
        let mut listener = host.net.bind().await.unwrap();
        loop {
            let mut stream = listener.accept().await.unwrap();
            tokio::spawn(async move {
                while let Some(bytes) = read(&mut stream, 1).await {
                    if !write(&mut stream, &bytes).await {
                        break;
                    }
                }
            });
        }
    })
}

fn latency(millis: u64) -> SimConfig {
    SimConfig { latency: ms(millis), ..SimConfig::default() }
}

#[test]
fn a_connect_and_an_answer_take_two_latencies_each() {
    for order in [["echo", "call"], ["call", "echo"]] {
        let nodes = order.map(|node| (node, if node == "echo" { echoes() } else { late(ms(20), calls("echo")) }));
        let mut world = world_of(latency(10), nodes.into());
        world.run_until(at(100)).unwrap();
        assert_eq!((times(&world, "connected"), times(&world, "answered")), (vec![40], vec![60]), "{order:?}");
    }
}

/// Begins after `delay`.
fn late(delay: Duration, life: Script) -> Script {
    std::sync::Arc::new(move |host| {
        let life = life.clone();
        Box::pin(async move {
            host.sleep(delay).await;
            life(host).await
        })
    })
}

#[test]
fn a_node_can_call_itself() {
    let node = script(|host| async move {
        let mut listener = host.net.bind().await.unwrap();
        let own = host.name.clone();
        let caller = host.clone();
        tokio::spawn(async move {
            let mut stream = caller.net.connect(&own).await.unwrap();
            write(&mut stream, &[7]).await;
            std::future::pending::<()>().await;
        });
        let mut stream = listener.accept().await.unwrap();
        mark(&host, "got", u64::from(read(&mut stream, 1).await.unwrap()[0]));
    });
    let mut world = world(vec![("self", node)]);
    world.run_until(at(50)).unwrap();
    assert_eq!(marks(&world, "got").len(), 1);
}

#[test]
fn nobody_answers_for_an_unknown_an_absent_or_a_crashed_node() {
    for (to, crash) in [("nobody", false), ("deaf", false), ("dead", true)] {
        let deaf = || script(|_| std::future::pending());
        let mut world =
            world_of(latency(5), vec![("deaf", deaf()), ("dead", echoes()), ("call", late(ms(20), calls(to)))]);
        world.run_until(at(10)).unwrap();
        if crash {
            world.crash(&name("dead")).unwrap();
        }
        world.run_until(at(100)).unwrap();
        let expected = if to == "nobody" { 20 } else { 30 };
        assert_eq!((times(&world, "connected"), times(&world, "failed")), (vec![], vec![expected]), "{to}");
    }
}

#[test]
fn the_peers_of_a_crashed_node_read_the_end_and_the_next_life_is_reached() {
    let caller = script(|host| async move {
        loop {
            if let Ok(mut stream) = host.net.connect(&name("echo")).await {
                mark(&host, "connected", 0);
                read(&mut stream, 1).await;
                mark(&host, "ended", 0);
            }
            host.sleep(ms(10)).await;
        }
    });
    let mut world = world(vec![("echo", echoes()), ("call", late(ms(5), caller))]);
    world.run_until(at(100)).unwrap();
    world.crash(&name("echo")).unwrap();
    world.run_until(at(150)).unwrap();
    world.restart(&name("echo")).unwrap();
    world.run_until(at(200)).unwrap();
    // The driver strikes between two steps: streams close with the one before.
    assert_eq!(times(&world, "ended"), vec![100]);
    assert_eq!(times(&world, "connected").len(), 2);
    let lives = events(&world, |event| matches!(event, Event::NodeStarted { .. } | Event::ProcessEnded));
    let lives: Vec<_> = lives.into_iter().filter(|(_, node)| node == "echo").map(|(at, _)| at).collect();
    assert_eq!(lives, vec![0, 100, 150]);
    assert_eq!(events(&world, |event| *event == Event::NodeStarted { incarnation: 2 }), vec![(150, "echo".into())]);
}

#[test]
fn a_dead_node_writes_nothing_into_the_log() {
    struct Last(dstream_host::Host);
    impl Drop for Last {
        fn drop(&mut self) {
            mark(&self.0, "last words", 0);
        }
    }
    let node = script(|host| async move {
        let _last = Last(host);
        std::future::pending::<()>().await;
    });
    let mut world = world(vec![("node", node)]);
    world.run_until(at(10)).unwrap();
    world.crash(&name("node")).unwrap();
    world.run_until(at(20)).unwrap();
    assert_eq!(marks(&world, "last words"), vec![]);
}

#[test]
fn failed_connects_leak_no_ports() {
    // turmoil has 16,384 ports a host and never gives one back that a failed connect took.
    let caller = script(|host| async move {
        for _ in 0..170 {
            let calls: Vec<_> = (0..100)
                .map(|_| {
                    let host = host.clone();
                    tokio::spawn(async move { host.net.connect(&name("dead")).await.is_ok() })
                })
                .collect();
            for call in calls {
                assert!(!call.await.unwrap());
            }
        }
        mark(&host, "done", 0);
    });
    let mut world = world(vec![("dead", listens()), ("call", caller)]);
    world.crash(&name("dead")).unwrap();
    world.run_until(at(1000)).unwrap();
    assert_eq!(times(&world, "done").len(), 1);
}

/// Sends a byte every 10 ms, and marks each that comes: both ways on one stream, and a new connect every 50 ms.
fn chats(with: Option<&'static str>) -> Script {
    script(move |host| async move {
        let mut listener = host.net.bind().await.unwrap();
        let stream = match with {
            Some(peer) => {
                host.sleep(ms(5)).await;
                let stream = host.net.connect(&name(peer)).await.unwrap();
                tokio::spawn(redials(host.clone(), peer));
                stream
            }
            None => listener.accept().await.unwrap(),
        };
        let (mut reading, mut writing) = tokio::io::split(stream);
        let clock = host.clone();
        tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            loop {
                writing.write_all(&[1]).await.unwrap();
                clock.sleep(ms(10)).await;
            }
        });
        tokio::spawn(async move {
            let mut streams = Vec::new();
            loop {
                streams.push(listener.accept().await.unwrap());
            }
        });
        use tokio::io::AsyncReadExt;
        while reading.read_u8().await.is_ok() {
            mark(&host, "heard", 0);
        }
    })
}

async fn redials(host: dstream_host::Host, peer: &'static str) {
    loop {
        host.sleep(ms(50)).await;
        match host.deadline(ms(40), host.net.connect(&name(peer))).await {
            Some(Ok(_)) => mark(&host, "redialled", 1),
            _ => mark(&host, "redialled", 0),
        }
    }
}

/// When `node` heard something, in 100 ms slices: how many bytes in each.
fn heard(world: &dstream_sim::SimWorld, node: &str, slices: usize) -> Vec<usize> {
    let mut counts = vec![0; slices];
    for (at, who, _) in marks(world, "heard") {
        if who == node {
            counts[(at / 100) as usize] += 1;
        }
    }
    counts
}

#[test]
fn a_cut_drops_one_direction_no_connect_crosses_it_and_the_stream_stays_broken() {
    for (from, to) in [("a", "b"), ("b", "a")] {
        let mut world = world(vec![("a", chats(None)), ("b", chats(Some("a")))]);
        world.run_until(at(200)).unwrap();
        world.cut(&name(from), &name(to)).unwrap();
        world.cut(&name(from), &name(to)).unwrap();
        world.run_until(at(400)).unwrap();
        world.heal(&name(from), &name(to)).unwrap();
        world.run_until(at(700)).unwrap();
        let there = heard(&world, to, 7);
        let back = heard(&world, from, 7);
        assert!(there[1] > 8 && there[3..] == [0; 4], "{from} to {to}: {there:?}");
        assert!(back[1..].iter().all(|count| *count > 8), "{to} to {from}: {back:?}");
        for (end, _, ok) in marks(&world, "redialled") {
            let (begin, ok) = if ok == 1 { (end - 2, true) } else { (end - 40, false) };
            assert_eq!(ok, !(200..400).contains(&begin), "{from} to {to}: a connect at {begin} ms");
        }
        let cut = events(&world, |event| matches!(event, Event::MessageCut { .. }));
        assert!(cut.len() >= 20 && cut.iter().all(|(at, node)| (200..400).contains(at) && node == from), "{cut:?}");
    }
}

#[test]
fn what_is_on_its_way_is_lost_in_a_cut_and_counted() {
    let mut world = world_of(latency(50), vec![("a", chats(None)), ("b", chats(Some("a")))]);
    world.run_until(at(300)).unwrap();
    world.cut(&name("b"), &name("a")).unwrap();
    let cut = events(&world, |event| *event == Event::MessageCut { to: name("a") });
    assert_eq!(cut, vec![(300, "b".into()); 5]);
}

/// Sends `frames` of `bytes` through both network cards and marks when the last one was handed up.
fn transfer(sender: &str, receiver: &str, frames: u64, bytes: u64, expected_ms: u64) {
    let receives = script(move |host| async move {
        let mut listener = host.net.bind().await.unwrap();
        let mut stream = listener.accept().await.unwrap();
        for _ in 0..frames {
            read(&mut stream, 1).await.unwrap();
            host.net.ingress(bytes).await;
        }
        mark(&host, "done", 0);
    });
    let to = receiver.trim_start_matches('!').to_owned();
    let sends = script(move |host| {
        let to = to.clone();
        async move {
            host.sleep(ms(8)).await;
            let mut stream = host.net.connect(&name(&to)).await.unwrap();
            for _ in 0..frames {
                host.net.egress(bytes).await;
                write(&mut stream, &[0]).await;
            }
            std::future::pending::<()>().await;
        }
    });
    let mut world = world(vec![(receiver, receives), (sender, sends)]);
    world.run_until(at(1000)).unwrap();
    // Connected at 10, one latency on the way.
    assert_eq!(times(&world, "done"), vec![11 + expected_ms], "{sender} to {receiver}, {frames} x {bytes}");
}

#[test]
fn network_cards_take_as_long_as_their_bandwidth_says() {
    transfer("a", "b", 100, 64 * 1024, 52);
    transfer("a", "b", 1000, 1500, 12);
    transfer("a", "b", 1, 1500, 0);
    transfer("a", "!b", 100, 64 * 1024, 52);
    transfer("!a", "b", 100, 64 * 1024, 52);
    // No more may be under way than the far side has room for.
    transfer("!a", "!b", 96, 64 * 1024, 0);
    transfer("!a", "!b", 97, 64 * 1024, 1);
}
