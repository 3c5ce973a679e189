//! A comparison in words: who was back first, what it cost, where D-Streams loses and wins.
//!
//! Every sentence is made of measured numbers. Invariant: nobody is called better where the difference means nothing, and
//! a run that is not valid is named, never ranked.

use super::quantity::{self, CPU, DRAIN, P99, Quantity, RECORD_P50, RESTORE, best, is_worse, tiers};
use super::{Contender, Contest};
use crate::format::{count, milliseconds, seconds};
use crate::waiting::held_back;
use crate::words::late_intervals;

/// With more tiers than this only the first and the last are told.
const MOST_TIERS: usize = 3;

/// Of being on time again: who did it first, and who never did.
const ON_TIME: [&str; 2] = ["was on time again first, after", "did not catch up"];

/// Of the lost node's results.
const RESTORED: [&str; 2] = ["had the lost node's results out first, after", "did not have all of them out"];

/// The comparison in two sentences, and a third where a run is not ranked or lost records.
pub fn verdict(contest: &Contest<'_>) -> Vec<String> {
    let ranked: Vec<&Contender<'_>> = contest.ranked().collect();
    let mut sentences = match ranked.len() {
        0 => vec![format!("None of the {} runs can be ranked.", contest.contenders.len())],
        1 => vec![format!("Only {} can be ranked, so nothing is compared.", ranked[0].label())],
        _ => {
            let (first, leaders) = who_was_first(contest, &ranked);
            vec![first, what_it_cost(&ranked, &leaders)]
        }
    };
    sentences.extend(held_up(&ranked));
    sentences.extend(late_before(&ranked));
    sentences.extend(damage(&ranked));
    sentences.extend(not_ranked(contest));
    sentences
}

/// The first sentence, and who leads in it, by place in `ranked`; all where nobody does.
fn who_was_first(contest: &Contest<'_>, ranked: &[&Contender<'_>]) -> (String, Vec<usize>) {
    let everyone = || (0..ranked.len()).collect::<Vec<_>>();
    let Some(after) = after_what(ranked) else {
        let (told, leaders) = order(ranked, &P99, ["had the lowest p99 latency,", ""]);
        let told = told.unwrap_or_else(|| {
            let all = told_values(ranked, &P99, &everyone());
            format!("all had about the same p99 latency ({all})")
        });
        return (format!("Without a fault, {told}."), leaders.unwrap_or_else(everyone));
    };
    // Where records wait at clients, intervals on time do not mean that results are.
    let any_held = ranked.iter().any(|one| held_back(one.tables).is_some());
    let catch_up = if any_held { DRAIN } else { quantity::catch_up(contest.interval_s()) };
    let never: Vec<usize> = (0..ranked.len()).filter(|place| was_never_late(ranked[*place])).collect();
    if !never.is_empty() && never.len() < ranked.len() {
        return (format!("{after}, {}.", some_never_late(ranked, &never, &catch_up)), never);
    }
    let no_one_late = never.len() == ranked.len();
    // Who never was late was not on time again either, let alone before another.
    let in_order = if no_one_late { (None, None) } else { order(ranked, &catch_up, ON_TIME) };
    if let (Some(told), Some(leaders)) = in_order {
        return (format!("{after}, {told}."), leaders);
    }
    let alike = match (no_one_late, contest.slo_s()) {
        (true, Some(slo)) => format!("no engine had a late result (on time: {})", seconds(Some(slo))),
        (true, None) => "no engine had a late result".to_owned(),
        _ if ranked.iter().all(|one| (catch_up.value)(one.result()).is_none()) => {
            "no engine was on time again before the run ended".to_owned()
        }
        _ => format!("all were on time again together, after {}", told_values(ranked, &catch_up, &everyone())),
    };
    match order(ranked, &RESTORE, RESTORED) {
        (Some(told), Some(leaders)) => (format!("{after}, {alike}; {told}."), leaders),
        _ => (format!("{after}, {alike}, and the lost results came at about the same time."), everyone()),
    }
}

/// Whether no interval's result was late, and no record that had waited at its client.
fn was_never_late(one: &Contender<'_>) -> bool {
    late_intervals(one.tables).0 == 0 && held_back(one.tables).is_none()
}

