//! The template in networks and accounts with rules of their own: a VPC, a proxy, endpoints, a boundary, signing.

use std::collections::BTreeMap;

use crate::support::markdown::page;
use crate::support::role::TEMPLATE;
use api_key_rotation::config::Config;
use sandbox::{ACCOUNT, REGION};
use serde_json::{Value, json};
use template::{Deployment, Stack};

const EXISTING: &str = "arn:aws:secretsmanager:us-east-1:123456789012:secret:demo/key-AbCdEf";
const SUBNETS: &str = "subnet-0a1b2c3d,subnet-0a1b2c3e";
const GROUPS: &str = "sg-0a1b2c3d,sg-0a1b2c3e";
const PROXY: &str = "http://proxy.example.com:3128";
const EXCEPTIONS: &str = ".us-east-1.amazonaws.com,10.0.0.0/8";
const BOUNDARY: &str = "arn:aws:iam::123456789012:policy/boundary";
const SIGNING: &str =
    "arn:aws:lambda:us-east-1:123456789012:code-signing-config:csc-0a1b2c3d4e5f6a7b8";

fn deploy(parameters: &[(&str, &str)]) -> Result<Stack<'static>, String> {
    let existing = [("ExistingSecretArn", EXISTING)];
    let parameters = existing.iter().chain(parameters);
    let stack = TEMPLATE.deploy(Deployment {
        stack: "rotation".to_owned(),
        region: REGION.to_owned(),
        account: ACCOUNT.to_owned(),
        parameters: parameters
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        made: BTreeMap::new(),
    });
    stack.map_err(|error| format!("{error:#}"))
}

fn properties(parameters: &[(&str, &str)], name: &str) -> Value {
    let stack = deploy(parameters).unwrap_or_else(|error| panic!("{parameters:?}: {error}"));
    let resource = stack.resource(name);
    let resource = resource.unwrap_or_else(|error| panic!("{error:#}"));
    resource.expect("it is always created")["Properties"].clone()
}

/// Without parameters, function and role have none of these properties, so that an update of an older stack replaces
/// neither of them.
#[test]
fn defaults_add_no_property() {
    let function = properties(&[], "RotationFunction");
    for property in [
        "VpcConfig",
        "ReservedConcurrentExecutions",
        "CodeSigningConfigArn",
    ] {
        assert_eq!(function.get(property), None, "{property}");
    }
    let role = properties(&[], "Role");
    for property in ["Path", "PermissionsBoundary"] {
        assert_eq!(role.get(property), None, "{property}");
    }
    let variables = &function["Environment"]["Variables"];
    for variable in [
        "HTTPS_PROXY",
        "NO_PROXY",
        "AWS_USE_FIPS_ENDPOINT",
        "AWS_USE_DUALSTACK_ENDPOINT",
    ] {
        assert_eq!(variables.get(variable), None, "{variable}");
    }
}

#[test]
fn vpc_has_given_subnets_and_groups() {
    let vpc = [("SubnetIds", SUBNETS), ("SecurityGroupIds", GROUPS)];
    assert_eq!(
        properties(&vpc, "RotationFunction")["VpcConfig"],
        json!({
            "SubnetIds": ["subnet-0a1b2c3d", "subnet-0a1b2c3e"],
            "SecurityGroupIds": ["sg-0a1b2c3d", "sg-0a1b2c3e"],
        })
    );
    let dual_stack = [vpc[0], vpc[1], ("UseDualStackEndpoint", "true")];
    let function = properties(&dual_stack, "RotationFunction");
    assert_eq!(function["VpcConfig"]["Ipv6AllowedForDualStack"], true);
    for half in vpc {
        let error = deploy(&[half]).expect_err("half of a VPC");
        assert!(error.contains("set both or none"), "{error}");
    }
}

