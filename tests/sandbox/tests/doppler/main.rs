//! Known facts about the Doppler API, tested against the sandbox over HTTP.
//!
//! Every test names the source of its fact, with the tags of the `doppler` module.

mod access;
mod api;
mod downloading;
mod login;
mod managing;
mod reading;
mod watching;
mod writing;
