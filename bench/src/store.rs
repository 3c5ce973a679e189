//! Where a durable store is: a folder, or a prefix in an S3-compatible one.
//!
//! Knows no node and no key. A folder is the host's own `DirectoryStore`: the local backend of the `object_store` crate
//! keeps fewer promises (a key may not be a folder of another one, lists have no order, and what a killed process left
//! half written stays), so that crate serves S3 alone. Invariant: what is cleared is what was opened, nothing beside it.

mod s3;

use dstream_host::Store;
use dstream_host::real::DirectoryStore;
use dstream_scenarios::address::{SCHEME, StoreAddress};
use s3::S3Store;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// A place for a durable store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StorePlace {
    /// A folder that all its users see.
    Folder(PathBuf),
    /// A prefix of a bucket.
    S3(StoreAddress),
}

impl StorePlace {
    /// `s3://bucket/prefix`, or a folder.
    pub fn read(text: &str) -> Result<StorePlace, String> {
        if text.starts_with(SCHEME) {
            return StoreAddress::read(text, None).map(StorePlace::S3);
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(format!("`{scheme}://` is unknown here: a folder, or `{SCHEME}BUCKET/PREFIX`"));
        }
        Ok(StorePlace::Folder(PathBuf::from(text)))
    }

    /// A place below this one.
    pub fn join(&self, part: &str) -> StorePlace {
        match self {
            StorePlace::Folder(folder) => StorePlace::Folder(folder.join(part)),
            StorePlace::S3(address) => StorePlace::S3(address.join(part)),
        }
    }

    /// Makes the folder; asks the S3 store once, so that what is wrong with it is known before anybody depends on it.
    pub fn prepare(&self) -> Result<(), String> {
        match self {
            StorePlace::Folder(folder) => std::fs::create_dir_all(folder).map_err(|error| error.to_string()),
            StorePlace::S3(address) => {
                let store = S3Store::open(address)?;
                on_runtime(async { store.list("").await.map(drop).map_err(|error| error.to_string()) })?
            }
        }
    }

    /// The store, as this one of its users has it.
    pub fn open(&self, owner: &str) -> Result<Arc<dyn Store>, String> {
        let cannot = |why: String| format!("the store {self} cannot be opened: {why}");
        Ok(match self {
            StorePlace::Folder(folder) => {
                Arc::new(DirectoryStore::open(folder, owner).map_err(|error| cannot(error.to_string()))?)
            }
            StorePlace::S3(address) => Arc::new(S3Store::open(address).map_err(cannot)?),
        })
    }

    /// The names of the places below this one that begin like this. Where it cannot be read, none is known.
    pub async fn parts(&self, beginning: &str) -> BTreeSet<String> {
        let names: Vec<String> = match self {
            StorePlace::Folder(folder) => {
                let entries = std::fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.file_name()));
                entries.map(|names| names.filter_map(|name| name.into_string().ok()).collect()).unwrap_or_default()
            }
            StorePlace::S3(address) => {
                let Ok(store) = S3Store::open(address) else { return BTreeSet::new() };
                let keys = store.list(beginning).await.unwrap_or_default();
                keys.iter().filter_map(|key| Some(key.split_once('/')?.0.to_string())).collect()
            }
        };
        names.into_iter().filter(|name| name.starts_with(beginning)).collect()
    }

    /// Removes everything in it. What cannot be removed costs room and nothing else.
    pub fn clear(&self) {
        match self {
            StorePlace::Folder(folder) => drop(std::fs::remove_dir_all(folder)),
            StorePlace::S3(address) => {
                let Ok(store) = S3Store::open(address) else { return };
                drop(on_runtime(async {
                    for key in store.list("").await.unwrap_or_default() {
                        if store.delete(&key).await.is_err() {
                            return;
                        }
                    }
                }));
            }
        }
    }
}

fn on_runtime<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error: io::Error| format!("the system has no room for it: {error}"))?;
    Ok(runtime.block_on(future))
}

impl fmt::Display for StorePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorePlace::Folder(folder) => folder.display().fmt(f),
            StorePlace::S3(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_another_kind_is_no_folder() {
        assert!(StorePlace::read("http://x").is_err_and(|why| why.contains("`http://` is unknown")));
        assert!(matches!(StorePlace::read("a/b:c"), Ok(StorePlace::Folder(_))));
    }
}
