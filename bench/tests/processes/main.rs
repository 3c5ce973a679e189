//! Whatever starts processes of its own on loopback TCP: one file for each topic. Apart from the simulated tests, whose load
//! on the cores would be theirs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../common/mod.rs"]
mod common;

mod again;
mod cluster;
#[cfg(target_os = "linux")]
mod full;
#[cfg(target_os = "linux")]
mod hostile;
mod job;
mod restart;
mod source;
mod tcp;
#[cfg(target_os = "linux")]
mod throughput;
