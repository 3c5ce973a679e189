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
    async fn transfer(&self, lane: &Mutex<Lane>, bytes: usize) {
        let (latency, cost) = self.link.map_or_else(Default::default, |(latency, bits_per_second)| {
            (latency, transfer_time(bytes as u64, bits_per_second))
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
        bytes: usize,
        act: BoxFuture<'_, Result<T, StoreError>>,
        answer_bytes: impl Fn(&T) -> usize + Send,
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
        let bytes = key.len() + value.len();
        Box::pin(self.request((Access::Write, key), bytes, self.inner.create(key, value), |()| 0))
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
        let bytes = key.len() + value.len();
        Box::pin(self.request((Access::Write, key), bytes, self.inner.put(key, value), |()| 0))
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Bytes, StoreError>> {
        Box::pin(self.request((Access::Read, key), key.len(), self.inner.get(key), Bytes::len))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        let bytes = |keys: &Vec<String>| keys.iter().map(String::len).sum();
        Box::pin(self.request((Access::Read, prefix), prefix.len(), self.inner.list(prefix), bytes))
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(self.request((Access::Read, key), key.len(), self.inner.delete(key), |()| 0))
    }
}
