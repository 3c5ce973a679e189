//! Options of an engine as data: the scenario parser, `explain` and the swarm read them and list no engine themselves.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// One option that an engine declares.
#[derive(Clone, Debug, PartialEq)]
pub struct OptionSpec {
    /// Its name in the scenario file.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// What values it takes.
    pub kind: OptionKind,
    /// The value where the file says none.
    pub default: OptionValue,
    /// Values that the contract names and this build refuses, each with the reason. [`Unbuilt::Nothing`] if all work.
    pub unbuilt: Unbuilt,
}

/// What values an option takes.
#[derive(Clone, Debug, PartialEq)]
pub enum OptionKind {
    /// A duration of at least this length.
    Duration {
        /// The shortest.
        at_least: Duration,
    },
    /// A whole number in these bounds, both included.
    Count {
        /// The least.
        at_least: u64,
        /// The most.
        at_most: u64,
    },
    /// A number of bytes.
    Size {
        /// The least.
        at_least: u64,
    },
    /// A number of at least this size.
    Factor {
        /// The least.
        at_least: f64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One of these values, or `off`.
    OrOff(Box<OptionKind>),
}

impl OptionSpec {
    /// Whether `off` is a value of it, built or not.
    pub fn may_be_off(&self) -> bool {
        let declared = matches!(self.kind, OptionKind::OrOff(_)) || self.default == OptionValue::Off;
        declared || self.unbuilt == Unbuilt::Everything
    }
}

/// Which values of an option are not built yet. `off` is always accepted where all but `off` are unbuilt.
#[derive(Clone, Debug, PartialEq)]
pub enum Unbuilt {
    /// All values work.
    Nothing,
    /// Every value but `off` is refused.
    Everything,
    /// Every value but this one is refused.
    AllBut(OptionValue),
}

/// A value of an option.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum OptionValue {
    /// The option is switched off.
    Off,
    /// A duration.
    Duration(Duration),
    /// A whole number.
    Count(u64),
    /// A number of bytes.
    Size(u64),
    /// A number.
    Factor(f64),
    /// A word.
    Choice(String),
}

/// Resolved options of one engine, by name, defaults filled in.
pub type Options = BTreeMap<String, OptionValue>;
