//! Login with OIDC: which tokens are accepted, and how long a login lasts.

use std::time::{Duration, UNIX_EPOCH};

use http::Request;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use sandbox::doppler::IdentitySettings;
use sandbox::{FUNCTION_ACCESS_KEY_ID, FUNCTION_ROLE_ARN, Sandbox, http_client};
use serde_json::{Value, json};

const AUDIENCE: &str = "doppler/test";

/// A sandbox whose account issues tokens, and an identity that accepts those of the function.
struct Workplace {
    sandbox: Sandbox,
    identity: String,
}

/// Returns the status of a reply, and its body.
type Reply = (u16, Value);

impl Workplace {
    async fn start() -> Self {
        let sandbox = Sandbox::start(sandbox::Options::default()).await;
        let sandbox = sandbox.expect("the sandbox starts");
        sandbox.switch_federation(true);
        sandbox.doppler().create_project("acme");
        let settings = IdentitySettings::new(&sandbox.issuer_url(), AUDIENCE, FUNCTION_ROLE_ARN);
        let identity = sandbox.doppler().create_identity(settings);
        Self { sandbox, identity }
    }

    /// Gets a token from STS, as the function does.
    async fn token(&self, audience: &str, algorithm: &str) -> String {
        let body = format!(
            "Action=GetWebIdentityToken&Version=2011-06-15&Audience.member.1={audience}&SigningAlgorithm={algorithm}&DurationSeconds=300"
        );
        let scope =
            format!("Credential={FUNCTION_ACCESS_KEY_ID}/20261122/us-east-1/sts/aws4_request");
        let request = Request::post(self.sandbox.aws_url())
            .header("authorization", format!("AWS4-HMAC-SHA256 {scope}"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .expect("the request is valid");
        let reply = http_client::send(request).await.expect("STS answers");
        let text = String::from_utf8_lossy(reply.body()).into_owned();
        assert_eq!(reply.status(), 200, "{text}");
        let (_, text) = text.split_once("<WebIdentityToken>").expect("a token");
        let (token, _) = text.split_once("</WebIdentityToken>").expect("its end");
        token.to_owned()
    }

    async fn post(&self, path: &str, body: Value) -> Reply {
        let request = Request::post(format!("{}{path}", self.sandbox.doppler_url()))
            .header("content-type", "application/json")
            .body(body.to_string())
            .expect("the request is valid");
        let reply = http_client::send(request).await.expect("Doppler answers");
        let body = serde_json::from_slice(reply.body()).expect("the body is JSON");
        (reply.status().as_u16(), body)
    }

    async fn login(&self, token: &str) -> Reply {
        let body = json!({ "identity": self.identity, "token": token });
        self.post("/v3/auth/oidc", body).await
    }

    /// Returns the status of a call with a token of Doppler.
    async fn me(&self, token: &str) -> u16 {
        let request = Request::get(format!("{}/v3/me", self.sandbox.doppler_url()))
            .header("authorization", format!("Bearer {token}"))
            .body("")
            .expect("the request is valid");
        let reply = http_client::send(request).await.expect("Doppler answers");
        reply.status().as_u16()
    }

    fn claims(&self) -> Value {
        let now = self.sandbox.now().duration_since(UNIX_EPOCH);
        let now = now.expect("after 1970").as_secs();
        json!({
            "iss": self.sandbox.issuer_url(),
            "aud": AUDIENCE,
            "sub": FUNCTION_ROLE_ARN,
            "iat": now,
            "exp": now + 300,
        })
    }
}

fn message((status, body): &Reply) -> (u16, &str) {
    (*status, body["messages"][0].as_str().unwrap_or_default())
}

const UNVERIFIED: (u16, &str) = (401, "Unable to verify OIDC JWT token");

/// DOC: a login with either algorithm of AWS returns a token of its own kind.
#[tokio::test]
async fn token_of_aws_logs_in() {
    let place = Workplace::start().await;
    for algorithm in ["RS256", "ES384"] {
        let token = place.token(AUDIENCE, algorithm).await;
        let (status, body) = place.login(&token).await;
        assert_eq!(status, 200, "{body}");
        let token = body["token"].as_str().expect("a token");
        assert!(token.starts_with("dp.said."), "another kind");
        assert_eq!(place.me(token).await, 200);
        assert!(body["dashboard_url"].is_string(), "the CLI wants it");
    }
}

/// DOC: a token ends at its time, or when it is revoked.
#[tokio::test]
async fn token_ends_when_expired_or_revoked() {
    let place = Workplace::start().await;
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let token = place.token(AUDIENCE, "ES384").await;
        let (_, body) = place.login(&token).await;
        tokens.push(body["token"].as_str().expect("a token").to_owned());
    }
    let revoke = json!({ "token": tokens[0] });
    assert_eq!(place.post("/v3/auth/revoke", revoke.clone()).await.0, 200);
    assert_eq!(place.post("/v3/auth/revoke", revoke).await.0, 401);
    assert_eq!(place.me(&tokens[0]).await, 401);
    assert_eq!(place.me(&tokens[1]).await, 200);
    place.sandbox.advance(Duration::from_mins(10));
    assert_eq!(place.me(&tokens[1]).await, 401);
}

/// The signature is verified with the issuer's keys, and no other algorithm is accepted.
#[tokio::test]
async fn forged_token_is_refused() {
    let place = Workplace::start().await;
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384);
    let key = EncodingKey::from_ec_der(&key.expect("a key").serialize_der());
    let mut header = Header::new(Algorithm::ES384);
    header.kid = Some("EC384_0".to_owned());
    let forged = jsonwebtoken::encode(&header, &place.claims(), &key).expect("signed");
    assert_eq!(message(&place.login(&forged).await), UNVERIFIED);

