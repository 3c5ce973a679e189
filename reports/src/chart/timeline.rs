//! Who did what: a lane for each worker, split by its cores, with its tasks coloured by kind and its times of trouble.
//!
//! A task says when it ran, not on which core: within a worker it is put on the first core that is free. Tasks that
//! touch on the screen become one shape, so the picture's size follows from its pixels, not from the run's length.

use super::{Placed, RIGHT, TIMES_HEIGHT, VALUES_WIDTH, Width, lanes, letters, place, time_label};
use crate::ink::Ink;
use crate::svg::{Sheet, Surface};
use crate::tables::Task;
use plotters::chart::ChartBuilder;
use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::element::{PathElement, Rectangle, Text};
use plotters::style::Color as _;
use plotters::style::text_anchor::{HPos, VPos};
use std::collections::BTreeMap;

/// More workers than this are not shown: their lanes would be thinner than their names.
pub const MOST_WORKERS: usize = 40;
/// Height of a lane of labels.
const LABEL_LANE: i32 = 17;
/// Lanes for labels of moments; what finds none is left out, the tables have it.
const MOST_LABEL_LANES: usize = 6;
/// The least height of a worker's lane: its name must fit.
const LEAST_LANE: i32 = 17;
/// Height of a core.
const CORE: i32 = 6;
/// A gap between workers.
const GAP: i32 = 4;

/// A stretch of a worker's time in which it was not as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// The worker.
    pub worker: String,
    /// [`Ink::Down`] or [`Ink::Held`].
    pub ink: Ink,
    /// Since when.
    pub from_s: f64,
    /// Until when.
    pub until_s: f64,
}

/// A part of the run, close up.
#[derive(Clone, Debug)]
pub struct Timeline<'a> {
    /// The picture's name.
    pub title: &'a str,
    /// What it shows, in words.
    pub about: &'a str,
    /// Begin of the axis.
    pub from_s: f64,
    /// End of the axis.
    pub until_s: f64,
    /// The workers, from top to bottom.
    pub workers: &'a [String],
    /// Cores of each.
    pub cores: usize,
    /// All attempts of the run.
    pub tasks: &'a [Task],
    /// When workers were down or held.
    pub troubles: &'a [Trouble],
    /// Moments with their names, in order.
    pub moments: Vec<(f64, String)>,
}

const SURE: &str = "the page's own surface never fails";

/// The kind of an attempt, as a role.
pub fn kind(task: &Task) -> Ink {
    match task {
        Task { finished: false, .. } => Ink::Unfinished,
        Task { is_beside: true, .. } => Ink::Twin,
        Task { again: true, .. } => Ink::Again,
        Task { stage: 0, .. } => Ink::Map,
        _ => Ink::Reduce,
    }
}

