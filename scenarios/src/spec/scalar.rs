//! Readers of single values: numbers, texts, and quantities with units.
//!
//! Invariant: what a reader accepts is in its bounds.

use super::{At, Place, Reader};
use crate::unit::{self, UnitError};
use crate::yaml::{Problem, Value};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Free text. Numbers and the like are taken as they are written: `title: 2024`.
pub(crate) fn text(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<At<String>> {
    let value = match &place.node.value {
        Value::Text(text) => text.clone(),
        Value::Bool(_) | Value::Whole(_) | Value::Number(_) => reader.sources.raw(place.node.at).to_string(),
        Value::Null | Value::List(_) | Value::Map(_) => return place.expected(reader, "a text"),
    };
    Some(At { value, at: place.node.at })
}

/// Text with something in it.
pub(crate) fn words(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<At<String>> {
    let found = text(reader, place)?;
    if found.value.trim().is_empty() { place.expected(reader, "a text that says something") } else { Some(found) }
}

/// One of these words.
pub(crate) fn choice(valid: &'static [&'static str]) -> impl Fn(&mut Reader<'_>, &Place<'_>) -> Option<At<String>> {
    move |reader, place| {
        let found = text(reader, place)?;
        if valid.contains(&found.value.as_str()) {
            return Some(found);
        }
        let message = format!("`{}` cannot be `{}`", place.name, found.value.escape_debug());
        reader.wrong_name(found.at, &message, &found.value, valid);
        None
    }
}

/// `true` or `false`.
pub(crate) fn truth(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<bool> {
    match place.node.value {
        Value::Bool(value) => Some(value),
        _ => place.expected(reader, "`true` or `false`"),
    }
}

/// A whole number in these bounds.
pub(crate) fn count(bounds: RangeInclusive<u64>) -> impl Fn(&mut Reader<'_>, &Place<'_>) -> Option<At<u64>> {
    move |reader, place| match place.node.value {
        Value::Whole(value) if bounds.contains(&value) => Some(At { value, at: place.node.at }),
        _ if *bounds.end() == u64::MAX => {
            place.expected(reader, &format!("a whole number of at least {}", bounds.start()))
        }
        _ => place.expected(reader, &format!("a whole number from {} to {}", bounds.start(), bounds.end())),
    }
}

/// A whole number in these bounds, which fit 32 bits.
pub(crate) fn count32(bounds: RangeInclusive<u32>) -> impl Fn(&mut Reader<'_>, &Place<'_>) -> Option<At<u32>> {
    move |reader, place| {
        let wide = count(u64::from(*bounds.start())..=u64::from(*bounds.end()))(reader, place)?;
        let value = u32::try_from(wide.value).expect("the bounds are 32 bits wide");
        Some(At { value, at: wide.at })
    }
}

/// A finite number for which `fits` holds; `what` says which those are.
pub(crate) fn number(
    what: &'static str,
    fits: impl Fn(f64) -> bool,
) -> impl Fn(&mut Reader<'_>, &Place<'_>) -> Option<At<f64>> {
    move |reader, place| {
        let value = match place.node.value {
            Value::Whole(value) => value as f64,
            Value::Number(value) => value,
            _ => return place.expected(reader, what),
        };
        let fitting = value.is_finite() && fits(value);
        if fitting { Some(At { value, at: place.node.at }) } else { place.expected(reader, what) }
    }
}

/// A duration above zero.
pub(crate) fn duration(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<At<Duration>> {
    let found = duration_or_zero(reader, place)?;
    if found.value.is_zero() { place.expected(reader, "longer than zero") } else { Some(found) }
}

/// A duration, zero included.
pub(crate) fn duration_or_zero(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<At<Duration>> {
    quantity(reader, place, "a duration, such as `250ms`, `30s` or `5m`", unit::duration)
}

/// A size in bytes.
pub(crate) fn bytes(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<At<u64>> {
    quantity(reader, place, "a size, such as `100B` or `64KiB`", unit::bytes)
}

/// A bandwidth above zero, in bits a second.
pub(crate) fn bandwidth(reader: &mut Reader<'_>, place: &Place<'_>) -> Option<At<u64>> {
    let found = quantity(reader, place, "a bandwidth, such as `100Mbit` or `1Gbit`", unit::bits_per_second)?;
    if found.value == 0 { place.expected(reader, "above zero") } else { Some(found) }
}

/// A text that `read` understands.
pub(crate) fn quantity<T>(
    reader: &mut Reader<'_>,
    place: &Place<'_>,
    what: &str,
    read: impl Fn(&str) -> Result<T, UnitError>,
) -> Option<At<T>> {
    let text = match &place.node.value {
        Value::Text(text) => text.clone(),
        // A bare number lacks its unit, and the unit's reader says so in its own words.
        Value::Whole(_) | Value::Number(_) => reader.sources.raw(place.node.at).to_string(),
        _ => return place.expected(reader, what),
    };
    match read(&text) {
        Ok(value) => Some(At { value, at: place.node.at }),
        Err(UnitError { message, nearest }) => {
            let message = format!("`{}`: {message}", place.name);
            reader.problems.push(Problem { nearest, ..Problem::wrong(place.node.at, message) });
            None
        }
    }
}
