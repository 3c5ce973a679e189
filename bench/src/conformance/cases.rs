//! The cases as data: a name, a sentence, and what is asked.

/// A case of the suite.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// What is asked.
    pub asked: Asked,
}

/// What is asked of an engine.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    /// Names, options, promise and nodes are as whoever runs it expects.
    Declares,
    /// An option that it does not declare is refused by name.
    RefusesOptions,
    /// Two runs of this scenario write the same log.
    Repeats {
        /// The scenario.
        text: &'static str,
    },
    /// This scenario is valid.
    Runs {
        /// The scenario; its engine is replaced by the one that is examined.
        text: &'static str,
        /// So many workers are lost before redundancy is back. Within the promise the output must be exact, beyond it damage
        /// must be declared, and be what the harness computes.
        losses_at_once: u32,
    },
    /// This scenario is valid, unless the engine refuses its job.
    RunsOrRefuses {
        /// The scenario.
        text: &'static str,
        /// Its job.
        job: &'static str,
    },
}

impl Case {
    /// The case in a sentence.
    pub fn sentence(&self) -> &'static str {
        match self.asked {
            Asked::Declares => "Options, promise and nodes are declared as data that fits together.",
            Asked::RefusesOptions => "An option that the engine does not declare is refused by name.",
            Asked::Repeats { .. } => "Two runs from the same seed write the same log, byte for byte, crash and all.",
            Asked::Runs { text, .. } | Asked::RunsOrRefuses { text, .. } => about(text),
        }
    }
}

/// What a scenario says of itself.
fn about(text: &'static str) -> &'static str {
    text.lines().find_map(|line| line.strip_prefix("about: ")).unwrap_or_default()
}

/// A scenario of `scenarios/conformance`.
macro_rules! scenario {
    ($name:literal) => {
        include_str!(concat!("../../../scenarios/conformance/", $name, ".yaml"))
    };
}

/// A case of that name with so many losses at once.
macro_rules! runs {
    ($name:literal, $losses:literal) => {
        Case { name: $name, asked: Asked::Runs { text: scenario!($name), losses_at_once: $losses } }
    };
}

const CASES: &[Case] = &[
    Case { name: "declares-itself", asked: Asked::Declares },
    Case { name: "refuses-options", asked: Asked::RefusesOptions },
    runs!("no-fault", 0),
    runs!("crash", 1),
    runs!("silent-loss", 1),
    runs!("fenced", 1),
    runs!("cut-from-master", 1),
    runs!("cut-between-workers", 1),
    runs!("cut-from-clients", 1),
    runs!("late-messages", 0),
    runs!("straggler", 0),
    runs!("client-returns", 0),
    runs!("master-stands-still", 0),
    runs!("again-and-again", 1),
    runs!("two-at-once", 2),
    runs!("window", 1),
    runs!("grep", 1),
    runs!("top-k", 1),
    Case {
        name: "no-shuffle",
        asked: Asked::RunsOrRefuses { text: include_str!("no-shuffle.yaml"), job: "long-lines" },
    },
    Case {
        name: "two-outputs",
        asked: Asked::RunsOrRefuses { text: include_str!("two-outputs.yaml"), job: "words-and-initials" },
    },
    Case { name: "repeats-itself", asked: Asked::Repeats { text: scenario!("crash") } },
];

/// All cases, the cheap ones first.
pub fn cases() -> &'static [Case] {
    CASES
}
