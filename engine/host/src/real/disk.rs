//! A node's own disk in the real world: one file without a name.
//!
//! The file loses its name as soon as it is open, so that the system frees it when the process ends, also by SIGKILL:
//! nobody has to clean up behind a node. It lies in the system's folder for temporary files (`TMPDIR`). Knows no meaning of
//! numbers. Invariants: what is kept lies in an extent of its own; a thread of its own touches the file, so that no timer of
//! the node waits for a disk; a node that keeps nothing has neither file nor thread.

mod extents;

use super::pool::{Crew, Pool};
use crate::facade::{BoxFuture, Disk, DiskError};
use crate::shape::Gate;
use bytes::Bytes;
use dstream_trace::NodeName;
use extents::Extents;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Operations that wait for the disk in the pool itself; more wait in their callers.
const WAITING: usize = 16;

/// How long the disk's end waits for the operation that runs.
const JOIN_LIMIT: Duration = Duration::from_secs(5);

/// Names that are tried for the file. One is taken only where a process of the same number was killed in the moment in
/// which its file had a name.
const NAMES: u32 = 100;

/// Room on the machine's disk.
pub struct FileDisk {
    name: String,
    gate: Gate,
    hand: Mutex<Option<Hand>>,
}

/// The open file, and the thread that touches it.
struct Hand {
    pool: Pool,
    crew: Crew,
    room: Arc<Mutex<Room>>,
}

struct Room {
    file: File,
    extents: Extents,
    /// number -> where, and how long
    kept: BTreeMap<u64, (u64, u64)>,
}

impl FileDisk {
    /// The disk of one life of a node. Nothing is opened before something is put.
    pub fn new(node: &NodeName, incarnation: u64, gate: Gate) -> FileDisk {
        let name = format!("dstream-{}-{node}-{incarnation}", std::process::id());
        FileDisk { name, gate, hand: Mutex::new(None) }
    }

    /// What touches the file; opened if it is not.
    fn open(&self) -> Result<(Pool, Arc<Mutex<Room>>), DiskError> {
        let mut hand = lock(&self.hand);
        if let Some(hand) = &*hand {
            return Ok((hand.pool.clone(), hand.room.clone()));
        }
        let opened = nameless_file(&self.name).and_then(|file| Hand::new(&self.name, file));
        let opened = opened.map_err(|error| failure(&error))?;
        let both = (opened.pool.clone(), opened.room.clone());
        *hand = Some(opened);
        Ok(both)
    }

    fn run<'a, T: Send + 'static>(
        &'a self,
        work: impl FnOnce(&mut Room) -> Result<T, DiskError> + Send + 'static,
    ) -> BoxFuture<'a, Result<T, DiskError>> {
        Box::pin(self.gate.hold(async move {
            let (pool, room) = self.open()?;
            pool.run(move |_| work(&mut lock(&room))).await
        }))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change under these locks is complete before anything that could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn nameless_file(name: &str) -> io::Result<File> {
    let folder = std::env::temp_dir();
    for number in 0..NAMES {
        let path: PathBuf = folder.join(format!("{name}-{number}"));
        match File::options().read(true).write(true).create_new(true).open(&path) {
            Ok(file) => return fs::remove_file(&path).map(|()| file),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::from(ErrorKind::AlreadyExists))
}

fn failure(error: &io::Error) -> DiskError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => DiskError::Full,
        _ => DiskError::Failed(error.to_string()),
    }
}

impl Hand {
    fn new(name: &str, file: File) -> io::Result<Hand> {
        let mut crew = Crew::new();
        let pool = Pool::start(&mut crew, name, 1, WAITING)?;
        let room = Room { file, extents: Extents::default(), kept: BTreeMap::new() };
        Ok(Hand { pool, crew, room: Arc::new(Mutex::new(room)) })
    }
}

