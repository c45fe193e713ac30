//! The calls that the function makes with its settings, as IAM checks them.
//!
//! A test removes each action of the template's role in turn, and expects a problem here; the tests
//! of the role show that the function needs each of them and nothing else.

use api_key_rotation::adapters::sts::{ALGORITHM, LIFETIME};
use api_key_rotation::config::{Config, DopplerConfig, DopplerIdentity};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::facts::{Facts, Function, Secret};
use crate::arn::Arn;
use crate::function::log_group;

/// What stands for an id that API Gateway chooses.
const ANY_ID: &str = "a1b2c3d4e5";

/// What Lambda does with the role of a function in a VPC (DOC: Lambda developer guide, "Giving Lambda
/// functions access to resources in an Amazon VPC").
const NETWORK: [&str; 6] = [
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
];

/// Characters that are not encoded in an ARN within a path.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Actions on one resource, with what IAM knows of a call.
#[derive(Debug)]
pub(crate) struct Calls {
    /// The name of the check.
    pub(crate) name: &'static str,
    pub(crate) actions: Vec<&'static str>,
    pub(crate) resource: String,
    pub(crate) context: Vec<Entry>,
}

/// What IAM knows of a call under one name.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// Its type, as IAM's simulator names it.
    pub(crate) kind: &'static str,
    pub(crate) values: Vec<String>,
}

impl Calls {
    fn new(name: &'static str, actions: &[&'static str], resource: impl Into<String>) -> Self {
        Self {
            name,
            actions: actions.to_vec(),
            resource: resource.into(),
            context: Vec::new(),
        }
    }

    fn with(self, key: &str, value: impl Into<String>) -> Self {
        self.with_values(key, "string", vec![value.into()])
    }

    fn with_values(mut self, key: &str, kind: &'static str, values: Vec<String>) -> Self {
        let key = key.to_owned();
        self.context.push(Entry { key, kind, values });
        self
    }
}

/// A secret that the function only reads: the Doppler token, or a document of a fleet.
#[derive(Debug, Clone)]
pub(crate) struct ReadSecret {
    /// The name of the check.
    pub(crate) name: &'static str,
    /// Its ARN.
    pub(crate) arn: String,
    /// Its KMS key.
    pub(crate) kms_key: Option<String>,
}

/// Returns the calls of the function. A call on a KMS key is left out where only an alias is known.
pub(crate) fn calls(
    facts: &Facts,
    function: &Function,
    config: &Config,
    others: &[ReadSecret],
) -> Vec<Calls> {
    let mut calls = vec![log(function)];
    let subnets = function.fields["VpcConfig"]["SubnetIds"].as_array();
    if subnets.is_some_and(|subnets| !subnets.is_empty()) {
        calls.push(Calls::new("role.network", &NETWORK, "*"));
    }
    if config.secret_id.is_none() {
        calls.push(Calls::new(
            "role.fleet",
            &["secretsmanager:ListSecrets"],
            "*",
        ));
    }
    if let Some(Ok(secret)) = &facts.secret {
        calls.push(of_secret(function, secret));
        let key = secret.description.kms_key_id();
        let key = key.and_then(|key| kms_key(&function.arn, key));
        calls.extend(key.map(|key| {
            of_key(
                &function.arn,
                "role.kms",
                key,
                &["kms:Decrypt", "kms:GenerateDataKey"],
                &secret.arn,
            )
        }));
    }
    for ReadSecret { name, arn, kms_key } in others {
        let read = ["secretsmanager:GetSecretValue"];
        calls.push(Calls::new(name, &read, arn));
        let key = kms_key.as_deref();
        let key = key.and_then(|key| self::kms_key(&function.arn, key));
        calls.extend(key.map(|key| of_key(&function.arn, name, key, &["kms:Decrypt"], arn)));
    }
    calls.extend(of_api_gateway(function, config));
    let identity = config.doppler.as_ref().and_then(DopplerConfig::identity);
    calls.extend(identity.map(login));
    if let Some(bus) = &config.event_bus_name {
        let Arn {
            partition,
            region,
            account,
            ..
        } = &function.arn;
        let arn = format!("arn:{partition}:events:{region}:{account}:event-bus/{bus}");
        let call = Calls::new("role.notices", &["events:PutEvents"], arn);
        calls.push(
            call.with("events:source", "api-key-rotation")
                .with("events:detail-type", "KeyPromoted")
                .with_values(
                    "events:eventBusInvocation",
                    "boolean",
                    vec!["false".to_owned()],
                ),
        );
    }
    let region = &function.arn.region;
    let calls = calls.into_iter();
    calls
        .map(|call| call.with("aws:RequestedRegion", region))
        .collect()
}

