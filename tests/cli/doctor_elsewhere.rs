//! The shapes of the services, judged from outside: `doctor` against moto, and the AWS CLI against
//! what the sandbox serves for `doctor`.

use std::process::Stdio;

use crate::account::{by_name, healthy};
use crate::program::{end, home, program};
use crate::support::{TestEnvBuilder, tool};
use sandbox::{FUNCTION_ARN, ROLE_ARN};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

/// What the template deploys, in moto. It knows no simulator of IAM, and runs no function.
const DEPLOY: &str = r#"
role=$(aws iam create-role --role-name rotation --query Role.Arn --output text --assume-role-policy-document \
  '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}]}')
python3 -c 'import zipfile; zipfile.ZipFile("code.zip", "w").writestr("bootstrap", "")'
api=$(aws apigateway create-rest-api --name shop --query id --output text)
root=$(aws apigateway get-resources --rest-api-id "$api" --query 'items[0].id' --output text)
aws apigateway put-method --rest-api-id "$api" --resource-id "$root" --http-method GET --authorization-type NONE --api-key-required
aws apigateway put-integration --rest-api-id "$api" --resource-id "$root" --http-method GET --type MOCK
aws apigateway create-deployment --rest-api-id "$api" --stage-name prod
plan=$(aws apigateway create-usage-plan --name partners --api-stages "apiId=$api,stage=prod" --query id --output text)
secret=$(aws secretsmanager create-secret --name shop/key --query ARN --output text)
function=$(aws lambda create-function --function-name rotation --runtime provided.al2023 --role "$role" --handler bootstrap \
  --timeout 300 --zip-file fileb://code.zip --query FunctionArn --output text \
  --environment "Variables={SECRET_ID=$secret,USAGE_PLAN_IDS=$plan}")
aws lambda put-function-concurrency --function-name rotation --reserved-concurrent-executions 5
aws lambda add-permission --function-name rotation --statement-id secrets --action lambda:InvokeFunction \
  --principal secretsmanager.amazonaws.com --source-arn "$secret"
rule() {
  arn=$(aws events put-rule --name "$1" "$2" "$3" --query RuleArn --output text)
  aws events put-targets --rule "$1" --targets "Id=1,Arn=$function"
  aws lambda add-permission --function-name rotation --statement-id "$1" --action lambda:InvokeFunction \
    --principal events.amazonaws.com --source-arn "$arn"
}
rule rotation-schedule --schedule-expression 'rate(1 hour)'
rule rotation-label --event-pattern '{"detail-type":["Secret Label Updated"]}'
rule rotation-rotation-failed --event-pattern '{"detail":{"eventName":["RotationFailed"]}}'
topic=$(aws sns create-topic --name on-call --query TopicArn --output text)
aws sns subscribe --topic-arn "$topic" --protocol https --notification-endpoint https://oncall.example.com
aws s3 mb s3://trail
aws cloudtrail create-trail --name management --s3-bucket-name trail --is-multi-region-trail
aws cloudtrail start-logging --name management
"#;

