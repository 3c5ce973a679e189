//! Time of a simulated host, and how one waits for a ledger's moment.
//!
//! Virtual time moves in whole milliseconds (tokio's timers know no less). Invariant: nobody waits longer than needed
//! on account of that: a charge is paid in the millisecond in which it ends, and what is left of that millisecond stays
//! in the ledger, so that work in a row takes exactly the sum of its costs.

use crate::fabric::Fabric;
use crate::life::Life;
use dstream_host::{BoxFuture, Clock};
use dstream_trace::Moment;
use std::sync::Arc;
use std::time::Duration;

/// The step of virtual time that tokio's timers can tell apart.
pub(crate) const TIMER_STEP: Duration = Duration::from_millis(1);

/// The clock of one life of a node.
#[derive(Debug)]
pub(crate) struct SimClock(pub Arc<Life>);

impl Clock for SimClock {
    fn now(&self) -> Moment {
        self.0.now()
    }

    fn sleep_until(&self, when: Moment) -> BoxFuture<'static, ()> {
        let fabric = self.0.fabric.clone();
        Box::pin(self.0.gate.hold(async move { nap(&fabric, when).await }))
    }
}

/// Waits until `when`, pause or not.
#[expect(clippy::disallowed_methods, reason = "the simulated clock is made of tokio's paused one")]
pub(crate) async fn nap(fabric: &Fabric, when: Moment) {
    if when == Moment::NEVER {
        return std::future::pending().await;
    }
    let now = fabric.now();
    if when > now {
        tokio::time::sleep(when.since(now)).await;
    }
}

/// Waits for the millisecond in which a ledger's charge ends, pause or not.
pub(crate) async fn nap_until_paid(fabric: &Fabric, until: Moment) {
    nap(fabric, Moment(until.0 - until.0 % TIMER_STEP.as_nanos() as u64)).await;
}
