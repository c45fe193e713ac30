//! Malformed replies of every service to the real function.
//!
//! A reply is malformed here, but it does not lie: a well-formed reply with a wrong value of a secret or a
//! key cannot be distinguished from the truth.

use std::collections::BTreeMap;
use std::fmt;
use std::panic;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use api_key_rotation::decision::Supersession;
use api_key_rotation::ids::VersionId;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use sandbox::{Fault, FaultHandle, FaultKind, FunctionError, KeySnapshot, Options, Service};
use serde_json::json;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use crate::support::emitted::values;
use crate::support::exhaustive::is_exhaustive;
use crate::support::fleet::{PEER_TARGET, join_fleet};
use crate::support::generators::{
    edited, edited_bytes, json, key_value, noise, object, quoted, runner, shows_a_value, string,
    value,
};
use crate::support::{CONFIG, PROJECT, SECRET, TestEnv, TestEnvBuilder};

/// The run that gets a malformed reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Run {
    Rotation,
    Reconciliation,
    /// A reconciliation of every secret of the function.
    Everything,
    /// A reconciliation of a fleet whose function stores no token.
    Fleet,
}

impl Run {
    /// Whether it is of one secret.
    fn is_of_one(self) -> bool {
        matches!(self, Self::Rotation | Self::Reconciliation)
    }
}

/// The calls that get malformed replies.
const CALLS: [(Run, Service, &str); 32] = {
    use Run::{Everything, Fleet, Reconciliation, Rotation};
    use Service::{ApiGateway, Doppler, EventBridge, SecretsManager, Sts};
    [
        (Rotation, SecretsManager, "DescribeSecret"),
        (Rotation, SecretsManager, "GetSecretValue"),
        (Rotation, SecretsManager, "PutSecretValue"),
        (Rotation, SecretsManager, "UpdateSecretVersionStage"),
        (Rotation, ApiGateway, "CreateApiKey"),
        (Rotation, ApiGateway, "CreateUsagePlanKey"),
        (Rotation, ApiGateway, "GetUsagePlanKey"),
        (Rotation, ApiGateway, "GetUsagePlans"),
        (Rotation, ApiGateway, "GetApiKeys"),
        (Rotation, ApiGateway, "UpdateApiKey"),
        (Rotation, Doppler, "GetSecret"),
        (Rotation, Doppler, "UpdateSecrets"),
        (Reconciliation, SecretsManager, "DescribeSecret"),
        (Reconciliation, SecretsManager, "GetSecretValue"),
        (Reconciliation, ApiGateway, "GetApiKeys"),
        (Reconciliation, ApiGateway, "GetUsagePlans"),
        (Reconciliation, ApiGateway, "GetUsage"),
        (Reconciliation, ApiGateway, "CreateApiKey"),
        (Reconciliation, ApiGateway, "CreateUsagePlanKey"),
        (Reconciliation, ApiGateway, "UpdateApiKey"),
        (Reconciliation, ApiGateway, "DeleteApiKey"),
        (Reconciliation, Doppler, "GetSecret"),
        (Reconciliation, Doppler, "UpdateSecrets"),
        (Reconciliation, EventBridge, "PutEvents"),
        (Everything, SecretsManager, "ListSecrets"),
        (Everything, SecretsManager, "DescribeSecret"),
        (Fleet, SecretsManager, "GetSecretValue"),
        (Fleet, SecretsManager, "ListSecrets"),
        (Fleet, Sts, "GetWebIdentityToken"),
        (Fleet, Doppler, LOGIN),
        (Fleet, Doppler, "ListSecrets"),
        (Fleet, Doppler, "UpdateSecrets"),
    ]
};

/// The login to Doppler.
const LOGIN: &str = "OidcLogin";

/// The calls that a process makes once, as long as its token is accepted.
const LOGINS: [&str; 2] = ["GetWebIdentityToken", LOGIN];

/// The function's timeout. It is longer in an exhaustive run, where many processes share the processor.
fn timeout() -> Duration {
    Duration::from_secs(if is_exhaustive() { 20 } else { 10 })
}

/// One malformed reply. `$ARN` and similar words in its body are replaced by the values of the environment.
#[derive(Clone)]
struct Garbage {
    status: u16,
    content_type: &'static str,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
    /// Whether the call has its effect anyway.
    effect: bool,
    /// Which of the calls gets it; `None`: all of them.
    nth: Option<usize>,
}

impl fmt::Debug for Garbage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            status,
            content_type,
            headers,
            body,
            effect,
            nth,
        } = self;
        let begins = String::from_utf8_lossy(&body[..body.len().min(1_000)]);
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name, String::from_utf8_lossy(value)))
            .collect();
        write!(
            out,
            "{status} {content_type} {headers:?}, effect: {effect}, nth: {nth:?}, {} bytes: {begins}",
            body.len()
        )
    }
}

