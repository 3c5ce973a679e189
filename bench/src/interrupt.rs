//! Ctrl-C (and SIGTERM) as a question that a command asks when it suits: has the user had enough?
//!
//! The first signal asks for a clean end; a second one ends the process at once, as the shell would.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Whether the user asked for the end. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// One that nobody raises by signal.
    pub fn new() -> Interrupt {
        Interrupt::default()
    }

    /// Raised by SIGINT and SIGTERM from now on. Where signals cannot be watched, they end the process as ever.
    pub fn by_signal() -> Interrupt {
        let interrupt = Interrupt::default();
        interrupt.raise_by_signal(|| {});
        interrupt
    }

    /// Raises it by SIGINT and SIGTERM from now on; the first one also does `first`. Where signals cannot be watched, they
    /// end the process as ever.
    pub fn raise_by_signal(&self, first: impl FnOnce() + Send + 'static) {
        let raised = self.clone();
        let (ready, is_ready) = mpsc::channel();
        let watch = std::thread::Builder::new().name("signals".into()).spawn(move || watch(&raised, ready, first));
        // The thread lives as long as the process. Where it ended, `ready` is dropped and nobody waits.
        if watch.is_ok() {
            is_ready.recv().ok();
        }
    }

    /// Asks for the end.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the end was asked for.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

fn watch(interrupt: &Interrupt, ready: mpsc::Sender<()>, first: impl FnOnce()) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
    runtime.block_on(async {
        let (Ok(mut keyboard), Ok(mut end)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
            return;
        };
        ready.send(()).ok(); // who waits for it is there, or has ended with the process
        next(&mut keyboard, &mut end).await;
        interrupt.raise();
        first();
        next(&mut keyboard, &mut end).await;
        // What a shell reports for a process that SIGINT ended.
        std::process::exit(130);
    });
}

async fn next(keyboard: &mut Signal, end: &mut Signal) {
    tokio::select! {
        biased;
        _ = keyboard.recv() => {}
        _ = end.recv() => {}
    }
}
