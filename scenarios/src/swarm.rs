//! The swarm: scenarios drawn from seeds. First a storm of overlapping faults, then calm with a deadline.
//!
//! Knows engines and jobs by what they declare, so that a new option or parameter is drawn without a word here.
//! Invariants: the same seed, template and declarations give the same scenario; what is drawn passes the parser that
//! every scenario passes; what a template says is never changed.

pub mod coverage;
mod dice;
mod fault;
mod template;

use crate::context::{Context, EngineDeclaration, JobDeclaration};
use crate::error::ScenarioError;
use crate::plan::Plan;
use crate::resolve::load;
use crate::workload::ParamKind;
use dice::Dice;
use dstream_cluster::option::Unbuilt;
use dstream_cluster::{OptionKind, OptionSpec, OptionValue};
use std::path::Path;
use std::time::Duration;
pub use template::{Template, TemplateError};

/// After the last fault everything must be in order again within this and the time that [`Frame::calm`] adds for what
/// waits. Above the failure timeout, the dials and the recomputation that follow it, by an order of magnitude.
const CALM: Duration = Duration::from_secs(5);

/// Shares of the cores that the input takes, in percent: from a cluster that waits for work to one in which a fault nearly
/// always strikes some.
const LOADS: [u64; 6] = [2, 5, 10, 20, 30, 30];

/// What a network card carries, in Mbit/s for each core of the cluster and each percent of load: the least is four times
/// what one client sends for the job that takes the least of a core, so that no fault makes the network the place where all
/// waits.
const BANDWIDTHS: [u64; 3] = [12, 12, 50];

/// What the durable store takes in, in the same measure: it may hold the log of all input, and while nobody acknowledges,
/// clients send it twice.
const STORE_BANDWIDTH: u64 = 12;

/// And in Mbit/s no less than this.
const LEAST_STORE_BANDWIDTH: u64 = 1000;

/// Partitions: in the smallest clusters, too, more than one for most workers.
const LEAST_PARTITIONS: u64 = 3;
/// Each takes messages and a line of log for every map; more of them show nothing new.
const MOST_PARTITIONS: u64 = 48;

/// The share of the cores that are left, in percent, which the load may take when workers have died for good: what waited
/// can be worked off.
const MOST_LOAD: u64 = 40;

/// Input is gathered for no longer than this until a map takes it.
const LONGEST_BLOCK: Duration = Duration::from_millis(200);

/// What an interval costs beside its maps, in milliseconds at most: seal, reduces, results.
const AFTER_MAPS: u64 = 100;

/// What is left of the run after that, so that the calm can be seen.
const AFTER_CALM: Duration = Duration::from_secs(2);

/// Counts among a job's parameters stay this near to their least.
const MOST_COUNT: u64 = 12;

/// A result is on time within this after its interval's end and one interval.
const ON_TIME: Duration = Duration::from_secs(1);

/// Draws the scenario of a seed for these engines, resolved in `context`. The errors are those of the template.
pub fn draw(
    seed: u64,
    engines: &[String],
    template: &Template,
    path: &Path,
    context: &Context,
) -> Result<Plan, Vec<ScenarioError>> {
    let dice = Dice::new(seed);
    let frame = Frame::draw(&dice, template);
    let mut common = frame.lines(seed, &dice);
    common.extend(workload(&dice, &frame, template, context));
    common.push(format!("expect:\n  - output: declared\n  - calm: {}", millis(frame.calm())));
    let declared = || context.engines.iter().filter(|engine| engines.contains(&engine.name));
    let resolve = |offs: Offs, faults: &[String]| {
        let engines =
            declared().map(|engine| format!("  - {}: {{ {} }}", engine.name, options(&dice, engine, &frame, offs)));
        let engines: Vec<String> = engines.collect();
        let faults: Vec<String> = faults.iter().map(|fault| format!("  - {fault}\n")).collect();
        let list = if faults.is_empty() { String::new() } else { format!("\nfaults:\n{}", faults.concat()) };
        let text = format!("{}\nengines:\n{}{list}", common.join("\n"), engines.join("\n"));
        load(path, &template.complete(&text), context)
    };
    // An engine may refuse the job without what was drawn to be off.
    let offs = if resolve(Offs::Drawn, &[]).is_ok() { Offs::Drawn } else { Offs::None };
    let resolve = |faults: &[String]| resolve(offs, faults);
    let plan = resolve(&[])?;
    if !plan.faults.is_empty() {
        return Ok(plan); // the template's own
    }
    let mut chosen: Vec<String> = Vec::new();
    for fault in fault::draw(&dice, &plan, &frame) {
        chosen.push(fault);
        // Two faults that cannot happen together: the later one is left out.
        if resolve(&chosen).is_err() {
            chosen.pop();
        }
    }
    resolve(&chosen)
}

