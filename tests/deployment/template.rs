//! What `template.yaml` creates, as `CloudFormation` does: the three ways to deploy it, what outlives the
//! stack, and that the pages have an entry for each alarm and error type.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::markdown::page;
use crate::support::role::TEMPLATE;
use api_key_rotation::config::Config;
use api_key_rotation::handler::event::Event;
use regex::Regex;
use sandbox::{ACCOUNT, REGION};
use serde_json::{Value, json};
use template::{Deployment, Stack};

const EXISTING: &str =
    "arn:aws:secretsmanager:us-east-1:123456789012:secret:demo/partner-api-key-AbCdEf";
const MADE: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:shop/key-GhIjKl";
const IDENTITY: &str = "0b1f0a6e-58c5-4b1c-9f0e-2d1a7c3e9b44";
const TOKEN: &str =
    "arn:aws:secretsmanager:us-east-1:123456789012:secret:demo/doppler-token-MnOpQr";
const KMS_KEY: &str = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const TOPIC: &str = "arn:aws:sns:us-east-1:123456789012:on-call";
const OWNERS: &str = "arn:aws:sns:us-east-1:123456789012:key-owners";
const PAGES: &str = "https://git.example.com/rotation/docs";

const CURRENT_VERSION_MOVED: &str = "RotationFunctionCurrentVersionMoved";
const ROTATION_FAILED: &str = "RotationFunctionRotationFailed";

const NEW: &[(&str, &str)] = &[("SecretName", "shop/key"), ("UsagePlanIds", "a1b2c3")];
const EXISTS: &[(&str, &str)] = &[("ExistingSecretArn", EXISTING)];
const FLEET: &[(&str, &str)] = &[("Fleet", "true")];

/// Returns the template with these parameters, or the message that refuses them.
fn deploy(parameters: &[(&str, &str)]) -> Result<Stack<'static>, String> {
    let stack = TEMPLATE.deploy(Deployment {
        stack: "rotation".to_owned(),
        region: REGION.to_owned(),
        account: ACCOUNT.to_owned(),
        parameters: parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        made: BTreeMap::from([("Secret".to_owned(), MADE.to_owned())]),
    });
    stack.map_err(|error| format!("{error:#}"))
}

fn stack(parameters: &[(&str, &str)]) -> Stack<'static> {
    deploy(parameters).unwrap_or_else(|error| panic!("{parameters:?}: {error}"))
}

fn resource(stack: &Stack<'_>, name: &str) -> Option<Value> {
    let resource = stack.resource(name);
    resource.unwrap_or_else(|error| panic!("{error:#}"))
}

fn properties(stack: &Stack<'_>, name: &str) -> Value {
    let resource = resource(stack, name);
    resource.unwrap_or_else(|| panic!("{name} is not created"))["Properties"].clone()
}

/// Returns the resources of a type that a stack creates, by their logical ids.
fn of_type(stack: &Stack<'_>, kind: &str) -> Vec<(String, Value)> {
    let names = TEMPLATE.section("Resources").iter();
    let names = names.filter(|(_, resource)| resource["Type"] == kind);
    names
        .filter_map(|(name, _)| Some((name.clone(), resource(stack, name)?["Properties"].clone())))
        .collect()
}

/// The template is deployed for one new secret, one existing secret or a fleet, and for nothing else.
#[test]
fn template_deploys_one_secret_or_fleet() {
    for one in [NEW, EXISTS, FLEET] {
        stack(one);
    }
    for wrong in [
        &[][..],
        &[NEW, EXISTS].concat(),
        &[NEW, FLEET].concat(),
        &[EXISTS, FLEET].concat(),
    ] {
        let error = deploy(wrong).expect_err("not one of three");
        assert!(error.contains("exactly one of"), "{wrong:?}: {error}");
    }
    for of_one_secret in [
        ("UsagePlanIds", "a1b2c3"),
        ("StageKeys", "a1b2c3/prod"),
        ("ProbeUrl", "https://example.com/"),
    ] {
        let error = deploy(&[FLEET, &[of_one_secret]].concat()).expect_err("of one secret");
        assert!(error.contains("apply to one secret"), "{error}");
    }
    let error = deploy(&NEW[..1]).expect_err("no plan for the key");
    assert!(error.contains("no API accepts its key"), "{error}");
    stack(&[NEW[0], ("AllowKeyWithoutPlan", "true")]);
    let mirror = [("DopplerTargets", "acme/prd/KEY")];
    let error = deploy(&[NEW, &mirror].concat()).expect_err("no token");
    assert!(error.contains("requires DopplerIdentity"), "{error}");
    let both = [
        ("DopplerIdentity", IDENTITY),
        ("DopplerTokenSecretArn", TOKEN),
    ];
    let error = deploy(&[NEW, &mirror, &both].concat()).expect_err("two ways");
    assert!(error.contains("and not both"), "{error}");
    let audience = [("DopplerAudience", "a"), ("DopplerTokenSecretArn", TOKEN)];
    let error = deploy(&[NEW, &mirror, &audience].concat()).expect_err("no identity");
    assert!(error.contains("no effect"), "{error}");
    let owners = [("NoticeTopicArn", OWNERS)];
    let error = deploy(&[NEW, &owners].concat()).expect_err("no bus");
    assert!(error.contains("requires EventBusName"), "{error}");
}

