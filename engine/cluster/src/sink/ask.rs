//! Asking the sink, by whoever has to until it answers.

use crate::message::{FromSink, ToSink, VisibleResult, open, seal};
use dstream_host::Host;
use dstream_host::peer::Peers;
use dstream_trace::{NodeName, Purpose};
use std::time::Duration;

/// A request fails at once while its connection is only being made: it is made again after this part of its deadline, by
/// when a connection is there, and not at once, as a sink that is away for long is asked by many.
const PAUSES_OF_A_DEADLINE: u32 = 8;

/// Has the sink refuse results of a node under this and older epochs, again and again until the sink says so. Returns which
/// of the node's results are visible, from interval `since` on.
pub async fn fence(
    host: &Host,
    peers: &Peers,
    sink: &NodeName,
    (worker, epoch): (NodeName, u64),
    since: u64,
    deadline: Duration,
) -> Vec<VisibleResult> {
    let payload = seal(Vec::new(), &ToSink::Fence { worker, epoch, since });
    loop {
        let declared = payload.len() as u64;
        let request = peers.request(sink, Purpose::Control, payload.clone(), declared, deadline);
        if let Ok(answer) = request.await
            && let Ok((FromSink::Fenced(visible), _)) = open::<FromSink>(&answer)
        {
            return visible;
        }
        host.sleep(deadline / PAUSES_OF_A_DEADLINE).await;
    }
}
