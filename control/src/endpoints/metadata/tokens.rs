//! Is a token one that was given to this network interface, and does it hold still?
//!
//! A token is its own record: when it expires, and a code that nobody computes without the key (SipHash under a random key
//! of 128 bits, twice). Nothing is kept, however many are given.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The key that a service's tokens are made by.
#[derive(Debug, Default)]
pub(in crate::endpoints) struct Tokens {
    key: RandomState,
}

impl Tokens {
    /// A token for `interface`, of 56 characters as those of EC2 are, that holds before `expiry`, since 1970.
    pub(super) fn issue(&self, interface: &str, expiry: Duration) -> String {
        let expiry = u64::try_from(expiry.as_millis()).unwrap_or(u64::MAX);
        self.token(interface, expiry, fastrand::u32(..))
    }

    /// Whether `token` holds for `interface` at `now`, since 1970.
    pub(super) fn hold(&self, token: &str, interface: &str, now: Duration) -> bool {
        let digits = |from, to| token.get(from..to);
        let expiry = digits(0, 16).and_then(|it| u64::from_str_radix(it, 16).ok());
        let nonce = digits(16, 24).and_then(|it| u32::from_str_radix(it, 16).ok());
        let (Some(expiry), Some(nonce)) = (expiry, nonce) else { return false };
        token == self.token(interface, expiry, nonce) && now.as_millis() < u128::from(expiry)
    }

    fn token(&self, interface: &str, expiry: u64, nonce: u32) -> String {
        let code = |half: u8| self.key.hash_one((half, expiry, nonce, interface));
        format!("{expiry:016x}{nonce:08x}{:016x}{:016x}", code(0), code(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);
    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn a_token_holds_for_its_interface_until_it_expires() {
        let tokens = Tokens::default();
        let expiry = NOW + Duration::from_secs(1);
        let token = tokens.issue("eni-a", expiry);
        assert_eq!(token.len(), 56);
        assert!(tokens.hold(&token, "eni-a", NOW));
        assert!(tokens.hold(&token, "eni-a", expiry - MILLISECOND));
        assert!(!tokens.hold(&token, "eni-a", expiry));
        assert!(!tokens.hold(&token, "eni-b", NOW));
        assert!(!Tokens::default().hold(&token, "eni-a", NOW), "another service's");
        assert_ne!(token, tokens.issue("eni-a", expiry));
    }

    #[test]
    fn a_token_that_was_changed_does_not_hold() {
        let tokens = Tokens::default();
        let token = tokens.issue("eni-a", NOW + MILLISECOND);
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(!tokens.hold(&changed, "eni-a", NOW), "{changed}");
        }
        for wrong in ["", "x", &token[..55], &format!("{token}0"), &token.to_uppercase(), "ä"] {
            assert!(!tokens.hold(wrong, "eni-a", NOW), "{wrong:?}");
        }
        assert!(!tokens.hold(&"ä".repeat(28), "eni-a", NOW));
    }
}