/// The function accepts the settings of every deployment and serves its secret.
#[test]
fn every_deployment_is_accepted_by_function() {
    let everything = [
        ("UsagePlanIds", "a1b2c3,d4e5f6"),
        ("StageKeys", "a1b2c3d4e5/prod"),
        ("ProbeUrl", "https://example.com/health"),
        ("DopplerTargets", "acme/prd/KEY"),
        ("DopplerAdoptTargets", "acme/prd/KEY"),
        ("DopplerTokenSecretArn", TOKEN),
        ("DopplerCreateMissing", "true"),
        ("AllowKeyWithoutPlan", "true"),
        ("PropagationDelay", "3m"),
        ("GracePeriod", "1d 12h"),
        ("HoldWhileUsed", "3d"),
        ("QuarantinePeriod", "14d"),
        ("EventBusName", "keys"),
        ("NoticeTopicArn", OWNERS),
        ("EndpointUrl", "https://example.com"),
        ("DocumentationUrl", PAGES),
    ];
    let shapes = [
        (NEW.to_vec(), Some(MADE)),
        (EXISTS.to_vec(), Some(EXISTING)),
        (FLEET.to_vec(), None),
        (DOCUMENTS.to_vec(), None),
        ([EXISTS, &everything].concat(), Some(EXISTING)),
    ];
    for (parameters, secret) in shapes {
        let function = properties(&stack(&parameters), "RotationFunction");
        let variables = &function["Environment"]["Variables"];
        let settings = Config::read(|name| variables[name].as_str().map(ToOwned::to_owned));
        let settings = settings.unwrap_or_else(|error| panic!("{parameters:?}: {error}"));
        let served = settings.secret_id.as_ref().map(ToString::to_string);
        assert_eq!(served.as_deref(), secret);
        if parameters.len() > 9 {
            assert_eq!(settings.secret.usage_plans.len(), 2);
            assert_eq!(settings.secret.targets.len(), 1);
            assert_eq!(variables["DOPPLER_ADOPT_TARGETS"], "acme/prd/KEY");
            assert_eq!(variables["ALLOW_KEY_WITHOUT_PLAN"], "true");
            assert_eq!(settings.secret.grace_period.as_secs(), 36 * 3600);
            assert_eq!(settings.secret.hold_while_used.as_secs(), 72 * 3600);
            assert_eq!(settings.event_bus_name.as_deref(), Some("keys"));
            assert_eq!(settings.documentation_url, PAGES);
        } else {
            assert_eq!(settings.secret.hold_while_used.as_secs(), 7 * 24 * 3600);
            assert_eq!(settings.event_bus_name, None);
            assert_eq!(settings.documentation_url, "docs");
        }
    }
}

/// The secret outlives the stack, and no stack update can write a value into it.
#[test]
fn secret_outlives_stack_and_updates_write_nothing() {
    let secret = resource(&stack(NEW), "Secret").expect("it is created");
    // Except for a first deployment that fails, of which nothing is kept.
    assert_eq!(secret["DeletionPolicy"], "RetainExceptOnCreate");
    assert_eq!(secret["UpdateReplacePolicy"], "Retain");
    for value in ["SecretString", "GenerateSecretString"] {
        assert!(secret["Properties"].get(value).is_none(), "{value}");
    }
    for others in [EXISTS, FLEET] {
        assert!(resource(&stack(others), "Secret").is_none());
    }
}

