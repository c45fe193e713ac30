//! Tests of the pure decisions: over a model of the services, over random observations, and as tables.

mod model;
mod random_observations;
mod retirement;
mod rotation;
mod table;
mod two_runs;

#[path = "../support/exhaustive.rs"]
mod exhaustive;
