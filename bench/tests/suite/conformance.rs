//! Every engine of the product passes the conformance suite, with each of its ways to recover; and one that says what it
//! does not keep is found out.

use dstream::conformance::{CaseOutcome, Subject, cases, run, run_case};
use dstream::engine::query::Query;
use dstream::engine::{
    BoxFuture, ClusterSpec, Engine, EngineError, Host, NodeError, NodeSpec, OptionSpec, Options, Promise, Registry,
};
use dstream_baselines::{HotReplication, UpstreamBackup};
use dstream_engine::DStreams;
use std::sync::Arc;

/// Runs the suite; exactly these cases may be refused.
#[track_caller]
fn check(subject: &Subject, refused: &[&str]) {
    let found = run(subject);
    assert!(found.holds(), "{found}");
    assert_eq!(found.refused(), refused, "{found}");
}

/// What cannot be replayed by position, because nothing brings it together.
const NO_SHUFFLE: &[&str] = &["no-shuffle"];

#[test]
fn d_streams() {
    check(&Subject::new(DStreams::new()), &[]);
}

#[test]
fn upstream_backup_one_after_the_other() {
    check(&Subject::new(UpstreamBackup::new()).with_options("checkpoint: 3s, restore: serial"), NO_SHUFFLE);
}

#[test]
fn upstream_backup_side_by_side() {
    check(&Subject::new(UpstreamBackup::new()).with_options("checkpoint: 3s, restore: parallel"), NO_SHUFFLE);
}

#[test]
fn hot_replication_in_one_order() {
    check(&Subject::new(HotReplication::new()).with_options("order: sync"), NO_SHUFFLE);
}

#[test]
fn hot_replication_first_wins() {
    check(&Subject::new(HotReplication::new()).with_options("order: first-wins"), NO_SHUFFLE);
}

/// D-Streams, saying something else of itself.
#[derive(Clone, Copy)]
enum Liar {
    /// It bears any loss.
    Boastful,
    /// It can run nothing.
    Refusing,
    /// An option has two meanings.
    Ambiguous,
    /// The clients start first.
    Upside,
}

impl Engine for Liar {
    fn name(&self) -> &'static str {
        "liar"
    }

    fn options(&self) -> Vec<OptionSpec> {
        let mut options = DStreams::new().options();
        if matches!(self, Liar::Ambiguous) {
            options.push(options[0].clone());
        }
        options
    }

    fn promise(&self, cluster: &ClusterSpec, options: &Options) -> Promise {
        let honest = DStreams::new().promise(cluster, options);
        let losses_at_once = if matches!(self, Liar::Boastful) { cluster.workers } else { honest.losses_at_once };
        Promise { losses_at_once, ..honest }
    }

    fn refuses(&self, _query: &Query, _options: &Options) -> Option<String> {
        matches!(self, Liar::Refusing).then(|| "not today".to_owned())
    }

    fn map_ns_per_byte(&self, cluster: &ClusterSpec, options: &Options) -> f64 {
        DStreams::new().map_ns_per_byte(cluster, options)
    }

    fn nodes(&self, cluster: &ClusterSpec, options: &Options) -> Result<Vec<NodeSpec>, EngineError> {
        let mut nodes = DStreams::new().nodes(cluster, options)?;
        if matches!(self, Liar::Upside) {
            nodes.reverse();
        }
        Ok(nodes)
    }

    fn start(
        &self,
        node: NodeSpec,
        host: Host,
        registry: Arc<dyn Registry>,
    ) -> BoxFuture<'static, Result<(), NodeError>> {
        DStreams::new().start(node, host, registry)
    }
}

#[test]
fn an_engine_that_is_not_what_it_says_is_found_out() {
    let check = |liar: Liar, name: &str, expected: &str| {
        let case = cases().iter().find(|case| case.name == name).unwrap();
        let said = match run_case(&Subject::new(liar), case) {
            CaseOutcome::Held => "held".to_owned(),
            CaseOutcome::Refused(why) => format!("refused: {why}"),
            CaseOutcome::Failed(why) => format!("failed: {why}"),
        };
        assert!(said.starts_with(expected), "{name}: {said}");
    };
    check(Liar::Boastful, "declares-itself", "held");
    check(Liar::Boastful, "two-at-once", "failed: output: exact");
    check(Liar::Refusing, "no-shuffle", "failed: ");
    check(Liar::Refusing, "crash", "failed: ");
    check(Liar::Ambiguous, "declares-itself", "failed: an option is declared twice");
    check(Liar::Upside, "declares-itself", "failed: the sink starts first");
}
