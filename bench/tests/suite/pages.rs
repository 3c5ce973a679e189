//! The pages of real simulated runs in a real browser: nothing cut off, nothing empty, no label on another; light, dark,
//! wide, narrow and printed.
//!
//! Where no Chromium is installed the test says so and passes: the pages' text is tested elsewhere.

use crate::common::Folder;
use std::process::{Command, Stdio};

/// Names under which the browser is installed.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// What runs inside each page.
const MEASURE: &str = include_str!("pages/measure.js");

/// Widths of the window, in pixels.
const WIDTHS: [u32; 3] = [380, 800, 1600];

/// The width of a printed page, in pixels.
const PAPER: u32 = 720;

const SMALL: &str = "\
title: small
duration: 12s
warmup: 1s
cluster: { workers: 4, cores: 2, clients: 1, partitions: 8 }
workload:
  job: word-count
  source: { generate: { rate: 1000/s, record: 40B, keys: 20 } }
engines:
  - dstream: { interval: 500ms }
expect:
  - output: declared
";

/// Twelve faults, many at once.
const STORM: &str = "faults:
  - pause: { node: worker-1, at: 1s, for: 300ms }
  - pause: { node: worker-2, at: 1100ms, for: 300ms }
  - slow-cpu: { node: worker-3, factor: 4, at: 1200ms, for: 3s }
  - pause: { node: worker-1, at: 2s, for: 200ms }
  - pause: { node: worker-2, at: 2100ms, for: 200ms }
  - partition: { between: [worker-4], and: [worker-1, worker-2], at: 2200ms, for: 200ms }
  - crash: { node: worker-4, at: 4s, restart_after: 2s }
  - pause: { node: worker-1, at: 7s, for: 200ms }
  - pause: { node: worker-2, at: 7s, for: 200ms }
  - pause: { node: worker-3, at: 7s, for: 200ms }
  - pause: { node: worker-1, at: 9s, for: 200ms }
  - crash: { node: worker-2, at: 9500ms }
expect:";

/// The pages to look at, by path.
fn pages(folder: &Folder) -> Vec<String> {
    let run = |name: &str, text: String| {
        folder.write(&format!("{name}.yaml"), text.replace("title: small", &format!("title: {name}")));
        folder.dstream(&["run", &format!("{name}.yaml")]);
    };
    run("calm", SMALL.to_owned());
    run("too late", SMALL.replace("- output: declared", "- latency: { p99: 1ms, max: 2ms }\n  - catch_up: 1ms"));
    let idle = "faults:\n  - slow-cpu: { node: worker-1, factor: 2, at: 11900ms, for: 1ms }\nexpect:";
    run("no effect", SMALL.replace("expect:", idle));
    run("storm", SMALL.replace("expect:", STORM));
    folder.dstream(&["run", "storm.yaml", "--seed", "9", "--set", "cluster.cores=4"]);
    let (one, two) = ("scenarios/smoke/worker-crash.yaml", "scenarios/smoke/two-crashes-at-once.yaml");
    folder.dstream(&["run", one, two]).expect(0, &[]);
    folder.dstream(&["run", two, "--seed", "13"]).expect(0, &[]);
    folder.dstream(&["paper", "--figure", "one-failure", "--quick"]).expect(0, &[]);
    let pages = [
        "calm/dstream-sim-0/report.html",
        "too-late/dstream-sim-0/report.html",
        "no-effect/dstream-sim-0/report.html",
        "storm/dstream-sim-0/report.html",
        "storm/index.html",
        "worker-crash/dstream-sim-7/report.html",
        "two-crashes-at-once/dstream-sim-12/report.html",
        "two-crashes-at-once/index.html",
        "paper/one-failure-quick.html",
    ];
    pages.iter().map(|page| format!("runs/{page}")).collect()
}

/// Puts the measuring script into a copy of each page, and a printed version beside it; returns the frames to open.
fn frames(folder: &Folder, pages: &[String]) -> Vec<(String, u32)> {
    let mut frames = Vec::new();
    for page in pages {
        let text = folder.read(page);
        assert!(text.len() < 1_000_000, "{page} has {} bytes", text.len());
        let script = format!("<script>{MEASURE}</script></body>");
        let measured = page.replace(".html", "-measured.html");
        let on_paper = page.replace(".html", "-paper.html");
        folder.write(&measured, text.replace("</body>", &script));
        // What is for paper is for all, so that it can be measured on the screen.
        folder.write(&on_paper, text.replace("@media print", "@media all").replace("</body>", &script));
        frames.extend(WIDTHS.map(|width| (measured.clone(), width)));
        frames.push((on_paper, PAPER));
    }
    frames
}

/// What each frame said, as the browser prints it.
fn measure(folder: &Folder, browser: &str, frames: &[(String, u32)], dark: bool) -> Vec<serde_json::Value> {
    let frame = |(page, width): &(String, u32)| {
        format!("<iframe src=\"{page}\" style=\"border:0;width:{width}px;height:900px\"></iframe>")
    };
    let listen = "<pre></pre><script>addEventListener('message', (message) => {\
                  const answer = btoa(encodeURIComponent(JSON.stringify(message.data)));\
                  document.querySelector('pre').append(answer + '\\n')})</script>";
    folder.write("frames.html", format!("{listen}{}", frames.iter().map(frame).collect::<String>()));
    let address = format!("file://{}", folder.0.join("frames.html").display());
    let profile = format!("--user-data-dir={}", folder.0.join("profile").display());
    let scheme = format!("--blink-settings=preferredColorScheme={}", if dark { 0 } else { 1 });
    let words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"];
    let output = Command::new(browser).args(words).args([&profile, &scheme, &address]).stdin(Stdio::null()).output();
    let said = String::from_utf8_lossy(&output.unwrap().stdout).into_owned();
    let lines = said.split("<pre>").nth(1).and_then(|rest| rest.split("</pre>").next()).unwrap_or("").to_owned();
    lines.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(&decoded(line)).unwrap()).collect()
}

/// Undoes base 64, then percent signs: both keep the answer whole inside markup.
fn decoded(line: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for digit in line.bytes().filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte)) {
        (bits, count) = (bits << 6 | digit as u32, count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    let mut text = Vec::new();
    let mut rest = &bytes[..];
    while let [first, tail @ ..] = rest {
        if *first == b'%' {
            text.push(u8::from_str_radix(std::str::from_utf8(&tail[..2]).unwrap(), 16).unwrap());
            rest = &tail[2..];
        } else {
            text.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn pages_show_everything_in_every_width_light_dark_and_on_paper() {
    let installed = |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|said| said.status.success());
    let Some(browser) = BROWSERS.into_iter().find(|name| installed(name)) else {
        println!("skipped: none of {BROWSERS:?} is installed");
        return;
    };
    let folder = Folder::new();
    let pages = pages(&folder);
    let frames = frames(&folder, &pages);
    for dark in [false, true] {
        let found = measure(&folder, browser, &frames, dark);
        assert_eq!(found.len(), frames.len(), "some pages did not answer");
        // Paper is white, whatever the screen is.
        let in_dark = found.iter().filter(|page| page["dark"] == true).count();
        assert_eq!(in_dark, if dark { pages.len() * WIDTHS.len() } else { 0 });
        let wrong: Vec<String> = found
            .iter()
            .flat_map(|page| {
                page["wrong"].as_array().unwrap().iter().map(move |wrong| format!("{}: {wrong}", page["name"]))
            })
            .collect();
        assert!(wrong.is_empty(), "{} things are wrong:\n{}", wrong.len(), wrong.join("\n"));
    }
}
