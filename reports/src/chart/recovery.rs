//! Recovery taken apart: for each fault, how long until it was detected, results restored, on time and copies whole.

use super::{Width, letters};
use crate::format::seconds;
use crate::ink::Ink;
use crate::svg::{Sheet, text_width};
use plotters::element::{Rectangle, Text};
use plotters::style::Color as _;
use plotters::style::text_anchor::{HPos, VPos};

/// With more faults than this the table says it better.
pub const MOST_FAULTS: usize = 10;

/// Height of a bar and its gap.
const ROW: i32 = 20;
/// Between the bars of two faults.
const GAP: i32 = 12;

/// One fault: its heading and its parts with their lengths; `None` was not reached.
#[derive(Clone, Debug)]
pub struct Recovery {
    /// `F1 crash worker-3 at 15.2 s`
    pub heading: String,
    /// Name, role and length in seconds.
    pub parts: Vec<(String, Ink, Option<f64>)>,
}

const SURE: &str = "the page's own surface never fails";

/// The bars of all faults, on one scale.
pub fn draw(recoveries: &[Recovery], title: &str, about: &str, width: Width) -> String {
    let pixels = i32::try_from(width.pixels()).expect("a picture is narrower than two thousand million pixels");
    let parts = || recoveries.iter().flat_map(|recovery| &recovery.parts);
    let names = parts().map(|(name, _, _)| text_width(name, super::TYPE_SIZE).ceil() as i32).max().unwrap_or(0) + 10;
    let names = names.min(pixels / 2);
    let longest = parts().filter_map(|(_, _, length)| *length).fold(0.0, f64::max).max(1e-3);
    let room = f64::from(pixels - names - 90);
    let lines = |recovery: &Recovery| heading_lines(&recovery.heading, pixels).len();
    let rows: usize = recoveries.iter().map(|recovery| recovery.parts.len() + lines(recovery)).sum();
    let height = i32::try_from(rows).expect("there are few rows") * ROW
        + i32::try_from(recoveries.len()).expect("there are few faults") * GAP;
    let mut sheet = Sheet::new(width.pixels(), u32::try_from(height.max(1)).expect("a height is positive"));
    let area = sheet.area();
    let mut y = 0;
    for recovery in recoveries {
        for line in heading_lines(&recovery.heading, pixels) {
            let style = letters(Ink::Text, HPos::Left, VPos::Center);
            area.draw(&Text::new(line, (0, y + ROW / 2), style)).expect(SURE);
            y += ROW;
        }
        for (name, ink, length) in &recovery.parts {
            let right = letters(Ink::Soft, HPos::Right, VPos::Center);
            area.draw(&Text::new(name.clone(), (names - 6, y + ROW / 2), right)).expect(SURE);
            let end = names + (length.unwrap_or(0.0) / longest * room).round() as i32;
            if length.is_some() {
                let bar = Rectangle::new([(names, y + 3), (end.max(names + 2), y + ROW - 3)], ink.color().filled());
                area.draw(&bar).expect(SURE);
            }
            let text = length.map_or("not reached".to_owned(), |length| seconds(Some(length)));
            let left = letters(Ink::Text, HPos::Left, VPos::Center);
            area.draw(&Text::new(text, (end.max(names + 2) + 6, y + ROW / 2), left)).expect(SURE);
            y += ROW;
        }
        y += GAP;
    }
    area.present().expect(SURE);
    drop(area);
    sheet.finish(title, about)
}

/// The heading in as many lines as it needs, broken between words.
fn heading_lines(heading: &str, pixels: i32) -> Vec<String> {
    let fits = |text: &str| text_width(text, super::TYPE_SIZE) <= f64::from(pixels);
    let mut lines: Vec<String> = Vec::new();
    for word in heading.split(' ') {
        match lines.last_mut().filter(|line| fits(&format!("{line} {word}"))) {
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_heading_is_broken_between_words() {
        assert_eq!(heading_lines("F1 crash worker-3", 300), ["F1 crash worker-3"]);
        assert_eq!(heading_lines("dstream, seed 9: F1 crash worker-3", 150), ["dstream, seed 9: F1", "crash worker-3"]);
    }
}
