//! Rotates Amazon API Gateway keys for AWS Secrets Manager.
#![doc = ""]

pub mod error;
pub mod event;
mod http;
pub mod live;
pub mod logging;
pub mod mark;
pub mod observed;
pub mod rotate;
pub mod rotation;
pub mod secret;
pub mod settings;
