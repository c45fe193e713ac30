//! The command line of `fleet`.

use std::time::Duration;

use clap::{Args, Subcommand};

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
