//! Holds the sandbox to what is known of the services. Each test names one fact; the tag and number
//! before its sentence say where it is known from, as in the sandbox's own documentation.

mod api_gateway;
mod client;
mod faults;
mod gateway;
mod lambda;
mod rotation;
mod secrets_manager;
