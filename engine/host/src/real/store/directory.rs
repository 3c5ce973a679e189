//! A durable store in a folder of the local file system: one file a value.
//!
//! The local backend of the `object_store` crate does the same with fewer promises: a key cannot be the folder of another
//! one, keys come in no order, and files that a killed process was writing stay and take room.
//!
//! Invariants: a file appears under its name only when its bytes are on the disk; a thread of its own touches the
//! disk, so that no node's timers wait for it.

use super::{key_of, path_of};
use crate::facade::{BoxFuture, Store, StoreError};
use crate::real::pool::{Crew, Pool};
use bytes::Bytes;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Operations that wait for the disk in the store itself; more wait in their callers.
const WAITING: usize = 64;

/// How long the store's end waits for the operation that runs: a disk that takes longer is left to itself.
const JOIN_LIMIT: Duration = Duration::from_secs(5);

/// Where files are written before they have their name.
const UNFINISHED: &str = "%unfinished";

/// A store in a folder.
pub struct DirectoryStore {
    folder: Arc<Folder>,
    pool: Pool,
    /// Taken at the store's end. The lock is only for sharing the store between threads.
    crew: Mutex<Option<Crew>>,
}

struct Folder {
    root: PathBuf,
    unfinished: PathBuf,
    next_file: AtomicU64,
}

impl DirectoryStore {
    /// The store in the folder `root`, which is made if it does not exist. Several processes may use it, each as
    /// another `owner`, which is a file's name.
    pub fn open(root: impl Into<PathBuf>, owner: &str) -> io::Result<DirectoryStore> {
        let root = root.into();
        let unfinished = root.join(UNFINISHED).join(owner);
        // What a former process of this owner left unfinished has no name and no reader.
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir_all(&unfinished)?,
        }
        let mut crew = Crew::new();
        let pool = Pool::start(&mut crew, "store", 1, WAITING)?;
        let folder = Arc::new(Folder { root, unfinished, next_file: AtomicU64::new(0) });
        Ok(DirectoryStore { folder, pool, crew: Mutex::new(Some(crew)) })
    }

    fn run<'a, T: Send + 'static>(
        &'a self,
        work: impl FnOnce(&Folder) -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'a, Result<T, StoreError>> {
        let folder = Arc::clone(&self.folder);
        Box::pin(async move { self.pool.run(move |_| work(&folder)).await })
    }
}

impl Drop for DirectoryStore {
    fn drop(&mut self) {
        self.pool.stop();
        if let Some(crew) = self.crew.lock().unwrap_or_else(PoisonError::into_inner).take() {
            crew.join(JOIN_LIMIT);
        }
    }
}

fn failed(key: &str, error: &io::Error) -> StoreError {
    StoreError::Failed(format!("`{key}`: {error}"))
}

impl Folder {
    /// Writes the value to a file without a name of its own yet, and has `name` give it one. Whatever fails, on a full
    /// disk for one, the unfinished file goes: its room is what the next attempt needs.
    fn write(&self, value: &[u8], name: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
        let number = self.next_file.fetch_add(1, Ordering::Relaxed);
        let unfinished = self.unfinished.join(number.to_string());
        let mut file = File::create_new(&unfinished)?;
        let written = file.write_all(value).and_then(|()| file.sync_all()).and_then(|()| name(&unfinished));
        match fs::remove_file(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => written.and(Err(error)),
            _ => written,
        }
    }

    /// Makes the folder of a value's file, so that the file can be given its name.
    fn place(&self, key: &str) -> io::Result<PathBuf> {
        let path = self.root.join(path_of(key));
        fs::create_dir_all(parent(&path))?;
        Ok(path)
    }

    fn create(&self, key: &str, value: &[u8]) -> io::Result<()> {
        let path = self.place(key)?;
        // Of two links to one name one fails, whoever races.
        self.write(value, |unfinished| fs::hard_link(unfinished, &path))?;
        sync(parent(&path))
    }

    fn put(&self, key: &str, value: &[u8]) -> io::Result<()> {
        let path = self.place(key)?;
        self.write(value, |unfinished| fs::rename(unfinished, &path))?;
        sync(parent(&path))
    }

    fn delete(&self, key: &str) -> io::Result<()> {
        let path = self.root.join(path_of(key));
        match fs::remove_file(&path) {
            Ok(()) => sync(parent(&path)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn list(&self, prefix: &str) -> io::Result<Vec<String>> {
        let mut keys = Vec::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                if entry.file_name() == UNFINISHED {
                    continue;
                }
                if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                } else if let Ok(path) = entry.path().strip_prefix(&self.root) {
                    keys.extend(key_of(path).filter(|key| key.starts_with(prefix)));
                }
            }
        }
        keys.sort_unstable();
        Ok(keys)
    }
}

fn parent(path: &Path) -> &Path {
    path.parent().expect("a value's path lies below the store's folder")
}

/// Makes a new or removed name in the folder durable.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

impl Store for DirectoryStore {
    fn create<'a>(&'a self, key: &'a str, value: Bytes) -> BoxFuture<'a, Result<(), StoreError>> {
        let key = key.to_owned();
        self.run(move |folder| {
            folder.create(&key, &value).map_err(|error| match error.kind() {
                ErrorKind::AlreadyExists => StoreError::Exists(key),
                _ => failed(&key, &error),
            })
        })
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes, _: u64) -> BoxFuture<'a, Result<(), StoreError>> {
        let key = key.to_owned();
        self.run(move |folder| folder.put(&key, &value).map_err(|error| failed(&key, &error)))
    }

    fn get<'a>(&'a self, key: &'a str, _: u64) -> BoxFuture<'a, Result<Bytes, StoreError>> {
        let key = key.to_owned();
        self.run(move |folder| {
            let read = fs::read(folder.root.join(path_of(&key)));
            read.map(Bytes::from).map_err(|error| match error.kind() {
                ErrorKind::NotFound => StoreError::Missing(key),
                _ => failed(&key, &error),
            })
        })
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, StoreError>> {
        let prefix = prefix.to_owned();
        self.run(move |folder| folder.list(&prefix).map_err(|error| failed(&prefix, &error)))
    }

    fn delete<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
        let key = key.to_owned();
        self.run(move |folder| folder.delete(&key).map_err(|error| failed(&key, &error)))
    }
}
