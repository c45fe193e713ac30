//! The command line of `fleet`.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::{ArgGroup, Args, Subcommand};

/// What to do with a fleet.
#[derive(Debug, Args)]
pub(crate) struct Fleet {
    /// The task.
    #[command(subcommand)]
    pub(crate) task: Task,
}

/// What to do with a fleet.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Check documents before they are stored: offline, or against the account with --function
    Check(Check),
    /// Show each member: age of its key, state, next rotation, next change of a key
    List(List),
    /// Add a member to a document, and set its rotation function and schedule; asks first
    Add(Add),
    /// Remove a member from its document, and cancel its rotation; asks first
    Remove(Remove),
    /// Move a member to another document; asks first
    Move(Move),
    /// Rotate many members, at a pace that API Gateway sustains
    Rotate(Rotate),
    /// Disable every superseded key of many members now (emergency stop); asks first
    Stop(Stop),
    /// Make a document from stacks with one secret each, and show how to move over
    Import(Import),
    /// Show the parameters of a stack for one member, and how to move it there
    Export(Export),
}

impl Task {
    /// Whether it works on one secret after the other, and says how to resume if it is told to end.
    pub(crate) fn is_long(&self) -> bool {
        matches!(self, Self::Rotate(_) | Self::Stop(_))
    }

    /// Whether it stores documents, and completes a run that was broken off.
    pub(crate) fn stores(&self) -> bool {
        matches!(self, Self::Add(_) | Self::Remove(_) | Self::Move(_))
    }
}

/// Which documents to check.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// Files with documents, each alone or as SECRET=FILE; without one, the documents in the account
    #[arg(value_name = "[SECRET=]FILE")]
    pub(crate) files: Vec<String>,
    /// Ask neither the function nor AWS, although a function is set
    #[arg(long)]
    pub(crate) offline: bool,
    /// Offline: the projects and configs that the function allows
    #[arg(long, value_name = "PATTERNS")]
    pub(crate) doppler_allowed: Option<String>,
    /// Offline: the hosts of probes that the function allows
    #[arg(long, value_name = "PATTERNS")]
    pub(crate) probe_allowed: Option<String>,
    /// Offline: the secret with the function's Doppler token
    #[arg(long, value_name = "NAME")]
    pub(crate) doppler_token_secret_id: Option<String>,
}

/// Which members to show.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only names that match; * stands for any characters
    #[arg(long, value_name = "PATTERN")]
    pub(crate) matching: Option<String>,
    /// How far back to look for errors in the function's log
    #[arg(long, value_name = "DURATION", default_value = "1d", value_parser = humantime::parse_duration)]
    pub(crate) since: Duration,
}

/// Which members to change.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true))]
pub(crate) struct Which {
    /// Every member
    #[arg(long, group = "which")]
    pub(crate) all: bool,
    /// Those whose name matches; * stands for any characters
    #[arg(long, group = "which", value_name = "PATTERN")]
    pub(crate) matching: Option<String>,
}

/// How many are started in a minute by default.
pub(crate) const PER_MINUTE: u32 = 50;

/// How long `rotate` waits by default, as its argument says.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(10);

/// How fast to start.
#[derive(Debug, Args)]
pub(crate) struct Pace {
    /// How many to start in a minute
    #[arg(long, value_name = "NUMBER", default_value_t = PER_MINUTE, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) per_minute: u32,
}

/// The settings of a new member.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// A usage plan of its keys; can be repeated
    #[arg(long = "plan", value_name = "ID")]
    pub(crate) plans: Vec<String>,
    /// A stage that accepts its keys without a plan; can be repeated
    #[arg(long = "stage-key", value_name = "API/STAGE")]
    pub(crate) stage_keys: Vec<String>,
    /// A Doppler target, as project/config/NAME; can be repeated
    #[arg(long = "target", value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    /// The URL at which a new key is tested
    #[arg(long, value_name = "URL")]
    pub(crate) probe_url: Option<String>,
    /// The age that a new key must have without a probe
    #[arg(long, value_name = "DURATION")]
    pub(crate) propagation_delay: Option<String>,
    /// How long a superseded key stays enabled
    #[arg(long, value_name = "DURATION")]
    pub(crate) grace_period: Option<String>,
    /// How much longer at most while it is used
    #[arg(long, value_name = "DURATION")]
    pub(crate) hold_while_used: Option<String>,
    /// How long it then stays disabled
    #[arg(long, value_name = "DURATION")]
    pub(crate) quarantine_period: Option<String>,
}

/// A member to add.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The name of the secret, which exists
    pub(crate) name: String,
    /// The secret with the document; not needed if the function has one
    #[arg(long, value_name = "SECRET")]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// When to rotate; rate(30 days) if the secret has no schedule
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) schedule: Option<String>,
    /// Rotate at once, instead of only running a test rotation
    #[arg(long)]
    pub(crate) rotate: bool,
    #[command(flatten)]
    pub(crate) reread: Reread,
}

/// When the function has read a document that was stored.
#[derive(Debug, Args)]
pub(crate) struct Reread {
    /// How long the function may use the document from before
    #[arg(long, value_name = "DURATION", default_value = "65s", value_parser = humantime::parse_duration)]
    pub(crate) reread_after: Duration,
}

/// A member to remove.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("keys"))]
pub(crate) struct Remove {
    /// The name of the member
    pub(crate) name: String,
    /// Keep its keys: consumers of the current one continue
    #[arg(long, group = "keys")]
    pub(crate) keep_keys: bool,
    /// Delete its keys too, which cuts their consumers off
    #[arg(long, group = "keys")]
    pub(crate) delete_keys: bool,
}

/// A member to move.
#[derive(Debug, Args)]
pub(crate) struct Move {
    /// The name of the member
    pub(crate) name: String,
    /// The secret with the other document
    #[arg(long, value_name = "SECRET")]
    pub(crate) to: String,
}

/// Which members to rotate.
#[derive(Debug, Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    pub(crate) which: Which,
    #[command(flatten)]
    pub(crate) pace: Pace,
    /// Leave out members that were rotated since this time, to resume a run that was broken off
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_rfc3339)]
    pub(crate) since: Option<SystemTime>,
    /// Wait until the rotations have ended
    #[arg(long)]
    pub(crate) wait: bool,
    /// The longest wait after the last start
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
}

/// Which members to stop.
#[derive(Debug, Args)]
pub(crate) struct Stop {
    #[command(flatten)]
    pub(crate) which: Which,
    #[command(flatten)]
    pub(crate) pace: Pace,
    /// Begin after this member, to resume a run that was broken off
    #[arg(long, value_name = "NAME")]
    pub(crate) after: Option<String>,
}

/// Which stacks to import.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Stacks with one secret each
    #[arg(required = true, value_name = "STACK")]
    pub(crate) stacks: Vec<String>,
    /// Write the document into this file, instead of to standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Which member to export.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The name of the member
    pub(crate) name: String,
}