/// What the rest is drawn within.
struct Frame {
    workers: u64,
    cores: u64,
    interval: Duration,
    /// Faults begin and end within this.
    storm: Duration,
    /// The share of the cores that the input takes, in percent.
    load: u64,
}

impl Frame {
    fn draw(dice: &Dice, template: &Template) -> Frame {
        let (workers, cores) = (template.count(&["cluster", "workers"]), template.count(&["cluster", "cores"]));
        Frame {
            workers: workers.unwrap_or_else(|| dice.pick("workers", &[2, 3, 3, 4, 4, 5, 6, 8])),
            cores: cores.unwrap_or_else(|| dice.pick("cores", &[1, 1, 2, 2, 4])),
            interval: template
                .interval()
                .unwrap_or_else(|| Duration::from_millis(dice.pick("interval", &[200, 500, 500, 1000, 1000, 2000]))),
            storm: Duration::from_secs(dice.pick("storm", &[4, 5, 6, 7])),
            load: dice.pick("load", &LOADS),
        }
    }

    /// How long after the last fault results may be late: where nothing was done during the whole storm and as many workers
    /// have gone for good as may, the rest works that off beside what goes on coming in.
    fn calm(&self) -> Duration {
        let load = (2 * self.load).min(MOST_LOAD);
        CALM + Duration::from_millis(self.storm.as_millis() as u64 * load / (100 - load))
    }

    /// How long an interval is computed where no other one is: the share of it that the load takes, and what follows.
    fn work_ms(&self) -> u64 {
        self.interval.as_millis() as u64 * self.load / 100 + AFTER_MAPS
    }

    /// How many intervals an engine works on at once, where it counts them: one after the other they must take no larger
    /// share of the time than the load may take of the cores, or what waited is never worked off, however many cores
    /// idle. The last map may take a worker's whole block, on one core of those for which it came.
    fn least_overlap(&self) -> u64 {
        let block = LONGEST_BLOCK.min(self.interval).as_millis() as u64 * self.load * self.cores / 100;
        let length = (self.interval.as_millis() as u64).max(1);
        ((self.work_ms() + block) * 100).div_ceil(MOST_LOAD * length)
    }

    /// One for every second core up to two for each, so that there are reduces to be struck, and not so many that they are
    /// the load; and no fewer than [`Frame::least_partitions`].
    fn partitions(&self, dice: &Dice) -> u64 {
        let halves = self.workers * self.cores * dice.pick("partitions", &[1, 2, 4, 4]);
        (halves / 2).max(self.least_partitions()).clamp(LEAST_PARTITIONS, MOST_PARTITIONS)
    }

    /// How many partitions there must be. Where one is a chain of operators it has one core, however many idle: its part of
    /// the load must take no larger share of that core than the load may take of all, or what is made again from the
    /// beginning is not worked off by the end of the calm.
    fn least_partitions(&self) -> u64 {
        (self.workers * self.cores * self.load).div_ceil(MOST_LOAD)
    }

    /// How many workers may die for good, or wait until they are called, which takes longer than the calm where little else
    /// tells that they are needed: at most every second one, and no more than the load allows.
    fn may_go(&self) -> u64 {
        let needed = (self.workers * self.load).div_ceil(MOST_LOAD);
        (self.workers / 2).min(self.workers.saturating_sub(needed))
    }

