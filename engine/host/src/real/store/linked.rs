//! A store some way off: requests take the modelled time to get there, and answers the time back; and what is wrong with the
//! store is met on the way.
//!
//! Knows no meaning of keys. Invariants: each node has a connection of its own, on which transfers follow each other; a
//! request that the way refuses never gets to the store.

use crate::facade::{BoxFuture, Clock, Store, StoreError};
use crate::shape::{Access, Lane, StoreWay, transfer_time};
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A store behind a connection.
pub struct LinkedStore {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// One way, and bits a second in each direction.
    link: Option<(Duration, u64)>,
    way: StoreWay,
    there: Mutex<Lane>,
    back: Mutex<Lane>,
}

impl LinkedStore {
    /// `inner`, so far away one way, at the end of a connection of so many bits a second in each direction; as far as it is
    /// without a `link`. On the way there is what may be wrong.
    pub fn new(
        inner: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        link: Option<(Duration, u64)>,
        way: StoreWay,
    ) -> LinkedStore {
        LinkedStore { inner, clock, link, way, there: Mutex::default(), back: Mutex::default() }
    }

    /// Completes when `bytes` that set out now have arrived, and nothing is held.
    async fn transfer(&self, lane: &Mutex<Lane>, bytes: u64) {
        let (latency, cost) = self.link.map_or_else(Default::default, |(latency, bits_per_second)| {
            (latency, transfer_time(bytes, bits_per_second))
        });
        let now = self.clock.now();
        let done = lane.lock().unwrap_or_else(PoisonError::into_inner).charge(now, cost, Duration::ZERO);
        let due = done + latency + self.way.late();
        if due > now {
            self.clock.sleep_until(due).await;
        }
        self.way.released().await;
    }

    /// Sends `bytes`, has the store do it, and receives as many bytes as the answer has.
    async fn request<T: Send>(
        &self,
        (access, key): (Access, &str),
        bytes: u64,
        act: BoxFuture<'_, Result<T, StoreError>>,
        answer_bytes: impl Fn(&T) -> u64 + Send,
    ) -> Result<T, StoreError> {
        self.transfer(&self.there, bytes).await;
        let answer = match self.way.refusal(access, key) {
            Some(refusal) => Err(refusal),
            None => act.await,
        };
        self.transfer(&self.back, answer.as_ref().map_or(0, answer_bytes)).await;
        answer
    }
}

impl Store for LinkedStore {
    fn create<'a>(&'a self, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
        let bytes = (key.len() + value.len()) as u64;
        Box::pin(self.request((Access::Write, key), bytes, self.inner.create(key, value), |()| 0))
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes, scale: u64) -> BoxFuture<'a, Result<(), StoreError>> {
        let bytes = key.len() as u64 + value.len() as u64 * scale;
        Box::pin(self.request((Access::Write, key), bytes, self.inner.put(key, value, scale), |()| 0))
    }

    fn get<'a>(&'a self, key: &'a str, scale: u64) -> BoxFuture<'a, Result<Bytes, StoreError>> {
        let bytes = move |value: &Bytes| value.len() as u64 * scale;
        Box::pin(self.request((Access::Read, key), key.len() as u64, self.inner.get(key, scale), bytes))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        let bytes = |keys: &Vec<String>| keys.iter().map(|key| key.len() as u64).sum();
        Box::pin(self.request((Access::Read, prefix), prefix.len() as u64, self.inner.list(prefix), bytes))
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.request((Access::Read, key), key.len() as u64, self.inner.delete(key), |()| 0))
    }
}
