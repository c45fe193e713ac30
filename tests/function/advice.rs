//! The advice in an error message after a permanent failure: by cause, and "nothing is lost" only
//! if that is true.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{SECRET, TestEnv, TestEnvBuilder};
use api_key_rotation::adapters::advice::{Cause, NoReply, Policy, is_quota, of_refusal};
use api_key_rotation::adapters::{CallError, CallErrorKind};
use api_key_rotation::driver::{Call, Service};
use api_key_rotation::redact::Redacted;
use sandbox::tls::{Authority, Certificate};
use sandbox::{Fault, FaultKind, Service as Sandboxed};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const SECRETS: Service = Service::SecretsManager;
const KEYS: Service = Service::ApiGateway;
const CONCURRENT: &str =
    "Unable to complete operation due to concurrent modification. Please try again later.";
const NO_PLAN: &str = "Invalid Usage Plan ID specified";
const NO_KEY: &str = "Invalid API Key identifier specified";
const NOTHING_IS_LOST: &str = "nothing is lost";

/// The possible errors of one operation: status, code, message, and the cause.
type Row = (u16, &'static str, &'static str, Cause);

const NO_SECRET: Row = (
    400,
    "ResourceNotFoundException",
    "Secrets Manager can't find the specified secret.",
    Cause::UnknownSecret,
);
const BAD_PARAMETER: Row = (
    400,
    "InvalidParameterException",
    "Invalid name. Must be a valid name containing alphanumeric characters.",
    Cause::Named,
);
const REPLICA: Row = (
    400,
    "InvalidParameterException",
    "Operation not permitted on a replica secret. Call must be made in primary secret's region.",
    Cause::ReplicaSecret,
);
const DELETED: Row = (
    400,
    "InvalidRequestException",
    "You can't perform this operation on the secret because it was marked for deletion.",
    Cause::MarkedForDeletion,
);
const BAD_REQUEST: Row = (400, "BadRequestException", "Invalid limit", Cause::Named);
const NO_SUCH_PLAN: Row = (404, "NotFoundException", NO_PLAN, Cause::UnknownPlan);
const NO_SUCH_KEY: Row = (404, "NotFoundException", NO_KEY, Cause::KeyGone);
const SERVER: Row = (
    500,
    "InternalServiceError",
    "An error occurred on the server side.",
    Cause::Passing,
);
const OFTEN: Row = (
    429,
    "TooManyRequestsException",
    "Too Many Requests",
    Cause::Passing,
);
const UNAUTHORIZED: Row = (
    401,
    "UnauthorizedException",
    "The request is denied because the caller has insufficient permissions.",
    Cause::Denied(Policy::Role),
);
const UNDECRYPTED: Row = (
    400,
    "DecryptionFailure",
    "Secrets Manager can't decrypt the protected secret text using the provided KMS key.",
    Cause::KmsKeyUnusable,
);
const OVERLOADED: Row = (
    429,
    "LimitExceededException",
    "Rate exceeded",
    Cause::Passing,
);
const LATER: Row = (
    429,
    "LimitExceededException",
    "Limit exceeded; retry after 3s",
    Cause::Passing,
);
const BUSY: Row = (409, "ConflictException", CONCURRENT, Cause::Passing);

