//! A minimal rotation function after AWS's template. The secret's value is a random text.
//!
//! The sandbox's own tests run it. The variable `BEHAVIOUR` makes it fail: `fail:<step>`,
//! `exit:<step>` or `hang:<step>`.

use std::env;

use anyhow::{Context as _, bail};
use http::Request;
use sandbox::http_client::send;
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let runtime = format!(
        "http://{}/2018-06-01/runtime",
        env::var("AWS_LAMBDA_RUNTIME_API")?
    );
    let behaviour = env::var("BEHAVIOUR").unwrap_or_default();
    if behaviour == "init" {
        let report = json!({ "errorType": "BadSettings", "errorMessage": "SECRET_ID is not set" });
        send(Request::post(format!("{runtime}/init/error")).body(report.to_string())?).await?;
        bail!("no settings");
    }
    loop {
        let next = send(Request::get(format!("{runtime}/invocation/next")).body("")?).await?;
        let id = next.headers()["lambda-runtime-aws-request-id"]
            .to_str()?
            .to_owned();
        let event: Value = serde_json::from_slice(next.body())?;
        let step = event["Step"].as_str().unwrap_or_default();
        println!(
            "{}",
            json!({ "level": "INFO", "message": format!("began {step}") })
        );
        let outcome = match behaviour.split_once(':') {
            Some((how, which)) if which == step => misbehave(how).await,
            _ => perform(step, &event).await,
        };
        let (path, body) = match outcome {
            Ok(output) => ("response", output),
            Err(error) => (
                "error",
                json!({ "errorType": "StepFailed", "errorMessage": format!("{error:#}") }),
            ),
        };
        send(Request::post(format!("{runtime}/invocation/{id}/{path}")).body(body.to_string())?)
            .await?;
    }
}

async fn misbehave(how: &str) -> anyhow::Result<Value> {
    match how {
        "exit" => std::process::exit(3),
        "hang" => std::future::pending().await,
        _ => bail!("BEHAVIOUR requests a failure"),
    }
}

async fn perform(step: &str, event: &Value) -> anyhow::Result<Value> {
    let secret = &event["SecretId"];
    let token = event["ClientRequestToken"].as_str().unwrap_or_default();
    match step {
        "createSecret" => {
            let value = format!("value-{}", std::process::id());
            call(
                "PutSecretValue",
                &json!({
                    "SecretId": secret,
                    "ClientRequestToken": token,
                    "SecretString": value,
                    "VersionStages": ["AWSPENDING"],
                    "RotationToken": event["RotationToken"],
                }),
            )
            .await?;
        }
        "setSecret" => {}
        "testSecret" => {
            let wanted =
                json!({ "SecretId": secret, "VersionId": token, "VersionStage": "AWSPENDING" });
            call("GetSecretValue", &wanted).await?;
        }
        "finishSecret" => {
            let description = call("DescribeSecret", &json!({ "SecretId": secret })).await?;
            let versions = description["VersionIdsToStages"]
                .as_object()
                .context("no versions")?;
            let has = |labels: &Value, label: &str| {
                labels
                    .as_array()
                    .is_some_and(|labels| labels.contains(&json!(label)))
            };
            let current = versions
                .iter()
                .find(|(_, labels)| has(labels, "AWSCURRENT"))
                .map(|(id, _)| id);
            let input = json!({
                "SecretId": secret,
                "VersionStage": "AWSCURRENT",
                "MoveToVersionId": token,
                "RemoveFromVersionId": current,
            });
            call("UpdateSecretVersionStage", &input).await?;
        }
        _ => return Ok(json!({ "echo": event })),
    }
    Ok(Value::Null)
}

async fn call(operation: &str, input: &Value) -> anyhow::Result<Value> {
    let request = Request::post(env::var("AWS_ENDPOINT_URL")?)
        .header("x-amz-target", format!("secretsmanager.{operation}"))
        .header("authorization", "AWS4-HMAC-SHA256 Credential=sandbox");
    let response = send(request.body(input.to_string())?).await?;
    let output: Value = serde_json::from_slice(response.body())?;
    if !response.status().is_success() {
        bail!("{operation}: {} {}", output["__type"], output["message"]);
    }
    Ok(output)
}
