//! The shapes of the services, judged from outside: `doctor` against moto, and botocore against
//! what the sandbox serves for `doctor`.

use std::process::Stdio;

use crate::account::{TOPIC, by_name, healthy};
use crate::program::{end, home, program};
use crate::support::{TestEnv, TestEnvBuilder, tool};
use sandbox::{FUNCTION_ARN, FUNCTION_ROLE_ARN};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// What the template deploys, in moto. It knows no simulator of IAM, and runs no function.
const DEPLOY: &str = r#"
import boto3, io, json, sys, zipfile
iam, gateway, aws, events, sns = (boto3.client(name) for name in ['iam', 'apigateway', 'lambda', 'events', 'sns'])
trust = {'Version': '2012-10-17', 'Statement': [
    {'Effect': 'Allow', 'Principal': {'Service': 'lambda.amazonaws.com'}, 'Action': 'sts:AssumeRole'}]}
role = iam.create_role(RoleName='rotation', AssumeRolePolicyDocument=json.dumps(trust))['Role']['Arn']
api = gateway.create_rest_api(name='shop')['id']
root = gateway.get_resources(restApiId=api)['items'][0]['id']
method = {'restApiId': api, 'resourceId': root, 'httpMethod': 'GET'}
gateway.put_method(**method, authorizationType='NONE', apiKeyRequired=True)
gateway.put_integration(**method, type='MOCK')
gateway.create_deployment(restApiId=api, stageName='prod')
plan = gateway.create_usage_plan(name='partners', apiStages=[{'apiId': api, 'stage': 'prod'}])['id']
secret = boto3.client('secretsmanager').create_secret(Name='shop/key')['ARN']
code = io.BytesIO()
zipfile.ZipFile(code, 'w').writestr('bootstrap', '')
function = aws.create_function(
    FunctionName='rotation', Runtime='provided.al2023', Role=role, Handler='bootstrap', Timeout=300,
    Code={'ZipFile': code.getvalue()}, Environment={'Variables': {'SECRET_ID': secret, 'USAGE_PLAN_IDS': plan}})
aws.put_function_concurrency(FunctionName='rotation', ReservedConcurrentExecutions=5)
def permit(sid, service, source):
    aws.add_permission(FunctionName='rotation', StatementId=sid, Action='lambda:InvokeFunction',
                       Principal=service, SourceArn=source)
permit('secrets', 'secretsmanager.amazonaws.com', secret)
for name, trigger in {
    'rotation-schedule': {'ScheduleExpression': 'rate(1 hour)'},
    'rotation-label': {'EventPattern': '{"detail-type": ["Secret Label Updated"]}'},
    'rotation-rotation-failed': {'EventPattern': '{"detail": {"eventName": ["RotationFailed"]}}'},
}.items():
    permit(name, 'events.amazonaws.com', events.put_rule(Name=name, **trigger)['RuleArn'])
    events.put_targets(Rule=name, Targets=[{'Id': '1', 'Arn': function['FunctionArn']}])
topic = sns.create_topic(Name='on-call')['TopicArn']
sns.subscribe(TopicArn=topic, Protocol='https', Endpoint='https://oncall.example.com')
boto3.client('cloudwatch').put_metric_alarm(
    AlarmName='rotation-function-errors', Namespace='AWS/Lambda', MetricName='Errors', Statistic='Sum', Period=60,
    EvaluationPeriods=1, Threshold=1, ComparisonOperator='GreaterThanThreshold', AlarmActions=[topic])
boto3.client('s3').create_bucket(Bucket='trail')
trails = boto3.client('cloudtrail')
trails.create_trail(Name='management', S3BucketName='trail', IsMultiRegionTrail=True)
trails.start_logging(Name='management')
"#;

