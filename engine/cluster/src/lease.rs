//! The lease: who leads, by objects in the durable store. One term after the other, each won by creating its object.
//!
//! Knows no engine. Clocks are never compared: a candidate watches the holder's counter, and takes over when that
//! has stood for the time to live on the candidate's own clock. The holder says how long that is: where the store takes
//! long to answer, a lease that ran out meanwhile would never be good. While the store does not answer or takes nothing, a
//! holder cannot count: no candidate counts that time. A lease is for getting on, not for safety: a
//! holder that was paused may still believe in it. What must not be done twice carries the term (the fencing token), or
//! is a create-only object. Invariant: a term has one holder, for ever.
//!
//! ```text
//! candidate --nobody holds, the counter stood, or the holder was an earlier life of this node--> creates term + 1
//!    ^                                                   | somebody was sooner: watches him
//!    |                                                   v
//!    '--------- another term is in the store ------- holder: counts up in its own object
//! ```

use crate::core::{BoxCore, Core};
use crate::layout::Role;
use crate::message::{open, seal};
use bytes::Bytes;
use dstream_host::{Host, StoreError};
use dstream_trace::{Moment, NodeName};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What the keys of terms begin with.
const PREFIX: &str = "lease/";

/// A candidate looks, and a holder counts, so often within the time to live: one answer of the store may be late or lost.
const LOOKS: u32 = 4;

/// A look that takes more than this part of the time to live has met a store that was away. Two requests of the pace that
/// the holder found take half of it.
const SLOW: u32 = 2;

/// What stands in a term's object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Who holds it.
    pub holder: NodeName,
    /// Which of its lives.
    pub incarnation: u64,
    /// Grows while it lives.
    pub count: u64,
    /// Who watches takes the next term when this object has stood for so long.
    pub time_to_live: Duration,
}

/// What a candidate does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Take this term.
    Take(u64),
    /// Look again then.
    Watch(Moment),
}

/// What happens to a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// It looked at the newest term. It was read somewhen between the question and the answer.
    Looked {
        /// When the store was asked.
        asked: Moment,
        /// When it answered.
        answered: Moment,
        /// The term and what stood in it, if there is one.
        newest: Option<(u64, Held)>,
    },
    /// The store failed: what was seen before says nothing any more.
    Failed,
}

/// The candidate's core: what it has seen, and since when.
#[derive(Debug)]
pub struct Watch {
    me: NodeName,
    /// The least that this node's own leases live for; it looks several times within that.
    time_to_live: Duration,
    /// The newest term with what stood in it, and when that was surely there.
    seen: Option<(u64, Held, Moment)>,
    /// Since when this heir has seen that nobody ever held it.
    never_held: Option<Moment>,
}

impl Watch {
    /// A candidate that has seen nothing.
    pub fn new(me: NodeName, time_to_live: Duration) -> Watch {
        Watch { me, time_to_live, seen: None, never_held: None }
    }

    /// Looks at the newest term. This node may have been paused between `asked` and `answered`. So what it read stands since
    /// the first answer at the latest, and until the last question at least. An answer that took as long as several counts
    /// take says nothing of the holder, whom the same store may not have answered.
    fn look(&mut self, (asked, answered): (Moment, Moment), newest: Option<(u64, Held)>) -> Verdict {
        let Some((term, held)) = newest else { return self.look_at_none(asked, answered) };
        // One node is one process: if this one asks, the life that held it is over.
        if held.holder == self.me {
            return Verdict::Take(term + 1);
        }
        let stood = self.seen.take().filter(|(of, before, _)| (*of, before) == (term, &held));
        let was_away = answered.since(asked) > held.time_to_live / SLOW;
        let since = stood.filter(|_| !was_away).map_or(answered, |(.., since)| since);
        let over = since + held.time_to_live;
        self.seen = Some((term, held, since));
        match over <= asked {
            true => Verdict::Take(term + 1),
            false => Verdict::Watch(over.min(answered + self.time_to_live / LOOKS)),
        }
    }
}

impl Watch {
    /// Nobody ever held it. Where a master and its heirs start together, the master is to lead: an heir waits as it would
    /// for a holder.
    fn look_at_none(&mut self, asked: Moment, answered: Moment) -> Verdict {
        if !matches!(Role::of(&self.me), Some(Role::Standby(_))) {
            return Verdict::Take(1);
        }
        let over = *self.never_held.get_or_insert(answered) + self.time_to_live;
        match over <= asked {
            true => Verdict::Take(1),
            false => Verdict::Watch(over.min(answered + self.time_to_live / LOOKS)),
        }
    }
}

