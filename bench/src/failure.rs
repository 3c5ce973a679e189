//! How a command ends: exit codes, and one clear line where it ends badly.
//!
//! Invariant: the codes are the contract's; nothing else in the binary names a number.

use dstream_host::WorldError;
use std::fmt;
use std::process::ExitCode;

/// How a command ended. Ordered from best to worst: the worst of several runs counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// Every check holds; a job's source ended or was drained.
    #[default]
    Good,
    /// Undecided: a fault never took effect, or the run was interrupted.
    Undecided,
    /// A check failed.
    Failed,
    /// Something that the user can mend.
    Usage,
    /// The software itself failed.
    Broken,
}

impl Ending {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Ending::Good => 0,
            Ending::Failed => 1,
            Ending::Undecided => 2,
            Ending::Usage => 64,
            Ending::Broken => 70,
        }
    }
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> ExitCode {
        ExitCode::from(ending.code())
    }
}

/// Why a command could not do its work, and how it ends because of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How the command ends.
    pub ending: Ending,
    /// What happened, where, and what to do. May span lines where it shows a line of a file.
    pub message: String,
}

impl Failure {
    /// Something that the user can mend.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure { ending: Ending::Usage, message: message.into() }
    }

    /// The software itself failed.
    pub fn broken(message: impl Into<String>) -> Failure {
        Failure { ending: Ending::Broken, message: message.into() }
    }

    /// A part of the contract that this build does not have; `what` is what the user typed.
    pub fn unbuilt(what: &str) -> Failure {
        Failure::usage(format!("`{what}` is not built yet"))
    }
}

/// A node that fails is a defect, unless it refused what the user told it.
impl From<WorldError> for Failure {
    fn from(error: WorldError) -> Failure {
        match error.is_refusal() {
            true => Failure::usage(error.to_string()),
            false => Failure::broken(error.to_string()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dstream_host::NodeError;
    use dstream_trace::{Moment, NodeName};

    #[test]
    fn what_a_node_refuses_is_the_users_to_mend() {
        let failed = |error: NodeError| {
            let (node, at) = (NodeName::new("master"), Moment::ZERO);
            Failure::from(WorldError::NodeFailed { node, at, why: error.0 }).ending
        };
        assert_eq!(failed(NodeError::refusal("another program")), Ending::Usage);
        assert_eq!(failed(NodeError("a panic".to_string())), Ending::Broken);
    }

    #[test]
    fn the_worst_ending_of_several_runs_counts() {
        let check = |endings: &[Ending], code: u8| {
            assert_eq!(endings.iter().max().copied().unwrap_or_default().code(), code, "{endings:?}");
        };
        check(&[], 0);
        check(&[Ending::Good, Ending::Undecided], 2);
        check(&[Ending::Failed, Ending::Undecided, Ending::Good], 1);
        check(&[Ending::Usage, Ending::Failed], 64);
        check(&[Ending::Broken, Ending::Usage], 70);
    }
}
