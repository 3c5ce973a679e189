//! Bars in groups, from nothing upwards, each with its value above it and, where there is one, a mark at what was expected.
//!
//! Invariant: a value that is missing has a dash instead of a bar; no value lies on its bar or on its mark.

use super::{RIGHT, VALUES_WIDTH, Width, letters};
use crate::format::NOT_REACHED;
use crate::ink::Ink;
use crate::svg::{Sheet, Surface};
use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::element::{PathElement, Rectangle, Text};
use plotters::style::text_anchor::{HPos, VPos};
use plotters::style::{Color as _, ShapeStyle};

/// Above the plot: the unit, and the highest bar's value.
const HEAD: i32 = 34;
/// A line of a group's name.
const LINE: i32 = 15;
/// The widest bar: few bars need not fill the picture.
const WIDEST: i32 = 44;
/// How far a mark stands out on both sides of its bar.
const OUT: i32 = 4;

/// One bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    /// Its role.
    pub ink: Ink,
    /// How high; `None` if it is not known.
    pub value: Option<f64>,
    /// What was expected.
    pub expected: Option<f64>,
    /// Whether only its outline is drawn.
    pub is_hollow: bool,
}

/// Bars beside each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What they are of, in lines.
    pub name: Vec<String>,
    /// The bars.
    pub bars: Vec<Bar>,
    /// What begins with it, where it is set apart from the one before.
    pub apart: Option<String>,
}

/// A picture of bars.
pub struct BarsChart<'a> {
    /// Its name.
    pub title: &'a str,
    /// What it shows, in words.
    pub about: &'a str,
    /// What the values are.
    pub unit: &'a str,
    /// The groups.
    pub groups: Vec<Group>,
    /// The role of marks at what was expected.
    pub expected: Ink,
}

type Area<'s> = DrawingArea<Surface<'s>, Shift>;

const SURE: &str = "the page's own surface never fails";

/// Where things stand, in pixels.
struct Place {
    left: i32,
    right: i32,
    bottom: i32,
    /// The largest value on the scale, and how high it stands.
    most: f64,
    room: f64,
}

impl Place {
    fn y(&self, value: f64) -> i32 {
        self.bottom - (value.max(0.0) / self.most * self.room).round() as i32
    }
}

