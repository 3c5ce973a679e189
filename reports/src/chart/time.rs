//! Quantities over time, with the faults above and behind them.
//!
//! Above the plot each fault has a bar as long as it lasted, in a lane of its own where they overlap; behind the lines,
//! grey says that a fault was on, and red that results were not on time again yet.

use super::{FaultMark, Placed, RIGHT, TIMES_HEIGHT, VALUES_WIDTH, Width, lanes, letters, place, time_label};
use crate::ink::Ink;
use crate::svg::{Sheet, Surface};
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::DrawingArea;
use plotters::element::{Circle, PathElement, Rectangle, Text};
use plotters::prelude::Cartesian2d;
use plotters::style::Color as _;
use plotters::style::text_anchor::{HPos, VPos};

/// Height of a lane of labels.
const LANE: i32 = 19;
/// With more lanes than this the plot would be small; further faults have no label, only a shade.
const MOST_LANES: usize = 5;
/// Below so many points they are drawn as dots too: a line alone does not show where it was measured.
const FEW_POINTS: usize = 40;

/// Time in seconds and value, in order; a gap where there is no value.
pub type Points = Vec<(f64, Option<f64>)>;

/// A line.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its role.
    pub ink: Ink,
    /// Its course.
    pub points: Points,
}

/// What the values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds, shown in milliseconds where all are below one.
    Seconds,
    /// Whole things.
    Count,
}

/// A picture over time.
#[derive(Clone, Debug)]
pub struct TimeChart<'a> {
    /// Its name.
    pub title: &'a str,
    /// What it shows, in words.
    pub about: &'a str,
    /// What the values are.
    pub unit: Unit,
    /// The end of the time axis, which begins at 0.
    pub end_s: f64,
    /// The lines.
    pub series: Vec<Series>,
    /// A line across, such as the bound of being on time.
    pub bound: Option<f64>,
    /// The faults.
    pub faults: &'a [FaultMark],
}

type Plot<'a, 's> = ChartContext<'a, Surface<'s>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

const SURE: &str = "the page's own surface never fails";

