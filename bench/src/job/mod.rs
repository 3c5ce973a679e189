//! `dstream job`: a registered job on real input, in this process.

pub mod input;
pub mod table;
pub mod watch;
pub mod write;
