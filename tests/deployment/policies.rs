//! The page for auditors: its policies are evaluated together with the template's role, and its tests exist.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::markdown::{page, repository};
use crate::support::role::{role_in, stack};
use sandbox::iam::{Check, Policy, Role};
use sandbox::{ACCOUNT, REGION};
use serde_json::{Value, json};

const NAME: &str = "partner-api-key";
const SECRET: &str =
    "arn:aws:secretsmanager:us-east-1:123456789012:secret:shop/partner-api-key-AbCdEf";
const KEY: &str = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-4333-8444-555555555555";
const OWN_ROLE: &str = "arn:aws:iam::123456789012:role/partner-api-key-Role-1A2B3C";
const STRANGER: &str = "arn:aws:iam::123456789012:role/developer";

/// Returns the policies of the page, by heading, for the Region of the tests.
fn policies() -> BTreeMap<String, Value> {
    let blocks = page("auditors").blocks().into_iter();
    let policies = blocks
        .filter(|block| block.language == "json")
        .map(|block| {
            let text = block.text.replace("eu-west-1", REGION);
            let policy = serde_json::from_str(&text);
            (block.heading, policy.expect("it is JSON"))
        });
    policies.collect()
}

/// Returns what is left of all rights under a policy that only denies.
fn all_but(policy: &Value) -> Role {
    let mut policy = policy.clone();
    let statements = policy["Statement"].as_array_mut().expect("a list");
    for statement in statements.iter_mut() {
        let fields = statement.as_object_mut().expect("a statement");
        // A policy of a resource or a key names principals; both are for every one of the account.
        if let Some(principal) = fields.remove("Principal") {
            let root = json!({ "AWS": format!("arn:aws:iam::{ACCOUNT}:root") });
            assert!(principal == "*" || principal == root, "{principal}");
        }
    }
    statements.push(json!({ "Sid": "Rest", "Effect": "Allow", "Action": "*", "Resource": "*" }));
    Role::new(Policy::read([&policy]).unwrap_or_else(|error| panic!("{error:#}")))
}

/// Returns the role of the function.
fn function() -> Role {
    let parameters = [
        ("ExistingSecretArn", SECRET),
        ("KmsKeyArn", KEY),
        ("UsagePlanIds", "a1b2c3"),
    ];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
    role_in(&stack(NAME, parameters.into(), BTreeMap::new()))
}

/// Returns the checks of the function's calls, by this role, on what these policies protect.
fn needed(role: &str) -> Vec<Check> {
    let secret = [
        "DescribeSecret",
        "GetSecretValue",
        "PutSecretValue",
        "UpdateSecretVersionStage",
    ];
    let secret = secret.map(|action| Check::new(format!("secretsmanager:{action}"), SECRET));
    let via = format!("secretsmanager.{REGION}.amazonaws.com");
    let key = ["Decrypt", "GenerateDataKey"].map(|action| {
        Check::new(format!("kms:{action}"), KEY)
            .with("kms:ViaService", via.as_str())
            .with("kms:EncryptionContext:SecretARN", SECRET)
    });
    let own = ["PATCH", "DELETE"].map(|action| {
        let key = format!("arn:aws:apigateway:{REGION}::/apikeys/a1b2c3d4e5");
        Check::new(format!("apigateway:{action}"), key)
            .with("aws:ResourceTag/rotation:function", NAME)
    });
    let by_function = |check: Check| check.with("aws:PrincipalArn", role);
    let checks = secret.into_iter().chain(key).chain(own);
    checks.map(by_function).collect()
}

#[test]
fn policies_leave_function_what_it_needs() {
    let (policies, function) = (policies(), function());
    assert_eq!(policies.len(), 3, "{:?}", policies.keys());
    for check in needed(OWN_ROLE) {
        assert!(function.allows(&check), "{check}");
        for (heading, policy) in &policies {
            assert!(all_but(policy).allows(&check), "{heading}: {check}");
        }
    }
}

