//! The sink's shell: requests from peers into the core, its answers back.

use crate::core::BoxCore;
use crate::message::{ToSink, open, seal};
use crate::sink::{SinkAction, SinkEvent};
use bytes::Bytes;
use dstream_host::peer::{PeerConfig, PeerEvent, Peers, RequestId};
use dstream_host::{Host, NodeError};
use dstream_trace::{Event, NodeName, Purpose};

/// The sink's configuration.
#[derive(Clone, Debug)]
pub struct SinkConfig {
    /// Its connections.
    pub peers: PeerConfig,
}

/// The sink's life.
pub async fn run(host: Host, config: SinkConfig, mut core: BoxCore<SinkEvent, SinkAction>) -> Result<(), NodeError> {
    let start = Peers::start(&host, config.peers).await;
    let (peers, mut events) = start.map_err(|error| NodeError(format!("the sink cannot listen: {error}")))?;
    let mut actions = Vec::new();
    while let Some(event) = events.recv().await {
        let event = match event {
            PeerEvent::Request { peer, id, payload, .. } => read(peer, id, &payload),
            PeerEvent::Message { peer, payload, .. } => match open::<ToSink>(&payload) {
                Ok((ToSink::Running { output, partition, ranges }, _)) => {
                    host.trace.record(Event::RecordsReflected { output, partition, ranges });
                    None
                }
                Ok((ToSink::Tentative(name), rows)) => Some(SinkEvent::Tentative { from: peer, name, rows }),
                _ => None,
            },
            PeerEvent::Up { .. } | PeerEvent::Down { .. } => None,
        };
        let Some(event) = event else { continue };
        core.step(host.clock.now(), event, &mut actions);
        for action in actions.drain(..) {
            perform(&host, &peers, action);
        }
    }
    Ok(())
}

/// A request as an event; nothing if it is none of the sink's, which the sender learns by its deadline.
fn read(from: NodeName, id: RequestId, payload: &Bytes) -> Option<SinkEvent> {
    let (request, rows) = open::<ToSink>(payload).ok()?;
    let token = id.0;
    Some(match request {
        ToSink::Result(name) => SinkEvent::Result { from, token, name, rows },
        ToSink::Fence { worker, epoch, since } => SinkEvent::Fence { from, token, worker, epoch, since },
        ToSink::Running { .. } | ToSink::Tentative(_) => return None, // no request
    })
}

fn perform(host: &Host, peers: &Peers, action: SinkAction) {
    match action {
        SinkAction::Record(event) => host.trace.record(event),
        SinkAction::Answer { to, token, answer } => {
            let payload = seal(Vec::new(), &answer);
            let length = payload.len() as u64;
            // A peer that is gone by now asks again when it is back.
            let _ = peers.reply(&to, RequestId(token), Purpose::Control, payload, length);
        }
    }
}
