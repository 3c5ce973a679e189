//! The page that compares the runs of one scenario: one file, no network, light and dark.
//!
//! Invariant: all text from results is escaped.

use crate::format::{bytes, count, milliseconds, seconds};
use crate::read::RunReport;
use crate::sentence::verdict_sentence;
use crate::table::{FAULT_COLUMNS, VERDICT_COLUMNS, fault_rows, verdict_row};
use dstream_trace::result::{RunResult, Verdict};
use std::path::Path;

/// The page's style.
const STYLE: &str = include_str!("page.css");

/// The page of `runs`; links to their files are relative to `folder`, where the page will be.
pub fn page(runs: &[RunReport], folder: &Path) -> String {
    let title = runs.first().map_or("no runs", |run| run.result.scenario.as_str());
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{0}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{0}</h1>\n",
        escape(title)
    );
    for run in runs {
        let class = verdict_class(run.result.verdict);
        html += &format!("<p class=\"verdict {class}\">{}</p>\n", escape(&verdict_sentence(&run.result)));
    }
    html += &section("Verdicts", &table(&VERDICT_COLUMNS, runs.iter().map(|run| verdict_row(&run.result)).collect()));
    let faults: Vec<Vec<String>> = runs.iter().flat_map(|run| fault_rows(&run.result)).collect();
    if !faults.is_empty() {
        html += &section("Faults", &table(&FAULT_COLUMNS, faults));
        html +=
            "<p class=\"note\">Each time counts from the moment the fault was applied; a dash was not reached.</p>\n";
    }
    html += &section("Latency", &table(&LATENCY_COLUMNS, runs.iter().map(|run| latency_row(&run.result)).collect()));
    html += &section("Cost", &table(&COST_COLUMNS, runs.iter().map(|run| cost_row(&run.result)).collect()));
    html += &broken_promises(runs);
    for run in runs {
        html += &checks(run, folder);
    }
    html += "</body>\n</html>\n";
    html
}

const LATENCY_COLUMNS: [&str; 8] =
    ["engine", "p50", "p90", "p99", "p99.9", "max", "p99 before faults", "max before faults"];

fn latency_row(result: &RunResult) -> Vec<String> {
    let (all, calm) = (&result.latency_ms, &result.latency_before_faults_ms);
    let values = [all.p50, all.p90, all.p99, all.p999, all.max, calm.p99, calm.max];
    std::iter::once(result.engine.clone()).chain(values.map(milliseconds)).collect()
}

const COST_COLUMNS: [&str; 8] =
    ["engine", "nodes", "node time", "CPU", "CPU recomputed", "network", "input copies", "recovery"];

fn cost_row(result: &RunResult) -> Vec<String> {
    let cost = &result.cost;
    vec![
        result.engine.clone(),
        count(u64::from(result.nodes)),
        seconds(Some(cost.node_s)),
        seconds(Some(cost.cpu_s)),
        seconds(Some(cost.recomputed_cpu_s)),
        bytes(cost.network_bytes),
        bytes(cost.replicated_bytes),
        bytes(cost.recovery_bytes),
    ]
}

fn broken_promises(runs: &[RunReport]) -> String {
    let rows: Vec<Vec<String>> = runs
        .iter()
        .flat_map(|run| run.result.broken_promises.iter().map(|broken| (&run.result.engine, broken)))
        .map(|(engine, broken)| {
            let intervals: Vec<String> = broken.intervals.iter().map(ToString::to_string).collect();
            vec![
                engine.clone(),
                broken.promise.clone(),
                seconds(Some(broken.at_s)),
                broken.why.clone(),
                count(broken.records),
                intervals.join(", "),
            ]
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    section("Broken promises", &table(&["engine", "promise", "at", "why", "records gone", "intervals"], rows))
}

fn checks(run: &RunReport, folder: &Path) -> String {
    let result = &run.result;
    let rows = result.checks.iter().map(|check| {
        let holds = if check.holds { "holds" } else { "FAILED" };
        vec![check.check.clone(), holds.to_owned(), check.detail.clone()]
    });
    let relative = run.directory.strip_prefix(folder).unwrap_or(&run.directory).display().to_string();
    let files =
        ["scenario.yaml", "result.json", "intervals.csv", "latency.csv", "tasks.csv", "faults.csv", "trace.log"];
    let links: Vec<String> =
        files.iter().map(|file| format!("<a href=\"{0}/{file}\">{file}</a>", escape(&relative))).collect();
    let mut facts =
        format!("seed {}, scale {}, {} virtual", result.seed, result.scale, seconds(Some(result.virtual_s)));
    if let Some(hash) = &result.trace_hash {
        facts += &format!(", trace {hash}");
    }
    let body = format!(
        "<p class=\"note\">{}</p>\n{}<p class=\"note\">{}</p>\n",
        escape(&facts),
        table(&["check", "outcome", "what was seen"], rows.collect()),
        links.join(" · ")
    );
    section(&format!("Checks of {} ({}, seed {})", result.engine, result.world, result.seed), &body)
}

fn section(title: &str, body: &str) -> String {
    format!("<h2>{}</h2>\n{body}", escape(title))
}

fn table(columns: &[&str], rows: Vec<Vec<String>>) -> String {
    let cells = |tag: &str, row: &[String]| -> String {
        row.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect()
    };
    let head: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
    let body: String = rows.iter().map(|row| format!("<tr>{}</tr>\n", cells("td", row))).collect();
    format!("<div class=\"wide\"><table>\n<tr>{}</tr>\n{body}</table></div>\n", cells("th", &head))
}

fn verdict_class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Valid => "valid",
        Verdict::Invalid => "invalid",
        Verdict::Unknown => "unknown",
    }
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
