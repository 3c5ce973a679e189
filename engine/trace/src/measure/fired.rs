//! Whether a fault took effect: it ended a process, cut, held or delayed a message, stretched work or a transfer, or failed
//! a request to the durable store.
//!
//! A run whose fault did nothing proves nothing, so each kind of fault names the event that shows it.

use super::FaultFacts;
use super::facts::FaultTimes;
use crate::event::Event;
use crate::log::TraceLine;
use crate::name::NodeName;

/// The node that leads, unless an heir had to.
const MASTER: &str = "master";

/// How a fault shows when it takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The node's process ended.
    ProcessEnded,
    /// Something of the node waited.
    HeldByPause,
    /// Work of the node took longer.
    WorkStretched,
    /// A transfer through the node's network card took longer.
    TransferStretched,
    /// A message between the two sides was cut, in either direction.
    MessageCut,
    /// A message from the first side to the other was cut.
    MessageCutOneWay,
    /// A message between the two sides waited, in either direction.
    MessageHeld,
    /// A message between the two sides was late, in either direction.
    MessageDelayed,
    /// The node became a member.
    Joined,
    /// The node left, and its process ended by itself.
    Left,
    /// A request to the durable store failed for this reason.
    StoreFailed(&'static str),
}

/// Whether the log shows the fault's effect while the fault was on.
pub(super) fn fired(lines: &[TraceLine], fault: &FaultFacts, times: FaultTimes) -> bool {
    let Some(applied) = times.applied else { return false };
    let start = lines.partition_point(|line| line.at < applied);
    if names_an_idle_master(&lines[..start], fault) {
        return false;
    }
    lines[start..]
        .iter()
        .take_while(|line| times.ended.is_none_or(|ended| line.at <= ended))
        .any(|line| shows(fault, &line.node, &line.event))
}

/// Whether the fault names the master, and an heir has led from the start: it would strike who does nothing.
fn names_an_idle_master(before: &[TraceLine], fault: &FaultFacts) -> bool {
    let mut elected = before.iter().filter(|line| matches!(line.event, Event::MasterElected { .. })).peekable();
    let names_master = fault.nodes.iter().any(|node| node.as_str() == MASTER);
    names_master && elected.peek().is_some() && elected.all(|line| line.node.as_str() != MASTER)
}

fn shows(fault: &FaultFacts, node: &NodeName, event: &Event) -> bool {
    let between = fault.nodes.contains(node);
    match (fault.effect, event) {
        (Effect::ProcessEnded, Event::ProcessEnded)
        | (Effect::HeldByPause, Event::HeldByPause)
        | (Effect::WorkStretched, Event::WorkStretched { .. })
        | (Effect::TransferStretched, Event::TransferStretched { .. }) => between,
        (Effect::Left, Event::NodeEnded) => between,
        (Effect::Joined, Event::WorkerJoined { worker, .. }) => fault.nodes.contains(worker),
        (Effect::StoreFailed(why), Event::StoreFailed { why: said }) => said == why,
        (Effect::MessageCutOneWay, Event::MessageCut { to }) => between && fault.others.contains(to),
        (Effect::MessageCut, Event::MessageCut { to })
        | (Effect::MessageHeld, Event::MessageHeld { to })
        | (Effect::MessageDelayed, Event::MessageDelayed { to }) => {
            (between && fault.others.contains(to)) || (fault.others.contains(node) && fault.nodes.contains(to))
        }
        _ => false,
    }
}