impl Core for Watch {
    type Event = WatchEvent;
    type Action = Verdict;

    fn step(&mut self, _now: Moment, event: WatchEvent, verdicts: &mut Vec<Verdict>) {
        match event {
            WatchEvent::Looked { asked, answered, newest } => verdicts.push(self.look((asked, answered), newest)),
            WatchEvent::Failed => (self.seen, self.never_held) = (None, None),
        }
    }

    fn deadline(&self) -> Option<Moment> {
        None // the verdict says when to look again
    }
}

/// A candidate with its core.
pub struct Candidate {
    watch: BoxCore<WatchEvent, Verdict>,
    /// The least that its leases live for.
    time_to_live: Duration,
}

impl Candidate {
    /// A candidate that has seen nothing.
    pub fn new(watch: BoxCore<WatchEvent, Verdict>, time_to_live: Duration) -> Candidate {
        Candidate { watch, time_to_live }
    }

    fn looked(&mut self, asked: Moment, answered: Moment, newest: Option<(u64, Held)>) -> Option<Verdict> {
        let mut verdicts = Vec::new();
        self.watch.step(answered, WatchEvent::Looked { asked, answered, newest }, &mut verdicts);
        verdicts.pop()
    }

    fn failed(&mut self, now: Moment) {
        self.watch.step(now, WatchEvent::Failed, &mut Vec::new());
    }
}

/// A term that this node holds.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The term: the fencing token.
    pub term: u64,
    held: Held,
    /// It lives for so long at least.
    least: Duration,
    /// How long the store took for the last renewal.
    took: Duration,
    /// It is not to be believed in any longer, unless it is renewed.
    pub until: Moment,
}

fn key(term: u64) -> String {
    format!("{PREFIX}{term:020}")
}

/// The newest term and what stands in it.
async fn newest(host: &Host) -> Result<Option<(u64, Held)>, StoreError> {
    let keys = host.store.list(PREFIX).await?;
    let Some(last) = keys.last() else { return Ok(None) };
    let Some(term) = last.strip_prefix(PREFIX).and_then(|number| number.parse().ok()) else { return Ok(None) };
    let body = host.store.get(last, 1).await?;
    let (held, _) = open::<Held>(&body).map_err(|error| StoreError::Failed(format!("`{last}`: {error}")))?;
    Ok(Some((term, held)))
}

impl Lease {
    /// Looks once, and takes the term that is free by then; else says when to look again. A store that does not answer is
    /// asked again like one where somebody holds the lease.
    pub async fn try_take(host: &Host, candidate: &mut Candidate) -> Result<Lease, Moment> {
        let asked = host.clock.now();
        let newest = newest(host).await;
        let answered = host.clock.now();
        let (least, took) = (candidate.time_to_live, answered.since(asked));
        let again = answered + least / LOOKS;
        let newest = newest.map_err(|_| candidate.failed(answered)).map_err(|()| again)?;
        let term = match candidate.looked(asked, answered, newest) {
            Some(Verdict::Take(term)) => term,
            Some(Verdict::Watch(until)) => return Err(until),
            None => return Err(again),
        };
        let time_to_live = least.max(took * LOOKS);
        let held = Held { holder: host.name.clone(), incarnation: host.incarnation, count: 0, time_to_live };
        if let Err(error) = host.store.create(&key(term), body(&held)).await {
            if matches!(error, StoreError::Failed(_)) {
                candidate.failed(host.clock.now());
            }
            return Err(again);
        }
        Ok(Lease { term, held, least, took, until: answered + time_to_live })
    }

    /// When to count up next.
    pub fn renew_at(&self) -> Moment {
        Moment(self.until.0.saturating_sub(nanos(self.held.time_to_live) / u64::from(LOOKS) * u64::from(LOOKS - 1)))
    }

    /// Counts up. The lease is good for its time to live from when this was asked. That follows the store's pace; one slow
    /// answer alone, or a pause of this node, does not make it longer.
    pub async fn renew(&mut self, host: &Host) -> Result<(), StoreError> {
        let asked = host.clock.now();
        self.held.count += 1;
        host.store.put(&key(self.term), body(&self.held), 1).await?;
        self.until = asked + self.held.time_to_live;
        let took = host.clock.now().since(asked);
        self.held.time_to_live = self.least.max(took.min(self.took) * LOOKS);
        self.took = took;
        Ok(())
    }

