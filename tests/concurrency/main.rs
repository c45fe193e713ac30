//! Two runs of the real binary at once.
//!
//! A program of its own: how far a run gets in the two seconds for which it repeats a lagging read depends on the load.

mod explorer;
mod orders;

#[path = "../support/mod.rs"]
mod support;