fn garbage(service: Service, operation: &'static str) -> BoxedStrategy<Garbage> {
    let status = prop_oneof![
        6 => Just(200),
        1 => select(vec![201, 202, 204, 205, 206, 226, 299]),
        1 => select(vec![300, 301, 302, 304, 307, 399]),
        2 => select(vec![400, 401, 403, 404, 408, 409, 418, 429, 499]),
        1 => select(vec![500, 501, 502, 503, 504, 599, 600, 999]),
    ];
    let content_type = select(vec![
        "application/json",
        "application/json",
        "application/x-amz-json-1.1",
        "text/html; charset=utf-16",
        "multipart/mixed",
        "",
    ]);
    let number = || {
        let known = [
            "0",
            "-1",
            "0.5",
            "1e9",
            "18446744073709551615",
            "18446744073709551616",
            "1",
            " 2 ",
        ];
        prop_oneof![3 => select(known.to_vec()).prop_map(|text| text.as_bytes().to_vec()), 1 => bytes()]
    };
    let date = select(vec![
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Mon, 01 Jan 0001 00:00:00 GMT",
        "Sun, 31 Feb 2026 25:61:61 GMT",
        "1800000000",
        "",
    ]);
    let text = || prop_oneof![value().prop_map(String::into_bytes), bytes()];
    let header = prop_oneof![
        (Just("retry-after"), number()),
        (Just("x-amz-retry-after"), number()),
        (Just("x-ratelimit-remaining"), number()),
        (Just("x-ratelimit-reset"), number()),
        (Just("date"), date.prop_map(|date| date.as_bytes().to_vec())),
        (Just("x-amzn-errortype"), text()),
        (Just("x-amzn-requestid"), text()),
        (Just("x-request-id"), text()),
        (Just("location"), text()),
        (Just("content-encoding"), Just(b"gzip".to_vec())),
        (Just("x-anything"), text()),
    ];
    let nth = prop_oneof![5 => Just(Some(1)), 1 => Just(Some(2)), 1 => Just(None)];
    (status, content_type, vec(header, 0..3), any::<bool>(), nth)
        .prop_flat_map(move |(status, content_type, headers, effect, nth)| {
            let body = if status < 400 { reply(service, operation) } else { refusal() };
            let body = prop_oneof![
                20 => body,
                2 => json().prop_map(String::into_bytes),
                2 => vec(any::<u8>(), 0..300),
                1 => Just(Vec::new()),
                1 => value().prop_map(|value| format!("<html><title>{value}</title>").into_bytes()),
                // Deep nesting, and huge bodies.
                1 => (0..60_000_usize).prop_map(|depth| ("{\"item\":".to_owned() + &"[".repeat(depth)).into_bytes()),
                1 => (0..60_000_usize).prop_map(|depth| "{\"message\":".repeat(depth).into_bytes()),
                1 => (1..4_000_000_usize).prop_map(|size| format!("{{\"message\":\"{}\"}}", "q".repeat(size)).into_bytes()),
            ];
            let headers = headers.clone();
            body.prop_map(move |body| Garbage { status, content_type, headers: headers.clone(), body, effect, nth })
        })
        .boxed()
}

/// Bytes that a header can contain.
fn bytes() -> impl Strategy<Value = Vec<u8>> + Clone {
    vec(prop_oneof![32..=126_u8, 128..=255_u8], 0..30)
}

/// A reply that resembles a service's refusal.
fn refusal() -> BoxedStrategy<Vec<u8>> {
    let code = prop_oneof![
        2 => select(vec![
            "ResourceNotFoundException", "NotFoundException", "ConflictException", "ResourceExistsException",
            "ThrottlingException", "AccessDeniedException", "InternalServiceError",
        ])
        .prop_map(ToOwned::to_owned),
        2 => (value(), "7Error| Error|7Exception:http:||#").prop_map(|(value, end)| value + &end),
        1 => noise(),
    ];
    let message = prop_oneof![
        2 => (noise(), value(), noise()).prop_map(|(before, value, after)| format!("{before} {value} {after}")),
        1 => Just("the value $VALUE and the token $TOKEN, due to concurrent modification".to_owned()),
        1 => value().prop_map(|value| format!("Could not find requested config '{value}'")),
    ];
    let after = prop_oneof![
        json(),
        Just("18446744073709551615".to_owned()),
        Just("1".to_owned())
    ];
    let fields = (code, message, json(), after).prop_map(|(code, message, other, after)| {
        let (code, message) = (quoted(&code, false), quoted(&message, false));
        format!(
            r#"{{"__type":{code},"code":{code},"message":{message},"messages":[{message},{other}],"success":false,
            "data":{{"isRetryable":{other},"isRetryableAfterSec":{after}}}}}"#
        )
    });
    prop_oneof![2 => fields.clone().prop_map(String::into_bytes), 1 => edited_bytes(fields)].boxed()
}

