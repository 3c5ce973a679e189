//! Parameters that jobs declare, and how their values are read: counts, and windows as whole numbers of intervals.
//!
//! Knows no job. Invariant: a value that passes [`ParamSpec::check`] is one that the job's query takes.

use super::Params;
use crate::unit::{UnitError, duration, show_duration};
use dstream_cluster::JobError;
use dstream_kernel::Window;
use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The value of a parameter that is switched off.
pub const OFF: &str = "off";
/// The window that reaches back to the start.
const ALL: &str = "all";
const WINDOW: &str = "window";
const SLIDE: &str = "slide";

/// A parameter that a job declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamSpec {
    /// Its name.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// The value where none is given.
    pub default: &'static str,
    /// What values it takes.
    pub kind: ParamKind,
    /// Whether this build takes no other value than the default.
    pub unbuilt: bool,
}

/// What values a parameter takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// Any text.
    Text,
    /// A whole number.
    Count(RangeInclusive<u64>),
    /// `off`, `all`, or a whole multiple of the interval.
    Window,
    /// `off`, or a whole multiple of the interval, at most the window.
    Slide,
}

impl ParamSpec {
    /// The parameters of a job with windows.
    pub(super) fn windows() -> Vec<ParamSpec> {
        let spec = |name, about, kind| ParamSpec { name, about, default: OFF, kind, unbuilt: false };
        vec![
            spec(WINDOW, "a result covers so much time, or `all` from the start; off: one interval", ParamKind::Window),
            spec(SLIDE, "how far a window slides; off: one interval", ParamKind::Slide),
        ]
    }

    /// Whether the value is one that the parameter takes, beside the job's other parameters; the error names the value.
    pub fn check(&self, value: &str, params: &Params, interval: Duration) -> Result<(), UnitError> {
        let own = |(name, error): (&'static str, UnitError)| if name == self.name { Err(error) } else { Ok(()) };
        match &self.kind {
            ParamKind::Text => Ok(()),
            ParamKind::Count(range) => count(self.name, value, range).map(|_| ()),
            ParamKind::Window | ParamKind::Slide => read(params, interval).map(|_| ()).or_else(own),
        }
    }
}

/// What time a job's results cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Covers {
    /// The last intervals.
    Last(Window),
    /// All from the start, with a result every so many intervals.
    All(NonZeroU64),
}

impl Covers {
    /// Reads `window` and `slide`.
    pub fn of(params: &Params, interval: Duration) -> Result<Covers, JobError> {
        read(params, interval).map_err(|(_, error)| JobError(error.message))
    }
}

/// A parameter that is a count.
pub(super) fn count_of(params: &Params, spec: &ParamSpec) -> Result<u64, JobError> {
    let ParamKind::Count(range) = &spec.kind else { return Err(JobError(format!("`{}` is no count", spec.name))) };
    let value = params.get(spec.name).map_or(spec.default, String::as_str);
    count(spec.name, value, range).map_err(|error| JobError(error.message))
}

fn wrong(message: String) -> UnitError {
    UnitError { message, nearest: None }
}

fn count(name: &str, value: &str, range: &RangeInclusive<u64>) -> Result<u64, UnitError> {
    let (least, most) = (range.start(), range.end());
    let expected = || wrong(format!("`{name}` must be a whole number from {least} to {most}, not `{value}`"));
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|count| digits && range.contains(count)).ok_or_else(expected)
}

/// An error comes with the parameter that is wrong.
fn read(params: &Params, interval: Duration) -> Result<Covers, (&'static str, UnitError)> {
    let value = |name: &str| params.get(name).map_or(OFF, String::as_str);
    let (window, slide) = (value(WINDOW), value(SLIDE));
    let every = match slide {
        OFF => NonZeroU64::MIN,
        slide => intervals(SLIDE, slide, "`off`", interval).map_err(|error| (SLIDE, error))?,
    };
    let refused = |why: &str| Err((SLIDE, wrong(format!("`slide` of `{slide}`: {why}"))));
    match window {
        OFF if slide != OFF => refused("results slide where they have a `window`, and `window` is `off`"),
        OFF => Ok(Covers::Last(Window::ONE)),
        ALL => Ok(Covers::All(every)),
        window => {
            let length = intervals(WINDOW, window, "`off` and `all`", interval).map_err(|error| (WINDOW, error))?;
            if every > length {
                return refused(&format!(
                    "longer than the `window` of `{window}`: what comes between two windows would be in no result"
                ));
            }
            Ok(Covers::Last(Window { length, slide: every }))
        }
    }
}

