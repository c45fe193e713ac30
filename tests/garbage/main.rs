//! Garbage: whatever an event, a secret, a setting, a key's tags and description, or a service's reply holds, the function
//! neither panics nor hangs, and shows no value.
//!
//! All inputs come from generators with one fixed seed, so that every run tries the same. Inputs that once were findings
//! stand beside the property that they broke.

mod generators;
mod pure;
mod replies;
#[path = "../support/mod.rs"]
mod support;
