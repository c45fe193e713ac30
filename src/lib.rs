//! Rotates Amazon API Gateway keys for AWS Secrets Manager, and mirrors them to Doppler.
//!
//! Secrets Manager calls the function four times per rotation. Each step establishes one state:
//!
//! | step | state afterwards |
//! |---|---|
//! | `createSecret` | The AWSPENDING version holds a new value, and the other fields of the secret as they are now. |
//! | `setSecret` | API Gateway has an enabled key with that value on every usage plan. It may be on no plan only if that is allowed or a probe decides. |
//! | `testSecret` | With a probe, it accepted the key and refused a random one. Doppler answers, and no target holds an unknown value. |
//! | `finishSecret` | Without a probe, the key is on its plans and old enough. Doppler holds the value, AWSCURRENT is on this version, replicas are in sync, AWSPENDING is removed, and a reconciliation has run. |
//! | `reconcile`, which only this function has | AWSCURRENT's key works, and every Doppler target that may be written holds it. Revoked keys are disabled, and superseded keys are disabled or deleted when they are due. |
//!
//! ```text
//!   main ──► handler ──► adapters ──► driver ──► decision
//!            an event    I/O: one     decide,    pure: create_secret · set_secret · test_secret · finish_secret,
//!            in, an      module for   perform,         restore · mirror · retire
//!            answer      each         learn
//!            out         service                 ids, time, redact: text that is safe to show
//! ```
//!
//! The arrows are dependencies: each folder uses only those to its right. `adapters` and `handler`
//! also use `config` and `secret`. The driver knows the services only through the trait that the
//! adapters implement. It repeats `decision → perform → learn` until nothing is left.
//!
//! Read [`decision`] first: `rotation.rs` and `reconciliation.rs` from top to bottom.
//! [`decision::decisions`] shows their results as tables. Then read [`driver`], the loop. To
//! understand the system, you don't need to read the [`adapters`].
//!
//! These limits hold, and `tests/units/layers.rs` checks those of the folders:
//!
//! - Only `adapters` uses the network.
//! - Only `adapters` and [`secret`] see a value.
//! - `decision` never awaits and has no clock.
//! - No code keeps an error of the AWS SDK, which may contain a value.
//! - Only `main` and `adapters` read the environment; `adapters` only for the AWS SDK's own
//!   variables.
//!
//! Comments mark how a fact about a service is known. DOC: the service documents it. AWSV: an
//! emulator's test recorded it on AWS. EMP: measured with the real client. SRC: read in an official
//! client. OBS, 3P: seen by others. UNK: not found anywhere.

pub mod adapters;
pub mod command;
pub mod config;
pub mod decision;
pub mod driver;
pub mod handler;
pub mod ids;
pub mod json;
pub mod logging;
pub mod redact;
pub mod secret;
pub mod time;
