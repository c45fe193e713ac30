//! What both commands start with: secrets, a usage plan and a Doppler project.

use std::path::Path;

use anyhow::{Context as _, ensure};
use sandbox::doppler::Access;
pub(crate) use sandbox::incidents::{CONFIG, DOPPLER_NAME, PROJECT, SECRET, TOKEN_SECRET};
use sandbox::{Function, STAGE, Sandbox};

/// The token of the rotation whose steps an operator runs. It is also in events/*.json.
pub(crate) const TOKEN: &str = "11111111-1111-4111-8111-111111111111";
/// The usage plan. Its id is known before the start, so that events/env.json can name it.
pub(crate) const PLAN: &str = "demoplan01";

/// Where the rotated key is tried.
pub(crate) fn probe_url(sandbox: &Sandbox) -> String {
    format!("{}/{STAGE}/ping", sandbox.gateway_url())
}

/// Creates the secrets, a usage plan and the Doppler project, and returns the function's settings.
pub(crate) fn seed(sandbox: &Sandbox) -> Vec<(&'static str, String)> {
    sandbox.create_usage_plan_as(PLAN, "partners");
    sandbox.create_secret(SECRET, None);
    sandbox.enable_rotation(SECRET);
    let doppler = sandbox.doppler();
    doppler.create_project(PROJECT);
    let token = doppler.service_token(PROJECT, CONFIG, Access::ReadWrite);
    sandbox.create_secret(TOKEN_SECRET, Some(&token));
    vec![
        ("SECRET_ID", SECRET.to_owned()),
        ("USAGE_PLAN_IDS", PLAN.to_owned()),
        ("PROBE_URL", probe_url(sandbox)),
        (
            "DOPPLER_TARGETS",
            format!("{PROJECT}/{CONFIG}/{DOPPLER_NAME}"),
        ),
        ("DOPPLER_TOKEN_SECRET_ID", TOKEN_SECRET.to_owned()),
        ("DOPPLER_API_URL", sandbox.doppler_url()),
        ("AWS_LAMBDA_LOG_LEVEL", "DEBUG".to_owned()),
    ]
}

/// The function with its settings, if its binary is there.
pub(crate) fn function(
    binary: &Path,
    settings: &[(&'static str, String)],
) -> anyhow::Result<Function> {
    let next =
        "build it with `cargo build --release` and pass the path of the binary with --function";
    let path = binary
        .canonicalize()
        .with_context(|| format!("there is no function at {}; {next}", binary.display()))?;
    ensure!(path.is_file(), "{} is not a file; {next}", binary.display());
    Ok(settings
        .iter()
        .fold(Function::new(path), |function, (name, value)| {
            function.env(*name, value)
        }))
}
