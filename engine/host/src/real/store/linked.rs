//! A store some way off: requests take the modelled time to get there, and answers the time back.
//!
//! Knows no meaning of keys. Invariant: each node has a connection of its own, on which transfers follow each other.

use crate::facade::{BoxFuture, Clock, Store, StoreError};
use crate::shape::{Lane, transfer_time};
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A store behind a connection.
pub struct LinkedStore {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    latency: Duration,
    bits_per_second: u64,
    there: Mutex<Lane>,
    back: Mutex<Lane>,
}

impl LinkedStore {
    /// `inner`, so far away one way, at the end of a connection of so many bits a second in each direction.
    pub fn new(inner: Arc<dyn Store>, clock: Arc<dyn Clock>, latency: Duration, bits_per_second: u64) -> LinkedStore {
        LinkedStore { inner, clock, latency, bits_per_second, there: Mutex::default(), back: Mutex::default() }
    }

    async fn transfer(&self, lane: &Mutex<Lane>, bytes: usize) {
        let cost = transfer_time(bytes as u64, self.bits_per_second);
        let done = {
            let mut lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
            lane.charge(self.clock.now(), cost, Duration::ZERO)
        };
        self.clock.sleep_until(done + self.latency).await;
    }
}

impl Store for LinkedStore {
    fn create<'a>(&'a self, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.transfer(&self.there, key.len() + value.len()).await;
            let answer = self.inner.create(key, value).await;
            self.transfer(&self.back, 0).await;
            answer
        })
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.transfer(&self.there, key.len() + value.len()).await;
            let answer = self.inner.put(key, value).await;
            self.transfer(&self.back, 0).await;
            answer
        })
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Bytes, StoreError>> {
        Box::pin(async move {
            self.transfer(&self.there, key.len()).await;
            let answer = self.inner.get(key).await;
            self.transfer(&self.back, answer.as_ref().map_or(0, Bytes::len)).await;
            answer
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        Box::pin(async move {
            self.transfer(&self.there, prefix.len()).await;
            let answer = self.inner.list(prefix).await;
            let bytes = answer.as_ref().map_or(0, |keys| keys.iter().map(String::len).sum());
            self.transfer(&self.back, bytes).await;
            answer
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.transfer(&self.there, key.len()).await;
            let answer = self.inner.delete(key).await;
            self.transfer(&self.back, 0).await;
            answer
        })
    }
}
