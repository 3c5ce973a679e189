//! The figures that can be reproduced: their numbers and their scenarios, as they stand in `scenarios/paper`.
//!
//! Both are part of the program, so that `dstream paper` works wherever it is started. Knows no meaning of the figures'
//! numbers. Invariant: ids are unique; a figure's scenarios are files of the same folder.

/// What a figure is made of, and so who reads its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FigureKind {
    /// Published values, each beside one run.
    Published,
    /// A published formula beside many runs.
    Model,
    /// Each engine of a scenario beside itself with something turned off.
    Overhead,
    /// All engines of a scenario through the same faults.
    Faults,
    /// One engine with and without speculation beside what is predicted for it.
    Stragglers,
}

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaperFigure {
    /// What `--figure` names.
    pub id: &'static str,
    /// What it is made of.
    pub kind: FigureKind,
    /// Its numbers: the text of `figures/<id>.yaml`.
    pub figure: &'static str,
    /// Its scenarios.
    pub scenarios: &'static [PaperScenario],
}

/// A scenario of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaperScenario {
    /// Its file in `scenarios/paper`.
    pub file: &'static str,
    /// Its text.
    pub text: &'static str,
}

impl PaperFigure {
    /// The scenario of this file.
    pub fn scenario(&self, file: &str) -> Option<&'static PaperScenario> {
        self.scenarios.iter().find(|scenario| scenario.file == file)
    }
}

impl PaperScenario {
    /// Where it lies in the repository.
    pub fn path(&self) -> String {
        format!("scenarios/paper/{}", self.file)
    }
}

/// All of them, in the order in which they are reproduced.
pub const FIGURES: &[PaperFigure] = &[
    PaperFigure {
        id: "one-failure",
        kind: FigureKind::Published,
        figure: include_str!("../paper/figures/one-failure.yaml"),
        scenarios: &[PaperScenario {
            file: "word-count-one-failure.yaml",
            text: include_str!("../paper/word-count-one-failure.yaml"),
        }],
    },
    PaperFigure {
        id: "failures",
        kind: FigureKind::Published,
        figure: include_str!("../paper/figures/failures.yaml"),
        scenarios: &[
            PaperScenario { file: "failures-word-count.yaml", text: include_str!("../paper/failures-word-count.yaml") },
            PaperScenario { file: "failures-grep.yaml", text: include_str!("../paper/failures-grep.yaml") },
        ],
    },
    PaperFigure {
        id: "recovery-model",
        kind: FigureKind::Model,
        figure: include_str!("../paper/figures/recovery-model.yaml"),
        scenarios: &[
            PaperScenario {
                file: "recovery-model-upstream.yaml",
                text: include_str!("../paper/recovery-model-upstream.yaml"),
            },
            PaperScenario {
                file: "recovery-model-parallel.yaml",
                text: include_str!("../paper/recovery-model-parallel.yaml"),
            },
        ],
    },
    PaperFigure {
        id: "slow-replica",
        kind: FigureKind::Faults,
        figure: include_str!("../paper/figures/slow-replica.yaml"),
        scenarios: &[PaperScenario { file: "slow-replica.yaml", text: include_str!("../paper/slow-replica.yaml") }],
    },
    PaperFigure {
        id: "stragglers",
        kind: FigureKind::Stragglers,
        figure: include_str!("../paper/figures/stragglers.yaml"),
        scenarios: &[PaperScenario { file: "stragglers.yaml", text: include_str!("../paper/stragglers.yaml") }],
    },
    PaperFigure {
        id: "overhead",
        kind: FigureKind::Overhead,
        figure: include_str!("../paper/figures/overhead.yaml"),
        scenarios: &[PaperScenario { file: "overhead.yaml", text: include_str!("../paper/overhead.yaml") }],
    },
];
