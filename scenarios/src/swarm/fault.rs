//! Faults of a storm: aimed at the ends of intervals as often as not, often at one another, and all over before the
//! calm, but for processes that die for good.
//!
//! Invariant: at most every second worker dies for good, and one client stays.

use super::dice::Dice;
use crate::plan::Plan;
use std::time::Duration;

/// How many faults a storm may have.
const MOST_FAULTS: u64 = 6;

/// How long faults last, in milliseconds: around the failure timeout, far below and far above it.
const LENGTHS: [u64; 8] = [100, 200, 300, 450, 600, 1000, 1500, 2500];

/// What happens around the end of an interval, in milliseconds from it: batches, the seal, maps, reduces, results.
const AIM_FROM: u64 = 30;
/// Half of the aimed ones fall within the first, where the tasks run.
const AIM_WIDTHS: [u64; 2] = [70, 300];

/// Kinds of faults, the more interesting ones more often.
const KINDS: [&str; 14] = [
    "crash",
    "crash",
    "crash",
    "power-loss",
    "power-loss",
    "pause",
    "pause",
    "partition",
    "partition",
    "outage",
    "delay",
    "slow-cpu",
    "slow-nic",
    "crash-client",
];

/// Candidates; whether two of them can happen together is the parser's to say.
pub(super) fn draw(dice: &Dice, plan: &Plan, storm: Duration) -> Vec<String> {
    let count = 1 + dice.below("faults", MOST_FAULTS);
    let mut storm = Storm { dice, plan, storm, last_at: None, gone_workers: 0, gone_clients: 0 };
    (0..count).map(|number| storm.fault(&dice.inner(&format!("fault {number}")))).collect()
}

struct Storm<'a> {
    dice: &'a Dice,
    plan: &'a Plan,
    storm: Duration,
    last_at: Option<u64>,
    gone_workers: u32,
    gone_clients: u32,
}

impl Storm<'_> {
    fn fault(&mut self, dice: &Dice) -> String {
        let at = self.at(dice);
        self.last_at = Some(at);
        let room = (self.storm.as_millis() as u64).saturating_sub(at).max(50);
        let lasts = dice.pick("length", &LENGTHS).min(room);
        let when = format!("at: {at}ms");
        let until = format!("{when}, for: {lasts}ms");
        let (kind, node) = (dice.pick("kind", &KINDS), self.node(dice));
        match kind {
            "crash" | "power-loss" => self.death(dice, kind, &self.worker(dice, "victim"), &when, lasts),
            "crash-client" => {
                let client = self.client(dice, "victim");
                let kind = dice.pick("how", &["crash", "crash", "power-loss"]);
                self.death(dice, kind, &client, &when, lasts)
            }
            "pause" => format!("pause: {{ node: {node}, {until} }}"),
            "slow-cpu" | "slow-nic" => {
                let factor = dice.pick("factor", &[2, 4, 10, 50]);
                format!("{kind}: {{ node: {node}, factor: {factor}, {until} }}")
            }
            "partition" => {
                let one_way = dice.below("one way", 3) == 0;
                format!("partition: {{ {}, one_way: {one_way}, {until} }}", self.sides(dice))
            }
            "outage" => format!("outage: {{ {}, {until} }}", self.where_to(dice, &node)),
            _ => {
                let by = dice.pick("by", &[5, 20, 50, 120]);
                format!("delay: {{ {}, by: {by}ms, {until} }}", self.where_to(dice, &node))
            }
        }
    }

    /// Milliseconds after the warm-up: anywhere, around the end of an interval, or near the fault before.
    fn at(&self, dice: &Dice) -> u64 {
        let storm = self.storm.as_millis() as u64;
        let interval = (self.plan.interval.as_millis() as u64).max(1);
        let latest = storm.saturating_sub(100).max(1);
        let at = match (dice.below("aim", 4), self.last_at) {
            (0, Some(last)) => last + dice.below("after", 900),
            (0 | 1, _) => AIM_FROM + dice.below("at", latest),
            _ => {
                // The warm-up is a whole number of seconds, but not always of intervals.
                let width = dice.pick("width", &AIM_WIDTHS);
                let warmup = self.plan.warmup.as_millis() as u64;
                let end = (1 + dice.below("interval", storm / interval)) * interval;
                (end + interval - warmup % interval + dice.below("offset", width)).saturating_sub(AIM_FROM)
            }
        };
        at.clamp(1, latest)
    }

    fn death(&mut self, dice: &Dice, kind: &str, node: &str, when: &str, lasts: u64) -> String {
        let is_client = node.starts_with("client");
        let may_stay_away = if is_client {
            self.gone_clients + 1 < self.plan.cluster.clients
        } else {
            (self.gone_workers + 1) * 2 <= self.plan.cluster.workers
        };
        if may_stay_away && dice.below("for good", 3) == 0 {
            self.gone_clients += u32::from(is_client);
            self.gone_workers += u32::from(!is_client);
            return format!("{kind}: {{ node: {node}, {when} }}");
        }
        format!("{kind}: {{ node: {node}, {when}, restart_after: {lasts}ms }}")
    }

    fn worker(&self, dice: &Dice, purpose: &str) -> String {
        format!("worker-{}", 1 + dice.below(purpose, u64::from(self.plan.cluster.workers)))
    }

    fn client(&self, dice: &Dice, purpose: &str) -> String {
        format!("client-{}", 1 + dice.below(purpose, u64::from(self.plan.cluster.clients)))
    }

    /// Mostly a worker, at times the master or a client.
    fn node(&self, dice: &Dice) -> String {
        match dice.below("role", 8) {
            0 | 1 => "master".to_owned(),
            2 => self.client(dice, "node"),
            _ => self.worker(dice, "node"),
        }
    }

    /// Between a node and all others, or between two sides.
    fn where_to(&self, dice: &Dice, node: &str) -> String {
        if dice.below("of a node", 2) == 0 { format!("node: {node}") } else { self.sides(dice) }
    }

    /// Two sides: a worker or the master, and some of the others.
    fn sides(&self, dice: &Dice) -> String {
        let workers = u64::from(self.plan.cluster.workers);
        let first = 1 + dice.below("first", workers);
        let some = |purpose: &str| -> Vec<String> {
            let others = (1..=workers).filter(|worker| *worker != first);
            let chosen = others.filter(|worker| dice.below(&format!("{purpose} {worker}"), 2) == 0);
            chosen.map(|worker| format!("worker-{worker}")).collect()
        };
        let (one, mut other) = match dice.below("between", 6) {
            0 | 1 => (format!("worker-{first}"), vec!["master".to_owned()]),
            2 => (format!("worker-{first}"), some("peer")),
            3 => (self.client(dice, "cut off"), [some("of client"), vec!["master".to_owned()]].concat()),
            4 => ("master".to_owned(), [vec![format!("worker-{first}")], some("of master")].concat()),
            _ => (format!("worker-{first}"), [some("all"), vec!["master".to_owned()]].concat()),
        };
        if other.is_empty() {
            other.push("master".to_owned());
        }
        let (one, other) = (format!("[{one}]"), format!("[{}]", other.join(", ")));
        let turned = self.dice.below("turned", 2) == 0;
        let (between, and) = if turned { (other, one) } else { (one, other) };
        format!("between: {between}, and: {and}")
    }
}
