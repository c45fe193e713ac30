//! The sandbox as a command: `sandbox serve` and `sandbox demo`.

mod cli;

use std::process::ExitCode;

use crate::cli::Command;

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match cli::parse(lexopt::Parser::from_env(), |name| std::env::var(name).ok()) {
        Ok(Command::Help) => {
            println!("{}", cli::HELP);
            Ok(ExitCode::SUCCESS)
        }
        Ok(Command::Serve(settings)) => cli::serve(settings).await,
        Ok(Command::Demo {
            function,
            verbose,
            fleet: false,
        }) => cli::demo(&function, verbose).await,
        Ok(Command::Demo {
            function, verbose, ..
        }) => cli::demo_fleet(&function, verbose).await,
        Err(error) => Err(error),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