/// The schedule that begins a rotation is created after the permission and everything else.
#[test]
fn schedule_comes_after_permission_and_rest() {
    for (parameters, secret) in [(NEW, MADE), (EXISTS, EXISTING)] {
        let schedule = resource(&stack(parameters), "SecretRotation").expect("it is created");
        let before = schedule["DependsOn"].as_array().expect("a list");
        let before: BTreeSet<_> = before.iter().filter_map(Value::as_str).collect();
        // Resources that these refer to are created first: the function and its role, the log group, all alarms and rules.
        let mut last = BTreeSet::from(["SecretsManagerMayInvoke", "Dashboard"]);
        last.extend([
            "ErrorsQuery",
            "ChangesQuery",
            "OneKeyQuery",
            "RotationsQuery",
            "SecretsQuery",
        ]);
        let permissions = of_type(&stack(parameters), "AWS::Lambda::Permission");
        last.extend(permissions.iter().map(|(name, _)| name.as_str()));
        assert_eq!(before, last);
        assert_eq!(schedule["Properties"]["SecretId"], secret);
        assert_eq!(schedule["Properties"]["RotateImmediatelyOnUpdate"], "true");
    }
    assert!(resource(&stack(FLEET), "SecretRotation").is_none());
    // The rule for notices exists only with a topic, and DependsOn takes no condition.
    let after = |parameters: &[(&str, &str)]| {
        let schedule = resource(&stack(parameters), "SecretRotation").expect("it is created");
        schedule["Metadata"]["CreatedAfter"].clone()
    };
    assert_eq!(after(NEW), "none");
    let notified = [("EventBusName", "keys"), ("NoticeTopicArn", OWNERS)];
    assert_eq!(
        after(&[NEW, &notified].concat()),
        "keys|rotation-notices",
        "it refers to the rule"
    );
}

/// An empty schedule creates none, and a window is set only if one is given.
#[test]
fn empty_schedule_creates_none_without_window() {
    let without = stack(&[NEW, &[("ScheduleExpression", "")]].concat());
    assert!(resource(&without, "SecretRotation").is_none());
    let rules = |stack: &Stack<'_>| properties(stack, "SecretRotation")["RotationRules"].clone();
    assert_eq!(
        rules(&stack(NEW)),
        json!({ "ScheduleExpression": "rate(30 days)" })
    );
    assert_eq!(
        rules(&stack(&[NEW, &[("ScheduleDuration", "3h")]].concat()))["Duration"],
        "3h"
    );
}

/// The rule matches events of the function's own secret, or for a fleet every promotion.
#[test]
fn rule_matches_own_secret_or_promotions() {
    let rule = |parameters, name| properties(&stack(parameters), name);
    let moved = &rule(EXISTS, CURRENT_VERSION_MOVED)["EventPattern"];
    assert_eq!(moved["resources"], json!([EXISTING]));
    assert_eq!(moved["detail"], json!({ "labelUpdated": ["AWSCURRENT"] }));
    let failed = rule(EXISTS, ROTATION_FAILED);
    assert_eq!(
        failed["EventPattern"]["detail"],
        json!({
            "eventName": ["RotationFailed", "RotationAbandoned", "TestRotationFailed"],
            "additionalEventData": { "SecretId": [EXISTING] },
        })
    );
    // A failed reconciliation of the secret, and of no other.
    let target = &failed["Targets"][0];
    let sent = &target["InputTransformer"];
    assert_eq!(
        sent["InputPathsMap"],
        json!({ "secret": "$.detail.additionalEventData.SecretId" })
    );
    let sent = sent["InputTemplate"].as_str().expect("a string");
    let sent = sent.replace("<secret>", &json!(EXISTING).to_string());
    match Event::parse(&sent).expect("it is an event") {
        Event::Reconciliation(of) => assert_eq!(of.secret_id.as_deref(), Some(EXISTING)),
        Event::Rotation(_) => panic!("it is a step"),
    }
    assert_eq!(target.get("Input"), None);
    assert!(
        failed["EventPattern"]["detail"]
            .get("errorMessage")
            .is_none()
    );
    let moved = &rule(FLEET, CURRENT_VERSION_MOVED)["EventPattern"];
    assert!(moved.get("resources").is_none());
    let failed = &rule(FLEET, ROTATION_FAILED)["EventPattern"]["detail"];
    assert_eq!(
        failed["additionalEventData"],
        json!({ "SecretId": [{ "prefix": "arn:" }] })
    );
    let wildcard = failed["errorMessage"][0]["wildcard"].as_str();
    let words = regex::escape(wildcard.expect("words with stars")).replace(r"\*", ".*");
    let words = Regex::new(&format!("^{words}$")).expect("it is a pattern");
    for (function, heard) in [("rotation", true), ("rotation-2", false), ("a", false)] {
        let arn = format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}");
        // DOC: the user guide's example.
        let said = format!("Error when executing lambda {arn} during setSecret step");
        assert_eq!(words.is_match(&said), heard, "{said}");
    }
}

