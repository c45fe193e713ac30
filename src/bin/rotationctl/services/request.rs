//! Builds and signs the request of an operation.

use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use reqwest::{Method, Request, Url};
use serde_json::Value;

use super::catalog::{Protocol, Service, rest};
use super::form::form;

/// Returns the signed request. `None` if its parts, such as the endpoint, are not those of a
/// request.
pub(super) fn signed(
    sdk: &SdkConfig,
    credentials: Credentials,
    at: SystemTime,
    service: Service,
    operation: &str,
    input: &Value,
) -> Option<Request> {
    let (endpoint, region) = service.endpoint(sdk);
    let names = service.names();
    let (method, path, content_type, body) = match names.protocol {
        Protocol::Json(_) => (
            Method::POST,
            "/".to_owned(),
            "application/x-amz-json-1.1",
            input.to_string(),
        ),
        Protocol::Query(version) => (
            Method::POST,
            "/".to_owned(),
            "application/x-www-form-urlencoded",
            form(operation, version, input),
        ),
        Protocol::Rest => {
            let (method, path) = rest(operation);
            let resource = ["FunctionName", "Resource"].map(|field| input[field].as_str());
            let name = resource.into_iter().flatten().next()?;
            let name = utf8_percent_encode(name, NON_ALPHANUMERIC).to_string();
            let payload = input.get("Payload").map(Value::to_string);
            let path = path.replace("{}", &name);
            (
                method,
                path,
                "application/json",
                payload.unwrap_or_default(),
            )
        }
    };
    let url = Url::parse(&format!("{endpoint}{path}")).ok()?;
    let mut request = Request::new(method, url);
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // CloudTrail shows it in `userAgent`, as of the SDK's requests.
    let agent = HeaderValue::from_static(concat!("app/", env!("CARGO_BIN_NAME")));
    headers.insert(USER_AGENT, agent);
    if let Protocol::Json(target) = names.protocol {
        let target = HeaderValue::try_from(format!("{target}.{operation}")).ok()?;
        headers.insert("x-amz-target", target);
    }
    sign_headers(&mut request, credentials, at, &region, names.signing, &body)?;
    *request.body_mut() = Some(body.into());
    Some(request)
}

/// Adds the headers of the signature. Returns `None` if it cannot be made.
fn sign_headers(
    request: &mut Request,
    credentials: Credentials,
    at: SystemTime,
    region: &str,
    service: &str,
    body: &str,
) -> Option<()> {
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(at)
        .settings(SigningSettings::default())
        .build()
        .ok()?
        .into();
    let headers = request.headers().iter();
    let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let body = SignableBody::Bytes(body.as_bytes());
    let signable = SignableRequest::new(
        request.method().as_str(),
        request.url().as_str(),
        headers,
        body,
    );
    let (instructions, _) = sign(signable.ok()?, &parameters).ok()?.into_parts();
    for (name, value) in instructions.headers() {
        let mut value = HeaderValue::try_from(value).ok()?;
        // Otherwise its text would be in a debug log of the HTTP client.
        value.set_sensitive(true);
        request
            .headers_mut()
            .insert(HeaderName::try_from(name).ok()?, value);
    }
    Some(())
}
