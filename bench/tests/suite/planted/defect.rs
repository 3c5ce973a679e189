//! What can be planted, by name; `defects.rs` says how.

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// The receiver acknowledges a batch when it arrives, before anyone else holds it.
    EarlyAck,
    /// The receiver acknowledges after the block is sealed, without waiting for its copy.
    AckBeforeCopy,
    /// The ledger allots the records of a block whether or not another block brought them.
    DuplicateBlockAccepted,
    /// The tracker does not hand out a second time what a lost worker was given.
    LostPartitionNotRecomputed,
    /// The master goes on without the sink's fence.
    CommitWithoutFence,
    /// The sink answers that the fence stands and takes results from behind it.
    FenceIgnored,
    /// The tracker hands out tasks before the interval's input is written down.
    UnsealedInterval,
    /// The ledger lets a block join an interval whose ranges are already told.
    LateBlockSlippedIn,
    /// The receiver acknowledges as soon as the copies are held, whether or not the master has heard of the block.
    AckBeforeMaster,
    /// The detector finds no loss.
    LossNotDetected,
    /// The client forgets a batch whose worker is lost.
    BatchNotSentAgain,
    /// The sink makes a repeated result visible again, as if it were the first.
    ResultTwice,
    /// The sink makes the results of both attempts at a task visible, not only the sooner's.
    BothAttemptsCommitted,
    /// Lost copies are not made again, and the master says that they are.
    CopiesNotMadeAgain,
    /// The tracker does not name the oldest panes that a task reads.
    OldestPaneForgotten,
    /// The tracker takes panes of a checkpoint for empty ones.
    CheckpointNotRead,
    /// The tracker counts a checkpoint as written that nobody was told to write.
    CheckpointNotWritten,
    /// The tracker forgets how an interval was computed as soon as it is done.
    LineageForgottenEarly,
    /// The tracker has a checkpoint removed as soon as it is complete.
    CheckpointDroppedEarly,
    /// A new master does not read the journal's last seal.
    JournalCutShort,
    /// The master removes blocks from the input log when their interval is sealed, long before it is over.
    LogCutEarly,
    /// The receiver takes a block for logged when it asks for that.
    AckBeforeLog,
    /// Clients do not hear how much they may send.
    QuotaNotSaid,
    /// A candidate takes the next term whenever it looks, whether or not somebody leads.
    LeaseNotWaitedFor,
    /// The sink takes results of workers that hear a master of an earlier term, and says that it does not.
    EarlierTermNotFenced,
    /// The worker takes for written what it only meant to put on its disk.
    SpillNotWritten,
    /// A state in place that stands behind an earlier interval is taken for that behind the last one.
    TableVersionIgnored,
    /// A state in place is not taken back to where a task begins that runs again.
    UndoLeftOut,
    /// A client that is to keep what it sent lets it go when it is acknowledged.
    LetGoWhenAcknowledged,
    /// A block that clients send again lacks its last record.
    SentAgainShort,
    /// Receivers acknowledge what clients are to keep when the master has heard of it, before that is in the journal.
    AckBeforeJournal,
    /// A part of a checkpoint is written without its newest panes, and counts as written.
    SegmentNotSaved,
}

/// All of them.
pub const ALL: &[Defect] = &[
    Defect::EarlyAck,
    Defect::AckBeforeCopy,
    Defect::DuplicateBlockAccepted,
    Defect::LostPartitionNotRecomputed,
    Defect::CommitWithoutFence,
    Defect::FenceIgnored,
    Defect::UnsealedInterval,
    Defect::LateBlockSlippedIn,
    Defect::AckBeforeMaster,
    Defect::LossNotDetected,
    Defect::BatchNotSentAgain,
    Defect::ResultTwice,
    Defect::BothAttemptsCommitted,
    Defect::CopiesNotMadeAgain,
    Defect::OldestPaneForgotten,
    Defect::CheckpointNotRead,
    Defect::CheckpointNotWritten,
    Defect::LineageForgottenEarly,
    Defect::CheckpointDroppedEarly,
    Defect::JournalCutShort,
    Defect::LogCutEarly,
    Defect::AckBeforeLog,
    Defect::QuotaNotSaid,
    Defect::LeaseNotWaitedFor,
    Defect::EarlierTermNotFenced,
    Defect::SpillNotWritten,
    Defect::TableVersionIgnored,
    Defect::UndoLeftOut,
    Defect::SegmentNotSaved,
    Defect::LetGoWhenAcknowledged,
    Defect::SentAgainShort,
    Defect::AckBeforeJournal,
];
