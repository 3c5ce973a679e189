//! The pictures: each is drawn by plotters, twice, for wide and for narrow screens, so that its type stays readable.
//!
//! Knows roles, not colours, and no files. Invariant: labels stand in lanes or are left out; none lies on another.

pub mod bars;
pub mod points;
pub mod recovery;
pub mod time;
pub mod timeline;

use crate::ink::Ink;
use crate::svg::text_width;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, IntoFont as _, TextStyle};

/// Widths that pictures are drawn for, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// A desk's screen, and paper.
    Wide,
    /// A telephone's.
    Narrow,
}

impl Width {
    /// Both.
    pub const ALL: [Width; 2] = [Width::Wide, Width::Narrow];

    /// Pixels across.
    pub fn pixels(self) -> u32 {
        match self {
            Width::Wide => 1000,
            Width::Narrow => 352,
        }
    }

    /// The class that shows the picture only where it fits.
    pub fn class(self) -> &'static str {
        match self {
            Width::Wide => "wide-only",
            Width::Narrow => "narrow-only",
        }
    }

    /// About how many labels fit on a time axis.
    fn time_labels(self) -> usize {
        match self {
            Width::Wide => 12,
            Width::Narrow => 5,
        }
    }
}

/// Size of all type in pictures.
const TYPE_SIZE: f64 = 12.0;
/// Left of the plot, where the labels of the values stand.
const VALUES_WIDTH: i32 = 56;
/// Below the plot, where the times stand.
const TIMES_HEIGHT: i32 = 24;
/// Right of the plot: half of the last time's label must fit.
const RIGHT: i32 = 18;

/// A fault as pictures show it.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultMark {
    /// `F1`, as in the table of faults.
    pub tag: String,
    /// `crash worker-3`
    pub label: String,
    /// When it struck, in seconds.
    pub from_s: f64,
    /// When it was over; `None` if it lasted.
    pub until_s: Option<f64>,
    /// When results were on time again; `None` if they were not when the run ended.
    pub on_time_s: Option<f64>,
    /// Whether it had an effect.
    pub fired: bool,
}

/// A text style of pictures.
fn letters(ink: Ink, h_pos: HPos, v_pos: VPos) -> TextStyle<'static> {
    let font = ("sans-serif", TYPE_SIZE).into_font();
    TextStyle { font, color: ink.color().to_backend_color(), pos: Pos::new(h_pos, v_pos) }
}

/// A label in its lane.
#[derive(Clone, Debug, PartialEq)]
struct Placed {
    lane: usize,
    /// Where the text begins, in pixels.
    x: i32,
    text: String,
}

/// Puts labels into lanes so that none touches another: each takes the first lane that is free from where it begins.
/// `wanted`: where it points, its texts from the longest to the shortest, and how far it needs the lane for itself.
/// A label for which no lane is left is `None`.
fn place(wanted: &[(i32, Vec<String>, i32)], from: i32, to: i32, most_lanes: usize) -> Vec<Option<Placed>> {
    let mut free: Vec<i32> = Vec::new();
    let mut places = Vec::new();
    for (at, texts, reach) in wanted {
        let mut found = None;
        for text in texts {
            let width = text_width(text, TYPE_SIZE).ceil() as i32;
            if width > to - from {
                continue;
            }
            let x = (at + 3).min(to - width).max(from);
            let begin = x.min(*at);
            let lane = free.iter().position(|free| *free <= begin).unwrap_or(free.len());
            if lane < most_lanes {
                found = Some((lane, x, text.clone(), (x + width + 10).max(*reach)));
                break;
            }
        }
        places.push(found.map(|(lane, x, text, until)| {
            if lane == free.len() {
                free.push(until);
            } else {
                free[lane] = until;
            }
            Placed { lane, x, text }
        }));
    }
    places
}

/// How many lanes are in use.
fn lanes(placed: &[Option<Placed>]) -> usize {
    placed.iter().flatten().map(|placed| placed.lane + 1).max().unwrap_or(0)
}

/// A time on an axis.
fn time_label(seconds: f64, span_s: f64) -> String {
    let decimals = match span_s {
        span if span >= 10.0 => 0,
        span if span >= 1.0 => 1,
        _ => 2,
    };
    // Rounded first, so that no zero has a sign.
    let scale = 10f64.powi(decimals);
    let rounded = (seconds * scale).round() / scale + 0.0;
    format!("{rounded:.0$} s", usize::try_from(decimals).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_take_lanes_grow_shorter_and_are_left_out_in_the_end() {
        let label = |at: i32, reach: i32| (at, vec!["F1 crash worker-1".to_owned(), "F1".to_owned()], reach);
        let show = |wanted: &[(i32, Vec<String>, i32)], lanes| -> Vec<Option<(usize, usize)>> {
            let placed = place(wanted, 0, 300, lanes);
            placed.into_iter().map(|placed| placed.map(|placed| (placed.lane, placed.text.len()))).collect()
        };
        assert_eq!(show(&[label(0, 0), label(150, 0)], 3), [Some((0, 17)), Some((0, 17))]);
        assert_eq!(show(&[label(0, 200), label(150, 0)], 3), [Some((0, 17)), Some((1, 17))]);
        assert_eq!(show(&[label(0, 0), label(10, 0), label(20, 0)], 2), [Some((0, 17)), Some((1, 17)), None]);
        // One that begins near the edge is moved left, where it must not meet its neighbour.
        assert_eq!(show(&[label(100, 0), label(290, 0)], 2), [Some((0, 17)), Some((1, 17))]);
    }

    #[test]
    fn times_have_as_many_decimals_as_the_axis_needs() {
        for (seconds, span, expected) in
            [(20.0, 60.0, "20 s"), (-0.01, 60.0, "0 s"), (2.5, 5.0, "2.5 s"), (0.25, 0.5, "0.25 s")]
        {
            assert_eq!(time_label(seconds, span), expected);
        }
    }
}
