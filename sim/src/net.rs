//! The network of a simulated host: turmoil's streams, with what they lack.
//!
//! turmoil sends no acknowledgement of a connect over the link, leaks a socket for each connect that fails, and lets
//! one pass against the direction of a cut; so whether a connect can succeed is decided here and turmoil is asked only
//! then. Invariant: no connect succeeds across a cut of either direction, during an outage, or sooner than one
//! way there and back.

use crate::clock::{nap, nap_until_paid};
use crate::fabric::{Fabric, PORT, Target};
use crate::life::Life;
use crate::stream::SimStream;
use dstream_host::shape::Direction;
use dstream_host::{BoxFuture, BoxIo, Listener, Net};
use dstream_trace::NodeName;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use turmoil::net::{TcpListener, TcpStream};

/// The network of one life of a node.
#[derive(Debug)]
pub(crate) struct SimNet(pub Arc<Life>);

impl Net for SimNet {
    fn bind(&self) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(self.0.gate.hold(async {
            let port = self.0.fabric.address(&self.0.node).map_or(PORT, |at| at.port());
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
            self.0.set_listening(true);
            Ok(Box::new(SimListener { listener, life: self.0.clone() }) as Box<dyn Listener>)
        }))
    }

    fn connect<'a>(&'a self, to: &'a NodeName) -> BoxFuture<'a, io::Result<BoxIo>> {
        Box::pin(self.0.gate.hold(connect(&self.0, to)))
    }

    fn egress(&self, bytes: u64) -> BoxFuture<'_, ()> {
        Box::pin(self.0.gate.hold(transfer(&self.0, Direction::Egress, bytes)))
    }

    fn ingress(&self, bytes: u64) -> BoxFuture<'_, ()> {
        Box::pin(self.0.gate.hold(transfer(&self.0, Direction::Ingress, bytes)))
    }
}

/// Waits until the network card has moved `bytes` more.
pub(crate) async fn transfer(life: &Life, direction: Direction, bytes: u64) {
    nap_until_paid(&life.fabric, life.transfer(direction, bytes)).await;
}

async fn connect(life: &Arc<Life>, to: &NodeName) -> io::Result<BoxIo> {
    let fabric = &life.fabric;
    loop {
        let answered = life.now() + fabric.one_way(&life.node, to) * 2;
        lost_on_the_way(fabric, &life.node, to).await;
        if fabric.links(|links| links.is_held(&life.node, to)) {
            // turmoil would keep the socket of a connect that is given up meanwhile, so it is not asked yet.
            fabric.released(&life.node, to).await;
            continue;
        }
        let (address, peer) = match fabric.target(to) {
            Target::Unknown => return Err(io::Error::new(io::ErrorKind::NotFound, format!("no node is called {to}"))),
            Target::Refusing => {
                nap(fabric, answered).await;
                return Err(refused(to));
            }
            Target::Listening(address, peer) => (address, peer),
        };
        if peer.gate.is_closed() {
            // A crash opens the gate, too; so look again.
            peer.gate.opened().await;
            continue;
        }
        let stream = TcpStream::connect(address).await.map_err(|_| refused(to))?;
        nap(fabric, answered).await;
        lost_on_the_way(fabric, &life.node, to).await;
        return Ok(Box::new(SimStream::new(stream, life.clone(), Some(to.clone()), true)?));
    }
}

/// Hangs for ever if a greeting or its answer is dropped, like a host that sends it again and again in vain.
async fn lost_on_the_way(fabric: &Fabric, from: &NodeName, to: &NodeName) {
    let (there, back, dark) =
        fabric.links(|links| (links.is_cut(from, to), links.is_cut(to, from), links.is_dark(from, to)));
    if there || !back {
        fabric.record_fate(from, to);
    } else {
        fabric.record_fate(to, from);
    }
    if there || back || dark {
        std::future::pending().await
    }
}

fn refused(to: &NodeName) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionRefused, format!("{to} does not listen"))
}

/// Accepts streams while the node lives.
struct SimListener {
    listener: TcpListener,
    life: Arc<Life>,
}

impl Listener for SimListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<BoxIo>> {
        let life = &self.life;
        let listener = &self.listener;
        Box::pin(life.gate.hold(async move {
            let (stream, peer) = listener.accept().await?;
            let name = life.fabric.name(peer.ip());
            Ok(Box::new(SimStream::new(stream, life.clone(), name, false)?) as BoxIo)
        }))
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        self.life.set_listening(false);
    }
}
