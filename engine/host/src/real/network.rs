//! The real network of one process: loopback TCP, and the address book that knows where each node listens.
//!
//! Invariant: an address is in the book from the moment its node listens until the node's process ends.

#![expect(clippy::disallowed_types, reason = "this is the real host's network")]

use super::cut::Cuts;
use super::stream::RealStream;
use crate::facade::{BoxFuture, BoxIo, Listener, Net};
use crate::shape::Gate;
use dstream_trace::NodeName;
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::{TcpListener, TcpStream};

/// Where each node listens.
#[derive(Debug, Default)]
pub struct AddressBook(Mutex<BTreeMap<NodeName, SocketAddr>>);

impl AddressBook {
    fn enter(&self, node: NodeName, address: SocketAddr) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(node, address);
    }

    fn find(&self, node: &NodeName) -> Option<SocketAddr> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(node).copied()
    }

    /// The node's process ended.
    pub fn forget(&self, node: &NodeName) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
    }
}

/// The network as a real node sees it.
pub struct RealNet {
    /// The node.
    pub node: NodeName,
    /// Where all nodes listen.
    pub book: Arc<AddressBook>,
    /// Who is cut off from whom.
    pub cuts: Arc<Cuts>,
    /// Closed while the node is paused.
    pub gate: Gate,
}

impl Net for RealNet {
    fn bind(&self) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(self.gate.hold(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            self.book.enter(self.node.clone(), listener.local_addr()?);
            Ok(Box::new(RealListener { listener, gate: self.gate.clone() }) as Box<dyn Listener>)
        }))
    }

    fn connect<'a>(&'a self, to: &'a NodeName) -> BoxFuture<'a, io::Result<BoxIo>> {
        Box::pin(self.gate.hold(async move {
            if self.cuts.lose_connect(&self.node, to) {
                return std::future::pending().await;
            }
            let address = self.book.find(to).ok_or(io::ErrorKind::ConnectionRefused)?;
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let cut = self.cuts.watch(self.node.clone(), to.clone());
            Ok(Box::new(RealStream::new(stream, self.gate.clone(), Some(cut))) as BoxIo)
        }))
    }

    fn egress(&self, _bytes: u64) -> BoxFuture<'_, ()> {
        // A real network card takes its own time.
        Box::pin(self.gate.opened())
    }

    fn ingress(&self, _bytes: u64) -> BoxFuture<'_, ()> {
        Box::pin(self.gate.opened())
    }
}

struct RealListener {
    listener: TcpListener,
    gate: Gate,
}

impl Listener for RealListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<BoxIo>> {
        Box::pin(self.gate.hold(async {
            let (stream, _) = self.listener.accept().await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(RealStream::new(stream, self.gate.clone(), None)) as BoxIo)
        }))
    }
}
