//! What every store promises, for each of the two.

use super::*;
use std::path::PathBuf;

/// A folder of its own for one test, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("dstream-store-{}-{test}", std::process::id()));
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn value(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

async fn check(store: &dyn Store) {
    assert_eq!(store.get("a/b").await, Err(StoreError::Missing("a/b".into())));
    assert_eq!(store.create("a/b", value("1")).await, Ok(()));
    assert_eq!(store.create("a/b", value("2")).await, Err(StoreError::Exists("a/b".into())));
    assert_eq!(store.get("a/b").await, Ok(value("1")));
    assert_eq!(store.put("a/b", value("3")).await, Ok(()));
    assert_eq!(store.get("a/b").await, Ok(value("3")));
    for key in ["a", "a/c", "a.x", "b", ""] {
        assert_eq!(store.put(key, value("")).await, Ok(()), "{key}");
    }
    assert_eq!(store.list("a").await.unwrap(), ["a", "a.x", "a/b", "a/c"]);
    assert_eq!(store.list("a/").await.unwrap(), ["a/b", "a/c"]);
    assert_eq!(store.list("").await.unwrap().len(), 6);
    assert_eq!(store.delete("a/b").await, Ok(()));
    assert_eq!(store.delete("a/b").await, Ok(()));
    assert_eq!(store.list("a/").await.unwrap(), ["a/c"]);
}

#[tokio::test]
async fn a_store_in_memory_keeps_the_promises() {
    check(&MemoryStore::new()).await;
}

#[tokio::test]
async fn a_store_in_a_folder_keeps_the_promises_and_its_values() {
    let folder = Folder::new("promises");
    check(&DirectoryStore::open(&folder.0, "a").unwrap()).await;
    let again = DirectoryStore::open(&folder.0, "a").unwrap();
    assert_eq!(again.list("").await.unwrap(), ["", "a", "a.x", "a/c", "b"]);
}

#[tokio::test]
async fn of_many_creates_of_one_key_at_once_one_succeeds() {
    let folder = Folder::new("race");
    let store = DirectoryStore::open(&folder.0, "a").unwrap();
    let (one, two, three) =
        tokio::join!(store.create("key", value("1")), store.create("key", value("2")), store.create("key", value("3")));
    assert_eq!([one, two, three].iter().filter(|created| created.is_ok()).count(), 1);
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error() {
    assert!(DirectoryStore::open("/proc/no/such/folder", "a").is_err());
}
