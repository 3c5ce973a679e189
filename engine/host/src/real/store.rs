//! Durable stores of the real world: in memory for tests, in a directory otherwise.
//!
//! Invariant of both: a value is there whole or not at all, and of two creates of one key one succeeds.

mod directory;
mod kept;
mod linked;
mod path;

pub use directory::DirectoryStore;
pub use kept::KeptStore;
pub use linked::LinkedStore;
pub use path::{key_of, path_of};

use crate::facade::{BoxFuture, Store, StoreError};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A store that lives as long as its world's process.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<BTreeMap<String, Bytes>>);

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    fn values(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        // Every change under this lock is complete before anything that could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn create_now(&self, key: &str, value: Bytes) -> Result<(), StoreError> {
        let mut values = self.values();
        if values.contains_key(key) {
            return Err(StoreError::Exists(key.to_owned()));
        }
        values.insert(key.to_owned(), value);
        Ok(())
    }
}

impl Store for MemoryStore {
    fn create<'a>(&'a self, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.create_now(key, value) })
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes, _: u64) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.values().insert(key.to_owned(), value);
            Ok(())
        })
    }

    fn get<'a>(&'a self, key: &'a str, _: u64) -> BoxFuture<'a, Result<Bytes, StoreError>> {
        Box::pin(async move { self.values().get(key).cloned().ok_or_else(|| StoreError::Missing(key.to_owned())) })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        Box::pin(async move {
            let values = self.values();
            let from = values.range(prefix.to_owned()..);
            Ok(from.map(|(key, _)| key).take_while(|key| key.starts_with(prefix)).cloned().collect())
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            self.values().remove(key);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
