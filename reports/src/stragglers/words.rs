//! A figure of stragglers in words: how near runs are to what was predicted, one sentence each; and its rows as text.
//!
//! Invariant: a run that is not near is named.

use super::{Fit, PublishedPair, Slowed, StragglersFigure, StragglersShown, Waves, waves_text};
use crate::format::{NOT_REACHED, count, percent, seconds};
use crate::paper::factor;

/// The figure in a sentence: how many runs are near.
pub fn stragglers_sentence(shown: &StragglersShown<'_>) -> String {
    let near = shown.runs.iter().filter(|slowed| slowed.fit == Fit::Near).count();
    let within = percent(shown.figure.within);
    let far: Vec<String> = shown.runs.iter().filter(|slowed| slowed.fit != Fit::Near).map(not_near).collect();
    let but = if far.is_empty() { String::new() } else { format!(" Not: {}.", far.join("; ")) };
    format!(
        "{near} of {} slowdowns are within {within} of what the number of tasks and the factor predict.{but}",
        shown.runs.len()
    )
}

fn not_near(slowed: &Slowed<'_>) -> String {
    let ratio = slowed.ratio().map_or("not measured".to_owned(), |ratio| format!("{ratio:.2} times that"));
    format!("{}, {ratio}", slowed.name())
}

/// What there is to say about each number of waves, about bounds, and about what was published; a sentence each.
pub fn stragglers_sentences(shown: &StragglersShown<'_>) -> Vec<String> {
    let mut said: Vec<String> = shown.figure.runs.iter().filter_map(|waves| of_waves(shown, waves)).collect();
    said.extend(shown.runs.iter().filter_map(of_bound));
    let published = &shown.figure.published;
    let jobs = published.jobs.iter().map(|job| {
        let [without, with] = job.slowdowns().map(factor);
        format!("{} {without} without, {with} with", job.name)
    });
    let jobs: Vec<String> = jobs.collect();
    said.push(format!("Published, and held against nothing: {} ({}).", jobs.join("; "), published.about));
    said
}

fn of_waves(shown: &StragglersShown<'_>, waves: &Waves) -> Option<String> {
    let pair = shown.pair(waves);
    if pair.iter().all(Option::is_none) {
        return None;
    }
    let [without, with] = pair.map(|slowed| {
        let slowed = slowed?;
        Some(format!("{} (predicted {})", factor(slowed.slowdown()), factor(slowed.predicted)))
    });
    let [without, with] = [without, with].map(|text| text.unwrap_or_else(|| "not measured".to_owned()));
    Some(format!("{}: {without} without speculation, {with} with it.", waves_text(waves.waves)))
}

fn of_bound(slowed: &Slowed<'_>) -> Option<String> {
    let (bound, kept) = slowed.bound()?;
    let (side, kept) = (if slowed.speculates { "at most" } else { "at least" }, if kept { "kept" } else { "not kept" });
    let bound = factor(Some(bound));
    Some(format!("{} must be {side} {bound}: {}, {kept}.", slowed.name(), factor(slowed.slowdown())))
}

/// The columns of the table.
pub(crate) const STRAGGLERS_COLUMNS: [&str; 9] =
    ["case", "second\ntries", "tasks", "before", "struck", "times\nas long", "in\ntheory", "ratio", ""];

/// A run's row.
pub(crate) fn stragglers_texts(slowed: &Slowed<'_>) -> [String; 9] {
    let tasks = slowed.tasks.map_or(NOT_REACHED.to_owned(), |tasks| count(u64::from(tasks)));
    let [before, struck] = [slowed.before_s, slowed.struck_s].map(seconds);
    let [slowdown, predicted, ratio] = [slowed.slowdown(), slowed.predicted, slowed.ratio()].map(factor);
    let fit = slowed.fit.word().to_owned();
    [waves_text(slowed.asked.waves), on(slowed.speculates), tasks, before, struck, slowdown, predicted, ratio, fit]
}

/// What was published, in the same columns.
pub(crate) fn published_texts(figure: &StragglersFigure) -> Vec<[String; 9]> {
    let none = || NOT_REACHED.to_owned();
    let row = |job: &PublishedPair, speculates: bool| {
        let place = usize::from(speculates);
        let [before, slow] = [job.before_s, [job.without_s, job.with_s][place]].map(|time_s| seconds(Some(time_s)));
        let slowdown = factor(job.slowdowns()[place]);
        let published = "published".to_owned();
        [job.name.clone(), on(speculates), none(), before, slow, slowdown, none(), none(), published]
    };
    figure.published.jobs.iter().flat_map(|job| [row(job, false), row(job, true)]).collect()
}

fn on(speculates: bool) -> String {
    if speculates { "on" } else { "off" }.to_owned()
}
