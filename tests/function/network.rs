//! Network conditions: replies without end, a `Date` that is not from AWS, and wrong proxies and
//! endpoints.

use std::time::{Duration, SystemTime};

use crate::support::{SECRET, TestEnv, TestEnvBuilder, create_managed_key, rotated};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use sandbox::{Fault, FaultKind, Options, Service};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const GRACE: Duration = Duration::from_hours(24);
const MIB: usize = 1 << 20;

fn is_enabled(env: &TestEnv, value: &str) -> bool {
    let key = env.sandbox.key_with_value(value);
    key.expect("the key exists").enabled
}

/// Returns the peak memory of the function in KiB.
fn peak_memory(env: &TestEnv) -> u64 {
    let pid = env.sandbox.function_pids()[0];
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok());
    peak.expect("the status has VmHWM")
}

/// Returns how many calls of an operation the call log has.
fn calls(env: &TestEnv, operation: &str) -> usize {
    let calls = env.sandbox.calls();
    let calls = calls.iter().filter(|call| call.operation == operation);
    calls.count()
}

/// Starts a server that sends every request the same head, and then the output of `body`.
async fn server<F>(head: &'static str, body: fn(TcpStream) -> F) -> String
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("the listener has an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut lines = BufReader::new(&mut stream).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    if line.is_empty() {
                        break;
                    }
                }
                stream.write_all(head.as_bytes()).await.ok();
                body(stream).await;
            });
        }
    });
    format!("http://{address}")
}

/// Sends chunks until the client disconnects.
async fn send_without_end(mut stream: TcpStream) {
    let chunk = [b"1000\r\n", &[b' '; 0x1000][..], b"\r\n"].concat();
    while stream.write_all(&chunk).await.is_ok() {}
}

// Replies are bounded.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doppler_reply_without_end_fails_in_bounded_memory() {
    let env = TestEnvBuilder::quick().start().await;
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let endless = server(head, send_without_end).await;
    env.redeploy(&[("DOPPLER_API_URL", &endless)]).await;
    let (error, _) = env.rotate_and_fail("testSecret").await;
    assert_eq!(error.error_type, "DopplerFailed", "{error}");
    let words = "Doppler answered GetSecret with a reply of more than 1 MiB";
    assert!(error.error_message.contains(words), "{error}");
    let peak = peak_memory(&env);
    assert!(peak < 100 * 1024, "it used {peak} KiB");
}

/// The status of a refusal decides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusal_over_the_bound_is_retried_by_status() {
    let env = TestEnvBuilder::quick().start().await;
    for (service, operation, status, size) in [
        (Service::Doppler, "GetSecret", 503, MIB + 1),
        (Service::SecretsManager, "DescribeSecret", 500, 10 * MIB + 1),
    ] {
        let page = FaultKind::answer(status, "text/html", "x".repeat(size));
        let handle = env
            .sandbox
            .faults()
            .inject(Fault::new(page).on(service, operation));
        env.rotate().await;
        assert_eq!(handle.fired(), 1, "{operation}");
    }
    env.assert_agreement().await;
}

