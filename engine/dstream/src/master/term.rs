//! How a master begins its term: reads what earlier ones wrote, sees whether its program may go on from there, and writes
//! the first slot.
//!
//! Knows no core. Invariant: who may not go on has written nothing, and fenced nobody.

use crate::master::MasterConfig;
use crate::master::program::Verdict;
use crate::master::scribe::{self, Deposed, Read};
use dstream_cluster::message::VisibleResult;
use dstream_cluster::sink::fence;
use dstream_host::peer::Peers;
use dstream_host::{Host, NodeError};
use dstream_trace::NodeName;
use tokio::task::JoinSet;

/// No worker's epoch: to fence it asks the sink what it has, and refuses nobody.
const UNFENCED: u64 = 0;

/// Begins the term in the journal, if nobody has begun a later one and this program may go on from what is there.
pub(super) async fn begin(
    host: &Host,
    peers: &Peers,
    config: &MasterConfig,
    term: u64,
) -> Result<Result<(Read, Verdict), Deposed>, NodeError> {
    loop {
        let mut journal = scribe::read(host, config.deadline).await?;
        if journal.newest > term {
            return Ok(Err(Deposed));
        }
        let verdict = may_go_on(host, peers, config, &journal).await?;
        if scribe::begin(host, (term, journal.next), &config.program, config.deadline).await.is_some() {
            journal.begins.insert(journal.next);
            journal.next += 1;
            return Ok(Ok((journal, verdict)));
        }
    }
}

/// Whether this program may go on from the journal; the error says why not. The sink is only asked what it has.
pub(super) async fn may_go_on(
    host: &Host,
    peers: &Peers,
    config: &MasterConfig,
    journal: &Read,
) -> Result<Verdict, NodeError> {
    let verdict = config.program.judge(journal.program.as_ref(), &journal.found);
    let unfinished = match (&verdict, &journal.program) {
        (Verdict::Refused(why), _) => Some(why.clone()),
        (Verdict::Agrees, Some(before)) if !journal.found.open.is_empty() => {
            let since = journal.found.below;
            let visible = fence_all(host, peers, config, (UNFENCED, since)).await;
            before.unfinished(&journal.found, &visible)
        }
        _ => None,
    };
    unfinished.map_or(Ok(verdict), |why| Err(NodeError::refusal(&why)))
}

/// Has the sink refuse results of all workers under this and older epochs. Which are visible from interval `since` on.
pub(super) async fn fence_all(
    host: &Host,
    peers: &Peers,
    config: &MasterConfig,
    (epoch, since): (u64, u64),
) -> Vec<VisibleResult> {
    let (mut fences, mut visible) = (JoinSet::new(), Vec::new());
    for worker in 1..=config.workers {
        let (host, peers, sink, deadline) = (host.clone(), peers.clone(), config.sink.clone(), config.deadline);
        let last = (NodeName::worker(worker), epoch);
        fences.spawn(async move { fence(&host, &peers, &sink, last, since, deadline).await });
    }
    while let Some(Ok(of_worker)) = fences.join_next().await {
        visible.extend(of_worker);
    }
    visible
}
