//! What is my address? HTTP/1.0 and 1.1 (RFC 9112) on port 80, as checkip.amazonaws.com answers:
//! the caller's address and a newline, one request a connection.

use std::net::IpAddr;

use httparse::{EMPTY_HEADER, Request, Status};
use smoltcp::socket::tcp::{Socket, State};

/// The longest request line and headers, in bytes. It is the size of the receive buffer: nothing
/// is taken out of it before the head is complete, so that the head lies there in one piece.
pub(super) const HEAD_LIMIT: usize = 8192;

/// The most header fields in a request.
const FIELDS_LIMIT: usize = 64;

/// Carries the conversation on; true when anything was read or said.
pub(super) fn converse(socket: &mut Socket<'_>) -> bool {
    if !socket.may_send() {
        return forget_the_rest(socket);
    }
    let Some(caller) = socket.remote_endpoint() else { return false };
    let silent = socket.recv_queue() == 0;
    let ended = socket.state() == State::CloseWait;
    let head = socket.peek(HEAD_LIMIT).unwrap_or_default();
    match answer(head, caller.addr.into()) {
        Some(response) => {
            // The send buffer is empty and longer than any response.
            let _ = socket.send_slice(&response);
        }
        None if ended && silent => {}
        None if ended => {
            let _ = socket.send_slice(&bad_request());
        }
        None => return false,
    }
    socket.close();
    true
}

/// After the answer: what the client still sends would make its stack wait for room.
fn forget_the_rest(socket: &mut Socket<'_>) -> bool {
    let mut forgot = false;
    while socket.can_recv() && socket.recv(|bytes| (bytes.len(), ())).is_ok() {
        forgot = true;
    }
    forgot
}

/// The response to a request that begins with `received`; `None` while its head is not complete.
fn answer(received: &[u8], caller: IpAddr) -> Option<Vec<u8>> {
    let mut fields = [EMPTY_HEADER; FIELDS_LIMIT];
    let mut request = Request::new(&mut fields);
    match request.parse(received) {
        Ok(Status::Complete(_)) => Some(match request.method {
            Some("GET") => response("200 OK", "", &format!("{caller}\n")),
            _ => response("405 Method Not Allowed", "Allow: GET\r\n", "only GET is served here\n"),
        }),
        Ok(Status::Partial) if received.len() < HEAD_LIMIT => None,
        Ok(Status::Partial) | Err(_) => Some(bad_request()),
    }
}

fn bad_request() -> Vec<u8> {
    response("400 Bad Request", "", "this is not a request of HTTP/1.0 or HTTP/1.1\n")
}

fn response(status: &str, fields: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         {fields}Connection: close\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 10));

    fn status(request: &[u8]) -> Option<String> {
        let response = String::from_utf8(answer(request, CALLER)?).unwrap();
        Some(response.split_whitespace().nth(1).unwrap().to_owned())
    }

    #[test]
    fn answers_any_get_with_the_callers_address() {
        for request in [
            "GET / HTTP/1.1\r\nHost: checkip.amazonaws.com\r\n\r\n",
            "GET /any?thing HTTP/1.0\r\n\r\n",
            "GET http://checkip.amazonaws.com/ HTTP/1.1\r\n\r\n and more",
        ] {
            let response = answer(request.as_bytes(), CALLER).unwrap();
            let response = String::from_utf8(response).unwrap();
            assert_eq!(
                response,
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 14\r\n\
                 Connection: close\r\n\r\n198.51.100.10\n"
            );
        }
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
    fn refuses_what_is_malformed_too_long_or_no_get() {
        assert_eq!(status(b"\x16\x03\x01\x02\x00\x01").as_deref(), Some("400"));
        assert_eq!(status(b"GET /\r\n").as_deref(), Some("400"));
        assert_eq!(status(b"POST / HTTP/1.1\r\n\r\nbody").as_deref(), Some("405"));

        let mut long = b"GET / HTTP/1.1\r\nX: ".to_vec();
        long.resize(HEAD_LIMIT - 1, b'x');
        assert_eq!(status(&long), None);
        long.push(b'x');
        assert_eq!(status(&long).as_deref(), Some("400"));

        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(FIELDS_LIMIT + 1));
        assert_eq!(status(many.as_bytes()).as_deref(), Some("400"));
    }
}
