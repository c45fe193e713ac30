//! The issuer: its keys, its discovery document and its key set.

use std::sync::LazyLock;

use axum::body::Body;
use http::request::Parts;
use http::{Response, StatusCode};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use serde_json::{Value, json};

use crate::error_response::json_response;

/// The keys that sign. AWS has one for each algorithm, with these ids (AWSV).
pub(super) static KEYS: LazyLock<[Key; 2]> = LazyLock::new(|| {
    let rsa = rsa::PrivateKey::new(&mut rand::rng(), 2048).expect("an RSA key is generated");
    let rsa = rsa.to_pkcs1_der().expect("the key can be encoded");
    let ec = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384);
    let ec = ec.expect("a P-384 key is generated").serialize_der();
    [
        Key {
            id: "RSA_0",
            algorithm: Algorithm::RS256,
            secret: EncodingKey::from_rsa_der(rsa.as_bytes()),
        },
        Key {
            id: "EC384_0",
            algorithm: Algorithm::ES384,
            secret: EncodingKey::from_ec_der(&ec),
        },
    ]
});

/// A key of the issuer.
pub(super) struct Key {
    id: &'static str,
    pub(super) algorithm: Algorithm,
    secret: EncodingKey,
}

impl Key {
    /// Returns the key for an algorithm as AWS names it.
    pub(super) fn of(algorithm: &str) -> Option<&'static Key> {
        let algorithm = algorithm.parse().ok()?;
        KEYS.iter().find(|key| key.algorithm == algorithm)
    }

    /// Signs the claims.
    pub(super) fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.id.to_owned());
        jsonwebtoken::encode(&header, claims, &self.secret).expect("the key signs")
    }

    fn public(&self) -> Jwk {
        let mut jwk =
            Jwk::from_encoding_key(&self.secret, self.algorithm).expect("the key is valid");
        jwk.common.key_id = Some(self.id.to_owned());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        jwk
    }
}

/// Answers a request to the issuer, which everybody may send.
pub(crate) fn answer(issuer: &str, parts: &Parts) -> Response<Body> {
    let (status, body) = match parts.uri.path() {
        "/.well-known/openid-configuration" => (StatusCode::OK, discovery(issuer)),
        "/.well-known/jwks.json" => {
            let keys: Vec<Jwk> = KEYS.iter().map(Key::public).collect();
            (StatusCode::OK, json!({ "keys": keys }))
        }
        _ => (StatusCode::NOT_FOUND, json!({ "message": "Not Found" })),
    };
    json_response(status, "application/json", &body)
}

fn discovery(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES384"],
        "claims_supported": ["aud", "exp", "iat", "iss", "jti", "sub"],
    })
}
