//! Rotates Amazon API Gateway keys for AWS Secrets Manager, and mirrors them to Doppler.
//!
//! Secrets Manager calls the function four times per rotation. Each step makes one thing true:
//!
//! | step | what is true afterwards |
//! |---|---|
//! | `createSecret` | the AWSPENDING version holds a fresh value, beside the other fields of the secret as they are now |
//! | `setSecret` | API Gateway has an enabled key with that value, on every usage plan; on none, only if that is allowed or a probe decides |
//! | `testSecret` | the probe refused a random key and accepted the key, or the key is complete and old enough; Doppler answers, and no target holds another's value |
//! | `finishSecret` | Doppler holds the value, AWSCURRENT is this version, no replica lags, AWSPENDING is gone, and all is as after a reconciliation |
//! | `reconcile`, our own | AWSCURRENT's key works, each Doppler target that may be written holds it, revoked keys are disabled, and each superseded key is where its age says |
//!
//! ```text
//!   main ──► handler ──► adapters ──► driver ──► decision
//!            an event    I/O: one     decide,    pure: create_secret · set_secret · test_secret · finish_secret,
//!            in, an      module for   perform,         restore · mirror · retire
//!            answer      each         learn
//!            out         service                 ids, time, redact: text that is safe to show
//! ```
//!
//! An arrow says who names whom: each folder names only those to its right, and `config` and `secret`, which lie below
//! `adapters`, are named by that and `handler`. The driver knows the outside world only as the port that the adapters
//! implement; it runs `decision → perform → learn` until nothing is left.
//!
//! Read [`decision`] first: `rotation.rs` and `reconciliation.rs` from top to bottom; [`decision::decisions`] shows as tables
//! what comes of them. Then [`driver`], the loop. The [`adapters`] need no reading to understand the system.
//!
//! What is *not* there: only `adapters` touches the network, and only `adapters` and [`secret`] see a value; `decision` never
//! awaits and has no clock; nothing keeps an error of the AWS SDK, which may hold a value; nothing but `main` and
//! `adapters` reads the environment, for the AWS SDK's own variables. `tests/units/layers.rs` holds these folders to that.
//!
//! Facts about the services carry how they are known: DOC, the service documents it; AWSV, an emulator's test recorded it
//! on AWS; EMP, measured with the real client; SRC, read in an official client; OBS, 3P, seen by others; UNK, nowhere
//! found.

pub mod adapters;
pub mod command;
pub mod config;
pub mod decision;
pub mod driver;
pub mod handler;
pub mod ids;
pub mod logging;
pub mod redact;
pub mod secret;
pub mod time;
