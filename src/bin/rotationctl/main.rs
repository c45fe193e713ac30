//! `rotationctl`: operates the rotation of an API Gateway key with the operator's own credentials.
//!
//! It does in one word what the pages do with the AWS CLI, and uses the function and the services
//! as any other client does. It never prints a value, and holds one only for
//! `whose`, `leaked` and `adopt`.

mod arguments;
mod arn;
mod aws;
mod connector;
mod console;
mod failure;
mod fleet_arguments;
mod function;
mod function_log;
mod key_pages;
mod operator;
mod parse;
mod pattern;
mod reply_date;
mod report;
mod secret;
mod services;
mod signals;
mod stage;
mod table;
mod words;

use std::io::Write;
use std::process::ExitCode;

use arguments::{Arguments, Word};
use console::Console;
use failure::{Failure, Status};
use fleet_arguments::Task;
use operator::Operator;
use signals::interrupted_between;
use words::rotate::Kind;
use words::{
    adopt, cancel, config, doctor, events, fleet, help, leaked, reconcile, retry, rollback, rotate,
    status, stop, usage, whose, why,
};

fn main() -> ExitCode {
    let status = match parse::parse(&std::env::args_os().collect::<Vec<_>>()) {
        Ok(arguments) => run(&arguments),
        Err(status) => status,
    };
    ExitCode::from(u8::from(status))
}

fn run(arguments: &Arguments) -> Status {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else {
        writeln!(
            std::io::stderr(),
            "error: the program could not be started; run it again"
        )
        .ok();
        return Status::Failed;
    };
    let console = Console::new(arguments.options.json);
    let ended = runtime.block_on(async {
        // They handle signals themselves: what was created is removed, and what is left is named.
        if matches!(&arguments.word, Word::Doctor(_))
            || matches!(&arguments.word, Word::Fleet(fleet) if fleet.task.is_long())
        {
            return Some(perform(arguments, &console).await);
        }
        tokio::select! {
            ended = perform(arguments, &console) => Some(ended),
            () = interrupted_between(&console) => None,
        }
    });
    console.end_progress();
    // A thread may still read from the terminal.
    runtime.shutdown_background();
    match ended {
        Some(Ok(())) => Status::Done,
        Some(Err(failed)) => {
            console.note(format!("error: {failed}"));
            failed.status
        }
        None => interrupted_with(&arguments.word, &console),
    }
}

/// Says what an interruption means for a word.
fn interrupted_with(word: &Word, console: &Console) -> Status {
    match word {
        // This is how following ends.
        Word::Events(which) if which.follow => return Status::Done,
        Word::Leaked(_) => console.note(
            "interrupted: AWS continues what was started; run `rotationctl leaked` again with the same value, which continues from there",
        ),
        Word::Fleet(fleet) if fleet.task.stores() => console.note(
            "interrupted; run the same command again, which does what is left",
        ),
        _ => console.note("interrupted: AWS continues what was started; see `rotationctl status`"),
    }
    Status::Interrupted
}

async fn perform(arguments: &Arguments, console: &Console) -> Result<(), Failure> {
    match &arguments.word {
        Word::Completions { shell } => {
            help::completions((*shell).into());
            return Ok(());
        }
        Word::Man { word } => return help::man(word.as_deref()),
        Word::Fleet(fleet) => {
            if let Task::Check(check) = &fleet.task
                && (check.offline || !arguments.options.names_function())
            {
                return fleet::check::offline(console, check);
            }
        }
        _ => {}
    }
    let operator = Operator::new(&arguments.options, console).await?;
    match &arguments.word {
        Word::Status => status::run(&operator).await,
        Word::Reconcile => reconcile::run(&operator).await,
        Word::Rotate(wait) => rotate::run(&operator, Kind::Rotation, wait).await,
        Word::Test(wait) => rotate::run(&operator, Kind::Test, wait).await,
        Word::Retry => retry::run(&operator).await,
        Word::Cancel => cancel::run(&operator).await,
        Word::Stop => stop::run(&operator).await,
        Word::Rollback => rollback::run(&operator).await,
        Word::Whose(_) => whose::run(&operator).await,
        Word::Doctor(flags) => doctor::run(&operator, flags).await,
        Word::Fleet(fleet) => fleet::run(&operator, &fleet.task).await,
        Word::Usage(days) => usage::run(&operator, days.days).await,
        Word::Why(since) => why::run(&operator, since.since).await,
        Word::Events(which) => events::run(&operator, which).await,
        Word::Config(which) => config::run(&operator, which).await,
        Word::Adopt(which) => adopt::run(&operator, which).await,
        Word::Leaked(how) => leaked::run(&operator, how.timeout).await,
        Word::Completions { .. } | Word::Man { .. } => Ok(()),
    }
}
