//! Defects of the continuous engines, each a wrapper around one protocol part that drops, adds or changes a single kind of
//! event or action.
//!
//! The wrapped part is the product's own; nothing in the product knows that it can be wrapped for this.

use crate::planted::wrap::wrap;
use bytes::Bytes;
use dstream_baselines::continuous::engine::CoreFactory;
use dstream_baselines::continuous::feeder::Feeder;
use dstream_baselines::continuous::master::{Master, MasterAction, MasterEvent, MasterLimits};
use dstream_baselines::continuous::message::{Element, FromMaster, NodeNumber, ToPeer};
use dstream_baselines::continuous::node::{Node, NodeAction, NodeEvent, NodeLimits, Work};
use dstream_cluster::client::{ClientAction, ClientEvent, Cut};
use dstream_cluster::core::BoxCore;
use dstream_cluster::detector::{Detector, DetectorAction, DetectorEvent};
use dstream_cluster::message::{FromClient, FromSink, ToClient};
use dstream_cluster::sink::{Sink, SinkAction, SinkEvent};
use dstream_trace::NodeName;
use std::collections::BTreeMap;
use std::time::Duration;

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// A client takes the word of one holder for that of all.
    OneHolderIsEnough,
    /// A node acknowledges some batches that it does not keep.
    AckWithoutHolding,
    /// A new holder takes what it has for all there is.
    WholeTooEarly,
    /// The master lets nodes forget an interval more than heirs can do without.
    TrimTooEarly,
    /// A reader claims to have an interval more than it has.
    PositionTooFar,
    /// After a change of hosts a reader applies an element twice.
    DuplicateApplied,
    /// The sink answers that the fence stands and takes results from behind it.
    FenceIgnored,
    /// The master has no lost node fenced.
    FenceNotAsked,
    /// The detector finds no loss.
    LossNotDetected,
    /// A heir does not read the state that was saved.
    StateNotRestored,
    /// A pane is left out of what is saved.
    PaneNotSaved,
    /// A twin gets the state without its panes.
    TwinWithoutState,
    /// A twin, or a new holder, gets the input without its first batch.
    InputHandedOnInPart,
    /// An operator closes an interval before it has taken in all of it.
    ClosedTooEarly,
    /// A client's closing mark comes a record early.
    PunctuationTooEarly,
    /// A replica's output has its records in another order than its twin's.
    ReplicaOrderDiffers,
    /// A replica that becomes the first forgets the results that it kept back as the second.
    KeptBackForgotten,
}

/// All of them.
pub const ALL: &[Defect] = &[
    Defect::OneHolderIsEnough,
    Defect::AckWithoutHolding,
    Defect::WholeTooEarly,
    Defect::TrimTooEarly,
    Defect::PositionTooFar,
    Defect::DuplicateApplied,
    Defect::FenceIgnored,
    Defect::FenceNotAsked,
    Defect::LossNotDetected,
    Defect::StateNotRestored,
    Defect::PaneNotSaved,
    Defect::TwinWithoutState,
    Defect::InputHandedOnInPart,
    Defect::ClosedTooEarly,
    Defect::PunctuationTooEarly,
    Defect::ReplicaOrderDiffers,
    Defect::KeptBackForgotten,
];

/// A factory whose parts have the defect.
#[derive(Clone, Copy, Debug)]
pub struct Planted(pub Defect);

impl CoreFactory for Planted {
    fn client(&self, client: u32, cut: Cut) -> BoxCore<ClientEvent, ClientAction> {
        let inner: BoxCore<ClientEvent, ClientAction> = Box::new(Feeder::new(client, cut));
        if self.0 != Defect::OneHolderIsEnough {
            return inner;
        }
        let mut all: Vec<NodeName> = Vec::new();
        wrap(inner, move |inner, now, event, actions| {
            if let ClientEvent::Places { holders, .. } = &event {
                all = holders.iter().flatten().cloned().collect();
            }
            if let ClientEvent::Held { ranges, .. } = &event {
                for by in &all {
                    inner.step(now, ClientEvent::Held { by: by.clone(), ranges: ranges.clone() }, actions);
                }
            }
            inner.step(now, event, actions);
        })
    }

    fn sink(&self) -> BoxCore<SinkEvent, SinkAction> {
        let inner: BoxCore<SinkEvent, SinkAction> = Box::<Sink>::default();
        if self.0 != Defect::FenceIgnored {
            return inner;
        }
        wrap(inner, |inner, now, event, actions| match event {
            SinkEvent::Fence { from, token, worker, epoch, .. } => {
                actions.push(SinkAction::Record(dstream_trace::Event::Fenced { worker, epoch }));
                actions.push(SinkAction::Answer { to: from, token, answer: FromSink::Fenced(Vec::new()) });
            }
            event => inner.step(now, event, actions),
        })
    }

    fn detector(&self, heartbeat: Duration, failure_timeout: Duration) -> BoxCore<DetectorEvent, DetectorAction> {
        let inner: BoxCore<DetectorEvent, DetectorAction> = Box::new(Detector::new(heartbeat, failure_timeout));
        if self.0 != Defect::LossNotDetected {
            return inner;
        }
        wrap(inner, |inner, now, event, actions| {
            inner.step(now, event, actions);
            actions.retain(|action| !matches!(action, DetectorAction::Lost { .. }));
        })
    }