/// The name that a page recommends for the role is one that these policies and those of `doctor` match.
#[test]
fn recommended_role_name_matches_policies() {
    let identity = &page("doppler-identity").text;
    let (_, rest) = identity
        .split_once(" RoleName=")
        .expect("the page names it");
    let name = rest.split_whitespace().next().unwrap_or_default();
    let role = format!("arn:aws:iam::{ACCOUNT}:role/{name}");
    assert!(
        identity.contains(&format!("values = [\"{role}\"]")),
        "{role}"
    );
    for (heading, policy) in policies() {
        for check in needed(&role) {
            assert!(all_but(&policy).allows(&check), "{heading}: {check}");
        }
    }
    let change = Check::new("iam:PutRolePolicy", &role).with("aws:PrincipalArn", STRANGER);
    assert!(!all_but(&policies()["Service control policy"]).allows(&change));
    let blocks = page("doctor").blocks();
    for action in ["iam:SimulatePrincipalPolicy", "sts:AssumeRole"] {
        let block = blocks
            .iter()
            .find(|block| block.text.contains(action) && block.language == "json");
        let policy: Value = serde_json::from_str(&block.expect(action).text).expect("it is JSON");
        let policy = Policy::read([&policy]).unwrap_or_else(|error| panic!("{error:#}"));
        assert!(
            Role::new(policy).allows(&Check::new(action, &role)),
            "{action}"
        );
    }
}

/// Each policy denies what it is for to others, and leaves consumers and operators what they need.
#[test]
fn policies_deny_others_what_they_say() {
    let policies = policies();
    let operator = "arn:aws:iam::123456789012:role/break-glass";
    let consumer = "arn:aws:iam::123456789012:role/consumer-shop";
    let of_secret = |action: &str| Check::new(format!("secretsmanager:{action}"), SECRET);
    let key = format!("arn:aws:apigateway:{REGION}::/apikeys/a1b2c3d4e5");
    let managed =
        Check::new("apigateway:PATCH", &*key).with("aws:ResourceTag/rotation:function", NAME);
    let unmanaged = Check::new("apigateway:PATCH", &*key);
    let decrypt = Check::new("kms:Decrypt", KEY);
    let through = format!("secretsmanager.{REGION}.amazonaws.com");
    for (heading, check, who, allowed) in [
        ("Secret", of_secret("PutSecretValue"), STRANGER, false),
        (
            "Secret",
            of_secret("UpdateSecretVersionStage"),
            STRANGER,
            false,
        ),
        (
            "Secret",
            of_secret("UpdateSecretVersionStage"),
            operator,
            true,
        ),
        ("Secret", of_secret("GetSecretValue"), STRANGER, false),
        ("Secret", of_secret("GetSecretValue"), consumer, true),
        ("Secret", of_secret("PutSecretValue"), consumer, false),
        ("Secret", of_secret("RotateSecret"), STRANGER, true),
        ("Service control policy", managed.clone(), STRANGER, false),
        ("Service control policy", managed, operator, true),
        ("Service control policy", unmanaged, STRANGER, true),
        (
            "Service control policy",
            of_secret("CancelRotateSecret"),
            STRANGER,
            false,
        ),
        (
            "Service control policy",
            of_secret("DeleteSecret"),
            operator,
            true,
        ),
        ("KMS key", decrypt.clone(), STRANGER, false),
        (
            "KMS key",
            decrypt.with("kms:ViaService", through),
            STRANGER,
            true,
        ),
        (
            "KMS key",
            Check::new("kms:DescribeKey", KEY),
            STRANGER,
            true,
        ),
        (
            "KMS key",
            Check::new("kms:DisableKey", KEY),
            STRANGER,
            false,
        ),
        (
            "KMS key",
            Check::new("kms:ScheduleKeyDeletion", KEY),
            STRANGER,
            false,
        ),
        ("KMS key", Check::new("kms:DisableKey", KEY), operator, true),
    ] {
        let check = check.with("aws:PrincipalArn", who);
        let found = all_but(&policies[heading]).allows(&check);
        assert_eq!(found, allowed, "{heading}: {check} by {who}");
    }
}

