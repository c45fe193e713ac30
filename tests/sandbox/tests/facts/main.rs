//! Tests of the sandbox against known facts about the services. Each test checks one fact. The tag
//! before its description names the source, as in the sandbox's own documentation.

mod account;
mod client;
mod clock;
mod cloud_formation;
mod event_bridge;
mod faults;
mod gateway;
mod iam;
mod keys;
mod lambda;
mod logs;
mod plans;
mod put_events;
mod replicas;
mod rotation;
mod secrets;
mod stepped_function;
mod usage;
mod versions;
mod web_identity;
