//! A host that several nodes share: those that no fault will hit, each with its own card, cores and port.
//!
//! Knows no node. Invariant: it runs as long as its world; a node that comes begins with the next step.

use crate::fabric::PORT;
use dstream_host::BoxFuture;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use turmoil::Sim;

/// turmoil's name of it.
const NAME: &str = "shared-host";

/// The host, seen from the driver.
pub(crate) struct SharedHost {
    address: IpAddr,
    last_port: u16,
    coming: Arc<Coming>,
}

impl SharedHost {
    /// A host without nodes.
    pub fn open(sim: &mut Sim<'static>) -> SharedHost {
        let coming = Arc::new(Coming::default());
        let served = coming.clone();
        sim.host(NAME, move || serve(served.clone()));
        SharedHost { address: sim.lookup(NAME), last_port: PORT, coming }
    }

    /// Where the next node is to listen. No port of a host of its own, so that a mistake shows.
    pub fn next_address(&mut self) -> SocketAddr {
        self.last_port += 1;
        SocketAddr::new(self.address, self.last_port)
    }

    /// The node runs here from the next step on.
    pub fn take_in(&self, life: impl Future<Output = turmoil::Result> + Send + 'static) {
        // A life waits for ever when it is over, so there is no result.
        self.coming.lock().push(Box::pin(async move { drop(life.await) }));
        self.coming.some.notify_one();
    }
}

/// Nodes that are to begin.
#[derive(Default)]
struct Coming {
    lives: Mutex<Vec<BoxFuture<'static, ()>>>,
    some: Notify,
}

impl Coming {
    fn lock(&self) -> MutexGuard<'_, Vec<BoxFuture<'static, ()>>> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(coming: Arc<Coming>) -> turmoil::Result {
    loop {
        let lives = std::mem::take(&mut *coming.lock());
        lives.into_iter().for_each(|life| drop(tokio::spawn(life)));
        coming.some.notified().await;
    }
}
