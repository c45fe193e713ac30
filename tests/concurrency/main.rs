//! Two runs of the real binary at once.
//!
//! Apart from the others: how far a run gets in the two seconds for which it repeats a lagging read is real time.

mod explorer;
mod orders;

#[path = "../support/mod.rs"]
mod support;
