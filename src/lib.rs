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
//!  event ──► main ──► rotate ────┬──► drive ──► rotation: create_secret · set_secret · test_secret · finish_secret ┐
//!                └──► reconcile ─┘      │       reconciliation: restore · mirror · retire                          ┴ (pure)
//!                                       │          │ decide from
//!                                       │          └──► observed: facts and ids, never values
//!                                       └──► live: secrets_manager · api_gateway · doppler · probe   (only these do I/O and see values)
//! ```
//!
//! Read [`rotation`] and [`reconciliation`] first, from top to bottom; [`decisions`] shows as tables what comes of them. Then
//! [`drive`], the loop that drives them, with [`next`], what it can be told to do, and [`observed`], what they decide from.
//! The adapters below [`live`] need no reading to understand the system. Texts that anybody may write are read by [`mark`] and
//! [`ids`]; [`advice`] says why a call failed, and [`command`] quotes the commands that are shown to people.
//!
//! What is *not* there: only `live` touches the network, and only `live` and [`secret`] see a value; `rotation` and
//! `reconciliation` never await and have no clock; nothing keeps an error of the AWS SDK, which may hold a value; nothing
//! but `main` and `http` reads the environment, the AWS SDK's own variables apart.
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
pub mod secret;
pub mod time;
