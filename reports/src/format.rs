//! Numbers as people read them: three significant digits, a unit, a dash for what was not reached.

/// What stands where a value was not reached.
pub const NOT_REACHED: &str = "–";

/// Seconds, from microseconds to hours, in the unit that reads best.
pub fn seconds(value: Option<f64>) -> String {
    let Some(value) = value else { return NOT_REACHED.to_owned() };
    match value {
        0.0 => "0 s".to_owned(),
        // What three digits round up to the next unit is shown in it.
        value if value < 0.9995e-3 => format!("{} us", digits(value * 1e6)),
        value if value < 0.9995 => format!("{} ms", digits(value * 1e3)),
        value => format!("{} s", digits(value)),
    }
}

/// Milliseconds, in the unit that reads best.
pub fn milliseconds(value: Option<f64>) -> String {
    seconds(value.map(|value| value / 1e3))
}

/// Seconds that something took more. What took less took none for it: what is dead works no more.
pub fn extra(value: Option<f64>) -> String {
    match value {
        Some(value) if value < 0.0 => format!("none ({} less)", seconds(Some(-value))),
        value => seconds(value),
    }
}

/// An area of seconds by seconds.
pub fn area(value: Option<f64>) -> String {
    let Some(value) = value else { return NOT_REACHED.to_owned() };
    let sign = if value < 0.0 { "\u{2212}" } else { "" };
    format!("{sign}{} s\u{b2}", digits(value.abs()))
}

/// Bytes, with decimal prefixes.
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = value as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{} {}", digits(value), UNITS[unit])
}

/// A share, in percent.
pub fn percent(value: f64) -> String {
    format!("{} %", digits(value * 100.0))
}

/// How many times something is something else.
pub fn times(value: f64) -> String {
    format!("{} ×", digits(value))
}

/// A count with its thousands apart.
pub fn count(value: u64) -> String {
    let plain = value.to_string();
    let mut text = String::new();
    for (place, digit) in plain.chars().enumerate() {
        if place > 0 && (plain.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Three significant digits, at most three decimals; whole numbers stay whole.
fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.9995 => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_their_unit() {
        for (value, expected) in [
            (None, NOT_REACHED),
            (Some(0.0), "0 s"),
            (Some(0.000_012_34), "12.3 us"),
            (Some(0.512), "512 ms"),
            (Some(0.000_999_7), "1 ms"),
            (Some(0.999_4), "999 ms"),
            (Some(0.999_96), "1 s"),
            (Some(1.5), "1.5 s"),
            (Some(12.34), "12.3 s"),
            (Some(1234.5), "1234 s"),
        ] {
            assert_eq!(seconds(value), expected, "{value:?}");
        }
        assert_eq!(milliseconds(Some(1250.0)), "1.25 s");
    }

    #[test]
    fn areas_may_be_less_than_nothing_and_what_took_less_took_nothing_more() {
        let shown = [extra(Some(-0.5)), extra(Some(2.0)), extra(None)];
        assert_eq!(shown, ["none (500 ms less)", "2 s", NOT_REACHED]);
        assert_eq!([area(Some(1.25)), area(Some(-0.5)), area(None)], ["1.25 s²", "\u{2212}0.5 s²", NOT_REACHED]);
    }

    #[test]
    fn sizes_shares_and_counts() {
        assert_eq!([bytes(0), bytes(999), bytes(1_500), bytes(2_000_000_000)], ["0 B", "999 B", "1.5 kB", "2 GB"]);
        assert_eq!([percent(0.5), percent(0.012_34)], ["50 %", "1.23 %"]);
        assert_eq!([count(0), count(999), count(1000), count(1_234_567)], ["0", "999", "1 000", "1 234 567"]);
    }
}
