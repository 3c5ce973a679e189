//! A store behind a journal: nothing is asked of it before what the node recorded is kept.

use crate::facade::{BoxFuture, Store, StoreError};
use crate::real::journal::Journal;
use bytes::Bytes;
use std::future::poll_fn;
use std::sync::Arc;

/// A store that waits for the journal.
pub struct KeptStore {
    inner: Arc<dyn Store>,
    journal: Arc<dyn Journal>,
}

impl KeptStore {
    /// `inner` behind `journal`.
    pub fn new(inner: Arc<dyn Store>, journal: Arc<dyn Journal>) -> KeptStore {
        KeptStore { inner, journal }
    }

    async fn kept(&self) {
        poll_fn(|context| self.journal.poll_kept(context)).await;
    }
}

impl Store for KeptStore {
    fn create<'a>(&'a self, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.kept().await;
            self.inner.create(key, value).await
        })
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes, scale: u64) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.kept().await;
            self.inner.put(key, value, scale).await
        })
    }

    fn get<'a>(&'a self, key: &'a str, scale: u64) -> BoxFuture<'a, Result<Bytes, StoreError>> {
        self.inner.get(key, scale)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        self.inner.list(prefix)
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.kept().await;
            self.inner.delete(key).await
        })
    }
}
