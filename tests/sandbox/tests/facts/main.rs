//! Holds the sandbox to what is known of the services. Each test names one fact; the tag and number
//! before its sentence say where it is known from, as in the sandbox's own documentation.

mod client;
mod clock;
mod event_bridge;
mod faults;
mod gateway;
mod iam;
mod keys;
mod lambda;
mod plans;
mod replicas;
mod rotation;
mod secrets;
mod stepped_function;
mod versions;