impl TimeChart<'_> {
    /// The picture in one width.
    pub fn draw(&self, width: Width) -> String {
        self.draw_high(width, if width == Width::Wide { 210 } else { 170 })
    }

    /// The same half as high again: the one picture of a page.
    pub fn draw_tall(&self, width: Width) -> String {
        self.draw_high(width, if width == Width::Wide { 320 } else { 240 })
    }

    fn draw_high(&self, width: Width, plot: i32) -> String {
        let pixels = i32::try_from(width.pixels()).expect("a picture is narrower than two thousand million pixels");
        let (left, right) = (VALUES_WIDTH, pixels - RIGHT);
        let placed = self.placed(left, right);
        let head = i32::try_from(lanes(&placed)).expect("there are few lanes") * LANE + 6;
        let height = head + plot + TIMES_HEIGHT;
        let mut sheet = Sheet::new(width.pixels(), u32::try_from(height).expect("a height is positive"));
        let area = sheet.area();
        self.plot(&area, head, width);
        self.label_faults(&area, &placed, left, right);
        area.present().expect(SURE);
        drop(area);
        sheet.finish(self.title, self.about)
    }

    fn x(&self, seconds: f64, left: i32, right: i32) -> i32 {
        let share = (seconds / self.end_s).clamp(0.0, 1.0);
        left + (share * f64::from(right - left)).round() as i32
    }

    fn placed(&self, left: i32, right: i32) -> Vec<Option<Placed>> {
        let wanted: Vec<(i32, Vec<String>, i32)> = self
            .faults
            .iter()
            .map(|fault| {
                let until = fault.until_s.unwrap_or(self.end_s);
                // With many faults a bar that lasts to the end would take a lane for good.
                let reach = if self.faults.len() <= MOST_LANES { self.x(until, left, right) + 4 } else { 0 };
                let long = format!("{} {}{}", fault.tag, fault.label, if fault.fired { "" } else { " (no effect)" });
                (self.x(fault.from_s, left, right), vec![long, fault.tag.clone()], reach)
            })
            .collect();
        place(&wanted, left, right, MOST_LANES)
    }

    fn highest(&self) -> f64 {
        let values = self.series.iter().flat_map(|series| series.points.iter().filter_map(|(_, value)| *value));
        let highest = values.chain(self.bound).fold(0.0, f64::max);
        if highest > 0.0 { highest * 1.08 } else { 1.0 }
    }

    fn plot(&self, area: &DrawingArea<Surface<'_>, Shift>, head: i32, width: Width) {
        let highest = self.highest();
        let mut chart = ChartBuilder::on(area)
            .margin_top(head)
            .margin_right(RIGHT)
            .x_label_area_size(TIMES_HEIGHT)
            .y_label_area_size(VALUES_WIDTH)
            .build_cartesian_2d(0f64..self.end_s, 0f64..highest)
            .expect(SURE);
        self.shade(&mut chart, highest);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(width.time_labels())
            .y_labels(5)
            .x_label_formatter(&|seconds| time_label(*seconds, self.end_s))
            .y_label_formatter(&|value| self.value_label(*value, highest))
            .light_line_style(Ink::Grid.color().mix(0.0))
            .bold_line_style(Ink::Grid.color())
            .axis_style(Ink::Axis.color())
            .x_label_style(letters(Ink::Soft, HPos::Center, VPos::Top))
            .y_label_style(letters(Ink::Soft, HPos::Right, VPos::Center))
            .draw()
            .expect(SURE);
        if let Some(bound) = self.bound {
            let line = PathElement::new(vec![(0.0, bound), (self.end_s, bound)], Ink::Bound.color());
            chart.draw_series([line]).expect(SURE);
        }
        let columns = usize::try_from(width.pixels()).unwrap_or(1000);
        for series in &self.series {
            draw_line(&mut chart, series, self.end_s, columns);
        }
    }

    /// Grey while a fault was on, red until results were on time again, a line where it struck.
    fn shade(&self, chart: &mut Plot<'_, '_>, highest: f64) {
        let faults: Vec<&FaultMark> = self.faults.iter().filter(|fault| fault.fired).collect();
        let band = |from: f64, until: f64, ink: Ink| {
            Rectangle::new([(from, highest), (until.min(self.end_s), 0.0)], ink.color().filled())
        };
        let on = faults.iter().map(|fault| band(fault.from_s, fault.until_s.unwrap_or(self.end_s), Ink::FaultWindow));
        chart.draw_series(on).expect(SURE);
        let late = faults.iter().map(|fault| band(fault.from_s, fault.on_time_s.unwrap_or(self.end_s), Ink::Late));
        chart.draw_series(late).expect(SURE);
        let struck = faults
            .iter()
            .map(|fault| PathElement::new(vec![(fault.from_s, 0.0), (fault.from_s, highest)], Ink::FaultLine.color()));
        chart.draw_series(struck).expect(SURE);
    }

    fn label_faults(&self, area: &DrawingArea<Surface<'_>, Shift>, placed: &[Option<Placed>], left: i32, right: i32) {
        let shown = || self.faults.iter().zip(placed).filter_map(|(fault, placed)| Some((fault, placed.as_ref()?)));
        for (fault, placed) in shown() {
            let top = i32::try_from(placed.lane).expect("there are few lanes") * LANE + 2;
            let (from, until) = (fault.from_s, fault.until_s.unwrap_or(self.end_s));
            let until = if self.faults.len() <= MOST_LANES { self.x(until, left, right) } else { 0 };
            let from = self.x(from, left, right);
            let bar = [(from, top), (until.max(from + 2), top + LANE - 4)];
            area.draw(&Rectangle::new(bar, Ink::FaultBar.color().filled())).expect(SURE);
        }
        for (_, placed) in shown() {
            let middle = i32::try_from(placed.lane).expect("there are few lanes") * LANE + 2 + (LANE - 4) / 2;
            let style = letters(Ink::Text, HPos::Left, VPos::Center);
            area.draw(&Text::new(placed.text.clone(), (placed.x, middle), style)).expect(SURE);
        }
    }

    fn value_label(&self, value: f64, highest: f64) -> String {
        match self.unit {
            // Between whole things there is nothing to name.
            Unit::Count if value.fract() > 1e-9 => String::new(),
            Unit::Count => crate::format::count(value as u64),
            Unit::Seconds if highest < 1.0 => format!("{:.0} ms", value * 1e3),
            Unit::Seconds => {
                let text = format!("{value:.2}");
                format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
            }
        }
    }
}

