//! The durable store: a map that outlives every node, some way off and behind a network card of its own.
//!
//! Knows no meaning of keys. Invariants: a request takes effect at one moment, between its sending and its answer, and
//! creating a key that exists never changes it. A pause of the node holds its requests wherever they are, an outage of the
//! store those that have not taken effect before it and the answers of those that have after it.

use crate::clock::nap_until_paid;
use crate::life::Life;
use crate::net::transfer;
use bytes::Bytes;
use dstream_host::shape::{Access, Direction, Lane, PIECE_BYTES, StoreWay, transfer_time};
use dstream_host::{BoxFuture, Store, StoreError};
use dstream_trace::Moment;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What the store keeps, and how it is reached.
#[derive(Debug)]
pub(crate) struct Vault {
    latency: Duration,
    bits_per_second: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Bytes>,
    ingress: Lane,
    egress: Lane,
}

type Answer<T> = Result<T, StoreError>;

impl Vault {
    pub fn new(latency: Duration, bits_per_second: u64) -> Vault {
        Vault { latency, bits_per_second, state: Mutex::default() }
    }

    /// When `bytes` that come now have been taken in.
    fn take_in(&self, now: Moment, bytes: u64) -> Moment {
        self.lock().ingress.charge(now, transfer_time(bytes, self.bits_per_second), Duration::ZERO)
    }

    /// When `bytes` of an answer that is given now have left.
    fn give_out(&self, now: Moment, bytes: u64) -> Moment {
        self.lock().egress.charge(now, transfer_time(bytes, self.bits_per_second), Duration::ZERO)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The store as one node reaches it.
#[derive(Debug)]
pub(crate) struct SimStore {
    pub life: Arc<Life>,
    pub vault: Arc<Vault>,
    pub way: StoreWay,
}

impl SimStore {
    /// Sends so many bytes, lets `act` happen at the store, and receives as many bytes as it says.
    fn request<'a, T: Send + 'a>(
        &'a self,
        (access, key): (Access, &'a str),
        sent: u64,
        act: impl FnOnce(&mut BTreeMap<String, Bytes>) -> (Answer<T>, u64) + Send + 'a,
    ) -> BoxFuture<'a, Answer<T>> {
        let (life, vault, way) = (&*self.life, &*self.vault, &self.way);
        Box::pin(life.gate.hold(async move {
            for piece in pieces(sent) {
                transfer(life, Direction::Egress, piece).await;
            }
            // It is not taken in before it has come: what others send meanwhile would wait behind it.
            nap_until_paid(&life.fabric, life.now() + vault.latency + way.late()).await;
            for piece in pieces(sent) {
                nap_until_paid(&life.fabric, vault.take_in(life.now(), piece)).await;
            }
            way.released().await;
            let (answer, received) = match way.refusal(access, key) {
                Some(refusal) => (Err(refusal), 0),
                None => act(&mut vault.lock().objects),
            };
            let mut left = life.now();
            for piece in pieces(received) {
                left = vault.give_out(life.now(), piece);
                nap_until_paid(&life.fabric, left).await;
            }
            nap_until_paid(&life.fabric, left + vault.latency + way.late()).await;
            way.released().await;
            for piece in pieces(received) {
                transfer(life, Direction::Ingress, piece).await;
            }
            answer
        }))
    }
}

/// The pieces in which so many bytes go through a card, so that others come in between; one of none where there are none.
fn pieces(bytes: u64) -> impl Iterator<Item = u64> {
    let whole = bytes.saturating_sub(1) / PIECE_BYTES;
    (0..=whole).map(move |number| PIECE_BYTES.min(bytes - number * PIECE_BYTES))
}

impl Store for SimStore {
    fn create<'a>(&'a self, key: &'a str, value: Bytes) -> BoxFuture<'a, Answer<()>> {
        self.request((Access::Write, key), (key.len() + value.len()) as u64, move |objects| {
            if objects.contains_key(key) {
                return (Err(StoreError::Exists(key.to_owned())), 0);
            }
            objects.insert(key.to_owned(), value);
            (Ok(()), 0)
        })
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes, scale: u64) -> BoxFuture<'a, Answer<()>> {
        let sent = key.len() as u64 + value.len() as u64 * scale;
        self.request((Access::Write, key), sent, move |objects| {
            objects.insert(key.to_owned(), value);
            (Ok(()), 0)
        })
    }

    fn get<'a>(&'a self, key: &'a str, scale: u64) -> BoxFuture<'a, Answer<Bytes>> {
        self.request((Access::Read, key), key.len() as u64, move |objects| match objects.get(key) {
            Some(value) => (Ok(value.clone()), value.len() as u64 * scale),
            None => (Err(StoreError::Missing(key.to_owned())), 0),
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Answer<Vec<String>>> {
        self.request((Access::Read, prefix), prefix.len() as u64, move |objects| {
            let from = (Bound::Included(prefix), Bound::Unbounded);
            let keys = objects.range::<str, _>(from).map(|(key, _)| key);
            let keys: Vec<String> = keys.take_while(|key| key.starts_with(prefix)).cloned().collect();
            let bytes = keys.iter().map(|key| key.len() as u64).sum();
            (Ok(keys), bytes)
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Answer<()>> {
        self.request((Access::Read, key), key.len() as u64, move |objects| {
            objects.remove(key);
            (Ok(()), 0)
        })
    }
}
