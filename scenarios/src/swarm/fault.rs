//! Faults of a storm: aimed at the moments in which something is under way, often at one another, and all over before
//! the calm, but for processes that die for good.
//!
//! Invariant: no more workers die for good than the frame allows, and one client stays.

use super::Frame;
use super::dice::Dice;
use crate::plan::Plan;

/// How many faults a storm may have.
const MOST_FAULTS: u64 = 6;

/// How long faults last, in percent of the failure timeout: below, around and far above it.
const LENGTHS: [u64; 8] = [20, 50, 80, 95, 120, 200, 300, 500];

/// What happens around the end of an interval, in milliseconds from it: batches, the seal, maps, reduces, results.
const AIM_FROM: u64 = 30;
/// Half of the aimed ones fall within the first, where the tasks of an idle cluster run.
const AIM_WIDTHS: [u64; 2] = [70, 300];

/// Within this of the moment in which the loss of a node should be noticed, on both sides, in milliseconds.
const NOTICED_WITHIN: u64 = 60;

/// What is wrong with the durable store, in every fourth storm or so.
const STORE_KINDS: [&str; 5] = ["outage", "outage", "disk-full", "disk-error", "delay"];

/// A worker that limps through the storm takes so many times as long.
const LIMP: [u64; 3] = [2, 4, 6];

/// A worker stands still for so many failure timeouts while another master takes over: around what that one needs to lead
/// and to count it as lost, and above.
const OVER_A_TAKEOVER: [u64; 4] = [3, 4, 4, 5];

/// No fault is shorter, in milliseconds.
const SHORTEST_MS: u64 = 50;

/// How many intervals a worker ails before it dies: time for its states to move on, and not for all that lies between them
/// and the last checkpoint to be stored.
const AILING_INTERVALS: [u64; 3] = [2, 3, 5];

/// And how many times as long it takes by then: clearly more than what speculation lets pass.
const AILING: [u64; 3] = [4, 8, 16];

/// Kinds of faults, the more interesting ones more often.
const KINDS: [&str; 15] = [
    "crash",
    "crash",
    "crash",
    "power-loss",
    "power-loss",
    "pause",
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
pub(super) fn draw(dice: &Dice, plan: &Plan, frame: &Frame) -> Vec<String> {
    let count = 1 + dice.below("faults", MOST_FAULTS);
    let storm = frame.storm.as_millis() as u64;
    let mut storm = Storm { plan, frame, storm, last: None, gone_workers: 0, gone_clients: 0 };
    // Their dice are their own, too.
    let moves = storm.moves(&dice.inner("moves"));
    let limp = (dice.below("limps", 3) == 0).then(|| storm.limp(&dice.inner("limp")));
    let ailing = if dice.below("ails", 2) == 0 { storm.ailing(&dice.inner("ailing")) } else { Vec::new() };
    let takeover = if dice.below("takes over", 3) == 0 { storm.takeover(&dice.inner("takeover")) } else { Vec::new() };
    let faults = (0..count).map(|number| storm.fault(&dice.inner(&format!("fault {number}"))));
    let mut chosen: Vec<String> = moves.into_iter().chain(limp).chain(ailing).chain(takeover).chain(faults).collect();
    // At times several, one in the other's way. Their dice are their own: all else is drawn as it was without them.
    let of_the_store = dice.pick("faults of the store", &[0, 0, 0, 0, 0, 0, 1, 1, 2]);
    chosen.extend((0..of_the_store).map(|number| storm.of_the_store(&dice.inner(&format!("store {number}")))));
    chosen
}

/// When the fault before struck, in milliseconds after the warm-up, until when it lasted, and which worker it hit.
#[derive(Clone, Debug)]
struct Last {
    at: u64,
    until: u64,
    worker: String,
}

struct Storm<'a> {
    plan: &'a Plan,
    frame: &'a Frame,
    /// Its length in milliseconds.
    storm: u64,
    last: Option<Last>,
    gone_workers: u64,
    gone_clients: u32,
}