fn draw_line(chart: &mut Plot<'_, '_>, series: &Series, end_s: f64, columns: usize) {
    for piece in pieces(&series.points) {
        if piece.len() <= FEW_POINTS {
            let dots = piece.iter().map(|point| Circle::new(*point, 2, series.ink.color().filled()));
            chart.draw_series(dots).expect(SURE);
        }
        let line = PathElement::new(thinned(&piece, end_s, columns), series.ink.color());
        chart.draw_series([line]).expect(SURE);
    }
}

/// The stretches without gaps.
fn pieces(points: &[(f64, Option<f64>)]) -> Vec<Vec<(f64, f64)>> {
    let runs = points.split(|(_, value)| value.is_none());
    let piece = |run: &[(f64, Option<f64>)]| run.iter().filter_map(|(at, value)| Some((*at, (*value)?))).collect();
    runs.map(piece).filter(|piece: &Vec<_>| !piece.is_empty()).collect()
}

/// At most the lowest and the highest point of each column of pixels: what the eye would see anyway.
fn thinned(points: &[(f64, f64)], end_s: f64, columns: usize) -> Vec<(f64, f64)> {
    if points.len() <= columns * 2 {
        return points.to_vec();
    }
    let column = |at: f64| (at / end_s * columns as f64).floor();
    let mut kept = Vec::new();
    for group in points.chunk_by(|a, b| column(a.0) == column(b.0)) {
        let lowest = group.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1));
        let highest = group.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
        let mut pair: Vec<(f64, f64)> = lowest.into_iter().chain(highest).collect();
        pair.sort_by(|a, b| a.0.total_cmp(&b.0));
        kept.extend(pair);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_keeps_its_peaks_and_loses_the_rest() {
        let points: Vec<(f64, f64)> =
            (0..10_000).map(|n| (f64::from(n) / 100.0, if n == 5_000 { 9.0 } else { f64::from(n % 2) })).collect();
        let thin = thinned(&points, 100.0, 100);
        assert!(thin.len() <= 220, "{}", thin.len());
        assert!(thin.contains(&(50.0, 9.0)));
        assert_eq!(thinned(&points[..50], 100.0, 100), points[..50]);
    }

    #[test]
    fn a_gap_ends_a_piece() {
        let points = [(0.0, Some(1.0)), (1.0, None), (2.0, Some(2.0)), (3.0, Some(3.0))];
        assert_eq!(pieces(&points), [vec![(0.0, 1.0)], vec![(2.0, 2.0), (3.0, 3.0)]]);
    }

    #[test]
    fn a_picture_has_text_for_its_faults_and_classes_for_its_lines() {
        let fault = FaultMark {
            tag: "F1".into(),
            label: "crash <worker-3>".into(),
            from_s: 10.0,
            until_s: None,
            on_time_s: Some(12.0),
            fired: true,
        };
        let series = vec![Series { ink: Ink::P99, points: vec![(1.0, Some(0.5)), (2.0, Some(0.75))] }];
        let chart = TimeChart {
            title: "Latency",
            about: "over time",
            unit: Unit::Seconds,
            end_s: 60.0,
            series,
            bound: Some(0.9),
            faults: &[fault],
        };
        for width in Width::ALL {
            let svg = chart.draw(width);
            for part in ["<title>Latency</title>", "F1 crash &lt;worker-3&gt;", "l p99", "f late", "l bound", "200 ms"]
            {
                assert!(svg.contains(part), "no `{part}` in {svg}");
            }
        }
    }
}
