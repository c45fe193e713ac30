//! Least privilege: the template's role allows exactly what the function does.
//!
//! Every test of a whole rotation checks that the role allows what the function does: each runs under the
//! role that the template gives a function with its settings (see `support/role.rs`), and fails if a call is
//! denied. The tests here try every shape of the template.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use crate::support::programs::stdout_of;
use crate::support::role::{Roles, TEMPLATE, role_in, stack};
use crate::support::{
    CONFIG, PROJECT, SECRET, TOKEN_SECRET, TestEnv, TestEnvBuilder, create_managed_key, tool,
};
use http::{Method, Request};
use sandbox::iam::Check;
use sandbox::{
    ACCOUNT, FUNCTION_ACCESS_KEY_ID, FUNCTION_ARN, FUNCTION_NAME, Fault, FaultKind, LabelRule,
    Options, REGION, REST_API_ID, STAGE, Service, http_client,
};
use serde_json::{Value, json};
use template::Template;
use tokio::process::Command;

const UNMANAGED: &str = "HandMadeHandMadeHandMadeHandMadeHandMade";
const KEY: &str = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-4333-8444-555555555555";
const TOKEN_KEY: &str =
    "arn:aws:kms:us-east-1:123456789012:key/66666666-7777-4888-9999-000000000000";
const DOCUMENT_KEY: &str =
    "arn:aws:kms:us-east-1:123456789012:key/22222222-3333-4444-8555-666666666666";
const DAY: Duration = Duration::from_hours(24);

// The shapes of the template.

/// A way to deploy the template, as far as the role depends on it.
#[derive(Debug, Clone, Copy)]
struct Shape {
    serves: Serves,
    /// The number of configured usage plans; none: a new key inherits those of the current one.
    plans: usize,
    stage_keys: bool,
    mirror: Mirror,
    /// Whether customer managed keys encrypt the secrets.
    keys: bool,
    /// The event bus of the notices.
    bus: Option<&'static str>,
}

/// How the function gets access to Doppler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mirror {
    /// There is no mirror.
    None,
    /// With a stored token.
    Token,
    /// With the identity of its role.
    Identity,
}

/// Which secrets the function serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Serves {
    /// The secret that the stack creates.
    New,
    /// A secret that the settings name.
    Existing,
    /// Every secret whose rotation function it is.
    Fleet,
    /// The members of a document.
    Members,
}

impl Serves {
    fn many(self) -> bool {
        matches!(self, Self::Fleet | Self::Members)
    }
}

const SHAPES: [(&str, Shape); 12] = [
    (
        "a new secret and one plan",
        Shape {
            serves: Serves::New,
            plans: 1,
            ..SMALLEST
        },
    ),
    (
        "an existing secret whose key's plans are inherited",
        SMALLEST,
    ),
    (
        "an existing secret, two plans and a mirror",
        Shape {
            plans: 2,
            mirror: Mirror::Token,
            ..SMALLEST
        },
    ),
    (
        "a mirror without a stored token",
        Shape {
            plans: 1,
            mirror: Mirror::Identity,
            ..SMALLEST
        },
    ),
    (
        "a new secret, two plans and notices",
        Shape {
            serves: Serves::New,
            plans: 2,
            bus: Some(BUS),
            ..SMALLEST
        },
    ),
    (
        "stage keys",
        Shape {
            stage_keys: true,
            ..SMALLEST
        },
    ),
    (
        "customer managed keys",
        Shape {
            plans: 1,
            mirror: Mirror::Token,
            keys: true,
            ..SMALLEST
        },
    ),
    (
        "everything at once",
        Shape {
            serves: Serves::New,
            plans: 2,
            stage_keys: true,
            mirror: Mirror::Token,
            keys: true,
            bus: Some(BUS),
        },
    ),
    (
        "a fleet",
        Shape {
            serves: Serves::Fleet,
            ..SMALLEST
        },
    ),
    (
        "a fleet with a customer managed key and notices",
        Shape {
            serves: Serves::Fleet,
            keys: true,
            bus: Some(BUS),
            ..SMALLEST
        },
    ),
    (
        "a fleet with documents and a mirror",
        Shape {
            serves: Serves::Members,
            plans: 1,
            mirror: Mirror::Token,
            ..SMALLEST
        },
    ),
    (
        "a fleet with documents, a mirror and customer managed keys",
        Shape {
            serves: Serves::Members,
            plans: 2,
            mirror: Mirror::Token,
            keys: true,
            ..SMALLEST
        },
    ),
];

/// The secret with the document of a fleet.
const DOCUMENT: &str = "rotation/fleet-1";

/// The event bus of the notices.
const BUS: &str = "keys";

const SMALLEST: Shape = Shape {
    serves: Serves::Existing,
    plans: 0,
    stage_keys: false,
    mirror: Mirror::None,
    keys: false,
    bus: None,
};

impl Shape {
    /// Starts a function of this shape. Where plans are inherited, there is an unmanaged key to inherit them from.
    async fn start(self, options: Options) -> TestEnv {
        let setup = match self.mirror {
            Mirror::None => TestEnvBuilder::plain(),
            Mirror::Token => TestEnvBuilder::quick(),
            Mirror::Identity => TestEnvBuilder::quick().keyless(),
        };
        let mut setup = TestEnvBuilder {
            makes_secret: self.serves == Serves::New,
            configured_plans: self.plans,
            secret: (self.plans == 0).then(|| UNMANAGED.to_owned()),
            kms_keys: if self.keys {
                [Some(KEY), Some(TOKEN_KEY)]
            } else {
                [None, None]
            },
            options,
            ..setup
        };
        if self.serves.many() {
            setup = setup.env("SECRET_ID", "");
        }
        if self.stage_keys {
            setup = setup.env("STAGE_KEYS", &format!("{REST_API_ID}/{STAGE}"));
        }
        if let Some(bus) = self.bus {
            setup = setup.env("EVENT_BUS_NAME", bus);
        }
        let members = self.serves == Serves::Members;
        if members {
            // Until the document is there.
            setup.configured_plans = 0;
            setup.targets = Vec::new();
        }
        let mut env = setup.start().await;
        if members {
            self.put_document(&mut env).await;
        }
        env.sandbox.create_event_bus(BUS);
        if self.plans == 0 {
            env.sandbox
                .create_key("manual", UNMANAGED, &[&env.plans[0]]);
        }
        env
    }
}

