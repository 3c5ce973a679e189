//! What the contract names and this build does not have, refused by name before anything else is read.
//!
//! Invariant: nothing listed here is a command, a world or a destination that works.

use crate::failure::Failure;

/// Commands to come.
const COMMANDS: &[&str] = &["sweep", "query", "cluster", "calibrate"];

/// Refuses a command line whose command is not built yet; `words` are those after the program's name.
pub fn refuse_command(words: &[String]) -> Result<(), Failure> {
    match words.iter().find(|word| !word.starts_with('-')) {
        Some(word) if COMMANDS.contains(&word.as_str()) => Err(Failure::unbuilt(&format!("dstream {word}"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_come_is_refused_by_its_name() {
        let words = |text: &str| text.split(' ').map(str::to_string).collect::<Vec<_>>();
        let check = |result: Result<(), Failure>, expected: Option<&str>| {
            assert_eq!(result.err().map(|failure| failure.message).as_deref(), expected);
        };
        check(refuse_command(&words("sweep x.yaml")), Some("`dstream sweep` is not built yet"));
        check(refuse_command(&words("cluster up")), Some("`dstream cluster` is not built yet"));
        check(refuse_command(&words("run sweep")), None);
    }
}