impl Drop for FileDisk {
    fn drop(&mut self) {
        if let Some(Hand { pool, crew, .. }) = lock(&self.hand).take() {
            pool.stop();
            crew.join(JOIN_LIMIT);
        }
    }
}

impl Room {
    fn put(&mut self, number: u64, parts: &[Bytes]) -> io::Result<()> {
        let length = parts.iter().map(|part| part.len() as u64).sum();
        let begin = self.extents.take(length);
        let mut at = begin;
        for part in parts {
            if let Err(error) = self.file.write_all_at(part, at) {
                self.give(begin, length);
                return Err(error);
            }
            at += part.len() as u64;
        }
        if let Some((begin, length)) = self.kept.insert(number, (begin, length)) {
            self.give(begin, length);
        }
        Ok(())
    }

    fn get(&self, number: u64) -> Result<Bytes, DiskError> {
        let (begin, length) = *self.kept.get(&number).ok_or(DiskError::Missing(number))?;
        let length = usize::try_from(length).map_err(|error| DiskError::Failed(error.to_string()))?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, begin).map_err(|error| failure(&error))?;
        Ok(Bytes::from(bytes))
    }

    /// The extent is free again; what lies behind the last one that is taken goes back to the system.
    fn give(&mut self, begin: u64, length: u64) {
        if let Some(end) = self.extents.give(begin, length) {
            // The file stays longer than it need be: no harm but room, and the next end tries again.
            let _ = self.file.set_len(end);
        }
    }
}

impl Disk for FileDisk {
    fn put(&self, number: u64, parts: Vec<Bytes>, _declared: u64) -> BoxFuture<'_, Result<(), DiskError>> {
        self.run(move |room| room.put(number, &parts).map_err(|error| failure(&error)))
    }

    fn get(&self, number: u64, _declared: u64) -> BoxFuture<'_, Result<Bytes, DiskError>> {
        self.run(move |room| room.get(number))
    }

    fn remove(&self, number: u64) -> BoxFuture<'_, ()> {
        let removed = self.run(move |room| {
            if let Some((begin, length)) = room.kept.remove(&number) {
                room.give(begin, length);
            }
            Ok(())
        });
        Box::pin(async move {
            // A disk that cannot be opened has nothing.
            let _ = removed.await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(name: &str) -> FileDisk {
        FileDisk::new(&NodeName::new(name), 1, Gate::new(|| {}))
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn files_of(name: &str) -> usize {
        let own = format!("dstream-{}-{name}-", std::process::id());
        let names = fs::read_dir(std::env::temp_dir()).unwrap().flatten();
        names.filter(|entry| entry.file_name().to_string_lossy().starts_with(&own)).count()
    }

    #[test]
    fn what_is_put_comes_back_until_it_is_removed_and_no_file_is_seen() {
        let disk = disk("seen");
        block_on(async {
            let parts = vec![Bytes::from_static(b"ab"), Bytes::new(), Bytes::from_static(b"cde")];
            disk.put(1, parts, 5).await.unwrap();
            disk.put(2, vec![], 0).await.unwrap();
            disk.put(3, vec![Bytes::from_static(b"fg")], 2).await.unwrap();
            assert_eq!(disk.get(1, 5).await.unwrap(), "abcde");
            assert_eq!(disk.get(2, 0).await.unwrap(), "");
            disk.remove(1).await;
            assert_eq!(disk.get(1, 5).await, Err(DiskError::Missing(1)));
            // In the place of the first.
            disk.put(4, vec![Bytes::from_static(b"hi")], 2).await.unwrap();
            assert_eq!((disk.get(3, 2).await.unwrap(), disk.get(4, 2).await.unwrap()), ("fg".into(), "hi".into()));
        });
        assert_eq!(files_of("seen"), 0);
    }

    #[test]
    fn a_disk_that_keeps_nothing_is_not_opened() {
        let disk = disk("idle");
        assert!(lock(&disk.hand).is_none());
    }
}