/// A reply that resembles the one to an operation.
#[allow(clippy::too_many_lines, reason = "it is a list of the operations")]
fn reply(service: Service, operation: &'static str) -> BoxedStrategy<Vec<u8>> {
    let text = |known: &'static str| {
        prop_oneof![4 => Just(quoted(known, false)), 1 => string(), 1 => value().prop_map(|value| quoted(&value, false)), 1 => json()]
            .boxed()
    };
    let number = || {
        prop_oneof![
            2 => (0..2_000_000_000_i64).prop_map(|at| at.to_string()),
            1 => any::<f64>().prop_map(|at| json!(at).to_string()),
            2 => select(vec!["-1", "-62135596801", "253402300800", "9223372036854775807", "-9223372036854775808", "1e300", "0.1"])
                .prop_map(ToOwned::to_owned),
            1 => json(),
        ]
        .boxed()
    };
    let flag =
        || prop_oneof![3 => any::<bool>().prop_map(|flag| flag.to_string()), 1 => json()].boxed();
    let list = |item: BoxedStrategy<String>| {
        let list = vec(item, 0..4).prop_map(|items| format!("[{}]", items.join(",")));
        prop_oneof![6 => list, 1 => json()].boxed()
    };
    // Some of the fields, in any order.
    let some = |fields: Vec<(&'static str, BoxedStrategy<String>)>| {
        let fields = fields.into_iter().map(|(name, value)| {
            let field = value.prop_map(move |value| (quoted(name, false), "", value));
            proptest::option::weighted(0.85, field).boxed()
        });
        let fields = fields.collect::<Vec<_>>().prop_shuffle();
        fields
            .prop_map(|fields| object(&fields.into_iter().flatten().collect::<Vec<_>>()))
            .boxed()
    };
    let version = || prop_oneof![2 => Just("$CURRENT".to_owned()), 2 => Just("$PENDING".to_owned()), 1 => "[a-f0-9-]{36}"];
    let labels = select(vec!["AWSCURRENT", "AWSPENDING", "AWSPREVIOUS", "mine"])
        .prop_map(|label| quoted(label, false));
    let stages = vec((version(), list(labels.boxed())), 0..4).prop_map(|versions| {
        object(
            &versions
                .into_iter()
                .map(|(version, labels)| (quoted(&version, false), "", labels))
                .collect::<Vec<_>>(),
        )
    });
    let stages = prop_oneof![5 => stages, 1 => json()].boxed();
    let id = || prop_oneof![6 => "\"[a-z0-9]{10}\"", 1 => string(), 1 => json()].boxed();
    let key = || {
        let name = prop_oneof![4 => version().prop_map(|version| format!("\"$NAME/{version}\"")), 1 => string()];
        let tags = (text("$ARN"), version()).prop_map(|(arn, version)| {
            format!(r#"{{"rotation:secret":{arn},"rotation:version":"{version}"}}"#)
        });
        let description = edited("Superseded at 20[0-9]{2}-0[1-9]-[12][0-9]T[01][0-9]:00:00Z by version \\$CURRENT\\.( Disabled at 20[0-9]{2}-01-01T00:00:00Z\\.)?|Created for the secret \\$NAME\\.")
            .prop_map(|text| quoted(&text, false));
        some(vec![
            ("id", id()),
            ("name", name.boxed()),
            (
                "value",
                prop_oneof![
                    key_value().prop_map(|value| quoted(&value, false)),
                    Just("\"$VALUE\"".to_owned()),
                    json()
                ]
                .boxed(),
            ),
            ("description", description.boxed()),
            ("enabled", flag()),
            ("createdDate", number()),
            ("lastUpdatedDate", number()),
            ("stageKeys", list(string().boxed())),
            ("tags", prop_oneof![6 => tags, 1 => json()].boxed()),
        ])
    };
    let delivered = || {
        some(vec![
            ("raw", text("$VALUE")),
            ("computed", string().boxed()),
            ("rawVisibility", text("restricted")),
            ("note", json()),
        ])
    };
    let status = select(vec![
        "InSync",
        "InProgress",
        "Pending",
        "Failed",
        "Detached",
    ])
    .prop_map(|status| quoted(status, false));
    let replica = some(vec![
        ("Region", string().boxed()),
        ("Status", prop_oneof![4 => status, 1 => json()].boxed()),
        ("StatusMessage", string().boxed()),
    ]);
    let shaped = match operation {
        "DescribeSecret" => some(vec![
            ("VersionIdsToStages", stages),
            ("RotationEnabled", flag()),
            ("LastRotatedDate", number()),
            ("RotationLambdaARN", text("$FUNCTION")),
            ("PrimaryRegion", string().boxed()),
            ("ReplicationStatus", list(replica)),
        ]),
        // A string would be a lie.
        "GetSecretValue" => some(vec![
            ("ARN", text("$ARN")),
            ("VersionId", text("$CURRENT")),
            (
                "SecretString",
                vec(json(), 0..3)
                    .prop_map(|items| format!("[{}]", items.join(",")))
                    .boxed(),
            ),
            ("SecretBinary", text("cXh6ag==")),
            ("VersionStages", list(string().boxed())),
            ("CreatedDate", number()),
        ]),
        "PutSecretValue" | "UpdateSecretVersionStage" => some(vec![
            ("ARN", string().boxed()),
            ("Name", string().boxed()),
            ("VersionId", text("$PENDING")),
            ("VersionStages", stages),
        ]),
        "ListSecrets" if service == Service::Doppler => {
            let values = some(vec![
                ("PARTNER_API_KEY", delivered()),
                (PEER_TARGET, delivered()),
                ("OTHER", delivered()),
            ]);
            some(vec![
                ("success", flag()),
                ("secrets", prop_oneof![4 => values, 1 => json()].boxed()),
                ("messages", list(text("$VALUE"))),
            ])
        }
        "GetWebIdentityToken" => {
            let token = prop_oneof![noise(), value(), Just("$VALUE".to_owned())];
            let reply = (token, noise()).prop_map(|(token, end)| {
                format!(
                    "<GetWebIdentityTokenResponse><GetWebIdentityTokenResult>\
                     <WebIdentityToken>{token}</WebIdentityToken><Expiration>{end}</Expiration>\
                     </GetWebIdentityTokenResult></GetWebIdentityTokenResponse>"
                )
            });
            reply.boxed()
        }
        LOGIN => some(vec![
            ("success", flag()),
            ("token", prop_oneof![4 => string(), 1 => json()].boxed()),
            (
                "expires_at",
                prop_oneof![4 => string(), 1 => json()].boxed(),
            ),
        ]),
        "ListSecrets" => {
            let secret = some(vec![
                ("ARN", text("$ARN")),
                ("Name", text("$NAME")),
                ("RotationLambdaARN", text("$FUNCTION")),
                ("LastRotatedDate", number()),
            ]);
            some(vec![
                ("SecretList", list(secret)),
                ("NextToken", string().boxed()),
            ])
        }
        "CreateApiKey" => key(),
        "GetApiKeys" => some(vec![
            ("item", list(key())),
            ("position", string().boxed()),
            ("warnings", list(json())),
        ]),
        "GetUsagePlans" => {
            let plan = some(vec![
                ("id", id()),
                ("name", string().boxed()),
                ("throttle", json()),
                ("apiStages", json()),
            ]);
            some(vec![("item", list(plan)), ("position", string().boxed())])
        }
        "GetUsage" => {
            let day = list(number());
            let keys = some(vec![("$VALUE", list(day.clone())), ("$KEY", list(day))]);
            some(vec![
                ("usagePlanId", text("$PLAN")),
                ("startDate", string().boxed()),
                ("values", prop_oneof![4 => keys, 1 => json()].boxed()),
                ("position", string().boxed()),
            ])
        }
        "PutEvents" => {
            let entry = some(vec![
                ("EventId", string().boxed()),
                ("ErrorCode", string().boxed()),
                ("ErrorMessage", text("$VALUE")),
            ]);
            some(vec![
                ("FailedEntryCount", number()),
                ("Entries", list(entry)),
            ])
        }
        "CreateUsagePlanKey" | "GetUsagePlanKey" | "UpdateApiKey" | "DeleteApiKey" => some(vec![
            ("id", id()),
            ("enabled", flag()),
            ("type", text("API_KEY")),
            ("value", text("$VALUE")),
            ("name", string().boxed()),
            ("tags", json()),
        ]),
        "GetSecret" => some(vec![
            ("success", flag()),
            ("value", prop_oneof![4 => delivered(), 1 => json()].boxed()),
            ("messages", list(text("$VALUE"))),
        ]),
        "UpdateSecrets" => {
            let secrets = some(vec![
                ("PARTNER_API_KEY", delivered()),
                ("OTHER", delivered()),
            ]);
            some(vec![
                ("success", flag()),
                ("secrets", prop_oneof![4 => secrets, 1 => json()].boxed()),
                ("messages", list(text("$VALUE"))),
            ])
        }
        _ => unreachable!("{operation} is none of the calls"),
    };
    let reply =
        prop_oneof![2 => shaped.clone().prop_map(String::into_bytes), 3 => edited_bytes(shaped)];
    if operation != "DescribeSecret" {
        return reply.boxed();
    }
    // The secret's identity is right, or all wrong: half of it would be a lie.
    let whose = select(vec![
        r#""ARN":"$ARN","Name":"$NAME","#,
        r#""ARN":"qxzj","Name":"qxzj","#,
        r#""ARN":1,"#,
        "",
    ]);
    let reply = (whose, reply).prop_map(|(whose, reply)| {
        let rest = reply.strip_prefix(b"{").unwrap_or(&reply);
        [b"{", whose.as_bytes(), rest].concat()
    });
    reply.boxed()
}

