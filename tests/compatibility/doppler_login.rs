//! Login to Doppler with programs of others: the AWS CLI gets the token, and the Doppler CLI logs in
//! with it.

use sandbox::doppler::IdentitySettings;
use sandbox::{ACCOUNT, Sandbox};
use tokio::process::Command;

use crate::support::programs::{AwsCli, first_words, stdout_of, text};
use crate::support::{CONFIG, PROJECT, TestEnvBuilder, tool};

const AUDIENCE: &str = "doppler/judge";

/// Returns `doppler` with a line of arguments, none of which contains a space, and no token.
fn doppler(cli: &AwsCli, sandbox: &Sandbox, line: &str) -> Command {
    let directory = cli.path("doppler");
    std::fs::create_dir_all(&directory).expect("a directory can be created");
    // Nothing in a test may be reported to Doppler, whatever the version's default.
    let flags = "flags:\n  analytics: false\n  update-check: false\n";
    let file = directory.join(".doppler.yaml");
    if !file.exists() {
        std::fs::write(file, flags).expect("the file can be written");
    }
    let mut doppler = cli.command(tool("doppler"));
    doppler
        .args(["--no-check-version", "--api-host", &sandbox.doppler_url()])
        .arg("--config-dir")
        .arg(directory)
        .args(line.split_whitespace())
        .env("DOPPLER_PROJECT", PROJECT)
        .env("DOPPLER_CONFIG", CONFIG);
    doppler
}

/// The account's switch, the token and its claims are as the AWS CLI expects them, and the token
/// serves the Doppler CLI for `oidc login`, a read, and `oidc logout`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clis_of_aws_and_doppler_log_in() {
    let env = TestEnvBuilder::quick().start().await;
    env.rotate().await;
    let sandbox = &env.sandbox;
    let cli = AwsCli::at(sandbox.aws_url());
    let get = format!(
        "sts get-web-identity-token --audience {AUDIENCE} --signing-algorithm RS256 --duration-seconds 300"
    );
    let refused = cli.refuses(&get).await;
    let words = "OutboundWebIdentityFederationDisabled";
    assert!(refused.contains(words), "{refused}");
    let info = "iam get-outbound-web-identity-federation-info";
    assert!(cli.refuses(info).await.contains("FeatureDisabled"));
    let enable = "iam enable-outbound-web-identity-federation";
    let enabled = cli.run(enable).await;
    assert_eq!(enabled["IssuerIdentifier"], sandbox.issuer_url());
    assert!(cli.refuses(enable).await.contains("FeatureEnabled"));
    let enabled = cli.run(info).await;
    assert_eq!(enabled["JwtVendingEnabled"], true);

    for (algorithm, wrong) in [("RS256", "RS512"), ("ES384", "HS256")] {
        let refused = cli.refuses(&get.replace("RS256", wrong)).await;
        assert!(refused.contains("ValidationError"), "{refused}");
        let proof = cli.run(&get.replace("RS256", algorithm)).await;
        assert!(proof["Expiration"].is_string());
        let subject = format!("arn:aws:iam::{ACCOUNT}:role/operator");
        let settings = IdentitySettings::new(&sandbox.issuer_url(), AUDIENCE, &subject);
        let identity = sandbox.doppler().create_identity(settings);

        let proof = text(&proof, "/WebIdentityToken");
        let scope = cli.path("").display().to_string();
        let login = format!("oidc login --identity {identity} --token {proof} --scope {scope}");
        stdout_of(doppler(&cli, sandbox, &login), "doppler oidc login").await;
        let read = "secrets get PARTNER_API_KEY --plain";
        let value = stdout_of(doppler(&cli, sandbox, read), &first_words(read)).await;
        assert!(value.trim() == env.current_key(), "another key");

        let tokens = sandbox.doppler().login_tokens();
        let logout = format!("oidc logout --scope {scope}");
        stdout_of(doppler(&cli, sandbox, &logout), "doppler oidc logout").await;
        let me = http::Request::get(format!("{}/v3/me", sandbox.doppler_url()))
            .header(
                "authorization",
                format!("Bearer {}", tokens[tokens.len() - 1]),
            )
            .body("")
            .expect("the request is valid");
        let me = sandbox::http_client::send(me).await.expect("an answer");
        assert_eq!(me.status(), 401, "the token of the login was not revoked");
    }
}

/// The Doppler CLI says what the sandbox refuses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doppler_cli_shows_refused_login() {
    let env = TestEnvBuilder::quick().keyless().start().await;
    let cli = AwsCli::at(env.sandbox.aws_url());
    let login = format!(
        "oidc login --identity {} --token a.b.c --scope /",
        env.identity
    );
    let mut login = doppler(&cli, &env.sandbox, &login);
    let output = login.output().await.expect("doppler runs");
    assert_eq!(output.status.code(), Some(1));
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(shown.contains("Unable to verify OIDC JWT token"), "{shown}");
}
