//! A cluster by hand whose processes are all killed and started again in the same words: its job goes on.
//!
//! `DSTREAM_KILLS=A..B` kills it once for each of these seeds, each at another moment; by itself the test takes one.

use crate::cluster::Process;
use crate::common::Folder;
use crate::common::processes::vacant_address;
use std::collections::BTreeMap;
use std::time::Duration;

/// Lines of the input, and how many are read in a second: three seconds of them.
const LINES: u64 = 3000;
const LINES_PER_S: u64 = 1000;

/// The moments at which it is killed lie so long after its first result.
const MOMENTS_MS: u64 = 2500;

/// A cluster with its job, as a user starts it.
struct Life {
    others: [Process; 3],
    job: Process,
}

fn asked_for(address: &str) -> String {
    let source = format!("--source file:in.txt rate={LINES_PER_S}/s");
    format!("job word-count {source} --interval 200ms --master {address} --output file:out")
}

impl Life {
    fn begin(folder: &Folder, address: &str) -> Life {
        let start = |words: &str| Process::start(folder, words);
        let worker = format!("worker --master {address} --cores 1");
        let master = start(&format!("master --listen {address} --workers 2"));
        Life { others: [master, start(&worker), start(&worker)], job: start(&asked_for(address)) }
    }

    /// SIGKILL for each of them.
    fn kill(self) {
        let Life { others, job } = self;
        drop((job, others));
    }
}

/// Files of results, and the sum of what they say of each word.
fn counted(folder: &Folder) -> (u64, BTreeMap<String, u64>) {
    let (mut files, mut counts) = (0, BTreeMap::new());
    let Ok(entries) = std::fs::read_dir(folder.0.join("out/counts")) else { return (files, counts) };
    for path in entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "csv")) {
        files += 1;
        for line in std::fs::read_to_string(path).unwrap().lines().skip(1) {
            let (word, count) = line.split_once(',').unwrap();
            *counts.entry(word.to_owned()).or_default() += count.parse::<u64>().unwrap();
        }
    }
    (files, counts)
}

#[expect(clippy::disallowed_methods, reason = "a moment of real time is what this is about")]
fn wait(time: Duration) {
    std::thread::sleep(time);
}

fn killed_and_started_again(seed: u64) {
    let folder = Folder::new();
    let text: String = (0..LINES).map(|n| format!("w{} v{} common\n", n * n % 97, n % 13)).collect();
    let mut expected = BTreeMap::new();
    text.split_whitespace().for_each(|word| *expected.entry(word.to_owned()).or_default() += 1u64);
    folder.write("in.txt", &text);
    let address = vacant_address().to_string();

    let life = Life::begin(&folder, &address);
    while counted(&folder).0 == 0 {
        wait(Duration::from_millis(20));
    }
    let moment = Duration::from_millis(xxhash_rust::xxh3::xxh3_64(&seed.to_le_bytes()) % MOMENTS_MS);
    wait(moment);
    life.kill();
    let (files, _) = counted(&folder);

    let mut life = Life::begin(&folder, &address);
    let goes_on = life.job.until_said("the job goes on from interval");
    let (code, err) = life.job.end();
    assert_eq!(code, 0, "seed {seed}: {err}");
    let (all, counts) = counted(&folder);
    assert_eq!(counts, expected, "seed {seed}, killed {moment:?} after its first result: {goes_on}");
    println!(
        "seed {seed}: killed {moment:?} after the first result, {files} of {all} intervals out; {}",
        goes_on.trim()
    );
}

#[test]
#[expect(clippy::disallowed_methods, reason = "no node reads it: it says how long the test is to be")]
fn a_cluster_of_which_every_process_is_killed_goes_on_when_it_is_started_again() {
    let seeds = std::env::var("DSTREAM_KILLS").unwrap_or("5..6".to_owned());
    let (first, end) = seeds.split_once("..").expect("`A..B`");
    (first.parse().unwrap()..end.parse().unwrap()).for_each(killed_and_started_again);
}

#[test]
fn a_cluster_that_is_asked_to_end_goes_on_and_what_it_does_not_know_it_does_not_go_on_with() {
    let folder = Folder::new();
    folder.write("in.txt", "x\n".repeat(LINES as usize));
    folder.write("other.txt", "y\n");
    let address = vacant_address().to_string();
    let mut life = Life::begin(&folder, &address);
    while counted(&folder).0 < 3 {
        wait(Duration::from_millis(20));
    }
    life.others[0].signal("-TERM");
    let (code, err) = life.job.end();
    assert!(code == 2 && err.contains("the same command goes on with it"), "{err}");
    assert!(err.contains("results of intervals before"), "{err}");
    life.others[0].until_said("rests in the store");
    assert_eq!(life.others[0].child.wait().unwrap().code(), Some(0));

    let mut master = Process::start(&folder, &format!("master --listen {address} --workers 2"));
    master.until_said("has the job `word-count`: asked for again, it goes on from interval");
    folder.write("in.txt", "x\nx\n");
    let (code, err) = Process::start(&folder, &asked_for(&address)).end();
    assert!(code == 64 && err.contains("ends behind 2 lines, and more than those were taken from it before"), "{err}");
    let other =
        format!("job word-count --source file:other.txt --interval 200ms --master {address} --output file:other");
    let (code, err) = Process::start(&folder, &other).end();
    assert!(code == 64 && err.contains("its source was another one") && err.contains("--fresh"), "{err}");
    let (code, err) = Process::start(&folder, &format!("{other} --fresh")).end();
    assert_eq!((code, folder.read("other/counts/interval-00000000.csv")), (0, "key,value\r\ny,1\r\n".into()), "{err}");
}
