//! The outside world, as it is: turns what a step wants to know or do into calls, and replies into facts.
//!
//! Values are seen here and below only. They are compared here, and only the verdict leaves.

mod actions;
pub mod advice;
mod api_gateway;
mod aws;
mod call;
mod clients;
pub mod clock;
mod doppler;
mod error;
mod http;
mod key_changes;
mod probe;
mod queries;
mod replication;
mod secrets_manager;
mod session;
mod values;

pub use self::api_gateway::description;
pub(crate) use self::aws::throttle::{CALL_CONTEXT, CallContext};
pub use self::call::{CallError, CallErrorKind};
pub use self::clients::Clients;
pub use self::doppler::classify as refusal;
pub use self::error::{AdapterError, ProbeFault};
pub use self::secrets_manager::{ListedSecret, Secret};
pub use self::session::Session;
