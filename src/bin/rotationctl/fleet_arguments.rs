//! The command line of `fleet`.

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
