//! `dstream explain`: the resolved scenario, without running it.
//!
//! As text it is a scenario file again, with each engine's nodes in a comment; as JSON they stand under `nodes`.

use crate::command_line::{ExplainArgs, Format};
use crate::console;
use crate::failure::{Ending, Failure};
use crate::load::{Overrides, load_scenario};
use crate::setup::Setup;
use dstream_scenarios::plan::Plan;
use serde_json::{Value, json};

/// Shows the scenario with every default filled in and everything drawn.
pub fn explain(args: &ExplainArgs, setup: &Setup) -> Result<Ending, Failure> {
    let overrides = Overrides { seed: args.changes.seed, set: args.changes.set.clone(), only: Vec::new() };
    let plan = load_scenario(&args.scenario, &overrides, setup)?;
    let yaml = dstream_scenarios::to_yaml(&plan);
    let text = match args.output.format {
        Format::Text => yaml,
        Format::Json => {
            let unreadable = |error| Failure::broken(format!("the resolved scenario cannot be read again: {error}"));
            let mut value: Value = serde_yaml::from_str(&yaml).map_err(unreadable)?;
            value["nodes"] = nodes(&plan);
            format!("{value:#}\n")
        }
    };
    console::result(&text)?;
    Ok(Ending::Good)
}

/// Each engine's workers, standbys and replicas, as the comparison leaves them.
fn nodes(plan: &Plan) -> Value {
    let of = plan.engines.iter().map(|engine| {
        let heirs: Vec<String> = engine.heirs.iter().map(ToString::to_string).collect();
        (engine.label.clone(), json!({ "workers": engine.workers, "heirs": heirs }))
    });
    Value::Object(of.collect())
}