/// Reads what the sandbox serves for `doctor`, and prints it as JSON.
const READ: &str = r"
import boto3, json, sys
role, function, topic, key = sys.argv[1:]
iam, sts, sns, trails, events = (boto3.client(name) for name in ['iam', 'sts', 'sns', 'cloudtrail', 'events'])
simulated = iam.simulate_principal_policy(
    PolicySourceArn=role, ActionNames=['apigateway:PATCH', 'apigateway:PUT'], ResourceArns=[key],
    ContextEntries=[{'ContextKeyName': 'aws:ResourceTag/rotation:function', 'ContextKeyType': 'string',
                     'ContextKeyValues': ['rotation']}])['EvaluationResults']
try:
    sns.get_topic_attributes(TopicArn=topic + 'x')
except sns.exceptions.NotFoundException as error:
    missing = error.response['Error']['Code']
print(json.dumps({
    'decisions': [result['EvalDecision'] for result in simulated],
    'resource': simulated[0]['ResourceSpecificResults'][0]['EvalResourceName'],
    'session': len(sts.assume_role(RoleArn=role, RoleSessionName='test')['Credentials']['SessionToken']) > 0,
    'caller': sts.get_caller_identity()['Arn'],
    'confirmed': sns.get_topic_attributes(TopicArn=topic)['Attributes']['SubscriptionsConfirmed'],
    'protocol': sns.list_subscriptions_by_topic(TopicArn=topic)['Subscriptions'][0]['Protocol'],
    'missing': missing,
    'multi': trails.describe_trails()['trailList'][0]['IsMultiRegionTrail'],
    'logs': trails.get_trail_status(Name='management')['IsLogging'],
    'rules': len(events.list_rule_names_by_target(TargetArn=function)['RuleNames']),
    'state': events.describe_rule(Name='rotation-rotation-failed')['State'],
    'policy': 'SecretsManagerMayInvoke' in boto3.client('lambda').get_policy(FunctionName='rotation')['Policy'],
}))
";

/// moto's replies are read as the sandbox's are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_reads_replies_of_moto() {
    let env = TestEnvBuilder::plain().start().await;
    let folder = home();
    let (_moto, url) = start_moto(&folder).await;
    python(&env, DEPLOY, &[], &url).await;
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
        "watch.topic",
        "watch.trail",
        "doctor.leftovers",
    ] {
        assert_eq!(found[name]["result"], "ok", "{name}: {ended:#?}");
    }
    assert_eq!(found["function.concurrency"]["found"], "5 reserved");
    // One alarm was created.
    let alarms = found["watch.alarms"]["found"].as_str().unwrap_or_default();
    assert!(
        alarms.starts_with("missing: function-throttled"),
        "{ended:#?}"
    );
}

/// botocore reads what the sandbox serves for `doctor`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn botocore_reads_account_of_sandbox() {
    let env = healthy(TestEnvBuilder::plain()).await;
    env.sandbox
        .change_account(|account| account.role_trusts_operator = true);
    let key = "arn:aws:apigateway:us-east-1::/apikeys/a1b2c3d4e5";
    let names = [FUNCTION_ROLE_ARN, FUNCTION_ARN, TOPIC, key];
    let printed = python(&env, READ, &names, &env.sandbox.aws_url()).await;
    let read: Value = serde_json::from_str(&printed).expect("it is JSON");
    let expected = json!({
        "decisions": ["allowed", "implicitDeny"], "resource": key, "session": true,
        "caller": sandbox::OPERATOR_ARN, "confirmed": "1", "protocol": "email", "missing": "NotFound",
        "multi": true, "logs": true, "rules": 3, "state": "ENABLED", "policy": true,
    });
    assert_eq!(read, expected);
}

/// Starts moto in this folder. Returns its process and its endpoint.
pub(crate) async fn start_moto(folder: &TempDir) -> (Child, String) {
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
    (server, url)
}

/// Runs a script with boto3 against this endpoint, and returns what it prints.
pub(crate) async fn python(env: &TestEnv, script: &str, arguments: &[&str], url: &str) -> String {
    let mut python = env.bash("exec python \"$@\"");
    python
        .args(["python", "-c", script])
        .args(arguments)
        .env("AWS_ENDPOINT_URL", url);
    let output = python.output().await.expect("python runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
