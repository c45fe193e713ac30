//! The command line: words and options.

use std::time::Duration;

use api_key_rotation::command::Command;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::fleet_arguments::Fleet;

/// What every help text and the man page end with.
const EXIT_STATUS: &str = "\
Exit status:
  0    done; with words that only show: the answer is complete
  1    failed, not found, or doctor found a problem; the error says what to do next
  2    wrong usage, or not confirmed; nothing was changed
  130  ended with Ctrl-C; AWS continues what was started

No word prints a value of a key. The pages of the project are in docs/.";

/// Operates the rotation of an API Gateway key: one word for each task.
#[derive(Debug, Parser)]
#[command(name = "rotationctl", version, after_help = EXIT_STATUS)]
pub(crate) struct Arguments {
    /// The options of every word.
    #[command(flatten)]
    pub(crate) options: Options,
    /// What to do.
    #[command(subcommand)]
    pub(crate) word: Word,
}

/// The options of every word.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The rotation function: its name, which is the stack's name, or its ARN
    #[arg(
        long,
        global = true,
        env = "ROTATION_FUNCTION",
        value_name = "NAME",
        hide_env_values = true
    )]
    pub(crate) function: Option<String>,
    /// The stack of the function, instead of --function
    #[arg(
        long,
        global = true,
        env = "ROTATION_STACK",
        value_name = "NAME",
        hide_env_values = true
    )]
    pub(crate) stack: Option<String>,
    /// The secret: its name or ARN; not needed if the function serves one secret
    #[arg(
        long,
        global = true,
        env = "ROTATION_SECRET",
        value_name = "NAME",
        hide_env_values = true
    )]
    pub(crate) secret: Option<String>,
    /// The profile of the AWS configuration, also of SSO
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// The Region of the function
    #[arg(long, global = true, value_name = "REGION")]
    pub(crate) region: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say what would be changed, and change nothing
    #[arg(long, global = true)]
    pub(crate) dry_run: bool,
    /// Do not ask, for scripts
    #[arg(long, global = true)]
    pub(crate) yes: bool,
    /// Options of the command line, each with its value, that say where to work.
    #[arg(skip)]
    pub(crate) typed: Vec<(&'static str, String)>,
}

impl Options {
    /// Whether the function is named, or its stack is.
    pub(crate) fn names_function(&self) -> bool {
        self.function.is_some() || self.stack.is_some()
    }

