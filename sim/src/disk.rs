//! A node's own disk: a map that ends with the life of its node, and takes its time.
//!
//! Knows no meaning of numbers. Invariants: one request is served after the other; a request takes effect when its time is
//! paid. A pause of the node holds its requests.

use crate::clock::nap_until_paid;
use crate::life::Life;
use bytes::Bytes;
use dstream_host::shape::{Lane, transfer_time};
use dstream_host::{BoxFuture, Disk, DiskError};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How fast disks are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DiskSpeed {
    pub latency: Duration,
    pub bits_per_second: u64,
}

/// The disk of one life.
#[derive(Debug)]
pub(crate) struct SimDisk {
    life: Arc<Life>,
    speed: DiskSpeed,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    kept: BTreeMap<u64, Bytes>,
    lane: Lane,
}

impl SimDisk {
    pub fn new(life: Arc<Life>, speed: DiskSpeed) -> SimDisk {
        SimDisk { life, speed, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under this lock is complete before anything that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pays for `bytes`, then lets `act` happen.
    fn request<'a, T: Send + 'a>(
        &'a self,
        bytes: u64,
        act: impl FnOnce(&mut BTreeMap<u64, Bytes>) -> T + Send + 'a,
    ) -> BoxFuture<'a, T> {
        let life = &self.life;
        Box::pin(life.gate.hold(async move {
            let cost = self.speed.latency + transfer_time(bytes, self.speed.bits_per_second);
            let paid = self.lock().lane.charge(life.now(), cost, Duration::ZERO);
            nap_until_paid(&life.fabric, paid).await;
            act(&mut self.lock().kept)
        }))
    }
}

impl Disk for SimDisk {
    fn put(&self, number: u64, parts: Vec<Bytes>, declared: u64) -> BoxFuture<'_, Result<(), DiskError>> {
        self.request(declared, move |kept| {
            kept.insert(number, Bytes::from(parts.concat()));
            Ok(())
        })
    }

    fn get(&self, number: u64, declared: u64) -> BoxFuture<'_, Result<Bytes, DiskError>> {
        self.request(declared, move |kept| kept.get(&number).cloned().ok_or(DiskError::Missing(number)))
    }

    fn remove(&self, number: u64) -> BoxFuture<'_, ()> {
        self.request(0, move |kept| drop(kept.remove(&number)))
    }
}
