//! Tests of parts of the function, without a process or a socket.

mod dependencies;
mod fleet_documents;
mod json_schema;
mod layers;
mod malformed_input;
mod notices;
mod pages;
mod parsing;

#[path = "../support/exhaustive.rs"]
mod exhaustive;
#[path = "../support/generators.rs"]
mod generators;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../support/markdown.rs"]
mod markdown;
