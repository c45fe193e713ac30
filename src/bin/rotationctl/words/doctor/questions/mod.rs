//! Questions about AWS that no document answers, and that need no role.

mod own_key;
mod records;

pub(crate) use own_key::with_key;
pub(crate) use records::from_records;
