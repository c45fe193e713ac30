//! The real binary in the sandbox, under everything that can go wrong: a fixed share in a test run, all of it in `make prove`.

mod fault_injection;
mod load;
mod malformed_replies;
mod manual_changes;

#[path = "../support/mod.rs"]
mod support;
