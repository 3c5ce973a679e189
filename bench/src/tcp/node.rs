//! `dstream node`: one node of a run in a process of its own.
//!
//! Reads everything it needs from standard input, never from its network: how to listen, then which node to be, then
//! what the fault driver orders. Says on standard output what happens. Invariant: it ends when its standard input does,
//! so no driver, however it ends, leaves it behind.
//!
//! ```text
//! Prepare -> listens, says where -> Begin -> lives -> Stop -> says the rest -> ends
//!                                          '-- Leave, and the node is done --^
//! end of the input, in any state -> ends
//! ```

use super::pipe::{EventPipe, start_writer};
use super::wire::{Beginning, Order, Preparation, StoreOrder, Word, read};
use crate::execution::starter;
use crate::failure::{Ending, Failure};
use crate::setup::Setup;
use dstream_host::real::{Began, NodeProcess, ProcessConfig};
use dstream_host::{NodeSpec, WorldError};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// News that wait for the main thread; the driver's orders are few, and wait in its own pipe beyond these.
const MAX_NEWS: usize = 16;

/// How long the end waits for the node's threads: what takes longer ends with the process.
const END_LIMIT: Duration = Duration::from_secs(1);

/// How long the end waits for the driver to take the last events.
const FLUSH_LIMIT: Duration = Duration::from_secs(3);

enum News {
    Order(Order),
    /// The driver is gone, or makes no sense.
    Over(Option<io::Error>),
    /// The node ended by itself; why, if it failed.
    Ended(Result<(), WorldError>),
}

/// Lives as the node that standard input says.
pub fn node(setup: &Setup) -> Result<Ending, Failure> {
    let pipe = Arc::new(EventPipe::on_stdout().map_err(|error| cannot("write to the driver", &error))?);
    start_writer(&pipe).map_err(|error| cannot("start a thread", &error))?;
    let (sender, news) = sync_channel(MAX_NEWS);
    let orders = sender.clone();
    spawn("orders", move || hear(&orders))?;
    let result = prepare(setup, &pipe, &sender, &news);
    if let Err(failure) = &result {
        pipe.say(&Word::Failed(failure.message.clone()));
    }
    pipe.flush(FLUSH_LIMIT);
    result
}

fn cannot(what: &str, error: &io::Error) -> Failure {
    Failure::broken(format!("the node's process cannot {what}: {error}"))
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), Failure> {
    // Threads that wait for the outside live as long as the process.
    let thread = std::thread::Builder::new().name(name.into()).spawn(body);
    thread.map(drop).map_err(|error| cannot("start a thread", &error))
}

/// Hands on the driver's orders.
fn hear(news: &SyncSender<News>) {
    let mut input = io::stdin().lock();
    loop {
        let heard = match read(&mut input) {
            Ok(Some(order)) => News::Order(order),
            Ok(None) => News::Over(None),
            Err(error) => News::Over(Some(error)),
        };
        let is_over = matches!(heard, News::Over(_));
        // The main thread may have ended the process meanwhile.
        if news.send(heard).is_err() || is_over {
            return;
        }
    }
}

/// The next order; nothing when the input is over, or the node is done. Before the node begins, nothing else can be news.
fn next_order(news: &Receiver<News>) -> Result<Option<Order>, Failure> {
    match news.recv() {
        Ok(News::Order(order)) => Ok(Some(order)),
        Ok(News::Ended(Err(failed))) => Err(Failure::from(failed)),
        Ok(News::Over(Some(error))) => Err(Failure::usage(format!(
            "standard input holds no orders ({error}): `dstream node` is started by `dstream run --world tcp`"
        ))),
        Ok(News::Ended(Ok(())) | News::Over(None)) | Err(_) => Ok(None),
    }
}

fn prepare(
    setup: &Setup,
    pipe: &Arc<EventPipe>,
    sender: &SyncSender<News>,
    news: &Receiver<News>,
) -> Result<Ending, Failure> {
    let Some(order) = next_order(news)? else { return Ok(Ending::Good) };
    let Order::Prepare(Preparation { driver, began_ns, listen }) = order else { return Err(unexpected(&order)) };
    if !stay_with(driver) {
        return Ok(Ending::Good);
    }
    let listener = bind(listen).map_err(|error| cannot("listen", &error))?;
    let address = listener.local_addr().map_err(|error| cannot("listen", &error))?;
    pipe.say(&Word::Listening(address));
    let Some(order) = next_order(news)? else { return Ok(Ending::Good) };
    let Order::Begin(beginning) = order else { return Err(unexpected(&order)) };
    let node = begin(setup, *beginning, Began::at(began_ns), listener, pipe)?;
    live(node, pipe, sender, news)
}

