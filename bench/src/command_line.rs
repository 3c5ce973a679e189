//! The command line: what can be typed. Knows how to read words, not what they do.
//!
//! Every command's help ends with an example that runs. What the contract names and this build lacks is not shown.

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// All that can be typed.
#[derive(Debug, Parser)]
#[command(name = "dstream", version, about = "A testbed for recovery in stream processing", after_help = EXAMPLES)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "Examples:
  dstream demo
  dstream run scenarios/smoke/worker-crash.yaml
  dstream job word-count --source file:README.md

Exit codes: 0 every check holds, 1 a check failed, 2 undecided, 64 yours to mend, 70 the software failed";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run every engine through one crash in the simulator, and say which was back first and what it cost
    #[command(after_help = "Example:\n  dstream demo")]
    Demo(DemoArgs),
    /// Run scenarios, check their outputs against the oracle, print a verdict table
    #[command(
        after_help = "Example:\n  dstream run scenarios/smoke/worker-crash.yaml --seed 8 --set cluster.workers=6"
    )]
    Run(RunArgs),
    /// Render the pages of runs again, or put several runs side by side
    #[command(after_help = "Example:\n  dstream report runs/worker-crash --out worker-crash.html")]
    Report(ReportArgs),
    /// Parse and validate scenario files
    #[command(after_help = "Example:\n  dstream check scenarios/smoke")]
    Check(CheckArgs),
    /// Print the scenario file's JSON Schema, with which editors complete it
    #[command(after_help = "Example:\n  dstream schema")]
    Schema(SchemaArgs),
    /// Show the resolved scenario without running it
    #[command(after_help = "Example:\n  dstream explain scenarios/smoke/worker-crash.yaml --seed 8")]
    Explain(ExplainArgs),
    /// Run a scenario twice, in two processes, and compare the traces byte for byte
    #[command(after_help = "Example:\n  dstream meta scenarios/smoke/short-pause.yaml")]
    Meta(MetaArgs),
    /// Draw a cluster, a workload and a storm of faults from each seed, run it, check it
    #[command(after_help = "Example:\n  dstream swarm --seeds 0..3")]
    Swarm(SwarmArgs),
    /// Run again from a run directory alone, and say whether the trace is the same
    #[command(after_help = "Example:\n  dstream replay runs/worker-crash/dstream-sim-8")]
    Replay(ReplayArgs),
    /// Reproduce published figures: published, analytic and measured values in one picture each
    #[command(after_help = "Example:\n  dstream paper --figure one-failure --quick")]
    Paper(PaperArgs),
    /// Write the trace of one run: what `meta` does in each of its two processes
    #[command(hide = true, name = "write-trace")]
    WriteTrace(WriteTraceArgs),
    /// Be one node of a run, as standard input says: what `run --world tcp` starts
    #[command(after_help = "Example:\n  dstream node < /dev/null")]
    Node(NodeArgs),
    /// Run the master of a cluster: where workers and jobs meet
    #[command(after_help = "Example:\n  dstream master --listen 127.0.0.1:7077 --workers 2")]
    Master(MasterArgs),
    /// Run a worker of a cluster
    #[command(after_help = "Example:\n  dstream worker --master 127.0.0.1:7077 --cores 2")]
    Worker(WorkerArgs),
    /// Measure this machine: real processes, real time
    #[command(subcommand)]
    Bench(BenchCommand),
    /// List the registered jobs with their parameters
    #[command(after_help = "Example:\n  dstream jobs --format json")]
    Jobs(JobsArgs),
    /// Run a registered job on real input, in this process or on a cluster
    #[command(after_help = "Example:\n  dstream job word-count --source file:README.md --output file:/tmp/words")]
    Job(JobArgs),
}

/// How results are written to stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// What every command takes.
#[derive(Args, Clone, Copy, Debug)]
pub struct Output {
    /// How results are written to stdout
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: Format,
}

/// What changes a scenario from outside its file.
#[derive(Args, Clone, Debug, Default)]
pub struct Changes {
    /// Draw everything from this seed instead of the file's
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Set a value of the file, such as `cluster.workers=4` or `faults[0].at=20s`
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// The scenario's file; not said on the command line as such.
    #[arg(skip)]
    pub file: Option<PathBuf>,
}

/// `dstream demo`.
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Draw everything from this seed instead of the scenario's own
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// The folder that holds run directories
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub out: PathBuf,
    #[command(flatten)]
    pub output: Output,
}

