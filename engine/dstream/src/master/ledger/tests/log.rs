//! Where input is written ahead: the log holds blocks as workers do, and is asked as they are.

use super::*;

#[test]
fn a_block_in_the_log_outlives_all_workers_and_the_log_is_asked_for_blocks_that_were_not_announced() {
    let logged = |number, records, holders: &[u32]| {
        let report = report(1, number, records, holders);
        BlockReport { holders: report.holders.into_iter().chain([LOG_MEMBER]).collect(), ..report }
    };
    check_limits(
        LedgerLimits { input: Input::Log, ..limits() },
        &[1, 2],
        vec![
            (500, announced(1, vec![logged(0, (0, 9), &[1])], 0)),
            (600, LedgerEvent::Lost(member(1))),
            (601, LedgerEvent::Orphans { by: 2, origin: member(1), blocks: vec![] }),
            (605, LedgerEvent::Orphans { by: LOG, origin: member(1), blocks: vec![logged(1, (10, 19), &[])] }),
            (700, LedgerEvent::Lost(member(2))),
            (710, LedgerEvent::Orphans { by: LOG, origin: member(2), blocks: vec![] }),
            (800, LedgerEvent::Joined(member(3))),
            (1001, announced(3, vec![], 1)),
        ],
        1010,
        &[
            "600 log of 1? not {b1.1.0}",
            "600 orphans of 1? [2]",
            "600 below 0",
            "605 orphans known",
            "700 log of 2? not {b1.1.0, b1.1.1}",
            "700 orphans of 2? []",
            "700 below 0",
            "710 orphans known",
            "800 below 0",
            "1001 seal 0 [1:0-19] [b1.1.0, b1.1.1]",
        ],
    );
}

#[test]
fn a_block_that_the_log_does_not_hold_yet_waits_for_a_later_interval_and_is_no_loss_when_its_holder_is_gone() {
    let limits = || LedgerLimits { input: Input::Log, ..limits() };
    let held = || (500, announced(1, vec![report(1, 0, (0, 9), &[1])], 1));
    let logged = BlockReport { holders: vec![LOG_MEMBER], ..report(1, 0, (0, 9), &[1]) };
    check_limits(
        limits(),
        &[1],
        vec![held(), (1500, announced(1, vec![logged], 2))],
        2010,
        &["1000 seal 0 [] []", "2000 seal 1 [1:0-9] [b1.1.0]"],
    );
    let orphans = LedgerEvent::Orphans { by: LOG, origin: member(1), blocks: vec![] };
    check_limits(
        limits(),
        &[1],
        vec![held(), (600, LedgerEvent::Lost(member(1))), (605, orphans)],
        700,
        &["600 log of 1? not {b1.1.0}", "600 orphans of 1? []", "600 below 0", "605 orphans known"],
    );
}
