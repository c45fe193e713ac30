//! A fleet of twelve secrets with mirrors in three Doppler projects, for `--fleet`.

mod causes;
mod consumers;
mod demo;
mod fixture;
mod progress;
mod table;

pub(crate) use self::demo::demo;
