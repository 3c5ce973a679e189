//! `dstream jobs`: the registered jobs with their parameters.

use crate::command_line::{Format, JobsArgs};
use crate::console;
use crate::failure::{Ending, Failure};
use crate::setup::Setup;
use dstream_scenarios::workload::Workload;
use serde_json::{Value, json};

/// Lists the jobs.
pub fn jobs(args: &JobsArgs, setup: &Setup) -> Result<Ending, Failure> {
    let text = match args.output.format {
        Format::Text => setup.workloads.iter().map(as_text).collect::<Vec<_>>().join("\n"),
        Format::Json => {
            let jobs: Vec<Value> = setup.workloads.iter().map(as_json).collect();
            format!("{:#}\n", json!({ "jobs": jobs }))
        }
    };
    console::result(&text)?;
    Ok(Ending::Good)
}

fn as_text(job: &dyn Workload) -> String {
    let mut text = format!("{}: {}\n", job.name(), job.about());
    for param in job.params() {
        let note = if param.unbuilt { " (other values are not built yet)" } else { "" };
        text.push_str(&format!("  {}={}  {}{note}\n", param.name, param.default, param.about));
    }
    text
}

fn as_json(job: &dyn Workload) -> Value {
    let params = job.params().into_iter().map(
        |param| json!({"name": param.name, "default": param.default, "about": param.about, "built": !param.unbuilt}),
    );
    json!({"name": job.name(), "about": job.about(), "params": params.collect::<Vec<_>>()})
}
