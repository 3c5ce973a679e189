//! The engine's options: declared as data, read into plain settings.

use dstream::engine::{OptionKind, OptionSpec, OptionValue, Options, Unbuilt};
use serde::{Deserialize, Serialize};
use std::time::Duration;

const INTERVAL: &str = "interval";
const BLOCK: &str = "block";

/// How long a log's entry gathers records where nobody says otherwise: short against an interval, long against the store.
const DEFAULT_BLOCK: Duration = Duration::from_millis(200);

/// The options that only this engine reads. The interval is the scenario's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// How long an entry of the log gathers records.
    pub block: Duration,
}

impl Settings {
    /// Reads resolved options; what they do not say is as declared.
    pub fn from_options(options: &Options) -> Settings {
        match options.get(BLOCK) {
            Some(OptionValue::Duration(block)) => Settings { block: *block },
            _ => Settings { block: DEFAULT_BLOCK },
        }
    }
}

/// The engine's options.
pub fn declared() -> Vec<OptionSpec> {
    let at_least = OptionKind::Duration { at_least: Duration::from_millis(10) };
    let option = |name, about, default| OptionSpec {
        name,
        about,
        kind: at_least.clone(),
        default: OptionValue::Duration(default),
        unbuilt: Unbuilt::Nothing,
    };
    vec![
        option(INTERVAL, "length of an interval", Duration::from_secs(1)),
        option(BLOCK, "how long an entry of the log gathers records", DEFAULT_BLOCK),
    ]
}
