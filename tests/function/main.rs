//! The real binary in the sandbox, tested by examples.

mod accounts;
mod advice;
mod doppler;
mod errors;
mod fleet;
mod fleet_mirrors;
mod fleet_reconciliation;
mod login;
mod logs;
mod network;
mod no_secret_leaks;
mod notices;
mod reconciliation;
mod rotation;
mod status;
mod tls;
mod untrusted;
mod usage;

#[path = "../support/mod.rs"]
mod support;
