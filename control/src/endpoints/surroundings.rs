//! What does a host see of the emulator around it? What its VPC holds, and the emulated time.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use dataplane::time::Clock;

use super::knowledge::{Knowledge, Realm};
use super::metadata::{Instance, Tokens};
use super::resolver::Turns;

/// What built-in hosts tell of.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// What VPCs hold now.
    pub knowledge: Arc<ArcSwap<Knowledge>>,
    /// The emulated clock.
    pub clock: Arc<Clock>,
    /// Wall time at which it began.
    pub began: SystemTime,
}

impl Surroundings {
    /// What a host of the VPC `realm` goes by in one turn.
    pub(super) fn moment<'a>(
        &self,
        realm: Option<&'a Realm>,
        tokens: &'a Tokens,
        turns: &'a Turns,
    ) -> Moment<'a> {
        let Self { clock, began, .. } = self;
        // A clock that went on for longer than a kernel can tell stands still.
        let time = began.checked_add(clock.elapsed()).unwrap_or(*began);
        Moment { realm, tokens, turns, began: *began, time }
    }
}

/// What holds in one turn of a host.
pub(super) struct Moment<'a> {
    /// The VPC that it serves; none on the internet.
    pub(super) realm: Option<&'a Realm>,
    pub(super) tokens: &'a Tokens,
    pub(super) turns: &'a Turns,
    /// Wall time at which the emulated clock began.
    pub(super) began: SystemTime,
    /// Emulated wall time.
    pub(super) time: SystemTime,
}

impl<'a> Moment<'a> {
    /// Whose address `caller` is, in the VPC that is served.
    pub(super) fn instance(&self, caller: IpAddr) -> Option<&'a Instance> {
        self.realm?.instances.get(&caller).map(|instance| &**instance)
    }
}
