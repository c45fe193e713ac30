//! Tests of parts of the function, without a process or a socket.

mod layers;
mod malformed_input;
mod parsing;

#[path = "../support/exhaustive.rs"]
mod exhaustive;
#[path = "../support/generators.rs"]
mod generators;
