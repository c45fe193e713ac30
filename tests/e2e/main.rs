//! `make e2e`: deploys the template with SAM, runs the function in its emulator, and builds it twice.

mod reproducible_build;
mod sam_deploy;
mod sam_local;

#[path = "../support/mod.rs"]
mod support;
