//! The role of the template for a function with given settings, so that a test's function has the
//! permissions of a deployed one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use parking_lot::Mutex;
use sandbox::iam::{Denial, Element, Policy, Role};
use sandbox::{ACCOUNT, FUNCTION_NAME, REGION, Sandbox};
use serde_json::json;
use template::{Deployment, Stack, Template};

/// Returns the template of this repository.
pub(crate) static TEMPLATE: LazyLock<Template> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("template.yaml");
    Template::read(&path).unwrap_or_else(|error| panic!("{error:#}"))
});

/// Returns the template parameters that give a function this environment, as far as its role
/// depends on them.
pub(crate) fn parameters(
    env: &BTreeMap<String, String>,
    sandbox: &Sandbox,
) -> BTreeMap<String, String> {
    let get = |name: &str| env.get(name).filter(|value| !value.is_empty());
    let mut parameters = BTreeMap::new();
    let mut set = |name: &str, value: Option<String>| {
        parameters.extend(value.map(|value| (name.to_owned(), value)));
    };
    set("EventBusName", get("EVENT_BUS_NAME").cloned());
    set("HoldWhileUsed", get("HOLD_WHILE_USED").cloned());
    let Some(secret) = get("SECRET_ID") else {
        set("Fleet", Some("true".to_owned()));
        set("KmsKeyArn", sandbox.key_of(super::SECRET));
        if let Some(documents) = get("FLEET_CONFIG_SECRET_IDS") {
            let ids: Vec<_> = documents.split(',').collect();
            let arns: Vec<_> = ids.iter().map(|id| sandbox.arn_of(id)).collect();
            set("FleetConfigSecretArns", Some(arns.join(",")));
            set("FleetConfigKmsKeyArn", sandbox.key_of(ids[0]));
            set("FleetDefault", get("FLEET_DEFAULT").cloned());
            set("DopplerAllowed", get("DOPPLER_ALLOWED").cloned());
            set(
                "ProbeAllowed",
                get("PROBE_ALLOWED").map(|hosts| without_ports(hosts)),
            );
            let token = get("DOPPLER_TOKEN_SECRET_ID");
            set(
                "DopplerTokenSecretArn",
                token.map(|token| sandbox.arn_of(token)),
            );
            let key = token.and_then(|token| sandbox.key_of(token));
            set("DopplerTokenKmsKeyArn", key);
            set("DopplerIdentity", get("DOPPLER_IDENTITY").cloned());
            set("DopplerAudience", get("DOPPLER_AUDIENCE").cloned());
        }
        return parameters;
    };
    set("ExistingSecretArn", Some(sandbox.arn_of(secret)));
    set("KmsKeyArn", sandbox.key_of(secret));
    let list = |list: &String| list.split(',').map(str::trim).collect::<Vec<_>>().join(",");
    set("UsagePlanIds", get("USAGE_PLAN_IDS").map(list));
    set("StageKeys", get("STAGE_KEYS").map(list));
    if let (Some(targets), Some(identity)) = (get("DOPPLER_TARGETS"), get("DOPPLER_IDENTITY")) {
        set("DopplerTargets", Some(targets.clone()));
        set("DopplerIdentity", Some(identity.clone()));
        set("DopplerAudience", get("DOPPLER_AUDIENCE").cloned());
    }
    if let (Some(targets), Some(token)) = (get("DOPPLER_TARGETS"), get("DOPPLER_TOKEN_SECRET_ID")) {
        set("DopplerTargets", Some(targets.clone()));
        set("DopplerTokenSecretArn", Some(sandbox.arn_of(token)));
        set("DopplerTokenKmsKeyArn", sandbox.key_of(token));
    }
    parameters
}

/// The sandbox listens on a port, which the template's parameter does not take.
fn without_ports(hosts: &str) -> String {
    let hosts = hosts.split(',').map(|host| host.split(':').next());
    hosts.flatten().collect::<Vec<_>>().join(",")
}

