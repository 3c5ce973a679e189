//! Time, cores, store and pause of a simulated host, and how its end is reported.
//!
//! Knows no network beyond one byte. All times are virtual and exact.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(unexpected_cfgs, reason = "tokio's own flag, which cargo does not know")]

mod common;

use bytes::Bytes;
use common::*;
use dstream_host::{CoreTime, Host, NodeError, StoreError, World, WorldError};
use dstream_sim::{SimConfig, SimWorld};
use dstream_trace::{Event, Moment};
use std::sync::Arc;
use std::time::Duration;

/// Runs `tasks` of `cost` on the cores, all at once or one after the other, and marks when all are paid.
fn computes(tasks: usize, cost: Duration, serial: bool) -> Script {
    script(move |host| async move {
        if serial {
            for _ in 0..tasks {
                host.cpu.run(Box::new(move || CoreTime(cost))).await;
            }
        } else {
            let all: Vec<_> = (0..tasks).map(|_| host.cpu.run(Box::new(move || CoreTime(cost)))).collect();
            let all: Vec<_> = all.into_iter().map(tokio::spawn).collect();
            for task in all {
                let CoreTime(paid) = task.await.unwrap();
                assert!(paid >= cost);
            }
        }
        mark(&host, "paid", 0);
        std::future::pending::<()>().await;
    })
}

fn paid(tasks: usize, cost_us: u64, serial: bool, factor: f64) -> u64 {
    let mut world = world(vec![("node", computes(tasks, Duration::from_micros(cost_us), serial))]);
    world.slow_cpu(&name("node"), factor).unwrap();
    world.run_until(at(20_000)).unwrap();
    let stretched = events(&world, |event| *event == Event::WorkStretched { factor });
    assert_eq!(stretched.len(), if factor == 1.0 { 0 } else { tasks });
    times(&world, "paid")[0]
}

#[test]
fn cores_take_the_sum_of_costs_and_no_more() {
    for (tasks, cost_us, serial, factor, expected) in [
        (400, 100, false, 1.0, 10),
        (400, 100, false, 3.0, 30),
        (400, 2500, false, 1.0, 250),
        (400, 20_000, false, 3.0, 6000),
        (100, 2500, true, 1.0, 250),
        (1000, 100, true, 1.0, 100),
        (1, 7000, true, 1.0, 7),
        (1, 7000, true, 0.5, 3),
        (5, 7000, false, 1.0, 14),
    ] {
        assert_eq!(paid(tasks, cost_us, serial, factor), expected, "{tasks} x {cost_us} us x {factor}");
    }
}

/// Works of 100 ms on each of as many cores as there are, so many in a row, all asked for at once, under factors from
/// some milliseconds on: when each round was paid, what the last work answered, and when works began to be stretched.
fn slowed(rounds: usize, factors: &[(u64, f64)]) -> (Vec<u64>, u64, Vec<u64>) {
    let node = script(move |host| async move {
        for _ in 0..rounds * CORES {
            let host = host.clone();
            tokio::spawn(async move {
                let took = host.cpu.run(Box::new(|| CoreTime(ms(100)))).await;
                mark(&host, "paid", took.0.as_millis() as u64);
            });
        }
        std::future::pending::<()>().await;
    });
    let mut world = world(vec![("node", node)]);
    for &(when, factor) in factors {
        world.run_until(at(when)).unwrap();
        world.slow_cpu(&name("node"), factor).unwrap();
    }
    world.run_until(at(100_000)).unwrap();
    let stretched = events(&world, |event| matches!(event, Event::WorkStretched { .. }));
    let (mut paid, took) = (times(&world, "paid"), marks(&world, "paid").last().unwrap().2);
    assert_eq!(paid.len(), rounds * CORES);
    paid.dedup();
    (paid, took, stretched.chunks(CORES).map(|chunk| chunk[0].0).collect())
}

