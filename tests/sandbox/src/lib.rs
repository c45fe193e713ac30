//! A local sandbox for the rotation function: every service that it calls.
//!
//! It serves AWS Secrets Manager with its rotation, Amazon API Gateway's control and data plane for
//! API keys, Amazon `EventBridge`'s buses, AWS Lambda around the real function binary with its log in
//! `CloudWatch` Logs, the function's stack in AWS `CloudFormation`, the web identity tokens of AWS STS, and the Doppler API. Everything is kept in memory and listens on loopback only. A test injects faults
//! ([`Faults`]), and reads the calls ([`Call`]), the state of secrets and keys ([`SecretSnapshot`],
//! [`KeySnapshot`]) and the events that were put on a bus ([`BusEvent`]).
//!
//! ```text
//!  test ──► Sandbox ──► rotation ──► lambda ──► the function's process
//!              │                                     │ HTTP
//!              │            call log and faults ◄────┘
//!              │                    │
//!              └──► secrets_manager · api_gateway · gateway · event_bridge · logs · cloud_formation · web_identity · doppler
//! ```
//!
//! Each fact about a service carries its source: AWSV, recorded on AWS; DOC, AWS's documentation;
//! OBS, observed by others. Values are never printed: see [`fingerprint`].

mod account;
mod api_gateway;
mod aws;
mod call_log;
mod clock;
mod cloud_formation;
mod constants;
pub mod doppler;
mod error_response;
mod event_bridge;
mod events;
mod faults;
mod gateway;
pub mod http_client;
pub mod iam;
pub mod incidents;
mod lambda;
mod logs;
mod middleware;
mod page;
mod query_protocol;
mod rotation;
mod sandbox;
mod secrets_manager;
mod server;
mod setup;
mod signature;
mod snapshot;
mod stepped_function;
pub mod tls;
mod web_identity;

pub use account::{AccountState, OPERATOR_ARN, Rule, Topic, Trail};
pub use api_gateway::UsageDays;
pub use call_log::{Call, Service};
pub use cloud_formation::NewStack;
pub use constants::{
    ACCOUNT, FUNCTION_ACCESS_KEY_ID, FUNCTION_ARN, FUNCTION_NAME, FUNCTION_ROLE_ARN, REGION,
    REST_API_ID, STAGE, fingerprint,
};
pub use doppler::Doppler;
pub use event_bridge::{BusEvent, LabelRule};
pub use events::Event;
pub use faults::{Fault, FaultHandle, FaultKind, Faults, Hook, When};
pub use lambda::{Delivery, Function, FunctionError, Invocation, Measured};
pub use page::{DopplerTarget, PageBreakage, PageContent, PageSecret};
pub use rotation::{Outcome, STEPS, StepRun, TrailEvent};
pub use sandbox::{Options, Ports, Sandbox};
pub use secrets_manager::ReplicaStatus;
pub use server::PortInUse;
pub use snapshot::{KeySnapshot, ReplicaSnapshot, SecretSnapshot, VersionSnapshot};
pub use stepped_function::{PendingInvocation, SteppedFunction};
