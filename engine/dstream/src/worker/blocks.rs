//! Blocks of input: a map task reads them here, at another worker, in the log, or has its clients send them again; a
//! receiver has them written into the log.
//!
//! Invariant: what a task reads of a block is the same wherever it is read.

use crate::log::{self, LOG};
use crate::message::{BlockOrder, BlockReport, Fetch, Fetched, NotFetched, Skip, TaskFailure, ToMaster};
use crate::replay::{NotSent, UNTOLD_CLIENTS, is_beyond_workers, is_clients, send_again};
use crate::worker::receiver::held_event;
use crate::worker::store::HeldBlock;
use crate::worker::task::{Answer, TaskContext, fetch};
use bytes::Bytes;
use dstream_host::StoreError;
use dstream_kernel::{LineBlock, TaskInput};
use dstream_trace::{BlockName, Event, Purpose, RecordRange};

/// Clients that do not answer are asked so often for what they were not told is held: a connection that broke is there again
/// within two deadlines, and the interval waits meanwhile.
const TRIES: u32 = 4;

/// The blocks of a map task as the kernel reads them.
pub(super) async fn fetch_blocks(
    context: &TaskContext,
    orders: &[BlockOrder],
    (epoch, interval, again): (u64, u64, bool),
) -> Result<TaskInput, TaskFailure> {
    let mut blocks = Vec::new();
    for order in orders {
        let held = match context.holdings.block(&order.name).await {
            Some(held) => held,
            None => fetch_block(context, order, (epoch, interval, again)).await?,
        };
        // What clients sent again has nothing to skip.
        let skip = if held.report.ranges == order.ranges { &[][..] } else { &order.skip };
        blocks.extend(line_blocks(&held, skip));
    }
    Ok(TaskInput::Lines(blocks))
}

/// The segments of a block as the kernel reads them.
fn line_blocks(held: &HeldBlock, skip: &[Skip]) -> Vec<LineBlock> {
    let segments = held.segments.iter().zip(&held.report.ranges).enumerate();
    let line_block = |(index, (lines, range)): (usize, (&Bytes, &RecordRange))| LineBlock {
        lines: lines.clone(),
        records: range.count(),
        skip: skip.iter().filter(|skip| skip.segment as usize == index).map(|skip| skip.from..skip.to).collect(),
    };
    segments.map(line_block).collect()
}

async fn fetch_block(
    context: &TaskContext,
    order: &BlockOrder,
    (epoch, interval, again): (u64, u64, bool),
) -> Result<HeldBlock, TaskFailure> {
    let mut failed = NotFetched::default();
    // Log and clients are the farthest.
    for holder in order.holders.iter().filter(|holder| !is_beyond_workers(**holder)) {
        if *holder == context.worker {
            failed.blocks_missing.push((order.name, *holder));
            continue;
        }
        let purpose = if again { Purpose::Recovery } else { Purpose::Input };
        match fetch(context, *holder, purpose, &Fetch::Block(order.name)).await {
            Answer::Got(Fetched::Block { block, lengths }, lines) => {
                if let Some(held) = HeldBlock::from_joined(block, &lines, &lengths) {
                    return Ok(held);
                }
            }
            Answer::Got(..) => failed.blocks_missing.push((order.name, *holder)),
            Answer::None => failed.unreachable.push(*holder),
        }
    }
    if let Some(clients) = order.holders.iter().find(|holder| is_clients(**holder)) {
        if let Some(held) = sent_again(context, order, interval).await {
            context.hold_again(epoch, &held).await;
            return Ok(held);
        }
        match *clients {
            UNTOLD_CLIENTS => failed.blocks_missing.push((order.name, *clients)),
            // It is away, or has yet to read its source again.
            _ => failed.is_client_silent = true,
        }
    }
    if order.holders.contains(&LOG) {
        match log::read(&context.host, order.name, context.scale).await {
            Ok(held) => return Ok(held),
            Err(StoreError::Missing(_)) => failed.blocks_missing.push((order.name, LOG)),
            // The store does not give it: the next attempt must not come at once.
            Err(_) => context.host.sleep(context.deadline).await,
        }
    }
    Err(TaskFailure::NotFetched(failed))
}

/// Asks the clients of a block for it, and again after a while if they do not answer. Who was told meanwhile that it is held
/// has it no more; who is away for longer than that may be gone, and what nobody was told is held is promised to nobody.
/// Where clients keep what they sent, the next attempt goes on asking, elsewhere.
async fn sent_again(context: &TaskContext, order: &BlockOrder, interval: u64) -> Option<HeldBlock> {
    let is_untold = order.holders.contains(&UNTOLD_CLIENTS);
    for _ in 0..if is_untold { TRIES } else { 1 } {
        match send_again(context, order, interval).await {
            Ok(held) => return Some(held),
            Err(NotSent::Missing) if is_untold => return None,
            // The next try must not come at once.
            Err(_) => context.host.sleep(context.deadline).await,
        }
    }
    None
}

impl TaskContext {
    /// Keeps a block that clients sent again, for other tasks and other workers, unless the task's epoch is over.
    async fn hold_again(&self, epoch: u64, held: &HeldBlock) {
        let is_new = {
            let mut holdings = self.holdings.lock();
            holdings.epoch == Some(epoch) && holdings.keep_block(held.clone())
        };
        if is_new {
            self.host.trace.record(held_event(&held.report));
            let _ = self.words.send(ToMaster::CopyHeld { epoch, block: held.report.name }).await;
        }
    }
}

/// Writes a block into the log, again and again until the store takes it. What of it is let go meanwhile stays unwritten.
pub(super) async fn log_block(context: &TaskContext, name: BlockName) {
    loop {
        let Some(held) = context.holdings.block(&name).await else { return };
        if log::write(&context.host, &held, context.scale).await.is_ok() {
            let BlockReport { ranges, bytes, .. } = held.report;
            return context.host.trace.record(Event::BlockLogged { block: name, ranges, bytes });
        }
        context.host.sleep(context.deadline).await;
    }
}
