//! What does a client of HTTP/1.0 or 1.1 (RFC 9112) ask, and how is it answered? One request a connection, which is
//! closed behind the answer; bodies of requests are forgotten, however long.

use std::net::IpAddr;

use httparse::{EMPTY_HEADER, Header, Status};
use smoltcp::socket::tcp::{Socket, State};

use super::echo;
use super::outbox::Outbox;

/// The longest request line and headers, in bytes. It is the size of the receive buffer: nothing
/// is taken out of it before the head is complete, so that the head lies there in one piece.
pub(super) const HEAD_LIMIT: usize = 8192;

/// The most header fields in a request.
const FIELDS_LIMIT: usize = 64;

/// A request whose head is complete.
pub(super) struct Request<'a> {
    /// Who asks.
    pub(super) caller: IpAddr,
    /// Such as `GET`.
    pub(super) method: &'a str,
    /// A path, or a whole URI (RFC 9112 s. 3.2).
    pub(super) target: &'a str,
    fields: &'a [Header<'a>],
}

impl Request<'_> {
    /// The value of the first header field of this name; empty where it is no text.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
        Some(str::from_utf8(field.value).unwrap_or(""))
    }
}

/// An answer of plain text.
pub(super) struct Response {
    /// Such as `200 OK`.
    status: &'static str,
    /// Header fields beyond those that every answer has.
    fields: Vec<(&'static str, String)>,
    body: String,
    hop_limit: Option<u8>,
}

impl Response {
    pub(super) fn new(status: &'static str, body: impl Into<String>) -> Self {
        Self { status, fields: Vec::new(), body: body.into(), hop_limit: None }
    }

    pub(super) fn ok(body: impl Into<String>) -> Self {
        Self::new("200 OK", body)
    }

    /// Refuses the method of a request, where only those of the list `allow` will do.
    pub(super) fn only(allow: &str) -> Self {
        let body = format!("only {allow} is served here\n");
        Self::new("405 Method Not Allowed", body).field("Allow", allow)
    }

    pub(super) fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Lets its packets go `hops` hops and no further; at least one.
    pub(super) fn within(mut self, hops: u8) -> Self {
        self.hop_limit = Some(hops.max(1));
        self
    }

    fn bad_request() -> Self {
        Self::new("400 Bad Request", "this is not a request of HTTP/1.0 or HTTP/1.1\n")
    }

    /// As it is sent; the answer to `HEAD` lacks its body (RFC 9110 s. 9.3.2).
    fn bytes(&self, head_only: bool) -> Vec<u8> {
        let Self { status, body, .. } = self;
        let fields: String =
            self.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let body = if head_only { "" } else { body };
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\
             {fields}Connection: close\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

/// Carries the conversation on; true when anything was read or said.
pub(super) fn converse(
    socket: &mut Socket<'_>,
    outbox: &mut Outbox,
    respond: impl FnOnce(&Request<'_>) -> Response,
) -> bool {
    if !socket.may_send() {
        return echo::forget(socket);
    }
    if outbox.is_empty() {
        let Some(caller) = socket.remote_endpoint() else {
            return false;
        };
        let silent = socket.recv_queue() == 0;
        let ended = socket.state() == State::CloseWait;
        let head = socket.peek(HEAD_LIMIT).unwrap_or_default();
        let (response, head_only) = match answer(head, caller.addr.into(), respond) {
            Some(answer) => answer,
            None if ended && silent => {
                socket.close();
                return true;
            }
            None if ended => (Response::bad_request(), false),
            None => return false,
        };
        if response.hop_limit.is_some() {
            socket.set_hop_limit(response.hop_limit);
        }
        outbox.put(response.bytes(head_only));
    }
    let moved = outbox.flush(socket);
    if outbox.is_empty() {
        socket.close();
    }
    moved
}

/// The response to a request that begins with `received`, and whether it is sent without its body; `None` while the head
/// is not complete.
fn answer(
    received: &[u8],
    caller: IpAddr,
    respond: impl FnOnce(&Request<'_>) -> Response,
) -> Option<(Response, bool)> {
    let mut fields = [EMPTY_HEADER; FIELDS_LIMIT];
    let mut head = httparse::Request::new(&mut fields);
    let parsed = head.parse(received);
    match (parsed, head.method, head.path) {
        (Ok(Status::Complete(_)), Some(method), Some(target)) => {
            let request = Request { caller, method, target, fields: head.headers };
            Some((respond(&request), method == "HEAD"))
        }
        (Ok(Status::Partial), ..) if received.len() < HEAD_LIMIT => None,
        _ => Some((Response::bad_request(), false)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const CALLER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10));

    /// Says back what was asked.
    fn said(request: &[u8]) -> Option<String> {
        let respond = |request: &Request<'_>| {
            let field = request.field("x-NAME").unwrap_or("none");
            Response::ok(format!("{} {} {field}", request.method, request.target))
        };
        let (response, head_only) = answer(request, CALLER, respond)?;
        Some(String::from_utf8(response.bytes(head_only)).unwrap())
    }

    fn status(request: &[u8]) -> Option<String> {
        Some(said(request)?.split_whitespace().nth(1).unwrap().to_owned())
    }

    #[test]
    fn tells_method_target_and_fields_in_any_case() {
        for (request, body) in [
            ("GET /a?b HTTP/1.0\r\n\r\n", "GET /a?b none"),
            (
                "PUT http://x/ HTTP/1.1\r\nX-Name: a b \r\nx-name: c\r\n\r\n and more",
                "PUT http://x/ a b",
            ),
        ] {
            let said = said(request.as_bytes()).unwrap();
            assert!(said.ends_with(&format!("\r\nConnection: close\r\n\r\n{body}")), "{said}");
        }
        assert!(said(b"GET / HTTP/1.1\r\nX-Name: \xff\r\n\r\n").unwrap().ends_with("\n\r\nGET / "));
    }

    #[test]
    fn the_answer_to_head_is_that_to_get_without_its_body() {
        let head = said(b"HEAD / HTTP/1.1\r\n\r\n").unwrap();
        assert!(
            head.contains("\r\nContent-Length: 11\r\n") && head.ends_with("\r\n\r\n"),
            "{head}"
        );
    }

    #[test]
    fn waits_for_the_whole_head_and_no_longer() {
        let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        for end in 0..request.len() {
            assert_eq!(status(&request[..end]), None, "after {end} bytes");
        }
        assert_eq!(status(request).as_deref(), Some("200"));
    }

    #[test]
    fn refuses_what_is_malformed_or_too_long() {
        assert_eq!(status(b"\x16\x03\x01\x02\x00\x01").as_deref(), Some("400"));
        assert_eq!(status(b"GET /\r\n").as_deref(), Some("400"));

        let mut long = b"GET / HTTP/1.1\r\nX: ".to_vec();
        long.resize(HEAD_LIMIT - 1, b'x');
        assert_eq!(status(&long), None);
        long.push(b'x');
        assert_eq!(status(&long).as_deref(), Some("400"));

        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(FIELDS_LIMIT + 1));
        assert_eq!(status(many.as_bytes()).as_deref(), Some("400"));
    }
}
