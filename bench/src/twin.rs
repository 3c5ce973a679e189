//! Twins: the same seed without faults, run beside a run with faults, or found where an earlier one left it.
//!
//! What is kept of a twin is small and lies in the system's temporary folder, outside of every run directory. Its name is a
//! digest of all that it follows from: the program, the plan without its faults, the engine, the source's files. Invariant:
//! whatever is wrong with a twin or with its folder, the run goes on; it then lacks two numbers.

use crate::cluster::build;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::judge::judge;
use crate::load::engine_of;
use crate::setup::Setup;
use crate::simulation::simulate;
use dstream_scenarios::plan::{EnginePlan, Plan, SourcePlan};
use dstream_scenarios::to_yaml;
use dstream_trace::Moment;
use dstream_trace::measure::Twin;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// The folder's name in the system's temporary folder.
const FOLDER: &str = "dstream-twins";

/// So many are kept; one more, and as many as that are too many go, whichever. A day's work of one person, some 10 MB.
const MOST_TWINS: usize = 256;

/// A longer one is not kept: a run of hours with many clients, which is rare, and made again.
const MOST_BYTES: usize = 4 << 20;

/// Bytes of the digest at a twin's end.
const DIGEST_BYTES: usize = 8;

/// Where twins are found and left.
pub struct Twins {
    /// A digest of the program, made when the first twin is wanted. `None` where the program cannot read itself: then no
    /// twin can be told from that of another program.
    build: OnceLock<Option<u64>>,
    folder: PathBuf,
}

impl Twins {
    /// The folder of this user's system.
    pub fn open() -> Twins {
        Twins { build: OnceLock::new(), folder: std::env::temp_dir().join(FOLDER) }
    }

    /// Does `run`, and gets the twin of the plan's run meanwhile if it has faults. No twin where the run was stopped or
    /// failed.
    pub fn beside<T>(
        &self,
        plan: &Plan,
        engine: &EnginePlan,
        setup: &Setup,
        interrupt: &Interrupt,
        run: impl FnOnce() -> Result<T, Failure>,
    ) -> (Result<T, Failure>, Option<Twin>) {
        if plan.faults.is_empty() {
            return (run(), None);
        }
        let calm = without_faults(plan, engine);
        let build = *self.build.get_or_init(|| build().ok());
        let place = build.and_then(|build| place(&self.folder, build, &calm).ok());
        if let Some(twin) = place.as_deref().and_then(read) {
            return (run(), Some(twin));
        }
        let stop = AtomicBool::new(false);
        let is_over = || stop.load(Ordering::Relaxed) || interrupt.is_raised();
        // Each simulation is deterministic by itself: beside each other they are what they are one after the other.
        let (done, twin) = thread::scope(|scope| {
            let twin = scope.spawn(|| make(&calm, setup, &is_over));
            let done = run();
            stop.store(done.is_err(), Ordering::Relaxed);
            (done, twin.join().ok().flatten())
        });
        if let (Some(place), Some(twin)) = (place, &twin) {
            // A folder that cannot be written costs time, nothing else.
            keep(&place, twin).ok();
        }
        (done, twin)
    }
}

/// What of the plan the twin follows from; its name, its faults and what is expected of it are not.
fn without_faults(plan: &Plan, engine: &EnginePlan) -> Plan {
    let engine = EnginePlan { label: engine.engine.clone(), ..engine.clone() };
    Plan {
        title: "twin".to_owned(),
        about: String::new(),
        engines: vec![engine],
        faults: Vec::new(),
        expect: Vec::new(),
        ..plan.clone()
    }
}

/// Runs it; nothing where it fails or is stopped.
fn make(calm: &Plan, setup: &Setup, is_over: &dyn Fn() -> bool) -> Option<Twin> {
    let engine_plan = calm.engines.first()?;
    let engine = engine_of(engine_plan, setup).ok()?;
    let mut progress = |_: Moment| if is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let execution = simulate(calm, engine_plan, &engine, setup.workloads.clone(), &mut progress).ok()?;
    if execution.failed.is_some() || execution.played.interrupted {
        return None;
    }
    judge(calm, engine_plan, &engine, setup, &execution).ok().map(|outcome| outcome.as_twin())
}

/// Where the twin of this plan lies.
fn place(folder: &Path, build: u64, calm: &Plan) -> io::Result<PathBuf> {
    let mut digest = Xxh3::new();
    digest.update(&build.to_le_bytes());
    digest.update(to_yaml(calm).as_bytes());
    if let SourcePlan::File { paths, .. } = &calm.source {
        for path in paths {
            digest.update(&xxh3_64(&fs::read(path)?).to_le_bytes());
        }
    }
    Ok(folder.join(format!("{:032x}.twin", digest.digest128())))
}

