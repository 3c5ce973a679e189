//! Where a job's lines come from, opened before anything starts so that what the user can mend is said at once.
//!
//! Invariant: a source that is open can be read; whatever waits for the outside waits on a thread of its own.

mod connect;
mod cutter;
mod feed;
mod listen;
mod live;
mod pipe;
mod words;

use super::input;
use crate::execution::mendable;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use dstream_cluster::LineSource;
use dstream_scenarios::plan::SourcePlan;
use dstream_scenarios::workload::PoolLines;
use live::Feed;
use std::time::Duration;
pub use words::SourceWords;

/// A source, open.
pub enum Source {
    /// Any node could open it, and it gives the same lines each time.
    Planned(SourcePlan, u64),
    /// The lines of this process alone, given again and again.
    Held(Box<dyn LineSource>),
    /// Lines come when they come; the source itself ends when it should.
    Live(Box<dyn LineSource>),
}

/// When a live source ends.
#[derive(Clone)]
pub struct End {
    /// When this is raised.
    pub stop: Interrupt,
    /// After this time.
    pub lasts: Option<Duration>,
}

impl Source {
    /// Opens the source. `rate` is in lines a second.
    pub fn open(words: &SourceWords, rate: Option<f64>, end: &End) -> Result<Source, Failure> {
        match words {
            SourceWords::Generate(plan, seed) => Ok(Source::Planned(plan.clone(), *seed)),
            SourceWords::Pool(path) => Ok(Source::Held(Box::new(PoolLines::read(path, 1, 1).map_err(mendable)?))),
            SourceWords::File(pattern) => {
                let paths = input::find(pattern)?;
                if paths.iter().any(|path| !input::is_regular(path)) {
                    return live(end, |feed| pipe::read_files(paths, feed));
                }
                input::check_lines(&paths)?;
                Ok(Source::Planned(SourcePlan::File { paths, rate_per_s: rate }, 0))
            }
            SourceWords::Tcp(address) => {
                let listener = listen::bind(address)?;
                live(end, |feed| listen::listen(listener, feed))
            }
            SourceWords::Connect(address) => {
                let address = address.clone();
                live(end, |feed| connect::connect(address, feed))
            }
        }
    }
}

fn live<F: Future<Output = ()>>(end: &End, feeder: impl FnOnce(Feed) -> F + Send + 'static) -> Result<Source, Failure> {
    let (feed, source) = live::queue(end.stop.clone(), end.lasts);
    feed::start(|| feeder(feed))?;
    Ok(Source::Live(Box::new(source)))
}