impl Shape {
    /// Stores a document with the secret as a member, and deploys the function with it.
    async fn put_document(self, env: &mut TestEnv) {
        let more = (1..self.plans).map(|number| format!("more{number}"));
        let more = more.map(|name| env.sandbox.create_empty_usage_plan(&name));
        env.plans.extend(more.collect::<Vec<_>>());
        let target = format!("{PROJECT}/{CONFIG}/PARTNER_API_KEY");
        let member = json!({ "usagePlanIds": env.plans, "dopplerTargets": [target] });
        let document = json!({ "members": { SECRET: member } }).to_string();
        let key = self.keys.then_some(DOCUMENT_KEY);
        env.sandbox
            .create_secret_under(DOCUMENT, Some(&document), key);
        let settings = [
            ("FLEET_CONFIG_SECRET_IDS", DOCUMENT.to_owned()),
            ("DOPPLER_ALLOWED", format!("{PROJECT}/{CONFIG}")),
            ("DOPPLER_TOKEN_SECRET_ID", TOKEN_SECRET.to_owned()),
            ("DOPPLER_API_URL", env.sandbox.doppler_url()),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value));
        env.settings.extend(settings);
        // The role without documents was never used.
        env.roles = Roles::default();
        env.redeploy(&[]).await;
    }
}

/// Runs everything that a function does in its lifecycle, under the role of its shape.
///
/// A denied call fails the test when `env` is dropped, whatever the result of its step.
async fn run_lifecycle(env: &TestEnv, shape: Shape) {
    let sandbox = &env.sandbox;
    let named = json!({ "SecretId": SECRET });

    // The first key. An unmanaged key is superseded instead, and handed over to be retired.
    env.rotate().await;
    if shape.plans == 0 {
        let superseded = sandbox.key_with_value(UNMANAGED).expect("it exists");
        let report = env.reconcile(named.clone()).await;
        let commands = report["secrets"][0]["handOverCommands"].to_string();
        assert!(commands.contains(&superseded.id), "{report}");
        hand_over(env, &report).await;
    }
    let first = env.current_key();

    // A test rotation, as for a schedule that does not rotate immediately.
    let tested = sandbox.test_rotation(SECRET).await;
    assert!(tested.succeeded, "{:?}", tested.error());

    // A second key. The reply to its attachment to each plan is lost, so the retry finds it there.
    let lost = Fault::new(FaultKind::LostReply).on(Service::ApiGateway, "CreateUsagePlanKey");
    for plan in 0..shape.plans.max(1) {
        // For each plan, one reply is lost and one call is refused.
        sandbox.faults().inject(lost.clone().nth(2 * plan + 1));
    }
    env.rotate().await;
    assert!(
        count_calls(env, "GetUsagePlanKey") > 0,
        "nothing was found there"
    );

    // A rollback that the label event reports: the key is restored. Then another rotation.
    let secret = sandbox.secret(SECRET);
    let [current, previous] = ["AWSCURRENT", "AWSPREVIOUS"]
        .map(|label| secret.labelled(label).expect("it was rotated").id.clone());
    env.reconcile(named.clone()).await;
    sandbox.move_label(SECRET, "AWSCURRENT", Some(&current), Some(&previous));
    sandbox.deliveries_done().await;
    let delivered = sandbox.deliveries();
    assert!(
        delivered.iter().all(|one| one.result.is_ok()),
        "{delivered:?}"
    );
    assert!(env.current_key() == first, "it was not rolled back");
    env.rotate().await;
    if shape.serves.many() {
        // The function also gets events of other secrets.
        sandbox.create_secret("another", None);
        sandbox.put_secret("another", "HandMadeHandMadeHandMade2");
        sandbox.deliveries_done().await;
    }

    // The key is manually detached from its plans and then deleted; reconciliations correct both.
    let key = sandbox
        .key_with_value(&env.current_key())
        .expect("it exists");
    for plan in &key.plans {
        sandbox.detach_key(&key.id, plan);
    }
    env.reconcile(named.clone()).await;
    sandbox.delete_key(&key.id);
    env.reconcile(json!({})).await;
    assert!(sandbox.key_with_value(&env.current_key()).is_some());

    // The superseded keys are disabled and deleted when they are due. A status report comes first,
    // which needs no other permission.
    for days in [2, 8] {
        sandbox.advance(days * DAY);
        for status in [
            json!({ "Step": "status" }),
            json!({ "Step": "status", "SecretId": SECRET }),
        ] {
            env.reconcile(status).await;
        }
        env.reconcile(json!({})).await;
    }
    assert!(count_calls(env, "DeleteApiKey") > 0, "nothing was deleted");
    let is_notified = !sandbox.bus_events().is_empty();
    assert_eq!(is_notified, shape.bus.is_some(), "notices");

    // Another key is disabled at once.
    let leaked = env.current_key();
    env.rotate().await;
    env.reconcile(json!({"Step": "emergencyStop", "SecretId": SECRET}))
        .await;
    let leaked = sandbox.key_with_value(&leaked).expect("it exists");
    assert!(!leaked.enabled, "the leaked key works");
}

/// Runs the commands that a report shows the owner of an unmanaged key.
async fn hand_over(env: &TestEnv, report: &Value) {
    let commands = report["secrets"][0]["handOverCommands"].as_array();
    for line in commands.expect("there is a key to hand over") {
        env.shell(line.as_str().expect("a command")).await;
    }
}

fn count_calls(env: &TestEnv, operation: &str) -> usize {
    let calls = env.sandbox.calls();
    calls
        .iter()
        .filter(|call| call.operation == operation)
        .count()
}

fn with_events() -> Options {
    Options {
        label_events: Some(LabelRule::default()),
        ..Options::default()
    }
}

// Every permission is needed.

