//! The tasks of one [`Peers`](super::Peers): a root that owns all others, one task per pair, one that accepts.
//!
//! Does what the pair's core says and decides nothing. Invariants: `Up` is in the channel before the first frame of
//! the session can be, `Down` after the last; whatever was spawned here ends with the root.

use super::backoff::Backoff;
use super::handshake::{Arrival, Dialled, accept, dial, refuse, say_hello};
use super::link::{Connection, Link};
use super::pair::{LANES, Limits, Pair, PairAction, PairEvent, Side};
use super::pulse::Signs;
use super::session::Session;
use super::shared::Shared;
use super::{Lane, PeerEvent};
use crate::facade::{BoxFuture, Listener};
use crate::frame::Kind;
use dstream_trace::{Event, Moment, NodeName};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

/// Arrivals that wait for their pair's task: the two connections of a dial and those of the next one.
const MAX_ARRIVALS: usize = 4;

/// Owns every task; ends when nobody holds the handle and nobody the receiver of events.
pub async fn root(
    shared: Arc<Shared>,
    listener: Box<dyn Listener>,
    events: mpsc::Sender<PeerEvent>,
    mut alive: mpsc::Receiver<Infallible>,
) {
    let _closer = Closer(Arc::clone(&shared));
    let mut tasks = JoinSet::new();
    let mut mails = BTreeMap::new();
    for peer in &shared.config.talks_to {
        let (sender, mail) = mpsc::channel(MAX_ARRIVALS);
        mails.insert(peer.clone(), sender);
        tasks.spawn(PairTask::new(Arc::clone(&shared), peer.clone(), events.clone(), mail).run());
    }
    tasks.spawn(accept(shared, listener, mails));
    let unused = async {
        events.closed().await;
        alive.recv().await;
    };
    tokio::select! {
        biased;
        () = unused => {}
        // No task ends by itself: this one panicked, and the node must not go on without it.
        Some(ended) = tasks.join_next() => raise(ended),
    }
}

/// Fails what still waits, however the root ends.
struct Closer(Arc<Shared>);

impl Drop for Closer {
    fn drop(&mut self) {
        self.0.close_all();
    }
}

