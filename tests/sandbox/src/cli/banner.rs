//! What `sandbox serve` prints at its start: the services, with commands to copy.

use sandbox::{ACCOUNT, FUNCTION_NAME, REGION, STAGE, Sandbox};

use super::arguments::ServeSettings;
use super::fixture::{CONFIG, DOPPLER_NAME, PLAN, PROJECT, SECRET, TOKEN_SECRET};
use super::fleet;

/// Lists the services, with commands to copy.
pub(super) fn of_one_secret(sandbox: &Sandbox, settings: &ServeSettings, function: &str) -> String {
    let (aws, gateway, doppler) = (
        sandbox.aws_url(),
        sandbox.gateway_url(),
        sandbox.doppler_url(),
    );
    let around = (format!("usage plan {PLAN}"), format!("project {PROJECT}"));
    let services = services(sandbox, function, (&around.0, &around.1));
    let exports = exports(&aws, SECRET);
    let propagation = humantime::format_duration(settings.propagation);
    let rotation = if settings.manual_steps {
        manual_steps(&aws, settings)
    } else {
        automatic_rotations(settings)
    };
    format!(
        "\
{services}
{exports}
{rotation}
To see the state:
  aws secretsmanager describe-secret --secret-id {SECRET}
  aws apigateway get-api-keys

To do the same with rotationctl (docs/rotationctl.md says how to get it):
  export ROTATION_FUNCTION={FUNCTION_NAME}
  rotationctl status

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

/// As `of_one_secret`, of the fleet.
pub(super) fn of_fleet(sandbox: &Sandbox, settings: &ServeSettings, function: &str) -> String {
    let (aws, doppler) = (sandbox.aws_url(), sandbox.doppler_url());
    let (document, projects) = (fleet::DOCUMENT, fleet::PROJECTS.join(", "));
    let around = (
        format!("document {document}"),
        format!("projects {projects}"),
    );
    let services = services(sandbox, function, (&around.0, &around.1));
    let propagation = humantime::format_duration(settings.propagation);
    let [first, ..] = fleet::MEMBERS;
    let (secret, key_name) = (first.name, first.key_name);
    let project = first.project.unwrap_or_default();
    let exports = exports(&aws, secret);
    let every = humantime::format_duration(settings.reconcile_every);
    format!(
        "\
{services}
{exports}
To rotate one of the twelve secrets (the page rotates all, and lets some fail):
  aws secretsmanager rotate-secret --secret-id {secret}
Secrets Manager retries a failed rotation every 15 s.

EventBridge invokes the function to reconcile whenever AWSCURRENT moves, and every {every}.

To list the fleet, or to rotate all of it, with rotationctl (docs/rotationctl.md says how to get it):
  export ROTATION_FUNCTION={FUNCTION_NAME}
  rotationctl fleet list
  rotationctl fleet rotate --all

To see and to change the document, which a running function notices within a minute:
  aws secretsmanager get-secret-value --secret-id {document} \\
    --query SecretString --output text >fleet-1.json
  aws secretsmanager put-secret-value --secret-id {document} --secret-string file://fleet-1.json

To advance the clock of the services and the function by 25 h:
  curl -X POST '{aws}/_sandbox/clock?advance=25h'
A changed key takes effect after another {propagation} (simulated propagation).

To read a value in Doppler (after the first rotation):
  DOPPLER_TOKEN=$(aws secretsmanager get-secret-value --secret-id {TOKEN_SECRET} \\
    --query SecretString --output text) \\
    doppler secrets get {key_name} --plain --project {project} --config {CONFIG} \\
    --api-host {doppler}
"
    )
}

/// Lists the services. `around` is what there is in AWS and in Doppler.
fn services(sandbox: &Sandbox, function: &str, around: (&str, &str)) -> String {
    let (aws, gateway, doppler) = (
        sandbox.aws_url(),
        sandbox.gateway_url(),
        sandbox.doppler_url(),
    );
    let runtime = sandbox.runtime_api();
    let (in_aws, in_doppler) = around;
    format!(
        "\
The sandbox is up; Ctrl-C ends it. Everything is in memory.

  AWS services   {aws}    account {ACCOUNT}, {in_aws}
  gateway        {gateway}    an API that requires a key, stage {STAGE}
  Doppler        {doppler}    {in_doppler}, config {CONFIG}
  runtime API    {runtime}
  function       {function}
  page           {aws}/_sandbox/    watch and try all of it in a browser
"
    )
}

/// Says what to set in another shell.
fn exports(aws: &str, secret: &str) -> String {
    format!(
        "\
Run `make tools` once (1 min, 0.6 GB), then in another shell:
  export PATH=$PWD/target/tools/test/bin:$PATH
  export AWS_ENDPOINT_URL={aws} AWS_REGION={REGION} AWS_DEFAULT_REGION={REGION}
  export AWS_ACCESS_KEY_ID=sandbox AWS_SECRET_ACCESS_KEY=sandbox
For the commands of README.md and docs, also:
  . docs/rotation.sh && rotation_use rotation {secret}
"
    )
}
