//! From a program as written to stages: `QueryBuilder` collects the outputs, `build` walks back from them and cuts at the
//! shuffles.
//!
//! Knows no record type. Invariants: only what an output needs becomes a stage; a shuffle with several readers is written
//! once; every stage's parent comes before it.

use crate::id::{OutputId, ShuffleId, StageId};
use crate::operator::source::Lines;
use crate::program::{Fold, Front};
use crate::query::{OutputSpec, Query, Render, Stage, StageEnd, StageInput, StageProgram, Width};
use crate::stream::DStream;
use std::cell::RefCell;
use std::num::NonZeroU64;
use std::rc::Rc;
use std::sync::Arc;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Why a program is no query.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BuildError {
    /// Nothing would be computed.
    #[error("the query has no output: end at least one stream with `output(\"name\")`")]
    NoOutput,
    /// Two outputs would go to the same place.
    #[error("two outputs are named `{0}`: give each its own name")]
    NameTaken(String),
    /// Names become names of files.
    #[error("`{0}` cannot name an output: use ASCII letters, digits, `-` and `_`")]
    BadName(String),
    /// A window over a stream that slides itself would see a changing number of its results.
    #[error(
        "{operator}, in intervals, reads a stream that has a result every {every} intervals: \
         length and slide must be whole multiples of {every}"
    )]
    BadSlide {
        /// The operator with its window.
        operator: String,
        /// How often the stream that it reads has a result, in intervals.
        every: NonZeroU64,
    },
}

/// Where a streaming program begins and ends.
#[derive(Default)]
pub struct QueryBuilder {
    outputs: Outputs,
}

impl QueryBuilder {
    /// A program without outputs.
    pub fn new() -> QueryBuilder {
        QueryBuilder::default()
    }

    /// The lines that the query reads, without their LF.
    pub fn lines(&self) -> DStream<String> {
        DStream::new(Arc::new(Lines), Trail::after(Origin::Lines), self.outputs.clone())
    }

    /// Cuts the program into stages.
    pub fn build(&self) -> Result<Query, BuildError> {
        let plans = self.outputs.0.borrow();
        check_names(&plans)?;
        let mut cut = Cut::default();
        let (mut outputs, mut fingerprint) = (Vec::new(), 0);
        for (plan, number) in plans.iter().zip(0..) {
            let id = OutputId(number);
            if let Some(wrong) = &plan.stage.trail.wrong {
                return Err(wrong.clone());
            }
            cut.stage(&plan.stage, |_| StageEnd::Output(id));
            let text = format!("{} {}", plan.name, plan.stage.trail.fingerprint);
            fingerprint = xxh3_64_with_seed(text.as_bytes(), fingerprint);
            let every = plan.stage.trail.every.get();
            let (name, render) = (plan.name.clone(), Arc::clone(&plan.render));
            outputs.push(OutputSpec { id, name, every, render, value_is_json: plan.value_is_json });
        }
        Ok(Query { stages: cut.stages, outputs, fingerprint })
    }
}

fn check_names(plans: &[OutputPlan]) -> Result<(), BuildError> {
    if plans.is_empty() {
        return Err(BuildError::NoOutput);
    }
    for (number, plan) in plans.iter().enumerate() {
        let name = &plan.name;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
            return Err(BuildError::BadName(name.clone()));
        }
        if plans[..number].iter().any(|earlier| earlier.name == *name) {
            return Err(BuildError::NameTaken(name.clone()));
        }
    }
    Ok(())
}

/// The outputs of a program so far, shared by its streams.
#[derive(Clone, Default)]
pub(crate) struct Outputs(Rc<RefCell<Vec<OutputPlan>>>);

impl Outputs {
    pub(crate) fn add(&self, plan: OutputPlan) {
        self.0.borrow_mut().push(plan);
    }
}

pub(crate) struct OutputPlan {
    pub(crate) name: String,
    pub(crate) stage: StagePlan,
    pub(crate) render: Render,
    pub(crate) value_is_json: bool,
}

/// A stage that has no id yet.
pub(crate) struct StagePlan {
    pub(crate) trail: Trail,
    pub(crate) make: Box<dyn Fn(StageId) -> Arc<dyn StageProgram>>,
}

/// A shuffle: the stage that writes it and how its readers begin.
pub(crate) struct ShufflePlan {
    pub(crate) map: StagePlan,
    pub(crate) fold: Arc<dyn Fold>,
    /// The fold, for people and fingerprints.
    pub(crate) label: String,
    pub(crate) pace: Pace,
}