/// The function reads the proxy, and the kinds of endpoints, with its own reader.
#[test]
fn function_accepts_network_settings() {
    let network = [
        ("HttpsProxy", PROXY),
        ("NoProxy", EXCEPTIONS),
        ("UseFipsEndpoint", "true"),
        ("UseDualStackEndpoint", "true"),
    ];
    let function = properties(&network, "RotationFunction");
    let variables = &function["Environment"]["Variables"];
    let given = [
        ("HTTPS_PROXY", PROXY),
        ("NO_PROXY", EXCEPTIONS),
        ("AWS_USE_FIPS_ENDPOINT", "true"),
        ("AWS_USE_DUALSTACK_ENDPOINT", "true"),
    ];
    for (variable, value) in given {
        assert_eq!(variables[variable], value, "{variable}");
        // It reads each of them: it refuses another value.
        let wrong = Config::read(|name| {
            if name == variable {
                return Some("not valid:".to_owned());
            }
            variables[name].as_str().map(ToOwned::to_owned)
        });
        let error = wrong.expect_err(variable).to_string();
        assert!(error.starts_with(variable), "{error}");
    }
    let settings = Config::read(|name| variables[name].as_str().map(ToOwned::to_owned));
    settings.unwrap_or_else(|error| panic!("{error}"));
}

/// The function refuses the combinations that the rules refuse.
#[test]
fn rules_refuse_useless_combinations() {
    let endpoint = ("EndpointUrl", "https://vpce-1.example.com");
    for kind in ["UseFipsEndpoint", "UseDualStackEndpoint"] {
        let error = deploy(&[endpoint, (kind, "true")]).expect_err(kind);
        assert!(error.contains("EndpointUrl replaces"), "{error}");
    }
    let error = deploy(&[("NoProxy", EXCEPTIONS)]).expect_err("no proxy");
    assert!(error.contains("NoProxy requires HttpsProxy"), "{error}");
}

#[test]
fn boundary_path_limit_and_signing_are_set() {
    let limits = [
        ("PermissionsBoundaryArn", BOUNDARY),
        ("RolePath", "/rotation/"),
        ("ReservedConcurrency", "5"),
        ("CodeSigningConfigArn", SIGNING),
    ];
    let role = properties(&limits, "Role");
    assert_eq!(role["PermissionsBoundary"], BOUNDARY);
    assert_eq!(role["Path"], "/rotation/");
    let function = properties(&limits, "RotationFunction");
    assert_eq!(
        function["Role"],
        format!("arn:aws:iam::{ACCOUNT}:role/rotation/rotation-Role")
    );
    assert_eq!(function["ReservedConcurrentExecutions"], "5");
    assert_eq!(function["CodeSigningConfigArn"], SIGNING);
}

/// The page lists an endpoint for each service that the role of some deployment may call.
#[test]
fn page_lists_endpoint_of_each_service() {
    let page = page("networks");
    let everything = [
        (
            "DopplerTokenSecretArn",
            "arn:aws:secretsmanager:us-east-1:123456789012:secret:demo/token-MnOpQr",
        ),
        ("DopplerTargets", "acme/prd/KEY"),
        ("EventBusName", "keys"),
    ];
    let role = properties(&everything, "Role");
    let statements = role["Policies"][0]["PolicyDocument"]["Statement"].as_array();
    let mut services: Vec<_> = statements
        .expect("a list")
        .iter()
        .flat_map(|statement| match &statement["Action"] {
            Value::Array(actions) => actions.clone(),
            action => vec![action.clone()],
        })
        .filter_map(|action| Some(action.as_str()?.split_once(':')?.0.to_owned()))
        .collect();
    services.sort();
    services.dedup();
    for service in services {
        // Lambda itself writes the log, and Secrets Manager calls KMS.
        if !["logs", "kms"].contains(&service.as_str()) {
            let endpoint = format!("`com.amazonaws.<Region>.{service}`");
            assert!(page.text.contains(&endpoint), "{endpoint}");
        }
    }
}