impl Storm<'_> {
    /// One worker is slow throughout, so that what else happens meets it at work.
    fn limp(&mut self, dice: &Dice) -> String {
        let (node, factor) = (self.any_worker(dice, "who"), dice.pick("factor", &LIMP));
        self.last = Some(Last { at: 10, until: self.storm - 10, worker: node.clone() });
        format!("slow-cpu: {{ node: {node}, factor: {factor}, at: 10ms, for: {}ms }}", self.storm - 20)
    }

    /// A worker is slow before it dies, as failing machines are: others have gone on with its states when it is gone. Mostly
    /// no worker reaches the store meanwhile, so that what it had made of them is nowhere else.
    fn ailing(&mut self, dice: &Dice) -> Vec<String> {
        let (worker, interval) = (self.any_worker(dice, "who"), (self.plan.interval.as_millis() as u64).max(1));
        let lasts = (dice.pick("intervals", &AILING_INTERVALS) * interval).min(self.storm / 2);
        let latest = self.storm - SHORTEST_MS;
        let at = 1 + dice.below("at", latest - lasts);
        let dies = (at + lasts + dice.below("dies", interval)).min(latest);
        let factor = dice.pick("factor", &AILING);
        let slow = format!("slow-cpu: {{ node: {worker}, factor: {factor}, at: {at}ms, for: {lasts}ms }}");
        let back = lasts.min(self.storm - dies);
        let death = self.death(dice, "crash", &worker, &format!("at: {dies}ms"), back);
        self.last = Some(Last { at: dies, until: dies + back, worker });
        let names: Vec<String> = (1..=self.plan.cluster.workers).map(|number| format!("worker-{number}")).collect();
        let (all, from) = (names.join(", "), at.saturating_sub(interval).max(1));
        let away = format!("outage: {{ between: [{all}], and: [store], at: {from}ms, for: {}ms }}", dies - from);
        let is_away = dice.below("store", 3) > 0;
        [slow, death].into_iter().chain(is_away.then_some(away)).collect()
    }

    /// Where another master can take over: the first one stands still until the storm is nearly over, and from about then on
    /// a worker does. What that one says when it goes on is of a term that is over. All workers have been slow for an
    /// interval, so that it is at work, and none is so much slower that others do its work as well.
    fn takeover(&self, dice: &Dice) -> Vec<String> {
        if !self.may_lose_master() || self.heirs().is_empty() {
            return Vec::new();
        }
        let timeout = self.plan.cluster.failure_timeout.as_millis() as u64;
        let interval = (self.plan.interval.as_millis() as u64).max(1);
        let lasts = (timeout * dice.pick("length", &OVER_A_TAKEOVER)).min(self.storm / 2);
        let at = self.end_of_interval(dice) + AIM_FROM + dice.below("work", self.frame.work_ms());
        let at = at.min(self.storm - lasts);
        let workers = 1..=u64::from(self.plan.cluster.workers);
        let (from, factor) = (at.saturating_sub(interval).max(1), dice.pick("factor", &AILING));
        let slow = |worker| {
            format!("slow-cpu: {{ node: worker-{worker}, factor: {factor}, at: {from}ms, for: {}ms }}", at - from)
        };
        let (worker, master_at) = (1 + dice.below("who", *workers.end()), at + dice.below("after", 20));
        let pauses = [
            format!("pause: {{ node: worker-{worker}, at: {at}ms, for: {lasts}ms }}"),
            format!("pause: {{ node: master, at: {master_at}ms, for: {}ms }}", self.storm - master_at),
        ];
        workers.map(slow).chain(pauses).collect()
    }

    /// In every second storm or so a worker comes later, or one is asked to leave, or both.
    fn moves(&mut self, dice: &Dice) -> Vec<String> {
        if !self.plan.engines.iter().all(|engine| engine.moves) || self.frame.may_go() == 0 {
            return Vec::new();
        }
        let (joins, drains) = dice.pick("what", &[(0, 0), (0, 0), (0, 0), (1, 0), (0, 1), (1, 1)]);
        let one = |kind: &str| {
            let dice = dice.inner(kind);
            let worker = 1 + dice.below("who", u64::from(self.plan.cluster.workers));
            format!("{kind}: {{ node: worker-{worker}, at: {}ms }}", self.at(&dice))
        };
        let moves = [("join", joins), ("drain", drains)].into_iter().filter(|(_, count)| *count > 0);
        let moves: Vec<String> = moves.map(|(kind, _)| one(kind)).collect();
        self.gone_workers += drains;
        moves
    }

    fn fault(&mut self, dice: &Dice) -> String {
        let at = self.at(dice);
        let timeout = self.plan.cluster.failure_timeout.as_millis() as u64;
        let lasts = (timeout * dice.pick("length", &LENGTHS) / 100).min(self.storm.saturating_sub(at).max(SHORTEST_MS));
        let when = format!("at: {at}ms");
        let until = format!("{when}, for: {lasts}ms");
        let worker = self.worker(dice);
        let (kind, node) = (dice.pick("kind", &KINDS), self.node(dice, &worker));
        self.last = Some(Last { at, until: at + lasts, worker: worker.clone() });
        match kind {
            "crash" | "power-loss" if self.may_lose_master() && dice.below("master", 4) == 0 => {
                self.death(dice, kind, "master", &when, lasts)
            }
            "crash" | "power-loss" => self.death(dice, kind, &worker, &when, lasts),
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
                format!("partition: {{ {}, one_way: {one_way}, {until} }}", self.sides(dice, &worker))
            }
            "outage" => format!("outage: {{ {}, {until} }}", self.where_to(dice, &node, &worker)),
            _ => {
                let by = dice.pick("by", &[5, 20, 50, 120]);
                format!("delay: {{ {}, by: {by}ms, {until} }}", self.where_to(dice, &node, &worker))
            }
        }
    }

    /// The store is away, full, broken or far for all, or away or far for one.
    fn of_the_store(&self, dice: &Dice) -> String {
        let at = self.at(dice);
        let timeout = self.plan.cluster.failure_timeout.as_millis() as u64;
        let lasts = (timeout * dice.pick("length", &LENGTHS) / 100).min(self.storm.saturating_sub(at).max(SHORTEST_MS));
        let one = match dice.below("whose", 4) {
            0 => Some("master".to_owned()),
            1 => Some(self.any_worker(dice, "who")),
            _ => None,
        };
        let whose = one.map_or_else(|| "node: store".to_owned(), |one| format!("between: [{one}], and: [store]"));
        match dice.pick("kind", &STORE_KINDS) {
            "outage" => format!("outage: {{ {whose}, at: {at}ms, for: {lasts}ms }}"),
            "delay" => {
                let by = dice.pick("by", &[20, 100, 400]);
                format!("delay: {{ {whose}, by: {by}ms, at: {at}ms, for: {lasts}ms }}")
            }
            kind => format!("{kind}: {{ node: store, at: {at}ms, for: {lasts}ms }}"),
        }
    }

    /// Milliseconds after the warm-up: anywhere, around the end of an interval or while it is computed, or by the fault
    /// before: near it, when its loss is noticed, or when it ends.
    fn at(&self, dice: &Dice) -> u64 {
        let latest = self.storm.saturating_sub(100).max(1);
        let at = match (dice.below("aim", 10), &self.last) {
            (0, Some(last)) => last.at + dice.below("after", 900),
            (1, Some(last)) => {
                let silent = self.plan.cluster.failure_timeout.as_millis() as u64;
                let broken = 2 * self.plan.cluster.heartbeat.as_millis() as u64;
                let noticed = last.at + dice.pick("noticed", &[silent, broken]);
                (noticed + dice.below("around", 2 * NOTICED_WITHIN)).saturating_sub(NOTICED_WITHIN)
            }
            (2, Some(last)) => last.until + dice.below("after its end", 300),
            (0..=3, _) => AIM_FROM + dice.below("at", latest),
            (4..=6, _) => self.end_of_interval(dice) + dice.below("work", self.frame.work_ms()),
            _ => {
                let offset = dice.below("offset", dice.pick("width", &AIM_WIDTHS));
                (self.end_of_interval(dice) + offset).saturating_sub(AIM_FROM)
            }
        };
        at.clamp(1, latest)
    }

    /// The end of some interval of the storm. The warm-up is a whole number of seconds, but not always of intervals.
    fn end_of_interval(&self, dice: &Dice) -> u64 {
        let interval = (self.plan.interval.as_millis() as u64).max(1);
        let warmup = self.plan.warmup.as_millis() as u64;
        (1 + dice.below("interval", self.storm / interval)) * interval + (interval - warmup % interval) % interval
    }

    fn death(&mut self, dice: &Dice, kind: &str, node: &str, when: &str, lasts: u64) -> String {
        let is_client = node.starts_with("client");
        let may_stay_away = if is_client {
            self.gone_clients + 1 < self.plan.cluster.clients
        } else if node == "master" {
            false
        } else {
            self.gone_workers < self.frame.may_go()
        };
        if may_stay_away && dice.below("for good", 3) == 0 {
            self.gone_clients += u32::from(is_client);
            self.gone_workers += u64::from(!is_client);
            return format!("{kind}: {{ node: {node}, {when} }}");
        }
        format!("{kind}: {{ node: {node}, {when}, restart_after: {lasts}ms }}")
    }

    fn may_lose_master(&self) -> bool {
        self.plan.engines.iter().all(|engine| engine.recovers_master)
    }

    /// At times the one that the fault before has hit.
    fn worker(&self, dice: &Dice) -> String {
        let again = self.last.as_ref().filter(|_| dice.below("again", 5) < 2);
        again.map_or_else(|| self.any_worker(dice, "victim"), |last| last.worker.clone())
    }

    fn any_worker(&self, dice: &Dice, purpose: &str) -> String {
        let heirs = self.heirs();
        if !heirs.is_empty() && dice.below(&format!("{purpose} is an heir"), 4) == 0 {
            let names: Vec<&str> = heirs.iter().map(String::as_str).collect();
            return dice.pick(&format!("{purpose} among heirs"), &names).to_owned();
        }
        format!("worker-{}", 1 + dice.below(purpose, u64::from(self.plan.cluster.workers)))
    }

    /// Standbys and replicas that all engines have.
    fn heirs(&self) -> Vec<String> {
        let engines = &self.plan.engines;
        let first = engines.first().map_or(&[][..], |engine| &engine.heirs);
        let common = first.iter().filter(|heir| engines.iter().all(|engine| engine.heirs.contains(heir)));
        common.map(ToString::to_string).collect()
    }

    fn client(&self, dice: &Dice, purpose: &str) -> String {
        format!("client-{}", 1 + dice.below(purpose, u64::from(self.plan.cluster.clients)))
    }

    /// Mostly a worker, at times the master or a client.
    fn node(&self, dice: &Dice, worker: &str) -> String {
        match dice.below("role", 8) {
            0 | 1 => "master".to_owned(),
            2 => self.client(dice, "node"),
            _ => worker.to_owned(),
        }
    }

    /// Between a node and all others, or between two sides.
    fn where_to(&self, dice: &Dice, node: &str, worker: &str) -> String {
        if dice.below("of a node", 2) == 0 { format!("node: {node}") } else { self.sides(dice, worker) }
    }

    /// Two sides: this worker, the master or a client, and some of the others.
    fn sides(&self, dice: &Dice, first: &str) -> String {
        let some = |purpose: &str| -> Vec<String> {
            let workers = (1..=self.plan.cluster.workers).map(|number| format!("worker-{number}"));
            let others = workers.chain(self.heirs()).filter(|worker| worker != first);
            others.filter(|worker| dice.below(&format!("{purpose} {worker}"), 2) == 0).collect()
        };
        let (one, mut other) = match dice.below("between", 6) {
            0 | 1 => (first.to_owned(), vec!["master".to_owned()]),
            2 => (first.to_owned(), some("peer")),
            3 => (self.client(dice, "cut off"), [some("of client"), vec!["master".to_owned()]].concat()),
            4 => ("master".to_owned(), [vec![first.to_owned()], some("of master")].concat()),
            _ => (first.to_owned(), [some("all"), vec!["master".to_owned()]].concat()),
        };
        if other.is_empty() {
            other.push("master".to_owned());
        }
        let (one, other) = (format!("[{one}]"), format!("[{}]", other.join(", ")));
        let turned = dice.below("turned", 2) == 0;
        let (between, and) = if turned { (other, one) } else { (one, other) };
        format!("between: {between}, and: {and}")
    }
}
