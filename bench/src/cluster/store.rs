//! A store that says when it cannot be written to, and when it can again.
//!
//! Engines try again by themselves; a disk that is full is for people to mend. Invariant: one note for each time that it
//! begins or ceases to fail.

use bytes::Bytes;
use dstream_host::{BoxFuture, Store, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;

/// A store, and where its notes go.
pub struct SpokenStore {
    inner: Arc<dyn Store>,
    failing: AtomicBool,
    notes: mpsc::Sender<String>,
}

impl SpokenStore {
    /// `inner`, which notes what becomes of writing to it.
    pub fn new(inner: Arc<dyn Store>, notes: mpsc::Sender<String>) -> SpokenStore {
        SpokenStore { inner, failing: AtomicBool::new(false), notes }
    }

    fn written(&self, result: &Result<(), StoreError>) {
        let note = match result {
            Err(StoreError::Failed(why)) if !self.failing.swap(true, Ordering::Relaxed) => {
                format!("the store cannot be written to: {why}; the job waits and tries again")
            }
            Ok(()) if self.failing.swap(false, Ordering::Relaxed) => "the store can be written to again".to_string(),
            _ => return,
        };
        // Where so many notes wait already, one more says nothing new.
        self.notes.try_send(note).ok();
    }
}

impl Store for SpokenStore {
    fn create<'a>(&'a self, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let created = self.inner.create(key, value).await;
            self.written(&created);
            created
        })
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes, scale: u64) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let put = self.inner.put(key, value, scale).await;
            self.written(&put);
            put
        })
    }

    fn get<'a>(&'a self, key: &'a str, scale: u64) -> BoxFuture<'a, Result<Bytes, StoreError>> {
        self.inner.get(key, scale)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        self.inner.list(prefix)
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        self.inner.delete(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dstream_host::real::MemoryStore;
    use std::sync::Mutex;

    /// Fails to put as often as told.
    struct Full(MemoryStore, Mutex<u32>);

    impl Store for Full {
        fn create<'a>(&'a self, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
            self.0.create(key, value)
        }

        fn put<'a>(&'a self, key: &'a str, value: Bytes, scale: u64) -> BoxFuture<'a, Result<(), StoreError>> {
            let mut left = self.1.lock().unwrap();
            if *left > 0 {
                *left -= 1;
                return Box::pin(async { Err(StoreError::Failed("no room".into())) });
            }
            self.0.put(key, value, scale)
        }

        fn get<'a>(&'a self, key: &'a str, scale: u64) -> BoxFuture<'a, Result<Bytes, StoreError>> {
            self.0.get(key, scale)
        }

        fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
            self.0.list(prefix)
        }

        fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
            self.0.delete(key)
        }
    }

    #[tokio::test]
    async fn a_store_that_fails_is_noted_once_and_once_more_when_it_works_again() {
        let (notes, mut noted) = mpsc::channel(8);
        let store = SpokenStore::new(Arc::new(Full(MemoryStore::new(), Mutex::new(3))), notes);
        let mut failures = 0;
        while store.put("a", Bytes::new(), 1).await.is_err() {
            failures += 1;
        }
        store.put("a", Bytes::new(), 1).await.unwrap();
        assert_eq!(store.create("a", Bytes::new()).await, Err(StoreError::Exists("a".into())));
        drop(store);
        let mut said = Vec::new();
        while let Some(note) = noted.recv().await {
            said.push(note);
        }
        assert_eq!((failures, said.len()), (3, 2), "{said:?}");
        assert!(said[0].contains("no room") && said[1].contains("again"), "{said:?}");
    }
}
