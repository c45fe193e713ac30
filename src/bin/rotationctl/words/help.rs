//! `completions` and `man`.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::arguments::Arguments;
use crate::failure::Failure;

/// Prints the completions of a shell.
pub(crate) fn completions(shell: Shell) {
    let mut command = Arguments::command();
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, "rotationctl", &mut text);
    io::stdout().write_all(&text).ok();
}

/// Prints the man page of the program, or of one word.
///
/// # Errors
/// Returns an error if there is no such word.
pub(crate) fn man(word: Option<&str>) -> Result<(), Failure> {
    let mut command = Arguments::command();
    command.build();
    let command = match word {
        None => command,
        Some(word) => {
            let found = command.find_subcommand(word).cloned();
            let found = found.ok_or_else(|| {
                Failure::not_started("there is no such word", "see `rotationctl --help`")
            })?;
            found.display_name(format!("rotationctl-{word}"))
        }
    };
    let mut text = Vec::new();
    // Writing to memory does not fail.
    Man::new(command).render(&mut text).ok();
    io::stdout().write_all(&text).ok();
    Ok(())
}