    /// Whether one worker can work off what waited for all: where places are fixed, the one that stayed when the others were
    /// away holds all that came meanwhile, and nobody takes it from there.
    fn one_can_do_all(&self) -> bool {
        self.workers * self.load <= MOST_LOAD
    }

    fn lines(&self, seed: u64, dice: &Dice) -> Vec<String> {
        let latency = dice.pick("latency", &["1ms", "1ms", "2ms", "5ms", "10ms"]);
        let bandwidth = self.workers * self.cores * self.load * dice.pick("bandwidth", &BANDWIDTHS);
        let store = dice.pick("store", &["5ms", "5ms", "20ms", "50ms"]);
        let into_store = (self.workers * self.cores * self.load * STORE_BANDWIDTH).max(LEAST_STORE_BANDWIDTH);
        let timeout = dice.pick("failure timeout", &["500ms", "500ms", "1s"]);
        vec![
            format!("title: swarm {seed}"),
            format!("about: Drawn from seed {seed}."),
            format!("seed: {seed}"),
            format!("duration: {}", millis(self.storm + self.calm() + AFTER_CALM)),
            "warmup: 1s".to_owned(),
            format!("slo: {}", millis(self.interval + ON_TIME)),
            "cluster:".to_owned(),
            format!("  workers: {}", self.workers),
            format!("  cores: {}", self.cores),
            format!("  clients: {}", dice.pick("clients", &[1, 2, 3])),
            format!("  partitions: {}", self.partitions(dice)),
            format!("  link: {{ latency: {latency}, bandwidth: {bandwidth}Mbit }}"),
            format!("  store: {{ latency: {store}, bandwidth: {into_store}Mbit }}"),
            format!("  failure_timeout: {timeout}"),
        ]
    }
}

fn millis(length: Duration) -> String {
    format!("{}ms", length.as_millis())
}

fn workload(dice: &Dice, frame: &Frame, template: &Template, context: &Context) -> Vec<String> {
    let built: Vec<&JobDeclaration> = context.jobs.iter().filter(|job| job.built).collect();
    let named = template.word(&["workload", "job"]);
    let drawn = || built.get(dice.below("job", built.len() as u64) as usize).copied();
    let job = built.iter().find(|job| Some(&job.name) == named.as_ref()).copied().or_else(drawn);
    // The more cores, the more each record stands for: it is the load that counts, and few records make it.
    let scale = frame.workers * frame.cores * dice.pick("scale", &[10, 30, 100]);
    let (keys, skew) = (dice.pick("keys", &[20, 200, 2000, 5000]), dice.pick("skew", &["0.5", "1.0", "1.2"]));
    let params: Vec<String> = job.map(|job| params(dice, job, frame)).unwrap_or_default();
    let name = job.map(|job| job.name.clone()).unwrap_or_default();
    let mut lines = vec!["workload:".to_owned(), format!("  job: {}", named.unwrap_or(name))];
    lines.push(format!("  params: {{ {} }}", params.join(", ")));
    if !template.has(&["workload", "source"]) {
        let has_pattern = job.is_some_and(|job| job.params.iter().any(|param| param.name == "pattern"));
        let needle = if has_pattern { ", needle: 2%" } else { "" };
        let source = format!("rate: {}%, record: 100B, keys: {keys}, skew: {skew}{needle}", frame.load);
        lines.push(format!("  source: {{ generate: {{ {source} }} }}"));
        lines.push(format!("  scale: {scale}"));
    }
    lines
}

