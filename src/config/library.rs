//! Variables that the libraries of the function read: AWS endpoints and proxies.
//!
//! The HTTP client ignores a proxy that it cannot parse and connects directly (SRC: hyper-util,
//! `proxy::matcher`). The AWS SDK treats a flag that it cannot parse as unset. Both would send
//! requests to places that the operator did not intend. So these variables are validated like the
//! settings of the function. No problem quotes a value: a proxy URL may hold a password.

use std::net::IpAddr;

use super::ConfigProblem;
use super::parse::parse_url;

/// Looks up a variable, as [`std::env::var`] does.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The variables of the HTTP client that name a proxy. It uses the first of a pair that is set.
const PROXIES: [(&str, &str); 3] = [
    ("HTTPS_PROXY", "https_proxy"),
    ("HTTP_PROXY", "http_proxy"),
    ("ALL_PROXY", "all_proxy"),
];

/// The variables of the AWS SDKs that name an endpoint: one for all services, and one for each
/// service in use.
const ENDPOINTS: [&str; 5] = [
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    "AWS_ENDPOINT_URL_API_GATEWAY",
    "AWS_ENDPOINT_URL_EVENTBRIDGE",
    "AWS_ENDPOINT_URL_STS",
];

const FIPS: &str = "AWS_USE_FIPS_ENDPOINT";
const DUAL_STACK: &str = "AWS_USE_DUALSTACK_ENDPOINT";
const IGNORE_ENDPOINTS: &str = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS";

/// Whether AWS is called at its FIPS endpoints.
pub(crate) fn uses_fips(variable: Lookup) -> bool {
    is_on(variable, FIPS)
}

/// Whether AWS is called at its dual-stack endpoints.
pub(crate) fn uses_dual_stack(variable: Lookup) -> bool {
    is_on(variable, DUAL_STACK)
}

/// Returns the endpoint of a service such as `API Gateway`: its own variable, or the one for all
/// services. Returns `None` if the service is called at AWS.
pub(crate) fn endpoint_url(variable: Lookup, service_id: &str) -> Option<String> {
    if is_on(variable, IGNORE_ENDPOINTS) {
        return None;
    }
    let service = service_id.to_uppercase().replace(' ', "_");
    set(variable, &format!("AWS_ENDPOINT_URL_{service}"))
        .or_else(|| set(variable, "AWS_ENDPOINT_URL"))
}

/// Returns all problems of these variables.
pub(super) fn problems(variable: Lookup, http_anywhere: bool) -> Vec<ConfigProblem> {
    let mut problems = proxies(variable);
    for name in [FIPS, DUAL_STACK, IGNORE_ENDPOINTS] {
        if set(variable, name).is_some_and(|text| flag(&text).is_none()) {
            problems.push(problem(name, "is neither true nor false", "true"));
        }
    }
    for name in ["AWS_REGION", "AWS_DEFAULT_REGION"] {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if set(variable, name).is_some_and(|text| text.len() > 63 || !text.bytes().all(fits)) {
            problems.push(problem(name, "is not the name of a Region", "eu-west-1"));
        }
    }
    if !is_on(variable, IGNORE_ENDPOINTS) {
        problems.extend(endpoints(variable, http_anywhere));
    }
    problems
}

fn endpoints(variable: Lookup, http_anywhere: bool) -> Vec<ConfigProblem> {
    let mut problems = Vec::new();
    for name in ENDPOINTS {
        // A variable that is set but empty is also a problem. SAM's emulator sets a variable that
        // the template leaves out to an empty text, and the function would call AWS itself.
        if let Some(Err(fault)) = variable(name).map(|text| endpoint(&text, http_anywhere)) {
            let fault = format!("{fault}; remove it to call AWS itself");
            problems.push(problem(name, fault, "http://127.0.0.1:4600"));
        }
    }
    let configured = ENDPOINTS
        .into_iter()
        .find(|name| set(variable, name).is_some());
    if let Some(endpoint) = configured {
        // The endpoint rules of the SDK reject the combination (SRC) with an error that does not
        // name it.
        for name in [FIPS, DUAL_STACK] {
            if is_on(variable, name) {
                let fault = format!("cannot be true while {endpoint} is set; remove one of them");
                problems.push(problem(name, fault, "false"));
            }
        }
    }
    problems
}

/// Checks that both the SDK's URL parser and its endpoint rules accept an endpoint. They reject a
/// query, and one of them panics on texts that the other accepts.
fn endpoint(text: &str, http_anywhere: bool) -> Result<(), String> {
    if !text.bytes().all(is_plain) {
        return Err("is not a URL".to_owned());
    }
    let url = parse_url(text, http_anywhere)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("contains a query or a fragment".to_owned());
    }
    Ok(())
}