/// Whose records waited at their clients, although their intervals were on time.
fn held_up(ranked: &[&Contender<'_>]) -> Option<String> {
    let told = ranked.iter().filter_map(|one| Some((one.label(), held_back(one.tables)?)));
    let told: Vec<String> =
        told.map(|(label, held)| format!("{label} (up to {})", seconds(Some(held.longest_s)))).collect();
    let who = listed(&refs(&told));
    (!told.is_empty()).then(|| {
        format!("Intervals were on time whose records were not, since they had waited at their clients: {who}.")
    })
}

/// `hot-first was never late; dstream was on time again first, after 300 ms; then backup (1.3 s)`.
fn some_never_late(ranked: &[&Contender<'_>], never: &[usize], catch_up: &Quantity) -> String {
    let others: Vec<&Contender<'_>> =
        (0..ranked.len()).filter(|place| !never.contains(place)).map(|place| ranked[place]).collect();
    let all: Vec<usize> = (0..others.len()).collect();
    let were = |places: &[usize]| if places.len() > 1 { "were" } else { "was" };
    let rest = match order(&others, catch_up, ON_TIME) {
        (Some(told), _) if others.len() > 1 => format!("of the others {told}"),
        (Some(told), _) => told,
        _ if others.iter().all(|one| (catch_up.value)(one.result()).is_none()) => {
            format!("{} {} before the run ended", names(&others, &all), ON_TIME[1])
        }
        _ => {
            let after = told_values(&others, catch_up, &all);
            format!("{} {} on time again after {after}", names(&others, &all), were(&all))
        }
    };
    format!("{} {} never late; {rest}", names(ranked, never), were(never))
}

/// Who was not on time even before the first fault, in most intervals: what comes later is not the fault's doing.
fn late_before(ranked: &[&Contender<'_>]) -> Option<String> {
    let is_late = |one: &&&Contender<'_>| {
        let (Some(slo), Some(first)) = (one.tables.number("slo_s"), one.fired().map(|fault| fault.at_s).next()) else {
            return false;
        };
        let before: Vec<bool> = one
            .tables
            .due()
            .filter(|row| row.closed_s > 0.0 && row.closed_s < first)
            .map(|row| row.delay_s.is_none_or(|delay| delay > slo))
            .collect();
        before.iter().filter(|late| **late).count() * 2 > before.len()
    };
    let late: Vec<&str> = ranked.iter().filter(is_late).map(|one| one.label()).collect();
    (!late.is_empty()).then(|| format!("Late before any fault already: {}.", listed(&late)))
}

/// `After the crash of worker-3 at 10.5 s`; `None` where no fault took effect.
fn after_what(ranked: &[&Contender<'_>]) -> Option<String> {
    let fired: Vec<_> = ranked.first()?.fired().collect();
    match fired[..] {
        [] => None,
        [one] => Some(format!("After {} at {}", happened(&one.fault, &one.node), seconds(Some(one.at_s)))),
        _ => Some(format!("Over {} faults, by each engine's slowest recovery", fired.len())),
    }
}

/// A fault as something after which something else happens.
fn happened(fault: &str, node: &str) -> String {
    match fault {
        "crash" => format!("the crash of {node}"),
        "power-loss" => format!("the loss of power of {node}"),
        "pause" => format!("{node} stood still"),
        "slow-cpu" => format!("{node} became slow"),
        "slow-nic" => format!("the network card of {node} became slow"),
        "partition" => format!("{node} was cut off"),
        "outage" => format!("messages of {node} were held"),
        "delay" => format!("messages of {node} were delayed"),
        "disk-full" => format!("the {node} had no room"),
        "disk-error" => format!("the disk of the {node} failed"),
        "join" => format!("{node} joined"),
        "drain" => format!("{node} was asked to leave"),
        other => format!("{other} hit {node}"),
    }
}

/// `hot-sync and hot-first were on time again first, after 300 ms; then dstream (1.3 s)`, and who came first. Nothing
/// where nobody is ahead.
fn order(ranked: &[&Contender<'_>], what: &Quantity, words: [&str; 2]) -> (Option<String>, Option<Vec<usize>>) {
    let [did, did_not] = words;
    let values = values(ranked, what);
    let tiers = tiers(&values, what.least);
    let missing: Vec<usize> = (0..values.len()).filter(|place| values[*place].is_none()).collect();
    let Some((first, later)) = tiers.split_first() else { return (None, None) };
    if later.is_empty() && (missing.is_empty() || !what.missing_is_worst) {
        return (None, None);
    }
    let did = if first.len() > 1 { did.replacen("was ", "were ", 1) } else { did.to_owned() };
    let mut text = format!("{} {did} {}", names(ranked, first), told_values(ranked, what, first));
    let tell = |tier: &Vec<usize>| format!("{} ({})", names(ranked, tier), told_values(ranked, what, tier));
    match later {
        [] => {}
        [.., last] if later.len() > MOST_TIERS => text.push_str(&format!("; last came {}", tell(last))),
        _ => text.push_str(&format!("; then {}", later.iter().map(tell).collect::<Vec<_>>().join(", then "))),
    }
    if !missing.is_empty() && what.missing_is_worst {
        text.push_str(&format!("; {} {did_not} before the run ended", names(ranked, &missing)));
    }
    (Some(text), Some(first.clone()))
}

/// What the leaders cost, against whoever cost the least CPU.
fn what_it_cost(ranked: &[&Contender<'_>], leaders: &[usize]) -> String {
    let cpu = values(ranked, &CPU);
    let tiers = tiers(&cpu, CPU.least);
    let Some((cheapest, dearer)) = tiers.split_first() else { return "Nobody's CPU was measured.".to_owned() };
    let Some(dearest) = dearer.last() else {
        let all: Vec<usize> = (0..ranked.len()).collect();
        return format!("All cost about the same CPU ({}).", told_values(ranked, &CPU, &all));
    };
    let low = cheapest[0];
    let told = |place: usize| {
        let result = ranked[place].result();
        format!("{} on {} nodes", seconds(Some(result.cost.cpu_s)), count(u64::from(result.nodes)))
    };
    let times = |place: usize| -> String {
        let factor = cpu[place].unwrap_or(0.0) / cpu[low].unwrap_or(1.0).max(1e-9);
        let text = if factor < 9.95 { format!("{factor:.1}") } else { format!("{factor:.0}") };
        format!("{} x", text.trim_end_matches(".0"))
    };
    let both: Vec<usize> = cheapest.iter().copied().filter(|place| leaders.contains(place)).collect();
    if both.is_empty() {
        let used: Vec<String> = leaders.iter().map(|place| times(*place)).collect();
        let own: Vec<String> = leaders.iter().map(|place| told(*place)).collect();
        return format!(
            "{} cost {} the CPU of {}, the cheapest ({} against {}).",
            names(ranked, leaders),
            either(&used),
            names(ranked, cheapest),
            either(&own),
            told(low)
        );
    }
    let high = *dearest.last().unwrap_or(&low);
    let also = if leaders.len() < ranked.len() { " also" } else { "" };
    format!(
        "{} {}{also} the cheapest ({}); {} cost {} the CPU ({}).",
        names(ranked, &both),
        if both.len() > 1 { "were" } else { "was" },
        told(both[0]),
        names(ranked, &[high]),
        times(high),
        told(high)
    )
}

/// `2.9 x and 3 x`, or once where it is the same.
fn either(values: &[String]) -> String {
    let mut different: Vec<&str> = Vec::new();
    for value in values {
        if !different.contains(&value.as_str()) {
            different.push(value);
        }
    }
    listed(&different)
}

/// Whose records are gone, although valid.
fn damage(ranked: &[&Contender<'_>]) -> Option<String> {
    let gone: Vec<String> = ranked
        .iter()
        .filter(|one| one.declared_gone() > 0)
        .map(|one| format!("{} of {} are gone", count(one.declared_gone()), one.label()))
        .collect();
    let gone: Vec<&str> = gone.iter().map(String::as_str).collect();
    (!gone.is_empty()).then(|| format!("Records were lost, as the promises allow: {}.", listed(&gone)))
}

/// Who is not ranked, and why.
fn not_ranked(contest: &Contest<'_>) -> Option<String> {
    let all = contest.contenders.iter();
    let why: Vec<String> = all.filter_map(|one| Some(format!("{} ({})", one.label(), one.why_not()?))).collect();
    (!why.is_empty()).then(|| format!("Not ranked: {}.", why.join("; ")))
}

/// Where each D-Streams run loses, and where it is best, each in one sentence.
pub fn dstream_sentences(contest: &Contest<'_>) -> Vec<String> {
    let ranked: Vec<&Contender<'_>> = contest.ranked().collect();
    if ranked.len() < 2 {
        return Vec::new();
    }
    let dstreams = (0..ranked.len()).filter(|place| ranked[*place].is_dstream());
    dstreams.flat_map(|place| loses_and_wins(contest, &ranked, place)).collect()
}

fn loses_and_wins(contest: &Contest<'_>, ranked: &[&Contender<'_>], place: usize) -> Vec<String> {
    let (label, interval_s) = (ranked[place].label(), contest.interval_s());
    let faults = ranked.iter().any(|one| one.fired().next().is_some());
    let compared = quantity::all(interval_s).into_iter().filter(|what| faults || !what.of_faults);
    let (mut loses, mut wins) = (Vec::new(), Vec::new());
    for what in compared {
        let values = values(ranked, &what);
        let Some(first) = tiers(&values, what.least).into_iter().next() else { continue };
        let lowest = first.iter().copied().min_by(|a, b| values[*a].partial_cmp(&values[*b]).unwrap_or(a.cmp(b)));
        let Some(lowest) = lowest else { continue };
        let shown = (what.show)(values[lowest].unwrap_or(0.0));
        match values[place] {
            Some(own) if is_worse(own, values[lowest].unwrap_or(own), what.least) => {
                loses.push(format!("{} ({}; {} {shown})", what.name, (what.show)(own), ranked[lowest].label()));
            }
            None if what.missing_is_worst => {
                loses.push(format!("{} (not reached; {} {shown})", what.name, ranked[lowest].label()));
            }
            Some(own) if best(&values, what.least, what.missing_is_worst)[place] => {
                wins.push(format!("{} ({})", what.name, (what.show)(own)));
            }
            _ => {}
        }
    }
    let mut said = vec![match loses[..] {
        [] => format!("{label} loses in nothing that was compared."),
        _ => format!("{label} loses in {}.", listed(&refs(&loses))),
    }];
    said.extend(nothing_below_an_interval(ranked, place, interval_s));
    if !wins.is_empty() {
        said.push(format!("{label} is among the best in {}.", listed(&refs(&wins))));
    }
    said
}

/// A batch shows nothing before its interval ends; a long-lived operator may.
fn nothing_below_an_interval(ranked: &[&Contender<'_>], place: usize, interval_s: f64) -> Option<String> {
    if ranked[place].result().record_latency_ms.is_some() {
        return None;
    }
    let running = ranked.iter().filter_map(|one| Some(((RECORD_P50.value)(one.result())?, one.label())));
    let (soonest, who) = running.min_by(|a, b| a.0.total_cmp(&b.0))?;
    (soonest < interval_s * 500.0).then(|| {
        format!(
            "{} shows no record before its interval of {} is over; {who} shows half of them within {}.",
            ranked[place].label(),
            seconds(Some(interval_s)),
            milliseconds(Some(soonest))
        )
    })
}

/// Who wins in each quantity: its name, the best and the worst; `None` where no difference means anything.
pub fn winners(contest: &Contest<'_>) -> Vec<(Quantity, Option<(String, String)>)> {
    let ranked: Vec<&Contender<'_>> = contest.ranked().collect();
    let faults = ranked.iter().any(|one| one.fired().next().is_some());
    let compared = quantity::all(contest.interval_s()).into_iter().filter(|what| faults || !what.of_faults);
    let is_measured = |what: &Quantity| values(&ranked, what).iter().any(Option::is_some);
    let compared = compared.filter(|what| what.missing_is_worst || is_measured(what));
    let row = |what: Quantity| {
        let values = values(&ranked, &what);
        let tiers = tiers(&values, what.least);
        let missing: Vec<usize> = (0..values.len()).filter(|place| values[*place].is_none()).collect();
        let tell = |tier: &Vec<usize>| format!("{}: {}", names(&ranked, tier), told_values(&ranked, &what, tier));
        let best = tiers.first().map(tell);
        let worst = match (what.missing_is_worst && !missing.is_empty(), tiers.len()) {
            (true, _) => Some(format!("{}: not reached", names(&ranked, &missing))),
            (false, 0 | 1) => None,
            (false, _) => tiers.last().map(tell),
        };
        (what, best.zip(worst))
    };
    compared.map(row).collect()
}

fn values(ranked: &[&Contender<'_>], what: &Quantity) -> Vec<Option<f64>> {
    ranked.iter().map(|one| (what.value)(one.result())).collect()
}

/// `a, b and c`
fn names(ranked: &[&Contender<'_>], places: &[usize]) -> String {
    listed(&places.iter().map(|place| ranked[*place].label()).collect::<Vec<_>>())
}

/// The value of one, or the lowest and the highest of several.
fn told_values(ranked: &[&Contender<'_>], what: &Quantity, places: &[usize]) -> String {
    let values: Vec<f64> = places.iter().filter_map(|place| (what.value)(ranked[*place].result())).collect();
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(0.0, f64::max);
    match ((what.show)(low), (what.show)(high)) {
        (low, high) if low == high => low,
        (low, high) => format!("{low} to {high}"),
    }
}

fn refs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// `a`, `a and b`, `a, b and c`
fn listed(parts: &[&str]) -> String {
    match parts {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [before @ .., last] => format!("{} and {last}", before.join(", ")),
    }
}