fn log(function: &Function) -> Calls {
    let Arn {
        partition,
        region,
        account,
        ..
    } = &function.arn;
    let group = log_group(&function.fields, &function.name);
    Calls::new(
        "role.log",
        &["logs:CreateLogStream", "logs:PutLogEvents"],
        format!("arn:{partition}:logs:{region}:{account}:log-group:{group}:log-stream:doctor"),
    )
}

fn of_secret(function: &Function, secret: &Secret) -> Calls {
    let actions = [
        "secretsmanager:DescribeSecret",
        "secretsmanager:GetSecretValue",
        "secretsmanager:PutSecretValue",
        "secretsmanager:UpdateSecretVersionStage",
    ];
    let arn = secret.description.rotation_lambda_arn();
    Calls::new("role.secret", &actions, &secret.arn).with(
        "secretsmanager:resource/AllowRotationLambdaArn",
        arn.unwrap_or(&function.arn.text),
    )
}

/// Returns the ARN of a KMS key. An alias does not say which key it is.
fn kms_key(function: &Arn, key: &str) -> Option<String> {
    let Arn {
        partition,
        region,
        account,
        ..
    } = function;
    if key.contains("alias/") {
        None
    } else if key.starts_with("arn:") {
        Some(key.to_owned())
    } else {
        Some(format!("arn:{partition}:kms:{region}:{account}:key/{key}"))
    }
}

/// Secrets Manager uses the key with the role's rights.
fn of_key(
    function: &Arn,
    name: &'static str,
    key: String,
    actions: &[&'static str],
    secret: &str,
) -> Calls {
    let Arn {
        partition,
        region,
        account,
        ..
    } = function;
    let suffix = if partition == "aws-cn" {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    Calls::new(name, actions, key)
        .with(
            "kms:ViaService",
            format!("secretsmanager.{region}.{suffix}"),
        )
        .with("kms:CallerAccount", account)
        .with("kms:EncryptionContext:SecretARN", secret)
}

/// The audience is a key with more than one value, although the function names one.
fn login(identity: &DopplerIdentity) -> Calls {
    let list = vec![identity.audience.clone()];
    Calls::new("role.login", &["sts:GetWebIdentityToken"], "*")
        .with_values("sts:IdentityTokenAudience", "stringList", list)
        .with_values("sts:DurationSeconds", "numeric", vec![LIFETIME.to_owned()])
        .with("sts:SigningAlgorithm", ALGORITHM)
}

fn of_api_gateway(function: &Function, config: &Config) -> Vec<Calls> {
    let Arn {
        partition, region, ..
    } = &function.arn;
    let arn = |path: &str| format!("arn:{partition}:apigateway:{region}::{path}");
    let tagged = |calls: Calls| {
        let names = ["rotation:secret", "rotation:version", "rotation:function"];
        calls
            .with_values(
                "aws:TagKeys",
                "stringList",
                names.map(ToOwned::to_owned).to_vec(),
            )
            .with("aws:RequestTag/rotation:function", &function.name)
    };
    let key = format!("/apikeys/{ANY_ID}");
    let tags = utf8_percent_encode(&arn(&key), UNRESERVED).to_string();
    let create = Calls::new("role.keys", &["apigateway:POST"], arn("/apikeys"));
    let tag = Calls::new(
        "role.tags",
        &["apigateway:PUT"],
        arn(&format!("/tags/{tags}")),
    );
    let own = ["apigateway:PATCH", "apigateway:DELETE"];
    let own = Calls::new("role.own-keys", &own, arn(&key));
    let mut calls = vec![
        tagged(create),
        Calls::new("role.keys", &["apigateway:GET"], arn("/apikeys")),
        tagged(tag),
        own.with("aws:ResourceTag/rotation:function", &function.name),
        Calls::new("role.plans", &["apigateway:GET"], arn("/usageplans")),
    ];
    let configured = config.secret.usage_plans.iter().map(String::as_str);
    let mut plans: Vec<_> = configured.collect();
    for plan in &plans {
        let path = format!("/usageplans/{plan}");
        calls.push(Calls::new("role.plans", &["apigateway:GET"], arn(&path)));
    }
    // The role of a fleet with documents may be limited to plans that only its stack names.
    if plans.is_empty() && config.fleet.is_none() {
        plans.push(ANY_ID);
    }
    for plan in plans {
        let path = |rest: &str| arn(&format!("/usageplans/{plan}{rest}"));
        let attach = ["apigateway:POST"];
        calls.push(Calls::new("role.plans", &attach, path("/keys")));
        let read = ["apigateway:GET"];
        let one = format!("/keys/{ANY_ID}");
        calls.push(Calls::new("role.plans", &read, path(&one)));
        if !config.secret.hold_while_used.is_zero() {
            calls.push(Calls::new("role.usage", &read, path("/usage")));
        }
    }
    calls
}
