//! The real binary in the sandbox under faults: a fixed share of them in a test run, all of them in `make prove`.

mod fault_injection;
mod load;
mod malformed_replies;
mod manual_changes;

#[path = "../support/mod.rs"]
mod support;
