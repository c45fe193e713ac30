//! `make e2e`: deploys the template with SAM, runs the function in its emulator and `rotationctl`
//! in an image, and builds the function twice.

mod docker;
mod released_rotationctl;
mod reproducible_build;
mod sam_deploy;
mod sam_local;
mod sandbox_page;
mod served;
mod webdriver;

#[path = "../support/mod.rs"]
mod support;