/// Returns every code of the operations in use, from the SDK's models. A code with several meanings
/// has several rows.
#[allow(clippy::too_many_lines, reason = "it is a table")]
fn table() -> Vec<(Service, &'static str, Vec<Row>)> {
    vec![
        (
            SECRETS,
            "DescribeSecret",
            vec![NO_SECRET, BAD_PARAMETER, SERVER],
        ),
        (
            SECRETS,
            "GetSecretValue",
            vec![
                NO_SECRET,
                (
                    400,
                    "ResourceNotFoundException",
                    "Secrets Manager can't find the specified secret value for staging label: AWSCURRENT",
                    Cause::NoValue,
                ),
                BAD_PARAMETER,
                DELETED,
                UNDECRYPTED,
                SERVER,
            ],
        ),
        (
            SECRETS,
            "PutSecretValue",
            vec![
                NO_SECRET,
                BAD_PARAMETER,
                REPLICA,
                // The same message was also seen with this code (moto).
                (
                    400,
                    "InvalidRequestException",
                    REPLICA.2,
                    Cause::ReplicaSecret,
                ),
                DELETED,
                UNDECRYPTED,
                (
                    400,
                    "EncryptionFailure",
                    "Secrets Manager can't encrypt the protected secret text using the provided KMS key.",
                    Cause::KmsKeyUnusable,
                ),
                (
                    400,
                    "LimitExceededException",
                    "The maximum number of versions for a secret is 100.",
                    Cause::VersionQuota,
                ),
                (
                    400,
                    "LimitExceededException",
                    "You exceeded the maximum number of staging labels.",
                    Cause::LabelQuota,
                ),
                (
                    400,
                    "ValidationException",
                    "1 validation error detected: Value at 'secretString' failed to satisfy constraint: Member must have length less than or equal to 65536",
                    Cause::ValueTooLong,
                ),
                // Counts as done where it occurs: a version's value cannot change.
                (
                    400,
                    "ResourceExistsException",
                    "That value is already in use.",
                    Cause::Named,
                ),
                SERVER,
            ],
        ),
        (
            SECRETS,
            "UpdateSecretVersionStage",
            vec![
                NO_SECRET,
                BAD_PARAMETER,
                REPLICA,
                DELETED,
                (
                    400,
                    "InvalidParameterException",
                    "The parameter RemoveFromVersionId can't be empty. Staging label AWSCURRENT is currently attached to version 1.",
                    Cause::Passing,
                ),
                (
                    400,
                    "LimitExceededException",
                    "You have reached a limit.",
                    Cause::LabelQuota,
                ),
                SERVER,
            ],
        ),
        (
            SECRETS,
            "ListSecrets",
            vec![
                BAD_PARAMETER,
                (
                    400,
                    "InvalidRequestException",
                    "Invalid filter.",
                    Cause::Named,
                ),
                (
                    400,
                    "InvalidNextTokenException",
                    "Invalid token.",
                    Cause::Passing,
                ),
                SERVER,
            ],
        ),
        (
            KEYS,
            "GetApiKeys",
            vec![BAD_REQUEST, NO_SUCH_KEY, OFTEN, UNAUTHORIZED],
        ),
        (
            KEYS,
            "CreateApiKey",
            vec![
                BAD_REQUEST,
                BUSY,
                (
                    404,
                    "NotFoundException",
                    "Invalid stage identifier specified",
                    Cause::UnknownPlan,
                ),
                (
                    429,
                    "LimitExceededException",
                    "API Keys limit exceeded",
                    Cause::KeyQuota,
                ),
                OVERLOADED,
                LATER,
                OFTEN,
                UNAUTHORIZED,
            ],
        ),
        (
            KEYS,
            "CreateUsagePlanKey",
            vec![
                BAD_REQUEST,
                BUSY,
                (
                    409,
                    "ConflictException",
                    "Another plan has the key",
                    Cause::PlansOverlap,
                ),
                NO_SUCH_PLAN,
                NO_SUCH_KEY,
                (
                    429,
                    "LimitExceededException",
                    "Maximum number of usage plan keys reached",
                    Cause::PlanKeyQuota,
                ),
                OVERLOADED,
                LATER,
                OFTEN,
                UNAUTHORIZED,
            ],
        ),
        (
            KEYS,
            "GetUsagePlanKey",
            vec![BAD_REQUEST, NO_SUCH_PLAN, NO_SUCH_KEY, OFTEN, UNAUTHORIZED],
        ),
        (
            KEYS,
            "GetUsagePlans",
            vec![BAD_REQUEST, NO_SUCH_KEY, OFTEN, UNAUTHORIZED],
        ),
        (
            KEYS,
            "GetUsagePlan",
            vec![BAD_REQUEST, NO_SUCH_PLAN, OFTEN, UNAUTHORIZED],
        ),
        (
            KEYS,
            "UpdateApiKey",
            vec![
                BAD_REQUEST,
                BUSY,
                NO_SUCH_KEY,
                (
                    429,
                    "LimitExceededException",
                    "You have reached a limit",
                    Cause::Quota,
                ),
                OVERLOADED,
                LATER,
                OFTEN,
                UNAUTHORIZED,
            ],
        ),
        (
            KEYS,
            "DeleteApiKey",
            vec![BAD_REQUEST, BUSY, NO_SUCH_KEY, OFTEN, UNAUTHORIZED],
        ),
    ]
}

