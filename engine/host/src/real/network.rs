//! The real network: TCP, and the address book that knows where each node listens.
//!
//! Invariant: an address is in the book from the moment its node listens until the node's process ends.

#![expect(clippy::disallowed_types, reason = "this is the real host's network")]

use super::clock::RealClock;
use super::journal::Journal;
use super::links::Links;
use super::stream::RealStream;
use crate::facade::{BoxFuture, BoxIo, Clock, Listener, Net, Trace};
use crate::shape::{Card, Direction, Gate};
use dstream_trace::{Event, NodeName};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// How late a timer of the machine may fire; what is moved in a row does not add that up.
const TIMER_DELAY: Duration = Duration::from_millis(2);

/// Where each node listens.
#[derive(Debug, Default)]
pub struct AddressBook(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    addresses: BTreeMap<NodeName, SocketAddr>,
    /// Sockets that listen already and wait for their node.
    listeners: BTreeMap<NodeName, std::net::TcpListener>,
}

impl AddressBook {
    fn book(&self) -> MutexGuard<'_, Book> {
        // Every change under this lock is complete before anything that could panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the node is found here.
    pub fn enter(&self, node: NodeName, address: SocketAddr) {
        self.book().addresses.insert(node, address);
    }

    /// The node will listen with this socket instead of one of its own.
    pub fn offer(&self, node: NodeName, listener: std::net::TcpListener) {
        self.book().listeners.insert(node, listener);
    }

    fn find(&self, node: &NodeName) -> Option<SocketAddr> {
        self.book().addresses.get(node).copied()
    }

    /// The socket that was offered, or one at a free port of this machine.
    async fn listen(&self, node: &NodeName) -> io::Result<TcpListener> {
        let offered = self.book().listeners.remove(node);
        match offered {
            Some(listener) => TcpListener::from_std(listener),
            None => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await,
        }
    }

    /// The node's process ended.
    pub fn forget(&self, node: &NodeName) {
        self.book().addresses.remove(node);
    }
}

/// The network as a real node sees it.
pub struct RealNet {
    /// The node.
    pub node: NodeName,
    /// Where all nodes listen.
    pub book: Arc<AddressBook>,
    /// What is wrong between the nodes.
    pub links: Arc<Links>,
    /// Its network card.
    pub card: Arc<Card>,
    /// The world's clock.
    pub clock: RealClock,
    /// Where a stretched transfer is recorded.
    pub trace: Arc<dyn Trace>,
    /// Closed while the node is paused.
    pub gate: Gate,
    /// Keeps what the node recorded before anything leaves it.
    pub journal: Arc<dyn Journal>,
}

impl Net for RealNet {
    fn bind(&self) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(self.gate.hold(async {
            let listener = self.book.listen(&self.node).await?;
            self.book.enter(self.node.clone(), listener.local_addr()?);
            Ok(Box::new(RealListener { listener, gate: self.gate.clone(), journal: Arc::clone(&self.journal) })
                as Box<dyn Listener>)
        }))
    }

    fn connect<'a>(&'a self, to: &'a NodeName) -> BoxFuture<'a, io::Result<BoxIo>> {
        Box::pin(self.gate.hold(async move {
            if self.links.lose_connect(&self.node, to) {
                return std::future::pending().await;
            }
            let (inward, outward) = (self.links.path(to, &self.node), self.links.path(&self.node, to));
            // The greeting and its answer wait and are late like any message.
            for path in [&outward, &inward].into_iter().filter(|path| path.slows()) {
                path.leave(path.enter()).await;
            }
            if self.links.lose_connect(&self.node, to) {
                return std::future::pending().await;
            }
            let address = self.book.find(to).ok_or(io::ErrorKind::ConnectionRefused)?;
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let paths = Some((inward, outward));
            Ok(Box::new(RealStream::new(stream, self.gate.clone(), paths, Arc::clone(&self.journal))) as BoxIo)
        }))
    }

    fn egress(&self, bytes: u64) -> BoxFuture<'_, ()> {
        self.transfer(Direction::Egress, bytes)
    }

    fn ingress(&self, bytes: u64) -> BoxFuture<'_, ()> {
        self.transfer(Direction::Ingress, bytes)
    }
}

impl RealNet {
    /// Waits for the modelled card; a real one takes its own time beside that.
    fn transfer(&self, direction: Direction, bytes: u64) -> BoxFuture<'_, ()> {
        let transfer = self.card.transfer(self.clock.now(), direction, bytes, TIMER_DELAY);
        if let Some(factor) = transfer.stretched {
            self.trace.record(Event::TransferStretched { factor });
        }
        if transfer.until <= self.clock.now() {
            return Box::pin(self.gate.opened());
        }
        self.clock.sleep_until(transfer.until)
    }
}

struct RealListener {
    listener: TcpListener,
    gate: Gate,
    journal: Arc<dyn Journal>,
}

impl Listener for RealListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<BoxIo>> {
        Box::pin(self.gate.hold(async {
            let (stream, _) = self.listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(RealStream::new(stream, self.gate.clone(), None, Arc::clone(&self.journal))) as BoxIo)
        }))
    }
}