    /// Whether nobody holds a later term. A holder that slept past its lease asks before it does anything more.
    pub async fn is_newest(&self, host: &Host) -> Result<bool, StoreError> {
        Ok(newest(host).await?.is_none_or(|(term, _)| term <= self.term))
    }
}

fn body(held: &Held) -> Bytes {
    seal(Vec::new(), held)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Take, Watch as Wait};

    fn at(ms: u64) -> Moment {
        Moment::from_millis(ms)
    }

    fn held(by: &str, count: u64) -> Held {
        Held { holder: NodeName::new(by), incarnation: 1, count, time_to_live: Duration::from_secs(1) }
    }

    /// When it was asked and answered, and the newest term with what stood in it.
    type Look = ((u64, u64), Option<(u64, Held)>);

    /// What a candidate `b` with a time to live of 1 s makes of what it sees at these times in milliseconds.
    #[track_caller]
    fn check(looks: &[(u64, Option<(u64, Held)>)], expected: &[Verdict]) {
        let looks: Vec<_> = looks.iter().map(|(ms, newest)| ((*ms, *ms), newest.clone())).collect();
        check_answers(&looks, expected);
    }

    /// The same, with when each was asked and answered.
    #[track_caller]
    fn check_answers(looks: &[Look], expected: &[Verdict]) {
        let mut watch = Watch::new(NodeName::new("b"), Duration::from_secs(1));
        let look = |((asked, answered), newest): &Look| watch.look((at(*asked), at(*answered)), newest.clone());
        assert_eq!(looks.iter().map(look).collect::<Vec<Verdict>>(), expected);
    }

    #[test]
    fn the_first_term_is_free() {
        check(&[(0, None)], &[Take(1)]);
    }

    #[test]
    fn an_heir_leaves_the_first_term_to_the_master_for_as_long_as_it_would_wait_for_a_holder() {
        let mut watch = Watch::new(NodeName::new("standby-1"), Duration::from_secs(1));
        let mut look = |ms| watch.look((at(ms), at(ms)), None);
        assert_eq!(
            [look(100), look(350), look(1099), look(1100)],
            [Wait(at(350)), Wait(at(600)), Wait(at(1100)), Take(1)]
        );
        assert_eq!(watch.look((at(1200), at(1200)), Some((1, held("a", 7)))), Wait(at(1450)));
    }

    #[test]
    fn a_counter_that_stands_for_the_time_to_live_is_overtaken() {
        let newest = |count| Some((4, held("a", count)));
        check(
            &[(100, newest(7)), (900, newest(7)), (1099, newest(7)), (1100, newest(7))],
            &[Wait(at(350)), Wait(at(1100)), Wait(at(1100)), Take(5)],
        );
    }

    #[test]
    fn a_counter_that_grows_and_another_term_begin_the_time_anew() {
        let looks = [(0, Some((4, held("a", 7)))), (999, Some((4, held("a", 8)))), (1990, Some((5, held("c", 0))))];
        check(&looks, &[Wait(at(250)), Wait(at(1249)), Wait(at(2240))]);
    }

    #[test]
    fn a_candidate_that_was_paused_while_it_asked_does_not_count_its_pause() {
        let newest = |count| Some((4, held("a", count)));
        check_answers(&[((100, 5100), newest(7)), ((5350, 5360), newest(7))], &[Wait(at(5350)), Wait(at(5610))]);
    }

    #[test]
    fn who_waited_for_the_store_does_not_blame_the_holder() {
        let newest = |count| Some((4, held("a", count)));
        check_answers(
            &[((0, 10), newest(7)), ((250, 5250), newest(7)), ((5500, 5510), newest(7)), ((6250, 6260), newest(7))],
            &[Wait(at(260)), Wait(at(5500)), Wait(at(5760)), Take(5)],
        );
    }

    #[test]
    fn a_holder_with_a_slow_store_is_waited_for_as_it_says() {
        let newest = || Some((4, Held { time_to_live: Duration::from_secs(6), ..held("a", 7) }));
        check(&[(0, newest()), (5_999, newest()), (6_000, newest())], &[Wait(at(250)), Wait(at(6_000)), Take(5)]);
    }

    #[test]
    fn an_earlier_life_of_this_node_is_not_waited_for() {
        check(&[(0, Some((4, held("b", 7))))], &[Take(5)]);
    }
}