/// What a stack consists of, and the rules on the bus of its notices, are the deployer's to change.
#[test]
fn deployer_alone_changes_what_a_stack_deploys() {
    let policies = policies();
    let deployer = "arn:aws:iam::123456789012:role/deployer";
    let (region, account) = (REGION, ACCOUNT);
    let function = |name: &str| format!("arn:aws:lambda:{region}:{account}:function:{name}");
    let stack = |name: &str| format!("arn:aws:cloudformation:{region}:{account}:stack/{name}/1a2b");
    let rule = |name: &str| format!("arn:aws:events:{region}:{account}:rule/{name}");
    let alarm = |name: &str| format!("arn:aws:cloudwatch:{region}:{account}:alarm:{name}");
    let other_role = format!("arn:aws:iam::{account}:role/shop");
    for (action, own, other) in [
        (
            "lambda:UpdateFunctionCode",
            function(NAME),
            function("shop"),
        ),
        (
            "lambda:UpdateFunctionConfiguration",
            function(NAME),
            function("shop"),
        ),
        ("cloudformation:UpdateStack", stack(NAME), stack("shop")),
        (
            "cloudformation:ExecuteChangeSet",
            stack(NAME),
            stack("shop"),
        ),
        ("iam:PutRolePolicy", OWN_ROLE.to_owned(), other_role.clone()),
        (
            "iam:AttachRolePolicy",
            OWN_ROLE.to_owned(),
            other_role.clone(),
        ),
        (
            "iam:UpdateAssumeRolePolicy",
            OWN_ROLE.to_owned(),
            other_role.clone(),
        ),
        ("events:PutRule", rule("notices/copy"), rule("shop/copy")),
        ("events:PutTargets", rule("notices/copy"), rule("copy")),
        (
            "events:RemoveTargets",
            rule("partner-api-key-notices"),
            rule("shop"),
        ),
        (
            "events:DisableRule",
            rule("partner-api-key-rotation-failed"),
            rule("shop"),
        ),
        (
            "events:DeleteRule",
            rule("partner-api-key-rotation-failed"),
            rule("shop"),
        ),
        (
            "cloudwatch:PutMetricAlarm",
            alarm("partner-api-key-keys-overdue"),
            alarm("shop"),
        ),
        (
            "cloudwatch:DisableAlarmActions",
            alarm("partner-api-key-keys-overdue"),
            alarm("shop"),
        ),
        (
            "cloudwatch:DeleteAlarms",
            alarm("partner-api-key-keys-overdue"),
            alarm("shop"),
        ),
    ] {
        for (resource, who, allowed) in [
            (&own, STRANGER, false),
            (&own, OWN_ROLE, false),
            (&own, deployer, true),
            (&other, STRANGER, true),
        ] {
            let check = Check::new(action, resource).with("aws:PrincipalArn", who);
            let found = all_but(&policies["Service control policy"]).allows(&check);
            assert_eq!(found, allowed, "{check} by {who}");
        }
    }
}

/// Returns the cells of the rows below a heading of a page.
fn rows(name: &str, heading: &str) -> Vec<Vec<String>> {
    let text = &page(name).text;
    let (_, section) = text.split_once(&format!("# {heading}\n")).expect(heading);
    let section = section.split("\n#").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| "));
    rows.skip(1)
        .map(|row| {
            row.trim_matches('|')
                .split(" | ")
                .map(|cell| cell.trim().to_owned())
                .collect()
        })
        .collect()
}

#[test]
fn every_threat_names_tests_that_exist() {
    let named = rows("auditors", "Threats and tests");
    let threats = rows("security", "Who can do what");
    let first = |rows: &[Vec<String>]| rows.iter().map(|row| row[0].clone()).collect::<Vec<_>>();
    assert_eq!(first(&named), first(&threats));
    for row in &named {
        if !row[1].starts_with('`') {
            // The reason why there is no test, and a page with what to look at.
            assert!(row[1].ends_with('.') && row[2].contains("]("), "{row:?}");
            continue;
        }
        let files: Vec<_> = row[2].split(", ").collect();
        let sources = files.iter().map(|file| {
            let path = Path::new("tests").join(file.trim_matches('`'));
            let source = std::fs::read_to_string(repository().join(path));
            source.unwrap_or_else(|error| panic!("{file}: {error}"))
        });
        let sources = sources.collect::<String>();
        for test in row[1].split(", ") {
            let function = format!("fn {}()", test.trim_matches('`'));
            assert!(sources.contains(&function), "{}: {test}", row[0]);
        }
    }
}
