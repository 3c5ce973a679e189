//! Durations, sizes, bandwidths, rates and shares as people write them: a number and a unit, without a space.
//!
//! Exact: digits are read as whole numbers, so `1.5s` is 1500 ms to the nanosecond, and what cannot be represented is
//! refused. Invariant: reading what is shown gives the value again.

use crate::nearest::suggestion;
use std::time::Duration;
use thiserror::Error;

/// Why a text is no such quantity.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct UnitError {
    /// What is wrong, and what is valid.
    pub message: String,
    /// The unit that was probably meant.
    pub nearest: Option<String>,
}

fn wrong(message: String) -> UnitError {
    UnitError { message, nearest: None }
}

/// What a kind of quantity is called, how it looks, and its units in the smallest one.
struct Scale {
    what: &'static str,
    examples: &'static str,
    units: &'static [(&'static str, u64)],
    /// What people also write, and what they mean.
    spoken: &'static [(&'static str, &'static str)],
}

const DURATION: Scale = Scale {
    what: "duration",
    examples: "`250ms`, `30s` or `5m`",
    units: &[
        ("ns", 1),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ],
    spoken: &[
        ("sec", "s"),
        ("secs", "s"),
        ("second", "s"),
        ("seconds", "s"),
        ("min", "m"),
        ("mins", "m"),
        ("minute", "m"),
        ("minutes", "m"),
        ("hr", "h"),
        ("hour", "h"),
        ("hours", "h"),
        ("msec", "ms"),
        ("millis", "ms"),
        ("usec", "us"),
        ("micros", "us"),
        ("nanos", "ns"),
    ],
};

const SIZE: Scale = Scale {
    what: "size",
    examples: "`100B` or `64KiB`",
    units: &[
        ("B", 1),
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
    ],
    spoken: &[("byte", "B"), ("bytes", "B"), ("k", "KiB"), ("m", "MiB"), ("g", "GiB")],
};

const BANDWIDTH: Scale = Scale {
    what: "bandwidth",
    examples: "`100Mbit` or `1Gbit`",
    units: &[("bit", 1), ("kbit", 1_000), ("Mbit", 1_000_000), ("Gbit", 1_000_000_000)],
    spoken: &[
        ("b", "bit"),
        ("bits", "bit"),
        ("bps", "bit"),
        ("kb", "kbit"),
        ("kbps", "kbit"),
        ("mb", "Mbit"),
        ("mbps", "Mbit"),
        ("gb", "Gbit"),
        ("gbps", "Gbit"),
    ],
};

/// The longest duration that is read: nobody runs longer, and sums of a few of them still fit 64 bits of nanoseconds.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// The highest rate that is read, in records a second: far above any machine's, far below where a double loses units.
const HIGHEST_RATE: f64 = 1e12;

/// Reads a duration such as `250ms`.
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    let length = Duration::from_nanos(quantity(text, &DURATION)?);
    if length > LONGEST { Err(wrong(format!("`{text}` is longer than a year"))) } else { Ok(length) }
}

/// Reads a number of bytes such as `64KiB`.
pub fn bytes(text: &str) -> Result<u64, UnitError> {
    quantity(text, &SIZE)
}

/// Reads a bandwidth such as `1Gbit`, in bits a second.
pub fn bits_per_second(text: &str) -> Result<u64, UnitError> {
    quantity(text, &BANDWIDTH)
}

/// Reads a rate such as `20000/s`, in records a second.
pub fn per_second(text: &str) -> Result<f64, UnitError> {
    let usage = || wrong(format!("`{text}` is no rate; valid is a number a second, such as `20000/s`"));
    let Some((number, unit)) = text.split_once('/') else {
        return Err(match text.parse::<f64>() {
            Ok(_) => wrong(format!("`{text}` has no unit; write `{text}/s`")),
            Err(_) => usage(),
        });
    };
    if unit != "s" && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
        let message = format!("`/{unit}` is no unit of a rate; write `{number}/s`");
        return Err(UnitError { message, nearest: Some("/s".to_string()) });
    }
    let rate = plain_number(number).filter(|_| unit == "s").ok_or_else(usage)?;
    if rate > HIGHEST_RATE { Err(wrong(format!("`{text}` is above {HIGHEST_RATE}/s"))) } else { Ok(rate) }
}

/// Reads a share such as `50%`, as a fraction: 0.5.
pub fn percent(text: &str) -> Result<f64, UnitError> {
    let number = text.strip_suffix('%').and_then(plain_number);
    number.map(|percent| percent / 100.0).ok_or_else(|| wrong(format!("`{text}` is no share; valid is such as `50%`")))
}

/// Digits with at most one point among them: no sign, no exponent, no infinity.
fn plain_number(text: &str) -> Option<f64> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let plain = match text.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(text),
    };
    if plain { text.parse().ok().filter(|number: &f64| number.is_finite()) } else { None }
}