#[test]
fn a_change_of_the_factor_prices_anew_what_is_left_of_running_and_queued_work() {
    type Case = (usize, &'static [(u64, f64)], Vec<u64>, u64, Vec<u64>);
    let cases: [Case; 9] = [
        (1, &[], vec![100], 100, vec![]),
        // Slowed while it runs: 50 + 100 + 40.
        (1, &[(50, 10.0), (150, 1.0)], vec![190], 190, vec![50]),
        // Slow from its start, and over before it is done: 0.3 of 100 ms were done in 90.
        (1, &[(0, 300.0), (90, 1.0)], vec![189], 189, vec![0]),
        // Another factor counts from where the first one left it.
        (1, &[(50, 10.0), (150, 2.0)], vec![230], 230, vec![50]),
        (1, &[(50, 10.0), (150, 2.0), (170, 1.0)], vec![200], 200, vec![50]),
        (1, &[(50, 0.5)], vec![75], 75, vec![50]),
        // Queued work moves with the work before it.
        (2, &[(50, 10.0), (150, 1.0)], vec![190, 290], 100, vec![50]),
        (2, &[(50, 10.0), (650, 1.0)], vec![550, 740], 190, vec![50, 550]),
        // After the work is done, there is nothing to stretch.
        (1, &[(100, 10.0), (110, 10.0), (120, 1.0)], vec![100], 100, vec![]),
    ];
    for (rounds, factors, paid, took, stretched) in cases {
        assert_eq!(slowed(rounds, factors), (paid, took, stretched), "{rounds} rounds under {factors:?}");
    }
}

#[test]
fn a_factor_that_changes_during_a_pause_counts_from_its_begin() {
    for (ended_at_ms, expected, stretched) in [(None, 330 + 720, 1), (Some(200), 330, 0)] {
        let mut world = paused_world();
        world.run_until(at(50)).unwrap();
        world.pause(&name("node")).unwrap();
        world.run_until(at(100)).unwrap();
        world.slow_cpu(&name("node"), 10.0).unwrap();
        if let Some(ended_at_ms) = ended_at_ms {
            world.run_until(at(ended_at_ms)).unwrap();
            world.slow_cpu(&name("node"), 1.0).unwrap();
        }
        world.run_until(at(250)).unwrap();
        world.resume(&name("node")).unwrap();
        world.run_until(at(2000)).unwrap();
        assert_eq!(times(&world, "worked"), vec![expected]);
        assert_eq!(events(&world, |event| matches!(event, Event::WorkStretched { .. })).len(), stretched);
    }
}

#[test]
fn work_that_nobody_waits_for_any_more_is_slowed_and_says_so_once() {
    let node = script(|host| async move {
        let all: Vec<_> = (0..CORES).map(|_| tokio::spawn(host.cpu.run(Box::new(|| CoreTime(ms(100)))))).collect();
        host.sleep(ms(10)).await;
        all.iter().for_each(|work| work.abort());
        host.sleep(ms(90)).await;
        host.cpu.run(Box::new(|| CoreTime(ms(10)))).await;
        mark(&host, "paid", 0);
        std::future::pending::<()>().await;
    });
    let mut world = world(vec![("node", node)]);
    for (when, factor) in [(50, 10.0), (150, 1.0)] {
        world.run_until(at(when)).unwrap();
        world.slow_cpu(&name("node"), factor).unwrap();
    }
    world.run_until(at(1000)).unwrap();
    assert_eq!(times(&world, "paid"), vec![200]);
    assert_eq!(events(&world, |event| *event == Event::WorkStretched { factor: 10.0 }).len(), CORES);
}

#[test]
fn messages_are_handled_beside_busy_cores() {
    let node = script(|host| async move {
        for _ in 0..CORES {
            tokio::spawn(host.cpu.run(Box::new(|| CoreTime(ms(500)))));
        }
        host.sleep(ms(10)).await;
        host.cpu.handle(CoreTime(ms(3))).await;
        mark(&host, "handled", 0);
    });
    let mut world = world(vec![("node", node)]);
    world.run_until(at(100)).unwrap();
    assert_eq!(times(&world, "handled"), vec![13]);
}

#[test]
fn a_restarted_node_has_idle_cores_and_the_straggler_factor_stays() {
    let mut world = world(vec![("node", computes(1, ms(100), false))]);
    world.slow_cpu(&name("node"), 3.0).unwrap();
    world.run_until(at(150)).unwrap();
    world.crash(&name("node")).unwrap();
    world.restart(&name("node")).unwrap();
    world.run_until(at(1000)).unwrap();
    assert_eq!(times(&world, "paid"), vec![450]);
}

#[test]
fn timers_fire_at_their_millisecond_and_the_past_at_once() {
    let node = script(|host| async move {
        for when in [5, 5, 3, 12] {
            host.clock.sleep_until(at(when)).await;
            mark(&host, "woke", 0);
        }
        host.clock.sleep_until(host.clock.now() + Duration::from_micros(100)).await;
        mark(&host, "woke", 0);
        host.clock.sleep_until(Moment::NEVER).await;
        mark(&host, "woke", 0);
    });
    let mut world = world(vec![("node", node)]);
    world.run_until(at(100)).unwrap();
    assert_eq!(times(&world, "woke"), vec![5, 5, 5, 12, 13]);
}

/// A timer every 10 ms, 100 ms of work from 30 ms on, and a byte from a peer at 60 ms.
fn paused_world() -> SimWorld {
    let node = script(|host| async move {
        let mut listener = host.net.bind().await.unwrap();
        let ticking = host.clone();
        tokio::spawn(async move {
            loop {
                ticking.sleep(ms(10)).await;
                mark(&ticking, "timer", 0);
            }
        });
        let working = host.clone();
        tokio::spawn(async move {
            working.sleep(ms(30)).await;
            working.cpu.run(Box::new(|| CoreTime(ms(100)))).await;
            mark(&working, "worked", 0);
        });
        loop {
            let mut stream = listener.accept().await.unwrap();
            let host = host.clone();
            tokio::spawn(async move {
                while read(&mut stream, 1).await.is_some() {
                    mark(&host, "heard", 0);
                }
            });
        }
    });
    let peer = script(|host| async move {
        host.sleep(ms(5)).await;
        let mut stream = host.net.connect(&name("node")).await.unwrap();
        host.sleep(ms(53)).await;
        write(&mut stream, &[1]).await;
        mark(&host, "redialled", u64::from(host.net.connect(&name("node")).await.is_ok()));
        std::future::pending::<()>().await;
    });
    world(vec![("node", node), ("peer", peer)])
}

#[test]
fn a_pause_holds_timers_messages_connects_and_cores() {
    let mut world = paused_world();
    world.run_until(at(50)).unwrap();
    world.pause(&name("node")).unwrap();
    world.pause(&name("node")).unwrap();
    world.run_until(at(250)).unwrap();
    world.resume(&name("node")).unwrap();
    world.resume(&name("node")).unwrap();
    world.run_until(at(400)).unwrap();
    assert_eq!(times(&world, "heard"), vec![250]);
    assert_eq!(times(&world, "redialled"), vec![252]);
    // 20 of 100 ms were done before the pause.
    assert_eq!(times(&world, "worked"), vec![330]);
    let timers = times(&world, "timer");
    assert!(timers.iter().all(|at| *at <= 50 || *at >= 250), "{timers:?}");
    assert!(timers.contains(&250) && timers.contains(&260), "an overdue timer fires at the end: {timers:?}");
    let held = events(&world, |event| *event == Event::HeldByPause);
    assert_eq!(held.len(), 1);
    assert!(held[0].1 == "node" && (50..=60).contains(&held[0].0), "{held:?}");
}

#[test]
fn a_pause_that_held_nothing_leaves_no_evidence() {
    let mut world = world(vec![("node", script(|_| std::future::pending()))]);
    world.run_until(at(50)).unwrap();
    world.pause(&name("node")).unwrap();
    world.run_until(at(100)).unwrap();
    world.resume(&name("node")).unwrap();
    assert_eq!(events(&world, |event| *event == Event::HeldByPause), vec![]);
}

#[test]
fn a_crash_ends_a_pause() {
    let mut world = paused_world();
    world.run_until(at(50)).unwrap();
    world.pause(&name("node")).unwrap();
    world.run_until(at(100)).unwrap();
    world.crash(&name("node")).unwrap();
    world.run_until(at(120)).unwrap();
    world.restart(&name("node")).unwrap();
    world.run_until(at(200)).unwrap();
    assert!(times(&world, "timer").contains(&130));
    assert_eq!(marks(&world, "redialled")[0].2, 0, "who waited for the paused node learns that it is gone");
}

#[test]
fn the_store_answers_after_its_latency_and_outlives_nodes() {
    let node = script(|host| async move {
        let store = &host.store;
        let value = Bytes::from_static(b"value");
        let created = store.create("b/1", value.clone()).await;
        mark(&host, "answered", u64::from(created == Ok(())));
        if host.incarnation == 2 {
            assert_eq!(created, Err(StoreError::Exists("b/1".into())));
            assert_eq!(store.get("b/1", 1).await, Ok(value));
            assert_eq!(store.list("b/").await, Ok(vec!["b/1".into(), "b/2".into()]));
            assert_eq!(store.delete("b/1").await, Ok(()));
            assert_eq!(store.delete("b/1").await, Ok(()));
            assert_eq!(store.get("b/1", 1).await, Err(StoreError::Missing("b/1".into())));
            assert_eq!(store.get("b/2", 1).await.map(|value| value.len()), Ok(1_000_000));
            mark(&host, "done", 0);
        }
        for key in ["a", "b/2", "c"] {
            store.put(key, Bytes::from(vec![0; 1_000_000]), 1).await.unwrap();
        }
        mark(&host, "written", 0);
        std::future::pending::<()>().await;
    });
    let mut world = world(vec![("node", node)]);
    world.run_until(at(100)).unwrap();
    world.crash(&name("node")).unwrap();
    world.restart(&name("node")).unwrap();
    world.run_until(at(500)).unwrap();
    assert_eq!(marks(&world, "answered"), vec![(10, "node".into(), 1), (110, "node".into(), 0)]);
    // A megabyte takes 8 ms through each of two network cards, and 10 ms there and back.
    assert_eq!(times(&world, "written")[0], 10 + 3 * 26);
    assert_eq!(times(&world, "done"), vec![110 + 5 * 10 + 26]);
}

#[test]
fn what_is_small_leaves_and_comes_between_the_pieces_of_large_objects() {
    let node = script(|host| async move {
        let large = |key: &'static str| {
            let (store, host) = (host.store.clone(), host.clone());
            tokio::spawn(async move {
                store.put(key, Bytes::from(vec![0; 10_000_000]), 1).await.unwrap();
                mark(&host, "written", 0);
                store.get(key, 1).await.unwrap();
                mark(&host, "read", 0);
            })
        };
        let objects = ["a", "b", "c"].map(large);
        host.sleep(ms(20)).await;
        host.net.egress(100).await;
        mark(&host, "left", 0);
        host.clock.sleep_until(at(800)).await;
        host.net.ingress(100).await;
        mark(&host, "came", 0);
        for object in objects {
            object.await.unwrap();
        }
        std::future::pending::<()>().await;
    });
    let mut world = world(vec![("node", node)]);
    world.run_until(at(2000)).unwrap();
    // Half a millisecond a piece.
    assert_eq!((times(&world, "left"), times(&world, "came")), (vec![21], vec![801]));
    // 80 ms for each object in each of two cards, all side by side, and 5 ms from one to the other and back.
    assert_eq!((times(&world, "written"), times(&world, "read")), (vec![486, 487, 488], vec![972, 973, 974]));
}

