//! What was measured, for people and for programs.

use super::Measured;
use super::plan::Probed;
use super::probe::Probe;
use crate::yardstick::Yardstick;
use comfy_table::{Cell, CellAlignment, Table, presets};
use serde_json::{Value, json};

/// A probe in a line.
pub fn line(engine: &str, probe: &Probe) -> String {
    let verdict =
        if probe.sustained { "sustained".to_owned() } else { format!("not sustained: {}", probe.why.join("; ")) };
    format!(
        "{engine} at {:.0} records a second: {verdict} ({} CPU-s a million, p99 {})",
        probe.rate,
        thousandths(probe.cpu_s_per_million()),
        ms(probe.latency_ms.p99)
    )
}

/// One object for an engine, a list of them for several.
pub fn json(
    probed: &Probed,
    asked: Option<f64>,
    all: &[Measured],
    yardstick: Option<Yardstick>,
    source: &str,
) -> String {
    let told: Vec<Value> = all.iter().filter_map(|one| object(probed, asked, one, yardstick, source)).collect();
    match told.as_slice() {
        [one] => format!("{one:#}\n"),
        many => format!("{:#}\n", Value::from(many.to_vec())),
    }
}

fn object(
    probed: &Probed,
    asked: Option<f64>,
    measured: &Measured,
    yardstick: Option<Yardstick>,
    source: &str,
) -> Option<Value> {
    let best = measured.best()?;
    Some(json!({
        "job": probed.job,
        "engine": measured.engine,
        "params": probed.params.iter().cloned().collect::<std::collections::BTreeMap<_, _>>(),
        "workers": probed.workers,
        "cores": probed.cores,
        "generators": probed.generators,
        "interval_ms": probed.interval.as_millis() as u64,
        "source": source,
        "rate": asked.map_or(json!("max"), |rate| json!(rate)),
        "sustained": best.sustained,
        "limit_found": measured.probes.iter().any(|probe| !probe.sustained),
        "seconds": probed.lasts.as_secs_f64(),
        "records_per_s": if best.sustained { best.rate } else { best.records_per_s },
        "cpu_s_per_million": best.cpu_s_per_million(),
        "single_thread_cpu_s_per_million": yardstick.map(|yardstick| yardstick.cpu_s_per_million),
        "single_thread_records_per_s": yardstick.map(|yardstick| yardstick.records_per_s),
        "generator_cpu_s_per_million": best.generator_cpu_s_per_million(),
        "latency_ms": best.latency_ms,
        "latency_bound_ms": probed.latency_bound.as_millis() as u64,
        "roles": best.roles,
        "network_bytes_per_record": best.network_bytes_per_record,
        "probes": measured.probes,
    }))
}

/// A table, a row an engine.
pub fn text(probed: &Probed, all: &[Measured], yardstick: Option<Yardstick>, source: &str) -> String {
    let mut table = Table::new();
    table.force_no_tty().load_style(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header([
        "",
        "records/s",
        "CPU-s a million",
        "against one thread",
        "p50",
        "p99",
        "p99.9",
        "faults a million",
    ]);
    if let Some(one) = yardstick {
        let cells = [number(one.records_per_s), format!("{:.3}", one.cpu_s_per_million), "1.00".to_owned()];
        table.add_row(row("one thread", &cells));
    }
    for (measured, best) in all.iter().filter_map(|measured| Some((measured, measured.best()?))) {
        let against = yardstick.zip(best.cpu_s_per_million());
        let against = against.map(|(one, used)| format!("{:.2}", used / one.cpu_s_per_million));
        let rate = if best.sustained { number(best.rate) } else { format!("not {}", number(best.rate)) };
        let latency = best.latency_ms;
        let faults: f64 = best.roles.values().map(|used| used.page_faults_per_million).sum();
        let cells = [
            rate,
            thousandths(best.cpu_s_per_million()),
            against.unwrap_or("–".to_owned()),
            ms(latency.p50),
            ms(latency.p99),
            ms(latency.p999),
            format!("{faults:.0}"),
        ];
        table.add_row(row(&measured.engine, &cells));
    }
    format!(
        "{} on {} workers of {} cores, intervals of {} ms, {source}\n{table}\n",
        probed.job,
        probed.workers,
        probed.cores,
        probed.interval.as_millis()
    )
}

fn row(name: &str, cells: &[String]) -> Vec<Cell> {
    let right = |cell: &String| Cell::new(cell).set_alignment(CellAlignment::Right);
    std::iter::once(Cell::new(name)).chain(cells.iter().map(right)).collect()
}

fn ms(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |ms| format!("{ms:.0} ms"))
}

fn thousandths(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.3}"))
}

/// Digits in groups of three.
fn number(value: f64) -> String {
    let digits = format!("{value:.0}");
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(" ")
}
