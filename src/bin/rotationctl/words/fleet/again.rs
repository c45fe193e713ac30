//! The command that continues a run that was broken off.

use api_key_rotation::command::Command;

use crate::arguments::Options;
use crate::fleet_arguments::{PER_MINUTE, Pace, Which};

/// Returns the command of a task for the same members, at the same place and pace.
pub(super) fn again(options: &Options, task: &str, which: &Which, pace: &Pace) -> Command {
    let command = Command::new("rotationctl").args(["fleet", task]);
    let command = match &which.matching {
        Some(pattern) => command.args(["--matching", pattern]),
        None => command.arg("--all"),
    };
    let command = options.appended_to(command);
    if pace.per_minute == PER_MINUTE {
        return command;
    }
    command.args(["--per-minute", &pace.per_minute.to_string()])
}
