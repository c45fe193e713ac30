//! A role: a policy, the parts of it that were needed, and the calls that it denied.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::policy::{Check, Element, Policy};

/// A function's permissions, and a record of their use. A clone is a handle to the same role.
#[derive(Clone)]
pub struct Role {
    policy: Arc<Policy>,
    record: Arc<Mutex<Record>>,
}

#[derive(Default)]
struct Record {
    needed: BTreeSet<Element>,
    denials: Vec<Denial>,
}

/// A call that the role did not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The operation, such as `PutSecretValue`.
    pub operation: String,
    /// The check that the policy does not allow.
    pub check: Check,
}

impl fmt::Display for Denial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} needs {}", self.operation, self.check)
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Role")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl Role {
    /// Creates a role with this policy.
    #[must_use]
    pub fn new(policy: Policy) -> Role {
        Role {
            policy: Arc::new(policy),
            record: Arc::default(),
        }
    }

    /// Returns the role's policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether the policy allows this check. Nothing is recorded.
    #[must_use]
    pub fn allows(&self, check: &Check) -> bool {
        self.policy.decide(check).0
    }

    /// Returns the policy's elements without which a call so far would have had a different result.
    #[must_use]
    pub fn needed(&self) -> BTreeSet<Element> {
        self.record.lock().needed.clone()
    }

    /// Returns the calls that were denied since the last time.
    #[must_use]
    pub fn take_denials(&self) -> Vec<Denial> {
        std::mem::take(&mut self.record.lock().denials)
    }

    /// Allows a call, or returns the check that fails. Records the needed elements and the denial.
    pub(crate) fn admit(&self, operation: &str, checks: Vec<Check>) -> Result<(), Check> {
        for check in checks {
            let (allowed, needed) = self.policy.decide(&check);
            let mut record = self.record.lock();
            record.needed.extend(needed);
            if !allowed {
                record.denials.push(Denial {
                    operation: operation.to_owned(),
                    check: check.clone(),
                });
                return Err(check);
            }
        }
        Ok(())
    }
}
