//! The binary, the engines and the checks, as users meet them, in the simulator: one file for each topic.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../common/mod.rs"]
mod common;

mod cli;
mod conformance;
mod demo;
mod meta;
mod pages;
mod paper;
mod planted;
mod planted_operators;
mod scenarios;
mod schema;
mod spill;
mod swarm;
mod tentative;
mod twins;
