//! Nodes that share a host: nobody can tell, but for the time that a step takes.
//!
//! Knows turmoil's habits by their outcome only. All times are virtual and exact.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::*;
use dstream_host::{World, WorldError};
use dstream_sim::{SimConfig, SimWorld};

/// A world in which `guests` share a host.
fn sharing(guests: &[&str], nodes: Vec<(&str, Script)>) -> SimWorld {
    let sharing = guests.iter().map(|guest| name(guest)).collect();
    world_of(SimConfig { sharing, latency: ms(10), bits_per_second: 8_000_000, ..SimConfig::default() }, nodes)
}

/// Connects, marks what the first byte back is, and when the stream ended.
fn asks(to: &'static str) -> Script {
    script(move |host| async move {
        host.sleep(ms(20)).await;
        let mut stream = host.net.connect(&name(to)).await.unwrap();
        mark(&host, to, u64::from(read(&mut stream, 1).await.unwrap()[0]));
        assert_eq!(read(&mut stream, 1).await, None);
        mark(&host, "ended", 0);
        std::future::pending::<()>().await;
    })
}

/// Sends this byte to the first that connects, is busy for as long as 100 000 bytes take, and ends.
fn answers(byte: u8) -> Script {
    script(move |host| async move {
        let mut stream = host.net.bind().await.unwrap().accept().await.unwrap();
        write(&mut stream, &[byte]).await;
        host.net.egress(100_000).await;
        mark(&host, "moved", u64::from(byte));
    })
}

#[test]
fn each_is_reached_by_its_name_has_a_card_of_its_own_and_ends_alone() {
    let run = |guests: &[&str]| {
        let nodes = vec![("one", answers(1)), ("two", answers(2)), ("ask-1", asks("one")), ("ask-2", asks("two"))];
        let mut world = sharing(guests, nodes);
        world.run_until(at(400)).unwrap();
        ["one", "two", "moved", "ended"].map(|what| marks(&world, what))
    };
    let alone = run(&[]);
    let [one, two, moved, ended] = &alone;
    assert_eq!((one.len(), two.len(), moved.len(), ended.len()), (1, 1, 2, 2));
    assert_eq!(alone, run(&["one", "two"]));
    assert_eq!(alone, run(&["ask-1", "ask-2"]));
}

#[test]
fn no_fault_hits_one_and_none_comes_late() {
    let mut world = sharing(&["one", "two"], vec![("one", listens()), ("alone", listens())]);
    let refused = |result: Result<(), WorldError>| {
        let words = result.unwrap_err().to_string();
        assert!(words.contains("shares its host"), "{words}");
    };
    let (one, alone) = (name("one"), name("alone"));
    refused(world.crash(&one));
    refused(world.pause(&one));
    refused(world.cut(&alone, &one));
    refused(world.enrol(spec("two", false)));
    world.power_loss(&alone).unwrap();
    world.restart(&alone).unwrap();
}
