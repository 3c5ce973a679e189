//! Points over a share of 0 to 1, with curves behind them; the values on a scale of powers of ten.
//!
//! A value that has no end stands as a triangle at the top. Invariant: what lies outside the scale is cut off at its
//! edge, never left out.

use super::{RIGHT, TIMES_HEIGHT, VALUES_WIDTH, Width, letters};
use crate::ink::Ink;
use crate::svg::{Sheet, Surface};
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::DrawingArea;
use plotters::element::{Circle, PathElement, Polygon, Text};
use plotters::prelude::Cartesian2d;
use plotters::style::Color as _;
use plotters::style::text_anchor::{HPos, VPos};

/// How many pieces a curve is drawn in.
const PIECES: u32 = 100;

/// Above the plot, where limits are named.
const HEAD: i32 = 50;
/// Neighbouring limits are named in so many lanes, so that no name lies on another.
const LANES: usize = 3;

/// What stands at a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mark {
    /// A value.
    Dot(f64),
    /// A value that is told beside the main one.
    Ring(f64),
    /// There is no end to it.
    Endless,
}

/// A line where something ends.
#[derive(Clone, Debug)]
pub struct Limit {
    /// At which share.
    pub at: f64,
    /// What it is called.
    pub label: String,
    /// Whose it is.
    pub ink: Ink,
}

/// The value at a share; `None` where there is none.
pub type Curve<'a> = &'a dyn Fn(f64) -> Option<f64>;

/// A picture of values over a share.
pub struct PointsChart<'a> {
    /// Its name.
    pub title: &'a str,
    /// What it shows, in words.
    pub about: &'a str,
    /// What the values are: `minutes`.
    pub unit: &'a str,
    /// What the share is of: `load`.
    pub share: &'a str,
    /// The scale: from 10 to this power to 10 to that.
    pub powers: (i32, i32),
    /// Curves, each with its role.
    pub curves: Vec<(Ink, Curve<'a>)>,
    /// Points: role, share, mark.
    pub points: Vec<(Ink, f64, Mark)>,
    /// Limits.
    pub limits: Vec<Limit>,
}

type Area<'s> = DrawingArea<Surface<'s>, Shift>;
type Plot<'a, 's> = ChartContext<'a, Surface<'s>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

const SURE: &str = "the page's own surface never fails";