/// Requests that have not come yet took the store from those that were being taken in: with a few of them at any time a
/// block never got there.
#[test]
fn what_others_have_only_sent_does_not_hold_up_what_the_store_is_taking_in() {
    let writer = script(|host| async move {
        host.store.put("large", Bytes::from(vec![0; 10_000_000]), 1).await.unwrap();
        mark(&host, "written", 0);
        std::future::pending::<()>().await;
    });
    let others = script(|host| async move {
        for round in 0..400 {
            host.clock.sleep_until(at(round)).await;
            let store = host.store.clone();
            tokio::spawn(async move { store.put("small", Bytes::from_static(b"small"), 1).await });
        }
        std::future::pending::<()>().await;
    });
    let mut world = world(vec![("others", others), ("writer", writer)]);
    world.run_until(at(500)).unwrap();
    // 80 ms in each of two cards, and 5 ms from one to the other and back.
    assert_eq!(times(&world, "written"), vec![170]);
}

fn fails(world: &mut SimWorld, expected: (&str, u64, &str)) {
    let (node, millis, word) = expected;
    let failed = world.run_until(at(1000)).unwrap_err();
    let WorldError::NodeFailed { node: who, at: when, why } = &failed else { panic!("{failed}") };
    assert_eq!((who.as_str(), *when), (node, at(millis)));
    assert!(why.contains(word), "{why}");
    assert_eq!(world.run_until(at(2000)).unwrap_err(), failed, "a failed world does not go on");
}