/// `dstream run`.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Scenario files
    #[arg(required = true, value_name = "SCENARIO")]
    pub scenarios: Vec<PathBuf>,
    /// Run only this engine of the scenario, by label or name
    #[arg(long, value_name = "NAME")]
    pub engine: Vec<String>,
    /// Where the nodes run: `sim`, in a simulator; `tcp`, each in a process of its own on this machine
    #[arg(long, value_name = "WORLD", value_delimiter = ',', default_value = "sim")]
    pub world: Vec<String>,
    #[arg(long, hide = true, value_name = "FILE")]
    pub hosts: Option<PathBuf>,
    #[command(flatten)]
    pub changes: Changes,
    /// The folder that holds run directories
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub out: PathBuf,
    /// Also write every output row into outputs.jsonl
    #[arg(long)]
    pub keep_outputs: bool,
    #[command(flatten)]
    pub output: Output,
}

/// `dstream report`.
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// Run directories, or folders of them
    #[arg(required = true, value_name = "RUN_DIR")]
    pub runs: Vec<PathBuf>,
    /// The page to write, with all the runs side by side; else a run's `report.html`, a folder's `index.html`, or
    /// `comparison.html`
    #[arg(long, value_name = "FILE.html")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub output: Output,
}

/// `dstream check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Scenario files, or folders of them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    #[command(flatten)]
    pub output: Output,
}

/// `dstream schema`.
#[derive(Args, Debug)]
pub struct SchemaArgs {
    #[command(flatten)]
    pub output: Output,
}

/// `dstream explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// The scenario file
    #[arg(value_name = "SCENARIO")]
    pub scenario: PathBuf,
    #[command(flatten)]
    pub changes: Changes,
    #[command(flatten)]
    pub output: Output,
}

/// `dstream meta`.
#[derive(Args, Debug)]
pub struct MetaArgs {
    /// The scenario file
    #[arg(value_name = "SCENARIO")]
    pub scenario: PathBuf,
    #[command(flatten)]
    pub changes: Changes,
    #[command(flatten)]
    pub output: Output,
}

/// `dstream node`.
#[derive(Args, Debug)]
pub struct NodeArgs {
    /// The node's name, for whoever lists processes; what it is, it reads from standard input
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
}

/// `dstream swarm`.
#[derive(Args, Debug)]
pub struct SwarmArgs {
    /// The seeds, B left out
    #[arg(long, value_name = "A..B")]
    pub seeds: String,
    /// Run only this engine; may be given more than once
    #[arg(long, value_name = "NAME")]
    pub engine: Vec<String>,
    /// A scenario that may lack anything: what it says stays, the rest is drawn
    #[arg(long, value_name = "SCENARIO")]
    pub template: Option<PathBuf>,
    /// How many simulations run at once; as many as there are cores
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub jobs: Option<usize>,
    #[arg(long, hide = true)]
    pub shrink: bool,
    /// The folder that holds the run directories of failing seeds
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub out: PathBuf,
    #[command(flatten)]
    pub output: Output,
}

/// `dstream replay`.
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// The run directory
    #[arg(value_name = "RUN_DIR")]
    pub run_directory: PathBuf,
    #[command(flatten)]
    pub output: Output,
}

/// `dstream paper`.
#[derive(Args, Debug)]
pub struct PaperArgs {
    /// Reproduce only this figure; may be given more than once
    #[arg(long, value_name = "ID")]
    pub figure: Vec<String>,
    /// A smaller stand-in for each figure, in seconds instead of minutes; not for comparing
    #[arg(long)]
    pub quick: bool,
    /// The folder that holds run directories; the figures' pages go into `paper` in it
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub out: PathBuf,
    #[command(flatten)]
    pub output: Output,
}

/// `dstream write-trace`.
#[derive(Args, Debug)]
pub struct WriteTraceArgs {
    /// The scenario file
    pub scenario: PathBuf,
    #[command(flatten)]
    pub changes: Changes,
    /// The engine's label
    #[arg(long)]
    pub engine: String,
    /// The file to write
    #[arg(long)]
    pub to: PathBuf,
}

/// `dstream jobs`.
#[derive(Args, Debug)]
pub struct JobsArgs {
    #[command(flatten)]
    pub output: Output,
}

/// `dstream job`.
#[derive(Args, Debug)]
pub struct JobArgs {
    /// The job's name, see `dstream jobs`
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Where the lines come from: `file:GLOB` or `pool:FILE` (a file again and again), with `rate=N/s` among the
    /// parameters at that rate; `tcp:HOST:PORT` (listens), `connect:HOST:PORT`, or
    /// `generate:rate=10000/s,record=100B,keys=10000,skew=1.0`
    #[arg(long, value_name = "SOURCE")]
    pub source: String,
    /// Length of an interval
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    pub interval: String,
    /// Where the job runs: `local[N]`, in this process with N cores, or `HOST:PORT` of a cluster's master
    #[arg(long, value_name = "MASTER", default_value = "local[1]")]
    pub master: String,
    /// The cluster's name, where its master has another one
    #[arg(long, value_name = "NAME", default_value = CLUSTER)]
    pub cluster: String,
    /// End the input after this time
    #[arg(long = "for", value_name = "DURATION")]
    pub lasts: Option<String>,
    #[arg(long, hide = true)]
    pub batch: bool,
    /// On a cluster: begin, whatever its store has of an unfinished job
    #[arg(long)]
    pub fresh: bool,
    /// Where the results go: `stdout` or `file:DIR`
    #[arg(long = "output", value_name = "DESTINATION", default_value = "stdout")]
    pub destination: String,
    /// The job's parameters
    #[arg(value_name = "KEY=VALUE")]
    pub params: Vec<String>,
    #[command(flatten)]
    pub output: Output,
}

