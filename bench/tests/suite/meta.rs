//! `dstream meta` runs a scenario in two processes, and where a run is not deterministic it names the first line that
//! differs.

use crate::common::{Folder, root};
use dstream::{Comparison, Difference, Engine, Overrides, Registry, Setup, compare_traces, load_scenario, simulate};
use dstream_cluster::{ClusterSpec, EngineError, OptionSpec, Options, Promise};
use dstream_host::{BoxFuture, Host, NodeError, NodeSpec};
use dstream_trace::Event;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[test]
fn a_scenario_gives_the_same_trace_in_two_processes_whatever_its_engine() {
    let folder = Folder::new();
    for name in ["smoke/short-pause", "hunt/operators-twin", "hunt/operators-lost"] {
        let path = root().join("scenarios").join(name).with_extension("yaml");
        folder.dstream(&["meta", path.to_str().unwrap()]).expect(0, &["identical"]);
    }
}

#[test]
fn another_seed_gives_another_trace() {
    let setup = Setup::built_in();
    let traces = [3, 4].map(|seed| trace(&setup, seed));
    assert!(matches!(compare(&traces), Comparison::Differ(_)));
}

/// An engine as it is, but worker 2 says a number that depends on how many nodes the process has started before.
struct Forgetful {
    inner: Arc<dyn Engine>,
    started: AtomicU64,
}

impl Engine for Forgetful {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn options(&self) -> Vec<OptionSpec> {
        self.inner.options()
    }

    fn promise(&self, cluster: &ClusterSpec, options: &Options) -> Promise {
        self.inner.promise(cluster, options)
    }

    fn map_ns_per_byte(&self, cluster: &ClusterSpec, options: &Options) -> f64 {
        self.inner.map_ns_per_byte(cluster, options)
    }

    fn nodes(&self, cluster: &ClusterSpec, options: &Options) -> Result<Vec<NodeSpec>, EngineError> {
        self.inner.nodes(cluster, options)
    }

    fn start(
        &self,
        node: NodeSpec,
        host: Host,
        registry: Arc<dyn Registry>,
    ) -> BoxFuture<'static, Result<(), NodeError>> {
        let value = self.started.fetch_add(1, Ordering::Relaxed);
        if node.name.as_str() == "worker-2" {
            host.trace.record(Event::Mark { name: "planted".into(), value });
        }
        self.inner.start(node, host, registry)
    }
}

#[test]
fn planted_nondeterminism_is_found_and_its_first_line_named() {
    let mut setup = Setup::built_in();
    let inner = setup.engines[0].clone();
    setup.engines[0] = Arc::new(Forgetful { inner, started: AtomicU64::new(0) });
    let traces = [3, 3].map(|seed| trace(&setup, seed));
    let Comparison::Differ(Difference { line, first, second }) = compare(&traces) else {
        panic!("the planted nondeterminism was not found");
    };
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(first.contains("worker-2 Mark { name: \"planted\", value: "), "{first}");
    assert!(second.contains("worker-2 Mark { name: \"planted\", value: ") && first != second, "{second}");
    let before = traces.each_ref().map(|trace| trace.lines().take(line as usize - 1).collect::<Vec<_>>());
    assert_eq!(before[0], before[1]);
}

fn compare(traces: &[String; 2]) -> Comparison {
    compare_traces(traces[0].as_bytes(), traces[1].as_bytes()).unwrap()
}

/// The trace of the smallest smoke scenario under this setup and seed, shortened.
fn trace(setup: &Setup, seed: u64) -> String {
    let set = ["duration=7s", "warmup=1s", "faults[0].at=1s"].map(str::to_string).to_vec();
    let overrides = Overrides { seed: Some(seed), set, only: Vec::new() };
    let path = root().join("scenarios/smoke/short-pause.yaml");
    let plan = load_scenario(&path, &overrides, setup).unwrap();
    let mut progress = |_| ControlFlow::Continue(());
    let workloads = setup.workloads.clone();
    let simulation = simulate(&plan, &plan.engines[0], &setup.engines[0], workloads, &mut progress).unwrap();
    assert_eq!(simulation.failed, None);
    let log = simulation.trace.lock();
    log.lines().iter().map(|line| format!("{line}\n")).collect()
}
