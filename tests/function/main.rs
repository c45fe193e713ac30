//! The real binary in the sandbox, tested by examples.

mod accounts;
mod advice;
mod doppler;
mod errors;
mod logs;
mod network;
mod no_secret_leaks;
mod reconciliation;
mod rotation;
mod tls;
mod untrusted;

#[path = "../support/mod.rs"]
mod support;
