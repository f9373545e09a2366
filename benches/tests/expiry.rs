//! A million flows open, are held and end under traffic: in the release profile, whatever that of this test
//! is. `hypertun bench` tells the same figures, and the most that a single turn has spent.
#![expect(clippy::unwrap_used, reason = "a test says by a panic that its promise is broken")]

mod common;

use std::process::Command;

use benches::outcome::{BYTES_A_FLOW, EXPIRY, Expiry, KEPT};

#[test]
fn a_million_flows_end_without_pauses_and_leave_nothing() {
    let said = common::output(&mut Command::new(common::release("expiry")));
    let expiry: Expiry = serde_json::from_str(&said).unwrap();
    println!("{expiry:?}");
    assert!(expiry.flows > 1_000_000);
    // That no turn looks at more was seen by who has measured.
    assert!((1..=256).contains(&expiry.looked_at));
    // A turn in a hundred may have met with the machine's other work each time.
    assert!(expiry.p99 <= EXPIRY, "{expiry:?}");
    let bytes_a_flow =
        expiry.occupied * f64::from(1 << 20) / f64::from(u32::try_from(expiry.flows).unwrap());
    assert!((200.0..=BYTES_A_FLOW).contains(&bytes_a_flow), "{bytes_a_flow} bytes a flow");
    assert!(expiry.kept <= KEPT, "{expiry:?}");
    assert!(expiry.cold_page > 0.0, "{expiry:?}");
}
