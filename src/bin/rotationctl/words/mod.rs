//! The words, one file for each task.

pub(crate) mod adopt;
pub(crate) mod cancel;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod fleet;
pub(crate) mod help;
mod label;
pub(crate) mod leaked;
mod owner;
pub(crate) mod reconcile;
pub(crate) mod retry;
pub(crate) mod rollback;
pub(crate) mod rotate;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod usage;
pub(crate) mod value;
pub(crate) mod whose;
pub(crate) mod why;
