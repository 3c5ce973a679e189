//! The task timelines of a run: close-ups around the faults, or the whole run where it is short.

use super::fault_marks;
use crate::chart::timeline::{MOST_WORKERS, Timeline, Trouble};
use crate::html::{Figure, Key, area_key};
use crate::ink::Ink;
use crate::read::RunReport;
use crate::tables::{Owner, Tables, Task, beside};
use maud::{Markup, html};

/// A run of at most so many intervals is shown whole.
const SHORT_INTERVALS: f64 = 12.0;
/// What is shown around a fault, in intervals before it and after the recovery.
const AROUND_INTERVALS: f64 = 2.0;
/// A close-up shows at most so many intervals: more would be too fine to see.
const WIDEST_INTERVALS: f64 = 16.0;
/// So many close-ups of one run; later faults look alike.
const MOST_PICTURES: usize = 3;

/// What the lanes show.
struct Lanes {
    /// From top to bottom.
    nodes: Vec<String>,
    /// Of each.
    cores: usize,
    bars: Vec<Task>,
    about: &'static str,
    note: &'static str,
    keys: Vec<Key>,
    file: &'static str,
}

/// The section with the timelines; nothing where it is not known who did what.
pub fn section(run: &RunReport, tables: &Tables) -> Markup {
    let troubles = troubles(tables);
    let mut lanes = if tables.tasks.is_empty() { of_owners(tables) } else { of_tasks(tables, &troubles) };
    lanes.nodes.sort_by_key(|name| (name.len(), name.clone()));
    lanes.nodes.dedup();
    lanes.nodes.retain(|name| !name.is_empty());
    if lanes.nodes.is_empty() {
        return html! {};
    }
    let hidden = lanes.nodes.len().saturating_sub(MOST_WORKERS);
    lanes.nodes.truncate(MOST_WORKERS);
    let mut keys = std::mem::take(&mut lanes.keys);
    let windows = windows(run, tables);
    let pictures = windows.iter().enumerate().map(|(place, (from_s, until_s))| {
        let heading = match windows.len() {
            1 => "Who did what".to_owned(),
            _ => format!("Who did what, close-up {}", place + 1),
        };
        let timeline = Timeline {
            title: &heading,
            about: lanes.about,
            from_s: *from_s,
            until_s: *until_s,
            workers: &lanes.nodes,
            cores: lanes.cores,
            tasks: &lanes.bars,
            troubles: &troubles,
            moments: moments(run, tables, *from_s, *until_s),
        };
        let note = if place == 0 { note(lanes.note, windows.len(), hidden) } else { String::new() };
        let id = format!("tasks-{}", place + 1);
        // The first picture explains all.
        let keys = std::mem::take(&mut keys);
        let numbers = html! {
            p.note { "The numbers: " a href=(lanes.file) { (lanes.file) } ", " a href="nodes.csv" { "nodes.csv" } }
        };
        Figure { id: &id, heading: &heading, note, keys, draw: &|width| timeline.draw(width), numbers }.markup()
    });
    html! { @for picture in pictures { (picture) } }
}

fn note(lane: &str, pictures: usize, hidden: usize) -> String {
    let mut note = lane.to_owned();
    if pictures > 0 {
        note += " Shown are the surroundings of the faults, or the whole run where it is short.";
    }
    if hidden > 0 {
        note += &format!(" {hidden} more workers are left out.");
    }
    note
}

fn of_tasks(tables: &Tables, troubles: &[Trouble]) -> Lanes {
    let kinds = [
        area_key(Ink::Map, "map"),
        area_key(Ink::Reduce, "reduce"),
        area_key(Ink::Again, "recomputation: work begun before and lost"),
        area_key(Ink::Twin, "speculation: a second attempt beside a slow one"),
        area_key(Ink::Unfinished, "ended without a result"),
    ];
    Lanes {
        nodes: tables.tasks.iter().map(|task| task.worker.clone()).collect(),
        cores: tables.number("cores").map_or(1, |cores| cores.max(1.0) as usize),
        bars: beside(ended(&tables.tasks, troubles)),
        about: "One lane for each worker, split by its cores; tasks coloured by kind, times of trouble grey.",
        note: "A lane is a worker, its rows are its cores.",
        keys: kinds.into_iter().chain(trouble_keys()).collect(),
        file: "tasks.csv",
    }
}

/// Long-lived operators: a node has one bar from when it got its first partition until it was gone.
fn of_owners(tables: &Tables) -> Lanes {
    let mut bars: Vec<Task> = Vec::new();
    let mut owners: Vec<&Owner> = tables.owners.iter().collect();
    owners.sort_by(|a, b| (&a.node, a.from_s).partial_cmp(&(&b.node, b.from_s)).unwrap_or(std::cmp::Ordering::Equal));
    for owner in owners {
        let until_s = owner.until_s.unwrap_or(tables.end_s());
        match bars.last_mut() {
            Some(bar) if bar.worker == owner.node && bar.ended_s.is_some_and(|ended| ended >= owner.from_s) => {
                bar.ended_s = bar.ended_s.map(|ended| ended.max(until_s));
            }
            _ => bars.push(bar(owner, until_s)),
        }
    }
    let kinds = [area_key(Ink::Reduce, "runs partitions"), area_key(Ink::Again, "took partitions over")];
    Lanes {
        nodes: bars.iter().map(|bar| bar.worker.clone()).collect(),
        cores: 1,
        bars,
        about: "One lane for each node that ran partitions; times of trouble grey.",
        note: "A lane is a node with long-lived operators; idle standbys have none.",
        keys: kinds.into_iter().chain(trouble_keys()).collect(),
        file: "owners.csv",
    }
}

