//! `dstream jobs`: the registered jobs with their parameters.

use crate::command_line::{Format, JobsArgs};
use crate::console;
use crate::failure::{Ending, Failure};
use crate::setup::Setup;
use dstream_scenarios::workload::Workload;
use serde_json::{Value, json};

/// The parameter that belongs to the source, whatever the job.
const RATE: (&str, &str) =
    ("rate", "lines a second from `file:` and `pool:`; without it as fast as they are processed");

/// Lists the jobs.
pub fn jobs(args: &JobsArgs, setup: &Setup) -> Result<Ending, Failure> {
    let text = match args.output.format {
        Format::Text => {
            let jobs: Vec<String> = setup.workloads.iter().map(as_text).collect();
            format!("{}\nany job:\n  {}=N/s  {}\n", jobs.join("\n"), RATE.0, RATE.1)
        }
        Format::Json => {
            let jobs: Vec<Value> = setup.workloads.iter().map(as_json).collect();
            let any_job = json!([{"name": RATE.0, "default": null, "about": RATE.1, "built": true}]);
            format!("{:#}\n", json!({ "jobs": jobs, "any_job": any_job }))
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