/// A reply to a write may list every secret of the config.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doppler_write_reply_over_the_bound_is_verified() {
    let env = TestEnvBuilder::quick().start().await;
    let answer = FaultKind::Answer {
        status: 200,
        content_type: "application/json".to_owned(),
        body: " ".repeat(MIB + 1).into(),
        effect: true,
    };
    let fault = Fault::new(answer).on(Service::Doppler, "UpdateSecrets");
    let handle = env.sandbox.faults().inject(fault);
    env.rotate().await;
    assert_eq!(handle.fired(), 1);
    env.assert_agreement().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aws_reply_over_the_bound_is_not_retried() {
    let env = TestEnvBuilder::plain().start().await;
    env.rotate().await;
    let answer = FaultKind::answer(200, "application/json", " ".repeat(10 * MIB + 1));
    let fault = Fault::new(answer).on(Service::SecretsManager, "GetSecretValue");
    let handle = env.sandbox.faults().inject(fault.every());
    let (error, _) = env.rotate_and_fail("createSecret").await;
    assert_eq!(error.error_type, "SecretsManagerFailed", "{error}");
    let words = "Secrets Manager answered GetSecretValue with a reply of more than 10 MiB";
    assert!(error.error_message.contains(words), "{error}");
    assert_eq!(handle.fired(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn page_of_keys_over_the_bound_is_split() {
    let env = TestEnvBuilder::plain().start().await;
    let text = "x".repeat(MIB);
    for number in 0..12 {
        let name = format!("{SECRET}/other{number}");
        let value = format!("OtherOtherOtherOther{number:02}");
        let id = env.sandbox.create_key(&name, &value, &[]);
        env.sandbox.describe_key(&id, &text);
    }
    env.rotate().await;
    env.assert_agreement().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn single_key_over_the_bound_is_named() {
    let (env, _) = rotated(TestEnvBuilder::plain()).await;
    let name = format!("{SECRET}/large");
    let value = "LargeLargeLargeLargeLarge";
    let id = env.sandbox.create_key(&name, value, &[]);
    env.sandbox.describe_key(&id, &"x".repeat(10 * MIB));
    let report = env.reconcile(json!({})).await.to_string();
    assert!(report.contains("a single API key"), "{report}");
    // The key cannot be read, so the key before it in the list is named.
    let listed = env.shell("aws apigateway get-api-keys --query 'items[].id' --output text");
    let listed = listed.await;
    let ids: Vec<_> = listed.split_whitespace().collect();
    let place = ids.iter().position(|listed| **listed == id);
    let before = match place.expect("it is listed") {
        0 => "the first key listed".to_owned(),
        place => format!("listed after API key {}", ids[place - 1]),
    };
    assert!(report.contains(&before), "{before} is not in {report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_1000_keys_of_secret_fail_clearly() {
    let env = TestEnvBuilder::plain().start().await;
    env.rotate().await;
    for number in 0..1_000 {
        let version = format!("{number:032}");
        let value = format!("ManyManyManyManyManyMany{number:016}");
        create_managed_key(&env.sandbox, SECRET, &version, &value, &[]);
    }
    // Before promotion, in the first step that lists them.
    let (error, _) = env.rotate_and_fail("finishSecret").await;
    assert_eq!(error.error_type, "TooManyKeys", "{error}");
    assert!(error.error_message.contains("delete-api-key"), "{error}");
    assert_eq!(env.sandbox.keys().len(), 1_002, "none was deleted");
}

// The clock.

/// Returns a forged `Date`: nine days from now.
fn nine_days_ahead() -> String {
    let then = DateTime::from(SystemTime::now() + 9 * GRACE);
    then.fmt(Format::HttpDate)
        .expect("the date can be formatted")
}

fn forge(env: &TestEnv, date: &str, fault: impl Fn(Fault) -> Fault) {
    for service in [Service::SecretsManager, Service::ApiGateway] {
        let forged = Fault::new(FaultKind::header("date", date)).of(service);
        env.sandbox.faults().inject(fault(forged));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_date_ends_no_grace() {
    for date in [nine_days_ahead().as_str(), "tomorrow"] {
        let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
        forge(&env, date, Fault::every);
        env.reconcile(json!({})).await;
        env.reconcile(json!({})).await;
        assert!(is_enabled(&env, &superseded), "{date}");
        let log = env.log();
        assert!(log.contains("the time is not known"), "{date}: {log}");
        // An emergency stop does not wait for the time.
        env.reconcile(json!({"Step": "emergencyStop", "SecretId": SECRET}))
            .await;
        assert!(!is_enabled(&env, &superseded), "{date}");
    }
}

/// A refusal proves nothing, but the SDK corrects its signing time by it. A forged one makes at
/// most its own call fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_date_of_a_refusal_ends_no_grace() {
    for (status, code) in [
        (500, "InternalServiceError"),
        (403, "InvalidSignatureException"),
    ] {
        for service in [Service::SecretsManager, Service::ApiGateway] {
            let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
            let refuse = FaultKind::refuse(status, code, "Signature not yet current");
            let faults = env.sandbox.faults();
            faults.inject(Fault::new(refuse).of(service));
            forge(&env, &nine_days_ahead(), |fault| fault);
            let event = json!({"Step": "reconcile"}).to_string();
            env.sandbox.invoke(event).await;
            assert!(is_enabled(&env, &superseded), "{service:?} {code}");

            env.clear_emitted();
            env.reconcile(json!({})).await;
            assert!(is_enabled(&env, &superseded), "{service:?} {code}");
            let log = env.log();
            assert!(!log.contains("the time is not known"), "{code}: {log}");
        }
    }
}

/// The `Date` of a refusal may be near the time of signing without being from AWS.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn date_of_a_refusal_alone_is_not_believed() {
    let (env, _) = rotated(TestEnvBuilder::plain()).await;
    let faults = env.sandbox.faults();
    let refuse = FaultKind::refuse(500, "InternalServiceError", "not now");
    faults.inject(Fault::new(refuse).on(Service::SecretsManager, "DescribeSecret"));
    let forged = || Fault::new(FaultKind::header("date", "tomorrow"));
    for nth in 2..10 {
        faults.inject(
            forged()
                .on(Service::SecretsManager, "DescribeSecret")
                .nth(nth),
        );
    }
    let value = forged().on(Service::SecretsManager, "GetSecretValue");
    faults.inject(value.every());
    faults.inject(forged().of(Service::ApiGateway).every());
    env.clear_emitted();
    env.reconcile(json!({})).await;
    let log = env.log();
    assert!(log.contains("the time is not known"), "{log}");
}

/// The sandbox then refuses a signature with this machine's time, and the SDK corrects it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clock_that_moved_ends_grace_without_extra_calls() {
    let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
    env.sandbox.advance(GRACE);
    env.sandbox.clear_calls();
    env.clear_emitted();
    env.reconcile(json!({})).await;
    assert!(!is_enabled(&env, &superseded));
    assert_eq!(calls(&env, "UpdateApiKey"), 1);
    let log = env.log();
    assert!(!log.contains("the time is not known"), "{log}");
}

// Settings that libraries read.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_proxy_is_not_bypassed() {
    let env = TestEnvBuilder::plain().start().await;
    for proxy in [
        "http://corp:pa/ss@127.0.0.1:1",
        "http://127.0.0.1:1x",
        " http://127.0.0.1:1",
    ] {
        env.redeploy(&[("HTTP_PROXY", proxy)]).await;
        env.sandbox.clear_calls();
        let token = env.sandbox.begin_rotation(SECRET);
        let message = env
            .step_fails(&token, "createSecret", "InvalidSettings")
            .await;
        assert!(message.starts_with("HTTP_PROXY"), "{message}");
        assert!(!message.contains("pa/ss"), "{message}");
        assert!(env.sandbox.calls().is_empty(), "{proxy}");
        env.sandbox
            .move_label(SECRET, "AWSPENDING", Some(&token), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxy_is_used_except_for_no_proxy() {
    let setup = TestEnvBuilder {
        options: Options {
            function_timeout: Duration::from_secs(8),
            ..Options::default()
        },
        ..TestEnvBuilder::plain()
    };
    let env = setup.start().await;
    let unreachable = ("HTTP_PROXY", "http://user:p%40ss@127.0.0.1:1");
    env.redeploy(&[unreachable]).await;
    let token = env.sandbox.begin_rotation(SECRET);
    env.sandbox.clear_calls();
    let failed = env.sandbox.step(SECRET, &token, "createSecret").await;
    failed.result.expect_err("no proxy is there");
    assert!(env.sandbox.calls().is_empty());
    env.redeploy(&[unreachable, ("NO_PROXY", "localhost, 127.0.0.0/8")])
        .await;
    env.retry(&token).await;
}

/// A proxy sees the default hosts of the function's calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoint_variables_are_honoured_like_other_sdks() {
    let flags = [
        (vec![], "secretsmanager.us-east-1.amazonaws.com:443"),
        (
            vec![("AWS_USE_FIPS_ENDPOINT", "TRUE")],
            "secretsmanager-fips.us-east-1.amazonaws.com:443",
        ),
        (
            vec![
                ("AWS_USE_DUALSTACK_ENDPOINT", "true"),
                ("AWS_USE_FIPS_ENDPOINT", "true"),
            ],
            "secretsmanager-fips.us-east-1.amazonaws.com:443",
        ),
    ];
    for (flags, host) in flags {
        let env = TestEnvBuilder::plain().start().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let proxy = listener.local_addr().expect("the listener has an address");
        let proxy = format!("http://{proxy}");
        let mut changes = vec![
            ("HTTPS_PROXY", proxy.as_str()),
            ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "True"),
        ];
        changes.extend(flags);
        env.redeploy(&changes).await;
        let token = env.sandbox.begin_rotation(SECRET);
        let step = env.sandbox.step(SECRET, &token, "createSecret");
        let first_line = async {
            let (stream, _) = listener.accept().await.expect("a connection");
            let mut line = String::new();
            let mut reader = BufReader::new(stream);
            reader.read_line(&mut line).await.expect("a request");
            line
        };
        let line = tokio::select! {
            line = first_line => line,
            done = step => panic!("the step ended without the proxy: {:?}", done.result),
        };
        assert_eq!(line.trim_end(), format!("CONNECT {host} HTTP/1.1"));
        assert!(env.sandbox.calls().is_empty());
    }
}

// Slow and silent networks.

/// Each retry of the AWS SDK is a line with the cause, which names no value.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retries_of_sdk_are_logged_with_cause() {
    let env = TestEnvBuilder::plain().start().await;
    for (fault, service, operation) in [
        (
            FaultKind::ResetBefore,
            Service::SecretsManager,
            "GetSecretValue",
        ),
        (
            FaultKind::answer(503, "text/html", "down"),
            Service::ApiGateway,
            "CreateUsagePlanKey",
        ),
        (
            FaultKind::answer(200, "application/json", ""),
            Service::SecretsManager,
            "DescribeSecret",
        ),
    ] {
        env.sandbox
            .faults()
            .inject(Fault::new(fault).on(service, operation));
    }
    env.rotate().await;
    let log = env.log();
    for line in [
        "attempt 1 of GetSecretValue failed, Secrets Manager did not answer: the connection was lost; trying again",
        "attempt 1 of CreateUsagePlanKey failed, API Gateway answered with status 503; trying again",
        "attempt 1 of DescribeSecret failed, Secrets Manager answered with a malformed reply; trying again",
    ] {
        assert!(log.contains(line), "no {line:?} in {log}");
    }
    assert_eq!(log.matches("; trying again").count(), 3, "{log}");
}

/// An address that answers no request for a connection.
struct Silence {
    url: String,
    _listener: TcpListener,
    _queued: TcpStream,
}

impl Silence {
    /// Linux drops the requests for a connection while the queue of a listener is full.
    async fn start() -> Self {
        let silent = TcpSocket::new_v4().expect("a socket");
        let any_port = "127.0.0.1:0".parse().expect("an address");
        silent.bind(any_port).expect("it can be bound");
        let address = silent.local_addr().expect("it is bound");
        Self {
            url: format!("http://{address}"),
            _listener: silent.listen(0).expect("it can listen"),
            _queued: TcpStream::connect(address).await.expect("the first one"),
        }
    }
}

/// STS that does not answer at all, as in a VPC without an endpoint for it, is called as often as
/// any other service: three times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_sts_fails_step_in_seconds() {
    let env = TestEnvBuilder::quick().keyless().start().await;
    let silence = Silence::start().await;
    env.redeploy(&[("AWS_ENDPOINT_URL_STS", &silence.url)])
        .await;
    let (error, _) = env.rotate_and_fail("testSecret").await;
    assert_eq!(error.error_type, "StsFailed", "{error}");
    let retries = env.log().matches("; trying again").count();
    assert_eq!(retries, 2, "{}", env.log());
}

/// A network that drops every packet, as a VPC without an endpoint does, fails a step within seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_network_fails_step_in_seconds() {
    let env = TestEnvBuilder::plain().start().await;
    let silence = Silence::start().await;
    env.redeploy(&[("AWS_ENDPOINT_URL", &silence.url)]).await;
    let token = env.sandbox.begin_rotation(SECRET);
    let began = std::time::Instant::now();
    let message = env
        .step_fails(&token, "createSecret", "SecretsManagerFailed")
        .await;
    let took = began.elapsed();
    assert!(
        message.contains("no connection could be established"),
        "{message}"
    );
    assert!(took < Duration::from_secs(20), "it took {took:?}");
    let retries = env.log().matches("; trying again").count();
    assert_eq!(retries, 2, "{}", env.log());
}
