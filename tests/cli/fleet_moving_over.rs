//! `fleet import` and `fleet export`: from stacks to a fleet, and back.

use std::collections::BTreeMap;

use crate::fleet_account::{DOCUMENT, Fleet, MORE, SECOND, target};
use crate::program::{Ended, bare, end, home};
use crate::support::{PROJECT, SECRET};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// The parameters and outputs of stacks, by name.
pub(crate) type Stacks = BTreeMap<
    &'static str,
    (
        Vec<(&'static str, &'static str)>,
        Vec<(&'static str, &'static str)>,
    ),
>;

/// Returns the members of a list as `CloudFormation` writes them.
fn xml(pairs: &[(&str, &str)], kind: &str) -> String {
    let members = pairs.iter().map(|(name, value)| {
        format!("<member><{kind}Key>{name}</{kind}Key><{kind}Value>{value}</{kind}Value></member>")
    });
    members.collect()
}

/// Serves `DescribeStacks` of `CloudFormation`, which answers one stack (DOC, API reference), for as
/// long as the test runs. Returns the URL.
pub(crate) async fn cloud_formation(stacks: Stacks) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it listens"));
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = Vec::new();
            // The form is short, and `StackName` is its last field.
            while !String::from_utf8_lossy(&request).contains("StackName=") {
                if connection.read_buf(&mut request).await.unwrap_or_default() == 0 {
                    break;
                }
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            assert!(
                request.contains("Action=DescribeStacks&Version=2010-05-15"),
                "{request}"
            );
            let name = request.rsplit("StackName=").next().unwrap_or_default();
            let (status, body) = match stacks.get(name) {
                Some((parameters, outputs)) => (
                    "200 OK",
                    format!(
                        "<DescribeStacksResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><DescribeStacksResult><Stacks><member><StackName>{name}</StackName><Parameters>{}</Parameters><Outputs>{}</Outputs></member></Stacks></DescribeStacksResult></DescribeStacksResponse>",
                        xml(parameters, "Parameter"),
                        xml(outputs, "Output"),
                    ),
                ),
                None => (
                    "400 Bad Request",
                    format!(
                        "<ErrorResponse xmlns=\"http://cloudformation.amazonaws.com/doc/2010-05-15/\"><Error><Type>Sender</Type><Code>ValidationError</Code><Message>Stack with id {name} does not exist</Message></Error></ErrorResponse>",
                    ),
                ),
            };
            let length = body.len();
            let reply = format!(
                "HTTP/1.1 {status}\r\ncontent-type: text/xml\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            );
            connection.write_all(reply.as_bytes()).await.ok();
        }
    });
    url
}

pub(crate) fn stacks() -> Stacks {
    BTreeMap::from([
        (
            "partner-a",
            (
                vec![
                    ("SecretName", "shop/partner-a"),
                    ("UsagePlanIds", "a1b2c3,d4e5f6"),
                    ("ProbeUrl", ""),
                    (
                        "DopplerTargets",
                        "shop/prd/A_KEY,shop/production/prd_eu/A_KEY",
                    ),
                    ("GracePeriod", "48h"),
                    ("PropagationDelay", "2m"),
                    ("ScheduleExpression", "rate(10 days)"),
                    ("KmsKeyArn", "arn:aws:kms:us-east-1:123456789012:key/k"),
                    (
                        "DopplerTokenSecretArn",
                        "arn:aws:secretsmanager:us-east-1:123456789012:secret:token-AbCdEf",
                    ),
                ],
                vec![
                    (
                        "SecretArn",
                        "arn:aws:secretsmanager:us-east-1:123456789012:secret:shop/partner-a-AbCdEf",
                    ),
                    ("FunctionName", "partner-a"),
                ],
            ),
        ),
        (
            "partner-b",
            (
                vec![
                    (
                        "ExistingSecretArn",
                        "arn:aws:secretsmanager:us-east-1:123456789012:secret:shop/partner-b-AbCdEf",
                    ),
                    (
                        "ProbeUrl",
                        "https://a1b2.execute-api.us-east-1.amazonaws.com/prod/health",
                    ),
                    ("StageKeys", "a1b2/prod"),
                    ("GracePeriod", "24h"),
                ],
                vec![(
                    "SecretArn",
                    "arn:aws:secretsmanager:us-east-1:123456789012:secret:shop/partner-b-AbCdEf",
                )],
            ),
        ),
        ("network", (vec![], vec![("VpcId", "vpc-1")])),
    ])
}

