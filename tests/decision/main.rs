//! Tests of the pure decisions: over a model of the services, over random observations, and as tables.

mod model;
mod notices;
mod random_observations;
mod retirement;
mod rotation;
mod table;
mod two_runs;
mod usage;

#[path = "../support/exhaustive.rs"]
mod exhaustive;
