//! Whether a node was asked to leave: to hand on what others need of it, and then to end by itself.
//!
//! Knows neither who asks nor what there is to hand on. Invariant: it is asked once and for all, for one life of the node.

use std::sync::Arc;
use tokio::sync::watch;

/// The wish that a node leaves. Cheap to clone; clones are the same wish.
#[derive(Clone, Debug)]
pub struct Leave(Arc<watch::Sender<bool>>);

impl Leave {
    /// Nobody has asked.
    pub fn unasked() -> Leave {
        Leave(Arc::new(watch::Sender::new(false)))
    }

    /// Asks.
    pub fn ask(&self) {
        self.0.send_replace(true);
    }

    /// Whether somebody has asked.
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Completes when somebody asks; at once if somebody has.
    pub async fn asked(&self) {
        // The sender lives as long as this, so there is always an answer to wait for.
        let _ = self.0.subscribe().wait_for(|is_asked| *is_asked).await;
    }
}
