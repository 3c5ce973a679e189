//! `dstream schema`: the scenario file's JSON Schema, from what this binary has.

use crate::console;
use crate::failure::{Ending, Failure};
use crate::load::{Overrides, context};
use crate::setup::Setup;

/// Prints the schema.
pub fn schema(setup: &Setup) -> Result<Ending, Failure> {
    console::result(&scenario_schema(setup)?)?;
    Ok(Ending::Good)
}

/// The schema of the scenario files that this setup can run, as text.
pub fn scenario_schema(setup: &Setup) -> Result<String, Failure> {
    Ok(format!("{:#}\n", dstream_scenarios::schema(&context(&Overrides::default(), setup)?)))
}
