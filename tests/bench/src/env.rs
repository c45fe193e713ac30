//! The environment of a measured function: the sandbox, a secret that was rotated once, and the settings.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::ensure;
use sandbox::doppler::Access;
use sandbox::{FUNCTION_NAME, Function, Options, REGION, STAGE, STEPS, Sandbox};

use crate::process::Process;

const SECRET: &str = "demo/partner-api-key";
const FIRST_KEY: &str = "a-key-that-was-created-manually";
const TOKEN_SECRET: &str = "demo/doppler-token";
const PROJECT: &str = "acme";
const CONFIG: &str = "prd";

/// A variant of the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// A usage plan, a probe, and one Doppler target.
    Ordinary,
    /// Without a usage plan: the new key gets those of the current one.
    InheritedPlan,
    /// Without a probe, and without a minimum age.
    NoProbe,
}

/// A running sandbox without a deployed function: any process that polls its runtime API gets the events.
pub(crate) struct BenchEnv {
    pub(crate) sandbox: Sandbox,
    settings: Vec<(&'static str, String)>,
}

impl BenchEnv {
    /// Starts a sandbox with a key that was created manually.
    pub(crate) async fn start(variant: Variant) -> anyhow::Result<BenchEnv> {
        let sandbox = Sandbox::start(Options::default()).await?;
        let settings = seed(&sandbox, variant);
        Ok(BenchEnv { sandbox, settings })
    }

    /// Starts a sandbox in which the function has rotated once, so that the next rotation is an ordinary one.
    pub(crate) async fn rotated(function: &Path, variant: Variant) -> anyhow::Result<BenchEnv> {
        let env = BenchEnv::start(variant).await?;
        let settings = env.settings.iter();
        let settings = settings.map(|(name, value)| ((*name).to_owned(), value.clone()));
        let mut function = Function::new(function);
        function.env.extend(settings);
        env.sandbox.deploy(function).await;
        env.rotate().await?;
        env.sandbox.undeploy().await;
        Ok(env)
    }

    /// Runs a function that gets the sandbox's events.
    ///
    /// Only one per sandbox: an event could go to one that was killed.
    pub(crate) fn run(&self, binary: &Path) -> anyhow::Result<Process> {
        Process::spawn(&mut self.command(binary, &self.sandbox.runtime_api()))
    }

    /// Rotates with the function that polls for events.
    pub(crate) async fn rotate(&self) -> anyhow::Result<()> {
        let token = self.sandbox.rotate(SECRET);
        let outcome = self.sandbox.rotation(&token).await;
        let error = outcome.error().map(ToString::to_string);
        ensure!(outcome.succeeded, "the rotation failed: {error:?}");
        Ok(())
    }

    /// Announces a rotation and runs only its first step.
    pub(crate) async fn create_secret(&self) -> anyhow::Result<()> {
        let token = self.sandbox.begin_rotation(SECRET);
        let invocation = self.sandbox.step(SECRET, &token, STEPS[0]).await;
        let error = invocation.result.err();
        ensure!(error.is_none(), "{} failed: {error:?}", STEPS[0]);
        Ok(())
    }

    /// Returns a command in the environment that Lambda gives the function, and with PATH.
    ///
    /// The empty function gets the same environment.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>, runtime_api: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs([
                ("AWS_ACCESS_KEY_ID", "sandbox"),
                ("AWS_ENDPOINT_URL", &self.sandbox.aws_url()),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
                ("AWS_LAMBDA_FUNCTION_NAME", FUNCTION_NAME),
                ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
                ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
                ("AWS_LAMBDA_RUNTIME_API", runtime_api),
                ("AWS_REGION", REGION),
                ("AWS_SECRET_ACCESS_KEY", "sandbox"),
                ("AWS_SESSION_TOKEN", "sandbox"),
            ])
            .envs(self.settings.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }
}

/// Fills the sandbox and returns the function's settings.
fn seed(sandbox: &Sandbox, variant: Variant) -> Vec<(&'static str, String)> {
    let plan = sandbox.create_usage_plan("partners");
    sandbox.create_key("manual", FIRST_KEY, &[&plan]);
    sandbox.create_secret(SECRET, Some(&format!(r#"{{"apiKey":"{FIRST_KEY}"}}"#)));
    sandbox.enable_rotation(SECRET);
    let doppler = sandbox.doppler();
    doppler.create_project(PROJECT);
    let token = doppler.service_token(PROJECT, CONFIG, Access::ReadWrite);
    sandbox.create_secret(TOKEN_SECRET, Some(&token));

    let mut settings = vec![
        ("SECRET_ID", SECRET.to_owned()),
        (
            "DOPPLER_TARGETS",
            format!("{PROJECT}/{CONFIG}/PARTNER_API_KEY"),
        ),
        ("DOPPLER_TOKEN_SECRET_ID", TOKEN_SECRET.to_owned()),
        ("DOPPLER_API_URL", sandbox.doppler_url()),
    ];
    if variant != Variant::InheritedPlan {
        settings.push(("USAGE_PLAN_IDS", plan));
    }
    settings.push(match variant {
        Variant::NoProbe => ("PROPAGATION_DELAY", "0s".to_owned()),
        _ => (
            "PROBE_URL",
            format!("{}/{STAGE}/ping", sandbox.gateway_url()),
        ),
    });
    settings
}