/// Returns the errors of every operation of a service that no model lists: IAM, KMS, the signature,
/// the network.
#[allow(clippy::too_many_lines, reason = "it is a table")]
fn beyond_the_models(service: Service) -> Vec<Row> {
    let denied = "AccessDeniedException";
    let mut rows = vec![
        (
            400,
            denied,
            "User: arn:aws:sts::1:assumed-role/r/f is not authorized to perform: x:Y because no identity-based policy allows the x:Y action",
            Cause::Denied(Policy::Role),
        ),
        (
            403,
            denied,
            "User is not authorized to perform this",
            Cause::Denied(Policy::Role),
        ),
        (
            400,
            denied,
            "is not authorized to perform: x:Y with an explicit deny in an identity-based policy",
            Cause::Denied(Policy::RoleDeny),
        ),
        (
            400,
            denied,
            "is not authorized to perform: x:Y with an explicit deny in a resource-based policy",
            Cause::Denied(Policy::Resource),
        ),
        (
            400,
            denied,
            "is not authorized to perform: x:Y because no resource-based policy allows the x:Y action",
            Cause::Denied(Policy::Resource),
        ),
        (
            400,
            denied,
            "is not authorized to perform: x:Y with an explicit deny in a service control policy",
            Cause::Denied(Policy::ServiceControl),
        ),
        (
            400,
            denied,
            "is not authorized to perform: x:Y because no service control policy allows the x:Y action",
            Cause::Denied(Policy::ServiceControl),
        ),
        (
            400,
            denied,
            "is not authorized to perform: x:Y with an explicit deny in a resource control policy",
            Cause::Denied(Policy::ResourceControl),
        ),
        (
            400,
            denied,
            "is not authorized to perform: x:Y with an explicit deny in a permissions boundary",
            Cause::Denied(Policy::Boundary),
        ),
        (
            400,
            denied,
            "is not authorized to perform: x:Y because no permissions boundary allows the x:Y action",
            Cause::Denied(Policy::Boundary),
        ),
        (
            400,
            denied,
            "is not authorized to perform: x:Y because no session policy allows the x:Y action",
            Cause::Denied(Policy::Session),
        ),
        (
            400,
            denied,
            "is not authorized to perform: x:Y because no VPC endpoint policy allows the x:Y action",
            Cause::Denied(Policy::Endpoint),
        ),
        (
            400,
            denied,
            "is not authorized to perform: x:Y with an explicit deny",
            Cause::Denied(Policy::SomeDeny),
        ),
        (
            403,
            "ExpiredTokenException",
            "The security token included in the request is expired",
            Cause::Credentials,
        ),
        (
            403,
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
            Cause::Credentials,
        ),
        (
            403,
            "InvalidSignatureException",
            "Signature expired",
            Cause::Credentials,
        ),
        (
            403,
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
            Cause::Credentials,
        ),
        (400, "UnknownOperationException", "", Cause::OtherServer),
        (301, "without a code", "", Cause::OtherServer),
        (403, "without a code", "", Cause::OtherServer),
        (404, "without a code", "", Cause::OtherServer),
        (407, "without a code", "", Cause::ProxyCredentials),
        (408, "without a code", "", Cause::Passing),
        (429, "without a code", "", Cause::Passing),
        (500, "InternalFailure", "", Cause::Passing),
        (502, "without a code", "", Cause::Passing),
        (503, "ServiceUnavailable", "", Cause::Passing),
        (529, "without a code", "", Cause::Passing),
        (400, "ThrottlingException", "Rate exceeded", Cause::Passing),
        (400, "SomethingNewException", "No such luck.", Cause::Named),
    ];
    if service == SECRETS {
        rows.extend([
            (
                400,
                denied,
                "Access to KMS is not allowed",
                Cause::KmsDenied,
            ),
            (
                400,
                denied,
                "is not authorized to perform: kms:Decrypt on this resource",
                Cause::KmsDenied,
            ),
            (400, "KMSAccessDeniedException", "", Cause::KmsDenied),
            (
                400,
                denied,
                "The KMS key is disabled",
                Cause::KmsKeyUnusable,
            ),
            (
                400,
                "InvalidRequestException",
                "The KMS key is pending deletion",
                Cause::KmsKeyUnusable,
            ),
            (400, "KMSInvalidStateException", "", Cause::KmsKeyUnusable),
            (400, "KMSDisabledException", "", Cause::KmsKeyUnusable),
            (400, "KMSNotFoundException", "", Cause::KmsKeyUnusable),
            (400, "KMSThrottlingException", "", Cause::Passing),
            (500, "KMSInternalException", "", Cause::Passing),
        ]);
    }
    rows
}