fn unexpected(order: &Order) -> Failure {
    Failure::broken(format!("the driver's order came out of turn: {order:?}"))
}

/// Sees to it that this process does not outlive the driver, even while it is stopped; `false` if it is gone already.
#[cfg(target_os = "linux")]
fn stay_with(driver: u32) -> bool {
    use rustix::process::{Signal, getppid, set_parent_process_death_signal};
    // Where the system refuses, the end of the input still ends this process.
    set_parent_process_death_signal(Some(Signal::KILL)).ok();
    getppid().is_some_and(|parent| parent.as_raw_nonzero().get().cast_unsigned() == driver)
}

/// Elsewhere a stopped process whose driver is gone is in an orphaned process group, which the system wakes and ends.
#[cfg(not(target_os = "linux"))]
fn stay_with(_driver: u32) -> bool {
    true
}

/// Listens there; where that port was taken meanwhile, at any free one.
fn bind(listen: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(listen).or_else(|error| match error.kind() {
        io::ErrorKind::AddrInUse => TcpListener::bind((listen.ip(), 0)),
        _ => Err(error),
    })
}

fn begin(
    setup: &Setup,
    beginning: Beginning,
    began: Began,
    listener: TcpListener,
    pipe: &Arc<EventPipe>,
) -> Result<NodeProcess, Failure> {
    let Beginning { spec, incarnation, seed, compute, addresses, bits_per_second, standing, store } = beginning;
    let StoreOrder { place, latency, bits_per_second: store_bandwidth } = store;
    let store = place.open(spec.name.as_str()).map_err(Failure::broken)?;
    let config = ProcessConfig {
        incarnation,
        seed,
        began,
        listener,
        addresses,
        bits_per_second,
        compute,
        store,
        store_link: Some((latency, store_bandwidth)),
        journal: pipe.clone(),
    };
    let node = begin_node(setup, &spec, config)?;
    standing.into_iter().try_for_each(|order| obey(&node, order))?;
    Ok(node)
}

/// Starts a node of any engine in this process: all that a process of a real cluster does, whoever tells it what to
/// be. The node's role is its engine's name.
pub fn begin_node(setup: &Setup, spec: &NodeSpec, config: ProcessConfig) -> Result<NodeProcess, Failure> {
    let engine = setup.engine(&spec.role);
    let engine = engine.ok_or_else(|| Failure::broken(format!("this binary has no engine `{}`", spec.role)))?;
    let start = starter(&engine, setup.workloads.clone());
    NodeProcess::begin(spec, config, start).map_err(|error| cannot("start its node", &error))
}

fn live(
    node: NodeProcess,
    pipe: &Arc<EventPipe>,
    sender: &SyncSender<News>,
    news: &Receiver<News>,
) -> Result<Ending, Failure> {
    let (watch, failed, pipe) = (node.watch(), sender.clone(), Arc::clone(pipe));
    // If the process ends first, nobody wants to know.
    spawn("watch", move || {
        let ended = watch();
        if ended.is_ok() {
            pipe.say(&Word::Done);
        }
        drop(failed.send(News::Ended(ended)));
    })?;
    while let Some(order) = next_order(news)? {
        if order == Order::Stop {
            node.end(END_LIMIT);
            break;
        }
        obey(&node, order)?;
    }
    Ok(Ending::Good)
}

fn obey(node: &NodeProcess, order: Order) -> Result<(), Failure> {
    match order {
        Order::Enter { node: other, address } => node.enter(other, address),
        Order::SetCut { from, to, cut } => node.set_cut(&from, &to, cut),
        Order::SetHeld { one, other, held } => node.set_held(&one, &other, held),
        Order::SetDelay { one, other, by } => node.set_delay(&one, &other, by),
        Order::SlowCpu { factor } => node.slow_cpu(factor),
        Order::SlowNic { factor } => node.slow_nic(factor),
        Order::TroubleStore { trouble } => node.trouble_store(trouble),
        Order::Leave => node.leave(),
        Order::Prepare(_) | Order::Begin(_) | Order::Stop => return Err(unexpected(&order)),
    }
    Ok(())
}
