//! The real binary and other people's programs: moto, AWS's Lambda emulator, the AWS CLI, boto3, the Doppler CLI and curl, and
//! the commands of the pages.

mod documented_commands;
mod lambda_rie;
mod moto;
mod third_party_clients;

#[path = "../support/mod.rs"]
mod support;
