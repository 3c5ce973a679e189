//! One child process of the driver: its pipes, each with a thread of its own, and its end.
//!
//! Invariants: the driver never waits for a child's pipe: orders go through a bounded queue, and what the child says is
//! read as fast as it comes; a child that is dropped is killed and gone.

use super::board::Board;
use super::wire::{Order, append, read};
use dstream_trace::NodeName;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child as Process, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Orders that wait for a child, as one that is stopped leaves them: more than a scenario has faults for one node.
const MAX_ORDERS: usize = 4096;

/// Bytes of the buffer in which a child's words arrive.
const READ_BYTES: usize = 64 << 10;

/// Last lines of a child's standard error that are kept, to be shown if it fails.
const MAX_LINES: usize = 20;

/// Longest of these lines, in bytes.
const MAX_LINE_BYTES: u64 = 4096;

/// What a node once had it keeps, unless its user says otherwise: blocks and tables come and go with every interval, and the
/// system clears each page that it gives again. For a word count that was a third of all a worker used.
const KEEPS_MEMORY: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "-1");

/// A node's process.
pub struct Child {
    process: Process,
    orders: Option<SyncSender<Vec<u8>>>,
    /// The driver wants its end: its silence is no failure.
    dismissed: Arc<AtomicBool>,
    last_lines: Arc<Mutex<VecDeque<String>>>,
    threads: Vec<JoinHandle<()>>,
    /// Nothing is sent; closed when all that the child said is heard.
    heard: Receiver<Infallible>,
}

impl Child {
    /// Starts this program again as `dstream node`.
    ///
    /// Call it from the thread that lives as long as the driver: on Linux a child ends with the thread that started it.
    pub fn spawn(node: &NodeName, board: &Arc<Board>) -> io::Result<Child> {
        let (variable, value) = KEEPS_MEMORY;
        let mut process = Command::new(std::env::current_exe()?)
            .env(variable, std::env::var_os(variable).unwrap_or_else(|| value.into()))
            .arg("node")
            .arg(node.as_str())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: Ctrl-C is for the driver, who ends its children in order.
            .process_group(0)
            .spawn()?;
        let (input, output, errors) = (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let (orders, waiting) = sync_channel(MAX_ORDERS);
        let (hearing, heard) = sync_channel(1);
        let mut child = Child {
            process,
            orders: Some(orders),
            dismissed: Arc::default(),
            last_lines: Arc::default(),
            threads: Vec::new(),
            heard,
        };
        let input = input.expect("the child was started with a pipe for its input");
        let output = output.expect("the child was started with a pipe for its output");
        let errors = errors.expect("the child was started with a pipe for its errors");
        let (dismissed, board, name) = (Arc::clone(&child.dismissed), Arc::clone(board), node.clone());
        let lines = Arc::clone(&child.last_lines);
        child.thread(format!("to {node}"), move || send(input, &waiting))?;
        child.thread(format!("from {node}"), move || {
            let _hearing = hearing;
            hear(output, &name, &board, &dismissed);
        })?;
        child.thread(format!("errors of {node}"), move || keep(errors, &lines))?;
        Ok(child)
    }

    fn thread(&mut self, name: String, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(Builder::new().name(name).spawn(body)?);
        Ok(())
    }

    /// Sends an order; `false` if too many wait or the child is gone.
    pub fn order(&self, order: &Order) -> bool {
        let mut bytes = Vec::new();
        append(order, &mut bytes);
        self.orders.as_ref().is_some_and(|orders| orders.try_send(bytes).is_ok())
    }

    /// The process's number, as the system counts them.
    pub fn number(&self) -> u32 {
        self.process.id()
    }

    fn pid(&self) -> Pid {
        let id = i32::try_from(self.process.id()).expect("a process's number fits the system's own type");
        Pid::from_raw(id).expect("a child's number is not 0")
    }

    /// Stops the process and returns when it stands still.
    pub fn stop(&self) -> io::Result<()> {
        kill_process(self.pid(), Signal::STOP)?;
        // Looks without taking the news away: the process stays this driver's to wait for.
        let what = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(self.pid()), what)?;
        Ok(())
    }

    /// Lets a stopped process go on.
    pub fn go_on(&self) -> io::Result<()> {
        Ok(kill_process(self.pid(), Signal::CONT)?)
    }

    /// No order will follow, and its end is no failure from now on.
    pub fn dismiss(&mut self) {
        self.dismissed.store(true, Ordering::Release);
        self.orders = None;
    }

    /// Waits until it has ended by itself and all that it said is heard, `limit` at most.
    pub fn hear_out(&self, limit: Duration) {
        // Nothing is ever received: this waits for the other end to be dropped.
        self.heard.recv_timeout(limit).ok();
    }

    /// Ends the process if it has not ended, and tells how it did and what it last said on standard error.
    pub fn last_words(&mut self) -> String {
        // One that is ending keeps its status; one that is not is of no use any more.
        self.kill();
        let status = self.process.try_wait().ok().flatten();
        let status = status.map_or("its process is gone".to_owned(), |status| format!("its process: {status}"));
        let lines = self.last_lines.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: String = lines.iter().map(|line| format!("\n  {line}")).collect();
        if lines.is_empty() { status } else { format!("{status}; its last lines:{lines}") }
    }

    /// Ends the process at once, whatever it does; returns when it is gone and all that it said is heard.
    pub fn kill(&mut self) {
        self.dismiss();
        // A process that has ended by itself cannot be killed, only waited for.
        self.process.kill().ok();
        self.process.wait().ok();
        self.join();
    }

    /// Waits until all that it said is heard. Its process has ended.
    fn join(&mut self) {
        // A thread's panic was reported where it happened.
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

fn send(mut input: ChildStdin, orders: &Receiver<Vec<u8>>) {
    // Ends when the driver has no more orders, which closes the child's input, or when the child is gone.
    while let Ok(order) = orders.recv() {
        if input.write_all(&order).is_err() {
            return;
        }
    }
}

fn hear(output: ChildStdout, node: &NodeName, board: &Board, dismissed: &AtomicBool) {
    let mut output = BufReader::with_capacity(READ_BYTES, output);
    let why = loop {
        match read(&mut output) {
            Ok(Some(word)) => board.hear(node, word),
            Ok(None) => break None,
            Err(error) => break Some(format!("what its process says makes no sense: {error}")),
        }
    };
    if !dismissed.load(Ordering::Acquire) {
        board.ended(node, why);
    }
}

fn keep(errors: ChildStderr, lines: &Mutex<VecDeque<String>>) {
    let mut errors = BufReader::new(errors);
    loop {
        let mut line = Vec::new();
        match io::Read::take(&mut errors, MAX_LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
        if lines.len() > MAX_LINES {
            lines.pop_front();
        }
    }
}
