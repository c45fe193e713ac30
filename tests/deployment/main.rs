//! The template: what it creates, what its parameters accept, and what its role allows.

mod examples;
mod least_privilege;
mod names;
mod network;
mod parameters;
mod policies;
mod release;
mod template;

#[path = "../support/mod.rs"]
mod support;
