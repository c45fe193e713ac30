//! The decisions, pure: over a model of the world, over any observation, and as tables.

mod model;
mod random_observations;
mod retirement;
mod rotation;
mod table;
mod two_runs;

#[path = "../support/exhaustive.rs"]
mod exhaustive;