/// Returns the template as deployed with these parameters.
pub(crate) fn stack(
    name: &str,
    parameters: BTreeMap<String, String>,
    made: BTreeMap<String, String>,
) -> Stack<'static> {
    let deployment = Deployment {
        stack: name.to_owned(),
        region: REGION.to_owned(),
        account: ACCOUNT.to_owned(),
        parameters,
        made,
    };
    let stack = TEMPLATE.deploy(deployment);
    stack.unwrap_or_else(|error| panic!("the template cannot be deployed: {error:#}"))
}

/// Returns the role of the function in a stack. Its policies are the function's only permissions.
pub(crate) fn role_in(stack: &Stack<'_>) -> Role {
    let resources = TEMPLATE.section("Resources");
    let of_iam = resources.iter().filter(|(_, resource)| {
        let kind = resource["Type"].as_str();
        kind.is_some_and(|kind| kind.starts_with("AWS::IAM::"))
    });
    let of_iam: Vec<_> = of_iam.map(|(name, _)| name.as_str()).collect();
    assert_eq!(of_iam, ["Role"], "a policy of its own adds to a role");
    let function = &resources["RotationFunction"]["Properties"];
    assert_eq!(function["Role"], json!({ "Fn::GetAtt": ["Role", "Arn"] }));
    assert_eq!(
        function.get("Policies"),
        None,
        "policies of the function belong to another role"
    );

    let role = stack.resource("Role").and_then(|role| {
        let role = &role.expect("there is always a role")["Properties"];
        assert_eq!(
            role.get("ManagedPolicyArns"),
            None,
            "managed policies are not read"
        );
        let policies = role["Policies"].as_array();
        let policies = policies.expect("the role has policies").iter();
        Policy::read(policies.map(|policy| &policy["PolicyDocument"]))
    });
    Role::new(role.unwrap_or_else(|error| panic!("the role of the template: {error:#}")))
}

/// Returns the role of a function with this environment. `makes_secret` says whether the template
/// creates the secret.
pub(crate) fn role(env: &BTreeMap<String, String>, sandbox: &Sandbox, makes_secret: bool) -> Role {
    let (mut parameters, mut made) = (parameters(env, sandbox), BTreeMap::new());
    if makes_secret && let Some(arn) = parameters.remove("ExistingSecretArn") {
        parameters.insert("SecretName".to_owned(), env["SECRET_ID"].clone());
        made.insert("Secret".to_owned(), arn);
    }
    let name = env.get("AWS_LAMBDA_FUNCTION_NAME");
    let name = name.map_or(FUNCTION_NAME, String::as_str);
    role_in(&stack(name, parameters, made))
}

/// Every role that the function has had. When dropped, it fails the test if a role denied a call
/// and the test did not read the denials.
#[derive(Default)]
pub(crate) struct Roles(Mutex<Vec<Role>>);

impl Roles {
    /// Adds a role.
    pub(crate) fn add(&self, role: &Role) {
        self.0.lock().push(role.clone());
    }

    /// Returns every element of the policies with its text, and whether a call has needed it.
    /// Policies with the same structure have the same elements, although ids and ARNs in their text
    /// differ between environments.
    pub(crate) fn elements(&self) -> BTreeMap<Element, (String, bool)> {
        let roles = self.0.lock();
        let needed: BTreeSet<_> = roles.iter().flat_map(Role::needed).collect();
        let elements = roles.iter().flat_map(|role| role.policy().elements());
        elements
            .map(|(element, text)| {
                let is_needed = needed.contains(&element);
                (element, (text, is_needed))
            })
            .collect()
    }

    /// Returns the role of the function as it is deployed now.
    pub(crate) fn current(&self) -> Role {
        self.0
            .lock()
            .last()
            .expect("a function is deployed")
            .clone()
    }

    /// Returns the denials since the last call.
    pub(crate) fn take_denials(&self) -> Vec<Denial> {
        self.0.lock().iter().flat_map(Role::take_denials).collect()
    }
}

impl Drop for Roles {
    fn drop(&mut self) {
        let denials: Vec<_> = self
            .take_denials()
            .iter()
            .map(ToString::to_string)
            .collect();
        // A failing test already reports its cause.
        assert!(
            std::thread::panicking() || denials.is_empty(),
            "the template's role does not allow what the function did:\n{}",
            denials.join("\n")
        );
    }
}
