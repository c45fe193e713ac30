//! The shapes of `CloudFormation` and `CloudWatch` Logs, judged from outside: words against moto.

use crate::doctor_elsewhere::{python, start_moto};
use crate::program::{Ended, bare, end, home};
use crate::support::TestEnvBuilder;
use serde_json::Value;
use tempfile::TempDir;

/// A stack with the outputs of the template and two parameters, and its log, in moto.
const DEPLOY: &str = r"
import boto3, json, time
template = {
    'AWSTemplateFormatVersion': '2010-09-09',
    'Parameters': {
        'GracePeriod': {'Type': 'String', 'Default': '24h', 'Description': 'How long.'},
        'LogLevel': {'Type': 'String', 'Default': 'INFO', 'AllowedValues': ['DEBUG', 'INFO']},
    },
    'Resources': {'Period': {'Type': 'AWS::SSM::Parameter', 'Properties': {
        'Type': 'String', 'Name': 'period', 'Value': {'Ref': 'GracePeriod'}}}},
    'Outputs': {
        'FunctionName': {'Value': 'partner'},
        'LogGroupName': {'Value': '/aws/lambda/partner'},
        'SecretArn': {'Value': 'shop/key'},
    },
}
# moto keeps a previous value only of a parameter that was given.
given = [{'ParameterKey': 'LogLevel', 'ParameterValue': 'INFO'}]
boto3.client('cloudformation').create_stack(
    StackName='partner-stack', TemplateBody=json.dumps(template), Parameters=given)
boto3.client('secretsmanager').create_secret(Name='shop/key')
logs = boto3.client('logs')
group = {'logGroupName': '/aws/lambda/partner', 'logStreamName': 'one'}
logs.create_log_group(logGroupName=group['logGroupName'])
logs.create_log_stream(**group)
span = {'step': 'setSecret', 'secret': 'shop/key'}
lines = [
    {'level': 'INFO', 'message': 'created API key a1', 'action': 'CreateApiKey', 'key_id': 'a1', 'span': span},
    {'level': 'ERROR', 'message': 'ran out of time', 'error_type': 'DeadlineExceeded', 'span': span},
]
logs.put_log_events(**group, logEvents=[
    {'timestamp': int(time.time() * 1000), 'message': json.dumps(line)} for line in lines])
";

async fn run(folder: &TempDir, url: &str, arguments: &[&str]) -> Ended {
    let mut command = bare(folder, arguments);
    command
        .env("AWS_ENDPOINT_URL", url)
        .env("AWS_REGION", sandbox::REGION)
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("ROTATION_STACK", "partner-stack");
    end(command, None).await
}

/// moto's replies are read as the sandbox's are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_read_replies_of_moto() {
    let env = TestEnvBuilder::plain().start().await;
    let folder = home();
    let (_moto, url) = start_moto(&folder).await;
    python(&env, DEPLOY, &[], &url).await;
    let events = run(&folder, &url, &["events", "--json"]).await.with(0);
    let lines = events.stdout.lines().map(serde_json::from_str::<Value>);
    let lines: Vec<_> = lines.map(|line| line.expect("it is JSON")).collect();
    let kinds: Vec<_> = lines.iter().map(|line| line["kind"].as_str()).collect();
    assert_eq!(kinds, [Some("change"), Some("error")], "{events:#?}");
    let why = run(&folder, &url, &["why"]).await.with(0);
    why.says([
        "DeadlineExceeded in setSecret, once",
        "no rotation is pending",
    ]);
    let config = run(&folder, &url, &["config", "--json"])
        .await
        .with(0)
        .json();
    assert_eq!(config["parameters"][0]["value"], "24h", "{config:#}");
    assert_eq!(config["parameters"][1]["default"], "INFO", "{config:#}");
    let change = ["config", "GracePeriod=48h", "--yes"];
    run(&folder, &url, &change).await.with(0);
    let shown = run(&folder, &url, &["config", "GracePeriod"]).await.with(0);
    assert!(shown.stdout.starts_with("48h\n"), "{shown:#?}");
    let missing = ["config", "--stack", "missing"];
    let missing = run(&folder, &url, &missing).await.with(1);
    missing.warns([
        "cloudformation:DescribeStacks",
        "does not exist",
        "check --stack",
    ]);
}