/// The parameters that this build has, drawn by their kinds; one that is any text keeps its default.
fn params(dice: &Dice, job: &JobDeclaration, frame: &Frame) -> Vec<String> {
    let mut params = Vec::new();
    // Half of the windows are a few intervals long, some reach back to the start.
    let windowed = dice.below("windowed", 10);
    for spec in job.params.iter().filter(|spec| !spec.unbuilt) {
        let value = match &spec.kind {
            ParamKind::Window if windowed < 5 => millis(frame.interval * dice.pick("window", &[2u32, 3, 4, 6])),
            ParamKind::Window if windowed < 7 => "all".to_owned(),
            ParamKind::Slide if windowed < 5 => millis(frame.interval * dice.pick("slide", &[1u32, 1, 2])),
            ParamKind::Count(range) => {
                let most = (*range.end()).min(range.start().saturating_add(MOST_COUNT));
                (range.start() + dice.below(spec.name, most - range.start() + 1)).to_string()
            }
            ParamKind::Window | ParamKind::Slide | ParamKind::Text => continue,
        };
        params.push(format!("{}: {value}", spec.name));
    }
    params
}

/// Whether parts of an engine may be drawn to be off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Offs {
    Drawn,
    None,
}

/// The options that work in this build, each at its default as often as not.
fn options(dice: &Dice, engine: &EngineDeclaration, frame: &Frame, offs: Offs) -> String {
    let built = engine.options.iter().filter(|option| option.unbuilt == Unbuilt::Nothing);
    let values = built.filter_map(|option| {
        let dice = dice.inner(&format!("{} {}", engine.name, option.name));
        let may_be_off = matches!(option.kind, OptionKind::OrOff(_));
        let value = match option.name {
            "interval" => Some(millis(frame.interval)),
            "checkpoint" if may_be_off && dice.below("off", 4) == 0 => Some("off".to_owned()),
            "checkpoint" => Some(millis(frame.interval * dice.pick("intervals", &[1u32, 2, 3, 5]))),
            _ if dice.below("default", 2) == 0 => None,
            "overlap" => value(&dice, option, frame).map(|value| no_less(value, frame.least_overlap())),
            "spares" => value(&dice, option, frame).map(|value| no_more(value, frame.may_go())),
            "placement" => value(&dice, option, frame).filter(|value| value != "fixed" || frame.one_can_do_all()),
            _ => value(&dice, option, frame),
        };
        let value = value.filter(|value| offs == Offs::Drawn || value != "off");
        value.map(|value| format!("{}: {value}", option.name))
    });
    values.collect::<Vec<_>>().join(", ")
}

fn value(dice: &Dice, option: &OptionSpec, frame: &Frame) -> Option<String> {
    value_of(dice, &option.kind, &option.default, frame)
}

/// The count, or this one; what is no count stays.
fn no_more(value: String, most: u64) -> String {
    value.parse().map_or(value, |count: u64| count.min(most).to_string())
}

/// The count, or this one; what is no count stays.
fn no_less(value: String, least: u64) -> String {
    value.parse().map_or(value, |count: u64| count.max(least).to_string())
}

fn value_of(dice: &Dice, kind: &OptionKind, default: &OptionValue, frame: &Frame) -> Option<String> {
    Some(match (kind, default) {
        (OptionKind::OrOff(_), _) if dice.below("off", 3) == 0 => "off".to_owned(),
        (OptionKind::OrOff(kind), default) => return value_of(dice, kind, default, frame),
        (OptionKind::Duration { at_least }, OptionValue::Duration(default)) if !default.is_zero() => {
            let length = *default / dice.pick("part", &[1u32, 2, 4]);
            millis(length.max(*at_least).min(frame.interval))
        }
        (OptionKind::Duration { at_least }, _) => millis((frame.interval / 10).max(*at_least)),
        // No more than there are workers to count.
        (OptionKind::Count { at_least, at_most }, _) => {
            let most = (*at_most).min(frame.workers).min(at_least + 2).max(*at_least);
            (at_least + dice.below("count", most - at_least + 1)).to_string()
        }
        // From next to nothing to more than some need.
        (OptionKind::Size { at_least }, _) => format!("{}B", at_least << dice.pick("size", &[4u32, 8, 12])),
        (OptionKind::Factor { at_least }, _) => (at_least * dice.pick("factor", &[1.0, 1.4, 2.0])).to_string(),
        (OptionKind::Choice(words), _) => words.get(dice.below("word", words.len() as u64) as usize)?.to_string(),
    })
}

#[cfg(test)]
mod tests;
