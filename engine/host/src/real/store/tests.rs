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
    assert_eq!(store.get("a/b", 1).await, Err(StoreError::Missing("a/b".into())));
    assert_eq!(store.create("a/b", value("1")).await, Ok(()));
    assert_eq!(store.create("a/b", value("2")).await, Err(StoreError::Exists("a/b".into())));
    assert_eq!(store.get("a/b", 1).await, Ok(value("1")));
    assert_eq!(store.put("a/b", value("3"), 1).await, Ok(()));
    assert_eq!(store.get("a/b", 1).await, Ok(value("3")));
    for key in ["a", "a/c", "a.x", "b", ""] {
        assert_eq!(store.put(key, value(""), 1).await, Ok(()), "{key}");
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

/// A full disk: the store's folder for unfinished files is a file system of 64 KiB. Run again inside a mount namespace.
#[test]
fn a_full_disk_is_an_error_that_leaves_no_half_value_and_takes_no_room() {
    const INSIDE: &str = "DSTREAM_TEST_SMALL_DISK";
    let name = "real::store::tests::a_full_disk_is_an_error_that_leaves_no_half_value_and_takes_no_room";
    if let Some(root) = std::env::var_os(INSIDE) {
        return fill_up(PathBuf::from(root));
    }
    let folder = Folder::new("full");
    std::fs::create_dir_all(&folder.0).unwrap();
    let mount = format!("mount -t tmpfs -o size=64k none {}", folder.0.display());
    let unshare = |script: &str| {
        std::process::Command::new("unshare").args(["-m", "sh", "-c", script]).env(INSIDE, &folder.0).output()
    };
    if !unshare(&mount).is_ok_and(|output| output.status.success()) {
        println!("skipped: no file system of its own for this test");
        return;
    }
    let test = std::env::current_exe().unwrap();
    let inside = unshare(&format!("{mount} && {} --exact {name}", test.display())).unwrap();
    assert!(inside.status.success(), "{inside:?}");
}

fn fill_up(root: PathBuf) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = DirectoryStore::open(&root, "test").unwrap();
        let large = Bytes::from(vec![7; 40 << 10]);
        assert_eq!(store.put("a", large.clone(), 1).await, Ok(()));
        for _ in 0..3 {
            for failed in [store.put("b", large.clone(), 1).await, store.create("c", large.clone()).await] {
                assert!(matches!(&failed, Err(StoreError::Failed(why)) if why.contains("No space left")), "{failed:?}");
            }
            // A value is replaced by a whole one or not at all.
            assert!(store.put("a", large.slice(1..), 1).await.is_err());
            assert_eq!(store.get("a", 1).await, Ok(large.clone()));
            assert_eq!(store.list("").await, Ok(vec!["a".to_owned()]));
        }
        assert_eq!(store.delete("a").await, Ok(()));
        assert_eq!(store.create("c", large.clone()).await, Ok(()));
        assert_eq!(store.get("c", 1).await, Ok(large));
    });
}
