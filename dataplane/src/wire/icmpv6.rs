//! ICMP for IPv6 (RFC 4443).

/// Message types.
pub mod kind {
    /// Echo request (RFC 4443 s. 4.1).
    pub const ECHO_REQUEST: u8 = 128;
    /// Echo reply (RFC 4443 s. 4.2).
    pub const ECHO_REPLY: u8 = 129;
}
