//! Parses the command line. No error repeats an argument that may be a value.

use std::ffi::OsString;
use std::io::Write;

use clap::Parser;
use clap::error::ErrorKind;

use crate::arguments::{Arguments, Word};
use crate::failure::{Failure, Status};

/// The length of the shortest value of a key.
const SHORTEST_VALUE: usize = 20;

/// Parses the command line. Returns the status to end with if there is nothing to do.
///
/// # Errors
/// Returns the status for a help text, or for wrong usage, after printing it.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Arguments, Status> {
    match Arguments::try_parse_from(arguments) {
        Ok(Arguments {
            word: Word::Whose(given),
            ..
        }) if !given.refused.is_empty() => {
            let failed = Failure::not_started(
                "whose takes no argument: the value would be in the history of the shell",
                "delete it there, and pass the value to standard input or type it at the prompt",
            );
            writeln!(std::io::stderr(), "error: {failed}").ok();
            Err(failed.status)
        }
        Ok(parsed) => Ok(parsed),
        Err(error) if is_help(error.kind()) => {
            error.print().ok();
            Err(Status::Done)
        }
        Err(error) => {
            let text = mask(error.render().to_string(), arguments);
            write!(std::io::stderr(), "{text}").ok();
            Err(Status::NotStarted)
        }
    }
}

fn is_help(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::DisplayHelp | ErrorKind::DisplayVersion)
}

/// Hides every argument that is long enough to be a value, also after the `=` of an option.
fn mask(mut text: String, arguments: &[OsString]) -> String {
    for argument in arguments.iter().skip(1) {
        let argument = argument.to_string_lossy();
        let parts = [
            argument.as_ref(),
            argument.split_once('=').map_or("", |(_, value)| value),
        ];
        for part in parts {
            if part.chars().count() >= SHORTEST_VALUE {
                text = text.replace(part, "[masked]");
            }
        }
    }
    text
}
