//! The terminal: results to stdout, logs and progress to stderr.
//!
//! Colours appear on a terminal only and honour NO_COLOR. A reader that went away (`dstream jobs | head -1`) is no error.

use crate::failure::{Ending, Failure};
use crate::wall::Stopwatch;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, ErrorKind, Write};
use std::sync::OnceLock;
use std::time::Duration;

/// Steps a second of a run's time that a progress bar counts.
const PROGRESS_STEPS_PER_S: u64 = 10;

/// Writes text to stdout, as it is.
pub fn result(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    judge(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// Columns of the terminal that stdout is, if it is one.
pub fn width() -> Option<u16> {
    comfy_table::Table::new().width()
}

/// Who writes to stderr, where several processes may write to one place, and since when.
static ROLE: OnceLock<(&str, Stopwatch)> = OnceLock::new();

/// From now on each line on stderr says that this process is a `role`, and how long it has been one.
pub fn begin_role(role: &'static str) {
    ROLE.get_or_init(|| (role, Stopwatch::start()));
}

/// Writes a line to stderr.
pub fn log(line: &str) {
    let mut err = anstream::stderr().lock();
    // Whoever closed stderr does not want to know.
    match ROLE.get() {
        Some((role, since)) => writeln!(err, "[{role} {} {:.1}s] {line}", std::process::id(), since.seconds()).ok(),
        None => writeln!(err, "{line}").ok(),
    };
}

/// What became of a write to stdout: a closed pipe ends the command quietly, anything else is the user's to mend.
pub fn judge(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            Err(Failure { ending: Ending::Good, message: String::new() })
        }
        Err(error) => Err(Failure::usage(format!("cannot write to stdout: {error}"))),
    }
}

/// A progress bar over a run's time, virtual or real; hidden where stderr is no terminal.
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar of this length, labelled.
    pub fn new(label: &str, length: Duration) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(steps(length)), ProgressDrawTarget::stderr());
        let style =
            ProgressStyle::with_template("{msg} {wide_bar:.cyan/dim} {percent:>3}% of the run's time, {elapsed}")
                .expect("the template is fixed and valid");
        bar.set_style(style);
        bar.set_message(label.to_string());
        Progress(bar)
    }

    /// Virtual time is at `position`.
    pub fn set(&self, position: Duration) {
        // A run may go on after the load's end, until all results are out.
        let length = self.0.length().unwrap_or(0).max(steps(position));
        self.0.set_length(length);
        self.0.set_position(steps(position));
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

/// A progress bar over seeds; hidden where stderr is no terminal.
pub struct Seeds(ProgressBar);

impl Seeds {
    /// A bar of so many seeds.
    pub fn new(count: u64) -> Seeds {
        let bar = ProgressBar::with_draw_target(Some(count), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{wide_bar:.cyan/dim} {pos} of {len} seeds, {elapsed}, {eta} left");
        bar.set_style(style.expect("the template is fixed and valid"));
        Seeds(bar)
    }

    /// One more is done.
    pub fn step(&self) {
        self.0.inc(1);
    }

    /// Logs a line above the bar.
    pub fn say(&self, line: &str) {
        self.0.suspend(|| log(line));
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}

fn steps(length: Duration) -> u64 {
    length.as_secs() * PROGRESS_STEPS_PER_S + u64::from(length.subsec_millis()) * PROGRESS_STEPS_PER_S / 1000
}
