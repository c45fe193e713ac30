//! The page's files, compiled in, and the headers that confine them.

use axum::body::Body;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};

/// Each file's path below `/_sandbox`, its media type and its text.
const FILES: [(&str, &str, &str); 4] = [
    ("/", "text/html; charset=utf-8", include_str!("index.html")),
    (
        "/page.css",
        "text/css; charset=utf-8",
        include_str!("page.css"),
    ),
    (
        "/page.js",
        "text/javascript; charset=utf-8",
        include_str!("page.js"),
    ),
    ("/icon.svg", "image/svg+xml", include_str!("icon.svg")),
];

/// Nothing comes from elsewhere, nothing is inline, and no other site can frame the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// Answers a GET; `path` is what follows `/_sandbox`.
pub(super) fn answer(path: &str) -> Response<Body> {
    if path.is_empty() {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
        let to = HeaderValue::from_static("/_sandbox/");
        response.headers_mut().insert(LOCATION, to);
        return response;
    }
    let Some((_, media_type, text)) = FILES.iter().find(|(name, _, _)| *name == path) else {
        let none = "The sandbox's page has no such file.";
        return super::message(StatusCode::NOT_FOUND, none);
    };
    let mut response = Response::new(Body::from(*text));
    let headers: [(HeaderName, &'static str); 5] = [
        (CONTENT_TYPE, media_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}