/// The role of every shape allows everything that its function does, and all of it is needed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_role_allows_exactly_what_is_needed() {
    let mut wrong = Vec::new();
    for (name, shape) in SHAPES {
        let env = shape.start(with_events()).await;
        run_lifecycle(&env, shape).await;
        let denials = env.roles.take_denials().into_iter();
        wrong.extend(denials.map(|denial| format!("{name}: denied: {denial}")));
        for (element, (text, needed)) in env.roles.elements() {
            if !needed {
                wrong.push(format!("{name}: no call needs {element} ({text})"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// Everything else is denied.

/// The answer to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Denied,
    /// The role allows it, whatever the service answers.
    Allowed,
}

/// A call with the credentials of the function.
struct Attempt {
    method: Method,
    path: String,
    /// The header `x-amz-target`, for services with the JSON protocol.
    target: Option<String>,
    input: Value,
}

impl Attempt {
    fn json(target: String, input: Value) -> Attempt {
        Attempt {
            method: Method::POST,
            path: "/".to_owned(),
            target: Some(target),
            input,
        }
    }

    fn secrets(operation: &str, input: Value) -> Attempt {
        Self::json(format!("secretsmanager.{operation}"), input)
    }

    /// An event of this source to this bus.
    fn event(source: &str, bus: &str) -> Attempt {
        let entry = json!({ "Source": source, "DetailType": "KeyDeleted", "Detail": "{}", "EventBusName": bus });
        Self::json(
            "AWSEvents.PutEvents".to_owned(),
            json!({ "Entries": [entry] }),
        )
    }

    fn api(method: Method, path: impl Into<String>, input: Value) -> Attempt {
        Attempt {
            method,
            path: path.into(),
            target: None,
            input,
        }
    }

    async fn make(self, env: &TestEnv) -> Answer {
        const SCOPE: &str = "20261122/us-east-1/x/aws4_request";
        let mut request = Request::builder()
            .method(self.method)
            .uri(format!("{}{}", env.sandbox.aws_url(), self.path))
            .header(
                "authorization",
                format!("AWS4-HMAC-SHA256 Credential={FUNCTION_ACCESS_KEY_ID}/{SCOPE}"),
            );
        if let Some(target) = self.target {
            request = request.header("x-amz-target", target);
        }
        let body = if self.input.is_null() {
            String::new()
        } else {
            self.input.to_string()
        };
        let request = request.body(body).expect("a valid request");
        let answer = http_client::send(request).await.expect("it answers");
        let error = answer.headers().get("x-amzn-errortype");
        if error.is_some_and(|error| error == "AccessDeniedException") {
            Answer::Denied
        } else {
            Answer::Allowed
        }
    }
}

/// Resources that the function does not manage: of other teams, and of another rotation function.
struct Others {
    secret: String,
    plan: String,
    /// A plan that the function puts keys on.
    own_plan: String,
    /// Another team's key, tagged by it.
    key: String,
    /// A key of another rotation function.
    sibling: String,
    /// A key of the function.
    own: String,
}

impl Others {
    fn beside(env: &TestEnv) -> Others {
        let sandbox = &env.sandbox;
        let secret =
            sandbox.create_secret("billing/partner-api-key", Some("HandMadeHandMadeHandMade2"));
        let key = sandbox.create_key("billing", "BillingBillingBillingBilling", &[]);
        sandbox.tag_key(&key, "team", "billing");
        let version = "99999999-9999-4999-8999-999999999999";
        let create = |value| create_managed_key(sandbox, SECRET, version, value, &[]);
        let sibling = create("SiblingSiblingSiblingSiblingSibling");
        sandbox.tag_key(&sibling, "rotation:function", "another");
        Others {
            secret,
            plan: sandbox.create_empty_usage_plan("billing"),
            own_plan: env.plans[0].clone(),
            key,
            sibling,
            own: create("OwnOwnOwnOwnOwnOwnOwnOwnOwnOwn"),
        }
    }
}

fn arn_in_path(key: &str) -> String {
    format!("arn%3Aaws%3Aapigateway%3A{REGION}%3A%3A%2Fapikeys%2F{key}")
}

/// Returns every call that is denied, or cannot be denied, with the expected answer for a shape.
#[allow(clippy::too_many_lines, reason = "it is a table")]
fn attempts(others: &Others, shape: Shape) -> Vec<(&'static str, Attempt, Answer)> {
    use Answer::{Allowed, Denied};
    let Others {
        secret,
        plan,
        own_plan,
        key,
        sibling,
        own,
    } = others;
    let id = |secret: &str| json!({ "SecretId": secret });
    let patch = || json!({ "patchOperations": [{ "op": "replace", "path": "/enabled", "value": "false" }] });
    let tags = || json!({ "tags": { "rotation:function": FUNCTION_NAME } });
    let member = || json!({ "keyId": own, "keyType": "API_KEY" });
    // Any plan may be inherited, so IAM cannot distinguish them.
    let is_any = shape.plans == 0 || shape.serves == Serves::Members;
    let any_plan = if is_any { Allowed } else { Denied };
    // A document may name any plan.
    let named_anywhere = if shape.serves == Serves::Members {
        Allowed
    } else {
        Denied
    };
    let token = if shape.mirror == Mirror::Token {
        Allowed
    } else {
        Denied
    };
    let notice = if shape.bus.is_some() { Allowed } else { Denied };
    let days = "startDate=2026-11-29&endDate=2026-11-30";
    let list = if shape.serves.many() { Allowed } else { Denied };
    let s = Attempt::secrets;
    let a = |method: &Method, path: String, input: Value| Attempt::api(method.clone(), path, input);
    let (get, post, put, delete) = (&Method::GET, &Method::POST, &Method::PUT, &Method::DELETE);
    vec![
        // Secrets.
        (
            "it reads another secret",
            s("GetSecretValue", id(secret)),
            Denied,
        ),
        (
            "it writes another secret",
            s(
                "PutSecretValue",
                json!({ "SecretId": secret, "SecretString": "x", "ClientRequestToken": "0".repeat(32), "VersionStages": ["AWSPENDING"] }),
            ),
            Denied,
        ),
        (
            "it moves a label of another secret",
            s(
                "UpdateSecretVersionStage",
                json!({ "SecretId": secret, "VersionStage": "AWSCURRENT" }),
            ),
            Denied,
        ),
        // A function that may list secrets, as only a fleet's may, can already read that.
        (
            "it describes another secret",
            s("DescribeSecret", id(secret)),
            list,
        ),
        (
            "it reads the token for Doppler",
            s("GetSecretValue", id(TOKEN_SECRET)),
            token,
        ),
        (
            "it writes the token for Doppler",
            s(
                "PutSecretValue",
                json!({ "SecretId": TOKEN_SECRET, "SecretString": "x" }),
            ),
            Denied,
        ),
        (
            "it moves a label of the token's secret",
            s(
                "UpdateSecretVersionStage",
                json!({ "SecretId": TOKEN_SECRET, "VersionStage": "AWSCURRENT" }),
            ),
            Denied,
        ),
        (
            "it deletes its own secret",
            s("DeleteSecret", id(SECRET)),
            Denied,
        ),
        (
            "it changes its own secret as a whole",
            s(
                "UpdateSecret",
                json!({ "SecretId": SECRET, "KmsKeyId": TOKEN_KEY }),
            ),
            Denied,
        ),
        (
            "it lets others read its own secret",
            s(
                "PutResourcePolicy",
                json!({ "SecretId": SECRET, "ResourcePolicy": "{}" }),
            ),
            Denied,
        ),
        (
            "it starts a rotation of its own secret",
            s("RotateSecret", id(SECRET)),
            Denied,
        ),
        (
            "it makes another secret its own",
            s(
                "RotateSecret",
                json!({ "SecretId": secret, "RotationLambdaARN": FUNCTION_ARN }),
            ),
            Denied,
        ),
        (
            "it ends the rotation of its own secret",
            s("CancelRotateSecret", id(SECRET)),
            Denied,
        ),
        (
            "it tags its own secret",
            s(
                "TagResource",
                json!({ "SecretId": SECRET, "Tags": [{ "Key": "a", "Value": "b" }] }),
            ),
            Denied,
        ),
        (
            "it makes a secret",
            s("CreateSecret", json!({ "Name": "mine" })),
            Denied,
        ),
        ("it lists secrets", s("ListSecrets", json!({})), list),
        // Plans.
        (
            "it puts a key on another plan",
            a(post, format!("/usageplans/{plan}/keys"), member()),
            any_plan,
        ),
        (
            "it reads a key of another plan, with its value",
            a(get, format!("/usageplans/{plan}/keys/{own}"), Value::Null),
            any_plan,
        ),
        // IAM knows the plan but not the key that is attached to it, whose value the answer shows. It knows a key
        // on a plan only by an id of API Gateway. Neither can be avoided for the function's own plan.
        (
            "it attaches another team's key to its own plan",
            a(
                post,
                format!("/usageplans/{own_plan}/keys"),
                json!({ "keyId": key, "keyType": "API_KEY" }),
            ),
            Allowed,
        ),
        (
            "it reads another team's key on its own plan, with its value",
            a(
                get,
                format!("/usageplans/{own_plan}/keys/{key}"),
                Value::Null,
            ),
            Allowed,
        ),
        // The reply shows the use of every key of a plan. IAM does not know which key is requested.
        (
            "it reads the use of its own plan",
            a(
                get,
                format!("/usageplans/{own_plan}/usage?{days}"),
                Value::Null,
            ),
            Allowed,
        ),
        (
            "it reads the use of another plan",
            a(get, format!("/usageplans/{plan}/usage?{days}"), Value::Null),
            any_plan,
        ),
        (
            "it changes the use of a key on its own plan",
            Attempt::api(
                Method::PATCH,
                format!("/usageplans/{own_plan}/keys/{own}/usage"),
                patch(),
            ),
            Denied,
        ),
        (
            "it lists the keys of a plan, with their values",
            a(get, format!("/usageplans/{plan}/keys"), Value::Null),
            // The list of all keys shows these values anyway.
            named_anywhere,
        ),
        (
            "it detaches a key from a plan",
            a(
                delete,
                format!("/usageplans/{plan}/keys/{own}"),
                Value::Null,
            ),
            Denied,
        ),
        (
            "it reads another plan",
            a(get, format!("/usageplans/{plan}"), Value::Null),
            named_anywhere,
        ),
        (
            "it makes a plan",
            a(post, "/usageplans".to_owned(), json!({ "name": "mine" })),
            Denied,
        ),
        (
            "it changes a plan",
            Attempt::api(Method::PATCH, format!("/usageplans/{plan}"), patch()),
            Denied,
        ),
        (
            "it deletes a plan",
            a(delete, format!("/usageplans/{plan}"), Value::Null),
            Denied,
        ),
        // Keys.
        (
            "it changes another team's key",
            Attempt::api(Method::PATCH, format!("/apikeys/{key}"), patch()),
            Denied,
        ),
        (
            "it deletes another team's key",
            a(delete, format!("/apikeys/{key}"), Value::Null),
            Denied,
        ),
        (
            "it changes a key of another function",
            Attempt::api(Method::PATCH, format!("/apikeys/{sibling}"), patch()),
            Denied,
        ),
        (
            "it deletes a key of another function",
            a(delete, format!("/apikeys/{sibling}"), Value::Null),
            Denied,
        ),
        (
            "it reads one key, its own even",
            a(
                get,
                format!("/apikeys/{own}?includeValue=true"),
                Value::Null,
            ),
            Denied,
        ),
        // Only this list finds a key by its value or name, and IAM does not distinguish lists with values from
        // those without, so this cannot be avoided.
        (
            "it reads all keys with their values",
            a(get, "/apikeys?includeValues=true".to_owned(), Value::Null),
            Allowed,
        ),
        (
            "it makes a key with the name of another function",
            a(
                post,
                "/apikeys".to_owned(),
                json!({ "name": "x", "tags": { "rotation:function": "another" } }),
            ),
            Denied,
        ),
        (
            "it makes a key with tags that are not its own",
            a(
                post,
                "/apikeys".to_owned(),
                json!({ "name": "x", "tags": { "rotation:function": FUNCTION_NAME, "team": "billing" } }),
            ),
            Denied,
        ),
        // Tags.
        (
            "it tags another team's key as its own",
            a(put, format!("/tags/{}", arn_in_path(key)), tags()),
            Denied,
        ),
        (
            "it tags a plan",
            a(
                put,
                format!("/tags/arn%3Aaws%3Aapigateway%3A{REGION}%3A%3A%2Fusageplans%2F{plan}"),
                tags(),
            ),
            Denied,
        ),
        (
            "it removes tags from a key",
            a(
                delete,
                format!("/tags/{}?tagKeys=team", arn_in_path(key)),
                Value::Null,
            ),
            Denied,
        ),
        (
            "it reads tags",
            a(get, format!("/tags/{}", arn_in_path(key)), Value::Null),
            Denied,
        ),
        // Events.
        (
            "it sends a notice",
            Attempt::event("api-key-rotation", BUS),
            notice,
        ),
        (
            "it sends a notice to another bus",
            Attempt::event("api-key-rotation", "default"),
            Denied,
        ),
        (
            "it sends an event of another source",
            Attempt::event("billing", BUS),
            Denied,
        ),
        (
            "it makes a bus",
            Attempt::json(
                "AWSEvents.CreateEventBus".to_owned(),
                json!({ "Name": "mine" }),
            ),
            Denied,
        ),
        // Everything else that API Gateway has.
        (
            "it makes an API",
            a(post, "/restapis".to_owned(), json!({ "name": "mine" })),
            Denied,
        ),
        (
            "it deletes an API",
            a(delete, format!("/restapis/{REST_API_ID}"), Value::Null),
            Denied,
        ),
        (
            "it imports keys",
            Attempt::api(Method::PUT, "/apikeys".to_owned(), Value::Null),
            Denied,
        ),
    ]
}

/// No shape of the role allows access to resources that the function does not manage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_role_allows_access_to_foreign_resources() {
    let mut wrong = Vec::new();
    for (name, shape) in SHAPES {
        let env = shape.start(Options::default()).await;
        let others = Others::beside(&env);
        // Every resource has the tag or the name that a permission might match. The function's own key is the control.
        let own = Attempt::api(
            Method::PATCH,
            format!("/apikeys/{}", others.own),
            json!({ "patchOperations": [] }),
        );
        assert_eq!(own.make(&env).await, Answer::Allowed, "{name}: its own key");
        for (what, attempt, expected) in attempts(&others, shape) {
            let answer = attempt.make(&env).await;
            if answer != expected {
                wrong.push(format!("{name}: {what}: {answer:?}"));
            }
        }
        drop(env.roles.take_denials());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Calls that the sandbox does not serve, which no shape may allow, by the ARNs of the secret and of the
/// Doppler token.
///
/// With another ARN, a call to a KMS key would be denied for its context and prove nothing.
#[allow(clippy::too_many_lines, reason = "it is a table")]
fn never(own: &str, token: &str) -> Vec<(&'static str, Check)> {
    let via = format!("secretsmanager.{REGION}.amazonaws.com");
    let logs =
        |group: &str| format!("arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}:log-stream:x");
    let account = "kms:CallerAccount";
    let context = "kms:EncryptionContext:SecretARN";
    let mut never = vec![
        (
            "IAM",
            Check::new(
                "iam:PutRolePolicy",
                format!("arn:aws:iam::{ACCOUNT}:role/rotation-Role"),
            ),
        ),
        (
            "IAM, to pass a role on",
            Check::new("iam:PassRole", format!("arn:aws:iam::{ACCOUNT}:role/admin")),
        ),
        (
            "another role",
            Check::new(
                "sts:AssumeRole",
                format!("arn:aws:iam::{ACCOUNT}:role/admin"),
            ),
        ),
        ("itself", Check::new("lambda:InvokeFunction", FUNCTION_ARN)),
        (
            "its own code",
            Check::new("lambda:UpdateFunctionCode", FUNCTION_ARN),
        ),
        (
            "its own settings",
            Check::new("lambda:UpdateFunctionConfiguration", FUNCTION_ARN),
        ),
        (
            "a log group",
            Check::new("logs:CreateLogGroup", logs("/aws/lambda/rotation")),
        ),
        (
            "another function's log",
            Check::new("logs:PutLogEvents", logs("/aws/lambda/rotation-2")),
        ),
        (
            "its own log, to read",
            Check::new("logs:GetLogEvents", logs("/aws/lambda/rotation")),
        ),
        (
            "metrics, which it writes to its log",
            Check::new("cloudwatch:PutMetricData", "*"),
        ),
        (
            "secrets in a batch",
            Check::new("secretsmanager:BatchGetSecretValue", "*"),
        ),
        (
            "a password from Secrets Manager, which it does not use",
            Check::new("secretsmanager:GetRandomPassword", "*"),
        ),
        (
            "a replica of its secret",
            Check::new("secretsmanager:ReplicateSecretToRegions", own),
        ),
        (
            "a rule of its bus",
            Check::new(
                "events:PutRule",
                format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/{BUS}/mine"),
            ),
        ),
        (
            "mail to owners, which the rule sends",
            Check::new(
                "sns:Publish",
                format!("arn:aws:sns:{REGION}:{ACCOUNT}:key-owners"),
            ),
        ),
        (
            "an API in another Region",
            Check::new(
                "apigateway:GET",
                "arn:aws:apigateway:eu-west-1::/usageplans",
            ),
        ),
    ];
    for (key, secret, what) in [
        (KEY, own, "the secret's KMS key"),
        (TOKEN_KEY, token, "the token's KMS key"),
    ] {
        let check = |action: &str| Check::new(action, key).with(account, ACCOUNT);
        for action in ["kms:Decrypt", "kms:GenerateDataKey"] {
            never.extend([
                (what, check(action)),
                // What the role may request from Secrets Manager, requested from KMS directly.
                (what, check(action).with(context, secret)),
                (what, check(action).with("kms:ViaService", &via)),
                (
                    what,
                    check(action)
                        .with("kms:ViaService", "s3.us-east-1.amazonaws.com")
                        .with(context, secret),
                ),
            ]);
        }
        for action in [
            "kms:Encrypt",
            "kms:ReEncryptFrom",
            "kms:CreateGrant",
            "kms:PutKeyPolicy",
            "kms:ScheduleKeyDeletion",
        ] {
            never.push((
                what,
                check(action)
                    .with("kms:ViaService", &via)
                    .with(context, secret),
            ));
        }
    }
    never
}

/// No shape of the role allows other services, or a KMS key directly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_role_allows_other_services_or_kms() {
    let mut wrong = Vec::new();
    for (name, shape) in SHAPES {
        let env = shape.start(Options::default()).await;
        let role = env.roles.current();
        let [own, token] = [SECRET, TOKEN_SECRET].map(|name| env.sandbox.secret(name).arn);
        for (what, check) in never(&own, &token) {
            if role.allows(&check) {
                wrong.push(format!("{name}: {what}: {check}"));
            }
        }
        for plan in &env.plans {
            for (action, rest) in [
                ("POST", "/keys"),
                ("GET", "/keys/a1b2c3d4e5"),
                ("GET", "/usage"),
                ("GET", ""),
            ] {
                let arn = format!("arn:aws:apigateway:eu-west-1::/usageplans/{plan}{rest}");
                let check = Check::new(format!("apigateway:{action}"), arn);
                if role.allows(&check.with("aws:RequestedRegion", "eu-west-1")) {
                    wrong.push(format!(
                        "{name}: {action} on {plan}{rest} in another Region"
                    ));
                }
            }
        }
        // The KMS keys decrypt the function's own secrets, and no others.
        let using = |action: &str, key: &str, arn: &str| {
            let check = Check::new(action, key).with("kms:CallerAccount", ACCOUNT);
            let via = format!("secretsmanager.{REGION}.amazonaws.com");
            let check = check.with("kms:ViaService", via);
            role.allows(&check.with("kms:EncryptionContext:SecretARN", arn))
        };
        let other = env.sandbox.create_secret("another", None);
        let has_token = shape.keys && shape.mirror == Mirror::Token;
        for (action, key, arn, expected) in [
            ("kms:Decrypt", KEY, &own, shape.keys),
            ("kms:GenerateDataKey", KEY, &own, shape.keys),
            ("kms:Decrypt", TOKEN_KEY, &token, has_token),
            ("kms:GenerateDataKey", TOKEN_KEY, &token, false),
            ("kms:Decrypt", TOKEN_KEY, &own, false),
            // The role does not name the secrets of a fleet: Secrets Manager's condition decides.
            (
                "kms:Decrypt",
                KEY,
                &other,
                shape.keys && shape.serves.many(),
            ),
        ] {
            if using(action, key, arn) != expected {
                wrong.push(format!("{name}: {action} on {key} for {arn}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

// Wildcards.

/// Every entry of the role with a wildcard, in an example Region and account, and why AWS allows nothing narrower.
const WILDCARDS: [(&str, &str, &str); 12] = [
    (
        "Logs",
        "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/rotation:*",
        "Lambda names the streams",
    ),
    (
        "RotatedSecret",
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:*",
        "of a fleet: the condition names its secrets",
    ),
    (
        "KeyOfRotatedSecret",
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:*",
        "of a fleet: KMS does not know whose rotation function it is",
    ),
    (
        "DopplerLogin",
        "*",
        "sts:GetWebIdentityToken knows no resources; the conditions name the audience",
    ),
    (
        "FindSecrets",
        "*",
        "of a fleet: ListSecrets knows no resources",
    ),
    (
        "SeeSecrets",
        "arn:aws:secretsmanager:us-east-1:123456789012:secret:*",
        "of a fleet: EventBridge sends events of every secret; shows what the list shows",
    ),
    (
        "TagsOfNewApiKeys",
        "arn:aws:apigateway:us-east-1::/tags/arn%3Aaws%3Aapigateway%3Aus-east-1%3A%3A%2Fapikeys%2F*",
        "the key has no id yet",
    ),
    (
        "OwnApiKeys",
        "arn:aws:apigateway:us-east-1::/apikeys/*",
        "API Gateway assigns the ids; the condition names the tag",
    ),
    (
        "GivenUsagePlans",
        "arn:aws:apigateway:us-east-1::/usageplans/*",
        "of a fleet: documents name the plans",
    ),
    (
        "AddToUsagePlans",
        "arn:aws:apigateway:us-east-1::/usageplans/*/keys",
        "the plans are those of the current key",
    ),
    (
        "KeysOfUsagePlans",
        "arn:aws:apigateway:us-east-1::/usageplans/*/keys/*",
        "the plans are those of the current key; API Gateway assigns the ids",
    ),
    (
        "UseOfKeys",
        "arn:aws:apigateway:us-east-1::/usageplans/*/usage",
        "the plans are those of the current key",
    ),
];

/// Every wildcard of the role is one that AWS requires.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_wildcard_in_role_is_unavoidable() {
    let mut found = BTreeMap::<(String, String), BTreeSet<&str>>::new();
    for (name, shape) in SHAPES {
        let env = shape.start(Options::default()).await;
        for (element, (text, _)) in env.roles.elements() {
            // The names of plans differ in each environment.
            let text = env
                .plans
                .iter()
                .enumerate()
                .fold(text, |text, (number, plan)| {
                    text.replace(plan, &format!("plan{number}"))
                });
            if text.contains(['*', '?']) {
                found
                    .entry((element.statement, text))
                    .or_default()
                    .insert(name);
            }
        }
    }
    let permitted = WILDCARDS.iter();
    let mut permitted: BTreeSet<_> = permitted
        .map(|(sid, text, _)| ((*sid).to_owned(), (*text).to_owned()))
        .collect();
    // For configured plans. CloudFormation joins only with a literal, hence the stars for partition and Region.
    // A condition limits the Region, and an account has one partition. API Gateway assigns the ids of keys.
    for plan in ["plan0", "plan1"] {
        for (sid, rest) in [
            ("GivenUsagePlans", ""),
            ("AddToUsagePlans", "/keys"),
            ("KeysOfUsagePlans", "/keys/*"),
            ("UseOfKeys", "/usage"),
        ] {
            let arn = format!("arn:*:apigateway:*::/usageplans/{plan}{rest}");
            permitted.insert((sid.to_owned(), arn));
        }
    }
    for wildcard in &permitted {
        assert!(
            found.contains_key(wildcard),
            "{wildcard:?} is permitted but not used"
        );
    }
    found.retain(|wildcard, _| !permitted.contains(wildcard));
    assert!(found.is_empty(), "{found:#?}");
}

// Who may assume the role, and who may invoke the function.

/// Only Lambda assumes the role, and only the secret invokes the function.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_lambda_and_secret_may_use_function() {
    let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:shop/key-AbCdEf";
    let every = "arn:aws:secretsmanager:us-east-1:123456789012:secret:*";
    let text = |text: &str| text.to_owned();
    let new = [("SecretName", "shop/key"), ("UsagePlanIds", "a1b2c3")];
    for (parameters, source) in [
        (&new[..], arn),
        (&[("ExistingSecretArn", arn)], arn),
        (&[("Fleet", "true")], every),
    ] {
        let made = BTreeMap::from([(text("Secret"), text(arn))]);
        let parameters = parameters
            .iter()
            .map(|(name, value)| (text(name), text(value)));
        let stack = stack(FUNCTION_NAME, parameters.collect(), made);
        let resource = |name| {
            let resource = stack.resource(name).expect("it can be read");
            resource.expect("it is created")["Properties"].clone()
        };
        assert_eq!(
            resource("Role")["AssumeRolePolicyDocument"],
            json!({
                "Version": "2012-10-17",
                "Statement": [{
                    "Effect": "Allow",
                    "Principal": { "Service": "lambda.amazonaws.com" },
                    "Action": "sts:AssumeRole",
                }],
            })
        );
        let permission = resource("SecretsManagerMayInvoke");
        assert_eq!(permission["Principal"], "secretsmanager.amazonaws.com");
        assert_eq!(permission["Action"], "lambda:InvokeFunction");
        assert_eq!(permission["FunctionName"], FUNCTION_ARN);
        assert_eq!(permission["SourceAccount"], ACCOUNT);
        assert_eq!(permission["SourceArn"], source);
    }
}

/// SAM expands the function alone: every permission is in the template.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expanded_template_differs_in_function_alone() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut expand = Command::new(tool("python"));
    expand
        .arg(here.join("tests/tools/expand.py"))
        .arg(here.join("template.yaml"));
    let expanded = stdout_of(expand, "expand.py").await;
    let expanded = Template::parse(&expanded).expect("it is a template");
    let (resources, written) = (expanded.section("Resources"), TEMPLATE.section("Resources"));
    // SAM expands the function alone, and adds nothing.
    for (name, resource) in resources {
        if name != "RotationFunction" {
            assert_eq!(Some(resource), written.get(name), "{name}");
        }
    }
    assert_eq!(resources.len(), written.len());
    assert_eq!(
        resources["RotationFunction"]["Type"],
        "AWS::Lambda::Function"
    );
}

/// Nothing in the template grants permissions except the one role, and the permissions to invoke the function: of Secrets
/// Manager and of three rules.
#[test]
fn template_grants_one_role_and_four_permissions() {
    let resources = TEMPLATE.section("Resources");
    let kinds = resources.values().map(|resource| {
        // SAM creates policies from these.
        assert_eq!(resource.get("Connectors"), None);
        resource["Type"].as_str().expect("a resource has a type")
    });
    // A saved query alone reads nothing.
    let watches = |kind: &&str| {
        kind.starts_with("AWS::CloudWatch::") || *kind == "AWS::Logs::QueryDefinition"
    };
    let mut kinds: Vec<_> = kinds.filter(|kind| !watches(kind)).collect();
    kinds.sort_unstable();
    assert_eq!(
        kinds,
        [
            // Three invoke the function. The topic's own policy decides whether the fourth may publish.
            "AWS::Events::Rule",
            "AWS::Events::Rule",
            "AWS::Events::Rule",
            "AWS::Events::Rule",
            "AWS::IAM::Role",
            "AWS::Lambda::Permission",
            "AWS::Lambda::Permission",
            "AWS::Lambda::Permission",
            "AWS::Lambda::Permission",
            "AWS::Logs::LogGroup",
            "AWS::SecretsManager::RotationSchedule",
            "AWS::SecretsManager::Secret",
            "AWS::Serverless::Function",
        ]
    );
}

/// A Doppler token can be read only if there are targets.
#[test]
fn doppler_token_is_readable_only_with_targets() {
    let arn =
        |name: &str| format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-AbCdEf");
    for (targets, allowed) in [("", false), ("acme/prd/PARTNER_API_KEY", true)] {
        let parameters = [
            ("ExistingSecretArn", arn("shop/key")),
            ("DopplerTokenSecretArn", arn("shop/token")),
            ("DopplerTargets", targets.to_owned()),
        ];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value));
        let stack = stack(FUNCTION_NAME, parameters.into(), BTreeMap::new());
        let check = Check::new("secretsmanager:GetSecretValue", arn("shop/token"));
        assert_eq!(role_in(&stack).allows(&check), allowed, "{targets:?}");
    }
}

/// A fleet's role reaches the documents that it is given, and only the plans of `FleetUsagePlanIds`
/// where those are given.
#[test]
fn role_reaches_given_documents_and_plans_only() {
    let arn =
        |name: &str| format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-AbCdEf");
    let documents = [arn("rotation/fleet-1"), arn("rotation/fleet-2")].join(",");
    let role = |plans: &str| {
        let parameters = [
            ("Fleet", "true"),
            ("FleetConfigSecretArns", &documents),
            ("FleetUsagePlanIds", plans),
        ];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        role_in(&stack(FUNCTION_NAME, parameters.into(), BTreeMap::new()))
    };
    for (name, action, allowed) in [
        ("rotation/fleet-1", "GetSecretValue", true),
        ("rotation/fleet-2", "GetSecretValue", true),
        ("rotation/fleet-3", "GetSecretValue", false),
        ("rotation/fleet-1", "PutSecretValue", false),
        ("rotation/fleet-1", "UpdateSecretVersionStage", false),
    ] {
        let check = Check::new(format!("secretsmanager:{action}"), arn(name));
        assert_eq!(role("").allows(&check), allowed, "{action} {name}");
    }
    let attaches = |plans: &str, plan: &str| {
        let keys = format!("arn:aws:apigateway:{REGION}::/usageplans/{plan}/keys");
        role(plans).allows(&Check::new("apigateway:POST", keys).with("aws:RequestedRegion", REGION))
    };
    for (plans, plan, allowed) in [
        ("", "a1b2c3", true),
        ("a1b2c3,d4e5f6", "d4e5f6", true),
        ("a1b2c3,d4e5f6", "g7h8i9", false),
    ] {
        assert_eq!(attaches(plans, plan), allowed, "{plans:?} {plan}");
    }
}

/// The token for Doppler can be requested for one audience, for five minutes at most, and only with an
/// identity.
#[test]
fn login_is_allowed_for_one_audience() {
    const ID: &str = "0b1f0a6e-58c5-4b1c-9f0e-2d1a7c3e9b44";
    let secret = format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:shop/key-AbCdEf");
    let role = |more: &[(&str, &str)]| {
        let parameters = [
            ("ExistingSecretArn", secret.as_str()),
            ("DopplerTargets", "acme/prd/PARTNER_API_KEY"),
        ];
        let parameters = parameters.iter().chain(more);
        let parameters = parameters.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        role_in(&stack(FUNCTION_NAME, parameters.collect(), BTreeMap::new()))
    };
    let call = |audiences: &[&str], algorithm: &str, seconds: &str| {
        let audiences = audiences.iter().map(ToString::to_string);
        Check::new("sts:GetWebIdentityToken", "*")
            .with_all("sts:IdentityTokenAudience", audiences)
            .with("sts:SigningAlgorithm", algorithm)
            .with("sts:DurationSeconds", seconds)
    };
    let own = format!("doppler/{ID}");
    let keyless = role(&[("DopplerIdentity", ID)]);
    assert!(keyless.allows(&call(&[&own], "RS256", "300")));
    for denied in [
        call(&[], "RS256", "300"),
        call(&["doppler/another"], "RS256", "300"),
        call(&[&own, "sts.amazonaws.com"], "RS256", "300"),
        call(&[&own], "ES384", "300"),
        call(&[&own], "RS256", "301"),
        Check::new("sts:TagGetWebIdentityToken", "*"),
        Check::new("sts:AssumeRole", "*"),
        Check::new("secretsmanager:GetSecretValue", format!("{secret}x")),
    ] {
        assert!(!keyless.allows(&denied), "{denied:?}");
    }
    let chosen = role(&[("DopplerIdentity", ID), ("DopplerAudience", "doppler/shop")]);
    assert!(chosen.allows(&call(&["doppler/shop"], "RS256", "300")));
    assert!(!chosen.allows(&call(&[&own], "RS256", "300")));
    let stored = format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:shop/token-AbCdEf");
    let stored = role(&[("DopplerTokenSecretArn", stored.as_str())]);
    assert!(!stored.allows(&call(&[&own], "RS256", "300")));
}

/// The use of keys can be read only on configured plans, and only if it is requested. Notices can be
/// sent only to a configured bus.
#[test]
fn rights_on_use_and_bus_follow_parameters() {
    let secret = format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:shop/key-AbCdEf");
    let role = |parameters: &[(&str, &str)]| {
        let existing = ("ExistingSecretArn", secret.as_str());
        let parameters = parameters.iter().chain([&existing]);
        let parameters = parameters.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        role_in(&stack(FUNCTION_NAME, parameters.collect(), BTreeMap::new()))
    };
    let reads = |parameters: &[(&str, &str)], plan: &str| {
        let arn = format!("arn:aws:apigateway:{REGION}::/usageplans/{plan}/usage");
        role(parameters)
            .allows(&Check::new("apigateway:GET", arn).with("aws:RequestedRegion", REGION))
    };
    let plans = ("UsagePlanIds", "a1b2c3,d4e5f6");
    for (parameters, plan, allowed) in [
        (&[][..], "a1b2c3", true),
        (&[("HoldWhileUsed", "0s")], "a1b2c3", false),
        (&[plans], "a1b2c3", true),
        (&[plans], "d4e5f6", true),
        // The plan of a superseded key, which was configured before.
        (&[plans], "g7h8i9", false),
        (&[plans, ("HoldWhileUsed", "0s")], "a1b2c3", false),
    ] {
        assert_eq!(reads(parameters, plan), allowed, "{parameters:?} {plan}");
    }
    let sends = |parameters: &[(&str, &str)], bus: &str| {
        let arn = format!("arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{bus}");
        role(parameters)
            .allows(&Check::new("events:PutEvents", arn).with("events:source", "api-key-rotation"))
    };
    for (parameters, bus, allowed) in [
        (&[][..], "default", false),
        (&[("EventBusName", "default")], "default", true),
        (&[("EventBusName", "default")], "keys", false),
    ] {
        assert_eq!(sends(parameters, bus), allowed, "{parameters:?} {bus}");
    }
}

/// In a VPC, Lambda may manage network interfaces with the role, and the code of the function may not.
#[test]
fn vpc_rights_are_for_lambda_alone() {
    let secret = format!("arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:shop/key-AbCdEf");
    let role = |vpc: &[(&str, &str)]| {
        let existing = ("ExistingSecretArn", secret.as_str());
        let parameters = vpc.iter().chain([&existing]);
        let parameters = parameters.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        role_in(&stack(FUNCTION_NAME, parameters.collect(), BTreeMap::new()))
    };
    let inside = role(&[
        ("SubnetIds", "subnet-0a1b2c3d"),
        ("SecurityGroupIds", "sg-0a1b2c3d"),
    ]);
    let outside = role(&[]);
    for action in [
        "CreateNetworkInterface",
        "DescribeNetworkInterfaces",
        "DescribeSubnets",
        "DeleteNetworkInterface",
        "AssignPrivateIpAddresses",
        "UnassignPrivateIpAddresses",
    ] {
        let of_lambda = Check::new(format!("ec2:{action}"), "*");
        let of_code = of_lambda
            .clone()
            .with("lambda:SourceFunctionArn", FUNCTION_ARN);
        assert!(inside.allows(&of_lambda), "{action}");
        assert!(!inside.allows(&of_code), "{action}");
        assert!(!outside.allows(&of_lambda), "{action}");
    }
    assert!(!inside.allows(&Check::new("ec2:RunInstances", "*")));
    // Its own secret is not affected by the denial.
    let own = Check::new("secretsmanager:GetSecretValue", secret.as_str())
        .with("lambda:SourceFunctionArn", FUNCTION_ARN);
    assert!(inside.allows(&own));
}

/// The wider permissions widen their own statement and nothing else.
#[test]
fn wider_permissions_widen_only_their_statement() {
    let own = "arn:aws:secretsmanager:us-east-1:123456789012:secret:shop/key-AbCdEf";
    let token = "arn:aws:secretsmanager:us-east-1:123456789012:secret:shop/token-GhIjKl";
    let role = |wider: &[&str]| {
        let parameters = [
            ("ExistingSecretArn", own),
            ("KmsKeyArn", KEY),
            ("DopplerTargets", "acme/prd/PARTNER_API_KEY"),
            ("DopplerTokenSecretArn", token),
            ("DopplerTokenKmsKeyArn", TOKEN_KEY),
        ];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut parameters = BTreeMap::from(parameters);
        parameters.extend(
            wider
                .iter()
                .map(|name| ((*name).to_owned(), "true".to_owned())),
        );
        role_in(&stack(FUNCTION_NAME, parameters, BTreeMap::new()))
    };
    let key = "arn:aws:apigateway:us-east-1::/apikeys/a1b2c3d4e5";
    let [narrow, keys, tags] = [
        role(&[]),
        role(&["WiderKeyPermission"]),
        role(&["WiderTagPermission"]),
    ];
    for action in ["apigateway:PATCH", "apigateway:DELETE"] {
        let check = Check::new(action, key);
        assert!(keys.allows(&check), "{check}");
        assert!(!narrow.allows(&check) && !tags.allows(&check), "{check}");
    }
    let tagging = Check::new(
        "apigateway:PUT",
        "arn:aws:apigateway:us-east-1::/tags/another",
    )
    .with("aws:RequestTag/rotation:function", FUNCTION_NAME)
    .with_all("aws:TagKeys", ["rotation:function".to_owned()]);
    assert!(tags.allows(&tagging), "{tagging}");
    assert!(
        !narrow.allows(&tagging) && !keys.allows(&tagging),
        "{tagging}"
    );
    for role in [narrow, keys, tags] {
        for (what, check) in never(own, token) {
            assert!(!role.allows(&check), "{what}: {check}");
        }
        assert!(!role.allows(&Check::new(
            "apigateway:PATCH",
            "arn:aws:apigateway:us-east-1::/usageplans/a1b2c3"
        )));
    }
    assert!(TEMPLATE.has_parameter("WiderKeyPermission"));
}

// Denied calls.

/// The role also denies what a function refuses on its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn role_denies_what_function_refuses() {
    let env = TestEnvBuilder::plain().start().await;
    env.sandbox.create_secret("another", Some(UNMANAGED));
    env.sandbox.clear_calls();
    for secret in ["another", TOKEN_SECRET] {
        let event = json!({ "Step": "reconcile", "SecretId": secret }).to_string();
        let answer = env.sandbox.invoke(event).await.result;
        answer.expect_err("it is refused");
    }
    let denials = env.roles.take_denials();
    let operations: Vec<_> = denials
        .iter()
        .map(|denial| denial.operation.as_str())
        .collect();
    assert_eq!(operations, ["DescribeSecret", "DescribeSecret"]);
    assert_eq!(env.sandbox.calls().len(), 2, "it continued anyway");
}

/// A fleet ignores the event of a secret that another function rotates, without a failure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_secret_in_fleet_is_ignored() {
    let shape = Shape {
        serves: Serves::Fleet,
        ..SMALLEST
    };
    let env = shape.start(with_events()).await;
    env.sandbox.create_secret("another", None);
    env.sandbox
        .put_secret("another", "HandMadeHandMadeHandMade2");
    env.sandbox.deliveries_done().await;
    let deliveries = env.sandbox.deliveries();
    assert!(!deliveries.is_empty(), "there was no event");
    for delivery in deliveries {
        assert!(delivery.result.is_ok(), "{delivery:?}");
    }
}

/// Where AWS denies access to a deleted key, the next reconciliation sees that it was deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denied_missing_key_is_noticed_next_time() {
    let options = Options {
        missing_key_is_denied: true,
        ..Options::default()
    };
    let env = TestEnvBuilder {
        options,
        ..TestEnvBuilder::plain()
    }
    .start()
    .await;
    env.rotate().await;
    let superseded = env.current_key();
    env.rotate().await;
    for days in [2, 8] {
        env.sandbox.advance(days * DAY);
        if days == 8 {
            // The reply is lost, and the client tries again.
            let lost = Fault::new(FaultKind::LostReply).on(Service::ApiGateway, "DeleteApiKey");
            env.sandbox.faults().inject(lost);
        }
        env.reconcile(json!({})).await;
    }
    assert!(env.sandbox.key_with_value(&superseded).is_none());
    let denials = env.roles.take_denials();
    // More than one, since the client takes the denial for clock skew: the sandbox's clock has just jumped.
    assert!(!denials.is_empty());
    for denial in &denials {
        assert_eq!(denial.check.action(), "apigateway:DELETE");
    }
    let report = env.reconcile(json!({})).await;
    assert_eq!(report["totals"]["failures"], 0, "{report}");
    env.assert_agreement().await;
}