/// moto's replies are read as the sandbox's are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_reads_replies_of_moto() {
    let env = TestEnvBuilder::plain().start().await;
    let folder = home();
    let mut server = Command::new(tool("moto_server"));
    server
        .args(["--port", "0"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut server = server.spawn().expect("moto is installed");
    let mut lines = BufReader::new(server.stderr.take().expect("it is piped")).lines();
    let url = loop {
        let line = lines
            .next_line()
            .await
            .expect("it is text")
            .expect("it starts");
        if let Some((_, url)) = line.split_once("Running on ") {
            break url.trim().to_owned();
        }
    };
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let mut deploy = env.bash(DEPLOY);
    deploy
        .env("AWS_ENDPOINT_URL", &url)
        .current_dir(folder.path());
    let deployed = deploy.output().await.expect("bash runs");
    let errors = String::from_utf8_lossy(&deployed.stderr);
    assert!(deployed.status.success(), "{errors}");
    let mut doctor = program(&env, &folder, &["doctor", "--json"]);
    doctor.env("AWS_ENDPOINT_URL", &url);
    let ended = end(doctor, None).await;
    let found = by_name(&ended);
    for name in [
        "account.identity",
        "account.clock",
        "function.exists",
        "function.state",
        "function.timeout",
        "function.settings",
        "function.concurrency",
        "function.permission",
        "secret.exists",
        "gateway.plans",
        "gateway.stages",
        "watch.rules",
        "watch.trail",
        "doctor.leftovers",
    ] {
        assert_eq!(found[name]["result"], "ok", "{name}: {ended:#?}");
    }
    assert_eq!(found["function.concurrency"]["found"], "5 reserved");
    // No alarms were created.
    let alarms = found["watch.alarms"]["found"].as_str().unwrap_or_default();
    assert!(alarms.starts_with("missing: function-errors"), "{ended:#?}");
}

/// The AWS CLI reads what the sandbox serves for `doctor`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aws_cli_reads_account_of_sandbox() {
    let env = healthy(TestEnvBuilder::plain()).await;
    env.sandbox
        .change_account(|account| account.role_trusts_operator = true);
    let read = async |line: &str| -> Value {
        let printed = env.shell(&format!("{line} --output json")).await;
        serde_json::from_str(&printed).unwrap_or_else(|error| panic!("{line}: {error}: {printed}"))
    };
    let arn = "arn:aws:apigateway:us-east-1::/apikeys/a1b2c3d4e5";
    let key = "aws:ResourceTag/rotation:function";
    let simulated = read(&format!(
        "aws iam simulate-principal-policy --policy-source-arn {ROLE_ARN} --action-names apigateway:PATCH \
         apigateway:PUT --resource-arns {arn} \
         --context-entries ContextKeyName={key},ContextKeyValues=rotation,ContextKeyType=string"
    ))
    .await;
    let results = &simulated["EvaluationResults"];
    assert_eq!(results[0]["EvalDecision"], "allowed", "{simulated}");
    assert_eq!(results[1]["EvalDecision"], "implicitDeny", "{simulated}");
    let specific = &results[0]["ResourceSpecificResults"][0];
    assert_eq!(specific["EvalResourceName"], arn, "{simulated}");
    let session = read(&format!(
        "aws sts assume-role --role-arn {ROLE_ARN} --role-session-name test"
    ))
    .await;
    assert!(session["Credentials"]["SessionToken"].is_string());
    assert_eq!(
        read("aws sts get-caller-identity").await["Arn"],
        sandbox::OPERATOR_ARN
    );
    let topic = crate::account::TOPIC;
    let attributes = read(&format!("aws sns get-topic-attributes --topic-arn {topic}")).await;
    assert_eq!(attributes["Attributes"]["SubscriptionsConfirmed"], "1");
    let subscriptions = read(&format!(
        "aws sns list-subscriptions-by-topic --topic-arn {topic}"
    ))
    .await;
    assert_eq!(subscriptions["Subscriptions"][0]["Protocol"], "email");
    let trails = read("aws cloudtrail describe-trails").await;
    assert_eq!(trails["trailList"][0]["IsMultiRegionTrail"], true);
    assert_eq!(
        read("aws cloudtrail get-trail-status --name management").await["IsLogging"],
        true
    );
    let rules = read(&format!(
        "aws events list-rule-names-by-target --target-arn {FUNCTION_ARN}"
    ))
    .await;
    assert_eq!(rules["RuleNames"].as_array().map(Vec::len), Some(3));
    assert_eq!(
        read("aws events describe-rule --name rotation-rotation-failed").await["State"],
        "ENABLED"
    );
    let policy = read("aws lambda get-policy --function-name rotation").await;
    assert!(
        policy["Policy"]
            .as_str()
            .is_some_and(|policy| policy.contains("SecretsManagerMayInvoke"))
    );
    let refused = env
        .bash("aws sns get-topic-attributes --topic-arn arn:aws:sns:us-east-1:123456789012:nosuch");
    let refused = { refused }.output().await.expect("bash runs");
    let refused = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.contains("(NotFound)"), "{refused}");
}
