//! A fleet of twelve secrets with mirrors in three Doppler projects, for `--fleet`.

mod causes;
mod consumers;
mod demo;
mod fixture;
mod page;
mod progress;
mod table;

pub(crate) use self::demo::demo;
pub(crate) use self::fixture::{DOCUMENT, MEMBERS, PROJECTS, seed};
pub(crate) use self::page::page;
pub(crate) use self::progress::Progress;
