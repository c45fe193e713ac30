//! A proxy that inspects TLS, with certificates that are not compiled in.

use std::time::{Duration, Instant};

use crate::support::{SECRET, TestEnvBuilder};
use sandbox::Sandbox;
use sandbox::tls::Authority;

/// Returns an authority of the proxy's own.
fn authority() -> Authority {
    Authority::new().expect("keys can be generated")
}

async fn inspect(authority: &Authority, upstream: &str) -> String {
    let url = authority.proxy(upstream).await;
    url.expect("the proxy can listen")
}

/// A certificate bundle is used for AWS and Doppler, and nothing else is trusted then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificate_bundle_replaces_default_trust() {
    let env = TestEnvBuilder::default().start().await;
    let authority = authority();
    let sandbox: &Sandbox = &env.sandbox;
    let (aws, doppler) = (
        inspect(&authority, &sandbox.aws_url()).await,
        inspect(&authority, &sandbox.doppler_url()).await,
    );
    let directory = tempfile::tempdir().expect("a directory");
    let bundle = directory.path().join("bundle.pem");
    std::fs::write(&bundle, authority.pem()).expect("the bundle can be written");
    let bundle = bundle.to_str().expect("a plain path");

    let through = [
        ("AWS_ENDPOINT_URL", aws.as_str()),
        ("DOPPLER_API_URL", doppler.as_str()),
    ];
    env.redeploy(&through).await;
    let token = sandbox.begin_rotation(SECRET);
    let message = env
        .step_fails(&token, "createSecret", "SecretsManagerFailed")
        .await;
    assert!(message.contains("AWS_CA_BUNDLE"), "{message}");
    sandbox.move_label(SECRET, "AWSPENDING", Some(&token), None);

    for variable in ["AWS_CA_BUNDLE", "SSL_CERT_FILE"] {
        env.redeploy(&[through[0], through[1], (variable, bundle)])
            .await;
        env.rotate().await;
        env.assert_agreement().await;
    }

    // A bundle replaces the compiled-in certificates, as it does elsewhere. The proxy of another
    // authority is not trusted.
    let stranger = inspect(&self::authority(), &sandbox.aws_url()).await;
    env.redeploy(&[("AWS_ENDPOINT_URL", &stranger), ("AWS_CA_BUNDLE", bundle)])
        .await;
    let token = sandbox.begin_rotation(SECRET);
    env.step_fails(&token, "createSecret", "SecretsManagerFailed")
        .await;
}

/// An untrusted certificate is not temporary. The step ends long before its deadline and names the
/// setting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probe_with_untrusted_certificate_ends_early() {
    let env = TestEnvBuilder::default().start().await;
    env.rotate().await;
    let gateway = inspect(&authority(), &env.sandbox.gateway_url()).await;
    let url = format!("{gateway}/{}/ping", sandbox::STAGE);
    env.redeploy(&[("PROBE_URL", &url)]).await;
    let began = Instant::now();
    let (error, token) = env.rotate_and_fail("testSecret").await;
    let took = began.elapsed();
    assert_eq!(error.error_type, "ProbeRejected", "{error}");
    assert!(error.error_message.contains("AWS_CA_BUNDLE"), "{error}");
    assert!(took < Duration::from_secs(40), "after {took:?}");
    env.redeploy(&[]).await;
    env.retry(&token).await;
    env.assert_agreement().await;
}