/// The notices of this function are sent to the topic as sentences, and no other events.
#[test]
fn notices_rule_sends_own_sentences_to_topic() {
    let bus = [("EventBusName", "keys")];
    for without in [NEW, &[NEW, &bus].concat()] {
        assert!(resource(&stack(without), "NoticesRule").is_none());
    }
    for one in [NEW, EXISTS, FLEET] {
        let topic = [bus[0], ("NoticeTopicArn", OWNERS)];
        let rule = properties(&stack(&[one, &topic].concat()), "NoticesRule");
        assert_eq!(rule["Name"], "rotation-notices");
        assert_eq!(rule["EventBusName"], "keys");
        assert_eq!(
            rule["EventPattern"],
            json!({
                "source": ["api-key-rotation"],
                "account": [ACCOUNT],
                "detail": { "functionName": ["rotation"] },
            })
        );
        let targets = rule["Targets"].as_array().expect("a list");
        let [target] = targets.as_slice() else {
            panic!("{} targets", targets.len());
        };
        assert_eq!(target["Arn"], OWNERS);
        // DOC: for SNS, only the topic's policy counts. With a role, a delivery may fail.
        assert_eq!(target.get("RoleArn"), None);
        let input = &target["InputTransformer"];
        assert_eq!(
            input["InputPathsMap"],
            json!({ "message": "$.detail.message" })
        );
        // A JSON string, of which `<message>` is the whole.
        let template = input["InputTemplate"].as_str().expect("a string");
        assert_eq!(
            serde_json::from_str::<Value>(template).ok(),
            Some(json!("<message>"))
        );
    }
}

/// Every alarm notifies the topic when it begins and ends, and is on the dashboard. The runbook has its entry, and no other.
#[test]
fn every_alarm_notifies_and_is_documented() {
    let notified = [("AlarmTopicArn", TOPIC), ("DocumentationUrl", PAGES)];
    let notified = stack(&[NEW, &notified].concat());
    let alarms = of_type(&notified, "AWS::CloudWatch::Alarm");
    assert!(alarms.len() >= 16, "{}", alarms.len());
    let dashboard = properties(&notified, "Dashboard")["DashboardBody"].clone();
    let dashboard: Value = serde_json::from_str(dashboard.as_str().expect("it is a string"))
        .expect("the dashboard's body is JSON");
    let shown = &dashboard["widgets"][0]["properties"]["alarms"];
    let shown = shown.as_array().expect("a list");
    assert_eq!(shown.len(), alarms.len());
    let mut names = BTreeSet::new();
    for (id, alarm) in &alarms {
        assert_eq!(alarm["AlarmActions"], json!([TOPIC]), "{id}");
        assert_eq!(alarm["OKActions"], json!([TOPIC]), "{id}");
        let name = alarm["AlarmName"].as_str().expect("it has a name");
        let name = name
            .strip_prefix("rotation-")
            .expect("it begins with the stack's name");
        names.insert(name);
        let description = alarm["AlarmDescription"].as_str().expect("it has one");
        let see = format!(". See {PAGES}/alarms.md#{name}.");
        let words = description.strip_suffix(&see);
        let words = words.unwrap_or_else(|| panic!("{id} refers to no page: {description}"));
        assert!(words.matches(". ").count() <= 1, "{id} is long: {words}");
        // DOC: CloudWatch API, PutMetricAlarm. The URL may be as long as its pattern allows.
        assert!(words.len() + 640 <= 1_024, "{id}: {}", words.len());
        let mut shown = shown.iter().filter_map(Value::as_str);
        let ends = format!(":alarm:rotation-{name}");
        assert!(shown.any(|arn| arn.ends_with(&ends)), "{id}");
    }
    let entries = page("alarms").entries().into_iter();
    let entries = entries.filter(|(section, _)| *section == "Alarms");
    let entries: BTreeSet<_> = entries.map(|(_, name)| name).collect();
    assert_eq!(names, entries);
    for (id, alarm) in of_type(&stack(NEW), "AWS::CloudWatch::Alarm") {
        assert!(alarm.get("AlarmActions").is_none(), "{id}");
    }
}

