//! The yardstick: the best single-threaded program for each job, on the same input, with the same window.
//!
//! A thread of its own reads the file's lines from a loopback connection, as a worker gets them, and computes each
//! interval's results; another one sends. It knows nothing of the engine: no types, no partitions, no copies, nobody to
//! send results to. Invariant: it does all that the job's answer needs, and nothing that only a cluster needs.

mod grep;
mod word_count;
mod words;

pub use word_count::{PADDING, WordCount};

use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::wall::Stopwatch;
use dstream_scenarios::workload::PoolLines;
use rustix::time::{ClockId, clock_gettime};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

/// Bytes read at once: as large as a read of the system is, small enough for a core's own cache.
const READ_BYTES: usize = 256 << 10;

/// Bytes sent at once.
const SEND_BYTES: usize = 1 << 20;

/// How long it is measured when its window is full.
const MEASURED: Duration = Duration::from_secs(3);

/// What the yardstick does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Yardstick {
    /// Seconds of its core for a million records.
    pub cpu_s_per_million: f64,
    /// Records that it counts in a second.
    pub records_per_s: f64,
}

/// A job, counted by one thread.
trait Job {
    /// Takes whole lines, behind which [`PADDING`] spaces follow; how many lines.
    fn lines(&mut self, padded: &[u8]) -> u64;

    /// The interval is over: makes its results, as bytes.
    fn close(&mut self) -> usize;
}

/// What is to be counted.
#[derive(Clone, Debug)]
pub(crate) struct Task<'a> {
    /// The job's name.
    pub job: &'a str,
    /// Its parameters.
    pub params: &'a [(String, String)],
    /// The lines.
    pub file: &'a Path,
    /// How many intervals a result covers.
    pub panes: usize,
    /// The length of an interval.
    pub interval: Duration,
}

/// Measures the job; nothing for a job that has no yardstick, and where it is interrupted.
pub(crate) fn measure(task: &Task<'_>, interrupt: &Interrupt) -> Result<Option<Yardstick>, Failure> {
    let Task { panes, interval, .. } = *task;
    let param = |name: &str| task.params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let job: Box<dyn Job> = match task.job {
        "word-count" => Box::new(words::Windowed::new(panes, None)),
        "top-k" => Box::new(words::Windowed::new(panes, Some(param("k").and_then(|k| k.parse().ok()).unwrap_or(10)))),
        "grep" => Box::new(grep::Grep::new(param("pattern").unwrap_or("needle"), panes)),
        _ => return Ok(None),
    };
    let pool = PoolLines::read(task.file, 1, 1).map_err(|error| Failure::usage(error.to_string()))?;
    let broken = |error: io::Error| Failure::broken(format!("the yardstick's connection broke: {error}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(broken)?;
    let address = listener.local_addr().map_err(broken)?;
    let text: Arc<[u8]> = pool.text().into();
    let sender = Builder::new().name("sender".to_owned()).spawn(move || send(&listener, &text)).map_err(broken)?;
    let input = TcpStream::connect(address).map_err(broken)?;
    let told = run(input, job, (interval, panes), interrupt).map_err(broken);
    // It ends when its connection does.
    sender.join().ok();
    told
}

/// Sends the lines again and again until the other end is gone.
fn send(listener: &TcpListener, text: &[u8]) {
    let Ok((mut to, _)) = listener.accept() else { return };
    loop {
        for piece in text.chunks(SEND_BYTES) {
            if to.write_all(piece).is_err() {
                return;
            }
        }
    }
}

fn run(
    mut input: TcpStream,
    mut job: Box<dyn Job>,
    (interval, panes): (Duration, usize),
    interrupt: &Interrupt,
) -> io::Result<Option<Yardstick>> {
    let mut buffer = vec![0; READ_BYTES + PADDING];
    let mut rest = Vec::new();
    let watch = Stopwatch::start();
    let (mut closed, mut records, mut results) = (0u32, 0u64, 0usize);
    let mut full: Option<(f64, f64, u64)> = None;
    while !interrupt.is_raised() {
        let kept = rest.len();
        buffer[..kept].copy_from_slice(&rest);
        let room = buffer.len() - PADDING;
        let read = input.read(&mut buffer[kept..room])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let held = kept + read;
        let whole = memchr::memrchr(b'\n', &buffer[..held]).map_or(0, |end| end + 1);
        if whole == 0 && held == room {
            buffer.resize(room * 2 + PADDING, 0); // a line longer than that
        }
        rest.clear();
        rest.extend_from_slice(&buffer[whole..held]);
        buffer[whole..whole + PADDING].fill(b' ');
        records += job.lines(&buffer[..whole + PADDING]);
        let now = watch.seconds();
        if now < interval.as_secs_f64() * f64::from(closed + 1) {
            continue;
        }
        closed += 1;
        results += std::hint::black_box(job.close());
        match full {
            None if closed as usize > panes => full = Some((now, cpu_s(), records)),
            Some((since, cpu_since, before)) if now - since >= MEASURED.as_secs_f64() => {
                std::hint::black_box(results);
                let counted = (records - before) as f64;
                let cpu_s_per_million = (cpu_s() - cpu_since) / counted * 1e6;
                return Ok(Some(Yardstick { cpu_s_per_million, records_per_s: counted / (now - since) }));
            }
            _ => {}
        }
    }
    Ok(None)
}

/// Seconds that this thread has used of a core.
fn cpu_s() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
