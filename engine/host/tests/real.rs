//! What the real world promises to whoever drives it, beyond the contract of all worlds.

mod common;

use common::{PATIENCE, mark, marks, node, world};
use dstream_host::{CoreTime, Host, NodeError, World, WorldError};
use dstream_trace::{Moment, NodeName};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

async fn counts(host: Host) -> Result<(), NodeError> {
    for number in 0.. {
        mark(&host, "count", number);
        host.sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

#[test]
fn waiting_ends_with_the_event_that_it_waits_for() {
    let mut world = world(|host| Box::pin(counts(host)));
    world.start(node("a")).unwrap();
    assert_eq!(world.run_while(PATIENCE, |log| !marks(log, "count").contains(&5)), Ok(true));
    assert!(world.now() < PATIENCE);
    let limit = world.now() + Duration::from_millis(20);
    assert_eq!(world.run_while(limit, |_| true), Ok(false));
    assert!(world.now() >= limit);
}

#[test]
fn waiting_ends_early_when_a_node_fails() {
    let mut world = world(|host| {
        Box::pin(async move {
            host.sleep(Duration::from_millis(20)).await;
            Err(NodeError("enough".to_owned()))
        })
    });
    world.start(node("a")).unwrap();
    let failed = |result: Result<(), WorldError>| {
        assert!(matches!(&result, Err(WorldError::NodeFailed { why, .. }) if why == "enough"), "{result:?}");
    };
    failed(world.run_until(PATIENCE));
    assert!(world.now() < PATIENCE);
    failed(world.run_while(PATIENCE, |_| true).map(|_| ()));
}

#[test]
fn a_node_that_ends_well_ends_nothing_else_and_can_be_started_again() {
    let mut world = world(|host| {
        Box::pin(async move {
            mark(&host, "life", host.incarnation);
            Ok(())
        })
    });
    world.start(node("a")).unwrap();
    assert_eq!(world.run_while(PATIENCE, |log| marks(log, "life").is_empty()), Ok(true));
    let a = NodeName::new("a");
    while world.crash(&a).is_ok() {
        world.restart(&a).unwrap();
        world.run_until(world.now() + Duration::from_millis(20)).unwrap();
    }
    let before = marks(&world.trace().lock(), "life").len();
    world.restart(&a).unwrap();
    assert_eq!(world.run_while(PATIENCE, |log| marks(log, "life").len() == before), Ok(true));
    let lives = marks(&world.trace().lock(), "life");
    assert!(lives.is_sorted_by(|one, next| one < next), "{lives:?}");
}

#[test]
fn no_more_works_run_at_once_than_there_are_cores_and_a_panic_in_one_reaches_its_caller() {
    let running = Arc::new(AtomicU64::new(0));
    let mut world = world(move |host| {
        let running = Arc::clone(&running);
        Box::pin(async move {
            let most = Arc::new(AtomicU64::new(0));
            let works: Vec<_> = (0..12)
                .map(|_| {
                    let (running, most) = (Arc::clone(&running), Arc::clone(&most));
                    tokio::spawn(host.cpu.run(Box::new(move || {
                        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        (0..300_000u64).for_each(|step| _ = std::hint::black_box(step));
                        running.fetch_sub(1, Ordering::SeqCst);
                        CoreTime::default()
                    })))
                })
                .collect();
            for work in works {
                work.await.expect("no work panics");
            }
            mark(&host, "most", most.load(Ordering::SeqCst));
            host.cpu.run(Box::new(|| panic!("a work panics"))).await;
            Ok(())
        })
    });
    world.start(node("a")).unwrap();
    let result = world.run_until(PATIENCE);
    assert!(matches!(&result, Err(WorldError::NodeFailed { why, .. }) if why.contains("a work panics")), "{result:?}");
    let most = marks(&world.trace().lock(), "most");
    assert!(most == [1] || most == [2], "{most:?} at once on 2 cores");
}

#[test]
fn the_end_of_the_world_ends_every_node_and_drops_what_it_holds() {
    let held = Arc::new(());
    let weak = Arc::downgrade(&held);
    let mut world = world(move |host| {
        let held = Arc::clone(&held);
        Box::pin(async move {
            let task = Arc::clone(&held);
            tokio::spawn(async move {
                std::future::pending::<()>().await;
                drop(task);
            });
            mark(&host, "runs", 1);
            std::future::pending::<()>().await;
            drop(held);
            Ok(())
        })
    });
    for name in ["a", "b", "c"] {
        world.start(node(name)).unwrap();
    }
    world.pause(&NodeName::new("b")).unwrap();
    world.run_while(PATIENCE, |log| marks(log, "runs").len() < 3).unwrap();
    assert!(weak.strong_count() > 3);
    drop(world);
    assert_eq!(weak.strong_count(), 0);
}

#[test]
fn a_harness_node_takes_no_fault_and_bad_nodes_are_refused() {
    let mut world = world(|host| Box::pin(counts(host)));
    let mut harness = node("sink");
    harness.harness = true;
    world.start(harness).unwrap();
    world.start(node("a")).unwrap();
    let (sink, a) = (NodeName::new("sink"), NodeName::new("a"));
    let is_unsupported = |result| assert!(matches!(result, Err(WorldError::Unsupported(_))), "{result:?}");
    is_unsupported(world.crash(&sink));
    is_unsupported(world.pause(&sink));
    is_unsupported(world.slow_cpu(&a, f64::NAN));
    is_unsupported(world.slow_cpu(&a, 0.0));
    let is_bad = |result| assert!(matches!(result, Err(WorldError::BadNode(_))), "{result:?}");
    is_bad(world.start(node("a")));
    is_bad(world.start(dstream_host::NodeSpec { cores: 0, ..node("b") }));
    is_bad(world.cut(&a, &a));
    assert_eq!(world.run_until(Moment::ZERO), Ok(()));
}