/// Returns the directories in which cargo has the source of these crates.
fn source_of(crates: &[&str]) -> BTreeMap<String, PathBuf> {
    let mut metadata = Command::new(env!("CARGO"));
    metadata.args([
        "metadata",
        "--format-version=1",
        "--locked",
        "--filter-platform",
    ]);
    metadata.arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH));
    let output = metadata.output().expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata: {said}");
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("there are packages");
    let text = |package: &serde_json::Value, field: &str| {
        package[field]
            .as_str()
            .expect("every package has the field")
            .to_owned()
    };
    let wanted = packages.iter().filter(|package| {
        package["name"]
            .as_str()
            .is_some_and(|name| crates.contains(&name))
    });
    let found: BTreeMap<_, _> = wanted
        .map(|package| {
            let manifest = PathBuf::from(text(package, "manifest_path"));
            (text(package, "name"), manifest.with_file_name("src"))
        })
        .collect();
    assert_eq!(found.len(), crates.len(), "{found:?}");
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the error codes that the SDK's model gives an operation.
fn codes(sdk: &Path, operation: &str) -> BTreeSet<String> {
    let mut module = String::new();
    for letter in operation.chars() {
        if letter.is_ascii_uppercase() && !module.is_empty() {
            module.push('_');
        }
        module.push(letter.to_ascii_lowercase());
    }
    let source = read(&sdk.join(format!("operation/{module}.rs")));
    let declared = format!("pub enum {operation}Error {{");
    let (_, variants) = source
        .split_once(&declared)
        .expect("the file declares its errors");
    let (variants, _) = variants.split_once("\n}").expect("the declaration ends");
    let variants = variants.lines().filter_map(|line| {
        let (name, rest) = line.trim().split_once('(')?;
        (rest.starts_with("crate::types::error::")).then(|| name.to_owned())
    });
    variants.collect()
}

/// The errors of the model of STS, and those of every service, have a cause of their own.
#[test]
fn errors_of_sts_have_causes() {
    let cause = |status, code, message| {
        of_refusal(Service::Sts, "GetWebIdentityToken", status, code, message)
    };
    let denied = "User: arn:aws:sts::1:assumed-role/r/f is not authorized to perform: sts:GetWebIdentityToken on resource: *";
    for (status, code, message, expected) in [
        (
            403,
            "OutboundWebIdentityFederationDisabledException",
            "",
            Cause::FederationDisabled,
        ),
        (
            403,
            "OutboundWebIdentityFederationDisabled",
            "",
            Cause::FederationDisabled,
        ),
        (403, "AccessDenied", denied, Cause::FederationDenied),
        (
            403,
            "AccessDenied",
            "with an explicit deny in a service control policy",
            Cause::Denied(Policy::ServiceControl),
        ),
        (
            403,
            "SessionDurationEscalationException",
            "",
            Cause::SessionEnds,
        ),
        (400, "JWTPayloadSizeExceededException", "", Cause::Named),
        (403, "ExpiredToken", "", Cause::Credentials),
        (403, "SignatureDoesNotMatch", "", Cause::Credentials),
        (400, "Throttling", "Rate exceeded", Cause::Passing),
        (503, "ServiceUnavailable", "", Cause::Passing),
        (400, "ValidationError", "", Cause::Named),
    ] {
        assert_eq!(cause(status, code, message), expected, "{code}: {message}");
    }
}

#[test]
fn every_code_of_models_is_in_table() {
    let sources = source_of(&["aws-sdk-secretsmanager", "aws-sdk-apigateway"]);
    for (service, operation, rows) in table() {
        let sdk = if service == SECRETS {
            &sources["aws-sdk-secretsmanager"]
        } else {
            &sources["aws-sdk-apigateway"]
        };
        let codes = codes(sdk, operation);
        assert!(
            codes.len() > 2,
            "{operation}: the model was not understood: {codes:?}"
        );
        let rows: BTreeSet<_> = rows
            .iter()
            .map(|(_, code, ..)| (*code).to_owned())
            .collect();
        let missing: Vec<_> = codes.difference(&rows).collect();
        assert!(
            missing.is_empty(),
            "{operation} may answer {missing:?}: give each a row"
        );
    }
}

