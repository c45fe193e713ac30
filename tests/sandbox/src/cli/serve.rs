//! `sandbox serve`: the services on known ports, until Ctrl-C.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::anyhow;
use sandbox::{
    ACCOUNT, DopplerTarget, FUNCTION_NAME, LabelRule, Options, PageContent, PortInUse, Ports,
    REGION, STAGE, Sandbox,
};

use super::arguments::ServeSettings;
use super::fixture::{self, CONFIG, DOPPLER_NAME, PLAN, PROJECT, SECRET, TOKEN, TOKEN_SECRET};
use super::narration::Narration;
use super::terminal::{Style, Terminal};

/// Serves until interrupted and reports what the function does.
pub(crate) async fn serve(settings: ServeSettings) -> anyhow::Result<ExitCode> {
    // With --by-hand only the operator invokes the function.
    let is_automatic = !settings.manual_steps;
    let options = Options {
        ports: settings.ports,
        also_listen_on: settings.also_listen_on,
        propagation: settings.propagation,
        replica_lag: settings.replica_lag,
        // Secrets Manager retries a failed rotation. When and how often is not documented.
        rotation_attempts: 100,
        rotation_pause: Duration::from_secs(15),
        label_events: is_automatic.then(|| LabelRule {
            secrets: vec![SECRET.to_owned()],
            labels: vec!["AWSCURRENT".to_owned()],
        }),
        reconcile_every: is_automatic.then_some(settings.reconcile_every),
        page: Some(page()),
        ..Options::default()
    };
    let sandbox = Sandbox::start(options)
        .await
        .map_err(|error| with_advice(error, settings.ports))?;
    let function_settings = fixture::seed(&sandbox);
    if !settings.replica_regions.is_empty() {
        let regions: Vec<&str> = settings
            .replica_regions
            .iter()
            .map(String::as_str)
            .collect();
        sandbox.replicate(SECRET, &regions);
    }
    let deployed = match &settings.function {
        None => "none; events wait at the runtime API".to_owned(),
        Some(binary) => {
            sandbox
                .deploy(fixture::function(binary, &function_settings)?)
                .await;
            binary.display().to_string()
        }
    };
    if settings.manual_steps {
        sandbox.begin_rotation_as(SECRET, TOKEN);
    }
    let interrupted = super::interrupted();
    let mut events = sandbox.watch();
    // No row is broken, because an error may contain a command to copy.
    let mut narration = Narration::new(Terminal::stdout(None), settings.verbose);
    let banner = banner(&sandbox, &settings, &deployed);
    narration.terminal.line(Style::Plain, &banner);
    tokio::select! {
        () = narration.until(interrupted, &sandbox, &mut events) => {}
        () = sandbox.serve_incidents() => {}
    }
    sandbox.undeploy().await;
    Ok(ExitCode::SUCCESS)
}

/// Says how to choose another port, if one is in use.
fn with_advice(error: anyhow::Error, ports: Ports) -> anyhow::Error {
    let Some(PortInUse(port)) = error.downcast_ref() else {
        return error.context("cannot serve");
    };
    let options = [
        ("--aws-port", ports.aws),
        ("--gateway-port", ports.gateway),
        ("--doppler-port", ports.doppler),
        ("--runtime-port", ports.runtime),
    ];
    let option = options.iter().find(|(_, chosen)| chosen == port);
    let option = option.map_or("--help", |(option, _)| *option);
    let other = port.checked_add(10).unwrap_or_default();
    anyhow!(
        "port {port} is in use; stop the other process or run make sandbox ARGS='{option} {other}'"
    )
}

/// What the page shows.
fn page() -> PageContent {
    let target = DopplerTarget {
        project: PROJECT.to_owned(),
        config: CONFIG.to_owned(),
        name: DOPPLER_NAME.to_owned(),
    };
    PageContent {
        secret: SECRET.to_owned(),
        targets: vec![target],
    }
}