    let mut header = Header::new(Algorithm::HS256);
    header.kid = Some("RSA_0".to_owned());
    let key = EncodingKey::from_secret(&[7; 32]).expect("a key");
    let forged = jsonwebtoken::encode(&header, &place.claims(), &key).expect("signed");
    assert_eq!(message(&place.login(&forged).await), UNVERIFIED);

    let token = place.token(AUDIENCE, "RS256").await;
    let (signed, signature) = token.rsplit_once('.').expect("a signature");
    for altered in [
        format!("{signed}."),
        signed.to_owned(),
        format!("{signed}.{}", signature.to_lowercase()),
        String::new(),
    ] {
        assert_eq!(message(&place.login(&altered).await), UNVERIFIED);
    }
}

/// A token is accepted from its time of issue until its end. OBS: one from the future is refused.
#[tokio::test]
async fn token_outside_its_time_is_refused() {
    let place = Workplace::start().await;
    let token = place.token(AUDIENCE, "ES384").await;
    let doppler = place.sandbox.doppler();
    doppler.set_login_clock_lag(Duration::from_secs(5));
    assert_eq!(message(&place.login(&token).await), UNVERIFIED);
    doppler.set_login_clock_lag(Duration::ZERO);
    assert_eq!(place.login(&token).await.0, 200);
    place.sandbox.advance(Duration::from_secs(301));
    assert_eq!(message(&place.login(&token).await), UNVERIFIED);
}

/// DOC: one value of every claim must match.
#[tokio::test]
async fn login_requires_every_claim() {
    let place = Workplace::start().await;
    let doppler = place.sandbox.doppler();
    let token = place.token("another", "ES384").await;
    let refused = place.login(&token).await;
    assert!(message(&refused).1.contains("aud"), "{refused:?}");

    let token = place.token(AUDIENCE, "ES384").await;
    let change = |name: &str, values: &[&str]| {
        let claim = (
            name.to_owned(),
            values.iter().map(|&value| value.to_owned()).collect(),
        );
        doppler.change_identity(&place.identity, |settings| {
            settings.claims.retain(|(of, _)| of != name);
            settings.claims.push(claim);
        });
    };
    change("sub", &["arn:aws:iam::123456789012:role/other"]);
    let refused = place.login(&token).await;
    assert!(message(&refused).1.contains("sub"), "{refused:?}");
    change(
        "sub",
        &["arn:aws:iam::123456789012:role/other", FUNCTION_ROLE_ARN],
    );
    assert_eq!(place.login(&token).await.0, 200);
    let nested = "/https:~1~1sts.amazonaws.com~1/lambda_source_function_arn";
    change(
        nested,
        &["arn:aws:lambda:us-east-1:123456789012:function:other"],
    );
    assert_eq!(place.login(&token).await.0, 401);
    change(nested, &[sandbox::FUNCTION_ARN]);
    assert_eq!(place.login(&token).await.0, 200);

    change("sub", &["arn:aws:iam::123456789012:role/*"]);
    assert_eq!(place.login(&token).await.0, 401, "wildcards are an option");
    doppler.change_identity(&place.identity, |settings| settings.wildcards = true);
    assert_eq!(place.login(&token).await.0, 200);
}

/// An unknown identity, one of an expired service account, and another issuer's.
#[tokio::test]
async fn login_requires_active_identity_of_issuer() {
    let place = Workplace::start().await;
    let token = place.token(AUDIENCE, "ES384").await;
    let body = json!({ "identity": "11111111-2222-4333-8444-555555555555", "token": token });
    assert_eq!(place.post("/v3/auth/oidc", body).await.0, 404);
    let doppler = place.sandbox.doppler();
    let other = Workplace::start().await;
    doppler.change_identity(&place.identity, |settings| {
        settings.discovery_url = other.sandbox.issuer_url();
    });
    assert_eq!(message(&place.login(&token).await), UNVERIFIED);
    doppler.change_identity(&place.identity, |settings| {
        settings.discovery_url = place.sandbox.issuer_url();
    });
    let (_, body) = place.login(&token).await;
    let kept = body["token"].as_str().expect("a token");
    doppler.expire_service_account(&place.identity);
    assert_eq!(place.login(&token).await.0, 401);
    assert_eq!(place.me(kept).await, 401);
}