fn bar(owner: &Owner, until_s: f64) -> Task {
    Task {
        interval: 0,
        stage: 1,
        partition: 0,
        attempt: 0,
        worker: owner.node.clone(),
        started_s: Some(owner.from_s),
        ended_s: Some(until_s),
        finished: true,
        again: owner.heir,
        is_beside: false,
    }
}

fn trouble_keys() -> [Key; 2] {
    [area_key(Ink::Down, "down"), area_key(Ink::Held, "hit by a fault")]
}

fn troubles(tables: &Tables) -> Vec<Trouble> {
    let end = tables.end_s();
    let trouble = |state: &crate::tables::State| {
        let ink = match state.state.as_str() {
            "down" => Ink::Down,
            // Lost is what the master believes; the moments say it.
            "lost" => return None,
            _ => Ink::Held,
        };
        let until_s = state.until_s.unwrap_or(end);
        Some(Trouble { worker: state.node.clone(), ink, from_s: state.from_s, until_s })
    };
    tables.states.iter().filter_map(trouble).collect()
}

/// A task that was running when its worker went down ended there.
fn ended(tasks: &[Task], troubles: &[Trouble]) -> Vec<Task> {
    let down: Vec<&Trouble> = troubles.iter().filter(|trouble| trouble.ink == Ink::Down).collect();
    let ended = tasks.iter().map(|task| {
        let mut task = task.clone();
        if let (Some(started), None) = (task.started_s, task.ended_s) {
            let ends = down.iter().filter(|down| down.worker == task.worker && down.from_s >= started);
            task.ended_s = ends.map(|down| down.from_s).min_by(f64::total_cmp).or(Some(started));
        }
        task
    });
    ended.collect()
}

/// What is shown: from and until, in order, apart from each other.
fn windows(run: &RunReport, tables: &Tables) -> Vec<(f64, f64)> {
    let (end, interval) = (tables.end_s(), tables.number("interval_s").unwrap_or(1.0).max(1e-3));
    if end <= SHORT_INTERVALS * interval {
        return vec![(0.0, end)];
    }
    let mut windows: Vec<(f64, f64)> = Vec::new();
    let mut faults: Vec<_> = run.result.faults.iter().filter(|fault| fault.fired).collect();
    faults.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
    for fault in faults {
        let parts = [fault.detect_s, fault.restore_s, fault.catch_up_s, fault.redundancy_s];
        let settled = fault.at_s + parts.into_iter().flatten().fold(interval, f64::max);
        let from = (fault.at_s - AROUND_INTERVALS * interval).max(0.0);
        let until = (settled + AROUND_INTERVALS * interval).min(from + WIDEST_INTERVALS * interval).min(end);
        match windows.last_mut() {
            Some((first, last)) if from <= *last => *last = until.max(*last).min(*first + WIDEST_INTERVALS * interval),
            _ => windows.push((from, until)),
        }
    }
    if windows.is_empty() {
        let middle = (end / 2.0).floor();
        windows.push((middle, (middle + AROUND_INTERVALS * 3.0 * interval).min(end)));
    }
    windows.truncate(MOST_PICTURES);
    windows
}

/// The moments of the faults and of the master inside a window, in order.
fn moments(run: &RunReport, tables: &Tables, from_s: f64, until_s: f64) -> Vec<(f64, String)> {
    let mut moments: Vec<(f64, String)> = Vec::new();
    for (fault, mark) in run.result.faults.iter().zip(fault_marks(&run.result, tables)).filter(|(fault, _)| fault.fired)
    {
        moments.push((fault.at_s, format!("{} {}", mark.tag, mark.label)));
        for (after, what) in [
            (fault.detect_s, "detected"),
            (fault.restore_s, "restored"),
            (fault.catch_up_s, "on time again"),
            (fault.redundancy_s, "copies whole"),
        ] {
            // What was never gone needs no mark.
            let reached = after.filter(|after| *after > 0.0);
            moments.extend(reached.map(|after| (fault.at_s + after, format!("{} {what}", mark.tag))));
        }
        moments.extend(mark.until_s.map(|until| (until, format!("{} over", mark.tag))));
    }
    // Loss and copies are in the moments of the faults already.
    let told = ["declared lost", "copies missing", "copies whole", "joined", "leaves", "stays", "left"];
    let others = tables.moments.iter().filter(|moment| !told.contains(&moment.what.as_str()));
    moments.extend(others.map(|moment| (moment.at_s, moment.what.clone())));
    moments.retain(|(at, _)| *at >= from_s && *at <= until_s);
    moments.sort_by(|a, b| a.0.total_cmp(&b.0));
    moments
}