#[test]
fn every_operation_in_use_is_in_the_table() {
    let tabled: BTreeSet<_> = table()
        .into_iter()
        .map(|(_, operation, _)| operation)
        .collect();
    let called = regex::Regex::new(r#"const OPERATION: &str = "(\w+)"|SERVICE, "(\w+)""#)
        .expect("the service is known");
    let mut found = BTreeSet::new();
    for file in [
        "secrets_manager",
        "api_gateway/mod",
        "api_gateway/create",
        "api_gateway/listing",
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/adapters/{file}.rs"));
        let source = read(&path);
        for captures in called.captures_iter(&source) {
            let name = captures.get(1).or(captures.get(2)).expect("one of them");
            found.insert(name.as_str().to_owned());
        }
    }
    let found: BTreeSet<_> = found.iter().map(String::as_str).collect();
    assert_eq!(found, tabled);
}

#[test]
fn every_error_has_its_cause() {
    for (service, operation, rows) in table() {
        for (status, code, message, cause) in rows.into_iter().chain(beyond_the_models(service)) {
            assert_eq!(
                of_refusal(service, operation, status, code, message),
                cause,
                "{operation}: {status} {code} ({message})"
            );
        }
    }
}

/// Codes that the SDK retries are reported as temporary, except a quota.
#[test]
fn codes_that_the_sdk_retries_pass() {
    let sources = source_of(&["aws-runtime"]);
    let classifiers = read(&sources["aws-runtime"].join("retries/classifiers.rs"));
    let mut retried = BTreeSet::new();
    for list in ["THROTTLING_ERRORS", "TRANSIENT_ERRORS"] {
        let (_, codes) = classifiers
            .split_once(&format!("pub const {list}: &[&str] = &["))
            .expect("the file has the list");
        let (codes, _) = codes.split_once("];").expect("the list ends");
        retried.extend(codes.split('"').skip(1).step_by(2).map(ToOwned::to_owned));
    }
    assert!(
        retried.len() > 10 && retried.remove("LimitExceededException"),
        "{retried:?}"
    );
    for code in retried {
        for service in [SECRETS, KEYS] {
            let cause = of_refusal(service, "DescribeSecret", 400, &code, "");
            assert!(cause.is_passing(), "{code}: {cause:?}");
        }
    }
}

#[test]
fn only_what_passes_says_that_nothing_is_lost() {
    let tabled = table().into_iter().flat_map(|(service, _, rows)| {
        rows.into_iter()
            .chain(beyond_the_models(service))
            .map(|(.., cause)| cause)
    });
    let silent = [
        NoReply::TimedOut,
        NoReply::ConnectionLost,
        NoReply::NoConnection,
        NoReply::UnknownIssuer,
        NoReply::CertificateExpired,
        NoReply::WrongHost,
        NoReply::ProxyCredentials,
        NoReply::ProxyRefused,
        NoReply::NotSent,
    ];
    let causes = tabled
        .chain(silent.map(NoReply::cause))
        .chain([Cause::Unreadable]);
    let mut seen: Vec<Cause> = Vec::new();
    for cause in causes {
        let remedy = cause.remedy();
        assert_eq!(
            remedy.contains(NOTHING_IS_LOST),
            cause.is_passing(),
            "{cause:?}: {remedy}"
        );
        if !seen.contains(&cause) {
            seen.push(cause);
        }
    }
    let remedies: BTreeSet<_> = seen.iter().map(|cause| cause.remedy()).collect();
    assert_eq!(remedies.len(), seen.len(), "two causes have one remedy");
    for how in silent {
        assert!(how.may_pass() || !how.cause().is_passing(), "{how:?}");
    }
}

#[test]
fn quota_is_distinguished_from_rate() {
    let code = "LimitExceededException";
    assert!(is_quota(code, "API Keys limit exceeded"));
    assert!(is_quota(code, ""));
    for rate in [
        "Rate exceeded",
        "Too Many Requests",
        "slow down; retry after 3s",
    ] {
        assert!(!is_quota(code, rate), "{rate}");
    }
    assert!(!is_quota(
        "TooManyRequestsException",
        "API Keys limit exceeded"
    ));
}

/// A policy is named at the end of a message, which may be long: it includes the names of role,
/// function and secret.
#[test]
fn long_refusal_keeps_its_end() {
    let name = "shop/".repeat(90);
    let message = format!(
        "User: arn:aws:sts::1:assumed-role/r/f is not authorized to perform: secretsmanager:GetSecretValue on resource: {name} with an explicit deny in a service control policy"
    );
    let kind = CallErrorKind::Rejected {
        status: 400,
        code: Redacted::code("AccessDeniedException"),
        message: Redacted::message(&message),
    };
    let failed = CallError::from_aws(Call::without_id(SECRETS, "GetSecretValue"), kind);
    let said = failed.to_string();
    assert!(said.contains("(SCP)"), "{said}");
    assert!(said.contains("not authorized to perform"), "{said}");
}

// With the real function.

/// Returns an environment without probe and Doppler, which these tests do not need.
fn quick() -> TestEnvBuilder {
    TestEnvBuilder {
        probe: false,
        targets: Vec::new(),
        ..TestEnvBuilder::default()
    }
    .env("PROPAGATION_DELAY", "0s")
}

/// Each permanent refusal ends the step at once, with helpful advice, and the same token completes
/// later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[allow(clippy::too_many_lines, reason = "it is a table")]
async fn permanent_refusal_is_not_retried_and_advises() {
    let (secrets, keys) = (Sandboxed::SecretsManager, Sandboxed::ApiGateway);
    let denied = "User is not authorized to perform: secretsmanager:DescribeSecret with an explicit deny in a resource-based policy";
    let cases = [
        (
            secrets,
            "DescribeSecret",
            400,
            "AccessDeniedException",
            denied,
            "get-resource-policy",
        ),
        (
            secrets,
            "DescribeSecret",
            400,
            NO_SECRET.1,
            NO_SECRET.2,
            "account and Region",
        ),
        (
            secrets,
            "PutSecretValue",
            400,
            REPLICA.1,
            REPLICA.2,
            "PrimaryRegion",
        ),
        (
            secrets,
            "PutSecretValue",
            400,
            "ValidationException",
            "length less than or equal to 65536",
            "other fields",
        ),
        (
            secrets,
            "PutSecretValue",
            400,
            "LimitExceededException",
            "The maximum number of versions for a secret is 100.",
            "24 hours",
        ),
        (
            secrets,
            "PutSecretValue",
            400,
            "AccessDeniedException",
            "Access to KMS is not allowed",
            "kms:GenerateDataKey",
        ),
        (
            secrets,
            "PutSecretValue",
            400,
            "EncryptionFailure",
            "Secrets Manager can't encrypt",
            "enable-key",
        ),
        (
            secrets,
            "UpdateSecretVersionStage",
            400,
            "LimitExceededException",
            "Too many staging labels",
            "labels of your own",
        ),
        (
            keys,
            "CreateApiKey",
            429,
            "LimitExceededException",
            "API Keys limit exceeded",
            "delete-api-key",
        ),
        (
            keys,
            "CreateUsagePlanKey",
            429,
            "LimitExceededException",
            "Maximum number of keys reached",
            "Service Quotas",
        ),
    ];
    let env = quick().start().await;
    env.rotate().await;
    let before = env.current_key();
    for (service, operation, status, code, message, words) in cases {
        env.sandbox.clear_calls();
        let refusal = FaultKind::refuse(status, code, message);
        let fault = Fault::new(refusal).on(service, operation).every();
        env.sandbox.faults().inject(fault);
        let token = env.sandbox.rotate(SECRET);
        let outcome = env.sandbox.rotation(&token).await;
        let error = outcome.steps.last().and_then(|step| step.error.clone());
        let said = error.expect("the last step failed").error_message;
        assert!(said.contains(words), "{words:?} is missing: {said}");
        assert!(!said.contains(NOTHING_IS_LOST), "{said}");
        let calls = env.sandbox.calls();
        let refused = calls
            .iter()
            .filter(|call| call.operation == operation && call.status == status);
        assert_eq!(refused.count(), 1, "{operation} was repeated: {code}");
        assert!(env.current_key() == before, "AWSCURRENT moved");
        env.sandbox.faults().clear();
        env.sandbox
            .move_label(SECRET, "AWSPENDING", Some(&token), None);
    }
    env.rotate().await;
    env.assert_agreement().await;
}

/// Returns the message of `createSecret` with these variables, which must not say that the error is
/// temporary, and the time taken.
async fn create_secret_fails(env: &TestEnv, variables: &[(&str, &str)]) -> (String, Duration) {
    env.redeploy(variables).await;
    let token = env.sandbox.begin_rotation(SECRET);
    let began = Instant::now();
    let said = env
        .step_fails(&token, "createSecret", "SecretsManagerFailed")
        .await;
    let took = began.elapsed();
    assert!(!said.contains(NOTHING_IS_LOST), "{said}");
    env.sandbox
        .move_label(SECRET, "AWSPENDING", Some(&token), None);
    (said, took)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unusable_certificate_is_named_with_its_fault() {
    let env = quick().start().await;
    let authority = Authority::new().expect("keys can be generated");
    let directory = tempfile::tempdir().expect("a directory");
    let bundle = directory.path().join("bundle.pem");
    std::fs::write(&bundle, authority.pem()).expect("it is written");
    let bundle = bundle.to_str().expect("a plain path");
    let usual = Certificate::default();
    let cases = [
        (
            Certificate {
                until: 2020,
                ..usual
            },
            bundle,
            ["has expired", "renewed"],
        ),
        (
            Certificate {
                host: "proxy.test",
                ..usual
            },
            bundle,
            ["for another host", "host name"],
        ),
        (usual, "", ["not trusted", "AWS_CA_BUNDLE"]),
    ];
    for (certificate, bundle, words) in cases {
        let server = authority
            .proxy_with(certificate, &env.sandbox.aws_url())
            .await;
        let server = server.expect("it can listen");
        let variables = [
            ("AWS_ENDPOINT_URL", server.as_str()),
            ("AWS_CA_BUNDLE", bundle),
        ];
        let (said, took) = create_secret_fails(&env, &variables).await;
        for words in words {
            assert!(said.contains(words), "{words:?} is missing: {said}");
        }
        assert!(
            took < Duration::from_secs(5),
            "the call was retried: {took:?}"
        );
    }
}

/// Starts a proxy that responds to every CONNECT with this status. Returns its URL.
async fn proxy(status: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("the listener is bound");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = client.read(&mut request).await;
                let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                let _ = client.write_all(answer.as_bytes()).await;
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusing_proxy_is_distinguished_from_service() {
    let env = quick().start().await;
    let endpoint = ("AWS_ENDPOINT_URL", "https://secretsmanager.test");
    let strict = proxy("407 Proxy Authentication Required").await;
    let (said, took) = create_secret_fails(&env, &[endpoint, ("HTTPS_PROXY", &strict)]).await;
    assert!(
        said.contains("407") && said.contains("user name and password"),
        "{said}"
    );
    assert!(
        took < Duration::from_secs(5),
        "the call was retried: {took:?}"
    );

    let closed = proxy("403 Forbidden").await;
    let (said, took) = create_secret_fails(&env, &[endpoint, ("HTTPS_PROXY", &closed)]).await;
    assert!(
        said.contains("proxy refused") && said.contains("NO_PROXY"),
        "{said}"
    );
    assert!(
        took < Duration::from_secs(30),
        "the call was retried for long: {took:?}"
    );
}

/// No process listens at the endpoint, as in a VPC with neither an endpoint nor a NAT gateway.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_route_is_reported_within_half_minute() {
    let env = quick().start().await;
    // Not a port that was free a moment ago: the server of another test may have it now.
    let nowhere = ("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    let (said, took) = create_secret_fails(&env, &[nowhere]).await;
    assert!(
        said.contains("no connection") && said.contains("NAT gateway"),
        "{said}"
    );
    assert!(
        took < Duration::from_secs(30),
        "the call was retried for long: {took:?}"
    );
}

/// A system in between responds with HTML, as a proxy does that requires a login.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_page_is_not_taken_for_aws() {
    let env = quick().start().await;
    for status in [302, 403] {
        let page = FaultKind::answer(status, "text/html", "<html>log in</html>");
        let fault = Fault::new(page)
            .on(Sandboxed::SecretsManager, "DescribeSecret")
            .every();
        env.sandbox.faults().inject(fault);
        let (said, _) = create_secret_fails(&env, &[]).await;
        assert!(said.contains("the reply is not from AWS"), "{said}");
        env.sandbox.faults().clear();
    }
}