/// The queries for `CloudWatch` Logs Insights read the function's log, and are those of the runbook. That the fields which
/// they name exist is shown by `function::logs`.
#[test]
fn queries_read_log_of_function() {
    let stack = stack(NEW);
    let queries = of_type(&stack, "AWS::Logs::QueryDefinition");
    let names: BTreeSet<_> = queries
        .iter()
        .map(|(_, query)| query["Name"].as_str().expect("it has a name"))
        .collect();
    let expected = [
        "errors",
        "changes",
        "one-key",
        "rotations",
        "secrets-behind-alarms",
    ];
    let expected = expected.map(|name| format!("rotation/{name}"));
    assert_eq!(names, expected.iter().map(String::as_str).collect());
    let documented = page("alarms").block_with("errors: fields ");
    for (id, query) in &queries {
        let groups = &query["LogGroupNames"];
        assert_eq!(groups, &json!(["/aws/lambda/rotation"]), "{id}");
        let text = query["QueryString"].as_str().expect("it is a text");
        // DOC: CloudWatch Logs API, PutQueryDefinition.
        assert!(text.len() <= 10_000, "{id}");
        assert!(!text.contains("${"), "{id}: nothing is left to resolve");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let text = lines.collect::<Vec<_>>().join(" ");
        let name = query["Name"].as_str().and_then(|name| name.split_once('/'));
        let line = format!("{}: {text}", name.expect("it has a name").1);
        assert!(documented.lines().any(|other| other == line), "{line}");
    }
}

/// Every metric of an alarm is one that is published for this function.
#[test]
fn every_alarm_metric_is_published() {
    let source = include_str!("../../src/handler/metrics.rs");
    let totals = source.split("pub struct Metrics {").nth(1);
    let totals = totals.and_then(|rest| rest.split("\n}").next());
    let fields = totals.expect("there are totals").lines();
    let published: BTreeSet<_> = fields
        .filter_map(|line| line.trim().strip_prefix("pub ")?.split(':').next())
        .map(|field| {
            let words = field.split('_');
            words
                .map(|word| word[..1].to_uppercase() + &word[1..])
                .collect::<String>()
        })
        .collect();
    for (id, alarm) in of_type(&stack(NEW), "AWS::CloudWatch::Alarm") {
        let metric = alarm.get("Metrics").map_or(&alarm, |metrics| {
            let metrics = metrics.as_array().expect("a list");
            let metric = metrics.iter().find_map(|metric| metric.get("MetricStat"));
            &metric.expect("one of them is a metric")["Metric"]
        });
        let dimension = &metric["Dimensions"][0];
        match metric["Namespace"].as_str().expect("it has a namespace") {
            "ApiKeyRotation" => {
                let name = metric["MetricName"].as_str().expect("it has a name");
                assert!(published.contains(name), "{id}: {name}");
                assert_eq!(
                    dimension,
                    &json!({ "Name": "FunctionName", "Value": "rotation" })
                );
            }
            "AWS/Lambda" => {
                assert_eq!(
                    dimension,
                    &json!({ "Name": "FunctionName", "Value": "rotation" })
                );
            }
            "AWS/Events" => {
                let rule = properties(&stack(NEW), ROTATION_FAILED)["Name"].clone();
                assert_eq!(dimension, &json!({ "Name": "RuleName", "Value": rule }));
            }
            other => panic!("{id}: {other}"),
        }
    }
}

/// No log level that the template offers hides the metrics, which Lambda logs as info.
#[test]
fn offered_log_levels_keep_metrics() {
    let level = &TEMPLATE.section("Parameters")["LogLevel"];
    assert_eq!(level["AllowedValues"], json!(["DEBUG", "INFO"]));
}

