//! What peers promise to the node that holds them: bounds, and that nothing outlives them.

mod common;

use bytes::Bytes;
use common::{PATIENCE, config, mark, marks, node, world};
use dstream_host::peer::{Lane, PeerConfig, PeerEvent, Peers, RequestError, SendError};
use dstream_host::{Host, NodeError, World};
use dstream_trace::{NodeName, Purpose};
use std::io::ErrorKind;
use std::time::Duration;

const NODES: [&str; 2] = ["a", "b"];

fn alive_tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

async fn start(host: &Host) -> (Peers, tokio::sync::mpsc::Receiver<PeerEvent>) {
    Peers::start(host, config(host.name.as_str(), &NODES)).await.expect("the configuration is right")
}

/// Runs two nodes until one of them marks `done`; the values of the marks `seen`.
fn run<F>(script: impl Fn(Host) -> F + Send + Sync + Copy + 'static) -> Vec<u64>
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut world = world(move |host| {
        Box::pin(async move {
            script(host).await;
            std::future::pending::<Result<(), NodeError>>().await
        })
    });
    NODES.into_iter().for_each(|name| world.start(node(name)).expect("the world starts a node"));
    assert_eq!(world.run_while(PATIENCE, |log| marks(log, "done").is_empty()), Ok(true), "it is never done");
    let trace = world.trace();
    let log = trace.lock();
    marks(&log, "seen")
}

#[test]
fn tasks_end_when_handle_and_receiver_are_gone_and_not_before() {
    let seen = run(|host| async move {
        let (peers, mut events) = start(&host).await;
        assert!(matches!(events.recv().await, Some(PeerEvent::Up { .. })));
        if host.name.as_str() == "a" {
            let second = peers.clone();
            drop((peers, events));
            host.sleep(Duration::from_millis(20)).await;
            mark(&host, "seen", u64::from(alive_tasks() > 0));
            drop(second);
            while alive_tasks() > 0 {
                host.sleep(Duration::from_millis(5)).await;
            }
            mark(&host, "done", 1);
            return;
        }
        events_until_down(events).await;
    });
    assert_eq!(seen, [1], "a clone of the handle keeps the connections");
}

async fn events_until_down(mut events: tokio::sync::mpsc::Receiver<PeerEvent>) {
    while !matches!(events.recv().await, None | Some(PeerEvent::Down { .. })) {}
}

#[test]
fn a_peer_that_takes_no_events_slows_its_sender_down_and_loses_nothing() {
    const MESSAGES: u64 = 4000;
    let seen = run(|host| async move {
        let (peers, mut events) = start(&host).await;
        let Some(PeerEvent::Up { peer, .. }) = events.recv().await else { panic!("Up comes first") };
        if host.name.as_str() == "a" {
            let mut full = 0;
            for _ in 0..MESSAGES {
                let message = || Bytes::from(vec![0; 20_000]);
                while let Err(error) = peers.send(&peer, Lane::Data, Purpose::Input, message(), 20_000) {
                    assert_eq!(error, SendError::QueueFull);
                    full += 1;
                    host.sleep(Duration::from_millis(1)).await;
                }
            }
            mark(&host, "seen", u64::from(full > 0));
            return events_until_down(events).await;
        }
        // Longer than the silence: a reader that waits for its node accuses nobody, nor is it accused.
        host.sleep(Duration::from_millis(2500)).await;
        for _ in 0..MESSAGES {
            assert!(matches!(events.recv().await, Some(PeerEvent::Message { .. })));
        }
        mark(&host, "done", 1);
    });
    assert_eq!(seen, [1], "the sender was told that the queue is full");
}

#[test]
fn what_cannot_be_sent_is_refused_with_its_reason() {
    run(|host| async move {
        let (peers, mut events) = start(&host).await;
        let Some(PeerEvent::Up { peer, .. }) = events.recv().await else { panic!("Up comes first") };
        let stranger = NodeName::new("stranger");
        let send = |to: &NodeName, bytes: usize, declared: u64| {
            peers.send(to, Lane::Control, Purpose::Control, Bytes::from(vec![0; bytes]), declared)
        };
        assert_eq!(send(&stranger, 1, 1), Err(SendError::NotConnected));
        assert_eq!(send(&peer, (1 << 20) + 1, 1), Err(SendError::TooLong));
        assert_eq!(send(&peer, 1, u64::MAX), Err(SendError::TooLong));
        assert_eq!(send(&peer, 1, 1), Ok(()));
        let request = peers.request(&stranger, Purpose::Control, Bytes::new(), 0, Duration::from_secs(1));
        assert_eq!(request.await, Err(RequestError::NotSent(SendError::NotConnected)));
        mark(&host, "done", 1);
        events_until_down(events).await;
    });
}

#[test]
fn a_redial_takes_the_pair_down_and_up_again_on_both_sides() {
    let seen = run(|host| async move {
        let (peers, mut events) = start(&host).await;
        let mut ups = 0;
        while let Some(event) = events.recv().await {
            match event {
                PeerEvent::Up { peer, .. } => {
                    ups += 1;
                    mark(&host, "seen", ups);
                    if ups == 1 && host.name.as_str() == "a" {
                        peers.redial(&peer);
                    }
                    if ups == 2 {
                        let answer = peers.request(&peer, Purpose::Control, Bytes::new(), 0, Duration::from_secs(5));
                        let host = host.clone();
                        tokio::spawn(async move {
                            answer.await.expect("the new pair answers");
                            mark(&host, "answered", 1);
                            mark(&host, "done", 1);
                        });
                    }
                }
                PeerEvent::Request { peer, id, payload, .. } => {
                    peers.reply(&peer, id, Purpose::Control, payload, 0).expect("the pair is up");
                }
                _ => {}
            }
        }
    });
    assert!(seen.iter().filter(|ups| **ups == 2).count() >= 1, "{seen:?}");
    assert!(seen.iter().all(|ups| *ups <= 2), "{seen:?}");
}

#[test]
fn a_configuration_that_contradicts_itself_is_refused() {
    fn check(change: fn(&mut PeerConfig), expected: &'static str) {
        let mut world = world(move |host| {
            Box::pin(async move {
                let mut config = config("a", &NODES);
                change(&mut config);
                let error = Peers::start(&host, config).await.err().expect("it is refused");
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
                assert!(error.to_string().contains(expected), "{error}");
                mark(&host, "done", 1);
                Ok(())
            })
        });
        world.start(node("a")).unwrap();
        assert!(world.run_while(PATIENCE, |log| marks(log, "done").is_empty()).unwrap());
    }
    check(|config| config.nodes = vec![NodeName::new("b")], "lacks this node");
    check(|config| config.talks_to = vec![NodeName::new("a")], "cannot talk to `a`");
    check(|config| config.talks_to = vec![NodeName::new("z")], "cannot talk to `z`");
    check(|config| config.max_frame = usize::MAX, "32 bits");
    check(|config| config.nodes.push(NodeName::new("n".repeat(300))), "longer than 256 bytes");
}
