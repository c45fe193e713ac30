//! What the Doppler stand-in is known to do, asked over HTTP.
//!
//! Every test names how its fact is known (the tags are those of the `doppler` module) and the
//! section of the contract that holds it.

mod access;
mod api;
mod downloading;
mod managing;
mod reading;
mod watching;
mod writing;
