//! `dstream explain`: the resolved scenario, without running it.

use crate::command_line::{ExplainArgs, Format};
use crate::console;
use crate::failure::{Ending, Failure};
use crate::load::{Overrides, load_scenario};
use crate::setup::Setup;

/// Shows the scenario with every default filled in and everything drawn.
pub fn explain(args: &ExplainArgs, setup: &Setup) -> Result<Ending, Failure> {
    let overrides = Overrides { seed: args.changes.seed, set: args.changes.set.clone(), only: Vec::new() };
    let plan = load_scenario(&args.scenario, &overrides, setup)?;
    let yaml = dstream_scenarios::to_yaml(&plan);
    let text = match args.output.format {
        Format::Text => yaml,
        Format::Json => {
            let unreadable = |error| Failure::broken(format!("the resolved scenario cannot be read again: {error}"));
            let value: serde_json::Value = serde_yaml::from_str(&yaml).map_err(unreadable)?;
            format!("{value:#}\n")
        }
    };
    console::result(&text)?;
    Ok(Ending::Good)
}
