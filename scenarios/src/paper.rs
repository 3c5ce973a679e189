//! The published figures that can be reproduced: their numbers and their scenarios, as they stand in `scenarios/paper`.
//!
//! Both are part of the program, so that `dstream paper` works wherever it is started. Knows no meaning of the figures'
//! numbers. Invariant: ids are unique; each figure's scenario is a file of the same folder.

/// One figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaperFigure {
    /// What `--figure` names.
    pub id: &'static str,
    /// Its numbers: the text of `figures/<id>.yaml`.
    pub figure: &'static str,
    /// Where its scenario lies in the repository.
    pub scenario_path: &'static str,
    /// The scenario's text.
    pub scenario: &'static str,
}

/// All of them, in the order in which they are reproduced.
pub const FIGURES: &[PaperFigure] = &[PaperFigure {
    id: "one-failure",
    figure: include_str!("../paper/figures/one-failure.yaml"),
    scenario_path: "scenarios/paper/word-count-one-failure.yaml",
    scenario: include_str!("../paper/word-count-one-failure.yaml"),
}];