    /// Appends what was typed to a command of this program that is shown, so that it works at the same
    /// place. The environment stays as it is.
    pub(crate) fn appended_to(&self, command: Command) -> Command {
        let typed = self.typed.iter();
        typed.fold(command, |command, (option, value)| {
            command.args([option, value])
        })
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Word {
    /// Show keys, Doppler targets, and what the next reconciliation would do
    Status,
    /// Repair drift and retire what is due, as the schedule does
    Reconcile,
    /// Rotate the key now
    Rotate(Wait),
    /// Run a test rotation, which creates no key
    Test(Wait),
    /// Run the steps of the pending rotation now, and show the first error
    Retry,
    /// Cancel the pending rotation: remove AWSPENDING
    Cancel,
    /// Disable every superseded key now (emergency stop); asks first
    Stop,
    /// Move AWSCURRENT back to the previous version; asks first
    Rollback,
    /// Find the key with a value, which is read from standard input or a hidden prompt
    Whose(NoValue),
    /// Show the counted requests of superseded keys
    Usage(Days),
    /// Check everything that a rotation needs, also before the first one
    Doctor(Doctor),
    /// Show the last errors, and what to do about each
    Why(Since),
    /// Show what happened to keys, labels and Doppler targets, and follow it
    Events(Events),
    /// Show the parameters of the stack, or change some and keep all others
    Config(Settings),
    /// Take over a key that another tool created; asks first
    Adopt(Adopt),
    /// Replace a leaked key and disable it, in one flow that can be resumed; asks first
    Leaked(Leaked),
    /// Check and change the documents of a fleet, and work on many members at once
    Fleet(Box<Fleet>),
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: SupportedShell,
    },
    /// Print the man page, of one word or of all
    Man {
        /// The word
        word: Option<String>,
    },
}

/// How long to wait.
#[derive(Debug, Args)]
pub(crate) struct Wait {
    /// Wait until the rotation has ended
    #[arg(long)]
    pub(crate) wait: bool,
    /// The longest wait
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
}

/// Arguments of a word that reads a value. It takes none: an argument would be in the history of the shell.
#[derive(Debug, Args)]
pub(crate) struct NoValue {
    /// Refused, and never shown.
    #[arg(hide = true, allow_hyphen_values = true)]
    pub(crate) refused: Vec<Refused>,
}

/// An argument that is dropped as soon as it is parsed.
#[derive(Debug, Clone)]
pub(crate) struct Refused;

impl From<String> for Refused {
    fn from(_: String) -> Self {
        Self
    }
}

/// Which days.
#[derive(Debug, Args)]
pub(crate) struct Days {
    /// How many days in UTC, today among them
    #[arg(long, value_name = "NUMBER", default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=90))]
    pub(crate) days: u64,
}

/// What `doctor` does besides reading.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Print Markdown for a public issue, without accounts, ARNs, hosts and names
    #[arg(long, conflicts_with = "json")]
    pub(crate) report: bool,
    /// What it tries.
    #[command(flatten)]
    pub(crate) tries: Tries,
}

/// What `doctor` tries, which creates something or takes minutes.
#[derive(Debug, Args)]
pub(crate) struct Tries {
    /// Run a test rotation too; asks first
    #[arg(long)]
    pub(crate) test_rotation: bool,
    /// Answer what AWS does not say, with a disabled key that is removed again; asks first
    #[arg(long)]
    pub(crate) questions: bool,
    /// Try the calls of the function's role, with disabled keys that are removed again; asks first
    #[arg(long)]
    pub(crate) probe_role: bool,
}

/// Since when.
#[derive(Debug, Args)]
pub(crate) struct Since {
    /// How far back to look
    #[arg(long, value_name = "DURATION", default_value = "1d", value_parser = humantime::parse_duration)]
    pub(crate) since: Duration,
}

/// Which events.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// How far back to look
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = humantime::parse_duration)]
    pub(crate) since: Duration,
    /// Follow what happens, until Ctrl-C
    #[arg(long)]
    pub(crate) follow: bool,
}

/// Which parameters of the stack.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// A parameter to show, or parameters to change
    #[arg(value_name = "NAME[=VALUE]")]
    pub(crate) settings: Vec<String>,
    /// The longest wait for the update
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
}

/// How long to wait for the rotation of a leaked key.
#[derive(Debug, Args)]
pub(crate) struct Leaked {
    /// The longest wait for the rotation
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) no_value: NoValue,
}

/// Which key to take over.
#[derive(Debug, Args)]
pub(crate) struct Adopt {
    /// The id of the key, instead of its value on standard input
    #[arg(long, value_name = "ID")]
    pub(crate) key: Option<String>,
    /// Make the key managed, so that it is retired once it is superseded: only after you took it out of the tool that created it
    #[arg(long, conflicts_with = "key")]
    pub(crate) hand_over: bool,
    #[command(flatten)]
    pub(crate) no_value: NoValue,
}

/// The shells with completions.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SupportedShell {
    /// GNU Bash
    Bash,
    /// The Z shell
    Zsh,
    /// fish
    Fish,
}

impl From<SupportedShell> for Shell {
    fn from(shell: SupportedShell) -> Self {
        match shell {
            SupportedShell::Bash => Self::Bash,
            SupportedShell::Zsh => Self::Zsh,
            SupportedShell::Fish => Self::Fish,
        }
    }
}
