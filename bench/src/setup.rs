//! What a binary is made of: the jobs it knows by name and the engines that can run them.

use crate::failure::Failure;
use dstream_baselines::{HotReplication, UpstreamBackup};
use dstream_cluster::Engine;
use dstream_engine::DStreams;
use dstream_scenarios::workload::{Workload, Workloads};
use std::sync::Arc;

/// Jobs and engines of a binary.
pub struct Setup {
    /// The registered jobs.
    pub workloads: Arc<Workloads>,
    /// The engines.
    pub engines: Vec<Arc<dyn Engine>>,
}

impl Setup {
    /// The jobs and engines that come with the software.
    pub fn built_in() -> Setup {
        Setup {
            workloads: Arc::new(Workloads::built_in()),
            engines: vec![Arc::new(DStreams::new()), Arc::new(UpstreamBackup::new()), Arc::new(HotReplication::new())],
        }
    }

    /// The same with one more job; a job of the same name is replaced.
    pub fn with_job(self, job: impl Workload + 'static) -> Setup {
        let mut workloads = Arc::into_inner(self.workloads).expect("a setup that is being made is not shared yet");
        workloads.register(Box::new(job));
        Setup { workloads: Arc::new(workloads), engines: self.engines }
    }

    /// The same with one more engine; an engine of the same name is replaced.
    pub fn with_engine(self, engine: impl Engine + 'static) -> Setup {
        self.with_shared_engine(Arc::new(engine))
    }

    /// The same with an engine that is used elsewhere, too.
    pub(crate) fn with_shared_engine(mut self, engine: Arc<dyn Engine>) -> Setup {
        self.engines.retain(|other| other.name() != engine.name());
        self.engines.push(engine);
        self
    }

    /// The engine that runs jobs, in one process or on a cluster.
    pub fn job_engine(&self) -> Result<Arc<dyn Engine>, Failure> {
        self.engine("dstream").ok_or_else(|| Failure::broken("this binary has no engine that runs jobs"))
    }

    /// The engine of that name.
    pub fn engine(&self, name: &str) -> Option<Arc<dyn Engine>> {
        self.engines.iter().find(|engine| engine.name() == name).cloned()
    }
}
