//! What does the instance metadata service answer (AWS "Use instance metadata to manage your EC2 instance")?
//!
//! Each network interface is an instance of its own here, and its addresses say who asks. A `PUT` gives a token, a `GET`
//! shows one (IMDSv2) or does without (IMDSv1). A token holds for emulated time, and for the interface that it was given
//! to.

mod instance;
mod tokens;
mod tree;

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use super::http::{Request, Response};
use super::surroundings::Moment;

pub(super) use self::instance::Instance;
pub(super) use self::tokens::Tokens;

/// How the metadata service serves one network interface (EC2 API "InstanceMetadataOptionsRequest").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MetadataOptions {
    /// Whether it serves it at all (`HttpEndpoint`); else every request is forbidden.
    pub endpoint: bool,
    /// Whether requests without a token are refused (`HttpTokens`).
    pub tokens_required: bool,
    /// How many hops the answer to a `PUT` goes, 1 to 64 (`HttpPutResponseHopLimit`).
    pub put_response_hop_limit: u8,
    /// Whether it serves it at the address of IPv6 too (`HttpProtocolIpv6`).
    pub ipv6: bool,
}

impl Default for MetadataOptions {
    fn default() -> Self {
        Self { endpoint: true, tokens_required: false, put_response_hop_limit: 1, ipv6: false }
    }
}

/// The header field of a request that shows its token.
const TOKEN: &str = "X-aws-ec2-metadata-token";

/// The header field that says how many seconds a token is to hold, and does.
const TOKEN_TTL: &str = "X-aws-ec2-metadata-token-ttl-seconds";

/// How many seconds a token can hold: up to six hours.
const TTLS: RangeInclusive<u64> = 1..=21_600;

/// The versions, of which each is like the latest. AWS has more, and each only adds to the one before; these are those
/// that cloud-init asks for.
const VERSIONS: [&str; 6] =
    ["1.0", "2009-04-04", "2016-09-02", "2018-09-24", "2021-03-23", "latest"];

pub(super) fn respond(request: &Request<'_>, moment: &Moment<'_>) -> Response {
    let Some(instance) = moment.instance(request.caller) else {
        let body = format!("{} is no network interface's here\n", request.caller);
        return Response::new("503 Service Unavailable", body);
    };
    let options = &instance.options;
    if !options.endpoint {
        return forbidden("the metadata service is turned off for this network interface\n");
    }
    match request.method {
        "GET" | "HEAD" => show(request, instance, moment),
        "PUT" => issue(request, instance, moment),
        _ => Response::only("GET, HEAD, PUT"),
    }
}

/// Gives a token, to who comes by no proxy.
fn issue(request: &Request<'_>, instance: &Instance, moment: &Moment<'_>) -> Response {
    match below_version(path(request.target)) {
        Some("api/token") => {}
        Some(_) => return Response::only("GET, HEAD"),
        None => return not_found(),
    }
    if request.field("X-Forwarded-For").is_some() {
        return forbidden("no tokens by way of a proxy (X-Forwarded-For)\n");
    }
    let ttl = request.field(TOKEN_TTL).and_then(seconds).filter(|ttl| TTLS.contains(ttl));
    let Some(ttl) = ttl else {
        let body = format!("{TOKEN_TTL} has to be {} to {}\n", TTLS.start(), TTLS.end());
        return Response::new("400 Bad Request", body);
    };
    let expiry = moment.time.checked_add(Duration::from_secs(ttl)).unwrap_or(moment.time);
    let token = moment.tokens.issue(instance.id(), since_1970(expiry));
    let response = Response::ok(token).field(TOKEN_TTL, ttl.to_string());
    response.within(instance.options.put_response_hop_limit)
}

/// Shows what stands at a path, to who has a right token or needs none.
fn show(request: &Request<'_>, instance: &Instance, moment: &Moment<'_>) -> Response {
    let now = since_1970(moment.time);
    match request.field(TOKEN) {
        Some(token) if !moment.tokens.hold(token, instance.id(), now) => {
            let body = "the token is not one of this network interface's, or has expired\n";
            return Response::new("401 Unauthorized", body);
        }
        None if instance.options.tokens_required => {
            let body = format!("a token is required ({TOKEN})\n");
            return Response::new("401 Unauthorized", body);
        }
        _ => {}
    }
    let path = path(request.target);
    if path == "/" {
        return Response::ok(VERSIONS.join("\n"));
    }
    match below_version(path) {
        Some("api/token") => Response::only("PUT"),
        Some(path) => {
            let found = tree::find(&instance.leaves(moment.began), path);
            found.map_or_else(not_found, Response::ok)
        }
        None => not_found(),
    }
}

/// The path of a target, which may be a whole URI.
fn path(target: &str) -> &str {
    let target = match target.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
        None => target,
    };
    target.split_once('?').map_or(target, |(path, _)| path)
}

/// What follows the version in a path, if it begins with one.
fn below_version(path: &str) -> Option<&str> {
    let path = path.strip_prefix('/')?;
    let (version, rest) = path.split_once('/').unwrap_or((path, ""));
    VERSIONS.contains(&version).then_some(rest)
}

/// Decimal digits alone.
fn seconds(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn not_found() -> Response {
    Response::new("404 Not Found", "there is nothing at this path\n")
}

fn forbidden(body: &str) -> Response {
    Response::new("403 Forbidden", body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_targets() {
        for (target, found) in [
            ("/latest/meta-data/?x", "/latest/meta-data/"),
            ("http://169.254.169.254/latest/api/token", "/latest/api/token"),
            ("http://[fd00:ec2::254]", "/"),
            ("http://[fd00:ec2::254]/?://", "/"),
            ("*", "*"),
        ] {
            assert_eq!(path(target), found, "{target}");
        }
        for (path, below) in [
            ("/latest", Some("")),
            ("/latest/", Some("")),
            ("/2021-03-23/meta-data/mac", Some("meta-data/mac")),
            ("/latest/api/token", Some("api/token")),
            ("/2021-03-24/meta-data/mac", None),
            ("/Latest/", None),
            ("latest/", None),
            ("*", None),
            ("//latest/", None),
        ] {
            assert_eq!(below_version(path), below, "{path}");
        }
    }

    #[test]
    fn seconds_are_digits() {
        assert_eq!(seconds("21600"), Some(21_600));
        for text in ["", "+5", "-1", "1.5", "0x10", " 5", "99999999999999999999999"] {
            assert_eq!(seconds(text), None, "{text:?}");
        }
    }
}
