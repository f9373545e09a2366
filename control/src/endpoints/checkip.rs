//! What is my address? To any `GET`, the caller's address and a newline, as checkip.amazonaws.com answers.

use super::http::{Request, Response};

pub(super) fn respond(request: &Request<'_>) -> Response {
    match request.method {
        "GET" => Response::ok(format!("{}\n", request.caller)),
        _ => Response::only("GET"),
    }
}