// The environments.

/// Starts an environment. Every second one has configured plans; the others inherit them.
async fn start(run: Run, number: usize) -> TestEnv {
    let options = Options {
        function_timeout: timeout(),
        ..Options::default()
    };
    let setup = TestEnvBuilder {
        options,
        secret: Some(r#"{"apiKey":"","user":"qxzj"}"#.to_owned()),
        ..TestEnvBuilder::quick()
    };
    let setup = match run {
        // Settings for one secret need its name.
        Run::Everything => TestEnvBuilder {
            targets: Vec::new(),
            ..setup
        }
        .inheriting()
        .env("SECRET_ID", ""),
        Run::Fleet => setup.keyless(),
        _ if number.is_multiple_of(2) => setup.inheriting(),
        _ => setup,
    };
    let inherits = setup.configured_plans == 0;
    // A key that is created again names no target, if the targets cannot be noted.
    let target = format!("{PROJECT}/{CONFIG}/PARTNER_API_KEY");
    let setup = setup.env("EVENT_BUS_NAME", "default");
    let env = setup.env("DOPPLER_ADOPT_TARGETS", &target);
    let mut env = env.start().await;
    if run == Run::Fleet {
        join_fleet(&mut env).await;
    }
    let arn = &env.sandbox.secret(SECRET).arn;
    assert!(arn.ends_with(|letter: char| letter.is_ascii_alphanumeric()));
    if inherits {
        let value = "HandMadeHandMadeHandMadeHandMadeHandMade";
        env.sandbox.create_key("manual", value, &[&env.plans[0]]);
        env.sandbox.put_secret(
            SECRET,
            &json!({ "apiKey": value, "user": "qxzj" }).to_string(),
        );
    }
    // So that there is a superseded managed key.
    env.rotate().await;
    env.rotate().await;
    env
}

/// Returns the newest superseded key of the secret.
fn superseded_key(env: &TestEnv) -> Option<KeySnapshot> {
    let current = env.current_key();
    let mut keys = env.sandbox.keys().into_iter();
    keys.rfind(|key| key.name.starts_with(SECRET) && key.value != current)
}

/// Gives a reconciliation an action that needs `operation`. Returns whether AWSCURRENT's key exists afterwards.
fn prepare(env: &TestEnv, operation: &str) -> bool {
    let sandbox = &env.sandbox;
    let current = sandbox
        .key_with_value(&env.current_key())
        .expect("it exists");
    let old = superseded_key(env).expect("there is a superseded key");
    match operation {
        "UpdateSecrets" => sandbox
            .doppler()
            .set_value(PROJECT, CONFIG, "PARTNER_API_KEY", "stray"),
        "UpdateApiKey" => {
            sandbox.set_key_enabled(&old.id, true);
            sandbox.describe_key(&old.id, &crate::support::managed_description(SECRET));
        }
        "DeleteApiKey" => {
            let long_ago = SystemTime::UNIX_EPOCH + Duration::from_hours(400_000);
            let by = VersionId::from("11111111-1111-4111-8111-111111111111");
            let mark = Supersession {
                disabled_at: Some(long_ago),
                ..Supersession::new(long_ago, by)
            };
            sandbox.set_key_enabled(&old.id, false);
            sandbox.describe_key(&old.id, &mark.to_string());
        }
        // It is due for disabling, which is announced.
        "GetUsage" | "PutEvents" => {
            let by = sandbox.secret(SECRET);
            let by_id = by.current().expect("it has a value").id.clone();
            // Otherwise its grace counts from the creation of AWSCURRENT's version.
            if let Some(previous) = by.previous() {
                sandbox.move_label(SECRET, "AWSPREVIOUS", Some(&previous.id), None);
            }
            let by = by_id;
            let ago = sandbox.now() - Duration::from_hours(48);
            let mark = Supersession::new(ago, VersionId::from(&*by));
            sandbox.set_key_enabled(&old.id, true);
            sandbox.describe_key(&old.id, &mark.to_string());
        }
        "CreateApiKey" | "CreateUsagePlanKey" => sandbox.delete_key(&current.id),
        // With configured plans those of the current key are read anyway.
        "GetUsagePlans" if !env.settings.contains_key("USAGE_PLAN_IDS") => {
            sandbox.delete_key(&current.id);
        }
        _ => {}
    }
    sandbox.key_with_value(&current.value).is_some()
}

/// The result of a run, and how many malformed replies it got.
struct Encountered {
    times: usize,
    failed: bool,
}

/// Gives a malformed reply to a run, and checks the result.
async fn reply_malformed(
    env: &TestEnv,
    run: Run,
    service: Service,
    operation: &str,
    garbage: &Garbage,
    what: &str,
) -> Encountered {
    let sandbox = &env.sandbox;
    sandbox.clear_function_log();
    let token = (run == Run::Rotation).then(|| sandbox.begin_rotation(SECRET));
    // A date in a reply may end a grace and a quarantine.
    if matches!(run, Run::Reconciliation | Run::Fleet) && superseded_key(env).is_none() {
        // An earlier reply may have told this process to wait for minutes.
        sandbox.kill_function().await;
        env.rotate().await;
    }
    let is_there = run == Run::Rotation || prepare(env, operation);
    if LOGINS.contains(&operation) {
        // A new process has no token.
        sandbox.kill_function().await;
        sandbox
            .invoke(json!({ "Step": "noSuchStep" }).to_string())
            .await;
    }
    let before = values(env);
    let process = sandbox.function_pids();

    if operation == "GetUsagePlanKey" {
        let kind = FaultKind::refuse(409, "ConflictException", "in doubt");
        sandbox
            .faults()
            .inject(Fault::new(kind).on(service, "CreateUsagePlanKey"));
    }
    let handle = inject(env, service, operation, garbage, token.as_deref());
    let result = match &token {
        Some(token) => env.try_steps(token).await,
        None => reconcile(env, run).await,
    };
    let times = handle.fired();
    // What an earlier reply says of Doppler's limits holds for as long as it says.
    // On a busy machine, a run may end before the call.
    let ends = ["rate limit allows no", "ran out of time"];
    let waits = ends
        .iter()
        .any(|words| sandbox.function_log().contains(words));
    assert!(
        times > 0 || garbage.nth == Some(2) || waits,
        "{what}: no such call was made: {result:?}\n{}",
        sandbox.function_log()
    );
    sandbox.faults().clear();
    if let Err(error) = &result {
        assert_is_function_error(error, what);
    }
    assert_eq!(
        sandbox.function_pids(),
        process,
        "{what}: the process ended"
    );
    let log = sandbox.function_log();
    assert!(!log.contains("panicked"), "{what}: {log}");

    // Everything that worked still works.
    if is_there {
        let current = env.current_key();
        assert_eq!(
            env.gateway_answer(&current).await,
            200,
            "{what}: AWSCURRENT's key does not work"
        );
    }
    for target in &env.targets {
        let held = env.doppler_value(target).expect("it has a value");
        let key = sandbox.key_with_value(&held);
        let works = key.is_some_and(|key| key.enabled);
        assert!(
            works || !is_there || held == "stray",
            "{what}: Doppler's key does not work"
        );
    }

    // The same process continues, unless the reply told it to wait for minutes.
    let recovered = recover_fully(env, run, token).await;
    recovered.unwrap_or_else(|error| panic!("not resumed: {error}\n{}", sandbox.function_log()));
    if !is_there && operation == "GetUsagePlans" {
        // Only this reply shows the plans of a key that was deleted.
        let key = sandbox.key_with_value(&env.current_key());
        let key = key.expect("it was created again");
        for plan in env.plans.iter().filter(|plan| !key.plans.contains(plan)) {
            sandbox.attach_key(&key.id, plan);
        }
    }
    env.assert_agreement().await;
    let user = sandbox
        .secret(SECRET)
        .current()
        .and_then(|version| version.text.clone());
    assert!(
        user.is_some_and(|text| text.contains(r#""user":"qxzj""#)),
        "{what}: a field is lost"
    );

    let before: Vec<_> = before.iter().map(String::as_str).collect();
    env.assert_no_value(&before, what);
    let log = sandbox.function_log();
    for shown in [&env.sandbox.function_answers(), &log] {
        assert!(
            !shows_a_value(shown, 20),
            "{what}: a value is shown: {shown}"
        );
    }
    tidy(env);
    Encountered {
        times,
        failed: result.is_err(),
    }
}

fn inject(
    env: &TestEnv,
    service: Service,
    operation: &str,
    garbage: &Garbage,
    token: Option<&str>,
) -> FaultHandle {
    let sandbox = &env.sandbox;
    let secret = sandbox.secret(SECRET);
    let current = secret
        .current()
        .map(|version| version.id.clone())
        .unwrap_or_default();
    let mut body = garbage.body.clone();
    if body.len() < 100_000 {
        let value = env.current_key();
        let key = superseded_key(env).map(|key| key.id).unwrap_or_default();
        let names = [
            ("$ARN", secret.arn.as_str()),
            ("$NAME", SECRET),
            ("$CURRENT", &current),
            ("$PENDING", token.unwrap_or(&current)),
            ("$VALUE", &value),
            ("$TOKEN", &env.token),
            ("$FUNCTION", sandbox::FUNCTION_ARN),
            ("$PLAN", &env.plans[0]),
            ("$KEY", &key),
        ];
        for (name, meant) in names {
            body = replaced(&body, name.as_bytes(), meant.as_bytes());
        }
    }
    let on = |kind| {
        let fault = Fault::new(kind).on(service, operation);
        match garbage.nth {
            Some(nth) => fault.nth(nth),
            None => fault.every(),
        }
    };
    for (name, value) in &garbage.headers {
        sandbox
            .faults()
            .inject(on(FaultKind::header(name, value.clone())));
    }
    sandbox.faults().inject(on(FaultKind::Answer {
        status: garbage.status,
        content_type: garbage.content_type.to_owned(),
        body: body.into(),
        effect: garbage.effect,
    }))
}

fn replaced(text: &[u8], name: &[u8], meant: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.first() {
        if let Some(after) = rest.strip_prefix(name) {
            out.extend_from_slice(meant);
            rest = after;
        } else {
            out.push(*first);
            rest = &rest[1..];
        }
    }
    out
}

async fn reconcile(env: &TestEnv, run: Run) -> Result<(), FunctionError> {
    match run {
        Run::Everything | Run::Fleet => env.try_invoke(json!({ "Step": "reconcile" })).await,
        _ => env.try_reconcile().await,
    }
}

/// Asserts that the error is the function's own, and not Lambda's for a process that ended or was killed.
fn assert_is_function_error(error: &FunctionError, what: &str) {
    let named = error
        .error_type
        .chars()
        .all(|letter| letter.is_ascii_alphanumeric());
    assert!(named && !error.error_message.is_empty(), "{what}: {error}");
}

/// Runs what Secrets Manager or the schedule runs after a failure.
async fn recover(env: &TestEnv, run: Run, token: Option<String>) -> Result<(), FunctionError> {
    if run != Run::Rotation {
        return reconcile(env, run).await;
    }
    let secret = env.sandbox.secret(SECRET);
    let pending = secret.pending().map(|version| version.id.clone());
    // A rotation that has lost AWSPENDING is over.
    let over = token.is_none_or(|token| {
        pending.as_ref() != Some(&token)
            && secret.current().map(|version| &version.id) != Some(&token)
    });
    let token = match (over, pending) {
        (_, Some(pending)) => pending,
        (true, None) => env.sandbox.begin_rotation(SECRET),
        (false, None) => secret
            .current()
            .map(|version| version.id.clone())
            .unwrap_or_default(),
    };
    env.try_steps(&token).await
}

/// Recovers until nothing is left.
///
/// A run that has to wait for minutes, or ran out of time on a busy machine, needs another try.
async fn recover_fully(
    env: &TestEnv,
    run: Run,
    token: Option<String>,
) -> Result<(), FunctionError> {
    let sandbox = &env.sandbox;
    // A reconciliation that was not complete logs it, and succeeds.
    let mut said = sandbox.function_log().len();
    let mut recovered = recover(env, run, token.clone()).await;
    for _ in 0..3 {
        let log = sandbox.function_log();
        let new = log.get(said..).unwrap_or_default();
        if new.contains("rate limit allows no") {
            sandbox.kill_function().await;
        } else if !new.contains("ran out of time") {
            break;
        }
        said = log.len();
        recovered = recover(env, run, token.clone()).await;
    }
    recovered
}

/// Keeps lists short: two superseded keys are enough.
fn tidy(env: &TestEnv) {
    let current = env.current_key();
    let mut old: Vec<_> = env
        .sandbox
        .keys()
        .into_iter()
        .filter(|key| key.value != current)
        .collect();
    old.truncate(old.len().saturating_sub(2));
    for key in old {
        env.sandbox.delete_key(&key.id);
    }
}

/// Returns replies that were findings once.
fn known() -> Vec<((Run, Service, &'static str), Garbage)> {
    let garbage = |status, headers: &[(&'static str, &str)], body: &str| Garbage {
        status,
        content_type: "application/json",
        headers: headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes().to_vec()))
            .collect(),
        body: body.as_bytes().to_vec(),
        effect: true,
        nth: Some(1),
    };
    let limit = [
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "18446744073709551615"),
        ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ];
    let long_ago = ("date", "Mon, 01 Jan 1900 00:00:00 GMT");
    let far_ahead = ("date", "Fri, 31 Dec 9999 23:59:59 GMT");
    let managed = r#"{"item":[{"id":"a","name":"$NAME/$CURRENT","value":"$VALUE","enabled":true,"createdDate":-1,
        "tags":{"rotation:secret":"$ARN","rotation:version":"$CURRENT"}}]}"#;
    let described =
        r#"{"ARN":"$ARN","Name":"$NAME","VersionIdsToStages":{"$CURRENT":["AWSCURRENT"]}}"#;
    let value_for_arn = r#"{"SecretList":[{"ARN":"XJqzjqQJxzJxZJjJJJXxJZXZqqJjQJQzZqjJqJZZQxJZ","RotationLambdaARN":"$FUNCTION"}]}"#;
    let another = r#"{"ARN":"qxzj","Name":"qxzj","RotationLambdaARN":"$FUNCTION","VersionIdsToStages":{"$CURRENT":["AWSCURRENT"]}}"#;
    let endless = r#"{"success":false,"data":{"isRetryableAfterSec":18446744073709551615}}"#;
    vec![
        (
            (Run::Rotation, Service::Doppler, "GetSecret"),
            garbage(404, &[], endless),
        ),
        (
            (Run::Rotation, Service::Doppler, "UpdateSecrets"),
            garbage(200, &limit, "{}"),
        ),
        (
            (Run::Reconciliation, Service::ApiGateway, "GetApiKeys"),
            garbage(200, &[], managed),
        ),
        (
            (
                Run::Reconciliation,
                Service::SecretsManager,
                "DescribeSecret",
            ),
            garbage(200, &[long_ago], described),
        ),
        (
            (
                Run::Reconciliation,
                Service::SecretsManager,
                "DescribeSecret",
            ),
            garbage(200, &[far_ahead], described),
        ),
        (
            (Run::Reconciliation, Service::ApiGateway, "UpdateApiKey"),
            garbage(200, &[long_ago], "{}"),
        ),
        (
            (Run::Reconciliation, Service::ApiGateway, "UpdateApiKey"),
            garbage(200, &[far_ahead], "{}"),
        ),
        (
            (Run::Everything, Service::SecretsManager, "ListSecrets"),
            garbage(200, &[], value_for_arn),
        ),
        (
            (Run::Everything, Service::SecretsManager, "DescribeSecret"),
            garbage(200, &[], another),
        ),
    ]
}