/// The twin that lies there, if it is whole.
fn read(place: &Path) -> Option<Twin> {
    let bytes = fs::read(place).ok()?;
    let (twin, digest) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST_BYTES)?)?;
    (digest == xxh3_64(twin).to_le_bytes()).then(|| postcard::from_bytes(twin).ok())?
}

/// Leaves the twin there for later runs, and makes room.
fn keep(place: &Path, twin: &Twin) -> io::Result<()> {
    let folder = place.parent().unwrap_or(Path::new("."));
    let mut bytes = postcard::to_stdvec(twin).map_err(io::Error::other)?;
    if bytes.len() > MOST_BYTES {
        return Ok(());
    }
    bytes.extend(xxh3_64(&bytes).to_le_bytes());
    fs::create_dir_all(folder)?;
    let others: Vec<PathBuf> = fs::read_dir(folder)?.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    for other in others.iter().take((others.len() + 1).saturating_sub(MOST_TWINS)) {
        fs::remove_file(other)?;
    }
    // Renamed when it is whole: of two that write the same one, either will do.
    let partial = place.with_extension(format!("partial-{}", std::process::id()));
    fs::write(&partial, bytes)?;
    fs::rename(&partial, place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Overrides, load_text};
    use crate::scratch::Scratch;

    const CALM: &str = "\
title: a twin
duration: 4s
warmup: 1s
cluster: { workers: 2, cores: 1, clients: 1 }
workload: { job: word-count, source: { generate: { rate: 50/s } } }
engines: [dstream: { interval: 500ms, checkpoint: 1s }]
";

    fn plan(more: &str) -> Plan {
        let text = format!("{CALM}{more}");
        load_text(Path::new("t.yaml"), &text, &Overrides::default(), &Setup::built_in()).unwrap()
    }

    fn crash() -> Plan {
        plan("faults: [crash: { node: worker-1, at: 1s }]\nexpect: [output: exact]\n")
    }

    /// The twin of the plan, and how many files its folder has then.
    fn twin(twins: &Twins, plan: &Plan) -> (Option<Twin>, usize) {
        let (setup, engine) = (Setup::built_in(), &plan.engines[0]);
        let (done, twin) = twins.beside(plan, engine, &setup, &Interrupt::new(), || Ok(()));
        done.unwrap();
        let files = fs::read_dir(&twins.folder).map_or(0, Iterator::count);
        (twin, files)
    }

    #[test]
    fn a_twin_is_made_once_and_found_again() {
        let scratch = Scratch::new("twins").unwrap();
        let twins = Twins { build: Some(7).into(), folder: scratch.path().join("deep") };
        assert_eq!(twin(&twins, &plan("")), (None, 0), "without faults there is nothing to compare");
        let (made, files) = twin(&twins, &crash());
        assert!(made.is_some() && files == 1);
        let place = place(&twins.folder, 7, &without_faults(&crash(), &crash().engines[0])).unwrap();
        assert_eq!(read(&place), made);
        // Another fault has the same twin; another program has its own.
        let other = plan("faults: [pause: { node: worker-2, at: 2s, for: 300ms }]\n");
        assert_eq!(twin(&twins, &other), (made.clone(), 1));
        assert_eq!(twin(&Twins { build: Some(8).into(), folder: twins.folder.clone() }, &crash()), (made.clone(), 2));
        // What is broken is made again.
        let mut bytes = fs::read(&place).unwrap();
        bytes[3] ^= 1;
        fs::write(&place, bytes).unwrap();
        assert_eq!(read(&place), None);
        assert_eq!(twin(&twins, &crash()), (made, 2));
        assert!(read(&place).is_some());
    }

    #[test]
    fn a_folder_that_cannot_be_written_costs_nothing_but_time() {
        let scratch = Scratch::new("twins").unwrap();
        let file = scratch.path().join("file");
        fs::write(&file, "no folder").unwrap();
        let (made, _) = twin(&Twins { build: Some(7).into(), folder: file }, &crash());
        assert!(made.is_some());
        let unnamed = Twins { build: None.into(), folder: scratch.path().to_owned() };
        assert_eq!(twin(&unnamed, &crash()), (made, 1));
    }

    #[test]
    fn old_twins_make_room_for_new_ones() {
        let scratch = Scratch::new("twins").unwrap();
        for number in 0..MOST_TWINS + 3 {
            fs::write(scratch.path().join(format!("{number}.twin")), "old").unwrap();
        }
        let place = scratch.path().join("new.twin");
        keep(&place, &Twin::default()).unwrap();
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), MOST_TWINS);
        assert_eq!(read(&place), Some(Twin::default()));
    }
}
