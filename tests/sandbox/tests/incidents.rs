//! Incidents that are requested over HTTP, and what they rest on.

use http::{Request, StatusCode};
use sandbox::incidents::{Incident, SECRET};
use sandbox::{Function, Measured, Options, PageContent, PageSecret, Sandbox, http_client};
use serde_json::Value;

async fn start() -> Sandbox {
    let options = Options {
        page: Some(PageContent {
            secrets: vec![PageSecret {
                name: SECRET.to_owned(),
                targets: Vec::new(),
            }],
            ..PageContent::default()
        }),
        ..Options::default()
    };
    let sandbox = Sandbox::start(options).await.expect("it starts");
    sandbox.create_secret(SECRET, None);
    sandbox.enable_rotation(SECRET);
    let function = Function::new(env!("CARGO_BIN_EXE_template-function"));
    sandbox.deploy(function).await;
    sandbox
}

/// Sends requests while the sandbox performs what is requested.
async fn while_served(sandbox: &Sandbox, requests: impl Future<Output = ()>) {
    tokio::select! {
        () = requests => {}
        () = sandbox.serve_incidents() => panic!("it ended"),
    }
}

/// Posts to the sandbox, and returns the status and the message.
async fn post(sandbox: &Sandbox, path: &str) -> (StatusCode, String) {
    let request = Request::post(format!("{}/_sandbox/{path}", sandbox.aws_url()));
    let request = request.body("").expect("the request is valid");
    let response = http_client::send(request).await.expect("it answers");
    let body: Value = serde_json::from_slice(response.body()).expect("JSON");
    let message = body["message"].as_str().unwrap_or_default();
    (response.status(), message.to_owned())
}

/// The answer comes after the incident, and says what was done, or by whom.
#[tokio::test]
async fn requested_incident_happens_and_is_remedied() {
    let sandbox = start().await;
    let requests = async {
        let (status, said) = post(&sandbox, "provoke?what=function-throttled").await;
        assert_eq!(status, StatusCode::OK);
        assert!(
            said.starts_with("function-throttled: another function"),
            "{said}"
        );
        let error = sandbox.invoke("{}").await.result.expect_err("throttled");
        assert_eq!(error.error_type, "TooManyRequestsException");
        let (_, said) = post(&sandbox, "remedy?what=function-throttled").await;
        assert!(said.contains("the owner of the other function"), "{said}");
        assert!(sandbox.invoke("{}").await.result.is_ok());
        for path in [
            "provoke",
            "provoke?what=nothing",
            "remedy?what=no-such-alarm",
        ] {
            let (status, said) = post(&sandbox, path).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
            assert!(said.contains("docs/drill.md"), "{said}");
        }
    };
    while_served(&sandbox, requests).await;
}

/// Variables of the function are as before after the remedy.
#[tokio::test]
async fn remedy_restores_variables_of_function() {
    let sandbox = start().await;
    let variables = [("GRACE_PERIOD", "1h".to_owned())];
    sandbox.change_variables(variables.to_vec()).await;
    let period = || async {
        let request = Request::get(format!(
            "{}/2015-03-31/functions/rotation/configuration",
            sandbox.aws_url()
        ));
        let request = request.header("authorization", "AWS4-HMAC-SHA256 Credential=a/b");
        let request = request.body("").expect("the request is valid");
        let response = http_client::send(request).await.expect("it answers");
        let body: Value = serde_json::from_slice(response.body()).expect("JSON");
        body["Environment"]["Variables"]["GRACE_PERIOD"].clone()
    };
    let requests = async {
        post(&sandbox, "provoke?what=InvalidSettings").await;
        assert_eq!(period().await, "soon");
        post(&sandbox, "remedy?what=InvalidSettings").await;
        assert_eq!(period().await, "1h");
    };
    while_served(&sandbox, requests).await;
}

/// A throttled invocation is neither an invocation nor an error (DOC).
#[tokio::test]
async fn throttled_invocations_are_measured_apart() {
    let sandbox = start().await;
    sandbox
        .invoke("{}")
        .await
        .result
        .expect("the function echoes");
    sandbox.throttle_function(true);
    sandbox.invoke("{}").await.result.expect_err("throttled");
    let measured = sandbox.measured();
    assert!(
        matches!(
            measured.as_slice(),
            [
                Measured::Ran { failed: false, .. },
                Measured::Throttled { .. }
            ]
        ),
        "{measured:?}"
    );
}

/// `CloudTrail` records how each rotation ended, and for a failed step its name.
#[tokio::test]
async fn trail_records_how_rotations_ended() {
    let sandbox = start().await;
    let names = |sandbox: &Sandbox| {
        let events = sandbox.trail().into_iter();
        let names = events.map(|sent| sent.event["detail"]["eventName"].clone());
        names.collect::<Vec<_>>()
    };
    let token = sandbox.rotate(SECRET);
    sandbox.rotation(&token).await;
    sandbox.test_rotation(SECRET).await;
    let failing = Function::new(env!("CARGO_BIN_EXE_template-function"));
    sandbox
        .deploy(failing.env("BEHAVIOUR", "fail:setSecret"))
        .await;
    let token = sandbox.rotate(SECRET);
    sandbox.rotation(&token).await;
    assert_eq!(
        names(&sandbox),
        [
            "RotationSucceeded",
            "TestRotationSucceeded",
            "RotationFailed"
        ]
    );
    let last = sandbox.trail().pop().expect("it is there").event;
    let words = last["detail"]["errorMessage"].as_str().expect("a message");
    assert!(words.ends_with("during setSecret step"), "{words}");
    let arn = sandbox.secret(SECRET).arn;
    assert_eq!(last["detail"]["additionalEventData"]["SecretId"], arn);
    sandbox.move_label(SECRET, "AWSPENDING", Some(&token), None);
    // `createSecret` would give AWSPENDING back.
    let failing = Function::new(env!("CARGO_BIN_EXE_template-function"));
    sandbox
        .deploy(failing.env("BEHAVIOUR", "fail:createSecret"))
        .await;
    let token = sandbox.begin_rotation(SECRET);
    sandbox.move_label(SECRET, "AWSPENDING", Some(&token), None);
    sandbox.resume_rotation(SECRET, &token);
    sandbox.rotation(&token).await;
    assert_eq!(names(&sandbox).pop(), Some("RotationAbandoned".into()));
}

#[test]
fn every_incident_has_its_own_name_and_cause() {
    let all = Incident::all();
    let mut names: Vec<_> = all.iter().map(|incident| incident.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all.len());
    for incident in all {
        assert!(!incident.cause.is_empty(), "{}", incident.name);
        let found = Incident::named(incident.name).expect("it has this name");
        assert_eq!(found.cause, incident.cause);
    }
}