/// Reads number and unit; the result is in the scale's smallest unit.
fn quantity(text: &str, scale: &Scale) -> Result<u64, UnitError> {
    let Scale { what, examples, .. } = scale;
    if text.starts_with('-') {
        return Err(wrong(format!("`{text}` is negative; a {what} is such as {examples}")));
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    if plain_number(number).is_none() {
        return Err(wrong(format!("`{text}` is no {what}; valid is a number and a unit, such as {examples}")));
    }
    let factor = unit_factor(text, number, unit, scale)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let too_large = || wrong(format!("`{text}` is too large"));
    let digits: u128 = format!("{whole}{fraction}").parse().map_err(|_| too_large())?;
    let parts = u32::try_from(fraction.len()).ok().and_then(|places| 10u128.checked_pow(places));
    let total = digits.checked_mul(u128::from(factor)).ok_or_else(too_large)?;
    let parts = parts.filter(|parts| total.is_multiple_of(*parts));
    let smallest = scale.units[0].0;
    let parts = parts.ok_or_else(|| wrong(format!("`{text}` is no whole number of `{smallest}`")))?;
    u64::try_from(total / parts).map_err(|_| too_large())
}

fn unit_factor(text: &str, number: &str, unit: &str, scale: &Scale) -> Result<u64, UnitError> {
    let Scale { what, examples, units, spoken } = scale;
    if let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) {
        return Ok(*factor);
    }
    if unit.is_empty() {
        return Err(wrong(format!("`{text}` has no unit; a {what} is such as {examples}")));
    }
    let trimmed = unit.trim();
    if trimmed != unit && units.iter().any(|(name, _)| *name == trimmed) {
        return Err(wrong(format!("`{text}` has a space before its unit; write `{number}{trimmed}`")));
    }
    let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
    let lower = trimmed.to_lowercase();
    let meant = spoken.iter().find(|(other, _)| *other == lower).map_or(trimmed, |(_, name)| name);
    let (advice, nearest) = suggestion(meant, &names);
    Err(UnitError { message: format!("`{trimmed}` is no unit of a {what}; {advice}"), nearest })
}

/// Digits with at most one point among them, as a regular expression.
const NUMBER: &str = r"[0-9]+(\.[0-9]+)?";

/// What reads as a duration, as a regular expression.
pub fn duration_pattern() -> String {
    pattern(&DURATION)
}

/// What reads as a size, as a regular expression.
pub fn bytes_pattern() -> String {
    pattern(&SIZE)
}

/// What reads as a bandwidth, as a regular expression.
pub fn bandwidth_pattern() -> String {
    pattern(&BANDWIDTH)
}

/// What reads as a rate, as a regular expression.
pub fn per_second_pattern() -> String {
    format!("{NUMBER}/s")
}

/// What reads as a share, as a regular expression.
pub fn percent_pattern() -> String {
    format!("{NUMBER}%")
}

fn pattern(scale: &Scale) -> String {
    let units: Vec<&str> = scale.units.iter().map(|(name, _)| *name).collect();
    format!("{NUMBER}({})", units.join("|"))
}

/// A duration as it is read, in the largest unit up to seconds that shows it exactly.
pub fn show_duration(length: Duration) -> String {
    let nanos = length.as_nanos();
    let units = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)];
    match units.iter().find(|(_, factor)| nanos.is_multiple_of(*factor)) {
        Some((unit, factor)) => format!("{}{unit}", nanos / factor),
        None => format!("{nanos}ns"),
    }
}

/// A number of bytes as it is read, in the largest binary unit that shows it exactly.
pub fn show_bytes(bytes: u64) -> String {
    show(bytes, &SIZE.units[..4])
}

/// Bits a second as they are read.
pub fn show_bits_per_second(bits: u64) -> String {
    show(bits, BANDWIDTH.units)
}

/// A rate as it is read.
pub fn show_per_second(rate: f64) -> String {
    format!("{rate}/s")
}

fn show(value: u64, units: &[(&str, u64)]) -> String {
    let fits = units.iter().rev().find(|(_, factor)| value != 0 && value.is_multiple_of(*factor));
    let (unit, factor) = fits.copied().unwrap_or(units[0]);
    format!("{}{unit}", value / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_exactly_or_not_at_all() {
        fn check<T: PartialEq + std::fmt::Debug>(found: Result<T, UnitError>, expected: Option<T>) {
            assert_eq!(found.as_ref().ok(), expected.as_ref(), "{found:?}");
        }
        let nanos = |text| duration(text).map(|length| length.as_nanos());
        check(nanos("250ms"), Some(250_000_000));
        check(nanos("1.5s"), Some(1_500_000_000));
        check(nanos("0.000000001s"), Some(1));
        check(nanos("0.0000000001s"), None);
        check(nanos("5m"), Some(300_000_000_000));
        check(nanos("0s"), Some(0));
        check(nanos("s"), None);
        check(nanos(""), None);
        check(nanos("1s2"), None);
        check(nanos("+1s"), None);
        check(nanos("1_000s"), None);
        check(nanos("1.s"), None);
        check(nanos(".5s"), None);
        check(nanos("\u{0661}s"), None);
        check(bytes("64KiB"), Some(65_536));
        check(bytes("1.5KiB"), Some(1_536));
        check(bytes("1kB"), Some(1_000));
        check(bytes("99999999999GiB"), None);
        check(bits_per_second("1Gbit"), Some(1_000_000_000));
        check(bits_per_second("1GB"), None);
        check(per_second("20000/s"), Some(20_000.0));
        check(per_second("0.5/s"), Some(0.5));
        check(per_second("inf/s"), None);
        check(per_second("1e3/s"), None);
        check(per_second("/s"), None);
        check(percent("50%"), Some(0.5));
        check(percent("50"), None);
        check(percent("-1%"), None);
    }

    #[test]
    fn durations_are_shown_in_the_largest_unit_that_is_exact() {
        let check = |nanos: u64, expected: &str| assert_eq!(show_duration(Duration::from_nanos(nanos)), expected);
        check(0, "0s");
        check(1, "1ns");
        check(1_500_000_000, "1500ms");
        check(120_000_000_000, "120s");
        check(1_001_000, "1001us");
    }
}