/// How often a fold has a result.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// As often as the stream that it reads.
    Same,
    /// Every `slide` intervals, over so many of them (all from the start where none are said).
    Slides { length: Option<NonZeroU64>, slide: NonZeroU64 },
}

/// What a stage reads.
#[derive(Clone)]
pub(crate) enum Origin {
    Lines,
    Shuffle(Rc<ShufflePlan>),
}

/// The operators since the last shuffle.
#[derive(Clone)]
pub(crate) struct Trail {
    origin: Origin,
    label: String,
    /// Of everything up to here, shuffles included.
    fingerprint: u64,
    /// It has a result at the end of every so many intervals.
    every: NonZeroU64,
    /// Why nothing of it can be built.
    wrong: Option<BuildError>,
}

impl Trail {
    pub(crate) fn after(origin: Origin) -> Trail {
        let (label, parent) = match &origin {
            Origin::Lines => ("lines".to_owned(), None),
            Origin::Shuffle(plan) => (plan.label.clone(), Some((&plan.map.trail, plan.pace))),
        };
        let fingerprint = xxh3_64_with_seed(label.as_bytes(), parent.map_or(0, |(trail, _)| trail.fingerprint));
        let (every, wrong) = match parent {
            None => (NonZeroU64::MIN, None),
            Some((trail, Pace::Same)) => (trail.every, trail.wrong.clone()),
            Some((trail, Pace::Slides { length, slide })) => (slide, trail.wrong_for(&label, length, slide)),
        };
        Trail { label, fingerprint, every, wrong, origin }
    }

    /// Why a window of these intervals cannot read this stream.
    fn wrong_for(&self, operator: &str, length: Option<NonZeroU64>, slide: NonZeroU64) -> Option<BuildError> {
        let every = self.every;
        let fits = |intervals: NonZeroU64| intervals.get().is_multiple_of(every.get());
        let bad = BuildError::BadSlide { operator: operator.to_owned(), every };
        self.wrong.clone().or_else(|| (!fits(slide) || !length.is_none_or(fits)).then_some(bad))
    }

    pub(crate) fn then(&self, operator: &str, record: &str) -> Trail {
        let step = format!("{operator} of {record}");
        Trail {
            origin: self.origin.clone(),
            label: format!("{} > {operator}", self.label),
            fingerprint: xxh3_64_with_seed(step.as_bytes(), self.fingerprint),
            every: self.every,
            wrong: self.wrong.clone(),
        }
    }

    pub(crate) fn front(&self) -> Front {
        match &self.origin {
            Origin::Lines => Front::Lines,
            Origin::Shuffle(plan) => Front::Fold(Arc::clone(&plan.fold)),
        }
    }

    pub(crate) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    pub(crate) fn every(&self) -> NonZeroU64 {
        self.every
    }
}

/// Stages in topological order, growing.
#[derive(Default)]
struct Cut {
    stages: Vec<Stage>,
    /// By id.
    shuffles: Vec<Rc<ShufflePlan>>,
}

impl Cut {
    /// Adds a stage after all that it needs.
    fn stage(&mut self, plan: &StagePlan, end: impl FnOnce(&mut Cut) -> StageEnd) {
        let input = match &plan.trail.origin {
            Origin::Lines => StageInput::Lines,
            Origin::Shuffle(shuffle) => StageInput::Shuffle(self.shuffle(shuffle)),
        };
        let (width, kept, reach) = match &plan.trail.origin {
            Origin::Lines => (Width::All, Vec::new(), Some(0)),
            Origin::Shuffle(shuffle) => (shuffle.fold.width(), shuffle.fold.kept(), shuffle.fold.reach()),
        };
        let end = end(self);
        let id = StageId(self.stages.len() as u32);
        let (label, program) = (plan.trail.label.clone(), (plan.make)(id));
        self.stages.push(Stage { id, input, end, width, kept, is_in_place: false, reach, label, program });
    }

    /// The shuffle's id; adds the stage that writes it if this is its first reader.
    fn shuffle(&mut self, plan: &Rc<ShufflePlan>) -> ShuffleId {
        let known = self.shuffles.iter().position(|other| Rc::ptr_eq(other, plan));
        let number = known.unwrap_or_else(|| {
            let mut number = 0;
            self.stage(&plan.map, |cut| {
                number = cut.shuffles.len();
                cut.shuffles.push(Rc::clone(plan));
                StageEnd::Shuffle(ShuffleId(number as u32))
            });
            number
        });
        ShuffleId(number as u32)
    }
}