    fn master(
        &self,
        limits: MasterLimits,
        detector: BoxCore<DetectorEvent, DetectorAction>,
    ) -> BoxCore<MasterEvent, MasterAction> {
        let inner: BoxCore<MasterEvent, MasterAction> = Box::new(Master::new(limits, detector));
        match self.0 {
            Defect::TrimTooEarly => wrap(inner, |inner, now, event, actions| {
                inner.step(now, event, actions);
                for action in actions {
                    if let MasterAction::Tell(_, FromMaster::Trim { safe: Some(safe), .. }) = action {
                        *safe += 1;
                    }
                }
            }),
            Defect::FenceNotAsked => wrap(inner, |inner, now, event, actions| {
                inner.step(now, event, actions);
                actions.retain(|action| !matches!(action, MasterAction::Fence { .. }));
            }),
            _ => inner,
        }
    }

    fn node(&self, limits: NodeLimits) -> BoxCore<NodeEvent, NodeAction> {
        let inner: BoxCore<NodeEvent, NodeAction> = Box::new(Node::new(limits));
        let defect = self.0;
        let (mut batches, mut is_new) = (0u64, false);
        let mut gathered = BTreeMap::new();
        wrap(inner, move |inner, now, mut event, actions| {
            if let (Defect::AckWithoutHolding, NodeEvent::Client { client, word: FromClient::Records(batch), .. }) =
                (defect, &event)
            {
                batches += 1;
                if batches.is_multiple_of(50) {
                    let held = ToClient::Held(vec![batch.range]);
                    actions.push(NodeAction::TellClient(*client, held));
                    return;
                }
            }
            let is_assigned = matches!(event, NodeEvent::Master(FromMaster::Assign(_)));
            is_new |= is_assigned;
            spoil_event(defect, &mut event);
            inner.step(now, event, actions);
            if defect == Defect::KeptBackForgotten && is_assigned {
                actions.retain(|action| !matches!(action, NodeAction::HandIn { .. }));
            }
            actions.iter_mut().for_each(|action| spoil_action(defect, action, &mut is_new));
            if defect == Defect::ReplicaOrderDiffers {
                let decided = std::mem::take(actions);
                actions.extend(decided.into_iter().flat_map(|action| in_another_order(&mut gathered, action)));
            }
        })
    }
}

fn spoil_event(defect: Defect, event: &mut NodeEvent) {
    match (defect, event) {
        (Defect::StateNotRestored, NodeEvent::Loaded { panes, .. }) => panes.clear(),
        (Defect::PunctuationTooEarly, NodeEvent::Client { word: FromClient::Punctuations(ends), .. }) => {
            ends.iter_mut().for_each(|(_, end)| *end = end.saturating_sub(1));
        }
        (Defect::TwinWithoutState, NodeEvent::Copied { panes, .. }) => panes.clear(),
        _ => {}
    }
}

fn spoil_action(defect: Defect, action: &mut NodeAction, is_new: &mut bool) {
    match (defect, action) {
        (Defect::PositionTooFar, NodeAction::Tell { word: ToPeer::Subscribe(asked), .. }) => {
            for subscription in asked {
                subscription.position.closed = Some(subscription.position.closed.map_or(0, |closed| closed + 1));
            }
        }
        (Defect::DuplicateApplied, NodeAction::Run { works, .. }) if *is_new => {
            if let Some(twice) = works.iter().find(|work| matches!(work, Work::Absorb { .. })).cloned() {
                works.insert(0, twice);
                *is_new = false;
            }
        }
        (Defect::ClosedTooEarly, NodeAction::Run { works, .. }) => {
            if let Some(close) = works.iter().position(|work| matches!(work, Work::Close { .. })) {
                works[..=close].rotate_right(1);
            }
        }
        (Defect::PaneNotSaved, NodeAction::Save { panes, .. }) => drop(panes.pop()),
        (Defect::InputHandedOnInPart, NodeAction::Tell { word: ToPeer::Input { batches, .. }, body, .. })
            if !batches.is_empty() =>
        {
            batches.remove(0);
            body.remove(0);
        }
        (Defect::WholeTooEarly, NodeAction::Tell { word, body, .. }) if matches!(word, ToPeer::FetchInput { .. }) => {
            // It asks for nothing: whatever it has it takes for all.
            if let ToPeer::FetchInput { after, .. } = word {
                *after = Some(u64::MAX);
            }
            *body = vec![Bytes::new()];
        }
        _ => {}
    }
}

/// Output on its way to a node, as one message.
type Gathered = BTreeMap<NodeNumber, NodeAction>;

/// Gathers what goes to a node until an interval ends; the first two elements of one client go out the other way round.
fn in_another_order(gathered: &mut Gathered, action: NodeAction) -> Vec<NodeAction> {
    let NodeAction::Tell { node, word: ToPeer::Elements(more), body: rows, .. } = &action else { return vec![action] };
    let is_end = more.iter().any(|element| element.records.is_none());
    match gathered.remove(node) {
        None if is_end => vec![action],
        None => {
            gathered.insert(*node, action);
            Vec::new()
        }
        Some(mut before) => {
            if let NodeAction::Tell { word: ToPeer::Elements(elements), body, .. } = &mut before {
                elements.extend(more.iter().cloned());
                body.extend(rows.iter().cloned());
                if is_end {
                    swap_two(elements);
                    return vec![before];
                }
            }
            gathered.insert(*node, before);
            Vec::new()
        }
    }
}

/// The first two elements that come from one client's records are the other way round.
fn swap_two(elements: &mut [Element]) {
    let client = |element: &Element| element.records.map(|records| (element.writer, records.client));
    let twin = |first: usize| {
        let of_one = client(&elements[first])?;
        let later = (first + 1..elements.len()).find(|other| client(&elements[*other]) == Some(of_one));
        Some((first, later?))
    };
    if let Some((first, second)) = (0..elements.len()).find_map(twin) {
        let records = elements[first].records;
        elements[first].records = std::mem::replace(&mut elements[second].records, records);
    }
}