impl Timeline<'_> {
    /// The picture in one width.
    pub fn draw(&self, width: Width) -> String {
        let pixels = i32::try_from(width.pixels()).expect("a picture is narrower than two thousand million pixels");
        let (left, right) = (VALUES_WIDTH + 14, pixels - RIGHT);
        let x = |seconds: f64| {
            let share = (seconds - self.from_s) / (self.until_s - self.from_s);
            left + (share.clamp(0.0, 1.0) * f64::from(right - left)).round() as i32
        };
        let wanted: Vec<_> = self.moments.iter().map(|(at, text)| (x(*at), vec![text.clone()], 0)).collect();
        let placed = place(&wanted, left, right, MOST_LABEL_LANES);
        let head = i32::try_from(lanes(&placed)).expect("there are few lanes") * LABEL_LANE + 6;
        let bottom = head + self.lane() * i32::try_from(self.workers.len()).expect("there are few workers");
        let height = u32::try_from(bottom + TIMES_HEIGHT).expect("a height is positive");
        let mut sheet = Sheet::new(width.pixels(), height);
        let area = sheet.area();
        self.axis(&area, head, left, width);
        self.lanes(&area, head, (left, right));
        self.bars(&area, head, &x);
        self.mark(&area, &placed, bottom, &x);
        area.present().expect(SURE);
        drop(area);
        sheet.finish(self.title, self.about)
    }

    fn lane(&self) -> i32 {
        (i32::try_from(self.cores).unwrap_or(1) * CORE + GAP).clamp(LEAST_LANE, 60)
    }

    /// Top and bottom of a core's part of a worker's lane.
    fn core(&self, head: i32, worker: usize, core: usize) -> (i32, i32) {
        let cores = self.cores.max(1);
        let (top, room) = (self.top(head, worker), self.lane() - GAP);
        let edge =
            |core: usize| top + room * i32::try_from(core.min(cores)).unwrap_or(0) / i32::try_from(cores).unwrap_or(1);
        let (from, until) = (edge(core), edge(core + 1));
        (from, if room >= 3 * i32::try_from(cores).unwrap_or(1) { until - 1 } else { until })
    }

    fn top(&self, head: i32, worker: usize) -> i32 {
        head + self.lane() * i32::try_from(worker).expect("there are few workers") + GAP / 2
    }

    fn axis(&self, area: &DrawingArea<Surface<'_>, Shift>, head: i32, left: i32, width: Width) {
        let span = self.until_s - self.from_s;
        let mut chart = ChartBuilder::on(area)
            .margin_top(head)
            .margin_right(RIGHT)
            .x_label_area_size(TIMES_HEIGHT)
            .y_label_area_size(left)
            .build_cartesian_2d(self.from_s..self.until_s, 0f64..1f64)
            .expect(SURE);
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .x_labels(width.time_labels())
            .y_labels(0)
            .x_label_formatter(&|seconds| time_label(*seconds, span))
            .light_line_style(Ink::Grid.color().mix(0.0))
            .bold_line_style(Ink::Grid.color())
            .axis_style(Ink::Axis.color())
            .x_label_style(letters(Ink::Soft, HPos::Center, VPos::Top))
            .draw()
            .expect(SURE);
    }

    fn lanes(&self, area: &DrawingArea<Surface<'_>, Shift>, head: i32, (left, right): (i32, i32)) {
        for worker in 0..self.workers.len() {
            let top = self.top(head, worker);
            let lane = Rectangle::new([(left, top), (right, top + self.lane() - GAP)], Ink::Lane.color().filled());
            area.draw(&lane).expect(SURE);
        }
        for (worker, name) in self.workers.iter().enumerate() {
            let middle = self.top(head, worker) + (self.lane() - GAP) / 2;
            let style = letters(Ink::Soft, HPos::Right, VPos::Center);
            area.draw(&Text::new(name.clone(), (left - 6, middle), style)).expect(SURE);
        }
    }

    fn bars(&self, area: &DrawingArea<Surface<'_>, Shift>, head: i32, x: &impl Fn(f64) -> i32) {
        let place_of = |name: &str| self.workers.iter().position(|worker| worker == name);
        for trouble in self.troubles.iter().filter(|trouble| self.shows(trouble.from_s, trouble.until_s)) {
            let Some(worker) = place_of(&trouble.worker) else { continue };
            let top = self.top(head, worker);
            let corners = [(x(trouble.from_s), top), (x(trouble.until_s), top + self.lane() - GAP)];
            area.draw(&Rectangle::new(corners, trouble.ink.color().filled())).expect(SURE);
        }
        // Ordinary work first, so that the rare kinds lie on top.
        for ink in [Ink::Map, Ink::Reduce, Ink::Unfinished, Ink::Twin, Ink::Again] {
            for (worker, core, from, until) in self.merged(ink, x) {
                let (top, bottom) = self.core(head, worker, core);
                let corners = [(from, top), (until.max(from + 1), bottom)];
                area.draw(&Rectangle::new(corners, ink.color().filled())).expect(SURE);
            }
        }
    }

    fn shows(&self, from_s: f64, until_s: f64) -> bool {
        until_s >= self.from_s && from_s <= self.until_s
    }

    /// Stretches of one kind by worker and core, in pixels; what touches is one.
    fn merged(&self, ink: Ink, x: &impl Fn(f64) -> i32) -> Vec<(usize, usize, i32, i32)> {
        let mut merged: Vec<(usize, usize, i32, i32)> = Vec::new();
        let mut last: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        for (worker, core, task) in self.on_cores().into_iter().filter(|(_, _, task)| kind(task) == ink) {
            let (Some(from), Some(until)) = (task.started_s, task.ended_s) else { continue };
            if !self.shows(from, until) {
                continue;
            }
            let (from, until) = (x(from), x(until));
            match last.get(&(worker, core)) {
                Some(place) if from <= merged[*place].3 => merged[*place].3 = merged[*place].3.max(until),
                _ => {
                    last.insert((worker, core), merged.len());
                    merged.push((worker, core, from, until));
                }
            }
        }
        merged
    }

    /// Attempts that ran, in order of their start, each on the first core of its worker that was free.
    fn on_cores(&self) -> Vec<(usize, usize, &Task)> {
        let mut ran: Vec<&Task> = self.tasks.iter().filter(|task| task.started_s.is_some()).collect();
        ran.sort_by(|a, b| a.started_s.unwrap_or(0.0).total_cmp(&b.started_s.unwrap_or(0.0)));
        let mut free = vec![vec![f64::NEG_INFINITY; self.cores.max(1)]; self.workers.len()];
        let mut placed = Vec::new();
        for task in ran {
            let Some(worker) = self.workers.iter().position(|worker| *worker == task.worker) else { continue };
            let (start, end) = (task.started_s.unwrap_or(0.0), task.ended_s.unwrap_or(self.until_s));
            let cores = &mut free[worker];
            let earliest = (0..cores.len()).min_by(|a, b| cores[*a].total_cmp(&cores[*b])).unwrap_or(0);
            let core = cores.iter().position(|free| *free <= start + 1e-6).unwrap_or(earliest);
            cores[core] = end;
            placed.push((worker, core, task));
        }
        placed
    }

    fn mark(
        &self,
        area: &DrawingArea<Surface<'_>, Shift>,
        placed: &[Option<Placed>],
        bottom: i32,
        x: &impl Fn(f64) -> i32,
    ) {
        let shown = || self.moments.iter().zip(placed).filter_map(|((at, _), placed)| Some((*at, placed.as_ref()?)));
        let lane = |placed: &Placed| i32::try_from(placed.lane).expect("there are few lanes") * LABEL_LANE;
        for (at, placed) in shown() {
            let line = vec![(x(at), lane(placed) + 2), (x(at), bottom)];
            area.draw(&PathElement::new(line, Ink::FaultLine.color())).expect(SURE);
        }
        for (_, placed) in shown() {
            let style = letters(Ink::Text, HPos::Left, VPos::Center);
            let middle = lane(placed) + LABEL_LANE / 2;
            area.draw(&Text::new(placed.text.clone(), (placed.x, middle), style)).expect(SURE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::beside;

    fn task(worker: &str, started: f64, ended: f64) -> Task {
        Task {
            interval: 0,
            stage: 0,
            partition: 0,
            attempt: 0,
            worker: worker.into(),
            started_s: Some(started),
            ended_s: Some(ended),
            finished: true,
            again: false,
            is_beside: false,
        }
    }

    fn timeline<'a>(tasks: &'a [Task], workers: &'a [String]) -> Timeline<'a> {
        Timeline {
            title: "tasks",
            about: "who did what",
            from_s: 0.0,
            until_s: 10.0,
            workers,
            cores: 2,
            tasks,
            troubles: &[],
            moments: vec![(5.0, "F1 crash worker-1".into())],
        }
    }

    #[test]
    fn an_attempt_is_beside_another_one_while_that_runs() {
        let attempt = |attempt, started, ended| Task { attempt, ..task("worker-1", started, ended) };
        let of = |tasks: Vec<Task>| beside(tasks).iter().map(|task| task.is_beside).collect::<Vec<_>>();
        assert_eq!(of(vec![attempt(0, 1.0, 9.0), attempt(1, 3.0, 4.0)]), [false, true]);
        assert_eq!(of(vec![attempt(0, 1.0, 3.0), attempt(1, 3.0, 4.0)]), [false, false]);
        let other = Task { partition: 1, ..attempt(1, 3.0, 4.0) };
        assert_eq!(of(vec![attempt(0, 1.0, 9.0), other]), [false, false]);
    }

    #[test]
    fn tasks_at_once_are_on_two_cores_and_what_touches_is_one_shape() {
        let workers = ["worker-1".to_owned()];
        let tasks = [task("worker-1", 0.0, 2.0), task("worker-1", 1.0, 3.0), task("worker-1", 2.0, 4.0)];
        let timeline = timeline(&tasks, &workers);
        let cores: Vec<usize> = timeline.on_cores().iter().map(|(_, core, _)| *core).collect();
        assert_eq!(cores, [0, 1, 0]);
        let merged = timeline.merged(Ink::Map, &|seconds| (seconds * 10.0) as i32);
        assert_eq!(merged, [(0, 0, 0, 40), (0, 1, 10, 30)]);
    }

    #[test]
    fn the_kind_of_an_attempt_follows_from_its_life() {
        let plain = task("worker-1", 0.0, 1.0);
        assert_eq!(kind(&plain), Ink::Map);
        assert_eq!(kind(&Task { stage: 1, ..plain.clone() }), Ink::Reduce);
        assert_eq!(kind(&Task { again: true, attempt: 1, ..plain.clone() }), Ink::Again);
        assert_eq!(kind(&Task { again: true, attempt: 1, is_beside: true, ..plain.clone() }), Ink::Twin);
        // Another master counts attempts anew.
        assert_eq!(kind(&Task { attempt: 1 << 16, ..plain.clone() }), kind(&plain));
        assert_eq!(kind(&Task { finished: false, ..plain }), Ink::Unfinished);
    }

    #[test]
    fn a_long_run_gives_a_small_picture() {
        let workers: Vec<String> = (1..=20).map(|number| format!("worker-{number}")).collect();
        let tasks: Vec<Task> = (0..100_000)
            .map(|number| task(&workers[number % 20], number as f64 / 1e4, number as f64 / 1e4 + 0.002))
            .collect();
        let svg = timeline(&tasks, &workers).draw(Width::Wide);
        assert!(svg.len() < 300_000 && svg.contains("worker-20"), "{}", svg.len());
    }
}