/// Goes on with the panic of a task, if it had one.
fn raise<T>(ended: Result<T, JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// Completes when somebody closed the session; never without one.
async fn closed(session: &Option<Arc<Session>>) {
    match session {
        Some(session) => session.closed().await,
        None => std::future::pending().await,
    }
}

/// The task of one pair.
struct PairTask {
    shared: Arc<Shared>,
    peer: NodeName,
    core: Pair,
    events: mpsc::Sender<PeerEvent>,
    mail: mpsc::Receiver<Arrival>,
    /// The dial that goes on.
    dial: Option<BoxFuture<'static, Option<Dialled>>>,
    /// The connection that the core is being asked about.
    arrival: Option<Arrival>,
    /// Connections that are admitted and not up yet, by lane.
    held: [Option<Connection>; 2],
    session: Option<Arc<Session>>,
    /// Readers and writers of the session; a reader ends with the fixed word, if there is one.
    links: JoinSet<Option<&'static str>>,
}

impl PairTask {
    fn new(
        shared: Arc<Shared>,
        peer: NodeName,
        events: mpsc::Sender<PeerEvent>,
        mail: mpsc::Receiver<Arrival>,
    ) -> PairTask {
        let config = &shared.config;
        let place = |name: &NodeName| config.nodes.iter().position(|node| node == name);
        let side = if place(&shared.host.name) > place(&peer) { Side::Dialer } else { Side::Acceptor };
        let limits = Limits { silence: config.silence, connect_deadline: config.connect_deadline };
        let backoff = Backoff::new(shared.host.random.stream(&format!("dial/{peer}")), config.silence);
        let core = Pair::new(shared.host.clock.now(), side, limits, backoff);
        let (dial, arrival, held, session) = (None, None, [None, None], None);
        PairTask { shared, peer, core, events, mail, dial, arrival, held, session, links: JoinSet::new() }
    }

    async fn run(mut self) {
        let mut actions = Vec::new();
        loop {
            let event = self.next_event().await;
            self.core.step(self.shared.host.clock.now(), event, &mut actions);
            for action in actions.drain(..) {
                self.act(action).await;
            }
        }
    }

    fn signs(&self) -> [Signs; 2] {
        let none = Signs { heard: Moment::ZERO, sent: Moment::ZERO, listening: true };
        self.session.as_ref().map_or([none; 2], |session| session.signs())
    }

    async fn next_event(&mut self) -> PairEvent {
        let deadline = self.core.deadline(self.signs());
        tokio::select! {
            biased;
            Some(ended) = self.links.join_next() => self.broken(ended),
            dialled = async { self.dial.as_mut().expect("the branch is off without a dial").await },
                if self.dial.is_some() => self.dialled(dialled),
            Some(arrival) = self.mail.recv() => {
                let Arrival { hello, .. } = &arrival;
                let event =
                    PairEvent::Arrived { lane: hello.lane, incarnation: hello.incarnation, session: hello.session };
                self.arrival = Some(arrival);
                event
            }
            () = closed(&self.session) => PairEvent::Broken,
            () = self.shared.host.clock.sleep_until(deadline) => PairEvent::Tick { signs: self.signs() },
        }
    }

    fn broken(&self, ended: Result<Option<&'static str>, JoinError>) -> PairEvent {
        match ended {
            Ok(Some(why)) => self.shared.trace(Event::ConnectionRefused { why: why.into() }),
            Ok(None) => {}
            Err(error) => raise::<()>(Err(error)),
        }
        PairEvent::Broken
    }

    fn dialled(&mut self, dialled: Option<Dialled>) -> PairEvent {
        self.dial = None;
        let session = self.core.session();
        match dialled {
            Some(Dialled { connections, incarnation }) => {
                self.held = connections.map(Some);
                PairEvent::Dialled { session, incarnation }
            }
            None => PairEvent::DialFailed { session },
        }
    }

    async fn act(&mut self, action: PairAction) {
        match action {
            PairAction::Dial { session } => {
                self.dial = Some(Box::pin(dial(Arc::clone(&self.shared), self.peer.clone(), session)));
            }
            PairAction::Admit { lane } => self.admit(lane).await,
            PairAction::Refuse { why } => self.refuse(why).await,
            PairAction::DropHalf => self.held = [None, None],
            PairAction::Up { incarnation, session } => self.up(incarnation, session).await,
            PairAction::Down { incarnation } => self.down(incarnation).await,
            PairAction::Show { lane } => self.show(lane, Kind::Pong),
            PairAction::Ask { lane } => self.show(lane, Kind::Ping),
        }
    }

    fn show(&self, lane: Lane, kind: Kind) {
        if let Some(session) = &self.session {
            session.show(lane, kind);
        }
    }

    async fn admit(&mut self, lane: Lane) {
        let Some(Arrival { hello, mut connection }) = self.arrival.take() else { return };
        // The answer on the data connection lets the peer send: it goes out when this side is up.
        if lane == Lane::Control {
            self.answer(&mut connection, hello.session, lane).await;
        }
        self.held[lane as usize] = Some(connection);
    }

    async fn answer(&mut self, connection: &mut Connection, session: u64, lane: Lane) {
        let limit = self.shared.config.connect_deadline;
        // A stream that does not take the answer is broken, which its reader or the deadline of the half pair finds.
        let _ = self.shared.host.deadline(limit, say_hello(&self.shared, connection, session, lane)).await;
    }

    async fn refuse(&mut self, why: &'static str) {
        if let Some(arrival) = self.arrival.take() {
            return refuse(&self.shared, arrival.connection.io, why).await;
        }
        for connection in std::mem::take(&mut self.held).into_iter().flatten() {
            refuse(&self.shared, connection.io, why).await;
        }
    }

    async fn up(&mut self, incarnation: u64, number: u64) {
        let now = self.shared.host.clock.now();
        let max_queued = self.shared.config.max_queued;
        let session = Arc::new(Session::new(now, self.peer.clone(), incarnation, max_queued));
        self.session = Some(Arc::clone(&session));
        self.shared.open(Arc::clone(&session));
        self.shared.trace(Event::PeerUp { peer: self.peer.clone(), incarnation });
        self.emit(PeerEvent::Up { peer: self.peer.clone(), incarnation }).await;
        for (lane, held) in LANES.into_iter().zip(std::mem::take(&mut self.held)) {
            let mut connection = held.expect("the core says up when both connections are held");
            if self.core.side() == Side::Acceptor && lane == Lane::Data {
                self.answer(&mut connection, number, lane).await;
            }
            self.link(lane, connection, Arc::clone(&session));
        }
    }

    fn link(&mut self, lane: Lane, connection: Connection, session: Arc<Session>) {
        let (input, output) = tokio::io::split(connection.io);
        let link = Link { shared: Arc::clone(&self.shared), session, lane, events: self.events.clone() };
        self.links.spawn(link.clone().read(input, connection.buffer));
        self.links.spawn(async move {
            link.write(output).await;
            None
        });
    }

    async fn down(&mut self, incarnation: u64) {
        self.session = None;
        self.shared.close(&self.peer);
        self.shared.trace(Event::PeerDown { peer: self.peer.clone(), incarnation });
        self.links.shutdown().await;
        self.emit(PeerEvent::Down { peer: self.peer.clone(), incarnation }).await;
    }

    async fn emit(&mut self, event: PeerEvent) {
        // A node that dropped its receiver wants no events.
        drop(self.events.send(event).await);
    }
}