#[test]
fn an_error_of_a_node_ends_the_world_with_its_words() {
    let node = Arc::new(|host: Host| -> Life {
        Box::pin(async move {
            host.sleep(ms(20)).await;
            Err(NodeError("out of luck".into()))
        })
    });
    fails(&mut world(vec![("good", listens()), ("bad", node)]), ("bad", 20, "out of luck"));
}

#[test]
fn a_panic_of_a_node_ends_the_world_with_its_words() {
    let node = script(|host| async move {
        host.sleep(ms(20)).await;
        panic!("the sum is {}", 7);
    });
    fails(&mut world(vec![("good", listens()), ("bad", node)]), ("bad", 20, "the sum is 7"));
}

#[test]
#[cfg(tokio_unstable)]
fn a_panic_of_a_spawned_task_ends_the_world() {
    let node = script(|host| async move {
        tokio::spawn(async move {
            host.sleep(ms(20)).await;
            panic!("in a task");
        });
        std::future::pending::<()>().await;
    });
    fails(&mut world(vec![("good", listens()), ("bad", node), ("other", listens())]), ("bad", 20, "task"));
}

#[test]
fn a_panic_on_a_core_ends_the_world_with_its_words() {
    let node = script(|host| async move {
        host.sleep(ms(20)).await;
        tokio::spawn(host.cpu.run(Box::new(|| panic!("in the work"))));
        std::future::pending::<()>().await;
    });
    fails(&mut world(vec![("good", listens()), ("bad", node)]), ("bad", 20, "in the work"));
}

