//! Parses the command line. No error repeats an argument that may be a value.

use std::ffi::OsString;
use std::io::Write;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};

use crate::arguments::{Arguments, Word};
use crate::failure::{Failure, Status};

/// The length of the shortest value of a key.
const SHORTEST_VALUE: usize = 20;

/// Parses the command line. Returns the status to end with if there is nothing to do.
///
/// # Errors
/// Returns the status for a help text, or for wrong usage, after printing it.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Arguments, Status> {
    match read(arguments) {
        Ok(parsed) if has_refused(&parsed.word) => {
            let failed = Failure::not_started(
                "the word takes no argument: the value would be in the history of the shell",
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

/// Reads the arguments. What the command line names precedes what the environment names.
fn read(arguments: &[OsString]) -> Result<Arguments, clap::Error> {
    let matches = Arguments::command().try_get_matches_from(arguments)?;
    let mut parsed = Arguments::from_arg_matches(&matches)?;
    let options = &mut parsed.options;
    match (is_typed(&matches, "stack"), is_typed(&matches, "function")) {
        (true, false) => options.function = None,
        (false, true) => options.stack = None,
        _ => {}
    }
    let places = [
        ("function", "--function", &options.function),
        ("stack", "--stack", &options.stack),
        ("region", "--region", &options.region),
        ("profile", "--profile", &options.profile),
    ];
    let typed = places.into_iter().filter_map(|(name, option, value)| {
        let value = value.clone().filter(|_| is_typed(&matches, name))?;
        Some((option, value))
    });
    options.typed = typed.collect();
    Ok(parsed)
}

/// Whether an option stands on the command line.
fn is_typed(matches: &ArgMatches, option: &str) -> bool {
    matches.value_source(option) == Some(ValueSource::CommandLine)
        || matches
            .subcommand()
            .is_some_and(|(_, below)| is_typed(below, option))
}

/// Whether a word that reads a value got an argument.
fn has_refused(word: &Word) -> bool {
    match word {
        Word::Whose(given) => !given.refused.is_empty(),
        Word::Leaked(given) => !given.no_value.refused.is_empty(),
        Word::Adopt(given) => !given.no_value.refused.is_empty(),
        _ => false,
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