/// The page of errors has one entry for each error type, and no other.
#[test]
fn every_error_type_has_its_entry() {
    let source = [
        include_str!("../../src/adapters/call.rs"),
        include_str!("../../src/adapters/error.rs"),
        include_str!("../../src/decision/refusal.rs"),
        include_str!("../../src/driver/error.rs"),
        include_str!("../../src/driver/port.rs"),
        include_str!("../../src/handler/error.rs"),
        include_str!("../../src/handler/event_error.rs"),
    ]
    .concat();
    let literals = Regex::new(r#""([A-Z][A-Za-z]+)""#).expect("it is a pattern");
    let constants = Regex::new(r"=> ([A-Z_]+),").expect("it is a pattern");
    let functions = source.split("fn ");
    let mut types = BTreeSet::new();
    for function in functions.filter(|text| text.starts_with("error_type")) {
        let body = function.split("\n    }\n").next().expect("it has a body");
        types.extend(literals.captures_iter(body).map(|found| found.extract().1));
        for found in constants.captures_iter(body) {
            let value = format!(r#"const {}: &str = "([A-Za-z]+)""#, &found[1]);
            let value = Regex::new(&value).expect("it is a pattern");
            let value = value.captures(&source).expect("the constant is defined");
            types.insert(value.extract().1);
        }
    }
    let types: BTreeSet<&str> = types.into_iter().map(|[name]| name).collect();
    assert!(types.len() > 40, "{}", types.len());
    let entries = page("errors").entries().into_iter();
    let entries: Vec<_> = entries.map(|(_, name)| name).collect();
    let unique: BTreeSet<_> = entries.iter().copied().collect();
    assert_eq!(entries.len(), unique.len(), "an entry occurs twice");
    assert_eq!(unique, types);
}

#[test]
fn every_parameter_is_grouped_labelled_and_described() {
    let interface = &TEMPLATE.section("Metadata")["AWS::CloudFormation::Interface"];
    let groups = interface["ParameterGroups"].as_array().expect("groups");
    let grouped: Vec<_> = groups
        .iter()
        .flat_map(|group| group["Parameters"].as_array().expect("parameters"))
        .map(|name| name.as_str().expect("a name"))
        .collect();
    let parameters = TEMPLATE.section("Parameters");
    assert_eq!(grouped.len(), parameters.len());
    for (name, parameter) in parameters {
        assert!(grouped.contains(&name.as_str()), "{name} is in no group");
        let label = &interface["ParameterLabels"][name]["default"];
        assert!(label.is_string(), "{name} has no label");
        assert!(parameter["Description"].is_string(), "{name}");
        let checked = ["AllowedPattern", "AllowedValues", "MinValue"];
        assert!(
            checked.iter().any(|check| parameter.get(check).is_some()),
            "{name} takes anything"
        );
        assert_eq!(
            parameter.get("AllowedPattern").is_some(),
            parameter.get("ConstraintDescription").is_some(),
            "{name}: a pattern has an explanation"
        );
    }
}

/// Parameters, with values that their patterns accept and values that they refuse.
const DOCUMENT: &str =
    "arn:aws:secretsmanager:us-east-1:123456789012:secret:rotation/fleet-1-QrStUv";
const DOCUMENTS: &[(&str, &str)] = &[("Fleet", "true"), ("FleetConfigSecretArns", DOCUMENT)];

const CASES: &[(&str, &[&str], &[&str])] = &[
    (
        "SecretName",
        &["", "shop/partner-api-key", "a+b=c@d.e_f"],
        &["two words", "a:b", "a*"],
    ),
    (
        "ExistingSecretArn",
        &["", EXISTING],
        &[
            "demo/partner-api-key",
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:demo/partner",
        ],
    ),
    (
        "KmsKeyArn",
        &["", KMS_KEY],
        &[
            "alias/shop",
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws:kms:eu-west-1:123456789012:alias/shop",
        ],
    ),
    ("DopplerTokenKmsKeyArn", &["", KMS_KEY], &["alias/shop"]),
    (
        "ScheduleExpression",
        &[
            "",
            "rate(1 day)",
            "rate(30 days)",
            "rate(999 days)",
            "rate(4 hours)",
            "rate(12 hours)",
            "cron(0 3 1 * ? *)",
            "cron(0 2/12 ? * MON-FRI *)",
        ],
        &[
            "rate(3 hours)",
            "rate(1000 days)",
            "rate(30 minutes)",
            "cron(30 3 1 * ? *)",
            "cron(0 3 1 * ? 2027)",
            "30 days",
        ],
    ),
    (
        "ScheduleDuration",
        &["", "3h", "24h"],
        &["3", "0h", "3m", "25h"],
    ),
    (
        "UsagePlanIds",
        &["", "a1b2c3", "a1b2c3,d4e5f6"],
        &["a1b2c3, d4e5f6", "a1b2c3,", "a1/b2"],
    ),
    (
        "StageKeys",
        &["", "a1b2c3d4e5/prod", "a1/prod,b2/dev_1"],
        &["a1b2c3d4e5", "a1/prod, b2/dev"],
    ),
    (
        "ProbeUrl",
        &["", "https://example.com/health"],
        &["http://example.com/health", "example.com"],
    ),
    (
        "PropagationDelay",
        &["2m", "90s", "1m 30s", "0s", "4m59s"],
        &["2", "2 minutes", "", "m", "5m", "300s", "1h"],
    ),
    (
        "GracePeriod",
        &["24h", "0s", "90m", "1d 12h", "365d"],
        &["1w", "24", "366d", "12h 1d"],
    ),
    (
        "HoldWhileUsed",
        &["7d", "0s", "1d 12h", "365d"],
        &["1w", "7", "", "366d"],
    ),
    ("QuarantinePeriod", &["7d"], &["7 d"]),
    (
        "ReconcileSchedule",
        &[
            "rate(1 hour)",
            "rate(4 hours)",
            "rate(30 minutes)",
            "rate(240 minutes)",
            "cron(0/30 * * * ? *)",
            "cron(15 */2 ? * * *)",
            "cron(0 1/4 * * ? *)",
        ],
        &[
            "1 hour",
            "rate(0 hours)",
            "rate(1 hours)",
            "rate(5 hours)",
            "rate(241 minutes)",
            "rate(1 day)",
            "cron(0 3 * * ? *)",
            "cron(0 */6 * * ? *)",
            "cron(0 * ? * MON *)",
        ],
    ),
    (
        "DopplerTargets",
        &["", "shop/prd/KEY", "shop/prd/KEY,shop/prd_eu/KEY_2"],
        &[
            "shop/KEY",
            "shop/prd/key",
            "shop/prd/KEY, shop/dev/KEY",
            "shop/prd/PATH",
        ],
    ),
    (
        "DopplerAdoptTargets",
        &["", "shop/prd/KEY,shop/prd_eu/KEY_2"],
        &["shop/KEY", "shop/prd/LD_PRELOAD"],
    ),
    (
        "DopplerIdentity",
        &["", IDENTITY],
        &["0B1F0A6E-58C5-4B1C-9F0E-2D1A7C3E9B44", "prod"],
    ),
    (
        "DopplerAudience",
        &["", "https://api.doppler.com"],
        &["${aws:username}", "two words"],
    ),
    (
        "RoleName",
        &["", "partner-api-key-Role-rotation"],
        &["path/name", "two words"],
    ),
    (
        "DopplerTokenSecretArn",
        &["", TOKEN],
        &["demo/doppler-token"],
    ),
    (
        "DopplerApiUrl",
        &[
            "https://api.doppler.com",
            "https://doppler.example.com:8443/v1",
        ],
        &["http://api.doppler.com", "", "https://api.doppler.com?x"],
    ),
    (
        "EventBusName",
        &["", "default", "keys-1_a.b"],
        &[
            "two words",
            "arn:aws:events:us-east-1:123456789012:event-bus/keys",
        ],
    ),
    (
        "NoticeTopicArn",
        &["", OWNERS],
        &[
            "key-owners",
            "arn:aws:sns:us-east-1:123456789012:key-owners.fifo",
        ],
    ),
    (
        "AlarmTopicArn",
        &["", TOPIC],
        &["on-call", "arn:aws:sns:us-east-1:123456789012:on-call.fifo"],
    ),
    (
        "EndpointUrl",
        &["", "http://127.0.0.1:4566", "https://vpce-1.example.com"],
        &["127.0.0.1:4566", "http://10.0.0.1:4566"],
    ),
    (
        "DocumentationUrl",
        &[
            "docs",
            "../docs",
            "https://git.example.com/team/api-key-rotation/blob/v0.2.0/docs",
        ],
        &[
            "",
            "/docs",
            "docs?",
            "http://git.example.com",
            "https://a.example.com/?q",
        ],
    ),
    ("SecretDescription", &["", "Key of the partner API"], &[]),
    (
        "FleetConfigSecretArns",
        &["", DOCUMENT],
        &[
            "rotation/fleet-1",
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:fleet",
        ],
    ),
    ("FleetConfigKmsKeyArn", &["", KMS_KEY], &["alias/fleet"]),
    (
        "FleetUsagePlanIds",
        &["", "a1b2c3,d4e5f6"],
        &["a1b2c3, d4e5f6", "plan-1"],
    ),
    (
        "DopplerAllowed",
        &["", "shop/prd", "shop/*,partner-*/prd"],
        &["shop", "shop/prd/KEY", "shop/prd, shop/dev", "*"],
    ),
    (
        "ProbeAllowed",
        &[
            "",
            "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com",
            "api.example.com,*.example.com",
            "*.execute-api-2.example.com",
        ],
        &[
            "https://example.com",
            "example.com/health",
            "a, b",
            "*.execute-api.eu-west-1.amazonaws.com",
            "api.example.com,a*.execute-api.eu-west-1.amazonaws.com",
            "x.*.execute-api",
            "*.*.eu-west-1.amazonaws.com",
        ],
    ),
    (
        "SubnetIds",
        &[
            "",
            "subnet-0a1b2c3d",
            "subnet-0123456789abcdef0,subnet-0a1b2c3d",
        ],
        &[
            "subnet-1",
            "sg-0a1b2c3d",
            "subnet-0a1b2c3d, subnet-0a1b2c3e",
        ],
    ),
    (
        "SecurityGroupIds",
        &["", "sg-0a1b2c3d", "sg-0123456789abcdef0"],
        &["default", "subnet-0a1b2c3d"],
    ),
    (
        "HttpsProxy",
        &["", "http://proxy.example.com:3128", "https://10.0.0.1"],
        &[
            "proxy:3128",
            "http://user:pw@proxy.example.com",
            "http://proxy/",
        ],
    ),
    (
        "NoProxy",
        &["", "*", ".eu-west-1.amazonaws.com,10.0.0.0/8"],
        &["10.0.0.0/64", "a b", "*.example.com"],
    ),
    (
        "ReservedConcurrency",
        &["", "2", "100"],
        &["0", "1", "02", "many"],
    ),
    (
        "CodeSigningConfigArn",
        &[
            "",
            "arn:aws:lambda:eu-west-1:123456789012:code-signing-config:csc-0a1b2c3d4e5f6a7b8",
        ],
        &["csc-0a1b2c3d4e5f6a7b8"],
    ),
    (
        "PermissionsBoundaryArn",
        &[
            "",
            "arn:aws:iam::123456789012:policy/team/boundary",
            "arn:aws-us-gov:iam::aws:policy/PowerUserAccess",
        ],
        &["boundary", "arn:aws:iam::123456789012:role/boundary"],
    ),
    (
        "RolePath",
        &["", "/rotation/", "/a/b/"],
        &["/", "rotation", "/rotation", "//"],
    ),
];

/// The patterns accept valid values and refuse nearly valid ones.
#[test]
fn patterns_accept_right_and_refuse_nearly_right() {
    let parameters = TEMPLATE.section("Parameters");
    for (name, right, wrong) in CASES {
        let pattern = parameters[*name]["AllowedPattern"]
            .as_str()
            .expect("a pattern");
        let pattern = fancy_regex::Regex::new(pattern).expect("it is a pattern");
        let takes = |value: &str| pattern.is_match(value).expect("the match ends");
        for value in *right {
            assert!(takes(value), "{name} refuses {value:?}");
        }
        for value in *wrong {
            assert!(!takes(value), "{name} takes {value:?}");
        }
    }
    let patterns = parameters.iter();
    let patterns = patterns.filter(|(_, parameter)| parameter.get("AllowedPattern").is_some());
    assert_eq!(patterns.count(), CASES.len(), "every pattern has cases");
}

/// The outputs are names and ARNs, and show no value.
#[test]
fn outputs_are_names_and_show_no_value() {
    for (parameters, secret) in [(NEW, Some(MADE)), (EXISTS, Some(EXISTING)), (FLEET, None)] {
        let stack = stack(parameters);
        let outputs = stack.outputs().unwrap_or_else(|error| panic!("{error:#}"));
        assert_eq!(
            outputs.get("SecretArn").and_then(|arn| arn.as_str()),
            secret
        );
        assert_eq!(outputs["FunctionName"], "rotation");
        let tag = format!("v{}", env!("CARGO_PKG_VERSION"));
        assert_eq!(
            outputs["Version"], tag,
            "the output names the deployed version"
        );
        for (name, output) in &outputs {
            let output = output.as_str().expect("a string");
            for reveals in ["get-secret-value", "include-value", "resolve:"] {
                assert!(!output.contains(reveals), "{name}: {output}");
            }
        }
    }
}