/// Lists the services, with commands to copy.
fn banner(sandbox: &Sandbox, settings: &ServeSettings, function: &str) -> String {
    let (aws, gateway, doppler) = (
        sandbox.aws_url(),
        sandbox.gateway_url(),
        sandbox.doppler_url(),
    );
    let runtime = sandbox.runtime_api();
    let propagation = humantime::format_duration(settings.propagation);
    let rotation = if settings.manual_steps {
        manual_steps(&aws, settings)
    } else {
        automatic_rotations(settings)
    };
    format!(
        "\
The sandbox is up; Ctrl-C ends it. Everything is in memory.

  AWS services   {aws}    account {ACCOUNT}, usage plan {PLAN}
  gateway        {gateway}    an API that requires a key, stage {STAGE}
  Doppler        {doppler}    project {PROJECT}, config {CONFIG}
  runtime API    {runtime}
  function       {function}
  page           {aws}/_sandbox/    watch and try all of it in a browser

Run `make tools` once (1 min, 0.6 GB), then in another shell:
  export PATH=$PWD/target/tools/test/bin:$PATH
  export AWS_ENDPOINT_URL={aws} AWS_REGION={REGION} AWS_DEFAULT_REGION={REGION}
  export AWS_ACCESS_KEY_ID=sandbox AWS_SECRET_ACCESS_KEY=sandbox
For the commands of README.md and docs, also:
  . docs/rotation.sh && rotation_use rotation {SECRET}

{rotation}
To see the state:
  aws secretsmanager describe-secret --secret-id {SECRET}
  aws apigateway get-api-keys

To advance the clock of the services and the function by 25 h:
  curl -X POST '{aws}/_sandbox/clock?advance=25h'
A changed key takes effect after another {propagation} (simulated propagation).

To use the key and to read the value in Doppler (after the first rotation):
  KEY=$(aws secretsmanager get-secret-value --secret-id {SECRET} \\
    --query SecretString --output text |
    python3 -c 'import json, sys; print(json.load(sys.stdin)[\"apiKey\"])')
  curl -i {gateway}/{STAGE}/ping -H \"x-api-key: $KEY\"
  DOPPLER_TOKEN=$(aws secretsmanager get-secret-value --secret-id {TOKEN_SECRET} \\
    --query SecretString --output text) \\
    doppler secrets get {DOPPLER_NAME} --plain --api-host {doppler}
"
    )
}

/// The command that starts a rotation, and what happens without one.
fn automatic_rotations(settings: &ServeSettings) -> String {
    let every = humantime::format_duration(settings.reconcile_every);
    format!(
        "\
To rotate:
  aws secretsmanager rotate-secret --secret-id {SECRET}
Secrets Manager retries a failed rotation every 15 s.

EventBridge invokes the function to reconcile whenever AWSCURRENT moves, and every {every}.
"
    )
}

/// The commands that run the four steps, for each program that can.
fn manual_steps(aws: &str, settings: &ServeSettings) -> String {
    let port = aws.rsplit(':').next().unwrap_or_default();
    let container = match settings.also_listen_on {
        Some(_) => {
            "  sam local invoke --env-vars events/env.json --event events/create-secret.json"
        }
        None => {
            "  (for `sam local invoke`, start with ARGS='--by-hand --also-listen-on 172.17.0.1')"
        }
    };
    format!(
        "\
One rotation of {SECRET} is prepared and waits for you to run its four steps.
Run one of these in the project's directory, then again with set-secret, test-secret and
finish-secret instead of create-secret:
  aws lambda invoke --function-name {FUNCTION_NAME} \\
    --payload fileb://events/create-secret.json /dev/stdout | cat
  cargo lambda invoke --invoke-address 127.0.0.1 --invoke-port {port} {FUNCTION_NAME} \\
    --data-file events/create-secret.json
{container}
Restart the sandbox to repeat.
"
    )
}