impl BarsChart<'_> {
    /// The picture in one width.
    pub fn draw(&self, width: Width) -> String {
        let height = if width == Width::Wide { 400 } else { 330 };
        let pixels = i32::try_from(width.pixels()).expect("a picture is narrower than two thousand million pixels");
        let lines = self.groups.iter().map(|group| group.name.len()).max().unwrap_or(0);
        let bottom = height - 12 - LINE * i32::try_from(lines).expect("a name has few lines");
        let values = self.groups.iter().flat_map(|group| &group.bars).flat_map(|bar| [bar.value, bar.expected]);
        let most = values.flatten().fold(1.0, f64::max).ceil();
        // The names of values are short: they need less room than times do.
        let place =
            Place { left: VALUES_WIDTH / 2, right: pixels - RIGHT, bottom, most, room: f64::from(bottom - HEAD) };
        let mut sheet = Sheet::new(width.pixels(), u32::try_from(height).expect("a height is positive"));
        let area = sheet.area();
        self.scale(&area, &place);
        let wide = (place.right - place.left) / i32::try_from(self.groups.len().max(1)).expect("there are few groups");
        for (group, left) in self.groups.iter().zip((place.left..).step_by(usize::try_from(wide.max(1)).unwrap_or(1))) {
            self.group(&area, &place, group, (left, wide));
        }
        area.present().expect(SURE);
        drop(area);
        sheet.finish(self.title, self.about)
    }

    /// Lines at whole values.
    fn scale(&self, area: &Area<'_>, place: &Place) {
        let soft = |h_pos| letters(Ink::Soft, h_pos, VPos::Center);
        area.draw(&Text::new(self.unit.to_owned(), (2, LINE / 2), soft(HPos::Left))).expect(SURE);
        // As many as are told apart.
        let step = (place.most / 10.0).ceil().max(1.0);
        let mut value = 0.0;
        while value <= place.most {
            let (y, ink) = (place.y(value), if value == 0.0 { Ink::Axis } else { Ink::Grid });
            area.draw(&PathElement::new(vec![(place.left, y), (place.right, y)], ink.color())).expect(SURE);
            area.draw(&Text::new(format!("{value:.0}"), (place.left - 6, y), soft(HPos::Right))).expect(SURE);
            value += step;
        }
    }

    fn group(&self, area: &Area<'_>, place: &Place, group: &Group, (left, wide): (i32, i32)) {
        if let Some(begins) = &group.apart {
            let line = vec![(left, 0), (left, place.bottom)];
            area.draw(&PathElement::new(line, Ink::Axis.color())).expect(SURE);
            let style = letters(Ink::Soft, HPos::Left, VPos::Center);
            area.draw(&Text::new(begins.clone(), (left + 6, LINE / 2), style)).expect(SURE);
        }
        let count = i32::try_from(group.bars.len().max(1)).expect("there are few bars");
        let gap = OUT * 2 + 2;
        let bar_width = ((wide - gap) / count - gap).clamp(6, WIDEST);
        let all = count * (bar_width + gap) - gap;
        let mut x = left + (wide - all) / 2;
        for bar in &group.bars {
            self.bar(area, place, bar, (x, x + bar_width));
            x += bar_width + gap;
        }
        for (line, y) in group.name.iter().zip((place.bottom + 8..).step_by(LINE.unsigned_abs() as usize)) {
            let text = Text::new(line.clone(), (left + wide / 2, y), letters(Ink::Soft, HPos::Center, VPos::Top));
            area.draw(&text).expect(SURE);
        }
    }

    fn bar(&self, area: &Area<'_>, place: &Place, bar: &Bar, (left, right): (i32, i32)) {
        if let Some(value) = bar.value {
            let corners = [(left, place.y(value)), (right, place.bottom)];
            let style = if bar.is_hollow { ShapeStyle::from(bar.ink.color()) } else { bar.ink.color().filled() };
            area.draw(&Rectangle::new(corners, style)).expect(SURE);
        }
        if let Some(expected) = bar.expected {
            let y = place.y(expected);
            area.draw(&PathElement::new(vec![(left - OUT, y), (right + OUT, y)], self.expected.color())).expect(SURE);
        }
        let top = place.y(bar.value.unwrap_or(0.0).max(bar.expected.unwrap_or(0.0)));
        let text = bar.value.map_or(NOT_REACHED.to_owned(), |value| format!("{value:.1}"));
        let middle = i32::midpoint(left, right);
        area.draw(&Text::new(text, (middle, top - 4), letters(Ink::Text, HPos::Center, VPos::Bottom))).expect(SURE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_bars_outlines_marks_values_and_a_dash_for_what_is_missing() {
        let bar = |value, expected, is_hollow| Bar { ink: Ink::run(0), value, expected, is_hollow };
        let group = |name: &str, bar| Group {
            name: vec![name.into()],
            bars: vec![bar],
            apart: (name == "second").then(|| "elsewhere".into()),
        };
        let chart = BarsChart {
            title: "Slow",
            about: "by waves",
            unit: "times as long",
            groups: vec![
                group("first", bar(Some(7.52), Some(8.0), false)),
                group("second", bar(Some(2.25), None, true)),
                group("third", bar(None, Some(3.0), false)),
            ],
            expected: Ink::Model,
        };
        for width in Width::ALL {
            let svg = chart.draw(width);
            for part in
                ["f run-0", "l run-0", "l model", ">7.5<", ">–<", ">second<", ">8<", ">elsewhere<", "times as long"]
            {
                assert!(svg.contains(part), "no `{part}` in {svg}");
            }
        }
    }
}