/// Prints the case of a failure.
struct PanicContext<'a>(&'a str);

impl Drop for PanicContext<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("That was {}", self.0);
        }
    }
}

/// A malformed reply, with its number and its call.
type Case = (usize, (Run, Service, &'static str), Garbage);

/// Generates the cases, with each call in turn.
///
/// The generator has a thread of its own because it cannot be shared.
fn cases(calls: Vec<(Run, Service, &'static str)>, all: usize) -> mpsc::Receiver<Case> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        let replies: Vec<_> = calls
            .iter()
            .map(|(_, service, operation)| garbage(*service, operation))
            .collect();
        let mut runner = runner(1);
        let known = known().into_iter().filter(|(call, _)| calls.contains(call));
        let generated = (0..all).map(|number| {
            let call = number % calls.len();
            let reply = replies[call]
                .new_tree(&mut runner)
                .expect("it can be generated");
            (calls[call], reply.current())
        });
        for (number, (call, garbage)) in known.chain(generated).enumerate() {
            // After a failure, the receiver is closed.
            if sender.blocking_send((number, call, garbage)).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Malformed replies, runs that failed with a clear error, and runs that continued.
type Figures = BTreeMap<(Run, &'static str), [usize; 3]>;

/// Tries replies to the calls of some runs. Both pairs are the number of replies and of environments:
/// of a test run, and of an exhaustive one.
async fn try_all(is_tried: fn(Run) -> bool, share: (usize, usize), exhaustive: (usize, usize)) {
    let calls = CALLS.into_iter().filter(|(run, ..)| is_tried(*run));
    let calls = calls.collect();
    let (all, envs) = if is_exhaustive() { exhaustive } else { share };
    let began = Instant::now();
    let cases = Arc::new(Mutex::new(cases(calls, all)));
    let figures = Arc::new(Mutex::new(Figures::new()));
    let mut workers = JoinSet::new();
    for worker in 0..envs {
        let (cases, figures) = (Arc::clone(&cases), Arc::clone(&figures));
        workers.spawn(async move {
            let mut env = None;
            for served in 0.. {
                let case = cases.lock().await.recv().await;
                let Some((number, (run, service, operation), garbage)) = case else {
                    return;
                };
                // A new environment now and then, because the history grows.
                if served % 50 == 0 {
                    env = None;
                }
                let env = match &mut env {
                    Some(env) => env,
                    None => env.insert(start(run, worker).await),
                };
                let what = format!(
                    "case {number}, {operation} in a {run:?} of environment {worker}: {garbage:?}"
                );
                let _context = PanicContext(&what);
                let encountered =
                    reply_malformed(env, run, service, operation, &garbage, &what).await;
                let mut figures = figures.lock().await;
                let [times, failed, continued] = figures.entry((run, operation)).or_default();
                *times += encountered.times;
                *(if encountered.failed {
                    failed
                } else {
                    continued
                }) += 1;
                if is_exhaustive() && number % 250 == 0 {
                    println!("{number} of {all} garbage replies, {:?}", began.elapsed());
                }
            }
        });
    }
    let mut finding = None;
    while let Some(ended) = workers.join_next().await {
        // The others continue, so that every finding is reported.
        finding = finding.or(ended.err());
    }
    if let Some(finding) = finding {
        panic::resume_unwind(finding.into_panic());
    }
    println!(
        "{:<40} {:>8} {:>8} {:>8}",
        "malformed replies to", "replies", "failed", "continued"
    );
    let figures = figures.lock().await;
    let mut sums = [0; 3];
    for ((run, operation), figures) in figures.iter() {
        let [times, failed, continued] = figures;
        println!(
            "{:<40} {times:>8} {failed:>8} {continued:>8}",
            format!("{operation} in a {run:?}")
        );
        sums.iter_mut()
            .zip(figures)
            .for_each(|(sum, figure)| *sum += figure);
    }
    let [times, failed, continued] = sums;
    println!("{:<40} {times:>8} {failed:>8} {continued:>8}", "all");
}

/// No reply ends the process or endangers the key in use, and the next try completes the run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reply_endangers_key_or_process() {
    try_all(Run::is_of_one, (66, 16), (4_400, 32)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reply_ends_reconciliation_of_every_secret() {
    try_all(|run| run == Run::Everything, (8, 4), (400, 16)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reply_ends_reconciliation_of_fleet() {
    try_all(|run| run == Run::Fleet, (18, 6), (900, 16)).await;
}

/// The name, the tags and the description of a key whose version is `V`.
fn labels() -> impl Strategy<Value = [String; 4]> {
    let some = |text: &'static str| edited(Just(text.to_owned()));
    let description = prop_oneof![
        some("Superseded at 2020-01-01T00:00:00Z by version V."),
        some("Superseded at 2020-01-01T00:00:00Z by version V. Disabled at 2020-01-01T00:00:00Z."),
        some("Created for the secret $NAME."),
        noise(),
    ];
    (some("$NAME/V"), some("$ARN"), some("V"), description).prop_map(<[String; 4]>::from)
}

/// A key is managed only by its tags and its whole name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_recognized_by_tags_and_name() {
    let all = if is_exhaustive() { 3_000 } else { 150 };
    let (mut runner, labels) = (runner(1), labels());
    let keys = (0..all).map(|_| {
        let key = labels.new_tree(&mut runner);
        key.expect("it can be generated").current()
    });
    // So many keys have the secret's name that the function would refuse to work with all of them at once.
    for keys in keys.collect::<Vec<_>>().chunks(750) {
        assert_unmanaged_keys_are_ignored(keys).await;
    }
}

async fn assert_unmanaged_keys_are_ignored(keys: &[[String; 4]]) {
    let env = start(Run::Rotation, 0).await;
    let sandbox = &env.sandbox;
    let arn = sandbox.secret(SECRET).arn;
    let meant = |text: &String| text.replace("$NAME", SECRET).replace("$ARN", &arn);
    let keys = keys.iter().map(|key| key.each_ref().map(meant));
    let keys = keys.collect::<Vec<_>>();
    let is_managed = |[name, secret, version, _]: &[String; 4]| {
        *secret == arn && *name == format!("{SECRET}/{version}")
    };
    let mut nearly = 0;
    for (number, key) in keys.iter().filter(|key| !is_managed(key)).enumerate() {
        let [name, secret, version, description] = key;
        let id = sandbox.create_key(name, &format!("qxzjqxzjqxzjqxzjqxzj{number}"), &[]);
        sandbox.tag_key(&id, "rotation:secret", secret);
        sandbox.tag_key(&id, "rotation:version", version);
        sandbox.describe_key(&id, description);
        sandbox.set_key_enabled(&id, !description.contains("Disabled at "));
        nearly += usize::from(name.starts_with(&format!("{SECRET}/")));
    }
    let foreign = || {
        let keys = sandbox.keys().into_iter();
        keys.filter(|key| key.value.starts_with("qxzj"))
            .collect::<Vec<_>>()
    };
    let before = foreign();
    println!(
        "unmanaged keys: {}, of which the list by name contains {nearly}",
        before.len()
    );

    let stop = json!({ "Step": "emergencyStop", "SecretId": SECRET });
    env.try_invoke(stop).await.expect("it succeeds");
    sandbox.advance(Duration::from_hours(400 * 24));
    env.try_reconcile().await.expect("it succeeds");
    env.try_steps(&sandbox.begin_rotation(SECRET))
        .await
        .expect("it succeeds");
    env.assert_agreement().await;
    assert!(foreign() == before, "an unmanaged key was changed");
    assert!(
        env.sandbox.function_answers().contains("disabled API key"),
        "no managed key was changed"
    );
}
