//! The permissions of the function's role and of an operator: the part of IAM that the template's
//! policy and the pages use.
//!
//! A call is split into what IAM checks for it ([`Check`]). The [`Role`] tells for
//! each check whether the policy allows it. A role records which parts of its policy were needed,
//! and which calls it denied.

mod calls;
mod condition;
mod pattern;
mod policy;
mod role;

pub(crate) use self::calls::{Authorizer, OperatorRole, log};
pub(crate) use self::condition::is_set;
pub(crate) use self::policy::Decision;
pub use self::policy::{Check, Element, Policy};
pub use self::role::{Denial, Role};