async fn import(arguments: &[&str]) -> Ended {
    import_of(stacks(), arguments).await
}

async fn import_of(stacks: Stacks, arguments: &[&str]) -> Ended {
    let home = home();
    let mut command = bare(&home, &[&["fleet", "import"], arguments].concat());
    command
        .env(
            "AWS_ENDPOINT_URL_CLOUDFORMATION",
            cloud_formation(stacks).await,
        )
        .env("AWS_REGION", sandbox::REGION)
        .env("AWS_ACCESS_KEY_ID", "sandbox")
        .env("AWS_SECRET_ACCESS_KEY", "sandbox")
        .env("ROTATION_FUNCTION", "api-keys");
    end(command, None).await
}

/// A fleet has one login to Doppler: that of the first stack, also by identity. Others are listed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn import_carries_identity_and_lists_differences() {
    let mut stacks = stacks();
    let identity = "0b1f0a6e-58c5-4b1c-9f0e-2d1a7c3e9b44";
    let (parameters, _) = stacks.get_mut("partner-b").expect("it is there");
    parameters.push(("DopplerIdentity", identity));
    parameters.push(("DopplerAudience", "doppler/partner-b"));
    let both = ["partner-b", "partner-a"];
    let ended = import_of(stacks.clone(), &both).await.with(0);
    let ended = ended.warns([
        &format!("DopplerIdentity={identity} DopplerAudience=doppler/partner-b"),
        "partner-a: DopplerTokenSecretArn=arn:aws:secretsmanager:us-east-1:123456789012:secret:token-AbCdEf: a fleet has one login",
        "accept the role of the fleet: docs/doppler-identity.md",
    ]);
    assert_eq!(ended.stderr.matches("DopplerTokenSecretArn=").count(), 1);
    let both = ["partner-a", "partner-b"];
    let ended = import_of(stacks, &both).await.with(0);
    let ended = ended.warns([
        &format!("partner-b: DopplerIdentity={identity}: a fleet has one login"),
        "partner-b: DopplerAudience=doppler/partner-b: a fleet has one login",
        " DopplerTokenSecretArn=",
    ]);
    assert!(!ended.stderr.contains("accept the role"), "{ended:#?}");
}

/// The login of a keyless fleet is exported too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn export_carries_identity() {
    let fleet = Fleet::start().await;
    let identity = "0b1f0a6e-58c5-4b1c-9f0e-2d1a7c3e9b44";
    let documents = format!("{DOCUMENT},{MORE}");
    let allowed = format!("{PROJECT}/*");
    let login = [
        ("SECRET_ID", ""),
        ("DOPPLER_TARGETS", ""),
        ("FLEET_CONFIG_SECRET_IDS", &documents),
        ("DOPPLER_ALLOWED", &allowed),
        ("DOPPLER_TOKEN_SECRET_ID", ""),
        ("DOPPLER_IDENTITY", identity),
        ("DOPPLER_AUDIENCE", "doppler/fleet"),
    ];
    fleet.env.redeploy_unrestricted(&login).await;
    let ended = fleet.run_unchanged(&["export", SECOND]).await.with(0);
    ended
        .says([
            &format!("DopplerIdentity={identity}"),
            "DopplerAudience=doppler/fleet",
        ])
        .warns(["accept the role of the stack: docs/doppler-identity.md"]);
}