fn proxies(variable: Lookup) -> Vec<ConfigProblem> {
    const EXAMPLE: &str = "http://proxy.example.com:3128";
    let mut problems = Vec::new();
    for (upper, lower) in PROXIES {
        for name in [upper, lower] {
            let Some(text) = set(variable, name) else {
                continue;
            };
            if let Err(fault) = proxy(&text) {
                problems.push(problem(name, fault, EXAMPLE));
            }
            if variable("REQUEST_METHOD").is_some() {
                let fault = "is ignored by the HTTP client while REQUEST_METHOD is set; remove REQUEST_METHOD";
                problems.push(problem(name, fault, EXAMPLE));
            }
        }
        problems.extend(hidden(variable, upper, lower, EXAMPLE));
    }
    let (upper, lower) = ("NO_PROXY", "no_proxy");
    for name in [upper, lower] {
        let text = set(variable, name).unwrap_or_default();
        for (number, item) in (1..).zip(text.split(',')) {
            if !is_exception(item.trim()) {
                let fault = format!(
                    "item {number} matches no host: it is not a domain, an IP address, a CIDR block or *"
                );
                problems.push(problem(name, fault, ".example.com,10.0.0.0/8"));
            }
        }
    }
    problems.extend(hidden(variable, upper, lower, ".example.com"));
    problems
}

/// Returns a problem if the upper-case variable is empty and hides the lower-case one.
///
/// The HTTP client uses a variable that is set but empty, and does not read the other spelling.
fn hidden(
    variable: Lookup,
    upper: &'static str,
    lower: &'static str,
    example: &'static str,
) -> Option<ConfigProblem> {
    let hides =
        variable(upper).is_some_and(|text| text.is_empty()) && set(variable, lower).is_some();
    hides.then(|| {
        let fault = format!("is empty, so the HTTP client ignores {lower}; remove one of them");
        problem(upper, fault, example)
    })
}

/// Validates a proxy as the HTTP client's parser does: an authority, with or without `http://` or
/// `https://`.
///
/// The parser also accepts a path and drops it. Such a text is a URL whose password was not
/// encoded, so it is rejected here.
fn proxy(text: &str) -> Result<(), &'static str> {
    const NOT_A_URL: &str =
        "is not a proxy URL; percent-encode the user name and password, and remove spaces";
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return Err("names an unsupported kind of proxy; use http or https");
    }
    let has_scheme = rest.len() < text.len();
    let authority = match rest.strip_suffix('/') {
        Some(authority) if has_scheme => authority,
        _ => rest,
    };
    let (user, place) = authority.split_once('@').unwrap_or(("", authority));
    if !is_user(user) {
        return Err(NOT_A_URL);
    }
    let (host, port) = match place.rsplit_once(':') {
        // The colons of an IPv6 address are within its brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (place, None),
    };
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_host = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_domain(host) || host.parse::<IpAddr>().is_ok_and(|host| host.is_ipv4()),
    };
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let is_port = |port: &str| digits(port) && port.parse::<u16>().is_ok_and(|port| port > 0);
    if is_host && port.is_none_or(is_port) {
        Ok(())
    } else {
        Err(NOT_A_URL)
    }
}

/// Whether the text can be the user name and password of a URL.
fn is_user(text: &str) -> bool {
    let mut parts = text.split('%');
    let plain = |part: &str| {
        part.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:".contains(&byte))
    };
    let encoded = |part: &str| {
        let code = part.as_bytes().get(..2);
        code.is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit))
    };
    parts.next().is_none_or(plain) && parts.all(|part| encoded(part) && plain(part))
}

/// Whether a host can match this item of `NO_PROXY`. An empty item has no effect and is accepted.
fn is_exception(item: &str) -> bool {
    if item.is_empty() || item == "*" || item.parse::<IpAddr>().is_ok() {
        return true;
    }
    if let Some((address, bits)) = item.split_once('/') {
        let most = match address.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        let digits = bits.bytes().all(|byte| byte.is_ascii_digit());
        return digits && bits.parse::<u8>().is_ok_and(|bits| bits <= most);
    }
    is_domain(item.strip_prefix('.').unwrap_or(item))
}

/// Whether the text is a host name and not a malformed IP address.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a URL can contain this byte unencoded.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte)
}

/// Returns a variable that is set and not empty.
fn set(variable: Lookup, name: &str) -> Option<String> {
    variable(name).filter(|text| !text.is_empty())
}

fn is_on(variable: Lookup, name: &str) -> bool {
    set(variable, name).and_then(|text| flag(&text)) == Some(true)
}

/// Parses a flag as the AWS SDKs do: `true` or `false`, in upper or lower case.
fn flag(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

fn problem(
    variable: &'static str,
    fault: impl Into<String>,
    example: &'static str,
) -> ConfigProblem {
    ConfigProblem {
        variable,
        fault: fault.into(),
        example,
    }
}