impl PointsChart<'_> {
    /// The picture in one width.
    pub fn draw(&self, width: Width) -> String {
        let height = if width == Width::Wide { 460 } else { 350 };
        let mut sheet = Sheet::new(width.pixels(), height);
        let area = sheet.area();
        let (low, high) = (f64::from(self.powers.0), f64::from(self.powers.1));
        let mut chart = ChartBuilder::on(&area)
            .margin_top(HEAD)
            .margin_right(RIGHT)
            .x_label_area_size(TIMES_HEIGHT + 20)
            .y_label_area_size(VALUES_WIDTH)
            .build_cartesian_2d(0f64..1f64, low..high)
            .expect(SURE);
        chart
            .configure_mesh()
            .disable_mesh()
            .x_labels(if width == Width::Wide { 11 } else { 6 })
            .y_labels(0)
            .x_label_formatter(&|share| format!("{share:.1}"))
            .axis_style(Ink::Axis.color())
            .x_label_style(letters(Ink::Soft, HPos::Center, VPos::Top))
            .draw()
            .expect(SURE);
        let lines = (self.powers.0..=self.powers.1).map(f64::from);
        let grid = lines.map(|power| PathElement::new(vec![(0.0, power), (1.0, power)], Ink::Grid.color()));
        chart.draw_series(grid).expect(SURE);
        let limits = self.limits.iter();
        let limits = limits.map(|limit| PathElement::new(vec![(limit.at, low), (limit.at, high)], limit.ink.color()));
        chart.draw_series(limits).expect(SURE);
        for (ink, value) in &self.curves {
            chart.draw_series([PathElement::new(self.curve(*value), ink.color())]).expect(SURE);
        }
        self.mark(&area, &mut chart);
        self.label(&area, &chart);
        area.present().expect(SURE);
        drop(chart);
        drop(area);
        sheet.finish(self.title, self.about)
    }

    fn mark(&self, area: &Area<'_>, chart: &mut Plot<'_, '_>) {
        let (low, high) = (f64::from(self.powers.0), f64::from(self.powers.1));
        for (ink, share, mark) in &self.points {
            let at = |value: f64| (*share, value.max(f64::MIN_POSITIVE).log10().clamp(low, high));
            match mark {
                Mark::Dot(value) => chart.draw_series([Circle::new(at(*value), 5, ink.color().filled())]).map(|_| ()),
                Mark::Ring(value) => chart.draw_series([Circle::new(at(*value), 8, ink.color())]).map(|_| ()),
                Mark::Endless => {
                    let (x, y) = chart.backend_coord(&(*share, high));
                    let corners = vec![(x - 6, y + 14), (x + 6, y + 14), (x, y + 3)];
                    area.draw(&Polygon::new(corners, ink.color().filled()))
                }
            }
            .expect(SURE);
        }
    }

    /// Names the scales and the limits.
    fn label(&self, area: &Area<'_>, chart: &Plot<'_, '_>) {
        let (low, high) = (f64::from(self.powers.0), f64::from(self.powers.1));
        let (left, top) = chart.backend_coord(&(0.0, high));
        let (right, bottom) = chart.backend_coord(&(1.0, low));
        for power in self.powers.0..=self.powers.1 {
            let (_, y) = chart.backend_coord(&(0.0, f64::from(power)));
            let label = decimal(power);
            area.draw(&Text::new(label, (left - 6, y), letters(Ink::Soft, HPos::Right, VPos::Center))).expect(SURE);
        }
        area.draw(&Text::new(self.unit.to_owned(), (2, top - HEAD + 10), letters(Ink::Soft, HPos::Left, VPos::Center)))
            .expect(SURE);
        let below = ((left + right) / 2, bottom + TIMES_HEIGHT + 2);
        area.draw(&Text::new(self.share.to_owned(), below, letters(Ink::Soft, HPos::Center, VPos::Top))).expect(SURE);
        for (place, limit) in self.limits.iter().enumerate() {
            let (x, _) = chart.backend_coord(&(limit.at, high));
            let lane = top - 8 - i32::try_from(place % LANES).unwrap_or(0) * 14;
            let text = Text::new(limit.label.clone(), (x, lane), letters(Ink::Soft, HPos::Center, VPos::Center));
            area.draw(&text).expect(SURE);
        }
    }

    /// The part of a curve inside the scale.
    fn curve(&self, value: Curve<'_>) -> Vec<(f64, f64)> {
        let (low, high) = (f64::from(self.powers.0), f64::from(self.powers.1));
        let shares = (1..PIECES).map(|piece| f64::from(piece) / f64::from(PIECES));
        let points = shares.filter_map(|share| Some((share, value(share)?.log10())));
        points.filter(|(_, power)| (low..=high).contains(power)).collect()
    }
}

/// Ten to this power, written out.
fn decimal(power: i32) -> String {
    let places = usize::try_from(-power).unwrap_or(0);
    format!("{:.places$}", 10f64.powi(power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_its_curve_its_points_and_a_triangle_where_there_is_no_end() {
        let chart = PointsChart {
            title: "Recovery",
            about: "over load",
            unit: "minutes",
            share: "load",
            powers: (-2, 1),
            curves: vec![(Ink::run(0), &|share| (share < 0.9).then(|| share / (1.0 - share)))],
            points: vec![
                (Ink::run(0), 0.5, Mark::Dot(1.0)),
                (Ink::run(1), 0.5, Mark::Ring(1e-9)),
                (Ink::run(2), 0.9, Mark::Endless),
            ],
            limits: vec![Limit { at: 0.8, label: "N = 5".into(), ink: Ink::Bound }],
        };
        for width in Width::ALL {
            let svg = chart.draw(width);
            for part in ["l run-0", "f run-0", "l run-1", "f run-2", "l bound", ">0.01<", ">10<", "N = 5", "minutes"] {
                assert!(svg.contains(part), "no `{part}` in {svg}");
            }
        }
    }

    #[test]
    fn powers_of_ten_are_written_out() {
        assert_eq!([-2, -1, 0, 1, 2].map(decimal), ["0.01", "0.1", "1", "10", "100"]);
    }
}
