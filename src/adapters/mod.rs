//! Executes queries and actions against AWS and Doppler, and converts the replies into facts.
//!
//! Secret values do not leave this layer: it compares them and returns only the results.

mod actions;
pub mod advice;
mod api_gateway;
mod aws;
mod call;
mod clients;
pub mod clock;
mod doppler;
mod error;
mod event_bridge;
mod fleet;
mod http;
mod key_changes;
mod probe;
mod queries;
mod repeat;
mod replication;
mod secrets_manager;
mod session;
pub mod sts;
mod values;

pub use self::api_gateway::{AccountKeys, counted_uses, description, identity};
pub use self::aws::connector::sendable;
pub(crate) use self::aws::throttle::{CALL_CONTEXT, CallContext, Stage};
pub use self::call::{CallError, CallErrorKind};
pub use self::clients::Clients;
pub use self::doppler::SharedTargets;
pub use self::doppler::classify as refusal;
pub use self::error::{AdapterError, ProbeFault};
pub use self::event_bridge::notice_detail;
pub use self::http::client_builder;
pub use self::secrets_manager::{ListedSecret, Secret};
pub use self::session::Session;