/// The most cores a worker says it has: more is a slip of the hand.
const CORES_MAX: u64 = 1024;

/// The name of a cluster that was given none.
const CLUSTER: &str = "default";

/// `dstream master`.
#[derive(Args, Debug)]
pub struct MasterArgs {
    /// Where workers and jobs find it
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7077")]
    pub listen: String,
    /// Begin a job when so many workers are there
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub workers: usize,
    /// Keeps clusters apart: workers and jobs of another name are refused
    #[arg(long, value_name = "NAME", default_value = CLUSTER)]
    pub cluster: String,
    /// The durable store: a folder that all machines of the cluster must see, or `s3://bucket/prefix`, with credentials and
    /// server in the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...) of all. A job that was not over when its
    /// processes ended goes on from here when they are started again with the same words
    #[arg(long, value_name = "DIR|URL", default_value = "dstream-store")]
    pub store: String,
    /// Give up what the store has of an unfinished job: the next one begins
    #[arg(long)]
    pub fresh: bool,
    /// Set an option of the engine, as a scenario's `engines:` would, such as `checkpoint=5s`, `copies=3`,
    /// `backpressure=on`, `input=memory` (else the log in the store); also `failure_timeout` (else
    /// 5s) and `heartbeat` (else 500ms)
    #[arg(long, value_name = "OPTION=VALUE")]
    pub set: Vec<String>,
}

/// `dstream worker`.
#[derive(Args, Debug)]
pub struct WorkerArgs {
    /// The master; it may be started later
    #[arg(long, value_name = "HOST:PORT")]
    pub master: String,
    /// How many cores it works with; default: all
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<u32>::new().range(1..=CORES_MAX))]
    pub cores: Option<u32>,
    /// The cluster's name
    #[arg(long, value_name = "NAME", default_value = CLUSTER)]
    pub cluster: String,
}

/// `dstream bench`.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Find the highest rate that an engine sustains on real processes, and what a record costs there
    #[command(
        after_help = "Example:\n  dstream bench throughput --job word-count --source tcp:README.md --rate 100000/s \
                      window=5s"
    )]
    Throughput(ThroughputArgs),
}

/// At least one, and no more than a machine can have.
fn some() -> RangedU64ValueParser<u32> {
    RangedU64ValueParser::new().range(1..=CORES_MAX)
}

/// `dstream bench throughput`.
#[derive(Args, Debug)]
pub struct ThroughputArgs {
    /// The job's name, see `dstream jobs`
    #[arg(long, value_name = "NAME")]
    pub job: String,
    /// The engines to measure, one after the other
    #[arg(long, value_name = "NAME", default_value = "dstream")]
    pub engine: Vec<String>,
    /// Nodes that work
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = some())]
    pub workers: u32,
    /// Cores of each
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = some())]
    pub cores: u32,
    /// Load generators: processes that send on a schedule, whatever the engine does
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = some())]
    pub generators: u32,
    #[arg(long, hide = true)]
    pub hosts: Option<PathBuf>,
    /// Length of an interval
    #[arg(long, value_name = "DURATION", default_value = "1s")]
    pub interval: String,
    /// Records a second, such as `200000/s`; or `max`, the highest rate that is sustained, found in at most eight probes
    #[arg(long, value_name = "RATE", default_value = "max")]
    pub rate: String,
    /// Where p99 of the latency is above this, a rate is not sustained. Default: two intervals
    #[arg(long, value_name = "DURATION")]
    pub latency_bound: Option<String>,
    /// `tcp:FILE`: load generators send the file's lines again and again
    #[arg(long, value_name = "SOURCE")]
    pub source: String,
    /// How long a probe lasts when the window is full. Default: twenty intervals
    #[arg(long, value_name = "SECONDS")]
    pub seconds: Option<f64>,
    /// Change a value of the scenario that is run, such as `engines.dstream.checkpoint=2s`
    #[arg(long, value_name = "PATH=VALUE")]
    pub set: Vec<String>,
    /// The job's parameters
    #[arg(value_name = "KEY=VALUE")]
    pub params: Vec<String>,
    #[command(flatten)]
    pub output: Output,
}