#[test]
fn a_node_that_is_done_closes_its_streams_and_the_world_goes_on() {
    let node = script(|host| async move {
        let mut listener = host.net.bind().await.unwrap();
        let stream = listener.accept().await.unwrap();
        // A task that would keep the stream open for ever.
        tokio::spawn(async move {
            let _stream = stream;
            std::future::pending::<()>().await;
        });
        host.sleep(ms(50)).await;
    });
    let peer = script(|host| async move {
        host.sleep(ms(5)).await;
        let mut stream = host.net.connect(&name("node")).await.unwrap();
        read(&mut stream, 1).await;
        mark(&host, "ended", 0);
        std::future::pending::<()>().await;
    });
    let mut world = world(vec![("node", node), ("peer", peer)]);
    world.run_until(at(200)).unwrap();
    let ended = times(&world, "ended");
    assert!(ended.len() == 1 && (56..=60).contains(&ended[0]), "{ended:?}");
    assert_eq!(events(&world, |event| *event == Event::ProcessEnded), vec![], "nobody crashed it");
}

#[test]
fn the_world_refuses_what_makes_no_sense() {
    let mut world = world(vec![("node", listens()), ("!sink", listens())]);
    let bad = |result: Result<(), WorldError>, word: &str| {
        let WorldError::BadNode(why) = result.unwrap_err() else { panic!("expected a bad node") };
        assert!(why.contains(word), "{why}");
    };
    bad(world.crash(&name("nobody")), "no node is called nobody");
    bad(world.restart(&name("node")), "node runs");
    world.crash(&name("node")).unwrap();
    bad(world.crash(&name("node")), "does not run");
    bad(world.pause(&name("node")), "does not run");
    world.resume(&name("node")).unwrap();
    bad(world.cut(&name("node"), &name("node")), "from itself");
    bad(world.start(spec("node", false)), "two nodes are called node");
    bad(world.start(spec("10.0.0.1", false)), "cannot be a node's name");
    bad(world.start(dstream_host::NodeSpec { cores: 0, ..spec("idle", false) }), "has no core");
    assert!(matches!(world.crash(&name("sink")), Err(WorldError::Unsupported(_))));
    assert!(matches!(world.cut(&name("node"), &name("sink")), Err(WorldError::Unsupported(_))));
    assert!(matches!(world.slow_cpu(&name("node"), 0.0), Err(WorldError::Unsupported(_))));
    let config = SimConfig { tick: Duration::from_micros(100), ..SimConfig::default() };
    assert!(SimWorld::new(config, Arc::new(|_, _| Box::pin(std::future::pending()))).is_err());
}