/// The document has the settings of each stack, and what it cannot have is listed with the steps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn import_makes_document_and_steps() {
    let ended = import(&["partner-a", "partner-b"]).await.with(0);
    let document: Value = serde_json::from_str(&ended.stdout).expect("only the document");
    let expected = json!({ "members": {
        "shop/partner-a": {
            "usagePlanIds": ["a1b2c3", "d4e5f6"], "gracePeriod": "48h", "propagationDelay": "2m",
            "dopplerTargets": ["shop/prd/A_KEY", "shop/production/prd_eu/A_KEY"],
        },
        "shop/partner-b": {
            "stageKeys": ["a1b2/prod"], "gracePeriod": "24h",
            "probeUrl": "https://a1b2.execute-api.us-east-1.amazonaws.com/prod/health",
        },
    }});
    assert_eq!(document, expected);
    let ended = ended.warns([
        "partner-a: KmsKeyArn=arn:aws:kms:us-east-1:123456789012:key/k: the secret keeps its key",
        "DopplerAllowed=shop/prd,shop/prd_eu",
        "ProbeAllowed=a1b2.execute-api.us-east-1.amazonaws.com",
        "FleetUsagePlanIds=a1b2c3,d4e5f6",
        "delete-stack --stack-name partner-a`",
        "rotationctl fleet add shop/partner-a --function api-keys --schedule 'rate(10 days)'",
        "with F=api-keys",
    ]);
    // The rotation is set after CloudFormation has cancelled it.
    let place = |part: &str| ended.stderr.find(part).expect(part);
    assert!(place("delete-stack --stack-name partner-a") < place("fleet add shop/partner-a"));
    assert!(place("fleet add shop/partner-a") < place("Hand the keys over"));
}

/// A stack that is not one of this function, or does not exist, is named; two stacks with one target
/// give a faulty document.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn import_refuses_other_stacks() {
    let ended = import(&["network"]).await.with(1);
    ended.warns(["network is not a stack of this function with one secret"]);
    let ended = import(&["missing"]).await.with(1);
    ended.warns([
        "cloudformation:DescribeStacks: ValidationError: Stack with id missing does not exist",
    ]);
    let ended = import(&["partner-a", "partner-a"]).await.with(1);
    ended.warns(["has \"shop/partner-a\" twice"]);
}

/// A file is written, but never over another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn import_writes_new_file_only() {
    let folder = home();
    let path = folder.path().join("fleet.json");
    let path = path.to_str().expect("it is Unicode");
    let ended = import(&["partner-b", "--output", path]).await.with(0);
    assert_eq!(ended.stdout, "");
    let written = std::fs::read_to_string(path).expect("it was written");
    assert!(written.contains("shop/partner-b"), "{written}");
    let check = ["fleet", "check", "--offline", path];
    end(bare(&folder, &check), None).await.with(0);
    let again = import(&["partner-a", "--output", path]).await.with(2);
    again.warns(["a file that does not exist yet"]);
    assert_eq!(std::fs::read_to_string(path).expect("it is there"), written);
}

/// A member is exported with the settings that apply to it, also those of the defaults.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn export_shows_parameters_of_member() {
    let fleet = Fleet::start().await;
    let ended = fleet
        .run_unchanged(&["export", SECOND, "--json"])
        .await
        .with(0);
    let document = ended.json();
    let parameters = document["parameters"].as_array().expect("a list");
    let parameter = |name: &str| {
        let mut parameters = parameters.iter();
        parameters
            .find(|pair| pair[0] == name)
            .map(|pair| pair[1].clone())
    };
    let arn = fleet.env.sandbox.secret(SECOND).arn;
    assert_eq!(parameter("ExistingSecretArn"), Some(json!(arn)));
    assert_eq!(parameter("UsagePlanIds"), Some(json!(fleet.plan)));
    assert_eq!(
        parameter("DopplerTargets"),
        Some(json!(target("SECOND_KEY")))
    );
    assert_eq!(parameter("GracePeriod"), Some(json!("2h")));
    assert_eq!(parameter("RotateImmediately"), Some(json!("false")));
    let ended = fleet.run_unchanged(&["export", SECRET]).await.with(0);
    ended
        .says(["sam deploy", "ExistingSecretArn="])
        .warns(["fleet remove demo/partner-api-key --keep-keys"]);
    let unknown = fleet.run_unchanged(&["export", "fleet/none"]).await;
    unknown
        .with(1)
        .warns(["no document has a member of this name"]);
}
