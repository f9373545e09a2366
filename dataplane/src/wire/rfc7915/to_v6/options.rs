//! Does an IPv4 packet say which way it goes (RFC 7915 s. 4.1; RFC 791 s. 3.1, "Options")?

use crate::wire::rfc7915::Refusal;

/// Refuses a packet among whose options is a source route that is not used up.
pub(super) fn check_route(options: &[u8]) -> Result<(), Refusal> {
    if has_source_route(options) { Err(Refusal::SourceRoute) } else { Ok(()) }
}

/// Whether among a header's options is a source route with hops left.
fn has_source_route(options: &[u8]) -> bool {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const LOOSE: u8 = 131;
    const STRICT: u8 = 137;
    let mut rest = options;
    loop {
        rest = match *rest {
            [] | [END, ..] => return false,
            [NO_OPERATION, ref behind @ ..] => behind,
            // The route is used up when the pointer is beyond it.
            [LOOSE | STRICT, length, pointer, ..] => return pointer <= length,
            // A shorter one would not end.
            [_, length, ..] => rest.get(usize::from(length).max(2)..).unwrap_or_default(),
            [_] => return false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_with_hops_left_is_found_wherever_it_stands() {
        for kind in [131, 137] {
            let route = [kind, 7, 4, 198, 51, 100, 1, 0];
            assert!(has_source_route(&route));
            assert!(has_source_route(&[&[1, 1, 7, 4, 4, 0], &route[..]].concat()));
        }
    }

    #[test]
    fn a_route_that_is_used_up_and_other_options_are_none() {
        assert!(!has_source_route(&[131, 7, 8, 198, 51, 100, 1, 0]));
        assert!(!has_source_route(&[7, 7, 4, 0, 0, 0, 0, 0]), "record route");
        assert!(!has_source_route(&[0, 131, 7, 4]), "behind the end of the list");
        assert!(!has_source_route(&[]));
    }

    #[test]
    fn malformed_options_end() {
        for options in [&[5, 0, 0, 0][..], &[5, 1], &[131], &[131, 7], &[68, 200, 5], &[1, 1, 5]] {
            assert!(!has_source_route(options), "{options:?}");
        }
    }
}
