//! What the function's role may do: the part of IAM that the template's policy uses.
//!
//! A call of the function is taken apart into what IAM checks of it ([`Check`]), and its [`Role`] says for each whether
//! the policy allows it. A role remembers which parts of its policy were needed, and what it denied.

mod calls;
mod condition;
mod pattern;
mod policy;
mod role;

pub(crate) use self::calls::{Authorizer, log};
pub use self::policy::{Check, Element, Policy};
pub use self::role::{Denial, Role};
