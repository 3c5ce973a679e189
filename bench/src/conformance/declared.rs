//! Cases that look at an engine as a value: options, promise, nodes.
//!
//! What a case finds wrong is an `Err` in words.

use super::played::{PLAIN, plan, text_for};
use super::{CaseOutcome, Subject};
use crate::execution::cluster;
use crate::load::{Overrides, load_text};
use dstream_cluster::layout::Role;
use dstream_cluster::{ClusterSpec, Options};
use dstream_host::NodeSpec;
use dstream_trace::Moment;
use std::collections::BTreeSet;
use std::path::Path;

/// An option that no engine declares.
const UNKNOWN: &str = "no-such-option";

/// Options have one meaning each, the promise is one, and the nodes are those of the cluster.
pub(super) fn declares_itself(subject: &Subject) -> Result<CaseOutcome, String> {
    let setup = subject.setup();
    let engine = &subject.engine;
    let names: Vec<&str> = engine.options().iter().map(|option| option.name).collect();
    let distinct: BTreeSet<&str> = names.iter().copied().collect();
    require(distinct.len() == names.len(), || format!("an option is declared twice: {}", names.join(", ")))?;
    require(distinct.contains("interval"), || {
        "it declares no option `interval`, which every scenario sets".to_owned()
    })?;
    let plan = plan(subject, &setup, PLAIN)?;
    let options = &plan.engines[0].options;
    let laid_out = cluster(&plan, &setup.workloads, Moment::ZERO).map_err(|failure| failure.message)?;
    let promise = engine.promise(&laid_out, options);
    require(!promise.words.trim().is_empty(), || "its promise has no words".to_owned())?;
    require(promise.copies > 0, || "it promises that no node holds what it acknowledges".to_owned())?;
    nodes(subject, &laid_out, options)?;
    let nobody = ClusterSpec { workers: 0, ..laid_out };
    require(engine.nodes(&nobody, options).is_err(), || "it lays out a cluster without workers".to_owned())?;
    Ok(CaseOutcome::Held)
}

/// The sink first, the master, every worker, what it names as heirs, and the clients last; the same each time.
fn nodes(subject: &Subject, cluster: &ClusterSpec, options: &Options) -> Result<(), String> {
    let lay_out = || subject.engine.nodes(cluster, options).map_err(|error| error.to_string());
    let nodes: Vec<NodeSpec> = lay_out()?;
    require(nodes == lay_out()?, || "it lays out the same cluster in two ways".to_owned())?;
    let order = |role: &Role| match role {
        Role::Sink => 0,
        Role::Client(_) => 2,
        Role::Master | Role::Worker(_) | Role::Standby(_) | Role::Replica(_) => 1,
    };
    let mut roles = Vec::new();
    for node in &nodes {
        roles.push(Role::of(&node.name).ok_or_else(|| format!("`{}` is no name of a node", node.name))?);
    }
    require(roles.is_sorted_by_key(order), || "the sink starts first, and clients last".to_owned())?;
    let found: BTreeSet<Role> = roles.iter().copied().collect();
    let heirs = subject.engine.heirs(cluster.workers, options);
    let heirs = heirs.iter().filter_map(Role::of);
    let workers = (1..=cluster.workers).map(Role::Worker);
    let clients = (1..=cluster.clients).map(Role::Client);
    let expected: BTreeSet<Role> =
        [Role::Sink, Role::Master].into_iter().chain(workers).chain(heirs).chain(clients).collect();
    require(found == expected && roles.len() == found.len(), || {
        format!("its nodes are {found:?}, those of the cluster and its heirs {expected:?}")
    })?;
    let harness = nodes.iter().filter(|node| node.harness).map(|node| node.name.to_string()).collect::<Vec<_>>();
    require(harness == ["sink"], || format!("the harness owns the sink and nothing else, not {harness:?}"))
}

/// An option that it does not declare is refused, by name.
pub(super) fn refuses_unknown_options(subject: &Subject) -> Result<CaseOutcome, String> {
    let setup = subject.setup();
    let text = text_for(subject, PLAIN, &format!("{UNKNOWN}: 1"));
    match load_text(Path::new("conformance.yaml"), &text, &Overrides::default(), &setup) {
        Err(failure) if failure.message.contains(UNKNOWN) => Ok(CaseOutcome::Held),
        Err(failure) => Err(format!("refused for another reason: {}", failure.message)),
        Ok(_) => Err(format!("`{UNKNOWN}` is accepted")),
    }
}

fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}
