//! How a million flows end, as JSON: `benches/tests/expiry.rs` runs it, alone in its process so that the
//! memory is the flows' own.

use std::error::Error;

use benches::Profile;
use benches::outcome::Expiry;

fn main() -> Result<(), Box<dyn Error>> {
    let expiry = Expiry::of(&Profile::NAT44[2])?;
    println!("{}", serde_json::to_string(&expiry)?);
    Ok(())
}
