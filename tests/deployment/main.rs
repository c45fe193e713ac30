//! The template: what it makes, what its parameters take, and what its role allows.

mod least_privilege;
mod parameters;
mod template;

#[path = "../support/mod.rs"]
mod support;
