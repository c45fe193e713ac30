//! `rotationctl` against the sandbox, which runs the real function.

mod arguments;
mod changing;
mod program;
mod reading;
mod rights;
mod rotating;
mod stopping;
mod values;

#[path = "../support/mod.rs"]
mod support;
