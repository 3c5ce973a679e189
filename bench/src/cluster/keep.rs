//! What a master keeps of the job that it runs, so that a later life of the cluster goes on with it.
//!
//! Knows no socket and no engine: in the place of the store that the cluster was given lie a note about its job and, beside
//! it, the store of that job's run. Invariants: the note is written before any node of the run starts, and gone, or of
//! another run, before the run's store is cleared; a folder has one master at a time.

use super::word::JobOrder;
use crate::failure::Failure;
use crate::store::StorePlace;
use bytes::Bytes;
use dstream_cluster::{Engine, Progress};
use dstream_host::{Store, StoreError};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::sync::Arc;

/// The key of the note.
const NOTE: &str = "job";

/// What the names of runs' stores begin with.
const RUN: &str = "run-";

/// Locked by the master that lives, and says who it is.
const LOCK: &str = "lock";

/// The note about a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Tells the run from all others; its nodes draw from it.
    pub run: u64,
    /// What was ordered.
    pub order: JobOrder,
    /// How many reduce partitions it began with: those of its state, however many workers there are later.
    pub partitions: u32,
    /// How often its nodes were started before.
    pub lives: u64,
}

/// A job that rests.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The note about it.
    pub kept: Kept,
    /// How far it has come; nothing where it had decided nothing yet.
    pub progress: Option<Progress>,
}

impl Found {
    /// The interval with which it goes on.
    pub fn next(&self) -> u64 {
        self.progress.as_ref().map_or(0, |progress| progress.next)
    }
}

/// The keeper of the note.
pub struct Keeper {
    place: StorePlace,
    store: Arc<dyn Store>,
    /// Held as long as the master lives.
    _lock: Option<File>,
}

impl Keeper {
    /// Makes the place and takes it for this master.
    pub fn open(place: StorePlace) -> Result<Keeper, Failure> {
        let unusable = |why: String| Failure::usage(format!("{place}: cannot be the store: {why}"));
        place.prepare().map_err(unusable)?;
        let lock = match &place {
            StorePlace::Folder(folder) => Some(lock(&folder.join(LOCK)).map_err(unusable)?),
            StorePlace::S3(_) => None, // who came first is fenced by who came later
        };
        let store = place.open("door").map_err(unusable)?;
        Ok(Keeper { place, store, _lock: lock })
    }

    /// Where it is.
    pub fn place(&self) -> &StorePlace {
        &self.place
    }

    /// The job that rests here.
    pub async fn find(&self, engine: &dyn Engine) -> Result<Option<Found>, String> {
        let unreadable = |why: String| {
            format!("the store {} cannot be read: {why}; `--fresh` gives up what is in it, and begins anew", self.place)
        };
        let note = match self.store.get(NOTE, 1).await {
            Ok(note) => note,
            Err(StoreError::Missing(_)) => return Ok(None),
            Err(error) => return Err(unreadable(error.to_string())),
        };
        let kept: Kept = serde_json::from_slice(&note)
            .map_err(|error| unreadable(format!("`{NOTE}` is no note of this build of dstream ({error})")))?;
        let store = place_of(&self.place, kept.run).open("door")?;
        let progress = engine.progress(store).await.map_err(unreadable)?;
        Ok(Some(Found { kept, progress }))
    }

    /// Notes the job down, before its nodes start.
    pub async fn keep(&self, kept: &Kept) -> Result<(), String> {
        let note = serde_json::to_vec_pretty(kept).expect("a note is plain data, which JSON has words for");
        let written = self.store.put(NOTE, Bytes::from(note), 1).await;
        written.map_err(|error| format!("the store {} cannot be written to: {error}", self.place))?;
        // Not before: until then the note is of a run that is cleared here.
        self.clear(Some(kept.run)).await;
        Ok(())
    }

    /// Forgets the job, and what its run left.
    pub async fn forget(&self) -> Result<(), String> {
        let gone = self.store.delete(NOTE).await;
        gone.map_err(|error| format!("the store {} cannot be written to: {error}", self.place))?;
        self.clear(None).await;
        Ok(())
    }

    /// Removes the stores of all runs that are there but this one, on a thread of its own: what is not removed when the
    /// process ends is removed by the next master.
    async fn clear(&self, but: Option<u64>) {
        let (place, but) = (self.place.clone(), but.map(name_of));
        let over = place.parts(RUN).await.into_iter().filter(move |name| is_run(name) && Some(name) != but.as_ref());
        let over: Vec<StorePlace> = over.map(|name| place.join(&name)).collect();
        // Where there is no thread for it, it costs room until then.
        std::thread::Builder::new().name("clear".into()).spawn(move || over.iter().for_each(StorePlace::clear)).ok();
    }
}

/// Where the run has its store, within a master's place.
pub fn place_of(place: &StorePlace, run: u64) -> StorePlace {
    place.join(&name_of(run))
}

fn name_of(run: u64) -> String {
    format!("{RUN}{run:016x}")
}

/// Whether it is the name of a run's store: a user's own folder may begin like one.
fn is_run(name: &str) -> bool {
    let number = name.strip_prefix(RUN).and_then(|digits| u64::from_str_radix(digits, 16).ok());
    number.is_some_and(|run| name == name_of(run))
}

/// Takes the lock, which the system lets go when this process ends, however it does.
fn lock(path: &std::path::Path) -> Result<File, String> {
    let options = File::options().read(true).write(true).create(true).truncate(false).open(path);
    let mut file = options.map_err(|error| error.to_string())?;
    if rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut holder = String::new();
        file.read_to_string(&mut holder).ok();
        return Err(format!("another master uses it (process {}); give this one another `--store`", holder.trim()));
    }
    let noted = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| write!(file, "{}", std::process::id()));
    noted.map(|()| file).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_the_users_that_begins_like_a_runs_is_none() {
        for (name, expected) in [
            (name_of(7).as_str(), true),
            ("run-fedcba9876543210", true),
            ("run-FEDCBA9876543210", false),
            ("run-7", false),
            ("run-books", false),
            ("run-", false),
            ("run-+edcba9876543210", false),
        ] {
            assert_eq!(is_run(name), expected, "{name}");
        }
    }
}
