//! What the engines were given: the load and the machines, which all share, and each engine's own options.

use super::Shown;
use crate::comparison::plain;
use crate::format::{count, percent, seconds};
use crate::html::{kept_together, words_table};
use maud::{Markup, html};
use serde_yaml::Value;

/// The section.
pub(super) fn section(shown: &Shown<'_>) -> Markup {
    let contenders = shown.contest.contenders.iter();
    let rows: Vec<Vec<Markup>> = contenders
        .map(|one| {
            let options: Vec<String> = one.options.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            let engine = if one.engine.is_empty() { one.label() } else { one.engine.as_str() };
            vec![
                shown.name(one),
                html! { (engine) },
                html! { (kept_together(&options.join(", "))) },
                html! { (percent(one.result().own_capacity_fraction)) },
            ]
        })
        .collect();
    html! {
        section id=(shown.id("settings")) {
            h2 { "What they were given" }
            p { (kept_together(&shared(shown))) }
            (words_table("Settings", &["run", "engine", "options", "load, of its own capacity"], &rows))
        }
    }
}

/// What all of them share, in words.
fn shared(shown: &Shown<'_>) -> String {
    let Some(one) = shown.contest.contenders.first() else { return String::new() };
    let scenario: Value = serde_yaml::from_str(&one.tables.scenario).unwrap_or(Value::Null);
    let result = one.result();
    let rate = format!("{} records a second", count(result.rate_per_s.round() as u64));
    let interval = format!("intervals of {}", seconds(Some(shown.contest.interval_s())));
    let origin = format!("seed {}, world {}", result.seed, result.world);
    let parts = [job(&scenario), Some(rate), records(&scenario), Some(interval), machines(&scenario), Some(origin)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("{}. {}.", parts.join(", "), on_time(shown))
}

fn text(value: &Value) -> Option<String> {
    if value.is_null() { None } else { Some(plain(value)) }
}

/// `word-count with window 10s`
fn job(scenario: &Value) -> Option<String> {
    let job = text(&scenario["workload"]["job"])?;
    let params = scenario["workload"]["params"].as_mapping().into_iter().flatten();
    let set = params.map(|(name, value)| (plain(name), plain(value))).filter(|(_, value)| value != "off");
    let set: Vec<String> = set.map(|(name, value)| format!("{name} {value}")).collect();
    Some(if set.is_empty() { job } else { format!("{job} with {}", set.join(", ")) })
}

fn records(scenario: &Value) -> Option<String> {
    let generate = &scenario["workload"]["source"]["generate"];
    Some(format!("of {} each over {} words", text(&generate["record"])?, text(&generate["keys"])?))
}

fn machines(scenario: &Value) -> Option<String> {
    let cluster = &scenario["cluster"];
    Some(format!("{} workers of {} cores", text(&cluster["workers"])?, text(&cluster["cores"])?))
}

fn on_time(shown: &Shown<'_>) -> String {
    if let Some(slo) = shown.contest.slo_s() {
        return format!("On time means within {} of an interval's end", seconds(Some(slo)));
    }
    let each = shown.contest.contenders.iter();
    let each: Vec<String> =
        each.map(|one| format!("{} {}", one.label(), seconds(one.tables.number("slo_s")))).collect();
    format!(
        "The scenario does not say what on time is, so each engine is held to what it did before the first fault: {}",
        each.join(", ")
    )
}
