//! The pulse of one connection: when to show a sign of life, and when to call the other side silent.
//!
//! Pure: is told the time and what was seen. Invariant: a node that was itself stalled never counts its own absence
//! as the peer's silence; it asks once more and waits half a silence for the answer.
//!
//! Signs go by what was *sent*: each side shows one when it has sent nothing for a quarter of the silence. So a long
//! frame in one direction, which delays every answer behind it, does not look like a dead peer.

use dstream_trace::Moment;
use std::time::Duration;

/// What was seen on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signs {
    /// When the last byte arrived.
    pub heard: Moment,
    /// When the last byte was written.
    pub sent: Moment,
    /// Whether somebody waits for bytes; while the reader waits for the node instead, nothing can be heard.
    pub listening: bool,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Well,
    /// Show a sign of life.
    Show,
    /// Ask the peer for one.
    Ask,
    /// Give the peer up.
    Silent,
}

/// The pulse of one connection.
#[derive(Clone, Debug)]
pub struct Pulse {
    silence: Duration,
    /// Silence is counted from here at the earliest.
    floor: Moment,
    shown: Moment,
}

impl Pulse {
    /// The pulse of a connection that opened at `now`.
    pub fn new(now: Moment, silence: Duration) -> Pulse {
        Pulse { silence, floor: now, shown: now }
    }

    /// Judges at `now`. `stalled`: this node was away until just now.
    pub fn judge(&mut self, now: Moment, signs: Signs, stalled: bool) -> Verdict {
        if stalled {
            self.floor = self.floor.max(now - self.silence / 2);
        }
        if !signs.listening {
            self.floor = now;
        }
        if now >= self.silent_at(signs) {
            return Verdict::Silent;
        }
        if stalled {
            self.shown = now;
            return Verdict::Ask;
        }
        if now >= self.show_at(signs) {
            self.shown = now;
            return Verdict::Show;
        }
        Verdict::Well
    }

    /// When to judge again, if nothing is heard or sent until then.
    pub fn next(&self, signs: Signs) -> Moment {
        self.silent_at(signs).min(self.show_at(signs))
    }

    fn silent_at(&self, signs: Signs) -> Moment {
        signs.heard.max(self.floor) + self.silence
    }

    fn show_at(&self, signs: Signs) -> Moment {
        signs.sent.max(self.shown) + self.silence / 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_millis(400);

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    fn signs(heard: u64, sent: u64) -> Signs {
        Signs { heard: at(heard), sent: at(sent), listening: true }
    }

    /// Judges a pulse that opened at 0.
    fn check(now: u64, signs: Signs, stalled: bool, expected: Verdict) {
        assert_eq!(Pulse::new(at(0), SILENCE).judge(at(now), signs, stalled), expected, "at {now} ms");
    }

    #[test]
    fn signs_go_a_quarter_of_the_silence_after_the_last_byte_sent() {
        check(99, signs(50, 0), false, Verdict::Well);
        check(100, signs(50, 0), false, Verdict::Show);
        check(100, signs(50, 10), false, Verdict::Well);
    }

    #[test]
    fn a_peer_not_heard_for_the_silence_is_silent() {
        check(399, signs(0, 390), false, Verdict::Well);
        check(400, signs(0, 390), false, Verdict::Silent);
        check(400, signs(1, 390), false, Verdict::Well);
    }

    #[test]
    fn a_reader_that_waits_for_its_node_hears_nothing_and_accuses_nobody() {
        check(1000, Signs { listening: false, ..signs(0, 990) }, false, Verdict::Well);
    }

    #[test]
    fn after_a_stall_the_peer_has_half_a_silence_to_answer() {
        let mut pulse = Pulse::new(at(0), SILENCE);
        let seen = signs(10, 10);
        assert_eq!(pulse.judge(at(5000), seen, true), Verdict::Ask);
        assert_eq!(pulse.judge(at(5199), Signs { sent: at(5199), ..seen }, false), Verdict::Well);
        assert_eq!(pulse.judge(at(5200), seen, false), Verdict::Silent);
    }

    #[test]
    fn a_shown_sign_that_waits_for_the_writer_is_not_shown_again_at_once() {
        let mut pulse = Pulse::new(at(0), SILENCE);
        assert_eq!(pulse.judge(at(100), signs(100, 0), false), Verdict::Show);
        assert_eq!(pulse.judge(at(150), signs(100, 0), false), Verdict::Well);
        assert_eq!(pulse.next(signs(100, 0)), at(200));
    }
}
