//! What a chart draws with: roles instead of colours. The page's style sheet gives each role its colour and dash, in
//! light and dark, so a chart is drawn once.
//!
//! Invariant: a role survives the way through plotters, which knows colours only: each has a colour of its own there.

use plotters::style::RGBColor;

/// How many runs a comparison tells apart by colour and dash.
pub const MOST_RUNS: usize = 8;

/// A role; its class in the style sheet is its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the class in the style sheet says it")]
pub enum Ink {
    Text,
    Soft,
    Grid,
    Axis,
    Bound,
    P50,
    P90,
    P99,
    Max,
    Delay,
    Processing,
    Due,
    Acked,
    InResults,
    FaultBar,
    FaultWindow,
    FaultLine,
    Late,
    Detect,
    Restore,
    CatchUp,
    Redundancy,
    Map,
    Reduce,
    Again,
    Twin,
    Unfinished,
    Down,
    Held,
    Lane,
    Published,
    Model,
    Alone,
    Speculating,
    /// One of the compared runs, below [`MOST_RUNS`].
    Run(u8),
}

use Ink::*;

/// Every role but those of runs, by number.
const ROLES: [(Ink, &str); 34] = [
    (Text, "text"),
    (Soft, "soft"),
    (Grid, "grid"),
    (Axis, "axis"),
    (Bound, "bound"),
    (P50, "p50"),
    (P90, "p90"),
    (P99, "p99"),
    (Max, "max"),
    (Delay, "delay"),
    (Processing, "processing"),
    (Due, "due"),
    (Acked, "acked"),
    (InResults, "in-results"),
    (FaultBar, "fault-bar"),
    (FaultWindow, "fault-window"),
    (FaultLine, "fault-line"),
    (Late, "late"),
    (Detect, "detect"),
    (Restore, "restore"),
    (CatchUp, "catch-up"),
    (Redundancy, "redundancy"),
    (Map, "map"),
    (Reduce, "reduce"),
    (Again, "again"),
    (Twin, "twin"),
    (Unfinished, "unfinished"),
    (Down, "down"),
    (Held, "held"),
    (Lane, "lane"),
    (Published, "published"),
    (Model, "model"),
    (Alone, "alone"),
    (Speculating, "speculating"),
];

/// Classes of compared runs.
const RUNS: [&str; MOST_RUNS] = ["run-0", "run-1", "run-2", "run-3", "run-4", "run-5", "run-6", "run-7"];

impl Ink {
    /// The role of the compared run number `place`, from 0; they repeat after [`MOST_RUNS`].
    pub fn run(place: usize) -> Ink {
        Run(u8::try_from(place % MOST_RUNS).expect("there are fewer than 256 roles of runs"))
    }

    /// The class in the style sheet.
    pub fn class(self) -> &'static str {
        match self {
            Run(place) => RUNS[usize::from(place) % MOST_RUNS],
            role => ROLES.iter().find(|(other, _)| *other == role).map_or("text", |(_, class)| class),
        }
    }

    /// The colour that stands for this role inside plotters.
    pub fn color(self) -> RGBColor {
        match self {
            Run(place) => RGBColor(1, 0, place),
            role => {
                let number = ROLES.iter().position(|(other, _)| *other == role).unwrap_or(0);
                RGBColor(0, 0, u8::try_from(number).expect("there are fewer than 256 roles"))
            }
        }
    }

    /// The role that this colour stands for; text where it is none of ours.
    pub fn of_color((kind, _, number): (u8, u8, u8)) -> Ink {
        match kind {
            1 => Ink::run(usize::from(number)),
            _ => ROLES.get(usize::from(number)).map_or(Text, |(role, _)| *role),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_comes_back_and_has_a_class_in_the_style_sheet() {
        let sheet = include_str!("page.css");
        let runs = (0..MOST_RUNS).map(Ink::run);
        for role in ROLES.iter().map(|(role, _)| *role).chain(runs) {
            let RGBColor(red, green, blue) = role.color();
            assert_eq!(Ink::of_color((red, green, blue)), role);
            assert!(sheet.contains(&format!(".{} ", role.class())), "no style for .{}", role.class());
        }
    }
}
