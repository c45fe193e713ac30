//! The real binary with third-party programs: moto, AWS's Lambda emulator, the AWS CLI, boto3, the
//! Doppler CLI and curl. Also the commands in the documentation.

mod documented_commands;
mod doppler_login;
mod lambda_rie;
mod moto;
mod third_party_clients;

#[path = "../support/mod.rs"]
mod support;