/// A length of time as a number of intervals.
fn intervals(name: &str, text: &str, words: &str, interval: Duration) -> Result<NonZeroU64, UnitError> {
    let length = duration(text).map_err(|error| UnitError {
        message: format!("`{name}`: {}; {words} are valid too", error.message),
        nearest: error.nearest,
    })?;
    let (nanos, one) = (length.as_nanos(), interval.as_nanos().max(1));
    if nanos == 0 {
        return Err(wrong(format!("`{name}` must be longer than zero")));
    }
    let whole = u64::try_from(nanos / one).ok().and_then(NonZeroU64::new).filter(|_| nanos.is_multiple_of(one));
    whole.ok_or_else(|| {
        let interval = show_duration(interval);
        wrong(format!("`{name}` must be a whole multiple of the interval of `{interval}`, not `{text}`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(window: &str, slide: &str, expected: Result<(Option<u64>, u64), &str>) {
        let params = Params::from([(WINDOW.into(), window.into()), (SLIDE.into(), slide.into())]);
        let read = Covers::of(&params, Duration::from_millis(500)).map(|covers| match covers {
            Covers::Last(window) => (Some(window.length.get()), window.slide.get()),
            Covers::All(slide) => (None, slide.get()),
        });
        assert_eq!(read.as_ref().map_err(|error| error.0.as_str()), expected.as_ref().map_err(|error| *error));
    }

    #[test]
    fn windows_and_slides_are_whole_numbers_of_intervals() {
        check("off", "off", Ok((Some(1), 1)));
        check("500ms", "off", Ok((Some(1), 1)));
        check("30s", "off", Ok((Some(60), 1)));
        check("30s", "5s", Ok((Some(60), 10)));
        check("30s", "30s", Ok((Some(60), 60)));
        check("all", "off", Ok((None, 1)));
        check("all", "1m", Ok((None, 120)));
        let between = |name: &str, value: &str| {
            format!("`{name}` must be a whole multiple of the interval of `500ms`, not `{value}`")
        };
        check("700ms", "off", Err(&between("window", "700ms")));
        check("100ms", "off", Err(&between("window", "100ms")));
        check("30s", "750ms", Err(&between("slide", "750ms")));
        check("0s", "off", Err("`window` must be longer than zero"));
        let valid = "a duration is such as `250ms`, `30s` or `5m`; `off` and `all` are valid too";
        check("30", "off", Err(&format!("`window`: `30` has no unit; {valid}")));
        check("off", "5s", Err("`slide` of `5s`: results slide where they have a `window`, and `window` is `off`"));
        check(
            "5s",
            "10s",
            Err("`slide` of `10s`: longer than the `window` of `5s`: what comes between two windows would be in \
                 no result"),
        );
    }

    #[test]
    fn counts_are_whole_numbers_in_their_range() {
        let check = |value: &str, expected: Option<u64>| {
            let spec =
                ParamSpec { name: "k", about: "", default: "10", kind: ParamKind::Count(1..=99), unbuilt: false };
            let params = Params::from([("k".into(), value.into())]);
            assert_eq!(count_of(&params, &spec).ok(), expected, "{value}");
            assert_eq!(count_of(&Params::new(), &spec), Ok(10));
        };
        check("1", Some(1));
        check("99", Some(99));
        for value in ["0", "100", "", "+5", "ten", "1.0", "-1", "99999999999999999999999"] {
            check(value, None);
        }
    }
}
