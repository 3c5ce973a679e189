//! Backpressure: a client sends nothing before it has heard how much it may send, and never more than that.
//!
//! Knows no master: what counts is what a client heard, when, and what it sent. Invariant: what was read in time may be sent
//! late, so what was let and not used counts until the client's process ends.

use super::Finding;
use dstream_trace::{Event, Moment, NodeName, TraceLine};
use std::collections::BTreeMap;
use std::time::Duration;

/// A client may read so much ahead of its limit: it reads in steps, and clocks are read twice.
const AHEAD: Duration = Duration::from_millis(200);

/// What one life of a client was let, and has sent.
struct Let {
    per_second: f64,
    since: Moment,
    /// The highest limit so far: so much of it may have been read ahead.
    highest: f64,
    /// Up to `since`.
    permitted: f64,
    sent: f64,
}

impl Let {
    fn at(&self, now: Moment) -> f64 {
        // However low a limit is, one record comes through in the end.
        let ahead = (self.highest * AHEAD.as_secs_f64()).max(1.0);
        self.permitted + self.per_second * now.since(self.since).as_secs_f64() + ahead
    }

    fn is_limited_to(&mut self, now: Moment, per_second: f64) {
        self.permitted += self.per_second * now.since(self.since).as_secs_f64();
        (self.per_second, self.since, self.highest) = (per_second, now, self.highest.max(per_second));
    }
}

/// The law, over the whole run.
pub(super) fn are_kept(lines: &[TraceLine]) -> Finding {
    let mut finding = Finding::default();
    let mut clients: BTreeMap<&NodeName, Let> = BTreeMap::new();
    for TraceLine { at, node, event, .. } in lines {
        match event {
            Event::NodeStarted { .. } => drop(clients.remove(node)),
            Event::SendingLimited { in_1000_s } => {
                let unheard = Let { per_second: 0.0, since: *at, highest: 0.0, permitted: 0.0, sent: 0.0 };
                clients.entry(node).or_insert(unheard).is_limited_to(*at, *in_1000_s as f64 / 1000.0);
            }
            Event::RecordsSent { range, .. } => match clients.get_mut(node) {
                None => finding.add(|| format!("{node} sent {range:?} at {at}, before it heard how much it may send")),
                Some(client) => {
                    client.sent += range.count() as f64;
                    let most = client.at(*at);
                    if client.sent > most {
                        let sent = client.sent;
                        finding.add(|| format!("{node} had sent {sent} records at {at}, and was let {most:.0}"));
                    }
                }
            },
            _ => {}
        }
    }
    finding
}

#[cfg(test)]
mod tests {
    use super::super::history::History;
    use dstream_trace::{Event, Moment, RecordRange};

    /// A client that hears these limits, in records a second, and sends so many records at these times.
    #[track_caller]
    fn check(heard: &[(u64, u64)], sent: &[(u64, u64)], restarts_at: Option<u64>, expected: &str) {
        let mut history = History::calm(1);
        history.limits = true;
        // Beside the client of the history, which keeps what it is let.
        history.add(0, "client-1", Event::SendingLimited { in_1000_s: 1_000_000 });
        for (at, per_second) in heard {
            history.add(*at, "client-2", Event::SendingLimited { in_1000_s: per_second * 1000 });
        }
        for (at, records) in sent {
            let range = RecordRange { client: 2, first: at * 1000, last: at * 1000 + records - 1 };
            let (first_scheduled, last_scheduled) = (Moment::from_millis(*at), Moment::from_millis(*at));
            history.add(*at, "client-2", Event::RecordsSent { range, first_scheduled, last_scheduled });
        }
        if let Some(at) = restarts_at {
            history.add(at, "client-2", Event::NodeStarted { incarnation: 2 });
        }
        let laws = history.checked().laws;
        let law = laws.iter().find(|law| law.check.contains("than they are let")).expect("limits are promised");
        assert_eq!(law.detail, expected);
    }

    #[test]
    fn a_client_sends_no_more_than_it_is_let() {
        check(&[(100, 100)], &[(200, 10), (1100, 90)], None, "");
        check(&[(100, 100)], &[(100, 20), (1100, 100)], None, "");
        check(&[(100, 100)], &[(1100, 121)], None, "client-2 had sent 121 records at 1.100000000s, and was let 120");
        let lowered = [(100, 100), (1100, 10)];
        check(&lowered, &[(2100, 130)], None, "");
        check(&lowered, &[(2100, 131)], None, "client-2 had sent 131 records at 2.100000000s, and was let 130");
    }

    #[test]
    fn a_client_sends_nothing_before_it_heard_how_much_it_may_send() {
        let unheard = "client-2 sent 2:200000-200000 at 0.200000000s, before it heard how much it may send";
        check(&[(300, 100)], &[(200, 1)], None, unheard);
        let again = "client-2 sent 2:400000-400000 at 0.400000000s, before it heard how much it may send";
        check(&[(100, 100)], &[(200, 1), (400, 1)], Some(300), again);
    }
}
