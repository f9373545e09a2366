//! What flows occupy. The kernel tells the memory of a whole process, so that this test has one of its own: in
//! another's, tests that take or free memory beside it would be counted.

use benches::machine::{self, Occupied};
use benches::profile::Profile;
use benches::trials::Filled;

#[test]
fn flows_occupy_what_they_take() {
    let before = Occupied::now().resident;
    let used = std::hint::black_box(vec![1_u8; 50 << 20]);
    let more = Occupied::now().resident.saturating_sub(before);
    assert!((49 << 20..52 << 20).contains(&more), "what is used is seen: {more}");
    assert!(machine::available() > 0);
    drop(used);

    // The first stay open: what they had would be given to the others, and not be seen.
    let mut open = Vec::new();
    for profile in [Profile::NAT44[1], Profile::NAT44[1].without_nat()] {
        let filled = Filled::of(&profile).unwrap();
        let each = filled.occupied / u64::from(profile.sessions());
        println!("{}: {each} bytes a flow", profile.name());
        // The hot part, what is seldom asked for, two keys; and rooms that so few do not fill.
        assert!((250..1000).contains(&each), "{each} bytes a flow");
        open.push(filled);
    }
}
